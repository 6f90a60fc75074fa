"""What every callback of this library is: a value that shows its arguments, and that can be kept without its model."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, Self

import keras

from keras_sched.arguments import check_count, check_names
from keras_sched.errors import shown, speaking_as
from keras_sched.step import ScheduledFit


class Callback(keras.callbacks.Callback):
    """A Keras callback that remembers its arguments as they were typed."""

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments; one that `__init__` does not have is an error here."""
        _, *own = signature(cls.__init__).parameters.items()
        with speaking_as(cls.__name__):
            check_names(kwargs, dict(own))
            if args or kwargs:  # a copy is made without any
                check_count(args, kwargs, dict(own))
        made = super().__new__(cls)
        made._given = args, kwargs
        return made

    def __repr__(self) -> str:
        args, kwargs = self._given
        typed = [*map(shown, args), *(f"{name}={shown(value)}" for name, value in kwargs.items())]
        return f"{type(self).__name__}({', '.join(typed)})"

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: nothing of the model."""
        return {**self.__dict__, "_model": None}

    @abstractmethod
    def _running(self) -> ScheduledFit:
        """The fit that is running; an error where it is not scheduled."""

    @contextmanager
    def _hook(self) -> Iterator[ScheduledFit]:
        """The body of a hook: an error in it names this callback, and ends the fit."""
        with speaking_as(type(self).__name__):
            fit = self._running()
            with fit.ended_by_errors():
                yield fit
