"""What every callback of this library is: a value that shows its arguments, and that can be kept without its model."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import keras

from keras_sched.arguments import check_call
from keras_sched.errors import shown, speaking_as, wrong_type
from keras_sched.step import ScheduledFit


class Callback(keras.callbacks.Callback):
    """A Keras callback that remembers its arguments as they were typed."""

    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Remember the arguments; one that `__init__` does not have is an error here."""
        if args or kwargs:  # a copy is made without
            check_call(cls, args, kwargs)
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

    def set_model(self, model: Any = None) -> None:
        """As in Keras, which calls it on the class too where one is in `callbacks=`."""
        if not isinstance(self, Callback):
            raise wrong_type("callbacks=[a class]", "it is not a callback yet", "Make one: `OneCycle()`.")
        super().set_model(model)

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
