"""A search in a running `fit`: the rate rises from batch to batch, and each batch's loss is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_sched.annealers import SchedExp, SchedNo
from keras_sched.callbacks import Scheduler
from keras_sched.errors import check_not_negative, check_whole, wrong_state, wrong_value
from keras_sched.hypers import LearningRate, groups_wanted, learning_rates
from keras_sched.lr_finder.progress import Progress
from keras_sched.lr_finder.record import DATA_ENDED, Array, Record, Recorder, SearchLosses
from keras_sched.snapshot import Snapshot
from keras_sched.step import ScheduledFit, backend
from keras_sched.step.backend import batches_per_call
from keras_sched.step.state import is_built
from keras_sched.updates import watch_updates

LEAST = 6
"""The fewest batches of a search, as in fastai."""
_SKIPPED = 50  # in a row: halved as often, a loss scale is too small for any gradient


@dataclass(eq=False, repr=False, kw_only=True)
class Search(Scheduler):
    """The callback that searches, in a `fit` of any length; what it trains is for others to put back.

    The arguments are those of `lr_find`; `validation` is what `evaluate` takes, where the loss is measured on that.
    """

    start_lr: LearningRate = 1e-7
    end_lr: LearningRate = 10
    num_it: int = 100
    stop_div: bool = True
    wd: float | None = None
    repeats: int = 1
    validation: dict[str, Any] | None = None
    verbose: Any = 0

    def _settle(self) -> None:
        super()._settle()
        self.num_it = max(check_whole("num_it", self.num_it, "how many batches the search takes", 100), LEAST)
        check_whole("repeats", self.repeats, "how many searches there are", 3)
        self.snapshot: Snapshot | None = None
        """A copy of what the search trains. It is put back between two searches, and at the end by whoever made it."""
        self._count = groups_wanted(self.start_lr) or groups_wanted(self.end_lr)
        self._exponential(self._count or 1)
        if self.wd is not None:
            check_not_negative("wd", self.wd, "the weight decay during the search", "0.01")
        self._forget()

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The rate, and the weight decay where one was given."""
        decay = {} if self.wd is None else {"wd": SchedNo(self.wd, self.wd)}
        return {"lr": self._exponential(groups), **decay}

    def groups_asked(self) -> tuple[int, str] | None:
        """As many as there are rates."""
        return None if self._count is None else (self._count, f"start_lr={self.start_lr!r}, end_lr={self.end_lr!r}")

    def most_batches(self, model: keras.Model) -> int:
        """How many batches there can be at most. A loss scale that is too large is halved at each one it skips."""
        skipped = 2 * _SKIPPED if isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) else 0
        return (self.num_it + skipped) * self.repeats

    @property
    def record(self) -> Record:
        """What was measured so far."""
        curves = self._curves or [self._recorder.curve()]
        return Record.of(curves, self._rates, self.num_it)

    # Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the schedule, and copy what the search will change."""
        self._forget()
        super().on_train_begin(logs)
        with self._hook() as fit:
            self._prepare(fit)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin, or go on where the last epoch ended."""
        with self._hook() as fit:
            fit.begin_epoch(None)
            watch_updates(fit)
        self._before = self.run

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Take the loss of the batch; one batch late, so that the device need not wait for us."""
        with self._hook() as fit:
            self.run += 1
            if self._finished:
                return
            self._skipped = 0 if self._has_trained() else self._skipped + 1
            if 0 < self._skipped < _SKIPPED:
                return
            self._waiting.append(np.nan if self._skipped else self._loss(logs))
            last = len(self._recorder.raw) + len(self._waiting) == self.num_it
            self._take(0 if last else self._lag)
            if self._recorder.stopped is not None:
                self._next(fit)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """End where the data has."""
        with self._hook() as fit:
            fit.end_epoch()
            if self.run == self._before:
                fit.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Read what is left, and put everything back."""
        if not self._finished and self._fit is not None:
            self._take(0)
            self._recorder.stopped = self._recorder.stopped or DATA_ENDED
            self._over()
        super().on_train_end(logs)

    # Inside

    def _forget(self) -> None:
        self._curves: list[SearchLosses] = []
        self._recorder = Recorder(self.num_it, stop_div=self.stop_div)
        self._waiting: list[Any] = []  # losses that were not read yet
        self.run = self._before = self._skipped = 0  # batches
        self._trained = 0  # of this search
        self._counted: int | None = None
        self._lag, self._finished = 1, False

    def _prepare(self, fit: ScheduledFit) -> None:
        model = fit.model
        if batches_per_call(model) > 1:
            expected = "it looks at the loss of each batch, and here it cannot ask for them one by one"
            cure = "Use `lr_find`, or compile with `steps_per_execution=1`."
            raise wrong_state(f"a model compiled with steps_per_execution={batches_per_call(model)}", expected, cure)
        fit.searching = lambda: self._trained
        fit.at_end(self._over)
        fit.leave_out_validation()
        self._progress = Progress(self.num_it * self.repeats, self.verbose)
        self._counted = self._steps_taken()
        read_at_once = self.validation is not None or self._counted is not None
        self._lag = 0 if read_at_once or not self._parameters().get("steps") else 1
        if is_built(model):
            self._copy(fit)
        else:
            fit.before_first_batch = self._build

    def _build(self, arguments: tuple[Any, ...]) -> None:
        fit = self._running()
        backend().build(fit.model, arguments)
        self._copy(fit)

    def _copy(self, fit: ScheduledFit) -> None:
        if self.snapshot is not None:
            self.snapshot.take()

    def _steps_taken(self) -> int | None:
        """How many batches the optimizer counts, where it may skip some: those whose scaled gradients overflow."""
        model = self._running().model
        if not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        backend().attach_state(model)
        return int(model.optimizer.iterations)

    def _loss(self, logs: Any) -> Any:
        if self.validation is not None:
            model: Any = self._running().model
            backend().attach_state(model)
            logs = model.evaluate(verbose=0, return_dict=True, **self.validation)
            backend().after_evaluation(model)
        if isinstance(logs, Mapping) and "loss" in logs:
            return backend().mean_over_processes(logs["loss"])
        step = "train_step" if self.validation is None else "test_step"
        told = ", ".join(logs) if isinstance(logs, Mapping) else repr(logs)
        cure = f"Let `{step}` return it too: `{{'loss': ...}}`."
        raise wrong_state(f"a `{step}` which returns {told or 'nothing'}", "the search follows `loss`", cure)

    def _has_trained(self) -> bool:
        """Whether the batch counts: where the loss scale has skipped its step, another batch follows at its rate."""
        if self._counted is not None:
            before, self._counted = self._counted, self._steps_taken()
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

    def _next(self, fit: ScheduledFit) -> None:
        """A search has ended: go on with the next, or be done."""
        self._close()
        if len(self._curves) == self.repeats or self.snapshot is None:
            fit.model.stop_training = self._finished = True
            return
        fit.end_epoch()
        backend().attach_state(fit.model)
        self.snapshot.rewind()
        self._counted, self._trained, self._skipped = self._steps_taken(), 0, 0
        fit.begin_epoch(None)

    def _close(self) -> None:
        self._curves.append(self._recorder.curve())
        self._recorder = Recorder(self.num_it, stop_div=self.stop_div)
        self._waiting = []

    def _over(self) -> None:
        """The fit has ended, also by an error. After another search, one that the data cut short does not count."""
        if not self._finished and not (self._curves and self._recorder.stopped == DATA_ENDED):
            self._close()
        self._finished = True
        self._progress.end(self.record.why)

    def _length(self) -> int:
        return self.num_it

    def _exponential(self, groups: int) -> SchedExp:
        start = learning_rates(self.start_lr, groups, argument="start_lr", example="1e-7")
        end = learning_rates(self.end_lr, groups, argument="end_lr", example="10")
        if not np.all(np.asarray(start) < np.asarray(end)):
            expected = "a search goes from a low rate to a high one"
            cure = "Pass for example `start_lr=1e-7, end_lr=10`."
            raise wrong_value(f"start_lr={self.start_lr!r}, end_lr={self.end_lr!r}", expected, cure)
        return SchedExp(start, end)

    def _rates(self, positions: Array) -> Array:
        """The rate at each position, of the last parameter group where there are several."""
        rates = np.asarray(self._exponential(self._count or 1)(positions), dtype=np.float64)
        return rates[..., -1] if self._count else rates
