"""What `sweep` finds: its rates around `found.lr`, trained in rounds from the weights that the search began with."""

from typing import Any

import numpy as np

from benchmarks.regret.regrets import DEFAULT_RATES, WORST, Search, searches_of
from benchmarks.regret.rules import by_default
from benchmarks.regret.tasks import EPOCHS
from keras_sched import NoSuggestion
from keras_sched.sweeps.plan import FINALISTS, bracket, rates_around, rounds_of
from keras_sched.sweeps.watch import WORST as DIVERGED

ROUNDS = 3
"""As by default."""


def candidates(search: Search) -> list[float]:
    """The rates that are tried."""
    try:
        return rates_around(by_default(search))
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
    worst = WORST * measured["untrained"]
    for seed, search in enumerate(measured["searches"]):
        rows = {str(epochs): np.minimum(losses[seed], worst) for epochs, losses in found.items()}
        search["trained"] = {epochs: [float(f"{loss:.5g}") for loss in row] for epochs, row in rows.items()}


def swept(search: Search, epochs: int) -> tuple[float, int]:
    """The rate that a sweep finds, and how many epochs it trains in all."""
    rates = candidates(search)
    short, *_, last = rounds_of(len(rates), FINALISTS, ROUNDS, epochs)
    short_losses = search.trained[str(short.epochs)]
    left = [place for place in np.argsort(short_losses) if short_losses[place] < DIVERGED * search.untrained]
    losses = search.trained[str(last.epochs)]
    done: list[int] = []

    def ranked() -> list[int]:
        return sorted(done, key=losses.__getitem__)

    for turn in bracket(list(range(len(rates))), left, ranked):
        done += turn
    return rates[ranked()[0]], len(rates) * short.epochs + len(done) * last.epochs
