"""What a step reads of a table: the columns of its rows, as values that stand in for an optimizer's own."""

from typing import Any

import keras

from keras_sched.hypers import RATE
from keras_sched.step.proxy import Proxy
from keras_sched.table import Table, Values


class Layout:
    """The columns of a table's row: what a compiled step, which runs `batches` a call, is made for."""

    def __init__(self, table: Table, optimizer: keras.Optimizer, batches: int = 1) -> None:
        self.attributes, self.groups, self.width = table.attributes, table.groups, table.width
        self.rows = max(table.window_rows, 2 * batches)
        # An attribute that was unset (`None`) or 0 is on as soon as it is scheduled.
        self.nominal = {name: value or 1.0 for name, value in table.nominal.items()}
        # Adafactor asks whether the rate is callable; the answer must stay what it was.
        self.rate_is_callable = callable(vars(optimizer)["_learning_rate"])

    @property
    def key(self) -> tuple[Any, ...]:
        """What two layouts must share so that one compiled step serves both."""
        return (self.attributes, self.groups, self.rows, self.rate_is_callable)

    def values(self, row: Any) -> Values:
        """The values of one row, a float32 tensor of shape (width,)."""
        values: dict[str, list[Any]] = {}
        for column, name in enumerate(self.attributes):
            places = range(2 * column, self.width, 2 * len(self.attributes))
            values[name] = [self._value(name, row[place], row[place + 1]) for place in places]
        return values

    def _value(self, name: str, value: Any, complement: Any) -> Any:
        if name == RATE:
            return (lambda: value) if self.rate_is_callable else value
        return Proxy(value, complement, self.nominal[name])
