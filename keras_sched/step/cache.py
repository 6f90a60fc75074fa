"""The step cache: the compiled steps that a model keeps, so that its next scheduled fit compiles nothing."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_sched.step.attributes import put, take_away
from keras_sched.step.backend import ScheduledStep, batches_per_call
from keras_sched.step.inner import InnerOptimizer
from keras_sched.step.objects import Objects
from keras_sched.step.table import Layout

_CACHE = "_keras_sched_steps"
_MOST = 4


class StepKey(NamedTuple):
    """What a compiled step was made for.

    The objects themselves are kept, not their addresses, which an object that is gone leaves to the next. On JAX a step
    for an optimizer of the same shape would run without a complaint, with the constants of the old one.

    Args:
        objects: what must be the very same; the first is the plain train function, of which `compile` and
            `make_train_function(force=True)` make another one.
        facts: what must be equal.
    """

    objects: tuple[Any, ...]
    facts: tuple[Any, ...]

    @classmethod
    def of(
        cls, model: keras.Model, inner: Sequence[InnerOptimizer], layouts: Sequence[Layout], others: Objects
    ) -> "StepKey":
        """The key of a step that `model` would make now."""
        variables = model.trainable_variables
        groups = tuple(tuple(each.group(v) for v in variables) for each in inner if each.groups > 1)
        optimizers = [model.optimizer, *(each.optimizer for each in inner)]
        objects = (model.train_function, *optimizers, keras.distribution.distribution(), *variables, *others.things)
        return cls(objects, (batches_per_call(model), groups, tuple(layout.key for layout in layouts), others.facts))

    def serves(self, other: "StepKey") -> bool:
        """Whether a step that was made for this key can be used for `other`."""
        return self.facts == other.facts and [*map(id, self.objects)] == [*map(id, other.objects)]


def cached_step(model: keras.Model, key: StepKey, make: Callable[[], ScheduledStep]) -> ScheduledStep:
    """The model's step for `key`, or one made now. Those for another train function are let go."""
    cached: list[tuple[StepKey, ScheduledStep]] = [
        entry for entry in vars(model).get(_CACHE, []) if entry[0].objects[0] is key.objects[0]
    ]
    step = next((step for other, step in cached if other.serves(key)), None) or make()
    put(model, _CACHE, [(key, step), *((other, old) for other, old in cached if old is not step)][:_MOST])
    return step


def forget_steps(model: keras.Model) -> None:
    """Let go of all of them, and of the optimizers that they hold."""
    take_away(model, _CACHE)
