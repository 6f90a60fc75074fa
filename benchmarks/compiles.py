"""How often a model's step is traced: lr_find, two one-cycle fits, a plain one, and one cycle again."""

import time
from collections.abc import Callable
from typing import Any

import keras

from benchmarks.models import BATCH, data_for, small_mlp
from benchmarks.side_by_side import report
from keras_sched import fit_one_cycle, lr_find


class Traced(keras.layers.Layer):
    """Counts the Python calls of a training step: one a trace where the step is compiled."""

    calls = 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The inputs as they are."""
        if training:
            type(self).calls += 1
        return inputs


def main() -> None:
    inner = small_mlp()
    model = keras.Sequential([keras.Input((16,)), Traced(), inner])
    model.compile("adam", loss="mse")
    x, y = data_for(model, 50)
    shown = {"batch_size": BATCH, "verbose": 0}
    runs: list[tuple[str, Callable[[], Any]]] = [
        ("lr_find", lambda: lr_find(model, x, y, num_it=50, show_plot=False, **shown)),
        ("fit_one_cycle", lambda: fit_one_cycle(model, x, y, epochs=1, lr_max=1e-3, **shown)),
        ("fit_one_cycle, other arguments", lambda: fit_one_cycle(model, x, y, epochs=2, lr_max=1e-2, div=10, **shown)),
        ("plain fit", lambda: model.fit(x, y, **shown)),
        ("plain fit again", lambda: model.fit(x, y, **shown)),
        ("fit_one_cycle after it", lambda: fit_one_cycle(model, x, y, epochs=1, lr_max=1e-3, **shown)),
    ]
    rows: list[list[Any]] = []
    for name, run in runs:
        before, began = Traced.calls, time.perf_counter()
        run()
        rows.append([name, Traced.calls - before, time.perf_counter() - began])
    compiled = keras.backend.backend() != "torch"
    goal = (
        "the scheduled ones trace once together, the plain ones once"
        if compiled
        else "nothing is compiled: one call a batch"
    )
    report("compiles", ["run", "calls in Python", "seconds"], rows, goal=goal)


if __name__ == "__main__":
    main()
