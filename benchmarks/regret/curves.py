"""Everything that is measured of one task with one optimizer: what each rate leads to, and the finder's curves."""

from typing import Any

import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.regret.data import Data
from benchmarks.regret.oracle import Oracle, State
from benchmarks.regret.regrets import NUM_IT, WORST
from benchmarks.regret.sweeps import add_trainings
from benchmarks.regret.tasks import BATCH, EPOCHS, OPTIMIZERS, Task
from keras_sched import lr_find

SEARCHES = 3
"""From the first seeds of the oracle."""

PRETRAINED = {"rate": 3e-3, "epochs": 10}  # with Adam

Measured = dict[str, Any]


def measure(task: Task, optimizer: str, rates: np.ndarray, seeds: int) -> Measured:
    """Train the oracle, and search: a record of plain numbers."""
    data, state = start(task, seeds)
    model = task.model(data, 0)
    oracle = Oracle(task, model, OPTIMIZERS[optimizer](), data)
    untrained = oracle.untrained(state)
    losses = {epochs: np.nan_to_num(oracle.losses(state, rates, epochs)[0], nan=np.inf) for epochs in EPOCHS}
    measured = {
        "task": task.name,
        "optimizer": optimizer,
        "batches": oracle.epoch,
        "untrained": float(f"{untrained:.5g}"),
        "losses": {str(epochs): _short(np.minimum(of, WORST * untrained).mean(1)) for epochs, of in losses.items()},
        "searches": [_search(task, model, optimizer, data, state, seed) for seed in range(SEARCHES)],
    }
    add_trainings(measured, oracle, state)
    return measured


def start(task: Task, seeds: int) -> tuple[Data, State]:
    """The data to train on, and the weights of every seed to begin with."""
    data = task.data()
    if not task.fine_tuned:
        return data, stacked([task.model(data, seed) for seed in range(seeds)])
    half = data.classes // 2
    lower, upper = data.only(0, half), data.only(half, data.classes)
    state, fresh = (stacked([task.model(of, seed) for seed in range(seeds)]) for of in (lower, upper))
    oracle = Oracle(task, task.model(lower, 0), OPTIMIZERS["Adam"](), lower)
    _, (weights, others) = oracle.losses(state, [PRETRAINED["rate"]], PRETRAINED["epochs"])
    return upper, ([*weights[:-2], *fresh[0][-2:]], others)  # the head's kernel and bias are the last two


def stacked(models: list[keras.Model]) -> State:
    """The weights of models alike, each with a leading axis."""

    def of(kind: str) -> list[Any]:
        lists = [[variable.value for variable in getattr(model, kind)] for model in models]
        return [jnp.stack(each) for each in zip(*lists, strict=True)]

    return of("trainable_variables"), of("non_trainable_variables")


def _search(task: Task, model: keras.Model, optimizer: str, data: Data, state: State, seed: int) -> dict[str, Any]:
    for kind, values in zip(("trainable_variables", "non_trainable_variables"), state, strict=True):
        for variable, value in zip(getattr(model, kind), values, strict=True):
            variable.assign(value[seed])
    if seed == 0:
        model.compile(OPTIMIZERS[optimizer](), task.loss)
    keras.utils.set_random_seed(seed)
    plain = {"batch_size": BATCH, "num_it": NUM_IT, "show_plot": False, "verbose": 0, "suggest_funcs": ()}
    found = lr_find(model, data.x, data.y, **plain)
    return {"stopped": found.stopped, "raw_losses": _short(found.raw_losses)}


def _short(numbers: Any) -> list[float]:
    """With five digits: the table is made of these, so that it is the same when it is made again from the file."""
    return [float(f"{number:.5g}") for number in numbers]
