"""The rate at which a search is half-way down."""

from typing import Any

import numpy as np

from keras_sched.suggest.curve import BETA, LONGER, Curve, Suggestion, checked_curve, refuse

FEWEST = 20
"""Of fewer points nobody can tell what is noise."""

BELOW_THE_EDGE = 100.0
"""The best rates lie about so many times below the one at which a search diverges."""


def halfway(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate at which the loss is half-way down, from its highest to its lowest.

    Half-way in height: `valley` takes half of the batches. The smoothed loss lags behind, so that the loss itself has
    fallen most of its way by then.

    A search may diverge before a descent can be seen, one that falls further than the loss changes from one batch to
    the next. Then the suggestion is a hundredth of the highest rate seen.

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; its first tenth is not among the losses.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve; and
            when the loss neither falls nor rises further than it changes from one batch to the next.

    Example:
        >>> from keras_sched import halfway
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> halfway(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.001, (0.001, 1.5))

    `benchmarks/regret` tells how it was chosen, and how good it is.
    """
    curve = checked_curve("halfway", lrs, losses)
    lowest = int(curve.losses.argmin())
    highest = curve.losses[: lowest + 1].max()
    change = change_between_batches(curve, num_it)
    if highest - curve.losses[lowest] > change:
        above = curve.losses[:lowest] > (highest + curve.losses[lowest]) / 2
        point = curve.at(int(np.flatnonzero(above)[-1]) + 1)
    elif curve.losses[-1] - highest > change:
        point = curve.at(int(np.abs(np.log(curve.lrs / curve.lrs[-1] * BELOW_THE_EDGE)).argmin()))
    else:
        refuse("halfway", "the loss neither falls nor rises further than it changes from batch to batch", LONGER)
    return point[0], point


def change_between_batches(curve: Curve, num_it: int) -> float:
    """How far the losses of two batches in turn typically lie apart: the smoothing is undone, which is exact.

    It counts as 0 where there are too few points to tell.
    """
    if len(curve.losses) < FEWEST:
        return 0.0
    batches = num_it // 10 + 1 + np.arange(len(curve.losses))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = curve.losses * (1 - BETA**batches)
        return float(np.median(np.abs(np.diff((sums[1:] - BETA * sums[:-1]) / (1 - BETA)))))
