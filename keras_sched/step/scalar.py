"""A scheduled value of a layer or a loss in a compiled step: a traced scalar that behaves as a Python number does."""

import numbers
import operator
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_sched.errors import wrong_state
from keras_sched.step.proxy import Proxy


class Scalar(Proxy):
    """A scheduled value as a Python number is: it takes the other's type, and answers how it compares with 0 and 1.

    Args:
        value: a scalar tensor.
        complement: 1 - value, subtracted in float64.
        nominal: a number that compares with 0 and 1 as the value does; `None` where that is not known.
        asked: called when the answer to a question depends on `nominal`.
    """

    __slots__ = ("asked",)
    __hash__ = None

    def __init__(self, value: Any, complement: Any, nominal: Any = None, asked: Any = None) -> None:
        super().__init__(value, complement, nominal)
        self.asked = asked

    def _with(self, call: Callable[..., Any], other: Any, *, swapped: bool = False) -> Any:
        number = isinstance(other, int | float)
        other = other.value if isinstance(other, Proxy) else other
        kind = "float32" if number else keras.backend.standardize_dtype(getattr(other, "dtype", "float32"))
        mine = ops.cast(self.value, kind) if kind != "float32" and keras.backend.is_float_dtype(kind) else self.value
        made = call(other, mine) if swapped else call(mine, other)
        return _number(made) if number else made

    def __add__(self, other: Any) -> Any:
        return self._with(operator.add, other)

    def __radd__(self, other: Any) -> Any:
        return self._with(operator.add, other, swapped=True)

    def __sub__(self, other: Any) -> Any:
        return self._with(operator.sub, other)

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, int | float) and other == 1:
            return _number(self.complement)
        return self._with(operator.sub, other, swapped=True)

    def __mul__(self, other: Any) -> Any:
        return self._with(operator.mul, other)

    def __rmul__(self, other: Any) -> Any:
        return self._with(operator.mul, other, swapped=True)

    def __truediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(operator.truediv, other, swapped=True)

    def __pow__(self, other: Any) -> Any:
        return self._with(operator.pow, other)

    def __rpow__(self, other: Any) -> Any:
        return self._with(operator.pow, other, swapped=True)

    def __neg__(self) -> Any:
        return _number(-self.value)

    def _ask(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented
        if not isinstance(other, int | float):
            return self._with(compare, other)
        if self.nominal is None or other not in (0, 1):
            found = f"a scheduled value that the compiled step compares with {other} in Python"
            expected = "the answer would stay the same for all batches"
            cure = "Compile the model with `run_eagerly=True`, or leave this value out of the schedule."
            raise wrong_state(found, expected, cure)
        self.asked()
        return compare(self.nominal, other)

    def __bool__(self) -> bool:
        return self._ask(operator.ne, 0)

    def __eq__(self, other: object) -> Any:
        return self._ask(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        return self._ask(operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._ask(operator.lt, other)

    def __le__(self, other: Any) -> Any:
        return self._ask(operator.le, other)

    def __gt__(self, other: Any) -> Any:
        return self._ask(operator.gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._ask(operator.ge, other)


numbers.Real.register(Scalar)  # TensorFlow's dropout takes a tensor of its input's type only, or else a number


def _number(value: Any) -> Any:
    """A tensor that takes the other's type in arithmetic: on JAX the tensor itself does, and its functions want it."""
    return value if getattr(value, "weak_type", False) else Scalar(value, 1 - value)
