"""A search's curve as suggestions see it: which points, checked, and the words for a curve that has no answer."""

from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_sched.errors import NoSuggestion

Point = tuple[float, float]
Suggestion = tuple[float, Point]

BETA = 0.98
"""Of the smoothing of a search's losses; fastai's."""

LEAST_POINTS = 4
"""The fewest points of which a descent can be cut into thirds."""

UNSEEN = 5
"""Points at the end of a search that suggestions do not see."""

ROUNDING = 4 * float(np.finfo(np.float32).eps)  # losses come from float32 steps: less than this of them is no change


class Curve(NamedTuple):
    """A curve that has been checked: two float64 arrays of one length, the rates positive and increasing."""

    lrs: np.ndarray
    losses: np.ndarray

    def at(self, index: int) -> Point:
        """The point at `index`, as Python floats."""
        return float(self.lrs[index]), float(self.losses[index])


def points_seen(lrs: Any, losses: Any, num_it: int) -> tuple[Any, Any]:
    """The part of a search of `num_it` batches that suggestions see: all but its first tenth and last five points.

    The first losses are little more than noise, and the last ones belong to the divergence. The same cut as fastai's.
    """
    seen = slice(num_it // 10, -UNSEEN)
    return lrs[seen], losses[seen]


LONGER = "Search over more batches: `lr_find(..., num_it=300)`."
LOWER = "Search from a lower rate (`start_lr`); if it rises there too, look for a fault in the model or its loss."
HIGHER = "Search up to a higher rate (`end_lr`), and check that the model has weights to train."
STEADIER = "Search several times for a steadier curve (`repeats=3`), or ask `halfway`."
FINITE = "Search up to a lower rate (`end_lr`), or with `stop_div=True`."
PAIRS = "Pass the rates of a search, above 0 and increasing, and one loss for each."


def checked_curve(where: str, lrs: Any, losses: Any, *, least: int = LEAST_POINTS) -> Curve:
    """Return the curve as float64 arrays; `NoSuggestion` with the reason where `where` can find nothing in it."""
    rates, values = _numbers(where, "lrs", lrs), _numbers(where, "losses", losses)
    if rates.shape != values.shape:
        refuse(where, f"there are {len(rates)} rates and {len(values)} losses", PAIRS)
    if len(rates) < least:
        refuse(where, f"the curve has {len(rates)} points, and at least {least} are needed", LONGER)
    if not (np.isfinite(rates).all() and (rates > 0).all() and (np.diff(rates) > 0).all()):
        refuse(where, "the rates are not all finite, above 0 and increasing", PAIRS)
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
        refuse(where, f"the loss is not finite{place}", FINITE)
    if height <= 2 * ROUNDING * np.abs(losses).max():
        refuse(where, "the loss is flat", HIGHER)
    if (np.diff(losses) >= 0).all():
        refuse(where, "the loss only rises", LOWER)


def _numbers(where: str, name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: PyTorch's, of a tensor with a gradient
        raise NoSuggestion(
            f"`{where}` suggests nothing: `{name}` cannot be read as numbers ({error}). {PAIRS}"
        ) from error
    if array.ndim != 1:
        refuse(where, f"`{name}` has the shape {array.shape}, and a curve has one number a point", PAIRS)
    return array


def refuse(where: str, reason: str, cure: str) -> NoReturn:
    """Raise `NoSuggestion`: what suggests nothing, why, and what to do."""
    raise NoSuggestion(f"`{where}` suggests nothing: {reason}. {cure}")
