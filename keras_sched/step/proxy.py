"""A scheduled value that the compiled step reads: a traced scalar that also answers Python's questions."""

import operator
from typing import Any, NoReturn

from keras import ops

from keras_sched.errors import wrong_state


class Proxy:
    """Stands in for a Python number while a compiled step is traced.

    In arithmetic and as a tensor it is the row's value. Where Keras asks a question in Python (`if self.momentum != 0`)
    it answers from `nominal`, the value that the optimizer was made with.

    Args:
        value: a float32 scalar tensor.
        complement: a float32 scalar tensor: 1 - value, subtracted in float64. (1 - 0.999 in float32 is off by 5e-5.)
        nominal: a number.
    """

    __slots__ = ("complement", "nominal", "value")
    __hash__ = None  # type: ignore[assignment]  # like a tensor, it compares by value

    def __init__(self, value: Any, complement: Any, nominal: float) -> None:
        self.value = value
        self.complement = complement
        self.nominal = nominal

    dtype = property(operator.attrgetter("value.dtype"))
    shape = property(operator.attrgetter("value.shape"))

    def cast(self, dtype: str) -> "Proxy":
        """The same in another type."""
        return Proxy(ops.cast(self.value, dtype), ops.cast(self.complement, dtype), self.nominal)

    def __jax_array__(self) -> Any:
        return self.value

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return self.value if dtype is None else ops.cast(self.value, dtype)

    def __sub__(self, other: Any) -> Any:
        return ops.negative(self.complement) if _is_one(other) else ops.subtract(self.value, _tensor(other))

    def __rsub__(self, other: Any) -> Any:
        return self.complement if _is_one(other) else ops.subtract(_tensor(other), self.value)

    def __neg__(self) -> Any:
        return ops.negative(self.value)

    def __bool__(self) -> bool:
        return bool(self.nominal)

    def __float__(self) -> float:
        refuse_to_answer("turns into a Python number")

    __int__ = __index__ = __float__


def refuse_to_answer(what: str) -> NoReturn:
    """Raise for what a step cannot do with a value while it is compiled."""
    expected = "the answer would stay the same for all batches"
    cure = "Compile the model with `run_eagerly=True`, or leave this value out of the schedule."
    raise wrong_state(f"a scheduled value that the compiled step {what}", expected, cure)


def _tensor(other: Any) -> Any:
    return other.value if isinstance(other, Proxy) else other


def _is_one(other: Any) -> bool:
    return isinstance(other, int | float) and other == 1


# With `ops`, because a tensor's own operators refuse a float16 variable on TensorFlow.
for _name, _of in {"add": ops.add, "mul": ops.multiply, "truediv": ops.true_divide, "pow": ops.power}.items():
    setattr(Proxy, f"__{_name}__", lambda self, other, of=_of: of(self.value, _tensor(other)))
    setattr(Proxy, f"__r{_name}__", lambda self, other, of=_of: of(_tensor(other), self.value))
for _ask in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
    setattr(Proxy, f"__{_ask.__name__}__", lambda self, other, ask=_ask: ask(self.nominal, other))
