"""What is noted of the candidates while they train: the monitored value of each epoch, and whether they diverge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_value
from keras_sched.step.backend import backend, batches_per_call
from keras_sched.sweeps.found import DIVERGED, NOT_FINITE, TRAINED

WORST = 4.0
"""A candidate has diverged where its loss is so many times what it was at first, as in `lr_find`."""
_BATCHES = 64  # at least so many from one look at the loss to the next: a look waits for the device

Sums = tuple[NDArray[Any], NDArray[Any]]


@dataclass
class Outcome:
    """What one training came to."""

    values: list[float] = field(default_factory=list)
    ended: str = TRAINED
    epochs: int = 0
    first: float = np.nan  # the loss of the training at first
    last: float = np.nan  # and at last
    sign: int = 1  # -1 where the highest value is the best

    def note(self, loss: float) -> None:
        """Note the mean loss of the epoch so far."""
        if np.isnan(self.first):
            self.first = loss
        self.last = loss
        if not np.isfinite(loss):
            self.ended = NOT_FINITE
        elif self.worse_than(self.first):
            self.ended = DIVERGED

    def worse_than(self, first: float) -> bool:
        """Whether the last loss is so far above the first one that the training has diverged."""
        return self.last > first + (WORST - 1) * abs(first)


class Source(Protocol):
    """Where the numbers of the candidates that one fit trains come from."""

    members: int

    def logs(self, logs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """What each would log, where Keras logs `logs` at an epoch's end."""
        ...

    def sums(self) -> Sums | None:
        """Of each, the sum of the epoch's losses so far, and of their weights; `None` where nobody keeps them."""
        ...


class Alone:
    """The source of a fit that trains one candidate."""

    members = 1

    def __init__(self, model: keras.Model) -> None:
        self._model = model

    def logs(self, logs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """See `Source`."""
        return [logs]

    def sums(self) -> Sums | None:
        """See `Source`."""
        backend().attach_state(self._model)
        metric = loss_metric(self._model)
        if metric is None:
            return None
        total, count = (np.atleast_1d(keras.ops.convert_to_numpy(each)) for each in (metric.total, metric.count))
        return total, count


def loss_metric(model: keras.Model) -> Any:
    """The metric of the mean loss, which Keras' own `train_step` keeps; `None` where there is none."""
    means = (metric for metric in model.metrics if isinstance(metric, keras.metrics.Mean))
    return next((metric for metric in means if metric.name == "loss"), None)


class Watch(keras.callbacks.Callback):
    """Notes what `monitor` is at each epoch's end, and stops a fit whose candidates have all diverged.

    Args:
        monitor: a name in the logs and Keras' `mode`; `None` for the mean loss of the last tenth of the batches.
        source: where the numbers come from.
    """

    def __init__(self, monitor: tuple[str, str] | None, source: Source) -> None:
        super().__init__()
        self.source = source
        self.outcomes = [Outcome() for _ in range(source.members)]
        self._monitor = monitor
        self._tail: Sums | None = None

    # Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        """Find the batch at which the last tenth begins."""
        steps, epochs = ((self.params or {}).get(name) for name in ("steps", "epochs"))
        self._stride = max(_BATCHES, (steps or 0) // 8)
        batches = (steps or 0) * (epochs or 0)
        self._tail_from = divmod(batches - -(-batches // 10), steps) if steps and self._monitor is None else None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin to count its batches."""
        self._next = self._stride
        self._epoch = epoch
        self._before: Sums | None = None  # what was summed up before the last tenth
        for outcome in self._running():
            outcome.epochs += 1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look at the loss, now and then; nothing else is done once per batch."""
        last = batch + batches_per_call(self.model) - 1  # of this call
        tail = self._tail_from is not None and self._tail_from[0] == self._epoch and self._before is None
        if tail and last >= self._tail_from[1] > 0:  # type: ignore[index]
            self._before = self.source.sums()
        if last >= self._next:
            self._next = last + self._stride
            self._look()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        of_members = self.source.logs(logs or {})
        tail = self._tail_losses(epoch)
        for outcome, own, mean in zip(self.outcomes, of_members, tail, strict=True):
            if outcome.ended == TRAINED:
                if "loss" in own:
                    outcome.note(float(own["loss"]))
                value = float(own["loss"]) if mean is None and self._monitor is None else mean
                self._note(outcome, value if self._monitor is None else self._monitored(own, outcome))
        self._stop()

    # Inside

    def _running(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.ended == TRAINED]

    def _look(self) -> None:
        sums = self.source.sums()
        if sums is not None:
            for outcome, total, count in zip(self.outcomes, *sums, strict=True):
                if outcome.ended == TRAINED and count:
                    outcome.note(float(total) / float(count))
            self._stop()

    def _stop(self) -> None:
        if not self._running():
            self.model.stop_training = True

    def _note(self, outcome: Outcome, value: float | None) -> None:
        if value is not None and not np.isfinite(value):
            outcome.ended = NOT_FINITE
        elif value is not None:
            outcome.values.append(value)

    def _tail_losses(self, epoch: int) -> list[float | None]:
        """At the end of the last epoch, the mean loss of each in the last tenth of all batches."""
        sums = self.source.sums() if self._tail_from is not None and epoch >= self._tail_from[0] else None
        if sums is None:
            return [None for _ in self.outcomes]
        for before, sign in ((self._before, -1), (self._tail, 1)):
            if before is not None:
                sums = sums[0] + sign * before[0], sums[1] + sign * before[1]
        self._tail = sums
        last = epoch + 1 == (self.params or {}).get("epochs")
        return [float(total) / float(count) if last else None for total, count in zip(*sums, strict=True)]

    def _monitored(self, logs: Mapping[str, Any], outcome: Outcome) -> float | None:
        name, mode = self._monitor or ("loss", "min")
        if name not in logs:
            if name.startswith("val_") and not any(each.startswith("val_") for each in logs):
                return None  # this epoch is not followed by validation
            raise wrong_value(
                f"monitor={name!r}",
                f"an epoch logs {', '.join(f'`{each}`' for each in logs)}",
                "Pass one of these names.",
            )
        outcome.sign = _sign(self.model, name, mode)
        return float(logs[name])


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
