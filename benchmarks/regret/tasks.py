"""The tasks: data and a model each, half of them to choose rules on, half to judge them."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import add, mul
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.regret.data import (
    Data,
    brain,
    digits,
    eeg,
    heights,
    modular,
    next_character,
    noisy_line,
    photo_bands,
    photo_colours,
    photo_patches,
    table,
    whose_line,
)

BATCH = 32
EPOCHS = (3, 10, 30)

OPTIMIZERS: dict[str, Callable[[], keras.Optimizer]] = {
    "SGD": lambda: keras.optimizers.SGD(momentum=0.9),
    "Adam": keras.optimizers.Adam,
    "AdamW": lambda: keras.optimizers.AdamW(weight_decay=0.01),
}


@dataclass(frozen=True)
class Task:
    """What is trained.

    `fine_tuned`: the model has first learned the lower half of the classes, and learns the upper half with a new head.
    `in_turn`: the runs are trained one after the other, which is the faster for convolutions on a CPU.
    """

    name: str
    data: Callable[[], Data]
    body: Callable[[Data], list[Any]]
    classify: bool = True
    fine_tuned: bool = False
    in_turn: bool = False

    @property
    def loss(self) -> Any:
        """What is minimised."""
        return (
            keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            if self.classify
            else keras.losses.MeanSquaredError()
        )

    def model(self, data: Data, seed: int) -> keras.Model:
        """Make the model, with the weights of a seed."""
        keras.utils.set_random_seed(seed)
        head = layers.Dense(data.classes if self.classify else data.y.shape[-1], name="head")
        return keras.Sequential([keras.Input(data.x.shape[1:], dtype=data.x.dtype.name), *self.body(data), head])


def _mlp(*widths: int, activation: str = "relu") -> Callable[[Data], list[Any]]:
    return lambda _: [layers.Flatten(), *(layers.Dense(width, activation=activation) for width in widths)]


def _normalized(*widths: int) -> list[Any]:
    made = [[layers.Dense(width), layers.BatchNormalization(), layers.ReLU()] for width in widths]
    return [layer for block in made for layer in block]


def _conv(*filters: int) -> Callable[[Data], list[Any]]:
    def body(_: Data) -> list[Any]:
        made: list[Any] = []
        for count in filters:
            made += [layers.Conv2D(count, 3, strides=2, padding="same"), layers.BatchNormalization(), layers.ReLU()]
        return [*made, layers.GlobalAveragePooling2D()]

    return body


def _embedded(width: int, *widths: int) -> Callable[[Data], list[Any]]:
    return lambda data: [layers.Embedding(int(data.x.max()) + 1, width), *_mlp(*widths)(data)]


def _transformer(width: int = 16, blocks: int = 1) -> Callable[[Data], list[Any]]:
    def body(data: Data) -> list[Any]:
        return [Transformer(int(data.x.max()) + 1, data.x.shape[1], width, blocks), layers.Flatten()]

    return body


@keras.saving.register_keras_serializable("benchmarks")
class Transformer(layers.Layer):
    """Tokens and places, and blocks of attention and two dense layers, each after a normalization."""

    def __init__(self, tokens: int, length: int, width: int, blocks: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.tokens, self.places = layers.Embedding(tokens, width), layers.Embedding(length, width)
        self.length, self.width = length, width
        self.blocks = [
            (
                layers.LayerNormalization(),
                layers.MultiHeadAttention(2, width // 2),
                layers.LayerNormalization(),
                keras.Sequential([layers.Dense(2 * width, activation="gelu"), layers.Dense(width)]),
            )
            for _ in range(blocks)
        ]
        self.flat = [layer for block in self.blocks for layer in block]  # Keras tracks a list of layers
        self.last = layers.LayerNormalization()

    def call(self, x: Any) -> Any:
        """Apply the layers."""
        x = self.tokens(x) + self.places(np.arange(self.length))
        for before, attention, between, dense in self.blocks:
            normal = before(x)
            x += attention(normal, normal)
            x += dense(between(x))
        return self.last(x)


DEVELOPMENT = [
    Task("digits, MLP", digits, _mlp(32, 32)),
    Task("digits, ConvNet", digits, _conv(8, 16), in_turn=True),
    Task("digits, ConvNet, fine-tuned", digits, _conv(8, 16), fine_tuned=True, in_turn=True),
    Task("digits, wide MLP with Dropout", digits, lambda data: [*_mlp(256)(data), layers.Dropout(0.3)]),
    Task("digits, deep MLP, fine-tuned", digits, _mlp(*[24] * 5), fine_tuned=True),
    Task("wine, MLP", lambda: table("wine"), _mlp(16)),
    Task("diabetes, MLP", lambda: table("diabetes"), _mlp(32, 32), classify=False),
    Task("modular sums, MLP", lambda: modular(add, 29), _embedded(16, 64)),
    Task("next character, transformer", next_character, _transformer()),
    Task("noisy quadratic", lambda: noisy_line(1e2, 0.3), lambda _: [], classify=False),
    Task("colours of a photograph, MLP", photo_colours, _mlp(48, 48, activation="gelu"), classify=False),
]
TEST = [
    Task("breast cancer, MLP", lambda: table("breast_cancer"), lambda _: _normalized(64, 32)),
    Task("iris, MLP", lambda: table("iris"), _mlp(16)),
    Task("bands of a photograph, ConvNet", photo_bands, _conv(8, 16), in_turn=True),
    Task("bands of a photograph, ConvNet, fine-tuned", photo_bands, _conv(8, 16), fine_tuned=True, in_turn=True),
    Task("bands of a brain, MLP, fine-tuned", brain, _mlp(32, 32), fine_tuned=True),
    Task("modular products, transformer", lambda: modular(mul, 23), _transformer()),
    Task("whose line, transformer, fine-tuned", whose_line, _transformer(), fine_tuned=True),
    Task("heights of a fault, MLP", heights, _mlp(48, 48), classify=False),
    Task("next of an EEG, GRU", eeg, lambda _: [layers.GRU(16)], classify=False),
    Task("patches of a photograph, autoencoder", photo_patches, _mlp(32, 8, 32), classify=False),
    Task("worse quadratic", lambda: noisy_line(1e4, 1.0), lambda _: [], classify=False),
]
