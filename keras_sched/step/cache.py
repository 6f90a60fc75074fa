"""The step cache: the compiled steps that a model keeps, so that its next scheduled fit compiles nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_sched.step.attributes import put, take_away
from keras_sched.step.backend import ScheduledStep, batches_per_call
from keras_sched.step.inner import InnerOptimizer
from keras_sched.step.objects import Objects
from keras_sched.step.table import Layout

_CACHE = "_keras_sched_steps"
_MOST = 4


@dataclass(frozen=True, eq=False)
class StepKey:
    """What a compiled step was made for.

    The objects themselves are kept, not their addresses, which an object that is gone leaves to the next. On JAX a step
    for an optimizer of the same shape would run without a complaint, with the constants of the old one.

    Args:
        plain: the model's own train function: `compile`, and `make_train_function(force=True)`, make another one.
        objects: everything else that must be the very same.
        facts: what must be equal.
    """

    plain: Any
    objects: tuple[Any, ...]
    facts: tuple[Any, ...]

    @classmethod
    def of(
        cls, model: keras.Model, inner: Sequence[InnerOptimizer], layouts: Sequence[Layout], others: Objects
    ) -> "StepKey":
        """The key of a step that `model` would make now."""
        variables = tuple(model.trainable_variables)
        groups = tuple(tuple(each.group(v) for v in variables) for each in inner if each.groups > 1)
        objects = (keras.distribution.distribution(), model.optimizer, *(each.optimizer for each in inner), *variables)
        objects += tuple(others.things)
        facts = (batches_per_call(model), groups, tuple(layout.key for layout in layouts), others.facts)
        return cls(model.train_function, objects, facts)

    def serves(self, other: "StepKey") -> bool:
        """Whether a step that was made for this key can be used for `other`."""
        same = len(self.objects) == len(other.objects) and all(
            one is another for one, another in zip(self.objects, other.objects, strict=True)
        )
        return same and self.plain is other.plain and self.facts == other.facts


def cached_step(model: keras.Model, key: StepKey, make: Callable[[], ScheduledStep]) -> ScheduledStep:
    """The model's step for `key`, or one made now. Those for another train function are let go."""
    cached: list[tuple[StepKey, ScheduledStep]] = [
        entry for entry in vars(model).get(_CACHE, []) if entry[0].plain is key.plain
    ]
    step = next((step for other, step in cached if other.serves(key)), None)
    if step is None:
        step = make()
    put(model, _CACHE, [(key, step), *((other, old) for other, old in cached if old is not step)][:_MOST])
    return step


def forget_steps(model: keras.Model) -> None:
    """Let go of all of them, and of the optimizers that they hold."""
    take_away(model, _CACHE)
