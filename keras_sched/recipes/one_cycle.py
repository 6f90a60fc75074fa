"""One cycle of the rate over the whole of training, and its sibling that stays flat before it falls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_sched.annealers.base import Annealer, Ends, checked_rates
from keras_sched.annealers.formulas import SchedCos, SchedNo
from keras_sched.annealers.phases import combine_scheds, combined_cos
from keras_sched.errors import advise, check_fraction, check_positive, is_number, shown, wrong_value
from keras_sched.recipes.recipe import recipe

DEFAULT_MOMS = (0.95, 0.85, 0.95)  # compared with `is`: a user who passes the same numbers means them
_RISE = "the fraction of training spent rising"


@recipe
def one_cycle(
    lr_max: Ends,
    *,
    div: float = 25.0,
    div_final: float = 1e5,
    pct_start: float = 0.25,
    moms: Sequence[float] | None = DEFAULT_MOMS,
    three_phase: bool = False,
) -> dict[str, Annealer]:
    """One cycle: the rate rises to `lr_max` and falls to nearly nothing, the momentum does the opposite.

    Args:
        lr_max: the highest learning rate, above 0; a number, or one per parameter group.
        div: `lr_max / div` is the rate at the start.
        div_final: `lr_max / div_final` is the rate at the end.
        pct_start: the fraction of training spent rising, from 0 to 1 (to 0.5 with three phases).
        moms: momentum at the start, at the highest rate and at the end, from 0 to below 1; `None` leaves it out.
        three_phase: fall back to `lr_max / div` as fast as it rose, then to the end, with constant momentum.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import one_cycle
        >>> scheds = one_cycle(0.1)
        >>> [round(scheds["lr"](pos), 9) for pos in (0, 0.25, 1)], scheds["mom"](0.25)
        ([0.004, 0.1, 1e-06], 0.85)

    From Smith and Topin, "Super-Convergence" (2017), with fastai's cosines; three phases as PyTorch's `OneCycleLR`.
    """
    top = checked_rates("lr_max", lr_max)
    _check_div("div", div, "what `lr_max` is divided by at the start", "25")
    _check_div("div_final", div_final, "what `lr_max` is divided by at the end", "1e5")
    check_fraction("pct_start", pct_start, _RISE)
    three_moms = None if moms is None else _moms(moms)
    if three_phase:
        return _three_phases(top, (div, div_final), pct_start, three_moms)
    scheds: dict[str, Annealer] = {"lr": combined_cos(pct_start, top / div, top, top / div_final)}
    return scheds if three_moms is None else scheds | {"mom": combined_cos(pct_start, *three_moms)}


def _three_phases(
    top: np.ndarray, divs: tuple[float, float], pct: float, moms: list[float] | None
) -> dict[str, Annealer]:
    if pct > 0.5:
        expected = f"with `three_phase=True` it is {_RISE}; falling takes as long, so it must be at most 0.5"
        raise wrong_value(f"pct_start={pct!r}", expected, "Pass for example `pct_start=0.3`.")
    low, end = (top / div for div in divs)
    pcts = [pct, pct, 1 - 2 * pct]
    scheds: dict[str, Annealer] = {
        "lr": combine_scheds(pcts, [SchedCos(low, top), SchedCos(top, low), SchedCos(low, end)])
    }
    if moms is not None:
        first, middle, last = moms
        scheds["mom"] = combine_scheds(pcts, [SchedCos(first, middle), SchedCos(middle, last), SchedNo(last, last)])
    return scheds


@recipe
def flat_cos(lr: Ends, *, div_final: float = 1e5, pct_start: float = 0.75) -> dict[str, Annealer]:
    """A constant rate, then half a cosine down to nearly nothing.

    Args:
        lr: the constant learning rate, above 0; a number, or one per parameter group.
        div_final: `lr / div_final` is the rate at the end.
        pct_start: the fraction of training at the constant rate, from 0 to 1.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import flat_cos
        >>> [round(flat_cos(0.1)["lr"](pos), 9) for pos in (0, 0.75, 1)]
        [0.1, 0.1, 1e-06]

    After fastai's `fit_flat_cos`.
    """
    flat = checked_rates("lr", lr)
    _check_div("div_final", div_final, "what `lr` is divided by at the end", "1e5")
    check_fraction("pct_start", pct_start, "the fraction of training at the constant rate", "0.75")
    return {"lr": combine_scheds([pct_start, 1 - pct_start], [SchedNo(flat, flat), SchedCos(flat, flat / div_final)])}


def _check_div(name: str, div: Any, meaning: str, example: str) -> None:
    check_positive(name, div, meaning, example)
    if div < 1:
        advise(f"{name}={div!r}", f"it is {meaning}: below 1 it makes that rate the highest", "Pass one above 1.")


def _moms(moms: Any) -> list[float]:
    listed = list(moms) if isinstance(moms, Sequence | np.ndarray) else []
    if len(listed) == 3 and all(is_number(each) and 0 <= each < 1 for each in listed):
        return [float(each) for each in listed]
    expected = "they are the momentum at the start, at the highest rate and at the end, each at least 0 and below 1"
    cure = "Pass for example `moms=(0.95, 0.85, 0.95)`, or `moms=None` to leave momentum alone."
    raise wrong_value(f"moms={shown(moms)}", expected, cure)
