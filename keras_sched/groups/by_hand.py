"""What was frozen by hand, and trains again because the whole model was let train."""

from collections.abc import Collection, Container, Sequence
from weakref import WeakKeyDictionary

import keras

from keras_sched.errors import advise
from keras_sched.groups.variables import paths

# What `freeze` and `freeze_to` froze of each model that they have divided; the rest was frozen by hand.
_FROZEN: WeakKeyDictionary[keras.Model, set[int]] = WeakKeyDictionary()


def tell_of_frozen_by_hand(
    model: keras.Model, variables: Sequence[keras.Variable], training: Container[int], frozen: Collection[int]
) -> None:
    """Name what was frozen by hand, of the variables with the ids in `training`, which are about to train.

    Before any `freeze` only BatchNormalization in the groups that are `frozen` now is named: to unfreeze such a model
    is to unfreeze what was frozen by hand.
    """
    ours = _FROZEN.get(model, set()) | {id(variable) for variable in variables if variable.trainable}
    woken = [variable for variable in variables if id(variable) in training and id(variable) not in ours]
    norms = [variable for variable in woken if id(variable) in frozen]
    if told := woken if model in _FROZEN else norms:
        meaning = f"what was frozen by hand trains again: {paths(told)}"
        cure = "Set `layer.trainable = False` again, and compile the model, if it is to stay frozen."
        if norms:
            cure = f"Pass `train_bn=False` to keep BatchNormalization frozen. {cure if len(told) > len(norms) else ''}"
        advise(f"model={model.name}", meaning, cure.strip())
    _FROZEN[model] = {each for each in ours if each not in training}
    if not frozen:
        del _FROZEN[model]
