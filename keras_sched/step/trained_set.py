"""The variables that a model trains: which could, which do, and an optimizer for another set of them."""

import re
from collections.abc import Container, Mapping
from typing import Any

import keras

from keras_sched.errors import wrong_state
from keras_sched.hypers import innermost
from keras_sched.step.attributes import put, take_away
from keras_sched.step.backend import backend
from keras_sched.step.cache import STEPS
from keras_sched.step.state import all_variables


def can_train(model: keras.Model) -> list[keras.Variable]:
    """The variables that train unless they are frozen, in the order of the model."""
    found = {id(variable) for layer in model._flatten_layers() for variable in layer._trainable_variables}
    return [variable for variable in model.weights if id(variable) in found]


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Every BatchNormalization layer of the model, however deep."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def set_trained(model: keras.Model, trained: Container[int], norms: Mapping[int, bool]) -> bool:
    """Let the variables with these ids train, and BatchNorm layers as {id: whether} says; whether anything changed.

    A layer trains when something in it does; one that has nothing to train follows the layer it is in.
    """
    layers: list[Any] = sorted(model._flatten_layers(), key=lambda layer: -len(layer._flatten_layers()))
    variables = [variable for layer in layers for variable in layer._trainable_variables]
    before = [each.trainable for each in (*layers, *variables)]
    for layer in layers:  # from outside in: Keras' setter sets the layers in a layer too
        inside = layer._flatten_layers()
        parts = [norms[id(each)] for each in inside if id(each) in norms]
        parts += [id(v) in trained for each in inside if id(each) not in norms for v in each._trainable_variables]
        if parts and layer.trainable != any(parts):
            layer.trainable = any(parts)
    for variable in variables:
        variable.trainable = id(variable) in trained
    return before != [each.trainable for each in (*layers, *variables)]


def fits(model: keras.Model) -> bool:
    """Whether the optimizer has state for exactly the variables that train now, or no state at all."""
    optimizer: Any = model.optimizer
    if optimizer is None or not optimizer.built:
        return True
    return [*map(id, optimizer._trainable_variables)] == [*map(id, model.trainable_variables)]


def new_optimizer(model: keras.Model) -> keras.Optimizer:
    """An optimizer of the same configuration as the model's, not built; a `RuntimeError` where it has none."""
    old = model.optimizer
    try:
        with backend().scope(model):
            return type(old).from_config(old.get_config())
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        found = f"a {type(old).__name__} that cannot be made from its configuration ({error})"
        cure = "Give it a `get_config` and a `from_config`, or compile the model again."
        raise wrong_state(found, "an optimizer of the same configuration is to begin anew", cure) from error


def begin_anew(model: keras.Model, new: keras.Optimizer) -> None:
    """Give the model's optimizer the first values of `new`, or where other variables train by now, take `new`."""
    old = model.optimizer
    with backend().scope(model):
        _set_as(old, new)  # before it is built: Keras 3.16 decides there which variables decay
        if old.built:
            new.build(model.trainable_variables)
        if fits(model):
            for variable, first in zip(all_variables(old), all_variables(new), strict=True):
                variable.assign(first)
            return
        _set_as(old, new)  # those too that are made when it is built
        backend().attach_state(model)
        model.optimizer = new
    forget_functions(model)


def _set_as(old: keras.Optimizer, new: keras.Optimizer) -> None:
    """Give the new one what a method has set on the old one, such as `exclude_from_weight_decay`."""
    for before, after in zip([old, *innermost(old)], [new, *innermost(new)], strict=False):
        for name, value in vars(before).items():
            if name not in vars(after) and isinstance(value, bool | dict | float | int | re.Pattern | set | str):
                put(after, name, value)


def forget_functions(model: keras.Model) -> None:
    """Let go of everything compiled for another set of variables."""
    take_away(model, STEPS)
    if vars(model).get("ddp_model") is not None:  # Keras 3.16 on PyTorch: it sums what trained before
        put(model, "ddp_model", None)
    if model.train_function is not None:
        model.make_train_function(force=True)
    model.test_function = model.predict_function = None
