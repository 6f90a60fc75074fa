"""What every annealer is: a frozen value, called with a number, an array or a tensor of positions."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias, TypeVar

import keras
import numpy as np

from keras_sched.arguments import call_checked, check_rate
from keras_sched.errors import NoCallback, shown, speaking_as, wrong_type, wrong_value

Ends: TypeAlias = float | Sequence[float] | np.ndarray

_NONE: Any = object()

Kind = TypeVar("Kind", bound="Annealer")


def registered(kind: type[Kind]) -> type[Kind]:
    """Make models that hold such an annealer load, and name the argument that was meant."""
    return keras.saving.register_keras_serializable(package="keras_sched")(call_checked(kind))


# `weakref_slot`, as jit and tf.function hold a weak reference to what they compile.
@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class Annealer(NoCallback, ABC):
    """A value at each position of training: call it with positions from 0 (the first batch) to 1 (the end).

    A frozen value: it compares, hashes, pickles, has a `repr` that evaluates, and goes to JSON by
    `keras.saving.serialize_keras_object`. Positions outside [0, 1] are clamped. A NaN position is an error, but
    inside a tensor it gives NaN. If an argument has one number per parameter group, the values have one more axis, the
    last, with one value per group.

    Args of a call:
        pos: a Python or NumPy number gives a `float`, computed in float64. An array of shape `S` gives a float64 array
            of shape `S`. A backend tensor, also a traced one, gives a tensor of its dtype, or of Keras' `floatx` if
            that is not a float.
    """

    @property
    def groups(self) -> int | None:
        """How many parameter groups have their own value; `None` if all share one."""
        return None

    @abstractmethod
    def on_array(self, pos: np.ndarray) -> np.ndarray:
        """The values at float64 positions that lie in [0, 1]."""

    @abstractmethod
    def on_tensor(self, pos: Any) -> Any:
        """The values at a tensor of positions, float32 or finer, that lie in [0, 1]."""

    def in_steps(self, steps: int) -> Callable[[Any], Any]:
        """A function from a tensor of whole steps, 0 to `steps`, to a tensor of their values, in `floatx` or finer."""

        def on_step(step: Any) -> Any:
            done: Any = keras.ops.cast(step, computing_dtype(keras.config.floatx()))
            return self.on_tensor(done / steps)

        return on_step

    def __call__(self, pos: Any = _NONE, *others: Any) -> Any:
        """The value at one position, or the values at many."""
        if others:  # a `TypeError` would make Keras' `LearningRateScheduler` call it with the epoch alone
            cure = "Pass `ParamScheduler({'lr': ...})` in the place of Keras' `LearningRateScheduler`."
            raise wrong_value(f"{1 + len(others)} arguments", "an annealer takes one, the position from 0 to 1", cure)
        if keras.ops.is_tensor(pos) or isinstance(pos, keras.Variable):
            return self._from_tensor(keras.ops.convert_to_tensor(pos))
        with speaking_as(type(self).__name__):
            if pos is _NONE:
                # An optimizer that was made with an annealer for its learning rate calls it so.
                cure = f"As the rate of an optimizer pass `AnnealedSchedule({type(self).__name__}(...), steps=...)`."
                raise wrong_type("no position", "an annealer is called with a position, from 0 to 1", cure)
            positions = _positions(pos)
        values = self.on_array(positions)
        return float(values) if values.ndim == 0 and not isinstance(pos, np.ndarray) else values

    def _from_tensor(self, pos: Any) -> Any:
        dtype = keras.backend.standardize_dtype(pos.dtype)
        dtype = dtype if "float" in dtype else keras.config.floatx()
        pos = keras.ops.clip(keras.ops.cast(pos, computing_dtype(dtype)), 0.0, 1.0)
        return keras.ops.cast(self.on_tensor(pos), dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this annealer, as Keras' serialisation wants them."""
        return self._arguments()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Annealer:
        """The annealer that `get_config` describes."""
        held = {name: value for name, value in config.items() if isinstance(value, dict)}
        return cls(**config | {name: keras.saving.deserialize_keras_object(value) for name, value in held.items()})

    def _arguments(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self._arguments().values())


