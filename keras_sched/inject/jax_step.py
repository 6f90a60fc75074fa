"""The scheduled step on JAX: the windows are arguments of the compiled function."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.inject.apply import Injection, Values
from keras_sched.inject.jax_state import StatePart, in_lists, in_parts
from keras_sched.inject.rows import Layout
from keras_sched.inject.steps import ScheduledStep, empty_values


class JaxStep(ScheduledStep):
    """A jitted `step(state, data, windows)`: `optimizer.variables`, donation and shardings stay Keras' own.

    The last row of a window says where it starts, so that there is one array to hand over.
    """

    def __init__(self, model: keras.Model, injections: Sequence[Injection], layouts: Sequence[Layout]) -> None:
        self.windows: list[Any] = [None for _ in layouts]
        self._on_host: list[Any] = [None for _ in layouts]
        self._starts: list[int | None] = [None for _ in layouts]
        super().__init__(model, injections, layouts)

    def make(self) -> Callable[..., Any]:
        """What takes the place of `model.train_function`."""
        compiled = self.model.jit_compile and not self.model.run_eagerly
        of_parts = compiled and keras.distribution.distribution() is None  # its shardings are told of lists
        step = self._step_of_parts if of_parts else self._step
        if compiled:
            step = jax.jit(step, donate_argnums=0, out_shardings=self._shardings())

        def one_batch(state: Any, data: Any) -> Any:
            if of_parts and isinstance(state[0], (list, tuple)):  # the first one of an epoch
                state = in_parts(state)
            if self.searching:
                state = self._with_empty_metrics(state)
            return step(state, data, self.windows)

        return self.model._make_function(one_batch)

    def load(self, which: int, window: Any, start: int) -> None:
        """Take rows from a new window."""
        self._on_host[which], self._starts[which] = window, start
        self.windows[which] = _on_devices(np.concatenate([window, _start_row(start, window.shape[1])]))

    def restart(self, which: int, start: int) -> None:
        """Take rows from another place of the window."""
        if start != self._starts[which]:
            self.load(which, self._on_host[which], start)

    def give_back(self, arguments: tuple[Any, ...], result: Any) -> None:
        """Reattach the values which Keras took off the model's variables for the step.

        Keras 3.15 loses them where the first step of a fit dies: its loss raises, say, or its data.
        """
        model, state = self.model, arguments[0] if result is None else result[1]
        parts = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        for variables, values in zip(parts, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                if variable._value is None and not value.is_deleted():
                    variable.assign(value)

    def _step(self, state: Any, data: Any, windows: Any) -> Any:
        for injection, layout, window in zip(self.injections, self.layouts, windows, strict=True):
            start = _start(window)
            injection.read = _reader(injection, layout, window, start)
            injection.peek = _peeker(layout, window, self._count(injection, state) - start)
        try:
            with self.installed():
                return self.model.train_step(state, data)
        finally:
            for injection in self.injections:
                injection.read = None  # it holds this trace's own values

    def _step_of_parts(self, state: Any, data: Any, windows: Any) -> Any:
        logs, state = self._step(in_lists(state), data, windows)
        return logs, in_parts(state)

    def _with_empty_metrics(self, state: Any) -> Any:
        if len(self.empty) != len(state[3]):
            self.empty = empty_values(self.model)
        # As they are: the step that is given them donates what it makes of them. Shardings want arrays that have one.
        metrics = self.empty if keras.distribution.distribution() is None else [_on_devices(v) for v in self.empty]
        return (*state[:3], StatePart(metrics) if isinstance(state[3], StatePart) else metrics)

    def _count(self, injection: Injection, state: Any) -> Any:
        """The steps that an optimizer has taken, from a state that is in flight."""
        iterations = injection.optimizer._iterations
        place = next(i for i, variable in enumerate(self.model.optimizer.variables) if variable is iterations)
        return state[2][place]

    def _shardings(self) -> Any:
        if keras.distribution.distribution() is None:
            return None
        return (None, self.model._get_state_sharding_spec())


def _reader(injection: Injection, layout: Layout, window: Any, start: Any) -> Callable[[], Values]:
    """Reads the values of the update that the optimizer is about to make."""
    return lambda: _row(layout, window, injection.optimizer._iterations.value - start)


def _peeker(layout: Layout, window: Any, place: Any) -> Callable[[], Values]:
    return lambda: _row(layout, window, place)


def _row(layout: Layout, window: Any, place: Any) -> Values:
    # The last row is none of the schedule's: a step that applies its optimizer twice may come there.
    place = jax.numpy.clip(place, 0, layout.rows - 1)
    return layout.values(jax.lax.dynamic_index_in_dim(window, place, keepdims=False))


def _start_row(start: int, width: int) -> NDArray[np.float32]:
    """The last row of a window: where it starts, in two halves that a float32 holds exactly."""
    row = np.zeros((1, width), np.float32)
    row[0, :2] = start >> 16, start & 0xFFFF
    return row


def _start(window: Any) -> Any:
    high, low = window[-1, 0].astype(np.int32), window[-1, 1].astype(np.int32)
    return high * 65_536 + low


def _on_devices(array: Any) -> Any:
    """The array on the device, or the same on every device of Keras' distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return jax.numpy.asarray(array)
    layout = keras.distribution.TensorLayout([None] * np.ndim(array), distribution.device_mesh)
    return keras.distribution.distribute_tensor(jax.numpy.asarray(array), layout)
