"""The rate at which a search is half-way down."""

from typing import Any

import numpy as np

from keras_sched.suggest.curve import BETA, LONGER, Curve, Point, Suggestion, checked_curve, refuse

NUM_IT = 100
"""The length of the searches that the rule was chosen on: how far the smoothed loss lags behind depends on it."""

FEWEST = 20
"""Of fewer points nobody can tell what is noise; they are taken as they are."""

ERRORS = 4.0
"""By so many standard errors the losses before and after half-way must lie apart.

Of searches of 100 batches in which there is nothing but noise, fewer than two in a hundred do.
"""

BELOW_THE_EDGE = 100.0
"""The best rates lie about so many times below the one at which a search diverges."""


def halfway(lrs: Any, losses: Any, num_it: int) -> Suggestion:
    """Suggest the rate at which the loss is half-way down, from its highest to its lowest.

    Half-way in height: `valley` takes half of the batches. The smoothed loss lags behind, so that the loss itself has
    fallen most of its way by then.

    A search may diverge before a descent can be told from noise: the losses before and after that rate must lie four
    standard errors apart. Where they do not, the suggestion is a hundredth of the highest rate seen.

    Args:
        lrs: the rates tried, above 0 and increasing; shape (N,).
        losses: the smoothed loss at each; shape (N,).
        num_it: the number of batches that the search was asked for; its first tenth is not among the losses.

    Returns:
        `(lr, (lr, loss))`: the rate, and its point on the curve.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, only rises, is not finite, or is no curve; and
            when the loss neither falls nor rises by more than its noise.

    Example:
        >>> from keras_sched import halfway
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> halfway(rates, [2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0], 8)
        (0.001, (0.001, 1.5))

    `benchmarks/regret` tells how it was chosen, and how good it is.
    """
    curve = checked_curve("halfway", lrs, losses)
    with np.errstate(over="ignore", invalid="ignore"):  # a loss may be as high as a number can be
        point = _point(curve, num_it)
    return point[0], point


def _point(curve: Curve, num_it: int) -> Point:
    """Half-way down, or below the edge at which the search diverged."""
    enough = len(curve.losses) >= FEWEST
    raw_losses, smoothed = smoothed_anew(curve, num_it) if enough else (curve.losses, curve.losses)
    noise = float(np.median(np.abs(np.diff(raw_losses)))) if enough else 0.0
    lowest = int(smoothed.argmin())
    highest = float(smoothed[: lowest + 1].max())
    above = np.flatnonzero(smoothed[:lowest] > (highest + smoothed[lowest]) / 2)
    half = int(above[-1]) + 1 if len(above) else 0
    falls = half and _lie_apart(raw_losses[:half], raw_losses[half : lowest + 1], noise)
    rises = smoothed[-1] - highest > noise
    if not falls and not rises:
        cure = f"{LONGER.removesuffix('.')}, and where it did not diverge, up to a higher rate (`end_lr`)."
        refuse("halfway", "the loss neither falls nor rises by more than its noise", cure)
    below_the_edge = int(np.abs(np.log(curve.lrs / curve.lrs[-1] * BELOW_THE_EDGE)).argmin())
    return curve.at(half if falls else below_the_edge)


def smoothed_anew(curve: Curve, num_it: int) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the batches, and these smoothed over the share of the search that it is in one of 100 batches.

    The smoothing is undone, which is exact but for the first: it stands for the batches that are not seen.
    """
    counts = num_it // 10 + 1 + np.arange(len(curve.losses))
    beta = BETA ** (NUM_IT / num_it)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = curve.losses * (1 - BETA**counts)
        raw_losses = np.append(curve.losses[:1], (sums[1:] - BETA * sums[:-1]) / (1 - BETA))
        if num_it == NUM_IT:
            return raw_losses, curve.losses
        sums = [raw_losses[0] * (1 - beta ** counts[0])]
        for loss in raw_losses[1:]:
            sums.append(beta * sums[-1] + (1 - beta) * loss)
        return raw_losses, np.array(sums) / (1 - beta**counts)


def _lie_apart(before: np.ndarray, after: np.ndarray, noise: float) -> bool:
    """Whether the mean falls by more than chance would have it; `noise` is the deviation of one loss."""
    return bool(before.mean() - after.mean() > ERRORS * noise * np.sqrt(1 / len(before) + 1 / len(after)))
