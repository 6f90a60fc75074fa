"""What a step reads: for each optimizer its window, where the window starts, and the values of the coming row."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.hypers import RATE
from keras_sched.inject.apply import Values
from keras_sched.inject.table import Table
from keras_sched.inject.traced import Traced

# Ftrl hands it to `clip`, which on JAX takes nothing but tensors.
_TENSORS = frozenset({"l1_regularization_strength"})


class Layout:
    """The columns of a row, which a compiled step is made for.

    Args:
        table: the table whose columns they are.
        optimizer: the optimizer whose hyper-parameters they are.
    """

    def __init__(self, table: Table, optimizer: keras.Optimizer) -> None:
        self.attributes = table.attributes
        self.groups = table.groups
        self.rows = table.window_rows
        self.width = table.width
        self.optimizer = optimizer
        # What was unset (`None`), or 0, is on as soon as it is scheduled.
        self.nominal = {name: value or 1.0 for name, value in table.nominal.items()}
        # Adafactor asks whether the rate is callable; the answer must stay what it was.
        self.rate_is_callable = callable(vars(optimizer)["_learning_rate"])

    @property
    def key(self) -> tuple[Any, ...]:
        """What two layouts must share for one compiled step to serve both."""
        return (id(self.optimizer), self.attributes, self.groups, self.rows, self.rate_is_callable)

    def values(self, row: Any) -> Values:
        """The values of one row, a float32 tensor of shape (width,)."""
        values: dict[str, list[Any]] = {}
        for column, name in enumerate(self.attributes):
            places = range(2 * column * self.groups, 2 * (column + 1) * self.groups, 2)
            values[name] = [self._value(name, row[place], row[place + 1]) for place in places]
        return values

    def _value(self, name: str, value: Any, complement: Any) -> Any:
        if name == RATE:
            return (lambda: value) if self.rate_is_callable else value
        return value if name in _TENSORS else Traced(value, complement, self.nominal[name])


class HostRows:
    """Rows counted on the host, as Python floats: for PyTorch, and for loops that are not compiled.

    On PyTorch the rate is a tensor, as it is in Keras: a place in one that is made for many rows, so that a step makes
    none of its own.

    Args:
        table: where the rows come from.
        callable_rate: whether the rate is to be given as a function, as it was to the optimizer.
    """

    def __init__(self, table: Table, *, callable_rate: bool = False) -> None:
        self.table = table
        self.position = 0
        self._callable_rate = callable_rate
        self._first = 0
        self._rows: list[dict[str, list[Any]]] = []

    def anchor(self, row: int) -> None:
        """The coming step takes row `row`."""
        self.position = row

    def forget(self) -> None:
        """What was computed before is computed again."""
        self._rows = []

    def take(self) -> Values:
        """The values of the coming step."""
        values = self.peek()
        self.position += 1
        return values

    def peek(self) -> Values:
        """The same, without taking them."""
        place = self.position - self._first
        if not 0 <= place < len(self._rows):
            self._first, place = self.position, 0
            self._rows = self._compute(512)
        return self._rows[place]

    def _compute(self, count: int) -> list[dict[str, list[Any]]]:
        rows = range(self._first, self._first + count)
        columns: dict[str, list[list[Any]]] = {}
        for name in filter(self.table.scheduled, self.table.attributes):
            values = self.table.values(name, rows)
            columns[name] = self._as_rates(values) if name == RATE else self._as_floats(name, values)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _as_rates(self, values: NDArray[np.float64]) -> list[list[Any]]:
        rates: list[list[Any]] = values.tolist()
        if keras.backend.backend() == "torch":
            tensor: Any = keras.ops.convert_to_tensor(values, keras.config.floatx())
            rates = [list(of_groups) for of_groups in zip(*(one.unbind() for one in tensor.unbind(1)), strict=True)]
        if self._callable_rate:
            return [[lambda rate=rate: rate for rate in of_groups] for of_groups in rates]
        return rates

    def _as_floats(self, name: str, values: NDArray[np.float64]) -> list[list[float]]:
        if (self.table.nominal[name] or 1.0) > 0:
            # Keras skips momentum, and clipping, where they are 0 (`if self.momentum != 0`); a compiled step does not.
            # The smallest float is not 0, and is 0 as soon as it meets a float32.
            values = np.where(values == 0, 5e-324, values)
        return values.tolist()
