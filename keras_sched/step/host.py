"""A backend of which nothing is known but that it trains: a step in Python, which takes its row from the host."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.step.backend import Backend, Content, ScheduledStep, batches_per_call
from keras_sched.step.numbers import as_int
from keras_sched.step.override import Override
from keras_sched.step.table import HostRows, Layout, Table, Values


class HostStep(ScheduledStep):
    """Keras' own train function, whose optimizers take the coming row as Python numbers."""

    as_rates: Callable[[NDArray[np.float64]], list[list[Any]]] = staticmethod(np.ndarray.tolist)
    """Makes what an optimizer takes for a rate of (N, groups) rates."""

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        self._rows: list[HostRows] = []
        self._counts = [0 for _ in layouts]  # of the optimizers, at the last anchor
        self._taken = [0 for _ in layouts]  # updates since then
        self._plain: Callable[..., Any]
        for which, override in enumerate(self.overrides):
            override.read = partial(self._take, which)

    def function(self, *arguments: Any) -> Any:
        logs = self.one_batch(*arguments)
        for override, count, taken in zip(self.overrides, self._counts, self._taken, strict=True):
            if as_int(override.optimizer._iterations) != count + taken:
                raise wrong_state(
                    f"other updates of `{override.optimizer.name}` than calls of its `apply`",
                    f"the backend `{keras.backend.backend()}` has compiled the step, with the values of one batch",
                    "Compile the model with `run_eagerly=True`.",
                )
        return logs

    def one_batch(self, *arguments: Any) -> Any:
        """Run one batch with the values of its row."""
        if self.searching:
            self.empty_metrics()
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
        self._rows = [
            HostRows(table, callable_rate=layout.rate_is_callable, as_rates=self.as_rates)
            for table, layout in zip(tables, self.layouts, strict=True)
        ]

    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        if changed:
            self._rows[which].forget()
        self._rows[which].position, self._counts[which], self._taken[which] = row, count, 0
        return np.iinfo(np.int64).max

    def _row(self, which: int, updates: int = 0) -> Values:
        """The row that the batch takes, of which it has made so many updates."""
        rows = self._rows[which]
        return rows.row(rows.position + (self._taken[which] - updates) // self.overrides[which].per_batch)

    def _take(self, which: int, updates: int) -> Values:
        values = self._row(which, updates)
        self._taken[which] += 1
        return values


class HostBackend(Backend):
    """See `Backend`."""

    step = HostStep
    compiles = False

    def being_traced(self, arguments: Any) -> bool:
        return False

    def read(self, variable: keras.Variable) -> Content:
        array = np.array(keras.ops.convert_to_numpy(variable.value))
        return Content(variable.path, [array], lambda arrays: variable.assign(arrays[0]))

    def check_model(self, model: keras.Model) -> None:
        """Refuse a step that is handed its state, and one of several batches: neither can be made from outside."""
        name = f"the backend `{keras.backend.backend()}`, which keras_sched does not know,"
        if len(inspect.signature(keras.Model.train_step).parameters) != 2:
            raise wrong_state(
                f"{name} with a `train_step` that is handed its state",
                "one that trains the model in place can be scheduled",
                "Set KERAS_BACKEND to jax, tensorflow or torch before Keras is imported.",
            )
        if batches_per_call(model) > 1:
            raise wrong_state(
                f"{name} and several batches in one call",
                "the values are set between two batches",
                "Compile the model with `steps_per_execution=1`.",
            )
