"""One scheduled fit of one model: what changes when it begins, and is put back when it ends, however it ends."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import Plan
from keras_sched.errors import wrong_value
from keras_sched.hypers import RATE, innermost, known_innermost
from keras_sched.step.attributes import Replaced, own
from keras_sched.step.backend import Arguments, ScheduledStep, backend, batches_per_call
from keras_sched.step.cache import StepKey, cached_step
from keras_sched.step.inner import InnerOptimizer
from keras_sched.step.keras_names import check_keras
from keras_sched.step.numbers import as_int
from keras_sched.step.objects import Objects, Target
from keras_sched.step.override import Override
from keras_sched.step.shown import ShownRate
from keras_sched.step.table import Layout


class ScheduledFit:
    """The schedules of every callback of one `fit` of a compiled model."""

    def __init__(self, model: keras.Model) -> None:
        check_keras()
        backend().check_model(model)
        self.model = model
        self.alive = True
        self.searching: Callable[[], int] | None = None  # in a search: gives the row at which an epoch begins
        self.before_first_batch: Callable[[Arguments], None] | None = None  # called once
        self.step: ScheduledStep | None = None
        self._inner: dict[int, InnerOptimizer] = {}
        self._plain: Any = None
        self._changed = Replaced()
        self._at_end = ExitStack()
        self._in_epoch = self._at_first_batch = self._ended = False
        self._ran = 0  # batches since the last anchor
        self._limit = 0  # how many there may be until the window ends

    @classmethod
    def of(cls, model: keras.Model) -> "ScheduledFit":
        """The running fit's, made by the first callback that asks."""
        running = cls.running(model)
        if running is None or not running.alive:
            cls.end_of(model)
            running = cls(model)
            running._changed.put(model, "make_train_function", running._make_train_function)
        return running

    @staticmethod
    def running(model: keras.Model) -> "ScheduledFit | None":
        """The fit that has the model's step now; one that died may still have it."""
        found = getattr(own(model, "make_train_function"), "__self__", None)
        return found if isinstance(found, ScheduledFit) else None

    @staticmethod
    def end_of(model: keras.Model, *, left: bool = False) -> None:
        """End the fit of `model`, where one that died has left something."""
        running = ScheduledFit.running(model)
        if running is not None:
            running.end(left=left)

    def inner(self, optimizer: keras.Optimizer) -> list[InnerOptimizer]:
        """The inner optimizers of an optimizer; a `RuntimeError` where they are not known yet."""
        if not innermost(optimizer) and self.model.built:
            with backend().scope(self.model):
                optimizer.build(self.model.trainable_variables)  # a function divides the variables among them
        cure = "Build the model first: begin it with `keras.Input`, or call `model.build(input_shape)`."
        parts = known_innermost(optimizer, cure)
        skips = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        new = {id(each): InnerOptimizer(each, skips=skips, part=len(parts) > 1) for each in parts}
        return [self._inner.setdefault(key, each) for key, each in new.items()]

    def add(self, inner: InnerOptimizer, plan: Plan, targets: Mapping[str, Target] | None = None) -> None:
        """Take what one callback schedules on one inner optimizer, and beside it."""
        if not plan.curves:
            return
        for target in (targets or {}).values():
            if any(target.overlaps(other) for each in self._inner.values() for other in each.targets.values()):
                raise wrong_value(repr(target.label), "another callback has it, or some of it", "Keep one of the two.")
        inner.targets |= targets or {}
        inner.add(plan)
        if inner.table.scheduled(RATE) and inner.shown is None:
            inner.shown = ShownRate(
                inner.optimizer,
                lambda: float(self.last_value(inner, RATE)[-1]),
                lambda: self._at_first_batch or not self._in_epoch,
            )
            inner.shown.install()

    def at_end(self, put_back: Callable[[], None]) -> None:
        """Have `put_back` called once, after the rest was put back; the last one asked for is called first."""
        self._at_end.callback(put_back)

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """Around a hook of ours: put everything back where it dies."""
        try:
            yield
        except BaseException:
            self.end()
            raise

    def begin_epoch(self, row: int | None) -> None:
        """Let the coming batch take row `row`; the one after the last where that is not known."""
        if self._in_epoch:
            return
        if self.step is None:
            self._install()
        row = row if self.searching is None else self.searching()
        for each in self.scheduled():
            each.anchor(each.first_row if row is None else row)
        self._anchor()
        self._in_epoch = self._at_first_batch = True

    def end_epoch(self) -> None:
        """Note the rows that this epoch used, and how many updates each optimizer made in its batches."""
        if not self._in_epoch:
            return
        self._in_epoch = False
        for each in self.scheduled():
            batches, count = self.rows_run(each), each.count()
            each.epochs.append((0 if count is None else count - each.first_count, self._ran))
            each.account(batches, count)
        self._ran = 0

    def end(self, *, left: bool = False) -> None:
        """Put everything back: when the fit ends, when its step dies, and before the next fit what one has `left`."""
        if self._ended:
            return
        self.alive = False
        try:
            self.end_epoch()
        finally:  # where this is interrupted, the next call goes on with it
            self._put_back(left)
            self._at_end.close()
            for each in self._inner.values():
                each.release()
            self._ended = True

    def leave_out_validation(self) -> None:
        """Let no epoch of this fit be followed by validation."""
        self._changed.put(self.model, "_should_eval", lambda *_: False)

    def rows_run(self, inner: InnerOptimizer) -> int:
        """Rows used since the last anchor: what the optimizer counted; where that is in flight, what was called."""
        count = inner.count()
        counted = self._ran if count is None else max(count - inner.first_count, 0) // inner.per_batch
        return min(counted, self._ran)

    def last_value(self, inner: InnerOptimizer, attribute: str) -> NDArray[np.float64]:
        """The value of the last batch run, (groups,), or before any that of the first one to come."""
        return inner.last_value(attribute, self.rows_run(inner))

    def scheduled(self) -> list[InnerOptimizer]:
        """The inner optimizers that have a schedule, in the order of the step's overrides."""
        return [each for each in self._inner.values() if each.plans]

    def _install(self) -> None:
        inner, batches = self.scheduled(), batches_per_call(self.model)
        tables = [each.table for each in inner]
        layouts = [Layout(each.table, each.optimizer, batches) for each in inner]
        objects = Objects(self.model, [each.targets for each in inner], tables)

        def make() -> ScheduledStep:
            overrides = [Override(each.optimizer, each.groups, each.group) for each in inner]
            made = backend().step(self.model, overrides, layouts)
            made.objects = objects
            return made

        self._plain = self.model.train_function
        key = StepKey(self.model, inner, layouts, objects)
        self.step = cached_step(self.model, key, make) if backend().compiles else make()
        self.step.searching = self.searching is not None
        self.step.begin(tables, self._plain)
        model: Any = self.model
        model.train_function = self._function
        for each, override in zip(inner, self.step.overrides, strict=True):
            each.override = override
            if each.shown is not None:
                each.shown.override = override

    def _put_back(self, left: bool) -> None:
        """Every part can be done twice, so that an end which was interrupted is made good by the next one."""
        for each in self._inner.values():
            if each.shown is not None:
                each.shown.remove(left=left)
        if self.step is not None:
            for override in self.step.overrides:
                override.remove()
            self.step.objects.put_back()
            if self.model.train_function == self._function:
                self.model.train_function = self._plain
        self._changed.put_back()

    def _function(self, *arguments: Any) -> Any:
        """What `model.train_function` is: the step, with its window kept ahead."""
        step: Any = self.step
        result = None
        try:
            if self._at_first_batch:
                self._first_batch(arguments)
            if self._ran + step.batches > self._limit:  # go on with another window
                self._account(lambda counter: backend().in_flight(self.model, counter, arguments))
                self._anchor()
            result = step.function(*arguments)
            self._ran += step.batches
        except BaseException as error:
            if not isinstance(error, backend().end_of_data):
                self.end()
                step.mend(arguments, result)
            raise
        return result

    def _first_batch(self, arguments: Arguments) -> None:
        """Of an epoch: scale the rest of the schedule by what others have written, before our hook or after it."""
        self._at_first_batch = False
        if self.before_first_batch is not None:
            self.before_first_batch(arguments)
            self.before_first_batch = None
        for each in self.scheduled():
            first = each.first_row if self.searching is None and not each.epochs else None
            factor = 1.0 if each.shown is None else each.shown.take_factor(first=first)
            if self.searching is None and factor != 1.0:
                each.table.scale_rate(each.first_row, factor)
                self._anchor(changed=True)

    def _anchor(self, *, changed: bool = False) -> None:
        step: Any = self.step
        pairs = enumerate(self.scheduled())
        self._limit = min(step.anchor(which, e.first_row, e.first_count, changed=changed) for which, e in pairs)
        self._ran = 0

    def _account(self, value: Callable[[keras.Variable], Any]) -> None:
        """In the middle of an epoch: note the rows used; `value` reads the variable in which an optimizer counts."""
        for each in self.scheduled():
            count = as_int(value(each.counter))
            each.account((count - each.first_count) // each.per_batch, count)

    def _make_train_function(self, force: bool = False) -> Any:
        """What `model.make_train_function` is while a schedule is on. `fit` and `train_on_batch` call it first."""
        if not force or self.step is None:
            self.end(left=True)
            return self.model.make_train_function(force)
        # Somebody wants what was changed to take effect: the plain function and ours are made anew.
        if self._in_epoch:
            backend().attach_state(self.model)
            self._account(lambda counter: counter)
        made = type(self.model).make_train_function(self.model, force=True)
        self._install()
        self._anchor(changed=True)
        return made
