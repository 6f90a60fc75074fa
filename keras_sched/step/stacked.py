"""Several batches in one call on JAX: one after the other, or, as the coming Keras reads data, stacked, as one."""

import itertools
from collections.abc import Callable, Iterator
from inspect import signature
from operator import itemgetter
from typing import Any

import jax
from keras.src.trainers.data_adapters import data_adapter  # noqa: TID251 - what Keras asks for batches

# No version says so: 3.16 has been developed with it and without.
_STACKS = "super_batch" in signature(data_adapter.DataAdapter.get_jax_iterator).parameters


def is_stacked(data: Any) -> bool:
    """Whether these are several batches, along a first axis. The last of an epoch come in a list of Keras' own kind."""
    return _STACKS and not (isinstance(data, list) and type(data) is not list)


def batches_of(data: Any, iterator: Iterator[Any], count: int) -> Iterator[Any]:
    """The batches of one call: at most `count` of them, of which `data` is the first, or all."""
    if count == 1 or not _STACKS:
        return itertools.chain([data], itertools.islice(iterator, count - 1))
    if not is_stacked(data):
        return iter(data)
    return (jax.tree.map(itemgetter(place), data) for place in range(len(jax.tree.leaves(data)[0])))


def in_turn(step: Callable[..., Any], state: Any, data: Any, windows: Any) -> Any:
    """Run `step(state, batch, windows)` for each of the stacked batches; the logs are the last one's."""
    state, logs = jax.lax.scan(lambda before, batch: step(before, batch, windows)[::-1], state, data)
    return jax.tree.map(lambda of_all: of_all[-1], logs), state
