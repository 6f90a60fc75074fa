"""What `sweep` finds: its rates around `halfway`, trained in its rounds from the weights that the search began with."""

from typing import Any

import numpy as np

from benchmarks.regret.regrets import DEFAULT_RATES, NUM_IT, Search, searches_of
from benchmarks.regret.tasks import EPOCHS
from keras_sched import NoSuggestion, halfway
from keras_sched.sweeps.plan import rates_around, rounds_of

FINALISTS, ROUNDS = 3, 3
"""As by default."""


def candidates(search: Search) -> list[float]:
    """The rates that are tried."""
    try:
        return rates_around(halfway(*search.seen, NUM_IT)[0])
    except NoSuggestion:
        return rates_around(DEFAULT_RATES[search.optimizer])


def lengths() -> list[int]:
    """Of every round of the sweeps for each of `EPOCHS`."""
    count = len(rates_around(1.0))
    return sorted({each.epochs for epochs in EPOCHS for each in rounds_of(count, FINALISTS, ROUNDS, epochs)})


def add_trainings(measured: dict[str, Any], oracle: Any, state: Any) -> None:
    """Train the candidates of each search for each length; the validation losses go to the searches."""
    searches = searches_of(measured)
    rates = np.array([candidates(search) for search in searches])
    state = tuple([weight[: len(searches)] for weight in part] for part in state)
    found = {epochs: np.nan_to_num(oracle.tried(state, rates, epochs), nan=np.inf) for epochs in lengths()}
    worst = 10 * measured["untrained"]
    for seed, search in enumerate(measured["searches"]):
        rows = {str(epochs): np.minimum(losses[seed], worst) for epochs, losses in found.items()}
        search["trained"] = {epochs: [float(f"{loss:.5g}") for loss in row] for epochs, row in rows.items()}


def swept(search: Search, epochs: int) -> tuple[float, int]:
    """The rate that a sweep finds, and how many epochs it trains in all."""
    rates, trained = candidates(search), 0
    left = list(range(len(rates)))
    for planned in rounds_of(len(rates), FINALISTS, ROUNDS, epochs):
        left = left[: planned.candidates]
        trained += planned.candidates * planned.epochs
        losses = search.trained[str(planned.epochs)]
        left.sort(key=lambda place: losses[place])
    return rates[left[0]], trained
