"""The rate, or the range of rates, that the inflection points of a search's curve suggest."""

from itertools import zip_longest
from typing import Any

import numpy as np

from keras_sched.arguments import check_choice, names_checked
from keras_sched.errors import NoSuggestion, check_whole, needing, shown, wrong_type
from keras_sched.freezing import is_frozen
from keras_sched.plot import plot_extrema
from keras_sched.suggest import Curve, checked_curve, extrema, falling_gradient

NAME = "find_optimal_lr"
ROWS = 50
RANKS = ("first choice", "second choice", "third choice")

Extrema = dict[str, np.ndarray]


@names_checked
def find_optimal_lr(
    result: Any, model: Any = None, *, noise: int = 3, show_df: str | None = None, show_min_values: bool = False
) -> float | tuple[float, float]:
    """Suggest a rate, or for a model that is not frozen a range, from the inflection points of a search.

    Plots the loss and its gradient over the rate, each on its own axis, with their minima marked, and prints the three
    rightmost minima of each, if there are so many. Look at the plot: do not train at a minimum that lies in the rise
    on the right.

    Args:
        result: what `lr_find` returned, or an `LRFinder` after its fit: anything with `lrs` and `losses` of shape (N,).
        model: the model that was searched with; frozen or `None`, one rate is suggested.
        noise: a minimum is the lowest of this many points on either side, at least 1; more ignores more bumps.
        show_df: `"head"` or `"tail"` also prints the first or the last 50 rows of the table behind it (with pandas).
        show_min_values: whether the maxima are marked too.

    Returns:
        The rate at the gradient's rightmost minimum; for a model that is not frozen `(low, high)`, the rates at the
        second from the right and at the rightmost.

    Raises:
        NoSuggestion: when the curve has fewer than 4 points, is flat, a straight line, only rises or is not finite;
            and when the model is not frozen, but the gradient has a single minimum.
        ValueError: when `noise` or `show_df` is out of its range.
        ImportError: when `show_df` is given and pandas is not installed.

    Example:
        >>> from types import SimpleNamespace
        >>> from keras_sched import find_optimal_lr
        >>> rates = [10.0 ** power for power in range(-6, 2)]
        >>> search = SimpleNamespace(lrs=rates, losses=[2.4, 2.3, 2.0, 1.5, 1.1, 1.0, 1.8, 4.0])
        >>> find_optimal_lr(search)
                          gradient        loss
        first choice    1.0000e-03  1.0000e-01
        Suggested: 1.0000e-03 (a tenth of the loss' first choice is 1.0000e-02)
        0.001

    After J. Adolfo Villalobos' function of the same name for fastai (2019).
    """
    check_whole("noise", noise, "how many points on either side a minimum must not exceed", 3)
    if show_df is not None:
        check_choice("show_df", show_df, ("head", "tail"))
    if not (hasattr(result, "lrs") and hasattr(result, "losses")):
        expected = "it must be a search, with its `lrs` and `losses`"
        raise wrong_type(f"result={shown(result)}", expected, "Pass what `lr_find(model, x, y)` returns.")
    curve = checked_curve(NAME, result.lrs, result.losses)
    curves = {"loss": curve.losses, "gradient": falling_gradient(NAME, curve, bent=True)}
    found = {name: extrema(values, noise) for name, values in curves.items()}
    minima, maxima = ({name: each[side] for name, each in found.items()} for side in (0, 1))
    _print_table(show_df, curve, curves, minima, maxima)
    plot_extrema(curve.lrs, curves, minima, maxima if show_min_values else None)
    return _choose(curve, curves["gradient"], minima, frozen=model is None or is_frozen(model))


def _print_table(show_df: str | None, curve: Curve, curves: Extrema, minima: Extrema, maxima: Extrema) -> None:
    if show_df is None:
        return
    with needing("pandas"):
        import pandas as pd
    table = pd.DataFrame({"loss": curves["loss"], "loss_grad": curves["gradient"], "lrs": curve.lrs})
    for short, name in (("loss", "loss"), ("grad", "gradient")):
        for kind, at in (("min", minima[name]), ("max", maxima[name])):
            table[f"{kind}_{short}"] = pd.Series(curves[name][at], index=at)
    _say((table.head(ROWS) if show_df == "head" else table.tail(ROWS)).to_string())


def _choose(curve: Curve, gradient: np.ndarray, minima: Extrema, *, frozen: bool) -> float | tuple[float, float]:
    by_gradient, by_loss = (curve.lrs[minima[name][::-1][:3]].tolist() for name in ("gradient", "loss"))
    _say(f"{'':14}{'gradient':>12}{'loss':>12}")
    for rank, rates in zip(RANKS, zip_longest(by_gradient, by_loss), strict=False):
        _say(f"{rank:14}" + "".join(f"{'' if rate is None else format(rate, '.4e'):>12}" for rate in rates))
    if gradient[minima["gradient"][-1]] >= 0:
        _say("The loss already rises at the gradient's first choice: look at the plot, and rather take another.")
    if frozen:
        _say(f"Suggested: {by_gradient[0]:.4e} (a tenth of the loss' first choice is {by_loss[0] / 10:.4e})")
        return by_gradient[0]
    if len(by_gradient) == 1:
        reason = f"the gradient has a single minimum, at {by_gradient[0]:.4e}, and a range needs two"
        raise NoSuggestion(f"`{NAME}` suggests nothing: {reason}. Call it without `model`, or with a smaller `noise`.")
    _say(f"Suggested: {by_gradient[1]:.4e} to {by_gradient[0]:.4e}")
    return by_gradient[1], by_gradient[0]


def _say(line: str) -> None:
    print(line)  # noqa: T201 - the table is what this function is called for
