"""Freezing: which groups of a model's layers train, and an optimizer that begins again when that changes."""

import numbers
import warnings
from weakref import WeakKeyDictionary

import keras

from keras_sched.arguments import names_checked
from keras_sched.errors import speaker, speaking_as, wrong_state, wrong_value
from keras_sched.groups import Groups, check_built, most_groups, resolve_groups, tell_of_frozen_by_hand
from keras_sched.step import ScheduledFit, trained_set

# What each model was last divided into, kept outside of it: a model is saved and copied as if there were no groups.
DIVIDED: WeakKeyDictionary[keras.Model, Groups] = WeakKeyDictionary()


@names_checked
def freeze_to(model: keras.Model, n: int, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Freeze the first `n` parameter groups of a model and let the others train, as fastai's `Learner.freeze_to`.

    Every variable of the groups from `n` on trains, also one frozen by hand; those in no group stay as they are.
    Nothing is to be recompiled: where other variables train than before, `model.optimizer` becomes a new one of the
    same configuration, at step 0. (Keras' Adam has one count for all: at the old one, a
    variable that joins would begin at a multiple of its rate.)

    Args:
        model: a built model, compiled or not: the whole one. Of a part of it set `part.trainable = False`, as in Keras.
        n: how many groups are frozen: 0 (none) to G of G (all), or counted from the end, -G to -1.
        groups: a whole number (as in `layer_groups`), a list with a list of layers or of name patterns for each group,
            or a function from a variable to its group. By default what this model was last frozen by, or else 2.
        train_bn: whether BatchNormalization layers in frozen groups train, statistics too, as fastai's do: also one
            frozen by hand, with a warning. `False`: by their moving statistics, as in Keras' transfer learning guide.

    Raises:
        ValueError: before anything changes, when `n` is out of range or `groups` do not fit the model.
        RuntimeError: likewise, when the model is not built or its optimizer cannot be made from its configuration.

    Example:
        >>> import keras
        >>> from keras_sched import freeze_to
        >>> model = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in "abc")])
        >>> freeze_to(model, -1, groups=3)
        >>> [layer.name for layer in model.layers if layer.trainable]
        ['c']
    """
    _freeze(model, n, groups, train_bn=train_bn)


@names_checked
def freeze(model: keras.Model, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Freeze all parameter groups but the last, as fastai's `Learner.freeze`; arguments and errors as in `freeze_to`.

    It takes the whole model, and freezes its body; of a part alone set `part.trainable = False`, as in Keras.

    Example:
        >>> import keras
        >>> from keras_sched import freeze
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        >>> freeze(model)
        >>> [layer.trainable for layer in model.layers]
        [False, True]
    """
    _freeze(model, -1, groups, train_bn=train_bn)


@names_checked
def unfreeze(model: keras.Model, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Let every parameter group train, as fastai's `Learner.unfreeze`; arguments and errors as in `freeze_to`.

    Without `groups` that is all that can train, also what was frozen by hand (as LoRA's kernels): said after `freeze`.

    Example:
        >>> import keras
        >>> from keras_sched import freeze, is_frozen, unfreeze
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        >>> freeze(model)
        >>> unfreeze(model)
        >>> is_frozen(model), len(model.trainable_variables)
        (False, 4)
    """
    _freeze(model, 0, groups, train_bn=train_bn, everything=groups is None)


@names_checked
def is_frozen(model: keras.Model, groups: Groups | None = None) -> bool:
    """Whether the parameter group before the last trains nothing, BatchNormalization aside.

    Arguments and errors as in `freeze_to`; a model that cannot be divided into two groups is not frozen.

    Example:
        >>> import keras
        >>> from keras_sched import freeze, is_frozen
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        >>> freeze(model)
        >>> is_frozen(model)
        True
    """
    check_built(model)
    if groups is None and model not in DIVIDED and most_groups(model) < 2:
        return False
    divided = _divide(model, groups)
    training = {id(variable) for variable in model.trainable_variables}
    training -= {id(weight) for norm in trained_set.batch_norms(model) for weight in norm.weights}
    return len(divided) > 1 and training.isdisjoint(map(id, divided[-2]))


@speaking_as("reset_optimizer")
def reset_optimizer(model: keras.Model) -> None:
    """Let a compiled model's optimizer begin again: its state and count of steps anew, its hyper-parameters kept."""
    if not model.compiled or model.optimizer is None:
        cure = "Compile the model first, for example `model.compile('adam', loss='mse')`."
        raise wrong_state(f"the model `{model.name}` without an optimizer", "it is the one to begin again", cure)
    ScheduledFit.end_of(model, left=True)
    trained_set.begin_anew(model, trained_set.new_optimizer(model))


def _freeze(model: keras.Model, n: int, groups: Groups | None, *, train_bn: bool, everything: bool = False) -> None:
    check_built(model)
    ScheduledFit.end_of(model, left=True)
    divided = [trained_set.can_train(model)] if everything else _divide(model, groups)
    start = _start(n, len(divided))
    frozen, training = ({id(each) for group in part for each in group} for part in (divided[:start], divided[start:]))
    norms: dict[int, bool] = {}
    for norm in trained_set.batch_norms(model):
        weights = {id(weight) for weight in norm.weights}
        norms[id(norm)] = everything or bool(weights & training) or (train_bn if weights & frozen else norm.trainable)
        if norms[id(norm)] and weights & frozen:
            training |= weights
    new = trained_set.new_optimizer(model) if model.compiled and model.optimizer is not None else None
    tell_of_frozen_by_hand(model, trained_set.can_train(model), training, frozen)
    changed = trained_set.set_trained(model, training, norms)
    if groups is not None:
        DIVIDED[model] = groups
    if new is not None and not trained_set.fits(model):
        trained_set.begin_anew(model, new)
    elif changed and model.compiled:
        trained_set.forget_functions(model)
    if not model.trainable_variables:
        warnings.warn(f"`{speaker()}` has frozen the whole of `{model.name}`: a fit would train nothing.", stacklevel=3)
    if n < 0 and not start and model not in DIVIDED:
        warnings.warn(f"`{speaker()}` froze nothing of {len(divided)} groups: ask for `groups={1 - n}`.", stacklevel=3)


def _start(n: int, count: int) -> int:
    """`n`, which may count from the end, as the index of the first group that trains."""
    if isinstance(n, numbers.Integral) and not isinstance(n, bool) and -count <= n <= count:
        return int(n) % count if n < 0 else int(n)
    expected = f"it is how many groups are frozen, and must be a whole number; there are {count} groups"
    cure = f"Pass from {-count} to {count}, for example `n=-1` for all groups but the last, or other `groups=`."
    raise wrong_value(f"n={n!r}", expected, cure)


def _divide(model: keras.Model, groups: Groups | None) -> list[list[keras.Variable]]:
    groups = DIVIDED.get(model, 2) if groups is None else groups
    return resolve_groups(model, groups, variables=trained_set.can_train(model))
