"""The table: one row of hyper-parameter values for each coming batch, float64 on the host, a window at a time."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import RowValues
from keras_sched.errors import wrong_value
from keras_sched.hypers import RATE

_WINDOW_FLOATS = 2**19  # 65,536 rows of the usual four columns: 2 MiB on the device
_CHUNK = 65_536


class Table:
    """The values of one optimizer's hyper-parameters at each batch of a training run.

    Args:
        curves: {attribute: its curve}; those of `nominal` that have no curve stay at that value.
        nominal: {attribute: value before training}, in the order of the columns.
        total: the row from which on no curve changes any more.
        groups: the number of parameter groups, at least 1.
        momentum: the attribute which `momentum_correction` corrects, or `None`.
        lag: the distance in batches between two updates: 1, or the accumulation steps.
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
        self.curves = dict(curves)
        self.nominal = dict(nominal)
        self.total = total
        self.groups = groups
        self.momentum = momentum
        self.lag = lag
        # From which row on the learning rate is scaled by which factor, after a write from outside.
        self._factors: list[tuple[int, float]] = [(0, 1.0)]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(self.nominal)

    @property
    def width(self) -> int:
        """Columns of a row: value and complement, of each attribute, for each group."""
        return 2 * self.groups * len(self.nominal)

    @property
    def window_rows(self) -> int:
        """Rows of a window."""
        return max(4096, _WINDOW_FLOATS // max(self.width, 8))

    def scale_rate(self, first: int, factor: float) -> None:
        """Multiply the learning rate by `factor` from row `first` on."""
        current = self._factors[-1][1]
        self._factors = [entry for entry in self._factors if entry[0] < first] or [(0, 1.0)]
        self._factors.append((first, current * factor))

    def values(self, attribute: str, rows: NDArray[np.int64] | Sequence[int] | range) -> NDArray[np.float64]:
        """The float64 values of `attribute` at `rows`: shape (N, groups)."""
        numbers = np.asarray(rows, dtype=np.int64)
        values = self._raw(attribute, numbers)
        if attribute == self.momentum:
            before = numbers - self.lag
            rate, rate_before = self._raw(RATE, numbers), self._raw(RATE, np.maximum(before, 0))
            # A rate of 0 can only have been written from outside; it leaves no velocity whose scale could be wrong.
            none_before = (before[:, None] < 0) | (rate_before == 0)
            values = values * np.where(none_before, 1.0, rate / np.where(rate_before == 0, 1.0, rate_before))
        return values

    def scheduled(self, attribute: str) -> bool:
        """Whether the column changes, or only keeps its nominal value."""
        return attribute in self.curves

    def rows(self, first: int, count: int) -> NDArray[np.float32]:
        """`count` rows from `first` on, (count, width): [attribute][group][value, 1 - value], flat.

        Rows beyond the end of the schedule repeat the value there.
        """
        computed = int(np.clip(self.total + self.lag - first, 1, count))
        block = np.empty((count, len(self.nominal), self.groups, 2), np.float32)
        for column, attribute in enumerate(self.nominal):
            values = self.values(attribute, range(first, first + computed))
            block[:computed, column, :, 0] = values
            block[:computed, column, :, 1] = 1.0 - values
        if computed < count:
            block[computed:] = self._past(first + computed)
        return block.reshape(count, self.width)

    def window(self, first: int) -> NDArray[np.float32]:
        """`window_rows` rows from `first` on."""
        return self.rows(first, self.window_rows)

    def check_correction(self) -> None:
        """Refuse a learning rate of zero, which `momentum_correction` divides by."""
        if self.momentum is None:
            return
        for first in range(0, self.total, _CHUNK):
            rows = np.arange(first, min(first + _CHUNK, self.total))
            zero = np.flatnonzero((self._raw(RATE, rows) == 0).any(axis=1))
            if zero.size:
                raise wrong_value(
                    "momentum_correction=True",
                    f"it divides by the learning rate of the batch before, which is 0 at batch {rows[zero[0]]}",
                    "Let the schedule begin and end above 0, or leave the correction out.",
                )

    def _past(self, row: int) -> NDArray[np.float32]:
        # The rows up to `total + lag`, where a corrected momentum still has the ratio of two rates, were computed.
        values = np.stack([self.values(name, [max(row, self.total + self.lag)])[0] for name in self.nominal])
        return np.stack([values, 1.0 - values], axis=-1).astype(np.float32)

    def _raw(self, attribute: str, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        curve = self.curves.get(attribute)
        if curve is None:
            return np.full((len(rows), self.groups), self.nominal[attribute])
        values = np.asarray(curve(rows), dtype=np.float64)
        values = np.broadcast_to(values if values.ndim == 2 else values[:, None], (len(rows), self.groups))
        return values * self._factor(rows)[:, None] if attribute == RATE else values

    def _factor(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        starts, factors = zip(*self._factors, strict=True)
        return np.asarray(factors)[np.searchsorted(starts, rows, side="right") - 1]
