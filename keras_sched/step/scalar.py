"""A scheduled value of a layer or a loss in a compiled step: a traced scalar that behaves as a Python number does."""

import numbers
import operator
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_sched.errors import wrong_state
from keras_sched.step.proxy import Proxy, refuse_to_answer


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
        number = isinstance(other, int | float | Scalar)
        other = other.value if isinstance(other, Proxy) else other
        kind = "float32" if number else keras.backend.standardize_dtype(getattr(other, "dtype", "float32"))
        mine = ops.cast(self.value, kind) if kind != "float32" and keras.backend.is_float_dtype(kind) else self.value
        made = call(other, mine) if swapped else call(mine, other)
        return _number(made) if number else made

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, int | float) and other == 1:
            return _number(self.complement)
        return self._with(operator.sub, other, swapped=True)

    def __neg__(self) -> Any:
        return _number(-self.value)

    def _ask(self, compare: Callable[[Any, Any], Any], other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented
        if not isinstance(other, int | float):
            return self._with(compare, getattr(other, "value", other))
        if self.nominal is None or other not in (0, 1):
            refuse_to_answer(f"compares with {other} in Python")
        self.asked()
        return compare(self.nominal, other)

    def __bool__(self) -> bool:
        return self._ask(operator.ne, 0)

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **_: Any) -> Any:
        """NumPy's operators with a number or an array of its own; none of its functions can take a traced value."""
        of = _OPERATORS.get(function.__name__)
        if of is None or method != "__call__":
            found = f"a scheduled value in `numpy.{function.__name__}`, in a step that is compiled"
            expected = "NumPy knows no values that a step reads"
            raise wrong_state(found, expected, f"Take `keras.ops.{function.__name__}` there.")
        numpys = (np.generic, np.ndarray)
        first, second = (each.item() if isinstance(each, numpys) and not each.ndim else each for each in inputs)
        if isinstance(first, np.ndarray):  # its own operator would come here again
            return self._with(of, first, swapped=True)
        return of(first, second)


_ARITHMETIC = {  # as NumPy calls them
    "add": operator.add,
    "multiply": operator.mul,
    "power": operator.pow,
    "subtract": operator.sub,
    "divide": operator.truediv,
}
_COMPARISONS = {
    "equal": operator.eq,
    "not_equal": operator.ne,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
_OPERATORS = _ARITHMETIC | _COMPARISONS
for _of in _ARITHMETIC.values():
    setattr(Scalar, f"__{_of.__name__}__", lambda self, other, of=_of: self._with(of, other))
    if _of is not operator.sub:
        setattr(Scalar, f"__r{_of.__name__}__", lambda self, other, of=_of: self._with(of, other, swapped=True))
for _ask in _COMPARISONS.values():
    setattr(Scalar, f"__{_ask.__name__}__", lambda self, other, ask=_ask: self._ask(ask, other))
numbers.Real.register(Scalar)  # TensorFlow's dropout takes a tensor of its input's type only, or else a number


def _number(value: Any) -> Any:
    """A tensor that takes the other's type in arithmetic: on JAX the tensor itself does, and its functions want it."""
    return value if getattr(value, "weak_type", False) else Scalar(value, 1 - value)
