"""Recipes: well-known schedules, each as {hyper-parameter: annealer}."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from keras_sched.annealers.base import Annealer, checked_rates, common_groups
from keras_sched.annealers.formulas import SchedCos, SchedInvSqrt, SchedLin, SchedNo, SchedOneMinusSqrt
from keras_sched.annealers.phases import combine_scheds, combined_cos, simplest_fraction
from keras_sched.annealers.triangles import MODES, Triangles
from keras_sched.errors import (
    check_choice,
    check_fraction,
    check_positive,
    check_whole,
    is_number,
    shown,
    speaker,
    speaking_as,
    wrong_type,
    wrong_value,
)

Rates: TypeAlias = float | Sequence[float] | np.ndarray
Recipe: TypeAlias = dict[str, Annealer]

DEFAULT_MOMS = (0.95, 0.85, 0.95)  # compared with `is`: a user who passes the same numbers means them
_RISE = "the fraction of training spent rising"


@speaking_as("one_cycle")
def one_cycle(
    lr_max: Rates,
    *,
    div: float = 25.0,
    div_final: float = 1e5,
    pct_start: float = 0.25,
    moms: Sequence[float] | None = DEFAULT_MOMS,
    three_phase: bool = False,
) -> Recipe:
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

    From Smith and Topin, "Super-Convergence" (2018), with fastai's cosines; three phases as PyTorch's `OneCycleLR`.
    """
    top = checked_rates("lr_max", lr_max)
    check_positive("div", div, "what `lr_max` is divided by at the start", "25")
    check_positive("div_final", div_final, "what `lr_max` is divided by at the end", "1e5")
    check_fraction("pct_start", pct_start, _RISE)
    three_moms = None if moms is None else _moms(moms)
    if three_phase:
        return _three_phases(top, (div, div_final), pct_start, three_moms)
    scheds: Recipe = {"lr": combined_cos(pct_start, top / div, top, top / div_final)}
    return scheds if three_moms is None else scheds | {"mom": combined_cos(pct_start, *three_moms)}


def _three_phases(top: np.ndarray, divs: tuple[float, float], pct: float, moms: list[float] | None) -> Recipe:
    if pct > 0.5:
        expected = f"with `three_phase=True` it is {_RISE}, and falling takes as long, so at most 0.5"
        raise wrong_value(f"pct_start={pct!r}", expected, "Pass for example `pct_start=0.3`.")
    low, end = (top / div for div in divs)
    pcts = [pct, pct, 1 - 2 * pct]
    scheds: Recipe = {"lr": combine_scheds(pcts, [SchedCos(low, top), SchedCos(top, low), SchedCos(low, end)])}
    if moms is not None:
        first, middle, last = moms
        scheds["mom"] = combine_scheds(pcts, [SchedCos(first, middle), SchedCos(middle, last), SchedNo(last, last)])
    return scheds


@speaking_as("flat_cos")
def flat_cos(lr: Rates, *, div_final: float = 1e5, pct_start: float = 0.75) -> Recipe:
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
    check_positive("div_final", div_final, "what `lr` is divided by at the end", "1e5")
    check_fraction("pct_start", pct_start, "the fraction of training at the constant rate", "0.75")
    return {"lr": combine_scheds([pct_start, 1 - pct_start], [SchedNo(flat, flat), SchedCos(flat, flat / div_final)])}


@speaking_as("sgdr")
def sgdr(
    lr_max: Rates, *, n_cycles: int, cycle_mult: float = 2, cycle_decay: float = 1.0, warmup: float = 0.0
) -> Recipe:
    """Cosines from `lr_max` to 0, one after the other, each longer than the one before: warm restarts.

    Args:
        lr_max: the rate at which the first cycle begins, above 0; a number, or one per parameter group.
        n_cycles: how many cycles, at least 1.
        cycle_mult: each cycle's length against the one before, above 0.
        cycle_decay: each cycle's peak against the one before, above 0.
        warmup: the fraction of each cycle that rises linearly from 0, from 0 to 1.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import sgdr
        >>> sgdr(0.1, n_cycles=2, cycle_decay=0.5)["lr"]([0, 1 / 3, 1]).tolist()
        [0.1, 0.05, 0.0]

    From Loshchilov and Hutter, "SGDR" (2017), with fastai's names.
    """
    top = checked_rates("lr_max", lr_max)
    lengths = sgdr_lengths(n_cycles, cycle_mult)
    check_positive("cycle_decay", cycle_decay, "each cycle's peak against the one before", "0.5")
    check_fraction("warmup", warmup, "the fraction of each cycle spent rising", "0.1")
    pcts = [float(length / sum(lengths)) for length in lengths]
    cycles = [[SchedLin(0.0, peak), SchedCos(peak, 0.0)] for peak in (top * cycle_decay**k for k in range(n_cycles))]
    return {"lr": combine_scheds(pcts, [combine_scheds([warmup, 1 - warmup], each) for each in cycles])}


