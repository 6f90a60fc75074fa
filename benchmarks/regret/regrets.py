"""How much worse than the best rate's the loss at a suggested rate is."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from keras_sched.annealers import SchedExp
from keras_sched.errors import NoSuggestion
from keras_sched.lr_finder.record import Recorder
from keras_sched.suggest import points_seen

NUM_IT = 100
"""The batches of a search, as by default."""

WORST = 10.0
"""Times the untrained loss: what a loss that is greater, or not finite, counts as."""

FLOOR = 0.02
"""Of the untrained loss: what is less than this counts as nothing."""

DEFAULT_RATES = {"SGD": 0.01, "Adam": 0.001, "AdamW": 0.001}

Rule = Callable[["Search"], float | Sequence[float]]
"""The rate it suggests for a search, or several to be tried; it raises `NoSuggestion` where it knows none."""


@dataclass(frozen=True)
class Cell:
    """One task, optimizer and length: the loss over the rate."""

    task: str
    optimizer: str
    epochs: int
    untrained: float
    rates: np.ndarray
    losses: np.ndarray  # of each rate, the mean over seeds

    @cached_property
    def best(self) -> int:
        """The place of the best rate."""
        return int(self.losses.argmin())

    def loss(self, rate: float) -> float:
        """Between two rates of the grid by their logarithms."""
        if rate > self.rates[-1]:
            return WORST * self.untrained
        floor = FLOOR * self.untrained
        log_losses = np.interp(np.log10(rate), np.log10(self.rates), np.log(self.losses + floor))
        return float(np.exp(log_losses)) - floor

    def regret(self, rate: float) -> float:
        """The loss at a rate over the best; what is below `FLOOR` hardly counts."""
        floor = FLOOR * self.untrained
        return (self.loss(rate) + floor) / (self.losses[self.best] + floor)

    def distance(self, rate: float) -> float:
        """In factors of ten from the best rate; below 0 where it is too low."""
        return float(np.log10(rate / self.rates[self.best]))


@dataclass(frozen=True)
class Search:
    """One curve of the finder, as suggestions see it."""

    task: str
    optimizer: str
    seed: int
    untrained: float
    raw_losses: np.ndarray
    trained: dict[str, list[float]]
    """{epochs: the validation loss of each rate that a sweep tries}."""

    @cached_property
    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """The rates and the smoothed losses, whole."""
        recorder = Recorder(NUM_IT, stop_div=False)
        for loss in self.raw_losses:
            recorder.add(loss)
        rates = np.array([SchedExp(1e-7, 10)(i / NUM_IT) for i in range(len(self.raw_losses))])
        return rates, recorder.curve().losses

    @cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """The part of the curve that suggestions see."""
        return points_seen(*self.curve, NUM_IT)


def cells_of(measured: dict[str, Any], rates: np.ndarray) -> list[Cell]:
    """The cells of one task and optimizer."""
    task, optimizer, untrained = measured["task"], measured["optimizer"], measured["untrained"]
    return [
        Cell(task, optimizer, int(epochs), untrained, rates, np.array(losses))
        for epochs, losses in measured["losses"].items()
    ]


def searches_of(measured: dict[str, Any]) -> list[Search]:
    """The searches of one task and optimizer."""
    shared = measured["task"], measured["optimizer"]
    return [
        Search(*shared, seed, measured["untrained"], np.array(search["raw_losses"]), search.get("trained", {}))
        for seed, search in enumerate(measured["searches"])
    ]


@dataclass
class Told:
    """What became of one rule on some cells."""

    regrets: list[float]
    distances: list[float]
    diverged: list[bool]
    batches: list[int]
    trainings: list[float]
    silent: int = 0

    def row(self) -> list[Any]:
        """For the table."""
        regrets = np.array(self.regrets)
        return [
            float(np.median(regrets)),
            float(np.quantile(regrets, 0.9)),
            float(np.median(self.distances)),
            float(np.mean(np.abs(self.distances))),
            f"{np.mean(regrets > 2):.0%}",
            f"{np.mean(self.diverged):.0%}",
            f"{self.silent / len(regrets):.0%}",
            round(float(np.mean(self.batches))),
            f"{np.mean(self.trainings):.1f}",
        ]


COLUMNS = [
    "rate from",
    "median regret",
    "p90 regret",
    "log10(rate/best)",
    "its mean size",
    "above 2",
    "diverged",
    "no answer",
    "batches",
    "trainings",
]


def tell(
    rule: Rule,
    all_measured: list[dict[str, Any]],
    rates: np.ndarray,
    *,
    searches: bool = True,
    sweeps: Callable[["Search", int], tuple[float, int]] | None = None,
) -> Told:
    """Ask a rule about each search, and look its rate up in the cells of that task and optimizer.

    Of several rates the best counts, and the training of all; `sweeps`, where given, finds another rate for a length by
    training. Where there is no answer, the optimizer's default rate stands in.
    """
    told = Told([], [], [], [], [])
    for measured in all_measured:
        cells = cells_of(measured, rates)
        for search in searches_of(measured):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    suggested = rule(search)
            except NoSuggestion:
                told.silent += len(cells)
                suggested = DEFAULT_RATES[search.optimizer]
            tried = [suggested] if isinstance(suggested, float) else list(suggested)
            for cell in cells:
                rate, epochs = min(tried, key=cell.loss), cell.epochs * len(tried) * (len(tried) > 1)
                if sweeps is not None:
                    rate, epochs = sweeps(search, cell.epochs)
                told.regrets.append(cell.regret(rate))
                told.distances.append(cell.distance(rate))
                told.diverged.append(cell.loss(rate) > cell.untrained)
                told.batches.append(epochs * measured["batches"] + (len(search.raw_losses) if searches else 0))
                told.trainings.append(epochs / cell.epochs)
    return told
