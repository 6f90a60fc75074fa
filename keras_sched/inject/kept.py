"""The compiled steps that a model keeps, so that its next scheduled fit compiles nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_sched.inject.apply import put, take_away
from keras_sched.inject.leaf import Leaf
from keras_sched.inject.rows import Layout
from keras_sched.inject.steps import ScheduledStep, own_batches

_KEPT = "_keras_sched_steps"
_MOST_KEPT = 4


@dataclass(frozen=True, eq=False)
class StepKey:
    """What a compiled step was made for.

    The objects themselves are kept, and not their addresses: one that is gone leaves its address to the next. A step
    for an optimizer of the same shape runs without a complaint, with the constants of the old one.

    Args:
        compiled: the optimizer, and the loss tracker, which every `compile` makes anew.
        objects: everything else that must be the very same.
        facts: what must be equal.
    """

    compiled: tuple[Any, ...]
    objects: tuple[Any, ...]
    facts: tuple[Any, ...]

    @classmethod
    def of(cls, model: keras.Model, leaves: Sequence[Leaf], layouts: Sequence[Layout]) -> "StepKey":
        """The key of a step that `model` would make now."""
        variables = tuple(model.trainable_variables)
        groups = tuple(tuple(leaf.group(v) for v in variables) for leaf in leaves if leaf.groups > 1)
        modes = (model.run_eagerly, model.jit_compile, own_batches(model))
        compiled = (model.optimizer, getattr(model, "_loss_tracker", None))
        objects = (keras.distribution.distribution(), *(leaf.optimizer for leaf in leaves), *variables)
        return cls(compiled, objects, (modes, groups, tuple(layout.key for layout in layouts)))

    def same_compile(self, other: "StepKey") -> bool:
        """Whether no `compile` lies between the two."""
        return _same(self.compiled, other.compiled)

    def serves(self, other: "StepKey") -> bool:
        """Whether a step made for `other` can be used."""
        return self.same_compile(other) and _same(self.objects, other.objects) and self.facts == other.facts


def kept_step(model: keras.Model, key: StepKey, make: Callable[[], ScheduledStep]) -> ScheduledStep:
    """The step that the model has kept for `key`, or one made now, which it keeps from now on.

    Those of an earlier `compile` are let go, and with them the state of its optimizer.
    """
    kept: list[tuple[StepKey, ScheduledStep]] = [
        entry for entry in vars(model).get(_KEPT, []) if entry[0].same_compile(key)
    ]
    step = next((step for other, step in kept if key.serves(other)), None)
    if step is None:
        step = make()
    kept = [(key, step), *((other, old) for other, old in kept if old is not step)]
    put(model, _KEPT, kept[:_MOST_KEPT])
    return step


def forget_steps(model: keras.Model) -> None:
    """Let go of all of them."""
    take_away(model, _KEPT)


def _same(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))