def sgdr_lengths(n_cycles: int, cycle_mult: float) -> list[Fraction]:
    """Each cycle's length, exact, where the first one's is 1."""
    check_whole("n_cycles", n_cycles, "how many cycles there are", 3)
    check_positive("cycle_mult", cycle_mult, "each cycle's length against the one before", "2")
    factor = simplest_fraction(float(cycle_mult))
    return [factor**k for k in range(n_cycles)]


@speaking_as("warmup_stable_decay")
def warmup_stable_decay(
    lr_max: Rates,
    *,
    warmup: float = 0.05,
    decay: float = 0.2,
    lr_final: float = 0.0,
    shape: Callable[[Any, Any], Annealer] = SchedOneMinusSqrt,
) -> Recipe:
    """A linear rise from 0, a constant rate, then a decay.

    Args:
        lr_max: the constant learning rate, above 0; a number, or one per parameter group.
        warmup: the fraction of training spent rising, from 0 to 1.
        decay: the fraction of training spent decaying, from 0 to `1 - warmup`.
        lr_final: the rate at the end, at least 0.
        shape: the class of the decay's annealer, or for example `functools.partial(SchedPoly, power=2)`.

    Raises:
        ValueError: when an argument is out of its range, or `warmup` and `decay` are longer than training.
        TypeError: when `shape` does not make an annealer.

    Example:
        >>> from keras_sched import warmup_stable_decay
        >>> warmup_stable_decay(0.1)["lr"]([0, 0.05, 0.8, 0.85, 1]).round(9).tolist()
        [0.0, 0.1, 0.1, 0.05, 0.0]

    From Hu et al., "MiniCPM" (2024); the shape from Hägele et al. (2024), see `SchedOneMinusSqrt`.
    """
    top, last = _warmup(lr_max, warmup, lr_final)
    check_fraction("decay", decay, "the fraction of training spent decaying", "0.2")
    if warmup + decay > 1 + 1e-9:
        received = f"warmup={warmup!r}, decay={decay!r}"
        raise wrong_value(received, "together they are at most 1", f"Pass for example `decay={1 - warmup:g}`.")
    pcts = [warmup, max(0.0, 1 - warmup - decay), decay]
    return {"lr": combine_scheds(pcts, [SchedLin(0.0, top), SchedNo(top, top), _shaped(shape, top, last)])}


def _shaped(shape: Any, start: np.ndarray, end: np.ndarray) -> Annealer:
    received, cure = f"shape={shown(shape)}", "Pass an annealer's class, for example `shape=SchedCos`."
    if not callable(shape) or isinstance(shape, Annealer):
        raise wrong_type(received, "it makes an annealer of a start and an end", cure)
    try:
        made = shape(start, end)
    except Exception as error:
        error.add_note(f"... while `{speaker()}` made its decay from {start.tolist()} to {end.tolist()} with `shape`")
        raise
    if not isinstance(made, Annealer):
        raise wrong_type(received, f"it makes an annealer, and made {shown(made)}", cure)
    return made


