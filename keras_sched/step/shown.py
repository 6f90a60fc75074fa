"""The rate in use, as other callbacks read it while a scheduled fit runs, and what they write."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_sched.errors import advise
from keras_sched.hypers import RATE
from keras_sched.step.attributes import put, take_away
from keras_sched.step.backend import backend
from keras_sched.step.numbers import as_float
from keras_sched.step.override import Override


class ShownRate:
    """Lets `optimizer.learning_rate` be the scheduled rate.

    The variable behind it keeps the compiled rate, so that this is what a checkpoint saves, also after a write. When
    the next epoch begins, the rest of the schedule is scaled by what was written over what was shown.

    Args:
        optimizer: the inner optimizer.
        current: gives the rate of the last batch, or before any batch that of the first one.
        idle: whether no batch can be running.
    """

    def __init__(self, optimizer: keras.Optimizer, current: Callable[[], float], idle: Callable[[], bool]) -> None:
        self.optimizer, self.current, self.idle = optimizer, current, idle
        self.override: Override | None = None
        rate = vars(optimizer)["_learning_rate"]
        self.variable: keras.Variable | None = rate if isinstance(rate, keras.Variable) else None
        self.compiled = 0.0 if self.variable is None else as_float(self.variable)
        self._shown = keras.Variable(self.compiled, trainable=False, name="learning_rate")
        self._written: tuple[float, float] | None = None  # the rate, and the one that was shown then
        self._in_vain = False  # whether the compiled rate was written

    def install(self) -> None:
        """Begin to show the scheduled rate."""
        put(self.optimizer, "_get_current_learning_rate", self._get)
        if self.variable is not None:
            put(self.variable, "assign", self._assign)

    def remove(self, *, left: bool = False) -> None:
        """Let what is read be Keras' own again, and the variable have the compiled rate, or what was written since."""
        take_away(self.optimizer, "_get_current_learning_rate")
        if self.variable is not None:
            take_away(self.variable, "assign")
            self.variable.assign(self._written[0] if left and self._written is not None else self.compiled)

    def take_factor(self, *, first: int | None) -> float:
        """The factor of a write since the last call, 1 without one; `first` is the row with which the fit begins."""
        written, vain, self._written, self._in_vain = self._written, self._in_vain and first == 0, None, False
        rate, shown = written or (self.compiled, float(np.float32(self.current())))
        if (vain and rate != shown) or (written and rate > shown and (first is not None or not shown)):
            scales = f"a write scales the rest, by {rate / shown:.3g}" if shown else "no factor leads from 0 to another"
            meaning = scales if written else "a write of the compiled rate changes nothing"
            cure = "Leave out the callback that writes it (a `LearningRateScheduler`?), or schedule the rate you want."
            advise(f"a rate of {rate:g} while the schedule is at {shown:g}", meaning, cure)
        return rate / shown if written and shown else 1.0

    def _assign(self, value: Any) -> Any:
        variable: Any = self.variable
        if self.override is not None and self.override.applying:  # accumulation on JAX assigns every variable
            return type(variable).assign(variable, value)
        rate = float(np.float32(as_float(value)))
        if rate == self.compiled:  # as what restores a checkpoint, or JAX' state, writes it
            self._in_vain = self._in_vain or self.idle()
            return type(variable).assign(variable, value)
        if self._written is None or rate != self._written[0]:
            # In the precision in which it is read, so that what is read and written back changes nothing.
            self._written = rate, float(np.float32(self.current()))
        return value

    def _get(self) -> Any:
        if self.override is not None and self.override.applying:
            return type(self.optimizer)._get_current_learning_rate(self.optimizer)
        if self.override is not None and self.override.peek is not None:
            rate = self.override.peek()[RATE][-1]
            return rate() if callable(rate) else rate
        if backend().being_traced(()):  # a trace that is thrown away
            return type(self.optimizer)._get_current_learning_rate(self.optimizer)
        rate, written = self.current(), self._written
        if written is not None and (self.idle() or np.float32(rate) == written[1]):  # no batch since then
            rate = written[0]
        type(self._shown).assign(self._shown, rate)
        if self.variable is not None:
            put(self._shown, "assign", self.variable.assign)
        return self._shown


def remove_shown(optimizer: keras.Optimizer) -> None:
    """Show the optimizer's own rate again, where a fit that died shows another."""
    if "_get_current_learning_rate" in vars(optimizer):
        vars(optimizer)["_get_current_learning_rate"].__self__.remove(left=True)
