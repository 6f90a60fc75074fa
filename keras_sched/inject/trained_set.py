"""The variables that a model trains: which could, which do, and how a change of the set takes effect."""

from collections.abc import Container, Mapping
from typing import Any

import keras

from keras_sched.errors import speaker, wrong_state
from keras_sched.inject.kept import forget_steps
from keras_sched.inject.optimizer_state import fits, renew
from keras_sched.inject.shown import inside_fit

# name -> what it is used for, as in names.py.
TRAINED_SET_NAMES = {
    "_compiled_trainable_state": "what Keras compares the layers with, to warn of a change since `compile`",
    "_layers": "the layers in a layer",
    "_trainable_variables": "a layer's own variables that train unless they are frozen",
}


def can_train(model: keras.Model) -> list[keras.Variable]:
    """The variables that train unless they are frozen, in the order of the model."""
    found = {id(variable) for layer in _downwards(model) for variable in layer._trainable_variables}
    return [variable for variable in model.weights if id(variable) in found]


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Every BatchNormalization layer of the model, however deep."""
    return [layer for layer in _downwards(model) if isinstance(layer, keras.layers.BatchNormalization)]


def check_not_scheduled(model: keras.Model) -> None:
    """Raise in the middle of a scheduled fit, whose step was made for the variables that train now."""
    if "make_train_function" in vars(model) and inside_fit(model):
        raise wrong_state(
            f"a scheduled fit of `{model.name}` running",
            "its schedule was made for the variables that train now",
            f"Call `{speaker()}` between two fits.",
        )


def set_trained(model: keras.Model, trained: Container[int], norms: Mapping[int, bool]) -> bool:
    """Set what trains: the variables whose ids are `trained`, and the BatchNorm layers with these ids.

    A layer trains when something in it does. Layers that could not train anyway follow the layer they are in.

    Returns:
        Whether anything changed.
    """
    layers = _downwards(model)
    wanted = _wanted(layers, trained, norms)
    variables = [variable for layer in layers for variable in layer._trainable_variables]
    same = all(layer.trainable == wanted.get(id(layer), layer.trainable) for layer in layers)
    if same and all(variable.trainable == (id(variable) in trained) for variable in variables):
        return False
    for layer in layers:  # a layer before those in it: Keras' setter sets them too
        if id(layer) in wanted:
            layer.trainable = wanted[id(layer)]
    for variable in variables:
        variable.trainable = id(variable) in trained
    return True


def take_effect(model: keras.Model, *, changed: bool, keep_state: bool) -> None:
    """Let the next batch train what the model's flags say, as after `compile`."""
    if not model.compiled:
        return
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    fitting = fits(model)
    if not fitting:
        renew(model, keep_state=keep_state)
    if changed or not fitting:
        forget_functions(model)


def forget_functions(model: keras.Model) -> None:
    """Let go of everything compiled for another set of variables."""
    forget_steps(model)
    if model.train_function is not None:
        model.make_train_function(force=True)
    model.test_function = model.predict_function = None
    state: dict[Any, bool] = getattr(model, "_compiled_trainable_state", {})
    state.update((layer, layer.trainable) for layer in list(state))


def _wanted(layers: list[keras.Layer], trained: Container[int], norms: Mapping[int, bool]) -> dict[int, bool]:
    """{id of a layer: whether it trains}, for the layers that can."""
    wanted: dict[int, bool] = {}
    for layer in reversed(layers):
        parts = [id(variable) in trained for variable in layer._trainable_variables]
        parts += [wanted[id(inner)] for inner in layer._layers if id(inner) in wanted]
        if id(layer) in norms or parts:
            wanted[id(layer)] = norms.get(id(layer), any(parts))
    return wanted


def _downwards(model: keras.Layer) -> list[keras.Layer]:
    """The model and every layer below it, each once, and before those that are in it."""
    upwards: dict[int, keras.Layer] = {}
    waiting: list[tuple[keras.Layer, bool]] = [(model, False)]
    while waiting:
        layer, done = waiting.pop()
        if done:
            upwards.setdefault(id(layer), layer)
        elif id(layer) not in upwards:
            waiting.append((layer, True))
            waiting.extend((inner, False) for inner in layer._layers)
    return list(upwards.values())[::-1]