@speaking_as("warmup_cosine")
def warmup_cosine(lr_max: Rates, *, warmup: float = 0.05, lr_final: float = 0.0) -> Recipe:
    """A linear rise from 0, then half a cosine down.

    Args:
        lr_max: the highest learning rate, above 0; a number, or one per parameter group.
        warmup: the fraction of training spent rising, from 0 to 1.
        lr_final: the rate at the end, at least 0.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import warmup_cosine
        >>> warmup_cosine(0.1)["lr"]([0, 0.05, 1]).tolist()
        [0.0, 0.1, 0.0]

    From Goyal et al., "Accurate, Large Minibatch SGD" (2017), and Loshchilov and Hutter, "SGDR" (2017).
    """
    top, last = _warmup(lr_max, warmup, lr_final)
    return {"lr": combine_scheds([warmup, 1 - warmup], [SchedLin(0.0, top), SchedCos(top, last)])}


@speaking_as("inverse_sqrt")
def inverse_sqrt(lr_max: Rates, *, warmup: float = 0.05, lr_final: float) -> Recipe:
    """A linear rise from 0, then a fall as one over the square root of the position, down to `lr_final`.

    Args:
        lr_max: the highest learning rate, above 0; a number, or one per parameter group.
        warmup: the fraction of training spent rising, from 0 to 1.
        lr_final: the rate at the end, above 0. `lr_max * sqrt(warmup)` is the rule of "Attention Is All You Need".

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import inverse_sqrt
        >>> [round(inverse_sqrt(0.1, warmup=0.25, lr_final=0.05)["lr"](pos), 9) for pos in (0, 0.25, 1)]
        [0.0, 0.1, 0.05]

    From Vaswani et al., "Attention Is All You Need" (2017).
    """
    top, last = _warmup(lr_max, warmup, lr_final, zero=False)
    return {"lr": combine_scheds([warmup, 1 - warmup], [SchedLin(0.0, top), SchedInvSqrt(top, last)])}


@speaking_as("triangular")
def triangular(lr_min: Rates, lr_max: Rates, *, n_cycles: int, mode: str = "triangular", gamma: float = 0.1) -> Recipe:
    """Straight lines from `lr_min` to `lr_max` and back, again and again.

    Args:
        lr_min: the rate at which each cycle begins and ends, at least 0; a number, or one per parameter group.
        lr_max: the first cycle's peak, at least `lr_min`; the same.
        n_cycles: how many cycles, at least 1.
        mode: `"triangular"`; `"triangular2"` (each cycle half as high as the one before); or `"exp_range"`.
        gamma: for `"exp_range"`, what is left of the height at the end of training, above 0 and at most 1.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import triangular
        >>> triangular(0, 1, n_cycles=2, mode="triangular2")["lr"]([0, 0.25, 0.5, 0.75, 1]).tolist()
        [0.0, 1.0, 0.0, 0.5, 0.0]

    From Smith, "Cyclical Learning Rates for Training Neural Networks" (2017).
    """
    low, top = checked_rates("lr_min", lr_min, zero=True), checked_rates("lr_max", lr_max)
    common_groups(lr_min=low, lr_max=top)
    check_whole("n_cycles", n_cycles, "how many cycles there are", 3)
    check_choice("mode", mode, MODES)
    for check in (check_fraction, check_positive):
        check("gamma", gamma, "what is left of the height at the end of training", "0.1")
    if (low > top).any():
        received = f"lr_min={shown(lr_min)}, lr_max={shown(lr_max)}"
        raise wrong_value(received, "`lr_min` is at most `lr_max`", "Pass the lower rate first.")
    return {"lr": Triangles(low, top, n_cycles, mode, gamma)}


def _warmup(lr_max: Any, warmup: Any, lr_final: Any, *, zero: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The highest and the last rate of a recipe that begins with a warmup."""
    check_fraction("warmup", warmup, _RISE, "0.05")
    top, last = checked_rates("lr_max", lr_max), checked_rates("lr_final", lr_final, zero=zero)
    common_groups(lr_max=top, lr_final=last)
    return top, last


def _moms(moms: Any) -> list[float]:
    listed = list(moms) if isinstance(moms, Sequence | np.ndarray) else []
    if len(listed) == 3 and all(is_number(each) and 0 <= each < 1 for each in listed):
        return [float(each) for each in listed]
    expected = "they are the momentum at the start, at the highest rate and at the end, each at least 0 and below 1"
    cure = "Pass for example `moms=(0.95, 0.85, 0.95)`, or `moms=None` to leave momentum alone."
    raise wrong_value(f"moms={shown(moms)}", expected, cure)
