"""What is noted of the candidates while they train: the monitored value of each epoch, and whether they diverge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_state, wrong_value
from keras_sched.step.backend import backend, batches_per_call
from keras_sched.step.numbers import as_float
from keras_sched.sweeps.found import DIVERGED, NOT_FINITE, TRAINED

WORST = 4.0
"""A candidate has diverged where its loss is so many times what it was at first, as in `lr_find`."""
_BATCHES = 64  # at least so many from one look at the loss to the next: a look waits for the device

_FIRST = 4  # batches whose loss is what it was at first; of a short epoch all of them

Sums = NDArray[Any]
"""Of each candidate, the sum of the epoch's losses so far, and of their weights: (2, candidates)."""


@dataclass
class Outcome:
    """What one training came to."""

    values: list[float] = field(default_factory=list)
    ended: str = TRAINED
    epochs: int = 0
    first: float = np.nan  # the loss of the first few batches, or of the first epoch
    last: float = np.nan  # and of the last epoch
    sign: int = 1  # -1 where the highest value is the best

    def note(self, loss: float) -> None:
        """Note the mean loss of the epoch so far."""
        self.first = loss if np.isnan(self.first) else self.first
        self.last = loss
        if not np.isfinite(loss):
            self.ended = NOT_FINITE
        elif self.worse_than(self.first):
            self.ended = DIVERGED

    def worse_than(self, first: float) -> bool:
        """Whether the last loss is so far above the first one that the training has diverged."""
        return self.last > first + (WORST - 1) * abs(first)


class Watch(keras.callbacks.Callback):
    """Notes what `monitor` is at each epoch's end, and stops a fit whose candidates have all diverged.

    Args:
        monitor: a name in the logs and Keras' `mode`; `None` for the mean loss of the last tenth of the batches.
        members: how many candidates the fit trains.
    """

    def __init__(self, monitor: tuple[str, str] | None, members: int = 1) -> None:
        super().__init__()
        self.outcomes = [Outcome() for _ in range(members)]
        self._monitor = monitor
        self._tail: Sums = np.zeros((2, members))  # of the last tenth

    def logs_of_members(self, logs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What each candidate logs, where Keras logs `logs` at an epoch's end."""
        return [logs]

    def sums(self, metric: Any) -> Sums:
        """The sums that the metric of the mean loss holds now."""
        backend().attach_state(self._trained())
        return np.array([[as_float(metric.total)], [as_float(metric.count)]])

    # Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the batch at which the last tenth begins."""
        given = self.params or {}
        steps, epochs = given.get("steps") or 0, given.get("epochs") or 0
        self._last = epochs - 1
        self._stride = max(_BATCHES, steps // 8)
        self._early = _FIRST if steps >= 4 * _FIRST else self._stride  # fewer batches are too noisy to compare with
        wanted = steps and self._monitor is None and _mean_loss(self._trained()) is not None
        self._tail_from = divmod(steps * epochs - -(-steps * epochs // 10), steps) if wanted else (epochs, 0)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin to count its batches."""
        self._next, self._epoch = self._stride if epoch else self._early, epoch
        self._before: Any = None  # what was summed up before the last tenth
        self._has_trained = False
        for outcome in self._running():
            outcome.epochs += 1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look at the loss, now and then; nothing else is done once per batch."""
        last = batch + batches_per_call(self._trained()) - 1  # of this call
        if batch and self._epoch == self._tail_from[0] and batch <= self._tail_from[1] <= last:
            self._before = self.sums(_mean_loss(self._trained()))
        if batch >= self._next:
            self._next = batch + self._stride
            self._look()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Note that the epoch has a batch."""
        self._has_trained = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        if not self._has_trained:
            cure = "Leave out `steps_per_epoch`, or pass data that repeat: `dataset.repeat()`."
            raise wrong_value(f"data that ended before epoch {epoch}", "each training needs all of its epochs", cure)
        if epoch >= self._tail_from[0]:
            now = self.sums(_mean_loss(self._trained()))
            self._tail = self._tail + now - (0 if self._before is None else self._before)
        for member, own in enumerate(self.logs_of_members(logs or {})):
            outcome = self.outcomes[member]
            if outcome.ended == TRAINED:
                if "loss" in own:
                    outcome.note(float(own["loss"]))
                self._take(outcome, self._value(own, member))
        self._stop()

    # Inside

    def _trained(self) -> keras.Model:
        model: Any = self.model
        return model

    def _running(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.ended == TRAINED]

    def _look(self) -> None:
        metric = _mean_loss(self._trained())
        if metric is not None:
            for outcome, (total, count) in zip(self.outcomes, self.sums(metric).T, strict=True):
                if outcome.ended == TRAINED and count:
                    outcome.note(float(total / count))
            self._stop()

    def _stop(self) -> None:
        if not self._running():
            self._trained().stop_training = True

    def _take(self, outcome: Outcome, value: float | None) -> None:
        if value is not None and not np.isfinite(value):
            outcome.ended = NOT_FINITE
        elif value is not None:
            outcome.values.append(value)

    def _is_tracked(self) -> bool:
        backend().attach_state(self._trained())
        losses = _mean_losses(self._trained())
        return not losses or any(as_float(each.count) for each in losses)

    def _value(self, logs: Mapping[str, Any], member: int) -> float | None:
        total, count = self._tail[:, member]
        if self._monitor is None and self._epoch == self._last and count:
            return float(total / count)
        name, mode = self._monitor or ("loss", "min")
        if name in logs:
            if name == "loss" and not logs[name] and not self._is_tracked():
                cure = (
                    "Track it: `self.mean = keras.metrics.Mean(name='loss')`, and there `self.mean.update_state(loss)`."
                )
                raise wrong_state("a `train_step` that does not track its loss", "Keras logs 0 in its place", cure)
            self.outcomes[member].sign = _sign(self.model, name, mode)
            return float(logs[name])
        if name.startswith("val_") and not any(each.startswith("val_") for each in logs):
            return None  # this epoch is not followed by validation
        logged = ", ".join(f"`{each}`" for each in logs)
        raise wrong_value(f"monitor={name!r}", f"an epoch logs {logged}", "Pass one of these names.")


def _mean_loss(model: keras.Model) -> Any:
    """The metric of the mean loss, which Keras' own `train_step` keeps; `None` where there is none."""
    return next(iter(_mean_losses(model)), None)


def _mean_losses(model: keras.Model) -> list[Any]:
    """Keras' own, and those that a `train_step` of one's own keeps under that name."""
    return [each for each in model.metrics if isinstance(each, keras.metrics.Mean) and each.name == "loss"]


def _sign(model: Any, name: str, mode: str) -> int:
    """1 where the lowest value is the best, -1 where the highest is, by the rules of Keras' callbacks."""
    early = keras.callbacks.EarlyStopping(name, mode=mode)
    early.set_model(model)
    early.on_train_begin()
    try:
        early.on_epoch_end(0, {name: 0.0})
    except ValueError as error:  # Keras' own, of a metric that does not say
        cure = f"Say which: `monitor=({name!r}, 'max')`, or 'min'."
        raise wrong_value(f"monitor={name!r}", "Keras does not know whether it is to rise or to fall", cure) from error
    return 1 if early.monitor_op is keras.ops.less else -1
