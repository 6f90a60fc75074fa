"""A hyper-parameter whose value the compiled step reads from the table."""

from typing import Any

from keras import ops

from keras_sched.errors import wrong_state


class Traced:
    """Stands in for a Python number among an optimizer's attributes while a compiled step is made.

    In arithmetic and as a tensor it is the row's value. Where Keras asks a question that needs its answer while the
    step is made (`if self.momentum != 0`), it answers from `nominal`, the value that the optimizer was made with.

    Args:
        value: a float32 scalar tensor.
        complement: a float32 scalar tensor, 1 - value, taken in float64 before it was rounded: 1 - 0.999 in float32
            is off by 5e-5.
        nominal: a number.
    """

    __slots__ = ("complement", "nominal", "value")
    __hash__ = None  # type: ignore[assignment]  # as a tensor, it compares by value

    def __init__(self, value: Any, complement: Any, nominal: float) -> None:
        self.value = value
        self.complement = complement
        self.nominal = nominal

    @property
    def dtype(self) -> Any:
        """The tensor's."""
        return self.value.dtype

    @property
    def shape(self) -> Any:
        """The tensor's."""
        return self.value.shape

    # As a tensor.
    def __jax_array__(self) -> Any:
        return self.value

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return self.value if dtype is None else ops.cast(self.value, dtype)

    # In arithmetic. `ops` and not the tensor's own operators: these refuse a float16 variable on TensorFlow.
    def __add__(self, other: Any) -> Any:
        return ops.add(self.value, _plain(other))

    def __radd__(self, other: Any) -> Any:
        return ops.add(_plain(other), self.value)

    def __sub__(self, other: Any) -> Any:
        if _is_one(other):
            return ops.negative(self.complement)
        return ops.subtract(self.value, _plain(other))

    def __rsub__(self, other: Any) -> Any:
        return self.complement if _is_one(other) else ops.subtract(_plain(other), self.value)

    def __mul__(self, other: Any) -> Any:
        return ops.multiply(self.value, _plain(other))

    def __rmul__(self, other: Any) -> Any:
        return ops.multiply(_plain(other), self.value)

    def __truediv__(self, other: Any) -> Any:
        return ops.true_divide(self.value, _plain(other))

    def __rtruediv__(self, other: Any) -> Any:
        return ops.true_divide(_plain(other), self.value)

    def __pow__(self, other: Any) -> Any:
        return ops.power(self.value, _plain(other))

    def __rpow__(self, other: Any) -> Any:
        return ops.power(_plain(other), self.value)

    def __neg__(self) -> Any:
        return ops.negative(self.value)

    # In Python's questions.
    def __bool__(self) -> bool:
        return bool(self.nominal)

    def __eq__(self, other: object) -> bool:
        return self.nominal == other

    def __lt__(self, other: Any) -> bool:
        return self.nominal < other

    def __le__(self, other: Any) -> bool:
        return self.nominal <= other

    def __gt__(self, other: Any) -> bool:
        return self.nominal > other

    def __ge__(self, other: Any) -> bool:
        return self.nominal >= other

    def __float__(self) -> float:
        raise wrong_state(
            "an optimizer that turns a scheduled hyper-parameter into a Python number inside the compiled step",
            "its value would be frozen there",
            "Compile the model with `run_eagerly=True`, or leave that hyper-parameter out of the schedule.",
        )

    __int__ = __float__
    __index__ = __float__


def _plain(other: Any) -> Any:
    return other.value if isinstance(other, Traced) else other


def _is_one(other: Any) -> bool:
    return isinstance(other, int | float) and other == 1
