"""The scheduled step on TensorFlow: the windows are variables which the compiled function captures."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_sched.inject.apply import Injection, Values
from keras_sched.inject.rows import Layout
from keras_sched.inject.steps import ScheduledStep


class TensorFlowStep(ScheduledStep):
    """A `tf.function` made as Keras makes its own, around a `train_step` that reads its row."""

    def __init__(self, model: keras.Model, injections: Sequence[Injection], layouts: Sequence[Layout]) -> None:
        with model.distribute_strategy.scope():
            self.windows = [_variable(np.zeros((layout.rows, layout.width), np.float32)) for layout in layouts]
            self.starts = [_variable(np.int64(0)) for _ in layouts]
        self._at = [0 for _ in layouts]  # where they start, on the host
        super().__init__(model, injections, layouts)

    def make(self) -> Callable[..., Any]:
        """What takes the place of `model.train_function`."""
        batches = self.model._make_function(self._step)
        for injection, layout, window, start in zip(
            self.injections, self.layouts, self.windows, self.starts, strict=True
        ):
            injection.read = _reader(injection, layout, window, start)

        def function(iterator: Any) -> Any:
            if self.searching:
                self.empty_metrics()
            return batches(iterator)

        return function

    def load(self, which: int, window: Any, start: int) -> None:
        """Take rows from a new window."""
        self.windows[which].assign(window)
        self.restart(which, start)

    def restart(self, which: int, start: int) -> None:
        """Take rows from another place of the window."""
        if start != self._at[which]:
            self.starts[which].assign(start)
            self._at[which] = start

    def _step(self, data: Any) -> Any:
        for injection, layout, window, start in zip(
            self.injections, self.layouts, self.windows, self.starts, strict=True
        ):
            injection.peek = _peeker(layout, window, _place(injection.optimizer, start))
        with self.installed():
            return self.model.train_step(data)


def _reader(injection: Injection, layout: Layout, window: Any, start: Any) -> Callable[[], Values]:
    """Reads the values of the update that the optimizer is about to make."""
    return lambda: _row(layout, window, _place(injection.optimizer, start))


def _peeker(layout: Layout, window: Any, place: Any) -> Callable[[], Values]:
    return lambda: _row(layout, window, place)


def _place(optimizer: keras.Optimizer, start: Any) -> Any:
    return tf.cast(tf.convert_to_tensor(optimizer._iterations), tf.int64) - tf.cast(start, tf.int64)


def _row(layout: Layout, window: Any, place: Any) -> Values:
    return layout.values(tf.gather(window, tf.clip_by_value(place, 0, layout.rows - 1)))


def _variable(value: Any) -> tf.Variable:
    return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
