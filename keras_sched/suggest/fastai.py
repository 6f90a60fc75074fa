"""The suggestions that fastai has, or had, or that were written for it."""

# ruff: noqa: ARG001 - all suggestions are called alike, and these have no use for `num_it`

import bisect
from typing import Any

import numpy as np

from keras_sched.errors import check_not_negative, check_positive, check_whole, speaking_as
from keras_sched.suggest.curve import (
    HIGHER,
    LEAST_POINTS,
    LOWER,
    ROUNDING,
    STEADIER,
    Curve,
    Suggestion,
    checked_curve,
    refuse,
)


def valley(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate half-way down the longest descent of the loss: a safe choice for most searches.

    The longest descent is the longest strictly decreasing subsequence of the losses, found in O(n log n).

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve.

    Example:
        >>> from keras_sched import valley
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> valley(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.0001, (0.0001, 2.0))

    From fastai, where ESRI's learning-rate finder brought it.
    """
    curve = checked_curve("valley", lrs, losses)
    lengths = _descent_lengths(curve.losses)
    length = max(lengths)
    start = lengths.index(length) - length
    # fastai's start is one before the descent, so -1 for one that begins at the first point: an index of -1, which
    # a descent of two points reaches, is the last rate of all, where the search diverged.
    point = curve.at(max(0, start + length // 3 + length // 6))
    return point[0], point


def _descent_lengths(losses: np.ndarray) -> list[int]:
    """For each point the length of the longest strictly decreasing subsequence that ends there (patience sorting)."""
    piles: list[float] = []  # pile k: minus the highest loss that ends a descent of k + 1 points
    lengths = []
    for value in (-losses).tolist():
        pile = bisect.bisect_left(piles, value)
        piles[pile : pile + 1] = [value]
        lengths.append(pile + 1)
    return lengths


def slide(
    lrs: Any, losses: Any, num_it: int, lr_diff: int = 15, thresh: float = 0.005, adjust_value: float = 1.0
) -> Suggestion:
    """Suggest the rate where an interval, slid left from the end, first finds the slope alike at both its ends.

    Args:
        lrs, losses, num_it: a search's rates, its losses, and its length in batches, as for `valley`.
        lr_diff: the length of the interval in points, at least 1.
        thresh: two slopes, in loss a point, no further apart than this are alike; 0 or more.
        adjust_value: the rate found is multiplied by this, above 0.

    Returns:
        `(lr, (lr, loss))`: the rate times `adjust_value`, and the point there, interpolated on the curve.

    Raises:
        NoSuggestion: as for `valley`, and when the curve has fewer than `lr_diff + 1` points.
        ValueError: when a setting is out of its range.

    Example:
        >>> from keras_sched import slide
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> lr, point = slide(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8, lr_diff=2, thresh=0.5)
        >>> print(f"{lr:g}")
        0.001

    From fastai, after the interval slide rule of A. Mahajan, "A learning rate finder" (2020).
    """
    with speaking_as("slide"):
        check_whole("lr_diff", lr_diff, "the length of the interval in points", 15)
        check_positive("adjust_value", adjust_value, "what the rate is multiplied by", "0.5")
        check_not_negative("thresh", thresh, "how far apart two slopes that count as alike may be", "0.005")
    curve = checked_curve("slide", lrs, losses, least=max(LEAST_POINTS, lr_diff + 1))
    slopes = np.gradient(curve.losses)
    alike = np.flatnonzero(np.abs(slopes[lr_diff:] - slopes[:-lr_diff]) <= thresh)  # intervals, by their left point
    rightmost = len(slopes) - 1 - lr_diff
    left = min(rightmost, alike[-1] + 1) if len(alike) else 0
    lr = float(curve.lrs[left]) * adjust_value
    loss = float(np.interp(np.log10(lr), np.log10(curve.lrs), curve.losses))
    return lr, (lr, loss)


def minimum(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest a tenth of the rate with the lowest loss, and mark the lowest loss itself.

    Args:
        lrs, losses, num_it: a search's rates, its losses, and its length in batches, as for `valley`.

    Returns:
        `(lr, (10 * lr, loss))`: the rate, and the lowest point of the curve.

    Raises:
        NoSuggestion: as for `valley`.

    Example:
        >>> from keras_sched import minimum
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> minimum(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.01, (0.1, 1.0))

    From fastai.
    """
    curve = checked_curve("minimum", lrs, losses)
    lowest = curve.at(int(curve.losses.argmin()))
    return lowest[0] / 10, lowest


def steep(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate where the loss falls fastest from one point to the next, per factor of the rate.

    Args:
        lrs, losses, num_it: a search's rates, its losses, and its length in batches, as for `valley`.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: as for `valley`, and when the rate lies on a bump, and not on the descent.

    Example:
        >>> from keras_sched import steep
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> steep(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.0001, (0.0001, 2.0))

    From fastai (version 2).
    """
    curve = checked_curve("steep", lrs, losses)
    # log1p, for the logarithms of two neighbouring floats may be equal; rates from 1e-320 on overflow to no slope
    with np.errstate(over="ignore"):
        slopes = np.diff(curve.losses) / np.log1p(np.diff(curve.lrs) / curve.lrs[:-1])
    return _on_descent("steep", curve, int(slopes.argmin()), least=1 / 6)


def min_grad(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate where the gradient of the loss, over both neighbours, is the most negative.

    Arguments, result and errors as for `steep`.

    Example:
        >>> from keras_sched import min_grad
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> min_grad(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.001, (0.001, 1.5))

    From fastai (version 1).
    """
    curve = checked_curve("min_grad", lrs, losses)
    return _on_descent("min_grad", curve, int(falling_gradient("min_grad", curve).argmin()), least=1 / 3)


def inflection(lrs: Any, losses: Any, num_it: int, noise: int = 3) -> Suggestion:
    """Suggest the rate at the rightmost minimum of the gradient: the last place where the descent was steepest.

    The boldest of the suggestions.

    Args:
        lrs, losses, num_it: a search's rates, its losses, and its length in batches, as for `valley`.
        noise: a minimum is the lowest of this many points on either side, at least 1; more ignores more bumps.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: as for `valley`, and when the loss falls in a straight line, or the rate lies on a bump or in the
            rise, and not on the descent.
        ValueError: when `noise` is not a whole number of at least 1.

    Example:
        >>> from keras_sched import inflection
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> inflection(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.001, (0.001, 1.5))

    After J. Adolfo Villalobos' `find_optimal_lr` for fastai (2019).
    """
    with speaking_as("inflection"):
        check_whole("noise", noise, "how many points on either side a minimum must not exceed", 3)
    curve = checked_curve("inflection", lrs, losses)
    minima, _ = extrema(falling_gradient("inflection", curve, bent=True), noise)
    return _on_descent("inflection", curve, int(minima[-1]), least=1 / 3)


def _on_descent(where: str, curve: Curve, index: int, *, least: float) -> Suggestion:
    """The point at `index` and its rate; `NoSuggestion` where it lies on no descent but on a bump.

    The unbroken fall that the point is part of must make `least` of the whole, from the highest loss to the lowest.
    It makes more than half of it where there is a descent, and rarely a third in noise; but a third would refuse some
    of the curves on which `steep` has to answer what fastai does.
    """
    losses, lowest = curve.losses, int(curve.losses.argmin())
    if index > lowest:
        refuse(where, f"its point, at {curve.lrs[index]:.1e}, lies past the lowest loss, in the rise", STEADIER)
    first = last = index
    while first > 0 and losses[first - 1] > losses[first]:
        first -= 1
    while last < lowest and losses[last + 1] < losses[last]:
        last += 1
    whole = losses[: lowest + 1].max() - losses[lowest]
    if losses[first] - losses[last] < least * whole:
        reason = f"its point, at {curve.lrs[index]:.1e}, lies on a bump, and not on the descent of the loss"
        refuse(where, reason, STEADIER)
    point = curve.at(index)
    return point[0], point


def extrema(values: np.ndarray, noise: int) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the minima and of the maxima: no point within `noise` of one is lower (higher)."""
    from scipy.signal import argrelextrema  # takes half a second to import, and few need it

    minima, maxima = (argrelextrema(values, compare, order=noise)[0] for compare in (np.less_equal, np.greater_equal))
    return minima, maxima


def falling_gradient(where: str, curve: Curve, *, bent: bool = False) -> np.ndarray:
    """The gradient of the loss, a point; `NoSuggestion` where it is nowhere negative, or (`bent`) the same."""
    gradient = np.gradient(curve.losses)
    if gradient.min() >= 0:
        refuse(where, "the loss only rises", LOWER)
    if bent and np.ptp(gradient) <= ROUNDING * np.abs(curve.losses).max():
        refuse(where, "the loss falls in a straight line, so its gradient has no minimum", HIGHER)
    return gradient
