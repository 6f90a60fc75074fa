"""What a schedule is worth: the validation loss after as many epochs, each at its own best rate. JAX only.

Each schedule is trained on the tasks of `benchmarks.regret` that a CPU trains fast, with every optimizer and length,
from several seeds at every rate of a grid. The table has the best loss of each over the best of a constant rate at as
many epochs, the geometric mean; and of how many epochs it needs the fewest of `LENGTHS` that reach the constant
rate's best at the longest. Losses are taken with 2% of the untrained one added.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.regret.curves import start
from benchmarks.regret.oracle import Oracle
from benchmarks.regret.regrets import FLOOR, WORST
from benchmarks.regret.tasks import DEVELOPMENT, OPTIMIZERS, TEST, Task
from benchmarks.side_by_side import report
from keras_sched import (
    SchedCos,
    SchedNo,
    flat_cos,
    inverse_sqrt,
    one_cycle,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_linear,
    warmup_stable_decay,
)

LENGTHS = (3, 6, 10, 15, 20, 30)
RATES = 10.0 ** np.arange(-4, 0.76, 0.25)
SEEDS = 3
SLOW = ("ConvNet", "transformer", "GRU", "Dropout")

SCHEDULES: dict[str, Callable[[float], dict[str, Any]]] = {
    "constant": lambda rate: {"lr": SchedNo(rate, rate)},
    "cosine to 0 (Keras' CosineDecay)": lambda rate: {"lr": SchedCos(rate, 0.0)},
    "reduced on plateaus (Keras' ReduceLROnPlateau)": lambda rate: {"lr": SchedNo(rate, rate)},
    "one_cycle": one_cycle,
    "one_cycle without momentum": lambda rate: one_cycle(rate, moms=None),
    "flat_cos": flat_cos,
    "warmup_cosine": warmup_cosine,
    "warmup_linear": warmup_linear,
    "warmup_stable_decay": warmup_stable_decay,
    "inverse_sqrt": lambda rate: inverse_sqrt(rate, lr_final=rate * 0.05**0.5),
    "sgdr, 2 cycles": lambda rate: sgdr(rate, n_cycles=2),
    "triangular, 2 cycles": lambda rate: triangular(rate / 10, rate, n_cycles=2),
}


def best_losses(task: Task, optimizer: str, schedules: list[str]) -> dict[str, np.ndarray]:
    """Of each of these schedules the best loss after each of `LENGTHS`, over the untrained one, with `FLOOR` added."""
    data, state = start(task, SEEDS)
    oracle = Oracle(task, task.model(data, 0), OPTIMIZERS[optimizer](), data)
    untrained = oracle.untrained(state)
    found = {}
    for name in schedules:
        recipe, reducing = _with_momentum(SCHEDULES[name]), name.startswith("reduced")
        losses = [oracle.losses(state, RATES, epochs, recipe, reducing=reducing)[0] for epochs in LENGTHS]
        capped = np.minimum(np.nan_to_num(np.array(losses), nan=np.inf), WORST * untrained)
        found[name] = capped.mean(2).min(1) / untrained + FLOOR
    return found


def _with_momentum(recipe: Callable[[float], dict[str, Any]]) -> Callable[[float], dict[str, Any]]:
    """With the optimizer's own where the recipe has none, so that one compiled loop serves all."""
    return lambda rate: {"mom": SchedNo(0.9, 0.9)} | recipe(rate)


def epochs_needed(losses: np.ndarray, goal: float) -> float:
    """The fewest of `LENGTHS` after which the loss is no worse than `goal`; infinite where none is enough."""
    reached = np.flatnonzero(losses <= goal)
    return float(LENGTHS[reached[0]]) if len(reached) else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, help="only the first so many")
    parser.add_argument("--only", nargs="*", choices=SCHEDULES, metavar="schedule", help="these, beside the constant")
    options = parser.parse_args()
    schedules = ["constant", *options.only] if options.only else list(SCHEDULES)
    tasks = [task for task in DEVELOPMENT + TEST if not any(word in task.name for word in SLOW)][: options.tasks]
    found = []
    for task in tasks:
        found += [best_losses(task, optimizer, schedules) for optimizer in OPTIMIZERS]
        print(task.name, file=sys.stderr, flush=True)
    rows: list[list[Any]] = []
    for name in schedules:
        ratios = np.array([each[name] / each["constant"] for each in found])
        needed = [epochs_needed(each[name], each["constant"][-1]) for each in found]
        means = np.exp(np.log(ratios).mean(0)).tolist()
        rows.append([name, *means, float(np.median(needed)), f"{np.mean(ratios[:, -1] < 1):.0%}"])
    columns = ["schedule", *(f"{epochs} epochs" for epochs in LENGTHS), "epochs needed", f"better after {LENGTHS[-1]}"]
    report("worth", columns, rows, tasks=len(tasks), cells=len(found))


if __name__ == "__main__":
    main()
