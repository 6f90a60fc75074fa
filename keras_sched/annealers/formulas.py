"""The annealers that are one formula between two values."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_sched.annealers.base import Between, Ends, registered
from keras_sched.errors import check_positive, shown, wrong_value


@dataclass(frozen=True, slots=True, repr=False)
class Formula(Between):
    """A formula between two ends, written once for NumPy and for `keras.ops`."""

    @abstractmethod
    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        """The formula; `ops` is `numpy` or `keras.ops`, and everything broadcasts."""

    def _constants(self) -> tuple[Any, ...]:
        return self.start, self.end

    def on_array(self, pos: np.ndarray) -> np.ndarray:
        """The values at float64 positions that lie in [0, 1]."""
        constants = tuple(np.asarray(each, "float64") for each in self._constants())
        return np.asarray(self._between(np, pos if self.groups is None else pos[..., None], constants))

    def on_tensor(self, pos: Any) -> Any:
        """The values at a tensor of positions, float32 or finer, that lie in [0, 1]."""
        constants = tuple(keras.ops.convert_to_tensor(each, dtype=pos.dtype) for each in self._constants())
        return self._between(keras.ops, pos if self.groups is None else keras.ops.expand_dims(pos, -1), constants)


def mix(ops: Any, start: Any, end: Any, share: Any, rest: Any) -> Any:
    """`start` at `share` 0 and `end` at `share` 1, both exact; `rest` is 1 minus `share`."""
    return ops.where(share < 0.5, start + share * (end - start), end + rest * (start - end))


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedLin(Formula):
    """A straight line from `start` to `end`.

    Args:
        start, end: the values at positions 0 and 1; each a number, or one per parameter group.

    Example:
        >>> from keras_sched import SchedLin
        >>> SchedLin(0, 2)(0.25)
        0.5

    The formula is that of fastai's `SchedLin`.
    """

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        return mix(ops, start, end, pos, 1 - pos)


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedCos(Formula):
    """Half a cosine from `start` to `end`: slow, fast in the middle, slow.

    Args:
        start, end: the values at positions 0 and 1; each a number, or one per parameter group.

    Example:
        >>> from keras_sched import SchedCos
        >>> SchedCos(0.1, 0)([0, 0.5, 1]).round(6).tolist()
        [0.1, 0.05, 0.0]

    From Loshchilov and Hutter, "SGDR" (2016); the formula is that of fastai's `SchedCos`.
    """

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        # A squared sine, counted from the nearer end: there `1 - cos` would lose its digits in float32.
        share = ops.square(ops.sin(0.5 * math.pi * ops.where(pos < 0.5, pos, 1 - pos)))
        return ops.where(pos < 0.5, start + share * (end - start), end + share * (start - end))


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedNo(Formula):
    """`start` at every position; it takes an `end` as the other annealers do.

    Args:
        start, end: the value, and one that is not used; each a number, or one per parameter group.

    Example:
        >>> from keras_sched import SchedNo
        >>> SchedNo(0.9, 0.1)(0.7)
        0.9

    The formula is that of fastai's `SchedNo`.
    """

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        return start + 0 * pos + 0 * end


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedExp(Formula):
    """From `start` to `end` by the same factor each step: a straight line on a logarithmic axis.

    Args:
        start, end: the values at positions 0 and 1, of the same sign; each a number, or one per parameter group.

    Raises:
        ValueError: when an end is zero, or when they differ in sign.

    Example:
        >>> from keras_sched import SchedExp
        >>> round(SchedExp(1e-3, 1e-1)(0.5), 9)
        0.01

    The formula is that of fastai's `SchedExp`.
    """

    def _settle(self) -> None:
        _check_signs(self)

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        first, last = (ops.sqrt(ops.abs(each)) for each in constants)  # roots, as the ratio itself can overflow
        twice = 2 * ops.where(pos < 0.5, pos, 1 - pos)  # from the nearer end, so that both ends are exact
        return ops.where(pos < 0.5, start * ops.power(last / first, twice), end * ops.power(first / last, twice))


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedPoly(Formula):
    """From `start` to `end` as `pos ** power`: late with a power above 1, early below.

    Args:
        start, end: the values at positions 0 and 1; each a number, or one per parameter group.
        power: the exponent, above 0.

    Raises:
        ValueError: when `power` is not a finite number above 0.

    Example:
        >>> from keras_sched import SchedPoly
        >>> SchedPoly(0, 1, 2)(0.5)
        0.25

    The formula is that of fastai's `SchedPoly`.
    """

    power: float

    def _settle(self) -> None:
        check_positive("power", self.power, "the exponent of the position", "2")
        object.__setattr__(self, "power", float(self.power))

    def _constants(self) -> tuple[Any, ...]:
        return self.start, self.end, self.power

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end, power = constants
        share = ops.power(pos, power)
        return mix(ops, start, end, share, 1 - share)


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedInvSqrt(Formula):
    """`start / sqrt(1 + c * pos)`, with `c` such that position 1 has `end`.

    Args:
        start, end: the values at positions 0 and 1, of the same sign; each a number, or one per parameter group.

    Raises:
        ValueError: when an end is zero, or when they differ in sign.

    Example:
        >>> from keras_sched import SchedInvSqrt
        >>> round(SchedInvSqrt(1, 0.5)(1 / 3), 9)  # c = 3
        0.707106781

    The decay of Vaswani et al., "Attention Is All You Need" (2017).
    """

    def _settle(self) -> None:
        _check_signs(self)

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        # 1 + c * pos is a mean of 1 and (start/end)²; counted from the nearer end, so that both ends are exact.
        from_start = start / ops.sqrt((1 - pos) + pos * ops.square(start / end))
        from_end = end / ops.sqrt(pos + (1 - pos) * ops.square(end / start))
        return ops.where(pos < 0.5, from_start, from_end)


@registered
@dataclass(frozen=True, slots=True, repr=False)
class SchedOneMinusSqrt(Formula):
    """`end + (start - end) * (1 - sqrt(pos))`: steep at first, then gentle.

    Args:
        start, end: the values at positions 0 and 1; each a number, or one per parameter group.

    Example:
        >>> from keras_sched import SchedOneMinusSqrt
        >>> SchedOneMinusSqrt(1, 0)(0.25)
        0.5

    The decay of Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (2024).
    """

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end = constants
        root = ops.sqrt(pos)
        return mix(ops, start, end, root, (1 - pos) / (1 + root))


def _check_signs(annealer: Formula) -> None:
    if not (np.sign(annealer.start) * np.sign(annealer.end) > 0).all():
        received = f"start={shown(annealer.start)}, end={shown(annealer.end)}"
        cure = "Pass a small number in the place of 0, for example 1e-6, or use `SchedCos`, which reaches zero."
        raise wrong_value(received, f"{type(annealer).__name__} needs both ends non-zero and of one sign", cure)


def sched_lin(start: Ends, end: Ends, pos: Any) -> Any:
    """The value of `SchedLin(start, end)` at `pos`, which is a number, an array or a tensor.

    Example:
        >>> from keras_sched import sched_lin
        >>> sched_lin(0, 2, 0.25)
        0.5
    """
    return SchedLin(start, end)(pos)


def sched_cos(start: Ends, end: Ends, pos: Any) -> Any:
    """The value of `SchedCos(start, end)` at `pos`, which is a number, an array or a tensor.

    Example:
        >>> from keras_sched import sched_cos
        >>> round(sched_cos(0, 2, 0.5), 9)
        1.0
    """
    return SchedCos(start, end)(pos)


def sched_no(start: Ends, end: Ends, pos: Any) -> Any:
    """The value of `SchedNo(start, end)` at `pos`, which is a number, an array or a tensor.

    Example:
        >>> from keras_sched import sched_no
        >>> sched_no(0.9, 0.1, 0.7)
        0.9
    """
    return SchedNo(start, end)(pos)


def sched_exp(start: Ends, end: Ends, pos: Any) -> Any:
    """The value of `SchedExp(start, end)` at `pos`, which is a number, an array or a tensor.

    Example:
        >>> from keras_sched import sched_exp
        >>> round(sched_exp(1e-3, 1e-1, 0.5), 9)
        0.01
    """
    return SchedExp(start, end)(pos)
