"""Freezing: which groups of a model's layers train, and an optimizer that begins again when that changes."""

import numbers
import warnings
from weakref import WeakKeyDictionary

import keras

from keras_sched.errors import speaker, speaking_as, wrong_state, wrong_value
from keras_sched.groups import Groups, check_built, most_groups, resolve_groups
from keras_sched.step import ScheduledFit
from keras_sched.step.trained_set import (
    batch_norms,
    begin_anew,
    can_train,
    fits,
    forget_functions,
    new_optimizer,
    set_trained,
)

# What each model was last divided into, kept outside of it: a model is saved and copied as if there were no groups.
_DIVIDED: WeakKeyDictionary[keras.Model, Groups] = WeakKeyDictionary()


@speaking_as("freeze_to")
def freeze_to(model: keras.Model, n: int, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Freeze the first `n` parameter groups of a model and let the others train, from the next `fit` on.

    There is nothing to recompile. Where the variables that train change, `model.optimizer` becomes a new optimizer of
    the same configuration, as in fastai: its state and its count of steps begin anew. (Keras' Adam has one count for
    all variables: one that joins at a high count would begin at a multiple of its rate.)

    Args:
        model: a built model, compiled or not.
        n: how many groups are frozen: 0 (none) to G of G (all); a negative one counts from the end, so that -1 leaves
            the last group to train, as in `freeze`.
        groups: a whole number (as in `layer_groups`), a list with a list of layers or of name patterns for each group,
            or a function from a variable to its group. By default what this model was last frozen by, or else 2.
        train_bn: whether BatchNormalization layers in frozen groups go on training, their statistics too, as fastai's
            do. With `False` they are frozen and use their moving statistics, as Keras' transfer learning guide has it.

    Every variable of the groups from `n` on trains, also one that was frozen by hand before. Variables that are in no
    group stay as they are: leave them out of the `groups` to keep them frozen.

    Raises:
        ValueError: when `n` is out of range, or `groups` do not fit the model. Nothing has changed then.
        RuntimeError: when the model is not built, or when its optimizer cannot be made from its
            configuration. Nothing has changed then.

    Example:
        >>> import keras
        >>> from keras_sched import freeze_to
        >>> model = keras.Sequential([keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in "abc")])
        >>> freeze_to(model, -1, groups=3)
        >>> [layer.name for layer in model.layers if layer.trainable]
        ['c']

    After fastai's `Learner.freeze_to`.
    """
    _freeze(model, n, groups, train_bn=train_bn)


@speaking_as("freeze")
def freeze(model: keras.Model, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Freeze all parameter groups but the last, usually the head; arguments and errors as in `freeze_to`.

    Example:
        >>> import keras
        >>> from keras_sched import freeze, is_frozen
        >>> backbone = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> model = keras.Sequential([backbone, keras.layers.Dense(2)])
        >>> freeze(model)
        >>> is_frozen(model), backbone.trainable
        (True, False)

    After fastai's `Learner.freeze`.
    """
    _freeze(model, -1, groups, train_bn=train_bn)


@speaking_as("unfreeze")
def unfreeze(model: keras.Model, *, groups: Groups | None = None, train_bn: bool = True) -> None:
    """Let every parameter group train; arguments and errors as in `freeze_to`.

    Without `groups` that is everything in the model that can train, also what was frozen by hand (the kernels under
    Keras' LoRA, for one). With `groups` it is what they hold, and everything else stays as it is.

    Example:
        >>> import keras
        >>> from keras_sched import freeze, is_frozen, unfreeze
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        >>> freeze(model)
        >>> unfreeze(model)
        >>> is_frozen(model), len(model.trainable_variables)
        (False, 4)

    After fastai's `Learner.unfreeze`.
    """
    _freeze(model, 0, groups, train_bn=train_bn, everything=groups is None)


