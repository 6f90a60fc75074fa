"""The rate in use, as other callbacks read and write it while a scheduled fit runs."""

import sys
from collections.abc import Callable
from typing import Any

import keras

from keras_sched.errors import advise
from keras_sched.hypers import RATE
from keras_sched.inject.apply import Injection, put, take_away
from keras_sched.inject.numbers import as_float
from keras_sched.inject.rows import Layout


class ShownRate:
    """Lets `optimizer.learning_rate` be the scheduled rate, and notes what is written to it.

    The variable itself keeps the compiled rate, so that what is saved is what was compiled. A write during the fit is
    noted as a factor on what is shown, and does not land. Once the fit is dead, reads and writes are Keras' own again.

    Args:
        model: the model that is fitted.
        optimizer: the optimizer whose rate is scheduled.
        current: gives the rate of the last batch run, or before any of the first one to come.

    `peek` gives the rate of the running batch, inside a step that is being made or run, and `None` outside one.
    """

    def __init__(self, model: keras.Model, optimizer: keras.Optimizer, current: Callable[[], float]) -> None:
        self.model = model
        self.optimizer = optimizer
        self.current = current
        self.injection: Injection | None = None
        self.peek: Callable[[], Any] | None = None
        self._factor = 1.0
        self._variable: keras.Variable | None = None
        own = vars(self.optimizer)["_learning_rate"]
        self._own = own if isinstance(own, keras.Variable) else None

    def install(self) -> None:
        """Begin to show the scheduled rate, and to note what is written."""
        put(self.optimizer, "_get_current_learning_rate", self._get)
        if self._own is not None:
            put(self._own, "assign", self._assign)

    def remove(self) -> None:
        """Let reads and writes be Keras' own again."""
        take_away(self.optimizer, "_get_current_learning_rate")
        if self._own is not None:
            take_away(self._own, "assign")

    def take_factor(self) -> float:
        """By how much the rest of the schedule is to be scaled, since last asked; 1 where nothing was written."""
        factor, self._factor = self._factor, 1.0
        return factor

    def _get(self) -> Any:
        own = type(self.optimizer)._get_current_learning_rate
        if self.injection is not None and self.injection.applying:
            return own(self.optimizer)
        rate = None if self.peek is None else self.peek()
        if rate is not None:
            return rate
        if not inside_fit(self.model):
            return own(self.optimizer)
        return self._as_variable()

    def _as_variable(self) -> keras.Variable:
        rate = self.current() * self._factor
        if self._variable is None:
            self._variable = keras.Variable(rate, trainable=False, name="learning_rate")
            put(self._variable, "assign", self._note)
        type(self._variable).assign(self._variable, rate)
        return self._variable

    def _assign(self, value: Any) -> Any:
        # Restored weights, and JAX' synchronising of its state, go the same way as a write by a callback; only that
        # one comes through the setter of `optimizer.learning_rate`.
        written = sys._getframe(1).f_code.co_name == "learning_rate"
        if written and inside_fit(self.model):
            return self._note(value)
        own: Any = self._own  # there is one where this is installed
        return type(own).assign(own, value)

    def _note(self, value: Any) -> Any:
        rate = as_float(value)
        # As it was read, so that what was read and is written back changes nothing.
        shown = as_float(keras.ops.convert_to_tensor(self.current(), keras.config.floatx()))
        self._factor = rate / shown if shown else 1.0
        if rate and not shown:
            advise(
                f"{rate:g} while the schedule is at 0",
                "a write scales the rest of the schedule, and no factor leads from 0 to another rate: it has no effect",
                "Let the schedule begin above 0, or give it the rate you want.",
            )
        return value


def inside_fit(model: keras.Model, *, through: str | None = None) -> bool:
    """Whether `model.fit` is running in this thread, and has called the model's method `through` if one is named."""
    frame = sys._getframe(1)
    passed = through is None
    while frame is not None:
        if frame.f_locals.get("self") is model:
            if frame.f_code.co_name == "fit":
                return passed
            passed = passed or frame.f_code.co_name == through
        frame = frame.f_back
    return False


def rate_of_step(injection: Injection, layout: Layout) -> Callable[[], Any]:
    """Reads the rate of the step that is being made, or run, outside `apply`; `None` where none is."""

    def rate() -> Any:
        if injection.peek is None:
            return None
        value = injection.peek()[RATE][-1]
        return value() if layout.rate_is_callable else value

    return rate
