"""An eager training run whose hyper-parameters are set by hand before each batch: what a schedule must equal."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

BATCH = 8
BATCHES = 4  # an epoch
KERAS = tuple(map(int, keras.__version__.split(".")[:2]))  # (3, 15)


def data(seed: int = 0, features: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """`BATCH * BATCHES` samples of a noisy linear map, float32."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(BATCH * BATCHES, features)).astype("float32")
    y = x @ rng.normal(size=(features, 1)) + 0.1 * rng.normal(size=(len(x), 1))
    return x, y.astype("float32")


def mlp(optimizer: Any, **compile_arguments: Any) -> keras.Model:
    """A small compiled model, the same for each call in a process."""
    keras.utils.set_random_seed(7)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(6, activation="tanh", name="body"),
        keras.layers.Dense(1, name="head"),
    ]
    model = keras.Sequential(layers)
    model.compile(optimizer=optimizer, loss="mse", **compile_arguments)
    return model


def with_optimizer_built(model: keras.Model) -> keras.Model:
    """The model, its optimizer built before its first batch.

    Keras 3.15 on TensorFlow builds it while it compiles the step, and loses what `ScheduleFreeAdamW.build` assigns:
    its `z` begins at 0 in place of the weights, in a plain fit too.
    """
    model.optimizer.build(model.trainable_variables)
    return model


class SetByHand(keras.callbacks.Callback):
    """Sets attributes of the optimizer before each batch, as people did before.

    Args:
        values: {attribute: one value a batch}.
        inside: the optimizer -> the one whose attributes they are, where it is a wrapper.
    """

    def __init__(
        self, values: Mapping[str, Sequence[float]], inside: Callable[[Any], Any] = lambda optimizer: optimizer
    ) -> None:
        super().__init__()
        self.values = values
        self.inside = inside
        self.batch = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        optimizer = self.model.optimizer
        optimizer = self.inside(getattr(optimizer, "inner_optimizer", optimizer))
        for attribute, values in self.values.items():
            setattr(optimizer, attribute, float(values[self.batch]))
        self.batch += 1


def uncompiled() -> contextlib.AbstractContextManager[Any]:
    """Where JAX compiles each branch of each condition anew in an eager run, as of a loss scale, let it not."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.disable_jit()


def eager(make: Callable[[], Any], values: Mapping[str, Sequence[float]], epochs: int) -> list[np.ndarray]:
    """Weights after an eager run with `values` set by hand."""
    model = mlp(make(), run_eagerly=True, jit_compile=False)
    x, y = data()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=[SetByHand(values)])
    return model.get_weights()


def fit(model: keras.Model, callbacks: Any, epochs: int = 3, **arguments: Any) -> keras.callbacks.History:
    """The run that an oracle is compared with."""
    x, y = data()
    return model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks, **arguments)


def largest_difference(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """The largest absolute difference between two lists of weights."""
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(some, others, strict=True))
