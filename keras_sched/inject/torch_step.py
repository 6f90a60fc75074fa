"""The scheduled step on PyTorch: the table stays on the host, and a step takes its row as Python floats."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from keras_sched.inject.apply import Injection, Values
from keras_sched.inject.rows import HostRows, Layout
from keras_sched.inject.steps import ScheduledStep


class TorchStep(ScheduledStep):
    """Keras' own train function, which finds the coming row in its optimizers. No tensor is made, none is read."""

    def __init__(
        self,
        model: keras.Model,
        injections: Sequence[Injection],
        layouts: Sequence[Layout],
        rows: Sequence[HostRows],
        plain: Callable[..., Any],
    ) -> None:
        self.rows = list(rows)
        self.plain = plain
        super().__init__(model, injections, layouts)

    def make(self) -> Callable[..., Any]:
        """What takes the place of `model.train_function`."""
        for injection, rows in zip(self.injections, self.rows, strict=True):
            injection.read = rows.take
            if self.model.jit_compile:
                # Dynamo would compile anew for each new float, and give up after a few.
                injection.apply = torch.compiler.disable(injection.apply)  # type: ignore[method-assign]

        both = list(zip(self.injections, self.rows, strict=True))

        def function(data: Any) -> Any:
            if self.searching:
                self.empty_metrics()
            try:  # as `installed`, but here it is done in every step
                for injection, rows in both:
                    injection.install()
                    injection.peek = _always(rows.peek())
                return self.plain(data)
            finally:
                for injection, _ in both:
                    injection.remove()

        return function

    def load(self, which: int, window: Any, start: int) -> None:
        """Rows are counted, and computed, on the host: `start` is the coming row."""
        self.rows[which].forget()
        self.restart(which, start)

    def restart(self, which: int, start: int) -> None:
        """Take rows from `start` on."""
        self.rows[which].anchor(start)


def _always(values: Values) -> Callable[[], Values]:
    return lambda: values


def mean_over_ranks(loss: Any) -> Any:
    """The mean of a loss over the processes that train together; itself where there is one process."""
    distributed = torch.distributed
    loss = loss.detach() if isinstance(loss, torch.Tensor) else keras.ops.convert_to_tensor(loss)
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return loss
    total = loss.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