@dataclass(frozen=True, slots=True, repr=False)
class Between(Annealer):
    """An annealer from a start to an end."""

    start: Ends
    end: Ends

    def __post_init__(self) -> None:
        with speaking_as(type(self).__name__):
            for name in ("start", "end"):
                object.__setattr__(self, name, checked_ends(name, getattr(self, name)))
            common_groups(start=self.start, end=self.end)
            self._settle()

    def _settle(self) -> None:
        """What else an annealer checks."""

    @property
    def groups(self) -> int | None:
        """How many parameter groups have their own value; `None` if all share one."""
        return common_groups(start=self.start, end=self.end)


def computing_dtype(dtype: str) -> str:
    """The dtype to compute in: half precision has too few digits for a position."""
    return dtype if dtype in {"float32", "float64"} else "float32"


def _positions(pos: Any) -> np.ndarray:
    array = np.asarray(float(pos)) if isinstance(pos, numbers.Real) else _as_array(pos)
    if array.dtype.kind not in "iuf":
        raise wrong_type(f"pos={shown(pos)}", "a position is a number from 0 to 1", "Pass for example `0.5`.")
    if np.isnan(array).any():
        cure = "Pass i/n for batch i of n, with n above 0."
        raise wrong_value(f"pos={shown(pos)}", "a position is a number from 0 to 1, and this is NaN", cure)
    return np.clip(array.astype("float64"), 0.0, 1.0)


def checked_ends(name: str, value: Any) -> float | tuple[float, ...]:
    """`value` as a float, or as one float per parameter group; raise unless all are finite numbers."""
    check_rate(name, value)
    if isinstance(value, slice):
        expected = "an annealer or a recipe does not know how many parameter groups there are"
        cure = f"Pass one number per group, for example `{name}=[1e-4, 1e-3]`; a callback or helper takes the slice."
        raise wrong_type(f"{name}={shown(value)}", expected, cure)
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    array = np.asarray(float(value)) if is_real else _as_array(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1 or not array.size:
        expected = "it must be a number, or a list with one number per parameter group"
        raise wrong_type(f"{name}={shown(value)}", expected, f"Pass for example `{name}=0.1`.")
    if not np.isfinite(array).all():
        expected = "it is a value to train with, and must be a finite number"
        raise wrong_value(f"{name}={shown(value)}", expected, f"Pass for example `{name}=0.1`.")
    listed = array.astype("float64").tolist()
    return tuple(listed) if array.ndim else listed


def _as_array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # a ragged list, or a tensor on a device
        return np.asarray(None)


def checked_rates(name: str, rates: Any, *, zero: bool = False) -> np.ndarray:
    """Learning rates as a float64 array, () or (G,); raise unless they are above 0, or with `zero` at least 0."""
    if rates is None:
        expected = "a recipe needs a learning rate, and `lr_find` may have found none"
        raise wrong_type(f"{name}=None", expected, f"Pass `{name}=1e-3`, or a callback: it takes the compiled rate.")
    checked = np.asarray(checked_ends(name, rates))
    if (checked < 0).any() or (not zero and (checked == 0).any()):
        expected = f"it must be a learning rate {'of at least' if zero else 'above'} 0, or one per parameter group"
        raise wrong_value(f"{name}={shown(rates)}", expected, f"Pass for example `{name}=1e-3`.")
    return checked


def common_groups(**values: Any) -> int | None:
    """How many groups these arguments have; raise if two of them differ."""
    lengths = {
        name: len(value)
        for name, value in values.items()
        if isinstance(value, tuple) or (isinstance(value, np.ndarray) and value.ndim)
    }
    if len(set(lengths.values())) > 1:
        received = ", ".join(f"{name}={shown(values[name])}" for name in lengths)
        cure = f"Pass {max(lengths.values())} numbers in each, or a single number for all groups."
        raise wrong_value(received, "lists have one number per parameter group, so all are of one length", cure)
    return next(iter(lengths.values()), None)
