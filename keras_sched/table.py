"""The table: one row of values for each coming batch, float64, on the host."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_value
from keras_sched.hypers import RATE, is_object

Values = Mapping[str, Sequence[Any]]
"""{attribute: its value for each parameter group}."""

RowValues = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Row numbers of shape (N,) -> values of shape (N,), or (N, G) for G parameter groups."""

_WINDOW_FLOATS = 2**19  # 65,536 rows of the usual four columns: 2 MiB on the device
_CHUNK = 65_536  # rows that are looked through at once


class Table:
    """The values of one optimizer's hyper-parameters at each batch of a training run.

    Args:
        curves: {attribute: its curve}; an attribute of `nominal` without a curve keeps that value.
        nominal: {attribute: value before training}, in the order of the columns.
        total: the row from which on no curve changes any more.
        groups: the number of parameter groups, at least 1.
        momentum: the attribute that `momentum_correction` corrects, or `None`.
        lag: the batches from one update to the next: 1, or the accumulation steps.
    """

    def __init__(
        self,
        curves: Mapping[str, RowValues],
        nominal: Mapping[str, float | None],
        total: int,
        groups: int = 1,
        *,
        momentum: str | None = None,
        lag: int = 1,
    ) -> None:
        self.curves, self.nominal = dict(curves), dict(nominal)
        self.total, self.groups, self.momentum, self.lag = total, groups, momentum, lag
        # From which row on the learning rate is multiplied by which factor, after a write by another callback.
        self._factors: list[tuple[int, float]] = [(0, 1.0)]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(self.nominal)

    @property
    def width(self) -> int:
        """Floats in a row: for each group value and complement of each attribute."""
        return 2 * self.groups * len(self.nominal)

    @property
    def window_rows(self) -> int:
        """Rows of a window."""
        return max(4096, _WINDOW_FLOATS // max(self.width, 8))

    def scheduled(self, attribute: str) -> bool:
        """Whether the column changes, or only keeps its nominal value."""
        return attribute in self.curves

    def scale_rate(self, first: int, factor: float) -> None:
        """Multiply the learning rate by `factor` from row `first` on."""
        current = self._factors[-1][1]
        self._factors = [entry for entry in self._factors if entry[0] < first] or [(0, 1.0)]
        self._factors.append((first, current * factor))

    def values(self, attribute: str, rows: NDArray[np.int64] | Sequence[int] | range) -> NDArray[np.float64]:
        """The float64 values of `attribute` at `rows`: shape (N, groups)."""
        numbers = np.asarray(rows, dtype=np.int64)
        values = self._uncorrected(attribute, numbers)
        if attribute == self.momentum:
            before = numbers - self.lag
            rate, rate_before = self._uncorrected(RATE, numbers), self._uncorrected(RATE, np.maximum(before, 0))
            # Only a write can set a rate of 0; it leaves no velocity whose scale could be wrong.
            no_rate = (before[:, None] < 0) | (rate_before == 0)
            values = values * np.where(no_rate, 1.0, rate / np.where(rate_before == 0, 1.0, rate_before))
        return values

    def rows(self, first: int, count: int) -> NDArray[np.float32]:
        """`count` rows from `first` on, (count, width): [group][attribute][value, 1 - value], flat.

        Rows beyond the end of the schedule repeat the value there.
        """
        computed = int(np.clip(self.total + self.lag - first, 1, count))
        block = np.empty((count, self.groups, len(self.nominal), 2), np.float32)
        for column, attribute in enumerate(self.nominal):
            values = self.values(attribute, range(first, first + computed))
            block[:computed, :, column, 0] = values
            block[:computed, :, column, 1] = 1.0 - values
        if computed < count:
            # A corrected momentum still has the ratio of two rates up to row `total + lag`.
            end = max(first + computed, self.total + self.lag)
            values = np.stack([self.values(name, [end])[0] for name in self.nominal], axis=-1)
            block[computed:] = np.stack([values, 1.0 - values], axis=-1)
        return block.reshape(count, self.width)

    def check_correction(self) -> None:
        """Raise a `ValueError` where `momentum_correction` would divide by a learning rate of zero."""
        if self.momentum is None:
            return
        for first in range(0, self.total, _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, self.total))
            zero = np.flatnonzero((self._uncorrected(RATE, rows) == 0).any(axis=1))
            if zero.size:
                expected = f"it divides by the learning rate of the batch before, which is 0 at batch {rows[zero[0]]}"
                cure = "Let the schedule begin and end above 0, or leave the correction out."
                raise wrong_value("momentum_correction=True", expected, cure)

    def _uncorrected(self, attribute: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        curve = self.curves.get(attribute)
        if curve is None:
            return np.full((len(rows), self.groups), self.nominal[attribute])
        values = np.asarray(curve(rows), dtype=np.float64)
        values = np.broadcast_to(values if values.ndim == 2 else values[:, None], (len(rows), self.groups))
        if attribute != RATE:
            return values
        starts, factors = zip(*self._factors, strict=True)
        return values * np.asarray(factors)[np.searchsorted(starts, rows, side="right") - 1][:, None]


class HostRows:
    """Rows as Python floats, counted on the host: for steps that are not compiled.

    `callable_rate` says whether the optimizer's own rate is a function; `as_rates` makes what it takes for a rate of
    (N, groups) rates.
    """

    def __init__(
        self,
        table: Table,
        *,
        callable_rate: bool = False,
        as_rates: Callable[[NDArray[np.float64]], list[list[Any]]] = np.ndarray.tolist,
    ) -> None:
        self.table = table
        self.position = 0
        """The row that the coming step takes."""
        self._callable_rate = callable_rate
        self._as_rates = as_rates
        self.forget()

    def forget(self) -> None:
        """Compute the rows again: the table has changed."""
        self._first = 0
        self._rows: list[dict[str, list[Any]]] = []

    def take(self) -> Values:
        """The values of the coming step, which the one after it does not take again."""
        self.position += 1
        return self.row(self.position - 1)

    def row(self, number: int) -> Values:
        """The values of row `number`."""
        place = number - self._first
        if not 0 <= place < len(self._rows):
            self._first, place = number, 0
            self._rows = self._compute(512)
        return self._rows[place]

    def _compute(self, count: int) -> list[dict[str, list[Any]]]:
        rows = range(self._first, self._first + count)
        columns: dict[str, list[list[Any]]] = {}
        for name in filter(self.table.scheduled, self.table.attributes):
            values = self.table.values(name, rows)
            columns[name] = self._rates(values) if name == RATE else self._floats(name, values)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _rates(self, values: NDArray[np.float64]) -> list[list[Any]]:
        rates = self._as_rates(values)
        if self._callable_rate:
            return [[lambda rate=rate: rate for rate in of_groups] for of_groups in rates]
        return rates

    def _floats(self, name: str, values: NDArray[np.float64]) -> list[list[float]]:
        if not is_object(name) and (self.table.nominal[name] or 1.0) > 0:
            # Keras skips momentum, and clipping, where they are 0 (`if self.momentum != 0`); a compiled step does not.
            # The smallest float is not 0, and becomes 0 as soon as it meets a float32.
            values = np.where(values == 0, 5e-324, values)
        return values.tolist()
