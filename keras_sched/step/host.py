"""A step that is not compiled: it takes its row from the host, as Python numbers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.step.backend import ScheduledStep
from keras_sched.step.override import Override
from keras_sched.step.table import Layout
from keras_sched.table import HostRows, Table, Values


class HostStep(ScheduledStep):
    """Keras' own train function, whose optimizers take the coming row as Python numbers."""

    as_rates: Callable[[NDArray[np.float64]], list[list[Any]]] = staticmethod(np.ndarray.tolist)  # (N, groups) rates

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        self._rows: list[HostRows] = []
        self._taken = [0 for _ in layouts]  # updates since the last anchor
        self._plain: Callable[..., Any]
        for which, override in enumerate(self.overrides):
            override.read = partial(self._take, which)

    def function(self, *arguments: Any) -> Any:
        if self.searching:
            self.model.reset_metrics()
        try:  # as `installed`, without what it costs to be open to several threads
            for which, override in enumerate(self.overrides):
                override.install()
                override.peek = partial(lambda values: values, self._row(which))
            logs = self.objects.run(self, self._plain, *arguments)
            self.learn_updates()
            return logs
        finally:
            for override in self.overrides:
                override.remove()

    def begin(self, tables: Sequence[Table], plain: Callable[..., Any]) -> None:
        self._plain = plain
        pairs = zip(tables, self.layouts, strict=True)
        self._rows = [HostRows(table, callable_rate=to.rate_is_callable, as_rates=self.as_rates) for table, to in pairs]

    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        if changed:
            self._rows[which].forget()
        self._rows[which].position, self._taken[which] = row, 0
        return np.iinfo(np.int64).max

    def _row(self, which: int, updates: int = 0) -> Values:
        """The row that the batch takes, of which it has made so many updates."""
        rows = self._rows[which]
        return rows.row(rows.position + (self._taken[which] - updates) // self.overrides[which].per_batch)

    def _take(self, which: int, updates: int) -> Values:
        values = self._row(which, updates)
        self._taken[which] += 1
        return values
