"""How the cost of a scheduled step grows: with variables, parameter groups, hyper-parameters and steps."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from benchmarks.models import BATCH, data_for
from benchmarks.side_by_side import interleaved, median_and_spread, ratios, report
from benchmarks.step_overhead import SecondEpoch
from keras_sched import ParamScheduler, SchedCos, one_cycle

NAMES = ("lr", "beta_1", "beta_2", "epsilon", "weight_decay")
ENDS = {
    "lr": (1e-3, 1e-5),
    "beta_1": (0.9, 0.8),
    "beta_2": (0.99, 0.999),
    "epsilon": (1e-7, 1e-8),
    "weight_decay": (0, 0.1),
}


def network(layers: int) -> keras.Model:
    """So many dense layers, of two variables each."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(16, activation="relu") for _ in range(layers - 1)]
    return keras.Sequential([keras.Input((16,)), *hidden, keras.layers.Dense(1)])


def measure(layers: int, batches: int, hypers: int, groups: int) -> Callable[[], float]:
    """Seconds a step, warm, with so many hyper-parameters (none: plain `fit`) scheduled over so many groups."""
    model = network(layers)
    model.compile(keras.optimizers.AdamW(1e-3), loss="mse")
    x, y = data_for(model, batches)

    def schedules() -> dict[str, Any]:
        scheds: dict[str, Any] = {name: SchedCos(*ENDS[name]) for name in NAMES[:hypers]}
        if groups > 1:
            scheds["lr"] = SchedCos(tuple(1e-3 / 2**g for g in range(groups)), (1e-5,) * groups)
        return scheds

    def seconds_a_step() -> float:
        timer = SecondEpoch()
        ours = [ParamScheduler(schedules())] if hypers else []
        model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[timer, *ours])
        return timer.seconds / batches

    seconds_a_step()
    return seconds_a_step


def table_rows(options: argparse.Namespace) -> list[list[Any]]:
    """A row a size: its ratio to plain `fit` of the same model."""
    rows: list[list[Any]] = []
    sizes = [(f"{2 * layers} variables", layers, 2, 1) for layers in (5, 50, *(() if options.quick else (500,)))]
    sizes += [(f"{groups} groups, 48 variables", 24, 2, groups) for groups in (1, 2, 24)]
    sizes += [(f"{hypers} hyper-parameters, 10 variables", 5, hypers, 1) for hypers in range(1, 6)]
    for name, layers, hypers, groups in sizes:
        measures = {
            "plain": measure(layers, options.batches, 0, 1),
            "scheduled": measure(layers, options.batches, hypers, groups),
        }
        numbers = interleaved(measures, options.rounds)
        plain = 1e3 * median_and_spread(numbers["plain"])[0]
        rows.append([name, plain, *median_and_spread(ratios(numbers, "plain")["scheduled"])])
    return rows


def making_rows() -> list[list[Any]]:
    """What the host makes of a schedule's first window, by its length in steps."""
    rows: list[list[Any]] = []
    for steps in (1_000, 100_000, 10_000_000):
        curve = one_cycle(1e-2)["lr"]
        began = time.perf_counter()
        curve(np.arange(min(steps, 65_536)) / steps)
        rows.append([f"{steps:,} steps: first window", 1e3 * (time.perf_counter() - began), "", "", ""])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--quick", action="store_true", help="without the model of 1,000 variables")
    options = parser.parse_args()
    columns = ["size", "plain ms a step (or ms)", "ratio", "lower quartile", "upper quartile"]
    report("scaling", columns, table_rows(options) + making_rows())


if __name__ == "__main__":
    main()
