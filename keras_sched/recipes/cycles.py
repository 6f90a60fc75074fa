"""Cycles of the rate: warm restarts, and triangles."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from keras_sched.annealers.base import Annealer, Ends, checked_rates, common_groups
from keras_sched.annealers.formulas import SchedCos, SchedLin
from keras_sched.annealers.phases import combine_scheds, simplest_fraction
from keras_sched.annealers.triangles import MODES, Triangles
from keras_sched.arguments import check_choice, check_share
from keras_sched.errors import check_fraction, check_positive, check_whole, is_whole, shown, wrong_value
from keras_sched.recipes.recipe import recipe


@recipe
def sgdr(
    lr_max: Ends, *, n_cycles: int, cycle_mult: float = 2, cycle_decay: float = 1.0, warmup: float = 0.0
) -> dict[str, Annealer]:
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

    From Loshchilov and Hutter, "SGDR" (2016), with fastai's names.
    """
    check_share("warmup", warmup, "the fraction of each cycle spent rising", "0.1", callback="SGDR")
    return restarts(lr_max, n_cycles, cycle_mult, cycle_decay, lambda _: warmup)


def restarts(
    lr_max: Ends, n_cycles: int, cycle_mult: float, cycle_decay: float, warmup_of: Callable[[float], float]
) -> dict[str, Annealer]:
    """`sgdr`, where `warmup_of` gives a cycle's warmup, a fraction of it, from the cycle's share of training."""
    top, lengths = checked_rates("lr_max", lr_max), sgdr_lengths(n_cycles, cycle_mult)
    check_positive("cycle_decay", cycle_decay, "each cycle's peak against the one before", "0.5")
    shares = [float(length / sum(lengths)) for length in lengths]
    peaks = (top * cycle_decay**k for k in range(len(lengths)))
    cycles = [
        combine_scheds([warmup, 1 - warmup], [SchedLin(0.0, peak), SchedCos(peak, 0.0)])
        for warmup, peak in zip(map(warmup_of, shares), peaks, strict=True)
    ]
    return {"lr": combine_scheds(shares, cycles)}


def sgdr_lengths(n_cycles: int, cycle_mult: float) -> list[Fraction]:
    """Each cycle's length, exact, where the first one's is 1."""
    check_whole("n_cycles", n_cycles, "how many cycles there are", 3)
    check_positive("cycle_mult", cycle_mult, "each cycle's length against the one before", "2")
    factor = simplest_fraction(float(cycle_mult))
    return [factor**k for k in range(n_cycles)]


@recipe
def triangular(
    lr_min: Ends, lr_max: Ends, *, n_cycles: float, mode: str = "triangular", gamma: float = 0.1
) -> dict[str, Annealer]:
    """Straight lines from `lr_min` to `lr_max` and back, again and again.

    Args:
        lr_min: the rate at which each cycle begins and ends, at least 0; a number, or one per parameter group.
        lr_max: each cycle's peak, unless `mode` lowers it, at least `lr_min`; the same.
        n_cycles: how many cycles, above 0. Where it is not whole, the last one is cut off at the end of training:
            4.5 cycles end at a peak.
        mode: `"triangular"`; `"triangular2"` (each cycle half as high as the one before); or `"exp_range"`.
        gamma: for `"exp_range"`, what is left of the height at the end of training, above 0 and at most 1.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> from keras_sched import triangular
        >>> triangular(0, 1, n_cycles=2, mode="triangular2")["lr"]([0, 0.25, 0.5, 0.75, 1]).tolist()
        [0.0, 1.0, 0.0, 0.5, 0.0]

    From Smith, "Cyclical Learning Rates for Training Neural Networks" (2015).
    """
    low, top = checked_rates("lr_min", lr_min, zero=True), checked_rates("lr_max", lr_max)
    common_groups(lr_min=low, lr_max=top)
    check_positive("n_cycles", n_cycles, "how many cycles there are", "4.5")
    check_choice("mode", mode, MODES)
    for check in (check_fraction, check_positive):
        check("gamma", gamma, "what is left of the height at the end of training", "0.1")
    if (low > top).any():
        received = f"lr_min={shown(lr_min)}, lr_max={shown(lr_max)}"
        raise wrong_value(received, "`lr_min` is at most `lr_max`", "Pass the lower rate first.")
    return {"lr": Triangles(low, top, n_cycles if is_whole(n_cycles) else float(n_cycles), mode, gamma)}
