"""Everything that a training run changes, taken and put back bit for bit."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Hashable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_state, wrong_type, wrong_value
from keras_sched.step import rng, state
from keras_sched.step.backend import backend

Array = NDArray[Any]
Step = tuple[str, Callable[[], None]]


def check_cache_dir(cache_dir: str | os.PathLike[str] | None) -> None:
    """Raise unless `cache_dir` is `None` or a folder that can be written to."""
    if cache_dir is None:
        return
    received, what = f"cache_dir={cache_dir!r}", "it is the folder for a temporary copy of the model's state"
    if not isinstance(cache_dir, str | os.PathLike):
        raise wrong_type(received, what, "Pass the path of a folder, or None to use memory.")
    if not Path(cache_dir).is_dir():
        cure = f"Make it first, for example with `os.makedirs({os.fspath(cache_dir)!r})`, or pass None to use memory."
        raise wrong_value(received, f"{what}, and there is no such folder", cure)
    if not os.access(cache_dir, os.W_OK | os.X_OK):
        cure = "Pass a folder that you may write to, or None to use memory."
        raise wrong_value(received, f"{what}, and it cannot be written to", cure)


class Snapshot:
    """Everything that a training run changes. As a context manager it restores and closes on leaving.

    Not put back: compiled steps (they hold no state), and the position of data that has none to set (a generator's).

    Args:
        model: a compiled model.
        cache_dir: an existing folder for a temporary file with the copies; `None` keeps them in memory.
        data: what the training will read; the random number generators among its attributes are remembered too.

    Raises:
        ValueError: when `cache_dir` is no folder that can be written to.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> before = model.get_weights()
        >>> with Snapshot(model) as snapshot:
        ...     snapshot.take()
        ...     _ = model.fit(np.ones((8, 3)), np.ones((8, 1)), verbose=0)
        >>> all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
        True
    """

    def __init__(self, model: keras.Model, cache_dir: str | os.PathLike[str] | None = None, data: Any = None) -> None:
        check_cache_dir(cache_dir)
        self._model = model
        self._store = _Store(cache_dir)
        self._steps: dict[Hashable, Step] = {}
        self._attributes: Step = ("the model's attributes", state.keep_attributes(model))
        self._random = rng.keep_random_states(data)

    def take(self) -> None:
        """Copy the state of the model, which is built. An optimizer without variables gets them, as `fit` would do.

        Raises:
            RuntimeError: when a variable has no value, because a fit died before its first batch (JAX).
        """
        optimizer = self._model.optimizer
        if optimizer is not None and not optimizer.built:
            with backend().scope(self._model):
                optimizer.build(self._model.trainable_variables)
        steps: dict[Hashable, Step] = {}
        for key, content in state.contents(self._model):
            steps[key] = (content.name, _putter(content.put, [self._store.keep(array) for array in content.arrays]))
        self._steps = steps

    def restore(self) -> None:
        """Put everything back.

        Raises:
            RuntimeError: when something could not be put back; the message names it, and the rest is as it was.
        """
        self._do([self._attributes, *self._steps.values(), ("what was made since", self._reset_new), *self._random])

    def rewind(self) -> None:
        """Put back what a batch changes, between two batches of a fit that goes on, and goes on with other batches."""
        self._do([*self._steps.values(), ("what was made since", self._reset_new)])

    def close(self) -> None:
        """Free the copies, and remove the temporary file."""
        self._steps.clear()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.restore()
        finally:
            self.close()

    def _do(self, steps: list[Step]) -> None:
        if self._store.closed:
            raise wrong_state("a closed snapshot", "its copies are gone", "Restore before `close`.")
        with contextlib.ExitStack() as stack:  # each of them is done, whatever another one raises
            for name, put in reversed(steps):
                stack.callback(_put_back, name, put)

    def _reset_new(self) -> None:
        """Empty metrics that the training made, and refuse weights that it made."""
        unknown = state.reset_new_metrics(self._model, self._steps) if self._steps else []
        if unknown:
            raise wrong_state(
                f"weights that the training made ({', '.join(unknown)})",
                "their first values are not known",
                "Build the model first, for example by calling it on a batch.",
            )


def _put_back(name: str, put: Callable[[], None]) -> None:
    try:
        put()
    except KeyboardInterrupt:  # a second Ctrl-C must not leave a model half restored
        put()
        raise
    except Exception as error:
        cure = "Load the weights again, or make and compile the model anew."
        found = f"no way to put back `{name}` ({type(error).__name__}: {error})"
        raise wrong_state(found, "what else it could put back is as it was before", cure) from error


def _putter(put: Callable[[list[Array]], None], loads: list[Callable[[], Array]]) -> Callable[[], None]:
    return lambda: put([load() for load in loads])


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
        file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        dtype, shape, size = array.dtype, array.shape, array.nbytes

        def load() -> Array:
            file.seek(start)
            return np.frombuffer(bytearray(file.read(size)), dtype).reshape(shape)

        return load

    def close(self) -> None:
        self.closed = True
        if self._file is not None:
            self._file.close()
