"""A linear rise from 0, and then one of four ways down."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from keras_sched.annealers.base import Annealer, Ends, checked_rates, common_groups
from keras_sched.annealers.formulas import SchedCos, SchedInvSqrt, SchedLin, SchedNo, SchedOneMinusSqrt
from keras_sched.annealers.phases import combine_scheds
from keras_sched.arguments import check_share
from keras_sched.errors import advise, shown, speaker, wrong_type, wrong_value
from keras_sched.recipes.recipe import recipe


@recipe
def warmup_stable_decay(
    lr_max: Ends,
    *,
    warmup: float = 0.05,
    decay: float = 0.2,
    lr_final: float = 0.0,
    shape: Callable[[Any, Any], Annealer] = SchedOneMinusSqrt,
) -> dict[str, Annealer]:
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
    check_share("decay", decay, "the fraction of training spent decaying", "0.2")
    if warmup + decay > 1 + 1e-9:
        received = f"warmup={warmup!r}, decay={decay!r}"
        raise wrong_value(received, "together they are at most 1", f"Pass for example `decay={1 - warmup:g}`.")
    pcts = [warmup, max(0.0, 1 - warmup - decay), decay]
    return {"lr": combine_scheds(pcts, [SchedLin(0.0, top), SchedNo(top, top), _shaped(shape, top, last)])}


def _shaped(shape: Any, start: np.ndarray, end: np.ndarray) -> Annealer:
    received, cure = f"shape={shown(shape)}", "Pass for example `shape=SchedCos`, or `partial(SchedPoly, power=2)`."
    try:
        signature(shape).bind(start, end)
    except (TypeError, ValueError) as error:  # no callable, or one of other arguments
        raise wrong_type(received, "it makes an annealer of a start and an end", cure) from error
    try:
        made = None if isinstance(shape, Annealer) else shape(start, end)
    except Exception as error:
        error.add_note(f"... while `{speaker()}` made its decay from {start.tolist()} to {end.tolist()} with `shape`")
        raise
    if not isinstance(made, Annealer):
        raise wrong_type(received, f"it makes an annealer, and made {shown(made)}", cure)
    return made


@recipe
def warmup_cosine(lr_max: Ends, *, warmup: float = 0.05, lr_final: float = 0.0) -> dict[str, Annealer]:
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

    From Goyal et al., "Accurate, Large Minibatch SGD" (2017), and Loshchilov and Hutter, "SGDR" (2016).
    """
    top, last = _warmup(lr_max, warmup, lr_final)
    return {"lr": combine_scheds([warmup, 1 - warmup], [SchedLin(0.0, top), SchedCos(top, last)])}


@recipe
def warmup_linear(lr_max: Ends, *, warmup: float = 0.05, lr_final: float = 0.0) -> dict[str, Annealer]:
    """A linear rise from 0, then a linear fall.

    Arguments and errors as for `warmup_cosine`.

    Example:
        >>> from keras_sched import warmup_linear
        >>> warmup_linear(0.1, warmup=0.5)["lr"]([0, 0.25, 0.5, 0.75, 1]).tolist()
        [0.0, 0.05, 0.1, 0.05, 0.0]

    From Defazio et al., "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement" (2023).
    """
    top, last = _warmup(lr_max, warmup, lr_final)
    return {"lr": combine_scheds([warmup, 1 - warmup], [SchedLin(0.0, top), SchedLin(top, last)])}


@recipe
def inverse_sqrt(lr_max: Ends, *, warmup: float = 0.05, lr_final: float) -> dict[str, Annealer]:
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


def _warmup(lr_max: Any, warmup: Any, lr_final: Any, *, zero: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The highest and the last rate of a recipe that begins with a warmup."""
    check_share("warmup", warmup, "the fraction of training spent rising", "0.05")
    top, last = checked_rates("lr_max", lr_max), checked_rates("lr_final", lr_final, zero=zero)
    common_groups(lr_max=top, lr_final=last)
    if (last > top).any():
        advise(f"lr_final={shown(lr_final)}, lr_max={shown(lr_max)}", "the rate rises at the end", "Pass a lower one.")
    return top, last
