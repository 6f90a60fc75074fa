"""A search in a running `fit`: the rate rises from batch to batch, and each batch's loss is recorded."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_sched.annealers import SchedExp, SchedNo
from keras_sched.callbacks import Scheduler
from keras_sched.errors import check_not_negative, check_whole, speaking_as, wrong_state, wrong_value
from keras_sched.groups import Groups
from keras_sched.hypers import LearningRate, groups_wanted, learning_rates
from keras_sched.inject import SearchedFit
from keras_sched.lr_finder.progress import Progress
from keras_sched.lr_finder.record import DATA_ENDED, Array, Record, Recorder, SearchLosses

LEAST = 6
"""The fewest batches of a search, as in fastai."""
_SKIPPED = 100


class Search(Scheduler):
    """The callback that searches, in a `fit` of any length; what it trains is for others to put back.

    Args:
        start_lr, end_lr: the rate at the first batch and the one at which the last would be followed by the end; a
            number, or one a parameter group.
        num_it: how many batches a search takes, at least 1; fewer than 6 are 6.
        stop_div: whether it ends where the loss diverges.
        wd: a weight decay for its time.
        groups: the parameter groups, as for `ParamScheduler`.
        repeats: how many searches follow each other.
        validation: what `evaluate` takes, where the loss is to be measured on it.
    """

    def __init__(
        self,
        start_lr: LearningRate,
        end_lr: LearningRate,
        num_it: int,
        *,
        stop_div: bool,
        wd: float | None = None,
        groups: Groups | None = None,
        repeats: int = 1,
        validation: dict[str, Any] | None = None,
    ) -> None:
        num_it = max(check_whole("num_it", num_it, "how many batches the search takes", 100), LEAST)
        super().__init__(num_it, None, groups, momentum_correction=False)
        self._ends = start_lr, end_lr
        self.num_it = num_it
        self.stop_div = bool(stop_div)
        self._wd = wd
        self._repeats = check_whole("repeats", repeats, "how many searches there are", 3)
        self.rewind: Callable[[], None] | None = None
        """Puts the model back between two searches."""
        self._validation = validation
        self._count = groups_wanted(start_lr) or groups_wanted(end_lr)
        self._exponential(self._count or 1)
        if wd is not None:
            check_not_negative("wd", wd, "the weight decay during the search", "0.01")
        self._forget()

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The rate, and the weight decay where one was given."""
        decay = {} if self._wd is None else {"wd": SchedNo(self._wd, self._wd)}
        return {"lr": self._exponential(groups), **decay}

    def groups_asked(self) -> int | None:
        """As many as there are rates."""
        return self._count

    def most_batches(self, model: keras.Model) -> int:
        """How many batches there can be at most. A loss scale that is too large is halved at each one it skips."""
        skipped = _SKIPPED if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) else 0
        return (self.num_it + skipped) * self._repeats

    @property
    def record(self) -> Record:
        """What was measured so far."""
        curves = self._curves or [self._recorder.curve()]
        return Record.of(curves, self._rates, self.num_it)

    # Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the schedule, and leave out of the fit what is no part of a search."""
        self._forget()
        super().on_train_begin(logs)
        session = self._fitted("on_train_begin")
        self._progress = Progress(self.num_it * self._repeats, self._parameters().get("verbose", 0))
        self._fit = SearchedFit(session, self)
        session.at_end(self._over)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin, or go on where the last epoch ended."""
        session = self._fitted("on_epoch_begin")
        with speaking_as(type(self).__name__), session.ended_by_errors():
            if not session.running:
                self._begin(self._fit)
            session.begin_epoch(self._trained)
            self._before = self.run

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take the loss of the batch; one batch late, so that the device need not wait for us."""
        self.run += 1
        if self._finished or not self._has_trained():
            return
        self._waiting.append(self._loss(logs))
        last = len(self._recorder.raw) + len(self._waiting) == self.num_it
        self._take(0 if last else self._lag)
        if self._recorder.stopped is not None:
            self._next()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End where the data has."""
        session = self._fitted("on_epoch_end")
        with speaking_as(type(self).__name__), session.ended_by_errors():
            session.end_epoch()
            if self.run == self._before:
                session.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Read what is left, and put everything back."""
        if not self._finished:
            self._take(0)
            self._recorder.stopped = self._recorder.stopped or DATA_ENDED
            self._over()
        super().on_train_end(logs)

    # Inside

    _fit: SearchedFit
    _progress: Progress

    def _forget(self) -> None:
        self._curves: list[SearchLosses] = []
        self._recorder = Recorder(self.num_it, stop_div=self.stop_div)
        self._waiting: list[Any] = []  # losses that were not read yet
        self.run = self._before = 0  # batches
        self._trained = 0  # of this search
        self._counted: int | None = None
        self._lag = 1
        self._finished = False

    def _begin(self, fit: SearchedFit) -> None:
        """Before the first batch."""
        fit.install()
        self._counted = fit.steps_taken()
        read_at_once = self._validation is not None or self._counted is not None
        self._lag = 0 if read_at_once or not fit.of_known_length else 1

    def _loss(self, logs: Any) -> Any:
        if self._validation is not None:
            return self._loss_in(self._fit.validation_logs(**self._validation), "test_step")
        return self._loss_in(logs, "train_step")

    def _loss_in(self, logs: Any, step: str) -> Any:
        if isinstance(logs, Mapping) and "loss" in logs:
            return self._fit.over_ranks(logs["loss"])
        told = ", ".join(logs) if isinstance(logs, Mapping) else repr(logs)
        raise wrong_state(
            f"a `{step}` which returns {told or 'nothing'}",
            "the search follows `loss`",
            f"Let `{step}` return it too: `{{'loss': ...}}`.",
        )

    def _has_trained(self) -> bool:
        """Whether the batch counts: one whose step the loss scale has skipped is followed by another at its rate."""
        if self._counted is not None:
            before, self._counted = self._counted, self._fit.steps_taken()
            if before == self._counted:
                return False
        self._trained += 1
        return True

    def _take(self, left: int) -> None:
        """Read the losses that wait, but for the last `left`."""
        while len(self._waiting) > left and self._recorder.stopped is None:
            self._recorder.add(float(self._waiting.pop(0)))
            if self._progress.shown and self._recorder.smoothed:
                position = (len(self._recorder.smoothed) - 1) / self.num_it
                self._progress.show(float(self._rates(np.array(position))), self._recorder.smoothed[-1])

    def _next(self) -> None:
        """A search has ended: go on with the next, or be done."""
        session = self._fitted("on_train_batch_end")
        self._close()
        if len(self._curves) == self._repeats or self.rewind is None:
            session.model.stop_training = self._finished = True
            return
        session.end_epoch()
        self._fit.attach_state()
        self.rewind()
        self._counted = self._fit.steps_taken()
        self._trained = 0
        session.begin_epoch(0)

    def _close(self) -> None:
        self._curves.append(self._recorder.curve())
        self._recorder = Recorder(self.num_it, stop_div=self.stop_div)
        self._waiting = []

    def _over(self) -> None:
        """The session has ended, also by an error. Of several searches, one that has no point is none."""
        if not self._finished and (self._recorder.raw or not self._curves):
            self._close()
        self._finished = True
        self._progress.end(self.record.why)

    def _exponential(self, groups: int) -> SchedExp:
        names = ("start_lr", "end_lr")
        start, end = (
            learning_rates(rate, groups, argument=name, example=example)
            for name, rate, example in zip(names, self._ends, ("1e-7", "10"), strict=True)
        )
        if not np.all(np.asarray(start) < np.asarray(end)):
            raise wrong_value(
                f"start_lr={self._ends[0]!r}, end_lr={self._ends[1]!r}",
                "a search goes from a low rate to a high one",
                "Pass for example `start_lr=1e-7, end_lr=10`.",
            )
        return SchedExp(start, end)

    def _rates(self, positions: Array) -> Array:
        """The rate at each position, of the last parameter group where there are several."""
        rates = np.asarray(self._exponential(self._count or 1)(positions), dtype=np.float64)
        return rates[..., -1] if self._count else rates
