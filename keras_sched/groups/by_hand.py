"""What was frozen by hand, and trains again because the whole model was let train."""

from collections.abc import Container, Sequence
from weakref import WeakKeyDictionary

import keras

from keras_sched.errors import advise
from keras_sched.groups.variables import paths

# What `freeze` and `freeze_to` froze of each model that they have divided; the rest was frozen by hand.
_FROZEN: WeakKeyDictionary[keras.Model, set[int]] = WeakKeyDictionary()


def tell_of_frozen_by_hand(
    model: keras.Model, variables: Sequence[keras.Variable], training: Container[int], *, forget: bool
) -> None:
    """Name what was frozen by hand, of the variables with these ids, which are about to train.

    Before any `freeze` nothing is said: to unfreeze such a model is to unfreeze what was frozen by hand. `forget` is
    whether no group is frozen from here on.
    """
    ours = _FROZEN.get(model, set()) | {id(variable) for variable in variables if variable.trainable}
    woken = [variable for variable in variables if id(variable) in training and id(variable) not in ours]
    if woken and model in _FROZEN:
        meaning = f"what was frozen by hand trains again: {paths(woken)}"
        cure = "Set `layer.trainable = False` again, and compile the model, if it is to stay frozen."
        advise(f"model={model.name}", meaning, cure)
    _FROZEN[model] = {each for each in ours if each not in training}
    if forget:
        del _FROZEN[model]
