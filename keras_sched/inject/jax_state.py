"""The state between two steps on JAX, in sequences that Keras takes for no containers."""

from collections.abc import Sequence
from typing import Any

import jax


class StatePart(Sequence[Any]):
    """The values of one kind of variable, in the model's order.

    After every batch Keras sets the state on the model, where its tracker walks each list, tuple and dictionary that it
    is given (Keras 3.15): for a model of many variables that takes as long as a third of its step. It takes this for an
    object like any other. For JAX it is a node of a tree.

    Args:
        values: the values, arrays or what stands for them.
    """

    __slots__ = ("values",)

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]


jax.tree_util.register_pytree_node(
    StatePart,
    lambda part: (part.values, None),
    lambda _, values: StatePart(values),
)


def in_parts(state: Sequence[Any]) -> tuple[Any, ...]:
    """The four parts of a state, each a `StatePart` where it was a list or a tuple."""
    return tuple(StatePart(part) if isinstance(part, (list, tuple)) else part for part in state)


def in_lists(state: Sequence[Any]) -> tuple[Any, ...]:
    """The same as a `train_step` knows it."""
    return tuple(list(part) if isinstance(part, StatePart) else part for part in state)
