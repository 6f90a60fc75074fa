"""The models and data that the benchmarks train."""

from typing import Any

import keras
import numpy as np
from keras import layers

BATCH = 32


def small_mlp() -> keras.Model:
    """Four dense layers."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(32, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(1)])


def deep_mlp() -> keras.Model:
    """Sixty dense layers."""
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(32, activation="relu") for _ in range(59)]
    return keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(1)])


def small_convnet() -> keras.Model:
    """Three convolutions with BatchNormalization, on 16 × 16 images."""
    keras.utils.set_random_seed(0)
    body: list[Any] = []
    for filters in (8, 16, 32):
        body += [layers.Conv2D(filters, 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([keras.Input((16, 16, 1)), *body, layers.GlobalAveragePooling2D(), layers.Dense(1)])


def dropout_mlp() -> keras.Model:
    """Four dense layers, with dropout between them."""
    keras.utils.set_random_seed(0)
    hidden: list[Any] = []
    for number in range(3):
        hidden += [layers.Dense(32, activation="relu"), layers.Dropout(0.5, name=f"dropout_{number}")]
    return keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(1)])


MODELS = {"small MLP": small_mlp, "deep MLP": deep_mlp, "small ConvNet": small_convnet}


def data_for(model: keras.Model, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Made data for so many batches."""
    rng = np.random.default_rng(0)
    shape = (batches * BATCH, *model.input_shape[1:])
    x = rng.normal(size=shape).astype("float32")
    return x, rng.normal(size=(len(x), 1)).astype("float32")
