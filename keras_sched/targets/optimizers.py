"""Whether a model trains with the optimizer that a schedule is for."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_sched.errors import wrong_state


def check_optimizer(optimizer: Any, model: Any, own: Sequence[Any]) -> None:
    """Refuse an optimizer that is none of the model's `own` where Keras' `train_step` applies these alone."""
    plain_step = getattr(model.train_step, "__func__", None) is keras.Model.train_step
    plain_function = type(model).make_train_function is keras.Model.make_train_function
    if plain_step and plain_function and not any(optimizer is each for each in own):
        found = f"the optimizer `{getattr(optimizer, 'name', optimizer)}`, which `{model.name}` does not apply"
        expected = "its schedule would have no effect; the one that makes updates is `model.optimizer`"
        raise wrong_state(found, expected, "Leave `optimizer=` out, or let a `train_step` of your own apply it.")
