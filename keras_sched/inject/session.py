"""One scheduled fit of one model: what is swapped when it begins, and put back when it ends, however it ends."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.hypers import RATE, innermost
from keras_sched.inject.apply import Injection, put, take_away
from keras_sched.inject.building import build_parts
from keras_sched.inject.kept import StepKey, kept_step
from keras_sched.inject.leaf import Leaf, Plan
from keras_sched.inject.names import check_keras
from keras_sched.inject.rows import HostRows, Layout
from keras_sched.inject.shown import ShownRate, inside_fit, rate_of_step
from keras_sched.inject.steps import ScheduledStep, end_of_data, own_batches

_SESSION = "_keras_sched_session"


class ScheduledFit:
    """The schedules of every callback of one `fit`, and what is swapped in the model while it runs.

    Args:
        model: the compiled model.
    """

    def __init__(self, model: keras.Model) -> None:
        check_keras()
        self.model = model
        self.backend = keras.backend.backend()
        build_parts(model)
        self.leaves = [Leaf(optimizer) for optimizer in innermost(model.optimizer)]
        self.alive = True
        self.searching = False  # then the rates are exactly as scheduled, whatever others write
        self.step: ScheduledStep | None = None
        self._shown: dict[int, ShownRate] = {}
        self._plain: Any = None
        self._function: Any = None
        self._at_end = ExitStack()
        self._logged: list[Callable[[], Mapping[str, float]]] = []
        self._in_epoch = False
        self.epoch_logged = False  # whether this epoch's logs have the values
        self._at_first_batch = False  # of an epoch
        self._ran = 0  # batches since the last anchor
        self._limit = 0  # how many there may be before the window ends
        self._last = -1  # and how many when a call may still be made without looking after it

    @classmethod
    def of(cls, model: keras.Model) -> "ScheduledFit":
        """The running fit's, made by the first callback that asks."""
        session = vars(model).get(_SESSION)
        if session is None or not session.alive:
            session = cls(model)
            # First what ends the session, so that one interrupted here is ended by the next fit.
            put(model, "make_train_function", session._make_train_function)
            put(model, "_get_metrics_result_or_logs", session._epoch_logs)
            put(model, _SESSION, session)
        return session

    def add(self, plans: Sequence[Plan]) -> None:
        """Take one plan for each innermost optimizer, in the order of `leaves`."""
        with self.ended_by_errors():
            for leaf, plan in zip(self.leaves, plans, strict=True):
                if plan.curves:
                    leaf.add(plan)
                    leaf.build(self.backend)
                    leaf.table.check_correction()
                    self._show(leaf)

    def log(self, values: Callable[[], Mapping[str, float]]) -> None:
        """Let the logs of each epoch have `values()`, for every callback, also those before ours in the list."""
        self._logged.append(values)

    def at_end(self, put_back: Callable[[], None]) -> None:
        """Have `put_back` called once, after all of ours was put back; the last one asked for is called first."""
        self._at_end.callback(put_back)

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """Around a hook of ours: everything is put back where it dies."""
        try:
            yield
        except BaseException:
            self.end()
            raise

    @property
    def running(self) -> bool:
        """Whether the fit's first epoch has begun."""
        return self.step is not None

    def counted(self, expected: int, slack: int) -> int | None:
        """The batches that the optimizer has counted, where they are not from `expected` to `expected + slack`.

        `None` also where it has counted none: it is a new one. Batches that a loss scale skips are not counted.
        """
        for leaf in self._scheduled():
            count = leaf.iterations()
            too_few = count < expected and not isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer)
            if count and (too_few or count >= expected + slack):
                return count
        return None

    # While the fit runs

    def begin_epoch(self, row: int | None) -> None:
        """Anchor the tables: the coming batch takes row `row`, or the one after the last where that is not known."""
        if self._in_epoch:
            return
        if not self.alive:
            raise wrong_state(
                "a schedule that has ended before its fit",
                "another `fit` or `compile` of the same model, inside this fit, has ended it",
                "Train that in a fit of its own, or another model in it.",
            )
        if self.step is None:
            self._install()
        for which, leaf in enumerate(self._scheduled()):
            self._anchor(which, leaf, leaf.first_row if row is None else row)
        self._in_epoch, self._at_first_batch, self.epoch_logged = True, True, False
        self._ran, self._last = 0, -1

    def end_epoch(self) -> None:
        """Close the account of the rows that this epoch used."""
        if not self._in_epoch:
            return
        for leaf in self._scheduled():
            leaf.account(self._rows_run(leaf))
        self._in_epoch, self._ran = False, 0

    def end(self) -> None:
        """Put everything back. Called when the fit ends, when its step dies, and before the next one begins."""
        if not self.alive:
            return
        try:
            self.end_epoch()
        finally:
            self._put_back()
            self.alive = False
            self._at_end.close()

    # What was used

    def used(self, leaf: Leaf, attribute: str) -> NDArray[np.float64]:
        """The values of `attribute` in the batches run so far: (N, groups)."""
        spans = [*leaf.used, (leaf.first_row, self._rows_run(leaf))]
        rows = np.concatenate([np.arange(0), *(np.arange(first, first + count) for first, count in spans)])
        return leaf.table.values(attribute, rows)

    def last_value(self, leaf: Leaf, attribute: str) -> NDArray[np.float64]:
        """The value of the last batch run, (groups,), or before any of the first one to come."""
        run = self._rows_run(leaf)
        if run or not leaf.used:
            row = leaf.first_row + max(run - 1, 0)
        else:
            first, count = leaf.used[-1]
            row = first + count - 1
        return leaf.table.values(attribute, [row])[0]

    # Inside

    def _put_back(self) -> None:
        """Every part can be done twice, so that an end which was interrupted is made good by the next one."""
        for shown in self._shown.values():
            shown.remove()
        if self.step is not None:
            for injection in self.step.injections:
                injection.remove()
            if self.model.train_function is self._function:
                self.model.train_function = self._plain
        for name in ("_get_metrics_result_or_logs", _SESSION, "make_train_function"):
            take_away(self.model, name)

    def _scheduled(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.plans]

    def _install(self) -> None:
        leaves = self._scheduled()
        layouts = [Layout(leaf.table, leaf.optimizer) for leaf in leaves]
        self.step = self._kept_step(leaves, layouts)
        self.step.searching = self.searching
        self._plain = self.model.train_function
        self._function = self._guarded(self.step.function)
        self.model.train_function = self._function
        for leaf, injection, layout in zip(leaves, self.step.injections, layouts, strict=True):
            leaf.window_first = None
            shown = self._shown.get(id(leaf))
            if shown is not None:
                shown.injection = injection
                shown.peek = rate_of_step(injection, layout)

    def _show(self, leaf: Leaf) -> None:
        """Let others read and write the scheduled rate, from before the first batch."""
        if leaf.table.scheduled(RATE) and id(leaf) not in self._shown:
            shown = ShownRate(self.model, leaf.optimizer, lambda: float(self.last_value(leaf, RATE)[-1]))
            self._shown[id(leaf)] = shown  # first, so that one interrupted half way is removed too
            shown.install()

    def _kept_step(self, leaves: list[Leaf], layouts: list[Layout]) -> ScheduledStep:
        if self.backend == "torch":
            return self._make_step(leaves, layouts)
        key = StepKey.of(self.model, leaves, layouts)
        return kept_step(self.model, key, lambda: self._make_step(leaves, layouts))

    def _make_step(self, leaves: list[Leaf], layouts: list[Layout]) -> ScheduledStep:
        injections = [Injection(leaf.optimizer, leaf.groups, leaf.group) for leaf in leaves]
        if self.backend == "jax":
            from keras_sched.inject.jax_step import JaxStep

            return JaxStep(self.model, injections, layouts)
        if self.backend == "tensorflow":
            from keras_sched.inject.tensorflow_step import TensorFlowStep

            return TensorFlowStep(self.model, injections, layouts)
        from keras_sched.inject.torch_step import TorchStep

        rows = [
            HostRows(leaf.table, callable_rate=layout.rate_is_callable)
            for leaf, layout in zip(leaves, layouts, strict=True)
        ]
        plain: Any = self.model.train_function
        return TorchStep(self.model, injections, layouts, rows, plain)

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The step's function, counted, with its window kept ahead, and everything put back when it dies."""
        batches = own_batches(self.model)
        ended = end_of_data(self.backend)

        def train_function(*arguments: Any) -> Any:
            result = None
            try:
                if self._ran > self._last:
                    self._go_on(arguments, batches)
                result = function(*arguments)
                self._ran += batches
            except BaseException as error:
                if not isinstance(error, ended):
                    self._die(arguments, result)
                raise
            return result

        return train_function

    def _go_on(self, arguments: tuple[Any, ...], batches: int) -> None:
        """Before a call that is the first of an epoch, or could go past the window's end."""
        if self._at_first_batch:
            self._take_writes()
        if self._ran + batches > self._limit:
            self._refill(arguments)
        self._last = self._limit - batches

    def _die(self, arguments: tuple[Any, ...], result: Any) -> None:
        self.end()
        if self.step is not None:
            self.step.give_back(arguments, result)

    def _anchor(self, which: int, leaf: Leaf, row: int) -> None:
        leaf.first_iteration, leaf.first_row = leaf.iterations(), row
        self._load(which, leaf)

    def _take_writes(self) -> None:
        """Scale the rest of the schedule by what others wrote, also in a hook that comes after ours."""
        self._at_first_batch = False
        factors = {number: shown.take_factor() for number, shown in self._shown.items()}
        if self.searching or all(factor == 1.0 for factor in factors.values()):
            return
        for which, leaf in enumerate(self._scheduled()):
            leaf.table.scale_rate(leaf.first_row, factors.get(id(leaf), 1.0))
            leaf.window_first = None
            self._load(which, leaf)

    def _load(self, which: int, leaf: Leaf) -> None:
        """Give the step rows from `leaf.first_row` on, in a new window where they are not in the one it has."""
        if self.step is None:
            return
        if self.backend == "torch":
            if leaf.window_first is None:
                leaf.window_first = leaf.first_row
                self.step.load(which, None, leaf.first_row)
            else:
                self.step.restart(which, leaf.first_row)
            self._limit = np.iinfo(np.int64).max
            return
        rows, batches = leaf.table.window_rows, own_batches(self.model)
        first = leaf.window_first
        if first is None or not first <= leaf.first_row <= first + rows - batches:
            first = leaf.window_first = leaf.first_row
            self.step.load(which, leaf.table.window(first), leaf.first_iteration)
        else:
            self.step.restart(which, leaf.first_iteration - (leaf.first_row - first))
        left = rows - (leaf.first_row - first)
        self._limit = left if which == 0 else min(self._limit, left)

    def _refill(self, arguments: tuple[Any, ...]) -> None:
        """In mid-epoch, once a window: go on with the rows that come."""
        for which, leaf in enumerate(self._scheduled()):
            leaf.account(self._iterations_in_flight(leaf, arguments) - leaf.first_iteration)
            leaf.window_first = None
            self._load(which, leaf)
        self._ran = 0

    def _iterations_in_flight(self, leaf: Leaf, arguments: tuple[Any, ...]) -> int:
        if self.backend != "jax":
            return leaf.iterations()
        variables = self.model.optimizer.variables
        place = next(i for i, variable in enumerate(variables) if variable is leaf.optimizer._iterations)
        return int(arguments[0][2][place])

    def _rows_run(self, leaf: Leaf) -> int:
        """Rows used since the last anchor: what the optimizer counted, or where that is in flight what was called."""
        if self.step is None or not self._in_epoch:
            return 0
        if self.backend == "torch":
            rows = self.step.rows[self._scheduled().index(leaf)]  # type: ignore[attr-defined]
            return rows.position - leaf.first_row
        if self.backend == "jax" and leaf.optimizer._iterations._value is None:
            return self._ran
        return min(max(leaf.iterations() - leaf.first_iteration, 0), self._ran)

    def _epoch_logs(self, logs: Any) -> Any:
        """What `model._get_metrics_result_or_logs` is: `fit` asks it for an epoch's logs, `evaluate` for its own."""
        own = type(self.model)._get_metrics_result_or_logs(self.model, logs)
        if sys._getframe(1).f_code.co_name != "fit":
            return own
        values = {name: value for logged in self._logged for name, value in logged().items()}
        self.epoch_logged = True
        return {**own, **values}

    def _make_train_function(self, force: bool = False) -> Any:
        """What `model.make_train_function` is while a schedule is on: a new fit finds the plain function again."""
        if inside_fit(self.model, through="train_on_batch"):
            return self.model.train_function  # a batch trained by a callback of the running fit takes the next row
        self.end()
        return self.model.make_train_function(force)
