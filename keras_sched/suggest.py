"""From a search's curve (rates, losses) to a learning rate.

Each suggestion is `f(lrs, losses, num_it, **settings) -> (lr, (x, y))`: the rate, and the point of the curve to mark.
They are called on the points that `points_seen` leaves of a search, and raise nothing but `NoSuggestion` for a curve.
"""

# ruff: noqa: ARG001 - all suggestions are called alike, and these have no use for `num_it`

import bisect
from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_sched.errors import NoSuggestion, check_not_negative, check_positive, check_whole, speaking_as

Point = tuple[float, float]
Suggestion = tuple[float, Point]

LEAST_POINTS = 4
"""The fewest points of which a descent can be cut into thirds."""

_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # losses come from float32 steps: less than this of them is no change


class Curve(NamedTuple):
    """A curve that has been checked: two float64 arrays of one length, the rates positive and increasing."""

    lrs: np.ndarray
    losses: np.ndarray

    def at(self, index: int) -> Point:
        """The point at `index`, as Python floats."""
        return float(self.lrs[index]), float(self.losses[index])


def points_seen(lrs: Any, losses: Any, num_it: int) -> tuple[Any, Any]:
    """Return the part of a search that suggestions see: all but its first tenth and its last five points.

    The first losses are little more than noise, and the last ones belong to the divergence. The same cut as fastai's.

    Args:
        lrs: the rates, one per batch.
        losses: the losses, one per batch.
        num_it: the number of batches that the search was asked for (it may have stopped before).
    """
    seen = slice(num_it // 10, -5)
    return lrs[seen], losses[seen]


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
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.
        lr_diff: the length of the interval in points, at least 1.
        thresh: two slopes, in loss a point, no further apart than this are alike; 0 or more.
        adjust_value: the rate found is multiplied by this, above 0.

    Returns:
        `(lr, (lr, loss))`: the rate times `adjust_value`, and the point there, interpolated on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than `lr_diff + 1` points, is flat, only rises, is not finite, or is no
            curve.
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
        _check_slide(lr_diff, thresh, adjust_value)
    curve = checked_curve("slide", lrs, losses, least=max(LEAST_POINTS, lr_diff + 1))
    slopes = np.gradient(curve.losses)
    alike = np.flatnonzero(np.abs(slopes[lr_diff:] - slopes[:-lr_diff]) <= thresh)  # intervals, by their left point
    rightmost = len(slopes) - 1 - lr_diff
    left = min(rightmost, alike[-1] + 1) if len(alike) else 0
    lr = float(curve.lrs[left]) * adjust_value
    loss = float(np.interp(np.log10(lr), np.log10(curve.lrs), curve.losses))
    return lr, (lr, loss)


def _check_slide(lr_diff: int, thresh: float, adjust_value: float) -> None:
    check_whole("lr_diff", lr_diff, "the length of the interval in points", 15)
    check_positive("adjust_value", adjust_value, "what the rate is multiplied by", "0.5")
    check_not_negative("thresh", thresh, "how far apart two slopes that count as alike may be", "0.005")


def minimum(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest a tenth of the rate with the lowest loss, and mark the lowest loss itself.

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.

    Returns:
        `(lr, (10 * lr, loss))`: the rate, and the lowest point of the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve.

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
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve.

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
    point = curve.at(int(slopes.argmin()))
    return point[0], point


def min_grad(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate where the gradient of the loss, over both neighbours, is the most negative.

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve.

    Example:
        >>> from keras_sched import min_grad
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> min_grad(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.001, (0.001, 1.5))

    From fastai (version 1).
    """
    curve = checked_curve("min_grad", lrs, losses)
    point = curve.at(int(falling_gradient("min_grad", curve).argmin()))
    return point[0], point


def inflection(lrs: Any, losses: Any, num_it: int, noise: int = 3) -> Suggestion:
    """Suggest the rate at the rightmost minimum of the gradient: the last place where the descent was steepest.

    The boldest of the suggestions. Look at the plot: where the loss is still noisy after it has begun to rise, the
    rightmost minimum may lie in the rise.

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; not used here.
        noise: a minimum is the lowest of this many points on either side, at least 1; more ignores more bumps.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, a straight line, only rises, is not finite, or
            is no curve.
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
    point = curve.at(int(minima[-1]))
    return point[0], point


def extrema(values: np.ndarray, noise: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the minima and of the maxima: no point within `noise` of one is lower (higher)."""
    from scipy.signal import argrelextrema  # takes half a second to import, and few need it

    minima, maxima = (argrelextrema(values, compare, order=noise)[0] for compare in (np.less_equal, np.greater_equal))
    return minima, maxima


def falling_gradient(where: str, curve: Curve, *, bent: bool = False) -> np.ndarray:
    """Return the gradient of the loss, a point; `NoSuggestion` where it is nowhere negative, or (`bent`) the same."""
    gradient = np.gradient(curve.losses)
    if gradient.min() >= 0:
        _refuse(where, "the loss only rises", _LOWER)
    if bent and np.ptp(gradient) <= _ROUNDING * np.abs(curve.losses).max():
        _refuse(where, "the loss falls in a straight line, so its gradient has no minimum", _HIGHER)
    return gradient


_LONGER = "Search over more batches (`num_it`)."
_LOWER = "Search from a lower rate (`start_lr`); if it rises there too, look for a fault in the model or its loss."
_HIGHER = "Search up to a higher rate (`end_lr`), and check that the model has weights to train."
_FINITE = "Search up to a lower rate (`end_lr`), or with `stop_div=True`."
_PAIRS = "Pass the rates of a search, above 0 and increasing, and one loss for each."


def checked_curve(where: str, lrs: Any, losses: Any, *, least: int = LEAST_POINTS) -> Curve:
    """Return the curve as float64 arrays; `NoSuggestion` with the reason where `where` can find nothing in it."""
    rates, values = _numbers(where, "lrs", lrs), _numbers(where, "losses", losses)
    if rates.shape != values.shape:
        _refuse(where, f"there are {len(rates)} rates and {len(values)} losses", _PAIRS)
    if len(rates) < least:
        _refuse(where, f"the curve has {len(rates)} points, and at least {least} are needed", _LONGER)
    if not (np.isfinite(rates).all() and (rates > 0).all() and (np.diff(rates) > 0).all()):
        _refuse(where, "the rates are not all finite, above 0 and increasing", _PAIRS)
    _check_losses(where, values)
    return Curve(rates, values)


def _check_losses(where: str, losses: np.ndarray) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        height = 2 * np.ptp(losses)  # as far apart as two slopes can be
    if not np.isfinite(height):
        odd = np.flatnonzero(~np.isfinite(losses))
        place = (
            f"; the first that is not is at point {odd[0]}" if len(odd) else ", for it spans more than a float64 holds"
        )
        _refuse(where, f"the loss is not finite{place}", _FINITE)
    if height <= 2 * _ROUNDING * np.abs(losses).max():
        _refuse(where, "the loss is flat", _HIGHER)
    if (np.diff(losses) >= 0).all():
        _refuse(where, "the loss only rises", _LOWER)


def _numbers(where: str, name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: PyTorch's, of a tensor with a gradient
        raise NoSuggestion(
            f"`{where}` suggests nothing: `{name}` cannot be read as numbers ({error}). {_PAIRS}"
        ) from error
    if array.ndim != 1:
        _refuse(where, f"`{name}` has the shape {array.shape}, and a curve has one number a point", _PAIRS)
    return array


def _refuse(where: str, reason: str, cure: str) -> NoReturn:
    raise NoSuggestion(f"`{where}` suggests nothing: {reason}. {cure}")
