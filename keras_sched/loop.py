"""Schedules in a custom training loop: `with scheduled(optimizer, ...) as s`."""

import contextlib
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.arguments import check_window, names_checked
from keras_sched.curves import Plan, check_scheds, curves_of, differs_by_group, groups_of
from keras_sched.errors import advise, check_free, check_whole, speaking_as, wrong_state, wrong_type, wrong_value
from keras_sched.groups import divide_variables
from keras_sched.hypers import known_innermost
from keras_sched.step import InnerOptimizer, backend
from keras_sched.step.attributes import own, put
from keras_sched.step.keras_names import check_keras
from keras_sched.step.override import Override
from keras_sched.step.shown import remove_shown
from keras_sched.step.table import Layout
from keras_sched.table import HostRows, Values

Window = tuple[tuple[Any, Any], ...]
"""For each inner optimizer its rows, float32 (rows, width), and the count of updates at which the first is taken."""


@names_checked
def scheduled(
    optimizer: keras.Optimizer, scheds: Mapping[str, Any], *, steps: int, groups: Any = None
) -> "ScheduledLoop":
    """Schedule the hyper-parameters of an optimizer in a training loop of your own.

    Inside `with scheduled(...) as s`, each `apply`, `apply_gradients` or `stateless_apply` of the optimizer takes the
    next step's values; on leaving, also by an exception, it is as it was. `s.hps` has the values used so far. A step
    that you compile (`jax.jit`, `tf.function`) takes them as an argument: pass it `s.window()`, and call
    `s.apply(window, grads, variables)` or `s.stateless_apply(window, ...)` there.

    Args:
        optimizer: any Keras optimizer; a `LossScaleOptimizer` or `MultiOptimizer` schedules those inside it.
        scheds: {hyper-parameter: annealer, or a list of annealers, one per parameter group}, as for `ParamScheduler`.
        steps: the number of steps, at least 1: step i has the values at position `i / steps`, later ones those at 1.
        groups: a list of layers or of name patterns for each parameter group, or a function of a variable.

    Raises:
        ValueError: when the optimizer has no such hyper-parameter, or `steps` is no whole number of at least 1.
        RuntimeError: when `apply` is called inside a compiled step without a window.

    Example:
        >>> import keras
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
    check_keras()
    if not isinstance(optimizer, keras.Optimizer):
        raise wrong_type(repr(optimizer), "it must be a Keras optimizer", "Pass for example `keras.optimizers.SGD()`.")
    steps = check_whole("steps", steps, "the number of steps of the loop")
    return ScheduledLoop(optimizer, check_scheds(scheds), steps, groups)


class ScheduledLoop:
    """The schedules of a custom training loop; see `scheduled`, which makes one."""

    def __init__(self, optimizer: keras.Optimizer, scheds: Mapping[str, Any], steps: int, groups: Any) -> None:
        self.optimizer, self.scheds, self.steps = optimizer, scheds, steps
        count = groups_of(scheds) or 1
        if groups is None and count > 1:
            cure = "Pass `groups=`: lists of layers, of name patterns, or a function of a variable."
            expected = "without a model nobody knows which variable is in which"
            raise wrong_value(f"schedules for {count} parameter groups", expected, cure)
        count = len(groups) if isinstance(groups, Sequence) else count
        parts = known_innermost(optimizer, "Build it first: `optimizer.build(model.trainable_variables)`.")
        self._inner = [_LoopOptimizer(self, i, each, count, groups) for i, each in enumerate(parts)]
        self.inside: bool | None = None  # before the first `with`
        self._leave = contextlib.ExitStack()
        self.given: Window | None = None  # to the step that runs
        self.windowed = self.stateless = False  # values from a window; the optimizer's count perhaps in no variable
        # A call of `apply` does not yet mean a step where both branches of a loss scale's condition are traced.
        self.may_skip = isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and backend().traces_conditions

    @property
    @speaking_as("scheduled")
    def hps(self) -> dict[str, NDArray[np.float64]]:
        """{name as given: the values used so far, one per step: (N,), or (N, G) with G parameter groups}.

        With a window the optimizer counts the steps: a loop on JAX that keeps the state outside has to assign it to
        `optimizer.variables` first.
        """
        if self.inside is None:
            raise wrong_state("no loop yet", "`hps` tells what one used", "Write `with scheduled(...) as s:` first.")
        each = max(self._inner, key=_LoopOptimizer.steps_taken)  # one without a variable of its own takes none
        steps = each.steps_taken()
        if self.windowed and not steps:
            meaning = "the steps are counted in `optimizer.variables`, and a stateless loop keeps that state outside"
            cure = "Assign the state first: `for v, value in zip(optimizer.variables, state): v.assign(value)`."
            advise("a loop whose optimizer has counted no step", meaning, cure)
        used = {name: each.inner.table.values(attribute, range(steps)) for attribute, name in each.names.items()}
        return {name: used[name] if differs_by_group(of) else used[name][:, 0] for name, of in self.scheds.items()}

    @speaking_as("scheduled")
    def __enter__(self) -> Self:
        self.inside = False
        check_free(self.optimizer)
        if backend().being_traced(()):
            cure = "Write the `with` around the loop, and pass the step `s.window()`."
            raise wrong_state("a `with` inside a compiled step", "it is entered once, while that is compiled", cure)
        with contextlib.ExitStack() as leave:
            leave.callback(put, self, "inside", value=False)
            for each in self._inner:
                each.begin(leave)
            # Not of those inside a loss scale: the `cond` that calls them is traced on JAX, also in an eager loop.
            for name in ("apply", "stateless_apply"):
                leave.callback(put, self.optimizer, name, own(self.optimizer, name))
                put(self.optimizer, name, self._checked(name))
            self._leave = leave.pop_all()
        self.inside, self.windowed, self.stateless = True, False, False
        return self

    @speaking_as("scheduled")
    def __del__(self) -> None:
        if getattr(self, "inside", False) is None:
            advise("no with", "nothing was scheduled", "Write `with scheduled(...) as s:` around the loop.")

    @speaking_as("scheduled")
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._leave.close()
        for each in self._inner if kind is None else ():
            each.check_taken()
        taken = max(each.steps_taken() for each in self._inner)
        if kind is None and taken > self.steps:
            meaning = f"from step {self.steps} on, all train at the schedule's last value"
            advise(f"steps={self.steps} and took {taken}", meaning, f"Pass `steps={taken}`, if you did not mean that.")
        if kind is None and 0 < (began := self._inner[0].inner.first_count) == self.steps - taken:
            meaning = f"it began anew, after the {began} steps that the optimizer had made before"
            advise(f"steps={self.steps} and took {taken}", meaning, "To resume a run load its state inside the `with`.")
        if kind is None and not self.windowed and not taken:
            advise("a loop without a step of its optimizer", "nothing took a value", "Pass the one that it applies.")

    @speaking_as("scheduled")
    def window(self, optimizer_variables: Sequence[Any] | None = None) -> Window:
        """The table as tensors, to be an argument of a step that you compile.

        It holds all steps, and has the same shape in every call: one window serves the whole loop.

        Args:
            optimizer_variables: the optimizer's state before the first step, where a loop on JAX keeps it outside.

        Raises:
            RuntimeError: outside `with`, or inside the compiled step.
        """
        self._use_window()
        state = dict(zip(map(id, self.optimizer.variables), optimizer_variables or (), strict=False))
        return tuple(each.window(state.get(id(each.inner.counter), each.inner.first_count)) for each in self._inner)

    def apply(self, window: Window, grads: Any, trainable_variables: Any = None) -> None:
        """`optimizer.apply(grads, trainable_variables)` with the window's values, inside a step that you compile."""
        backend().outside_graph(self._with_window)(window, "apply", grads, trainable_variables)

    def stateless_apply(
        self, window: Window, optimizer_variables: Any, grads: Any, trainable_variables: Any = None
    ) -> Any:
        """`optimizer.stateless_apply(...)` with the window's values, inside a step that you compile."""
        return self._with_window(window, "stateless_apply", optimizer_variables, grads, trainable_variables)

    @speaking_as("scheduled")
    def _with_window(self, window: Window, method: str, *arguments: Any) -> Any:
        self._use_window()
        self.given = check_window(window, len(self._inner), method, arguments)
        try:
            return getattr(self.optimizer, method)(*arguments)
        finally:
            self.given = None

    def _checked(self, name: str) -> Callable[..., Any]:
        method = getattr(self.optimizer, name)

        def called(*arguments: Any, **keywords: Any) -> Any:
            self.stateless = self.stateless or name == "stateless_apply"
            traced = backend().being_traced((arguments, keywords))
            if traced and not (self.given and backend().being_traced(self.given)):
                found = "has its window from outside" if self.given else "calls the optimizer itself"
                raise _frozen(found, f", for `s.{name}(window, ...)`")
            return method(*arguments, **keywords)

        return called

    def _use_window(self) -> None:
        if not self.inside:
            raise wrong_state("no loop", "a window works inside `with`", "Write `with scheduled(...) as s:`.")
        self.windowed = True


