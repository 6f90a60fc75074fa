"""What a long or large schedule costs: 1e9 steps, 1,000 parameter groups, 10,000 variables, and the finder's copy.

Sizes that do not fit a small machine are asked for with `--variables` and `--weights`; both costs grow in proportion.
"""

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks.scaling import network
from benchmarks.side_by_side import report
from keras_sched import ParamScheduler, SchedCos
from keras_sched.curves import curves_of
from keras_sched.snapshot import Snapshot
from keras_sched.table import HostRows, Table

MIB = 2**20


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds of the second call, MiB that it takes at most, and what it returns."""
    call()
    began = time.perf_counter()
    made = call()
    seconds = time.perf_counter() - began
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / MIB
    tracemalloc.stop()
    return seconds, peak, made


def schedules(groups: int) -> dict[str, Any]:
    """Rate, momentum and decay, as `OneCycle(wd=...)` has them; the rate by group."""
    rates = tuple(1e-3 / (1 + group) for group in range(groups))
    ends = (rates, (1e-5,) * groups) if groups > 1 else (1e-3, 1e-5)
    return {"lr": SchedCos(*ends), "mom": SchedCos(0.95, 0.85), "wd": SchedCos(0.0, 0.1)}


def table_rows() -> list[list[Any]]:
    """A row a length and a number of groups."""
    rows: list[list[Any]] = []
    for steps in (10**6, 10**9):
        for groups in (1, 100, 1000):

            def make(steps: int = steps, groups: int = groups) -> Table:
                optimizer = keras.optimizers.AdamW(1e-3)
                curves, _ = curves_of(schedules(groups), optimizer, steps, groups)
                return Table(curves, dict.fromkeys(curves, 0.1), steps, groups)

            made, _, table = timed(make)
            filled, peak, window = timed(lambda table=table: table.rows(table.total // 2, table.window_rows))
            host, _, _ = timed(lambda table=table: HostRows(table).row(table.total // 2))
            size = f"{steps:.0e} steps, {groups:,} groups"
            per_batch = 1e6 * filled / (len(window) * 3 // 4)
            of_rows = (len(window), window.nbytes / MIB, 1e3 * filled, per_batch, peak)
            rows.append([size, 1e3 * made, *of_rows, 1e6 * host / 512])
    return rows


class Stop(keras.callbacks.Callback):
    """Ends a fit after its first batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End it."""
        self.model.stop_training = True


def look_rows(steps: int) -> list[list[Any]]:
    """Seconds to the first batch of a compiled step: what is looked through before it grows with the schedule."""
    layers = [keras.layers.Dropout(0.5, name="drop"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((16,)), *layers])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    x, y = np.zeros((8, 16), np.float32), np.zeros((8, 1), np.float32)
    momenta = {"lr": SchedCos(0.1, 0.01), "mom": SchedCos(0.9, 0.8)}

    def seconds(epochs: int, ours: ParamScheduler) -> float:
        began = time.perf_counter()
        model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[ours, Stop()])
        return time.perf_counter() - began

    rows: list[list[Any]] = []
    for name, make in {
        "rate and momentum": lambda: ParamScheduler(momenta),
        "with `momentum_correction`": lambda: ParamScheduler(momenta, momentum_correction=True),
        "with the rate of a dropout": lambda: ParamScheduler({**momenta, "drop.rate": SchedCos(0.5, 0.1)}),
    }.items():
        seconds(10, make())
        short, long = seconds(10, make()), seconds(steps, make())
        rows.append([name, 1e3 * short, f"{steps:.0e}", 1e3 * long, (long - short) * 1e9 / steps])
    return rows


def first_batch(layers: int, groups: int) -> float:
    """Seconds of the first batch, which is traced and compiled where the backend compiles; 0 groups is plain Keras."""
    sys.setrecursionlimit(max(1000, 20 * layers))  # Keras goes from layer to layer by recursion
    model = network(layers)
    model.compile(keras.optimizers.AdamW(1e-3), loss="mse")
    x, y = np.zeros((8, 16), np.float32), np.zeros((8, 1), np.float32)
    divided = [[layer] for layer in model.layers] if groups > 1 else None
    began = time.perf_counter()
    ours = [ParamScheduler(schedules(groups), groups=divided)] if groups else []
    model.fit(x, y, batch_size=8, verbose=0, callbacks=ours)
    return time.perf_counter() - began


def trace_rows(sizes: list[int]) -> list[list[Any]]:
    """A row a number of variables: seconds to the first batch, plain, scheduled, and with a group for each layer."""
    rows: list[list[Any]] = []
    first_batch(1, 0)
    for variables in sizes:
        layers = variables // 2
        rows.append([f"{variables:,} variables", *(first_batch(layers, groups) for groups in (0, 1, layers))])
    return rows


def copy_rows(sizes: list[int]) -> list[list[Any]]:
    """A row a number of weights: what `lr_find` copies of a model under AdamW, and how long both ways take."""
    rows: list[list[Any]] = []
    for weights in sizes:
        side = int(weights**0.5)
        model = keras.Sequential([keras.Input((side,)), keras.layers.Dense(side, use_bias=False)])
        model.compile(keras.optimizers.AdamW(1e-3), loss="mse")
        model.optimizer.build(model.trainable_variables)
        with Snapshot(model) as snapshot:
            began = time.perf_counter()
            snapshot.take()
            taken = time.perf_counter()
            snapshot.rewind()
            put = time.perf_counter()
        copied = sum(np.asarray(v.numpy()).nbytes for v in (*model.weights, *model.optimizer.variables))
        rows.append([f"{side**2:,} weights", copied / MIB, taken - began, put - taken, 7e9 / side**2 * copied / 1e9])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variables", type=int, nargs="*", default=[20, 200, 1000])
    parser.add_argument("--weights", type=int, nargs="*", default=[1_000_000, 25_000_000])
    parser.add_argument("--steps", type=int, default=10**6, help="of what is looked through row by row")
    options = parser.parse_args()
    columns = ["schedule", "ms to make", "rows of a window", "MiB", "ms to fill", "us a batch", "MiB meanwhile"]
    report("large: the table", [*columns, "us a batch on PyTorch"], table_rows())
    columns = ["what is scheduled", "ms to the first of 10", "steps", "ms to the first of them", "s more for 1e9"]
    report("large: looked through before a fit", columns, look_rows(options.steps))
    columns = ["model", "plain: s to the first batch", "scheduled", "a group for each layer"]
    report("large: the trace", columns, trace_rows(options.variables))
    columns = ["model", "MiB copied", "s to copy", "s to put back", "GB for 7e9 weights"]
    report("large: the finder's copy", columns, copy_rows(options.weights))


if __name__ == "__main__":
    main()
