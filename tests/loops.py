"""Training loops by hand, in each backend's own way: what `scheduled`, and a `fit` with groups, are compared with."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from oracle import BATCH, data, uncompiled


def net(seed: int = 7) -> keras.Model:
    """A small model that is not compiled, the same for each call in a process."""
    keras.utils.set_random_seed(seed)
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(6, activation="tanh", name="body"),
        keras.layers.Dense(1, name="head"),
    ]
    return keras.Sequential(layers)


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """The batch that a `fit` without shuffling takes at that step."""
    x, y = data()
    rows = slice(step % 4 * BATCH, (step % 4 + 1) * BATCH)
    return x[rows], y[rows]


def loss_of(model: keras.Model, x: Any, y: Any) -> Any:
    """The mean squared error."""
    return ops.mean((model(x) - y) ** 2)


def gradients(model: keras.Model, x: Any, y: Any, scale: Callable[[Any], Any] = lambda loss: loss) -> list[Any]:
    """The gradients of the loss, or of what `scale` makes of it, for each of the trainable variables."""
    variables = model.trainable_variables
    backend = keras.backend.backend()
    if backend == "jax":
        return jax_gradients(model, [variable.value for variable in variables], x, y, scale)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = scale(loss_of(model, x, y))
        return tape.gradient(loss, [variable.value for variable in variables])
    for variable in variables:
        variable.value.grad = None
    scale(loss_of(model, ops.convert_to_tensor(x), ops.convert_to_tensor(y))).backward()
    return [variable.value.grad.clone() for variable in variables]


def jax_gradients(model: keras.Model, trainable: Any, x: Any, y: Any, scale: Callable[[Any], Any]) -> Any:
    """The gradients at `trainable`, whatever the model's variables hold."""
    import jax

    def loss(trainable: Any) -> Any:
        predicted, _ = model.stateless_call(trainable, [v.value for v in model.non_trainable_variables], x)
        return scale(ops.mean((predicted - y) ** 2))

    return jax.grad(loss)(trainable)


def without_gradients() -> Any:
    """Around an update."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return uncompiled()


def arrays(tensors: Sequence[Any]) -> list[np.ndarray]:
    """The tensors' values."""
    return [np.asarray(ops.convert_to_numpy(tensor)) for tensor in tensors]
