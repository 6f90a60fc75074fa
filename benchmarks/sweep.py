"""`sweep` beside KerasTuner: the same candidates on the same data, so many seconds each.

KerasTuner's Hyperband trains the candidates in rounds of its own, its random search all of them for all epochs, as
`sweep(..., rounds=1)` does; both build and compile the model anew for each. On JAX also a population, against one by
one. Rounds are interleaved: a table has the median of the rounds and the quartiles, and ratios to `sweep`.
Needs `pip install keras-tuner`, and on TensorFlow `tensorboard`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np

from benchmarks.models import BATCH, data_for, small_convnet, small_mlp
from benchmarks.side_by_side import interleaved, median_and_spread, ratios, report
from keras_sched import OneCycle, sweep

RATES = [float(rate) for rate in np.geomspace(1e-4, 1e-1, 9)]
EPOCHS, BATCHES = 9, 32
MODELS = {"small MLP": small_mlp, "small ConvNet": small_convnet}


def compiled(make: Callable[[], keras.Model]) -> keras.Model:
    """A model as a user begins with it."""
    model = make()
    model.compile("adam", "mse")
    return model


def by_sweep(make: Callable[[], keras.Model], data: Any, model: keras.Model | None = None, **arguments: Any) -> float:
    """The seconds of a sweep: of a new model, whose step is compiled in them, or of one that was swept before."""
    keras.utils.set_random_seed(0)
    arguments = {"epochs": EPOCHS, "finalists": 1, "population": False, "batch_size": BATCH} | arguments
    began = time.perf_counter()
    sweep(model or compiled(make), *data, over={"lr_max": RATES}, show_plot=False, verbose=0, **arguments)
    return time.perf_counter() - began


def by_tuner(make: Callable[[], keras.Model], data: Any, kind: str) -> float:
    """The seconds of a search of KerasTuner's over the same rates, with the same schedule."""
    import keras_tuner

    class Candidate(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            hp.Choice("rate", RATES)
            return compiled(make)

        def fit(self, hp: Any, model: Any, *args: Any, callbacks: Any = (), **kwargs: Any) -> Any:
            return model.fit(*args, callbacks=[*callbacks, OneCycle(hp.get("rate"))], **kwargs)

    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        shared = {"objective": keras_tuner.Objective("loss", "min"), "directory": folder, "project_name": "t"}
        if kind == "Hyperband":
            tuner: Any = keras_tuner.Hyperband(Candidate(), max_epochs=EPOCHS, factor=3, seed=0, **shared)
        else:
            tuner = keras_tuner.RandomSearch(Candidate(), max_trials=len(RATES), seed=0, **shared)
        began = time.perf_counter()
        tuner.search(*data, epochs=EPOCHS, batch_size=BATCH, verbose=0)
        return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    options = parser.parse_args()
    on_jax = keras.backend.backend() == "jax"
    rows: list[list[Any]] = []
    for name, make in MODELS.items():
        data = data_for(make(), BATCHES)
        swept = compiled(make)
        by_sweep(make, data, swept)
        measures: dict[str, Callable[[], float]] = {
            "sweep": partial(by_sweep, make, data),
            "sweep, compiled before": partial(by_sweep, make, data, swept),
            "sweep in one round": partial(by_sweep, make, data, rounds=1),
            "KerasTuner, Hyperband": partial(by_tuner, make, data, "Hyperband"),
            "KerasTuner, random search": partial(by_tuner, make, data, "random"),
        }
        if on_jax:
            by_sweep(make, data, swept, rounds=1, population=True)
            measures["in one round, compiled before"] = partial(by_sweep, make, data, swept, rounds=1)
            measures["the same, a population"] = partial(by_sweep, make, data, swept, rounds=1, population=True)
        numbers = interleaved(measures, options.rounds)
        against = ratios(numbers, "sweep")
        rows += [
            [f"{name}, {way}", *median_and_spread(seconds), *median_and_spread(against[way])]
            for way, seconds in numbers.items()
        ]
    columns = ["what", "seconds", "from", "to", "ratio to sweep", "ratio from", "ratio to"]
    report("sweep", columns, rows, candidates=len(RATES), epochs=EPOCHS, batches=BATCHES, rounds=options.rounds)


if __name__ == "__main__":
    main()
