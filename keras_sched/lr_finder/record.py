"""What a search measures: the losses and their smoothing, the rule that ends it, and its record."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keras_sched.suggest import BETA, LEAST_POINTS, points_seen

Array = NDArray[np.float64]

WORST = 4.0  # times the best smoothed loss, as in fastai

# Why a search ended.
ALL_RUN = "num_it"
DIVERGED = "diverged"
NOT_FINITE = "not finite"
DATA_ENDED = "data ended"
INTERRUPTED = "interrupted"

# Each as a sentence, and what to do where it has left too few points.
_SAID = {
    ALL_RUN: ("all {num_it} batches were run", "Search over more batches: `num_it` is 100 by default."),
    DIVERGED: (
        "the smoothed loss exceeded four times its best after {points} of {num_it} batches",
        "Where the loss is noisy, pass larger batches, `validation_data=` or `stop_div=False`; else lower `start_lr`.",
    ),
    NOT_FINITE: (
        "the loss of batch {points} was not finite (or its gradients, at any loss scale), and is dropped",
        "Look for the reason in the data and the loss, or search from a lower rate (`start_lr`).",
    ),
    DATA_ENDED: (
        "the fit ended, or had no more data, after {points} of {num_it} batches",
        "Pass data that has more batches.",
    ),
    INTERRUPTED: ("an error, or a key, interrupted it after {points} of {num_it} batches", "Search again."),
}


class Recorder:
    """Takes the losses of one search, batch by batch, and says when it is over: after `num_it` at the latest."""

    def __init__(self, num_it: int, *, stop_div: bool) -> None:
        self.num_it = num_it
        self.stop_div = stop_div
        self.raw: list[float] = []
        self.smoothed: list[float] = []
        self.stopped: str | None = None
        self._mean = 0.0
        self._best = math.inf

    def add(self, loss: float) -> None:
        """Take the next batch's loss; one that is not finite ends the search, and is dropped."""
        if not math.isfinite(loss):
            self.stopped = NOT_FINITE
            return
        self.raw.append(loss)
        self._mean = BETA * self._mean + (1 - BETA) * loss
        smoothed = self._mean / (1 - BETA ** len(self.raw))
        self.smoothed.append(smoothed)
        self._best = min(self._best, smoothed)
        if self.stop_div and smoothed > self._limit():
            self.stopped = DIVERGED
        elif len(self.raw) == self.num_it:
            self.stopped = ALL_RUN

    def _limit(self) -> float:
        # For a best loss below 0, four times it would be lower: so the same distance from it, upwards.
        return self._best + (WORST - 1) * abs(self._best)

    def curve(self) -> "SearchLosses":
        """What was taken so far."""
        return SearchLosses(np.array(self.smoothed), np.array(self.raw), self.stopped or INTERRUPTED)


@dataclass(frozen=True, eq=False)
class SearchLosses:
    """The losses of one search, smoothed and raw, each of shape (N,), and why it ended."""

    losses: Array
    raw_losses: Array
    stopped: str


@dataclass(frozen=True, eq=False)
class Record(SearchLosses):
    """What one search found, or several from the same weights, whose losses are then the medians.

    `lrs` are the rates of the last parameter group, where there are several; `num_it` the batches it was to take.
    """

    lrs: Array
    num_it: int
    curves: tuple[SearchLosses, ...]

    @classmethod
    def of(cls, curves: Sequence[SearchLosses], rates: Callable[[Array], Array], num_it: int) -> "Record":
        """The record of some searches; `rates` gives the rate at a position of the search."""
        losses = _median([curve.losses for curve in curves])
        raw_losses = _median([curve.raw_losses for curve in curves])[: len(losses)]
        lrs = rates(np.arange(len(losses)) / num_it)
        stopped = Counter(curve.stopped for curve in curves).most_common(1)[0][0]
        return cls(losses, raw_losses, stopped, lrs, num_it, tuple(curves))

    @property
    def band(self) -> tuple[Array, Array] | None:
        """The lowest and the highest loss of several searches at each batch; `None` for one search."""
        if len(self.curves) == 1:
            return None
        table = _table([curve.losses for curve in self.curves])[:, : len(self.losses)]
        return table.min(axis=0), np.where(np.isfinite(table), table, -np.inf).max(axis=0)

    @property
    def diverged(self) -> tuple[float, float] | None:
        """The point (rate, loss) at which it diverged."""
        if self.stopped != DIVERGED or not len(self.lrs):
            return None
        return float(self.lrs[-1]), float(self.losses[-1])

    @property
    def why(self) -> str:
        """Why it ended, in a sentence."""
        said = _SAID[self.stopped][0].format(points=len(self.losses), num_it=self.num_it)
        alike = sum(curve.stopped == self.stopped for curve in self.curves)
        return said if len(self.curves) == 1 else f"{alike} of {len(self.curves)} searches: {said}"

    @property
    def too_short(self) -> str | None:
        """Why there are too few points to suggest anything from, and what to do; `None` where there are enough."""
        seen = len(points_seen(self.lrs, self.losses, self.num_it)[0])
        if seen >= LEAST_POINTS:
            return None
        return (
            f"{self.why}, so the curve is too short: without its first tenth and its last five points {seen} of "
            f"{len(self.lrs)} are left, and {LEAST_POINTS} are needed. {_SAID[self.stopped][1]}"
        )


def _median(losses: Sequence[Array]) -> Array:
    """The median loss at each batch that most of the searches reached; a search that has ended counts as infinite."""
    table = _table(losses)
    with np.errstate(invalid="ignore"):
        median = np.median(table, axis=0) if table.size else np.zeros(0)
    return median[np.isfinite(median)]


def _table(losses: Sequence[Array]) -> Array:
    longest = max(len(each) for each in losses)
    return np.stack([np.concatenate([each, np.full(longest - len(each), np.inf)]) for each in losses])
