"""What the scheduled step of every backend has in common, and the choice among them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.inject.apply import Injection
from keras_sched.inject.rows import Layout


class ScheduledStep(ABC):
    """A training step whose hyper-parameters come from a table.

    Args:
        model: the compiled model.
        injections: one for each of its innermost optimizers.
        layouts: one for each of its innermost optimizers.
    """

    def __init__(self, model: keras.Model, injections: Sequence[Injection], layouts: Sequence[Layout]) -> None:
        self.model = model
        self.injections = list(injections)
        self.layouts = list(layouts)
        self.searching = False
        """Whether each batch is to begin with empty metrics, so that the loss it tells is its own."""
        self.empty: list[Any] = []
        """The values of the model's metrics before the first batch, once they were asked for."""
        self.function: Callable[..., Any] = self.make()

    @abstractmethod
    def make(self) -> Callable[..., Any]:
        """The function that takes the place of `model.train_function`."""

    @abstractmethod
    def load(self, which: int, window: Any, start: int) -> None:
        """Let optimizer `which` take row `_iterations - start` of `window`."""

    @abstractmethod
    def restart(self, which: int, start: int) -> None:
        """Keep the window of optimizer `which`, and take row `_iterations - start` of it."""

    def give_back(self, arguments: tuple[Any, ...], result: Any) -> None:
        """Mend what a step that died has left in the model, where that is needed.

        Args:
            arguments: those that the step was called with.
            result: what it returned, or `None` where it did not come so far.
        """
        del arguments, result

    def empty_metrics(self) -> None:
        """Empty the model's metrics: as `reset_metrics`, which looks for them and makes the values each time."""
        variables = self.model.metrics_variables
        if len(self.empty) != len(variables):
            self.empty = [keras.ops.convert_to_tensor(value) for value in empty_values(self.model)]
        for variable, value in zip(variables, self.empty, strict=True):
            variable.assign(value)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The optimizers take scheduled values while the block runs."""
        with ExitStack() as stack:
            for injection in self.injections:
                stack.enter_context(injection.installed())
            yield


def empty_values(model: keras.Model) -> list[NDArray[Any]]:
    """The values of the variables of the model's metrics before the first batch."""
    with keras.StatelessScope(state_mapping=[]) as scope:
        model.reset_metrics()
    values: list[Any] = [scope.get_current_value(variable) for variable in model.metrics_variables]
    return [np.asarray(keras.ops.convert_to_numpy(value)) for value in values]


def own_batches(model: keras.Model) -> int:
    """How many batches one call of the train function runs, at most."""
    return int(getattr(model, "steps_per_execution", 1) or 1)


def end_of_data(backend: str) -> tuple[type[BaseException], ...]:
    """What a train function raises where its data has no more batches."""
    if backend != "tensorflow":
        return (StopIteration,)
    import tensorflow as tf

    return (StopIteration, tf.errors.OutOfRangeError)
