"""Schedules in a custom training loop: `with scheduled(optimizer, ...) as s`."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import check_scheds, curves_of, differs_by_group, groups_of
from keras_sched.errors import check_whole, speaking_as, wrong_state, wrong_type, wrong_value
from keras_sched.groups import divide_variables
from keras_sched.hypers import RATE, innermost
from keras_sched.inject.apply import Injection, Values, put, take_away
from keras_sched.inject.compiled import being_compiled
from keras_sched.inject.names import check_keras
from keras_sched.inject.numbers import as_int
from keras_sched.inject.rows import HostRows, Layout
from keras_sched.inject.table import Table

Window = tuple[tuple[Any, Any], ...]
"""For each innermost optimizer its rows, float32 (rows, width), and the iteration that takes the first of them."""

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
        self._scheds = check_scheds(scheds)
        self._division = groups
        self._groups = self._count_groups()
        self._leaves = [_LoopLeaf(self, leaf) for leaf in innermost(optimizer)]
        if not self._leaves:
            raise wrong_state(
                "a `MultiOptimizer` that a function divides, and that is not built",
                "its optimizers are not known before",
                "Build it first: `optimizer.build(model.trainable_variables)`.",
            )
        self._inside = self._entered = False
        self.entered_compiled: bool | None = None  # of the outer optimizer's call, where there is an outer one
        # JAX runs both branches of a loss scale's condition, so that a call of `apply` does not yet mean a step.
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.skips_steps = scales and keras.backend.backend() == "jax"

    @property
    def hps(self) -> dict[str, NDArray[np.float64]]:
        """{name as given: the values used so far, one a step: (N,), or (N, G) with G parameter groups}.

        With a window the steps are those that the optimizer has counted: a loop on JAX which keeps its state outside
        assigns it to `optimizer.variables` first.
        """
        if not self._entered:
            with speaking_as("ScheduledLoop.hps"):
                raise wrong_state("no loop yet", "it tells what one used", "Write `with scheduled(...) as s:` first.")
        leaf = max(self._leaves, key=_LoopLeaf.steps_taken)  # one without a variable of its own takes none
        rows = range(leaf.steps_taken())
        attributes = {name: attribute for attribute, name in leaf.names.items()}
        values = {name: leaf.table.values(attributes[name], rows) for name in self._scheds}
        return {name: of if differs_by_group(self._scheds[name]) else of[:, 0] for name, of in values.items()}

    @speaking_as("scheduled")
    def __enter__(self) -> Self:
        if self._inside:
            raise wrong_state("a loop inside itself", "its rows are counted once", "Make a second one.")
        if being_compiled(()):
            raise wrong_state(
                "a `with` inside a compiled step",
                "it is entered once, while the step is compiled",
                "Write the `with` around the loop, and pass the step `s.window()`.",
            )
        for leaf in self._leaves:
            leaf.begin()
        if all(leaf.optimizer is not self.optimizer for leaf in self._leaves):
            # A loss scale calls the optimizer inside it from within a `cond`, which JAX compiles also in an eager loop.
            for method in ("apply", "stateless_apply"):
                put(self.optimizer, method, self._outer(getattr(self.optimizer, method)))
        self._inside = self._entered = True
        return self

    @speaking_as("scheduled")
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside = False
        if all(leaf.optimizer is not self.optimizer for leaf in self._leaves):
            for method in ("apply", "stateless_apply"):
                take_away(self.optimizer, method)
        for leaf in self._leaves:
            leaf.end()
        for leaf in self._leaves if error is None else ():
            leaf.check_taken()

    def window(self, optimizer_variables: Sequence[Any] | None = None) -> Window:
        """The table as tensors, to be an argument of a step that you compile.

        All steps are in it, so that one window serves the whole loop; it has the same shape in every call.

        Args:
            optimizer_variables: the state of the optimizer before the first step, where a loop on JAX keeps it
                outside the optimizer (else, `optimizer.variables` say how many steps it has taken).

        Returns:
            A tuple, one for each innermost optimizer, of (rows, start): float32 of shape (steps, width), and the
            iteration of the optimizer which takes the first row, a whole number.

        Raises:
            ValueError: when the loop has more than 1,048,576 steps.
            RuntimeError: outside `with`.
        """
        self._check_inside("window")
        if self.steps > _MOST_ROWS:
            with speaking_as("ScheduledLoop.window"):
                raise wrong_value(
                    f"steps={self.steps}",
                    f"a window has at most {_MOST_ROWS} rows",
                    "Make one `scheduled(...)` for each part of the loop.",
                )
        return tuple(leaf.window(self._start(leaf, optimizer_variables)) for leaf in self._leaves)

    def _start(self, leaf: "_LoopLeaf", optimizer_variables: Sequence[Any] | None) -> Any:
        if optimizer_variables is None:
            return leaf.first_iteration
        places = [i for i, own in enumerate(self.optimizer.variables) if own is leaf.optimizer._iterations]
        return optimizer_variables[places[0]]

    def apply(self, window: Window, grads: Any, trainable_variables: Any = None) -> None:
        """`optimizer.apply(grads, trainable_variables)` with the window's values, inside a step that you compile."""
        _uncompiled(self._with_window)(window, lambda: self.optimizer.apply(grads, trainable_variables))

    def stateless_apply(self, window: Window, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        """`optimizer.stateless_apply(...)` with the window's values, inside a step that you compile."""
        return self._with_window(
            window, lambda: self.optimizer.stateless_apply(optimizer_variables, grads, trainable_variables)
        )

    def _with_window(self, window: Window, call: Callable[[], Any]) -> Any:
        self._check_inside("apply")
        for leaf, (rows, start) in zip(self._leaves, window, strict=True):
            leaf.given = (rows, start)
        try:
            return call()
        finally:
            for leaf in self._leaves:
                leaf.given = None

    def _outer(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **keywords: Any) -> Any:
            self.entered_compiled = being_compiled(arguments)
            try:
                return method(*arguments, **keywords)
            finally:
                self.entered_compiled = None

        return called

    def _check_inside(self, method: str) -> None:
        if not self._inside:
            with speaking_as(f"ScheduledLoop.{method}"):
                raise wrong_state("no loop", "it works inside `with`", "Write `with scheduled(...) as s:`.")

    def _count_groups(self) -> int:
        wanted = groups_of(self._scheds) or 1
        if self._division is None and wanted > 1:
            raise wrong_value(
                f"schedules for {wanted} parameter groups",
                "without a model nobody knows which variable is in which",
                "Pass `groups=`: lists of layers, of name patterns, or a function of a variable.",
            )
        if isinstance(self._division, Sequence):
            return len(self._division)
        return wanted


class _LoopLeaf:
    """One innermost optimizer of a custom loop."""

    def __init__(self, loop: ScheduledLoop, optimizer: keras.Optimizer) -> None:
        self.loop = loop
        self.optimizer = optimizer
        curves, self.names = curves_of(loop._scheds, optimizer, loop.steps, loop._groups)
        nominal = {name: vars(optimizer).get(name) for name in sorted(curves, key=lambda name: (name != RATE, name))}
        self.table = Table(curves, nominal, loop.steps, loop._groups, lag=optimizer.gradient_accumulation_steps or 1)
        self.layout = Layout(self.table, optimizer)
        self.rows = HostRows(self.table, callable_rate=self.layout.rate_is_callable)
        self.injection = Injection(optimizer, loop._groups, self._group)
        self.given: tuple[Any, Any] | None = None
        self.first_iteration = 0
        self._taken: int | None = None
        self._group_of: dict[int, int] | None = None
        self._rows: Any = None
        self._windowed = False  # whether a window was asked for

    def begin(self) -> None:
        self.first_iteration = self._iterations()
        self.rows.anchor(0)
        self._taken = None
        self._windowed = False
        self.injection.read = self._read
        self.injection.check = self._check
        self.injection.install()

    def end(self) -> None:
        try:
            self._taken = self.steps_taken()
        finally:
            self.injection.remove()

    def steps_taken(self) -> int:
        """The steps that took a row: those that the optimizer counted, or that were counted here."""
        if self._taken is not None:
            return self._taken
        if not self._windowed:
            return self.rows.position
        return max(self.rows.position, self._iterations() - self.first_iteration)

    def check_taken(self) -> None:
        """Raise where the optimizer has made steps that took no row of ours."""
        missed = self._iterations() - self.first_iteration - self.steps_taken()
        if missed > 0:
            raise wrong_state(
                f"steps of `{self.optimizer.name}` that took none of its values, {missed} of them",
                "a step that was compiled before, by `fit` or by you, keeps the values it was compiled with",
                "Use `ParamScheduler` with `fit`; compile a step of your own inside `with`, and pass it `s.window()`.",
            )

    def window(self, start: Any) -> tuple[Any, Any]:
        self._windowed = True
        if self._rows is None:
            rows = keras.ops.convert_to_tensor(self.table.rows(0, self.loop.steps + 1), dtype="float32")
            if being_compiled(rows):
                raise _frozen("makes its own window")
            self._rows = rows
        return (self._rows, keras.ops.convert_to_tensor(start, dtype="int32"))

    def _read(self) -> Values:
        if self.given is not None and keras.backend.backend() != "torch":
            return self._row(*self.given)
        if self.loop.skips_steps:
            if self.rows.position == 0:
                self.first_iteration = self._iterations()  # of a state that may be in no variable
            self.rows.position = self._iterations() - self.first_iteration
        return self.rows.take()

    def _check(self, grads: Any) -> None:
        compiled = self.loop.entered_compiled
        if not (being_compiled(grads) if compiled is None else compiled):
            return
        if self.given is None or not being_compiled(self.given):
            raise _frozen("calls the optimizer itself" if self.given is None else "has its window from outside")

    def _row(self, rows: Any, start: Any) -> Values:
        iteration: Any = keras.ops.cast(self.optimizer._iterations, "int32")
        place = keras.ops.clip(iteration - keras.ops.cast(start, "int32"), 0, rows.shape[0] - 1)
        return self.layout.values(keras.ops.take(rows, place, axis=0))

    def _iterations(self) -> int:
        count = self.optimizer._iterations.value
        if count is None or being_compiled(count):  # a step that died has left it so (JAX)
            return self.first_iteration + self.rows.position
        return as_int(count)

    def _group(self, variable: Any) -> int:
        if self._group_of is None:
            with speaking_as("scheduled"):
                divided = divide_variables(self.optimizer._trainable_variables, self.loop._division)
            self._group_of = {id(v): number for number, group in enumerate(divided) for v in group}
        return self._group_of[id(variable)]


def _uncompiled(call: Callable[..., Any]) -> Callable[..., Any]:
    """On PyTorch, where values are Python floats: leave the graph that is being compiled."""
    if keras.backend.backend() != "torch" or not being_compiled(()):
        return call
    import torch

    return torch.compiler.disable(call)


def _frozen(found: str) -> RuntimeError:
    with speaking_as("scheduled"):
        return wrong_state(
            f"a compiled step that {found}",
            "the values of the step in which it was compiled would be frozen there",
            "Pass it `s.window()` as an argument, and call `s.apply(window, grads, variables)` inside; with `fit`, use "
            "`ParamScheduler`.",
        )
