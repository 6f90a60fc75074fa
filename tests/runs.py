"""Runs that begin again from one state, runs that die where they are told to, and what a run leaves behind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from oracle import BATCH, BATCHES, data, mlp

HOOKS = [
    "on_train_begin",
    "on_epoch_begin",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_epoch_end",
    "on_train_end",
]


class Bench:
    """A compiled model that is trained again and again from the same state, so that it is compiled once.

    Args:
        optimizer: the optimizer to compile with.
        compile_arguments: further arguments of `compile`.
    """

    def __init__(self, optimizer: Any, **compile_arguments: Any) -> None:
        self.model = mlp(optimizer, **compile_arguments)
        self.model.optimizer.build(self.model.trainable_variables)
        self.start = state(self.model)

    def again(self) -> keras.Model:
        """The model, as it was first."""
        put_state(self.model, self.start)
        self.model._initial_epoch = None  # which BackupAndRestore sets, and Keras never takes back
        return self.model

    def continuing(self, other: keras.Model) -> keras.Model:
        """The model, as `other` is now."""
        put_state(self.model, state(other))
        return self.model


def variables(model: keras.Model) -> list[Any]:
    """Weights, and what the optimizer keeps."""
    return [*model.weights, *model.optimizer.variables]


def state(model: keras.Model) -> list[np.ndarray]:
    """The values of weights and optimizer."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables(model)]


def put_state(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Give weights and optimizer these values."""
    for variable, value in zip(variables(model), values, strict=True):
        variable.assign(value)


def same_bits(model: keras.Model, other: keras.Model) -> bool:
    """Whether two models, optimizer included, hold the same numbers to the bit."""
    pairs = zip(state(model), state(other), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def face(optimizer: Any) -> dict[str, Any]:
    """What an optimizer, or one inside it, shows a reader: its class and attributes, the rate and its variable's."""
    inside = getattr(optimizer, "inner_optimizer", None)
    shown = {"class": type(optimizer), "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate))}
    shown |= {f"attribute {name}": value for name, value in vars(optimizer).items()}
    variable = vars(optimizer).get("_learning_rate")
    held = vars(variable) if isinstance(variable, keras.Variable) else {}
    shown |= {f"rate variable's {name}": value for name, value in held.items() if name != "_value"}
    return shown | ({f"inner {name}": value for name, value in face(inside).items()} if inside is not None else {})


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """The names under which two faces, or two objects' attributes, do not show the very same."""
    missing = object()
    names = {*before, *after}
    return {name for name in names if not _alike(before.get(name, missing), after.get(name, missing))}


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
    plain = (bool, int, float, str)
    return one is other or (isinstance(one, plain) and type(one) is type(other) and one == other)


class Dies(keras.callbacks.Callback):
    """Raises in one of Keras' hooks.

    Args:
        hook: the name of the hook.
        error: what it raises.
        at: the epoch, or for hooks of a batch the batch, in which it raises.
    """

    def __init__(self, hook: str, error: BaseException, at: int = 1) -> None:
        super().__init__()
        setattr(self, hook, self._raise)
        self.error = error
        self.at = at

    def _raise(self, index: Any = None, logs: Any = None) -> None:
        if not isinstance(index, int) or index == self.at:
            raise self.error


class Batches(keras.utils.PyDataset):
    """The data of an epoch, which raises at one batch.

    Args:
        at: the batch that raises, or `None`.
        error: what it raises.
    """

    def __init__(self, at: int | None, error: BaseException | None = None) -> None:
        super().__init__()
        self.x, self.y = data()
        self.at = at
        self.error = error

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index == self.at and self.error is not None:
            raise self.error
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return self.x[rows], self.y[rows]


def plain_steps(model: keras.Model) -> float:
    """An epoch and one batch more of plain Keras; the batch's loss."""
    x, y = data()
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return float(model.train_on_batch(x[:BATCH], y[:BATCH]))


def each_hook(function: Callable[[str], Any]) -> list[Any]:
    """`function` of each of Keras' hooks."""
    return [function(hook) for hook in HOOKS]


def alike(one: Any, other: Any, tolerance: float = 1e-5) -> bool:
    """Whether two sweeps have the same trials, with the same values."""
    assert [trial.arguments for trial in one.trials] == [trial.arguments for trial in other.trials]
    for a, b in zip(one.trials, other.trials, strict=True):
        assert (a.ended, a.epochs, a.round) == (b.ended, b.epochs, b.round)
        np.testing.assert_allclose(a.values, b.values, rtol=tolerance)
    return True
