"""The scheduled step on JAX: the windows are arguments of the compiled function."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np

from keras_sched.inject.apply import Injection, Values
from keras_sched.inject.batch_loss import BATCH_LOSS, BatchLoss
from keras_sched.inject.rows import Layout
from keras_sched.inject.steps import ScheduledStep


class JaxStep(ScheduledStep):
    """A jitted `step(state, data, windows, starts)`: `optimizer.variables`, donation and shardings stay Keras' own."""

    def __init__(self, model: keras.Model, injections: Sequence[Injection], layouts: Sequence[Layout]) -> None:
        self.windows: list[Any] = [np.zeros((layout.rows, layout.width), np.float32) for layout in layouts]
        self.starts: list[Any] = [np.int32(0) for _ in layouts]
        super().__init__(model, injections, layouts)

    def make(self) -> Callable[..., Any]:
        """What takes the place of `model.train_function`."""
        step = self._step
        if self.model.jit_compile and not self.model.run_eagerly:
            step = jax.jit(step, donate_argnums=0, out_shardings=self._shardings())

        def one_batch(state: Any, data: Any) -> Any:
            logs, state = step(state, data, self.windows, self.starts)
            if isinstance(logs, dict):
                self.batch_losses.append(logs.pop(BATCH_LOSS, None))
            return logs, state

        batches = self.model._make_function(one_batch)

        def function(state: Any, iterator: Any) -> Any:
            self.batch_losses = []
            with self.installed():
                return batches(state, iterator)

        return function

    def load(self, which: int, window: Any, start: int) -> None:
        """Take rows from a new window."""
        self.windows[which] = _on_devices(window)
        self.restart(which, start)

    def restart(self, which: int, start: int) -> None:
        """Take rows from another place of the window."""
        self.starts[which] = _on_devices(np.int32(start))

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

    def _step(self, state: Any, data: Any, windows: Any, starts: Any) -> Any:
        for injection, layout, window, start in zip(self.injections, self.layouts, windows, starts, strict=True):
            injection.read = _reader(injection, layout, window, start)
            injection.peek = _peeker(layout, window, self._count(injection, state) - start)
        heard = BatchLoss()
        try:
            with heard.listening(self.model):
                logs, state = self.model.train_step(state, data)
        finally:
            for injection in self.injections:
                injection.read = injection.peek = None  # they hold this trace's own values
        return _with_loss(logs, heard), state

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
    return layout.values(jax.lax.dynamic_index_in_dim(window, place, keepdims=False))


def _with_loss(logs: Any, heard: BatchLoss) -> Any:
    try:
        if heard.value is not None:
            heard.value = jax.numpy.asarray(heard.value) + 0
    except jax.errors.UnexpectedTracerError:
        # A custom `train_step` that updates the metric inside the function it differentiates: not ours to take out.
        return logs
    return heard.into(logs)


def _on_devices(array: Any) -> Any:
    """The array on the device, or the same on every device of Keras' distribution."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return jax.numpy.asarray(array)
    layout = keras.distribution.TensorLayout([None] * np.ndim(array), distribution.device_mesh)
    return keras.distribution.distribute_tensor(jax.numpy.asarray(array), layout)
