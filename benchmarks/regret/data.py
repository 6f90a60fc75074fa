"""The data of the tasks: what comes inside installed packages, and what is made by a formula."""

import argparse
import collections
import datetime as dt
import decimal
import gzip
import heapq
import inspect
import json.decoder
import logging
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """Training and validation arrays."""

    x: Array
    y: Array
    x_val: Array
    y_val: Array

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(max(self.y.max(), self.y_val.max())) + 1

    def only(self, low: int, high: int) -> "Data":
        """The classes from `low` to `high - 1`, counted from 0."""
        train, val = ((of >= low) & (of < high) for of in (self.y, self.y_val))
        return Data(self.x[train], self.y[train] - low, self.x_val[val], self.y_val[val] - low)


def _split(x: Array, y: Array, n: int | None = None, *, share: float = 0.75) -> Data:
    order = np.random.default_rng(0).permutation(len(x))[:n]
    cut = int(share * len(order))
    train, val = order[:cut], order[cut:]
    return Data(x[train], y[train], x[val], y[val])


def _scaled(x: Array) -> Array:
    return ((x - x.mean(0)) / (x.std(0) + 1e-8)).astype("float32")


def table(name: str) -> Data:
    """A table of scikit-learn, every column of it (and a number to predict) scaled to mean 0 and deviation 1."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    target = _scaled(y[:, None]) if np.asarray(y).dtype.kind == "f" else y.astype("int32")
    return _split(_scaled(x), target)


def digits() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _split((x / 8 - 1).astype("float32").reshape(-1, 8, 8, 1), y.astype("int32"), 1000)


def _photo(name: str) -> Array:
    from sklearn.datasets import load_sample_image

    return (load_sample_image(name) / 127.5 - 1).astype("float32")


def photo_bands(bands: int = 8) -> Data:
    """8 × 8 patches of a photograph: from which band of it is each?"""
    photo, rng = _photo("china.jpg")[::2, ::2], np.random.default_rng(0)
    top, left = (rng.integers(0, photo.shape[axis] - 8, 1000) for axis in (0, 1))
    patches = np.stack([photo[i : i + 8, j : j + 8] for i, j in zip(top, left, strict=True)])
    return _split(patches, (top * bands // photo.shape[0]).astype("int32"))


def photo_patches() -> Data:
    """8 × 8 patches of a photograph, to be copied through a narrow layer."""
    photo, rng = _photo("flower.jpg").mean(-1), np.random.default_rng(1)
    top, left = (rng.integers(0, photo.shape[axis] - 8, 800) for axis in (0, 1))
    patches = np.stack([photo[i : i + 8, j : j + 8].ravel() for i, j in zip(top, left, strict=True)])
    return _split(_scaled(patches), _scaled(patches))


def _waves(places: Array, count: int) -> Array:
    frequencies = np.random.default_rng(0).normal(0, 4, (places.shape[1], count))
    return np.concatenate([np.sin(places @ frequencies), np.cos(places @ frequencies)], 1).astype("float32")


def photo_colours() -> Data:
    """Place in a photograph, as waves -> colour."""
    photo, rng = _photo("flower.jpg")[::4, ::4], np.random.default_rng(0)
    i, j = (rng.integers(0, photo.shape[axis], 800) for axis in (0, 1))
    places = np.stack([i / photo.shape[0], j / photo.shape[1]], 1)
    return _split(_waves(places, 24), photo[i, j])


def heights() -> Data:
    """Place in the Jacksboro fault, as waves -> height above the sea."""
    from matplotlib.cbook import get_sample_data

    file: Any = get_sample_data("jacksboro_fault_dem.npz")
    height = file["elevation"]
    rng = np.random.default_rng(0)
    i, j = (rng.integers(0, height.shape[axis], 800) for axis in (0, 1))
    places = np.stack([i / height.shape[0], j / height.shape[1]], 1)
    return _split(_waves(places, 24), _scaled(height[i, j][:, None].astype("float64")))


def eeg() -> Data:
    """Sixteen samples of four electrodes -> the next of each."""
    from matplotlib.cbook import get_sample_data

    with get_sample_data("eeg.dat") as file:
        signal = _scaled(np.frombuffer(file.read(), dtype=float).reshape(-1, 4))
    windows = np.lib.stride_tricks.sliding_window_view(signal, 17, axis=0)
    return _split(windows[:, :, :16].transpose(0, 2, 1).copy(), windows[:, :, 16].copy(), 800)


def modular(operation: Callable[[Array, Array], Array], modulus: int) -> Data:
    """Two numbers -> what an operation makes of them, by a modulus. To be learned by heart: all of it is in both."""
    a, b = (each.ravel() for each in np.meshgrid(np.arange(modulus), np.arange(modulus)))
    x, y = np.stack([a, b], 1).astype("int32"), (operation(a, b) % modulus).astype("int32")
    return Data(x, y, x, y)


def _characters(text: str) -> Array:
    """Each as its place among the most frequent 47, or 47."""
    codes = np.frombuffer(text.encode("ascii", "replace"), dtype="uint8")
    frequent = np.argsort(-np.bincount(codes, minlength=256), kind="stable")[:47]
    places = np.full(256, 47)
    places[frequent] = np.arange(47)
    return places[codes].astype("int32")


def next_character(length: int = 8) -> Data:
    """Characters of a module of Python's library -> the next one."""
    windows = np.lib.stride_tricks.sliding_window_view(_characters(inspect.getsource(argparse)), length + 1)
    return _split(windows[:, :length].copy(), windows[:, length].copy(), 900)


def whose_line(length: int = 12) -> Data:
    """The end of a line of source -> which of eight modules of Python's library it comes from."""
    modules = [collections, inspect, heapq, json.decoder, logging, textwrap, dt, decimal]
    found, labels = [], []
    for label, module in enumerate(modules):
        lines = [line.strip() for line in inspect.getsource(module).splitlines()]
        long = [line[-length:] for line in lines if len(line) >= length][:130]
        found, labels = found + long, labels + [label] * len(long)
    return _split(_characters("".join(found)).reshape(-1, length), np.array(labels, dtype="int32"))


def noisy_line(condition: float, noise: float) -> Data:
    """A linear target, with noise, of inputs whose scales lie apart: the loss is a noisy quadratic."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 32)) * np.geomspace(1, condition**-0.5, 32)
    y = x @ (rng.normal(size=(32, 1)) * np.geomspace(1, condition**0.25, 32)[:, None])
    return _split(x.astype("float32"), (y / y.std() + noise * rng.normal(size=y.shape)).astype("float32"))


def brain(bands: int = 6) -> Data:
    """8 × 8 patches of a magnetic-resonance image: from which band of it is each?"""
    from matplotlib.cbook import get_sample_data

    raw = get_sample_data("s1045.ima.gz")
    content = raw.read() if hasattr(raw, "read") else gzip.decompress(raw)
    image = np.frombuffer(content, np.uint16).reshape(256, 256).astype("float32")
    image, rng = _scaled(np.sqrt(image).reshape(-1, 1)).reshape(256, 256), np.random.default_rng(0)
    top, left = rng.integers(40, 208, 1000), rng.integers(60, 188, 1000)
    patches = np.stack([image[i : i + 8, j : j + 8, None] for i, j in zip(top, left, strict=True)])
    return _split(patches, ((top - 40) * bands // 168).astype("int32"))