class _LoopOptimizer:
    """One inner optimizer of a custom loop."""

    def __init__(self, loop: ScheduledLoop, place: int, optimizer: keras.Optimizer, groups: int, division: Any) -> None:
        self.loop, self._place = weakref.proxy(loop), place
        self.inner = InnerOptimizer(optimizer)
        self._division = division
        curves, self.names = curves_of(loop.scheds, optimizer, loop.steps, groups)
        self.inner.add(Plan(curves, loop.steps, groups, names=self.names))
        self._layout = Layout(self.inner.table, optimizer)
        self._rows = HostRows(self.inner.table, callable_rate=self._layout.rate_is_callable)
        self._override = Override(optimizer, groups, self._group)
        self._override.read = self._read
        self._window: Any = None

    def begin(self, leave: contextlib.ExitStack) -> None:
        remove_shown(self.inner.optimizer)
        self.inner.first_count, self._rows.position = self._count(), 0
        leave.callback(self._override.remove)
        leave.callback(self.steps_taken)  # what the optimizer does after the loop is no step of it
        self._override.install()

    def steps_taken(self) -> int:
        """The steps that took a row: counted here, or, where they take it from a window, by the optimizer."""
        if self.loop.inside and self.loop.windowed:
            self._rows.position = max(self._rows.position, self._count() - self.inner.first_count)
        return self._rows.position

    def check_taken(self) -> None:
        missed = self._count() - self.inner.first_count - self.steps_taken()
        if missed > 0:
            found = f"steps of `{self.inner.name}` that took none of its values, {missed} of them"
            expected = "a step that was compiled before, by `fit` or by you, keeps the values it was compiled with"
            cure = "Use `ParamScheduler` with `fit`; compile your own step inside `with`, and pass it `s.window()`."
            raise wrong_state(found, expected, cure)

    def window(self, start: Any) -> tuple[Any, Any]:
        start = keras.ops.convert_to_tensor(start, dtype="int32")
        if backend().being_traced(start):
            raise _frozen("makes its own window")
        if self._window is None:
            self._window = keras.ops.convert_to_tensor(self.inner.table.rows(0, self.loop.steps + 1), dtype="float32")
        return (self._window, start)

    def _read(self, updates: int) -> Values:
        if self.loop.given is not None and backend().compiles:
            rows, start = self.loop.given[self._place]
            since = keras.ops.subtract(keras.ops.cast(self.inner.counter, "int32"), keras.ops.cast(start, "int32"))
            return self._layout.values(keras.ops.take(rows, keras.ops.clip(since, 0, rows.shape[0] - 1), axis=0))
        if self.loop.may_skip and self._rows.position == 0:
            self.inner.first_count = self._count()  # of a state that may be in no variable
        # A state may have been loaded inside `with`.
        if self.loop.may_skip or (self._rows.position == 0 and not self.loop.stateless):
            self._rows.position = self._count() - self.inner.first_count
        return self._rows.take()

    def _count(self) -> int:
        count = self.inner.count()
        return self.inner.first_count + self._rows.position if count is None else count

    def _group(self, variable: Any) -> int:
        if not self.inner.group_of:
            divided = divide_variables(self.inner.trained, self._division)
            self.inner.group_of = {id(v): number for number, group in enumerate(divided) for v in group}
        return self.inner.group_of[id(variable)]


@speaking_as("scheduled")
def _frozen(found: str, then: str = "") -> RuntimeError:
    cure = f"Use `fit` with `ParamScheduler` (not `train_on_batch`), or make `s.window()` the step's argument{then}."
    return wrong_state(f"a compiled step that {found}", "the values that it has now would be frozen there", cure)
