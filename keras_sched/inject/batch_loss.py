"""Each batch's own loss, which Keras itself only tells as a running mean: heard in the step, on PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_sched.inject.apply import put, take_away


class BatchLoss:
    """Listens to what a step tells the model's loss metric, while the step runs or is being made.

    `value` is the loss, where one number was told, once: of several, or of one a sample, only the metric knows the
    mean.
    """

    def __init__(self) -> None:
        self.value: Any = None
        self._told = 0

    @contextmanager
    def listening(self, model: keras.Model) -> Iterator["BatchLoss"]:
        """Listen while the block runs."""
        metrics = _loss_metrics(model)
        for metric in metrics:
            put(metric, "update_state", self._listen(metric))
        try:
            yield self
        finally:
            for metric in metrics:
                take_away(metric, "update_state")

    def _listen(self, metric: Any) -> Any:
        own = metric.update_state

        def update_state(values: Any, *args: Any, **kwargs: Any) -> Any:
            self._told += 1
            self.value = values if self._told == 1 and not getattr(values, "shape", ()) else None
            return own(values, *args, **kwargs)

        return update_state


def stop_listening(model: keras.Model) -> None:
    """Take out what a step that was interrupted while it was cleaned up has left in the loss metric."""
    for metric in _named_loss(model):
        if getattr(vars(metric).get("update_state"), "__qualname__", "").startswith(BatchLoss.__qualname__):
            take_away(metric, "update_state")


def _loss_metrics(model: keras.Model) -> list[Any]:
    """The metric in which Keras, or a custom `train_step`, keeps the mean loss: one named `loss`."""
    return [metric for metric in _named_loss(model) if "update_state" not in vars(metric)]


def _named_loss(model: keras.Model) -> list[Any]:
    named = [metric for metric in model.metrics if metric.name == "loss"]
    tracker = getattr(model, "_loss_tracker", None)
    if tracker is not None and all(metric is not tracker for metric in named):
        named.append(tracker)
    return named
