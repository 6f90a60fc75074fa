"""Schedules in a custom training loop: `with scheduled(optimizer, ...) as s`."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import Plan, check_scheds, curves_of, differs_by_group, groups_of
from keras_sched.errors import advise, check_whole, speaking_as, wrong_state, wrong_type, wrong_value
from keras_sched.groups import divide_variables
from keras_sched.hypers import innermost
from keras_sched.step import InnerOptimizer, backend
from keras_sched.step.attributes import own, put
from keras_sched.step.keras_names import check_keras
from keras_sched.step.override import Override
from keras_sched.step.table import HostRows, Layout, Values

Window = tuple[tuple[Any, Any], ...]
"""For each inner optimizer its rows, float32 (rows, width), and the count of updates at which the first is taken."""

_MOST_ROWS = 2**20


def scheduled(
    optimizer: keras.Optimizer, scheds: Mapping[str, Any], *, steps: int, groups: Any = None
) -> "ScheduledLoop":
    """Schedule the hyper-parameters of an optimizer in a training loop of your own.

    Inside `with scheduled(...) as s`, each call of the optimizer's `apply`, `apply_gradients` or `stateless_apply`
    takes the next step's values. On leaving, also by an exception, the optimizer is as it was.

    In a step that you compile (`jax.jit`, `tf.function`) the values must come in as arguments: pass it `s.window()`,
    and call `s.apply(window, grads, variables)` or `s.stateless_apply(window, ...)` there. `s.hps` has the values used
    so far, one a step.

    Args:
        optimizer: any Keras optimizer; a `LossScaleOptimizer` or `MultiOptimizer` schedules those inside it.
        scheds: {hyper-parameter: annealer, or a list of annealers, one a parameter group}, as for `ParamScheduler`.
        steps: the number of steps, at least 1: step i has the values at position `i / steps`, those past the end the
            values at position 1.
        groups: how the variables are divided into parameter groups: lists of layers or of name patterns, or a
            function of a variable.

    Returns:
        A `ScheduledLoop`, to be used as a context manager.

    Raises:
        ValueError: when the optimizer has no such hyper-parameter, or `steps` is no whole number of at least 1.
        RuntimeError: when `apply` is called inside a compiled step without a window.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import SchedLin, scheduled
        >>> weight, optimizer = keras.Variable([1.0]), keras.optimizers.SGD(0.5)
        >>> with scheduled(optimizer, {"lr": SchedLin(0.4, 0.0)}, steps=4) as s:
        ...     for _ in range(2):
        ...         optimizer.apply([keras.ops.ones(1)], [weight])
        >>> [round(rate, 2) for rate in s.hps["lr"].tolist()]
        [0.4, 0.3]
        >>> round(float(weight.numpy()[0]), 2), round(float(optimizer.learning_rate.numpy()), 2)
        (0.3, 0.5)
    """
    return ScheduledLoop(optimizer, scheds, steps=steps, groups=groups)


class ScheduledLoop:
    """The schedules of a custom training loop; see `scheduled`, which makes one."""

    @speaking_as("scheduled")
    def __init__(
        self, optimizer: keras.Optimizer, scheds: Mapping[str, Any], *, steps: int, groups: Any = None
    ) -> None:
        check_keras()
        if not isinstance(optimizer, keras.Optimizer):
            raise wrong_type(repr(optimizer), "it is a Keras optimizer", "Pass for example `keras.optimizers.SGD()`.")
        self.optimizer = optimizer
        self.steps = check_whole("steps", steps, "the number of steps of the loop")
        self.scheds = check_scheds(scheds)
        count = self._count_groups(groups)
        self._inner = [_LoopOptimizer(self, each, count, groups) for each in innermost(optimizer)]
        if not self._inner:
            raise wrong_state(
                "a `MultiOptimizer` that a function divides, and that is not built",
                "its optimizers are not known before",
                "Build it first: `optimizer.build(model.trainable_variables)`.",
            )
        self._inside = self._entered = self.windowed = False
        self._before: dict[str, Any] = {}  # methods of the outer optimizer, where there is one
        self.outer_traced: bool | None = None  # whether its running call is traced
        # A call of `apply` does not yet mean a step where both branches of a loss scale's condition are traced.
        self.may_skip = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and backend().traces_conditions

    @property
    def hps(self) -> dict[str, NDArray[np.float64]]:
        """{name as given: the values used so far, one per step: (N,), or (N, G) with G parameter groups}.

        With a window the steps are those that the optimizer has counted. A loop on JAX that keeps the state outside has
        to assign it to `optimizer.variables` first; without that, a warning says so.
        """
        with speaking_as("ScheduledLoop.hps"):
            if not self._entered:
                raise wrong_state("no loop yet", "it tells what one used", "Write `with scheduled(...) as s:` first.")
            each = max(self._inner, key=_LoopOptimizer.steps_taken)  # one without a variable of its own takes none
            if self.windowed and not each.steps_taken():
                advise(
                    "a loop whose optimizer has counted no step",
                    "the steps are counted in `optimizer.variables`, and a stateless loop keeps that state outside",
                    "Assign the state first: `for v, value in zip(optimizer.variables, state): v.assign(value)`.",
                )
        rows = range(each.steps_taken())
        attributes = {name: attribute for attribute, name in each.plan.names.items()}
        values = {name: each.inner.table.values(attributes[name], rows) for name in self.scheds}
        return {name: of if differs_by_group(self.scheds[name]) else of[:, 0] for name, of in values.items()}

    @speaking_as("scheduled")
    def __enter__(self) -> Self:
        if self._inside:
            raise wrong_state("a loop inside itself", "its rows are counted once", "Make a second one.")
        if backend().being_traced(()):
            raise wrong_state(
                "a `with` inside a compiled step",
                "it is entered once, while the step is compiled",
                "Write the `with` around the loop, and pass the step `s.window()`.",
            )
        for each in self._inner:
            each.begin()
        if all(each.inner.optimizer is not self.optimizer for each in self._inner):
            # A loss scale calls the optimizer inside it from within a `cond`, which JAX traces in an eager loop too.
            for name in ("apply", "stateless_apply"):
                self._before[name] = own(self.optimizer, name)
                put(self.optimizer, name, self._outer(getattr(self.optimizer, name)))
        self._inside, self._entered, self.windowed = True, True, False
        return self

    @speaking_as("scheduled")
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        for name, before in self._before.items():
            put(self.optimizer, name, before)
        self._before = {}
        for each in self._inner:
            each.end()
        for each in self._inner if error is None else ():
            each.check_taken()

    def window(self, optimizer_variables: Sequence[Any] | None = None) -> Window:
        """The table as tensors, to be an argument of a step that you compile.

        All steps are in it, so that one window serves the whole loop; it has the same shape in every call.

        Args:
            optimizer_variables: the state of the optimizer before the first step, where a loop on JAX keeps it
                outside the optimizer. By default `optimizer.variables` tell how many steps it has made.

        Returns:
            A tuple, one for each inner optimizer, of (rows, start): float32 of shape (steps + 1, width), and the count
            of updates at which the first row is taken, a whole number.

        Raises:
            ValueError: when the loop has more than 1,048,576 steps.
            RuntimeError: outside `with`.
        """
        with speaking_as("ScheduledLoop.window"):
            self._check_inside()
            if self.steps > _MOST_ROWS:
                raise wrong_value(
                    f"steps={self.steps}",
                    f"a window has at most {_MOST_ROWS} rows",
                    "Make one `scheduled(...)` for each part of the loop.",
                )
        return tuple(each.window(self._start(each, optimizer_variables)) for each in self._inner)

    def apply(self, window: Window, grads: Any, trainable_variables: Any = None) -> None:
        """`optimizer.apply(grads, trainable_variables)` with the window's values, inside a step that you compile."""
        call = backend().outside_graph(self._with_window)
        call(window, lambda: self.optimizer.apply(grads, trainable_variables))

    def stateless_apply(self, window: Window, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        """`optimizer.stateless_apply(...)` with the window's values, inside a step that you compile."""
        return self._with_window(
            window, lambda: self.optimizer.stateless_apply(optimizer_variables, grads, trainable_variables)
        )

    def _start(self, each: "_LoopOptimizer", optimizer_variables: Sequence[Any] | None) -> Any:
        if optimizer_variables is None:
            return each.inner.first_count
        places = [i for i, variable in enumerate(self.optimizer.variables) if variable is each.inner.counter]
        return optimizer_variables[places[0]]

    def _with_window(self, window: Window, call: Callable[[], Any]) -> Any:
        with speaking_as("ScheduledLoop.apply"):
            self._check_inside()
        self.windowed = True
        for each, (rows, start) in zip(self._inner, window, strict=True):
            each.given = (rows, start)
        try:
            return call()
        finally:
            for each in self._inner:
                each.given = None

    def _outer(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            self.outer_traced = backend().being_traced(arguments)
            try:
                return method(*arguments, **keywords)
            finally:
                self.outer_traced = None

        return called

    def _check_inside(self) -> None:
        if not self._inside:
            raise wrong_state("no loop", "it works inside `with`", "Write `with scheduled(...) as s:`.")

    def _count_groups(self, division: Any) -> int:
        wanted = groups_of(self.scheds) or 1
        if division is None and wanted > 1:
            raise wrong_value(
                f"schedules for {wanted} parameter groups",
                "without a model nobody knows which variable is in which",
                "Pass `groups=`: lists of layers, of name patterns, or a function of a variable.",
            )
        return len(division) if isinstance(division, Sequence) else wanted


class _LoopOptimizer:
    """One inner optimizer of a custom loop."""

    def __init__(self, loop: ScheduledLoop, optimizer: keras.Optimizer, groups: int, division: Any) -> None:
        self.loop = loop
        self.inner = InnerOptimizer(optimizer)
        self.given: tuple[Any, Any] | None = None
        self._division = division
        curves, names = curves_of(loop.scheds, optimizer, loop.steps, groups)
        self.plan = Plan(curves, loop.steps, groups, names=names)
        self.inner.add(self.plan)
        self._layout = Layout(self.inner.table, optimizer)
        self._rows = HostRows(self.inner.table, callable_rate=self._layout.rate_is_callable)
        self._override = Override(optimizer, groups, self._group)
        self._override.read, self._override.check = self._read, self._check
        self._taken: int | None = None
        self._window: Any = None

    def begin(self) -> None:
        self.inner.first_count = self._count()
        self._rows.position, self._taken = 0, None
        self._override.install()

    def end(self) -> None:
        try:
            self._taken = self.steps_taken()
        finally:
            self._override.remove()

    def steps_taken(self) -> int:
        """The steps that took a row: those that the optimizer counted, or that were counted here."""
        if self._taken is not None:
            return self._taken
        if not self.loop.windowed:
            return self._rows.position
        return max(self._rows.position, self._count() - self.inner.first_count)

    def check_taken(self) -> None:
        """Raise where the optimizer has made steps that took no row of ours."""
        missed = self._count() - self.inner.first_count - self.steps_taken()
        if missed > 0:
            raise wrong_state(
                f"steps of `{self.inner.name}` that took none of its values, {missed} of them",
                "a step that was compiled before, by `fit` or by you, keeps the values it was compiled with",
                "Use `ParamScheduler` with `fit`; compile a step of your own inside `with`, and pass it `s.window()`.",
            )

    def window(self, start: Any) -> tuple[Any, Any]:
        self.loop.windowed = True
        if self._window is None:
            rows = keras.ops.convert_to_tensor(self.inner.table.rows(0, self.loop.steps + 1), dtype="float32")
            if backend().being_traced(rows):
                raise _frozen("makes its own window")
            self._window = rows
        return (self._window, keras.ops.convert_to_tensor(start, dtype="int32"))

    def _read(self, updates: int) -> Values:
        if self.given is not None and backend().compiles:
            rows, start = self.given
            count: Any = keras.ops.cast(self.inner.counter, "int32")
            place = keras.ops.clip(count - keras.ops.cast(start, "int32"), 0, rows.shape[0] - 1)
            return self._layout.values(keras.ops.take(rows, place, axis=0))
        if self.loop.may_skip:
            if self._rows.position == 0:
                self.inner.first_count = self._count()  # of a state that may be in no variable
            self._rows.position = self._count() - self.inner.first_count
        return self._rows.take()

    def _check(self, grads: Any) -> None:
        traced = self.loop.outer_traced
        if not (backend().being_traced(grads) if traced is None else traced):
            return
        if self.given is None or not backend().being_traced(self.given):
            raise _frozen("calls the optimizer itself" if self.given is None else "has its window from outside")

    def _count(self) -> int:
        count = self.inner.count()
        return self.inner.first_count + self._rows.position if count is None else count

    def _group(self, variable: Any) -> int:
        if not self.inner.group_of:
            divided = divide_variables(self.inner.trained, self._division)
            self.inner.group_of = {id(v): number for number, group in enumerate(divided) for v in group}
        return self.inner.group_of[id(variable)]


@speaking_as("scheduled")
def _frozen(found: str) -> RuntimeError:
    return wrong_state(
        f"a compiled step that {found}",
        "the values of the step in which it was compiled would be frozen there",
        "Pass it `s.window()` as an argument, and call `s.apply(window, grads, variables)` inside; with `fit`, use "
        "`ParamScheduler`.",
    )
