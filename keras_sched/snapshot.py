"""Everything that a training run changes, taken and put back bit for bit."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.arguments import check_cache_dir
from keras_sched.errors import wrong_state
from keras_sched.step import rng, state
from keras_sched.step.backend import backend

Array = NDArray[Any]
Step = tuple[str, Callable[[], None]]


class Snapshot(contextlib.AbstractContextManager["Snapshot"]):
    """Everything that a training run changes. As a context manager it restores and closes on leaving.

    Not put back: compiled steps (they hold no state), and the position of data that has none to set (a generator's).

    Args:
        model: a compiled model.
        cache_dir: an existing folder for a temporary file with the copies; `None` keeps them in memory.
        data: what the training will read; the random number generators among its attributes are remembered too.
    """

    def __init__(self, model: keras.Model, cache_dir: str | os.PathLike[str] | None = None, data: Any = None) -> None:
        check_cache_dir(cache_dir)
        self._model = model
        self._store = _Store(cache_dir)
        self._steps: dict[Hashable, Step] = {}
        self._attributes: Step = ("the model's attributes", state.keep_attributes(model))
        self._random = rng.keep_random_states(data)

    def take(self) -> None:
        """Copy the state of the model, which is built; an optimizer that is not gets its variables, as in `fit`."""
        optimizer = self._model.optimizer
        if optimizer is not None and not optimizer.built:
            with backend().scope(self._model):
                optimizer.build(self._model.trainable_variables)
        steps: dict[Hashable, Step] = {}
        for key, (name, arrays, put) in state.contents(self._model):
            loads = [self._store.keep(array) for array in arrays]
            steps[key] = (name, lambda put=put, loads=loads: put([load() for load in loads]))
        self._steps = steps

    def restore(self) -> None:
        """Put everything back; a `RuntimeError` names what could not be, and the rest is as it was."""
        self._do([self._attributes], self._random)

    def rewind(self) -> None:
        """Put back what a batch changes, between two batches of a fit that goes on, and goes on with other batches."""
        self._do([], [])

    def close(self) -> None:
        """Free the copies, and remove the temporary file."""
        self._steps.clear()
        self._store.close()

    def __exit__(self, *_: object) -> None:
        try:
            self.restore()
        finally:
            self.close()

    def _do(self, first: list[Step], last: list[Step]) -> None:
        if self._store.closed:
            raise wrong_state("a closed snapshot", "its copies are gone", "Restore before `close`.")
        made: Step = ("what was made since", partial(state.reset_new, self._model, self._steps))
        steps = [*first, *self._steps.values(), *([made] if self._steps else []), *last]
        with contextlib.ExitStack() as stack:  # each of them is done, whatever another one raises
            for name, put in reversed(steps):
                stack.callback(_put_back, name, put)


def _put_back(name: str, put: Callable[[], None]) -> None:
    try:
        put()
    except KeyboardInterrupt:  # a second Ctrl-C must not leave a model half restored
        put()
        raise
    except Exception as error:
        found = f"no way to put back `{name}` ({type(error).__name__}: {error})"
        cure = "Load the weights again, or make and compile the model anew."
        raise wrong_state(found, "what else it could put back is as it was before", cure) from error


class _Store:
    """Where copies lie: in memory, or in one temporary file without a name, one array after the other."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.closed = False
        self._file = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `close` does

    def keep(self, array: Array) -> Callable[[], Array]:
        """A call that loads an array which nobody else holds: the backend may write into what it is given."""
        if self._file is None:
            return array.copy
        file, start = self._file, self._file.seek(0, os.SEEK_END)
        np.save(file, array)
        dtype = array.dtype

        def load() -> Array:
            file.seek(start)
            return np.load(file).view(dtype)  # of a type that NumPy does not know, the bytes

        return load

    def close(self) -> None:
        self.closed = True
        if self._file is not None:
            self._file.close()
