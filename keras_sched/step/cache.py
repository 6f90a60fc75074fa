"""The step cache: the compiled steps that a model keeps, so that its next scheduled fit compiles nothing."""

from collections.abc import Callable

import keras

from keras_sched.step.attributes import put
from keras_sched.step.backend import ScheduledStep, batches_per_call
from keras_sched.step.inner import InnerOptimizer
from keras_sched.step.objects import Objects
from keras_sched.step.table import Layout

STEPS = "_keras_sched_steps"  # where a model keeps them
_MOST = 4


class StepKey:
    """What a step that `model` would compile now is made for.

    The objects themselves are kept, not their addresses, which an object that is gone leaves to the next. On JAX a step
    for an optimizer of the same shape would run without a complaint, with the constants of the old one.
    """

    def __init__(self, model: keras.Model, inner: list[InnerOptimizer], layouts: list[Layout], others: Objects) -> None:
        self.train_function = model.train_function  # `compile` and `make_train_function(force=True)` make another one
        variables = model.trainable_variables
        groups = [[each.group(variable) for variable in variables] for each in inner if each.groups > 1]
        optimizers = [model.optimizer, *(each.optimizer for each in inner)]
        self.objects = [*optimizers, keras.distribution.distribution(), *variables, *others.things]
        self.facts = (batches_per_call(model), groups, [layout.key for layout in layouts], others.facts)

    def serves(self, other: "StepKey") -> bool:
        """Whether a step that was made for this key can be used for `other`."""
        return self.facts == other.facts and [*map(id, self.objects)] == [*map(id, other.objects)]


def cached_step(model: keras.Model, key: StepKey, make: Callable[[], ScheduledStep]) -> ScheduledStep:
    """The model's step for `key`, or one made now. Those for another train function are let go."""
    entries: list[tuple[StepKey, ScheduledStep]] = vars(model).get(STEPS, [])
    cached = [entry for entry in entries if entry[0].train_function is key.train_function]
    step = next((step for other, step in cached if other.serves(key)), None) or make()
    put(model, STEPS, [(key, step), *(entry for entry in cached if entry[1] is not step)][:_MOST])
    return step