@speaking_as("is_frozen")
def is_frozen(model: keras.Model, groups: Groups | None = None) -> bool:
    """Whether the parameter group before the last trains nothing, BatchNormalization aside.

    Args:
        model: a built model.
        groups: as in `freeze_to`. A model that cannot be divided into two groups is not frozen.

    Raises:
        ValueError: when `groups` do not fit the model.
        RuntimeError: when the model is not built.

    Example:
        >>> import keras
        >>> from keras_sched import is_frozen
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        >>> is_frozen(model)
        False
        >>> model.layers[0].trainable = False
        >>> is_frozen(model)
        True
    """
    check_built(model)
    if groups is None and model not in _DIVIDED and most_groups(model) < 2:
        return False
    divided = _divide(model, groups)
    if len(divided) < 2:
        return False
    training = {id(variable) for variable in model.trainable_variables}
    norms = {id(weight) for norm in batch_norms(model) for weight in norm.weights}
    return not any(id(variable) in training - norms for variable in divided[-2])


@speaking_as("reset_optimizer")
def reset_optimizer(model: keras.Model) -> None:
    """Let the optimizer of a compiled model begin again: its state and count of steps anew, its hyper-parameters kept.

    Where the same variables train as before, nothing is compiled again.

    Raises:
        RuntimeError: when the model is not compiled, or its optimizer cannot be made from its configuration.
    """
    check_compiled(model)
    ScheduledFit.end_of(model)
    begin_anew(model, new_optimizer(model))


def check_compiled(model: keras.Model) -> None:
    """Raise unless `model` is compiled, with an optimizer."""
    if not model.compiled or model.optimizer is None:
        raise wrong_state(
            f"the model `{model.name}` without an optimizer",
            "it is the optimizer that begins again",
            "Compile the model first, for example `model.compile('adam', loss='mse')`.",
        )


def _freeze(model: keras.Model, n: int, groups: Groups | None, *, train_bn: bool, everything: bool = False) -> None:
    check_built(model)
    ScheduledFit.end_of(model)
    divided = [can_train(model)] if everything else _divide(model, groups)
    start = _start(n, len(divided))
    frozen = {id(variable) for group in divided[:start] for variable in group}
    training = {id(variable) for group in divided[start:] for variable in group}
    norms: dict[int, bool] = {}
    for norm in batch_norms(model):
        weights = {id(weight) for weight in norm.weights}
        norms[id(norm)] = bool(everything or weights & training or _goes_on(norm, bool(weights & frozen), train_bn))
        if norms[id(norm)] and weights & frozen:
            training |= weights
    new = new_optimizer(model) if model.compiled and model.optimizer is not None else None
    changed = set_trained(model, training, norms)
    if groups is not None:
        _DIVIDED[model] = groups
    if new is not None and not fits(model):
        begin_anew(model, new)
    elif changed and model.compiled:
        forget_functions(model)
    if not model.trainable_variables:
        warnings.warn(f"`{speaker()}` has frozen the whole of `{model.name}`: a fit would train nothing.", stacklevel=3)


def _goes_on(norm: keras.layers.BatchNormalization, frozen: bool, train_bn: bool) -> bool:
    """Whether a BatchNorm outside the groups that train does train."""
    return train_bn if frozen else norm.trainable


def _start(n: int, count: int) -> int:
    """`n`, which may count from the end, as the index of the first group that trains."""
    if isinstance(n, numbers.Integral) and not isinstance(n, bool) and -count <= n <= count:
        return int(n) % count if n < 0 else int(n)
    raise wrong_value(
        f"n={n!r}",
        f"it is how many groups are frozen, a whole number, and there are {count} groups",
        f"Pass from {-count} to {count}, for example `n=-1` for all groups but the last, or other `groups=`.",
    )


def _divide(model: keras.Model, groups: Groups | None) -> list[list[keras.Variable]]:
    chosen = _DIVIDED.get(model, 2) if groups is None else groups
    return resolve_groups(model, chosen, variables=can_train(model))
