"""The random number generators that a training run draws from, remembered and put back."""

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from keras.src.backend.common import global_state  # noqa: TID251 - where Keras keeps its seed generator

PutBack = tuple[str, Callable[[], None]]


def keras_generator() -> Any:
    """Keras' global seed generator; `None` where nobody has drawn from it."""
    return global_state.get_global_attribute("global_seed_generator")


def keep_random_states(data: Any = None) -> list[PutBack]:
    """Remember where every global generator is, and those that `data` has of its own; the calls put them back.

    PyTorch's and TensorFlow's are remembered wherever they are loaded: the data may come from there on any backend.
    """
    of_keras = partial(global_state.set_global_attribute, "global_seed_generator", keras_generator())
    states: list[PutBack] = [
        ("Python's random numbers", partial(random.setstate, random.getstate())),
        ("NumPy's random numbers", partial(np.random.set_state, np.random.get_state(legacy=False))),  # noqa: NPY002 - the global state has to be kept
        ("Keras' seed generator", of_keras),  # where there was none, the next draw makes it from Python's numbers
    ]
    for library in ("torch", "tensorflow"):
        if library in sys.modules:
            states += importlib.import_module(f"keras_sched.step.{library}").random_states()
    return states + [("the data's random numbers", put_back) for put_back in _own_generators(data)]


def _own_generators(data: Any) -> Iterator[Callable[[], None]]:
    """For a `DataLoader`, a `PyDataset` or the like: the generators among its attributes and those of its samplers."""
    torch = sys.modules.get("torch")
    holders = [data, *(getattr(data, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    holders.append(getattr(holders[2], "sampler", None))
    for value in [value for holder in holders for value in getattr(holder, "__dict__", {}).values()]:
        if isinstance(value, np.random.Generator):
            yield partial(setattr, value.bit_generator, "state", value.bit_generator.state)
        elif isinstance(value, np.random.RandomState):
            yield partial(value.set_state, value.get_state(legacy=False))
        elif isinstance(value, random.Random):
            yield partial(value.setstate, value.getstate())
        elif torch is not None and isinstance(value, torch.Generator):
            yield partial(value.set_state, value.get_state())
