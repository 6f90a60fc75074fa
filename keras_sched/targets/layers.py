"""Attributes of layers, and variables."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any

import keras

from keras_sched.arguments import did_you_mean
from keras_sched.errors import advise, is_number, wrong_value
from keras_sched.step import Target, layers_of

EXAMPLE = "Pass for example `{'dropout*.rate': SchedLin(0.0, 0.5)}`."


def of_layers(key: str, model: keras.Model) -> Target:
    """What `LAYER.attribute` stands for; `LAYER` is a name, a path or a pattern of them."""
    layers = layers_of(model)
    pattern, _, path = key.partition(".")
    matching = _matching(pattern, layers, model)
    if not matching:
        able = sorted({layer.name for layer in layers if path in numeric(layer) and layer is not model})
        names = sorted({layer.name for layer in layers if layer is not model})
        weight = f"loss_weights.{path}"
        meant = did_you_mean(pattern, [*(able or names), weight], dict.fromkeys(("loss_weight", "lossweights"), weight))
        having = f"`{path}` is of {', '.join(able)}. " if able else ""
        having += f"The model's own is `(model, {path!r})`. " if path in numeric(model) else ""
        expected = f"no layer has a name or path like `{pattern}`"
        cure = f"{meant}{having}The layers are {', '.join(names)}; see `model.summary()`."
        raise wrong_value(repr(key), expected, cure)
    places = [_follow(layer, path) for layer in matching]
    there = [place for place in places if place is not None and hasattr(*place)]
    if not there:
        expected = f"`{matching[0].name}` has no attribute `{path}`; {_listed(matching[0], model)}"
        cure = f"{_meant(path, matching[0], model)}Pass an attribute that the step reads as a number."
        raise wrong_value(repr(key), expected, cure)
    return target_at(key, there, model)


def _matching(pattern: str, layers: Mapping[keras.Layer, list[str]], model: keras.Model) -> list[keras.Layer]:
    """The layers of which a name is like the pattern; where there are none, has what it looks for as in `groups=`."""
    alike = [layer for layer, names in layers.items() if any(fnmatchcase(name, pattern) for name in names)]
    others = [each.name for each in layers if fnmatchcase(each.name, f"{pattern}_[0-9]*")]
    if others and any(type(each).__name__.lower() == pattern.replace("_", "") for each in alike):  # Keras gave the name
        meaning = f"Keras numbers such names through the process, and {', '.join(others)} is not scheduled"
        advise(repr(pattern), meaning, f"Type `{pattern}*` for all, or name the layers.")
    if alike:
        return alike
    try:
        found = re.compile(pattern).search
    except re.error:
        return []
    root = f"{model.name}/"
    inside = {layer: names for layer, names in layers.items() if layer is not model}
    having = [layer for layer, names in inside.items() if any(found(name.removeprefix(root)) for name in names)]
    if len(having) > 1 and re.escape(pattern) == pattern:
        meaning = f"no layer is called so, and it is in the names of {', '.join(layer.name for layer in having)}"
        advise(repr(pattern), f"{meaning}: all are scheduled", f"Type `*{pattern}*` for all, or the name of one.")
    return having


def _follow(layer: Any, path: str) -> tuple[Any, str] | None:
    *through, name = path.split(".")
    for each in through:
        layer = getattr(layer, each, None)
    cell = getattr(layer, "cell", None)  # a recurrent layer shows what its cell has
    layer = cell if name in numeric(cell) and name not in numeric(layer) else layer
    return None if layer is None else (layer, name)


def target_at(label: str, places: list[tuple[Any, str]], model: keras.Model) -> Target:
    """These (object, attribute), which must be numbers or variables that can be scheduled."""
    plain, variables = [], []
    for thing, attribute in {(id(thing), attribute): (thing, attribute) for thing, attribute in places}.values():
        value = getattr(thing, attribute, None)
        if isinstance(value, keras.Variable):
            variables.append(checked_variable(value, label, model))
        else:
            _check(label, thing, attribute, value, model)
            plain.append((thing, attribute))
    return Target(label, tuple(plain), tuple(variables))


def _check(label: str, thing: Any, attribute: str, value: Any, model: keras.Model) -> None:
    """Refuse an attribute that the step does not read as a number from batch to batch."""
    who = f"`{attribute}` of `{getattr(thing, 'name', type(thing).__name__)}`"
    if is_number(value) and not value and (lacks := _made_with_0(thing, attribute)):
        expected = f"{who} is 0, and a {type(thing).__name__} made with 0 {lacks}"
        raise wrong_value(repr(label), expected, f"Make the layer with another, for example `{attribute}=0.1`.")
    if isinstance(value, int) and not isinstance(value, bool):
        expected = f"{who} is the whole number {value}, as sizes are, which are settled when the step is made"
        cure = f"Where it is a hyper-parameter, make it a float first: {float(value)}."
        raise wrong_value(repr(label), expected, cure)
    if attribute.startswith("_") and is_number(value):
        raise wrong_value(repr(label), f"{who} is private", "Give the layer one without the underscore.")
    if attribute not in numeric(thing):
        is_there = hasattr(thing, attribute)
        expected = (
            f"{who} {'is no number that can be scheduled' if is_there else 'is not there'}; {_listed(thing, model)}"
        )
        cure = EXAMPLE if is_there else f"Give it one, for example `self.{attribute} = 0.5`, or pass one that it has."
        raise wrong_value(repr(label), expected, _meant(attribute, thing, model).strip() or cure)


def _made_with_0(thing: Any, attribute: str) -> str:
    """What a layer lacks for ever where the attribute is 0 when it is made."""
    draws = isinstance(thing, keras.Layer) and "seed" in signature(type(thing).__init__).parameters
    if draws and not any(isinstance(each, keras.random.SeedGenerator) for each in vars(thing).values()):
        return "has no random numbers"
    recurrent = attribute == "recurrent_dropout" and getattr(thing, "implementation", 1) == 2
    return "never drops any" if recurrent else ""


def _listed(thing: Any, model: keras.Model) -> str:
    found = _keys(thing, model)
    keys = ", ".join(f"`{key}`" for key in found)
    return f"what can be scheduled there: {keys}" if found else "nothing there can be scheduled"


def _meant(path: str, thing: Any, model: keras.Model) -> str:
    """The key that ends as `path` does; what is called dropout is the rate of a layer inside."""
    found = {key: key.rpartition(".")[2] for key in _keys(thing, model)}
    name = path.rpartition(".")[2]
    meant = [name, "rate" if "dropout" in name else name, *get_close_matches(name, found.values(), n=1)]
    return next((f"Did you mean `{key}`? " for each in meant for key, last in found.items() if last == each), "")


def _keys(thing: Any, model: keras.Model) -> list[str]:
    """The keys of what can be scheduled of an object, of what it holds, and of the layers in it."""
    of = getattr(thing, "name", type(thing).__name__)
    held = {name: each for name, each in getattr(thing, "__dict__", {}).items() if isinstance(each, keras.Regularizer)}
    cell = {"cell": thing.cell} if hasattr(thing, "cell") else {}
    inside = [each for each, names in layers_of(model).items() if any(name.startswith(f"{of}/") for name in names)]
    return [
        *(f"{of}.{name}" for name in numeric(thing)),
        *(f"{of}.{through}.{name}" for through, each in (held | cell).items() for name in numeric(each)),
        *dict.fromkeys(f"{of}/*.{name}" for each in inside if thing is not model for name in numeric(each)),
    ]


def numeric(thing: Any) -> list[str]:
    """The attributes that can be scheduled, in alphabetical order."""
    if not hasattr(thing, "__dict__"):
        return []
    found = dict(each for place in (*reversed(type(thing).__mro__), thing) for each in vars(place).items())
    numbers = [name for name, value in found.items() if _is_float(value)]
    variables = [name for name, each in found.items() if isinstance(each, keras.Variable) and not len(each.shape)]
    return sorted(name for name in numbers + variables if not name.startswith("_"))


def _is_float(value: Any) -> bool:
    """Whether it is a number, but no whole one; Keras' `L1` and `OrthogonalRegularizer` make a tensor of theirs."""
    if keras.ops.is_tensor(value):
        return not len(value.shape) and keras.backend.is_float_dtype(keras.backend.standardize_dtype(value.dtype))
    return is_number(value) and not isinstance(value, int)


def checked_variable(variable: keras.Variable, label: str, model: keras.Model) -> keras.Variable:
    """The variable; raise where it cannot be scheduled."""
    wrong = None
    if len(variable.shape):
        wrong = f"it has the shape {tuple(variable.shape)}", "Schedule a variable of shape ()"
    elif any(variable is each for each in model.trainable_variables):
        wrong = "the model trains it", "Make it with `trainable=False`"
    elif not any(variable is each for each in model.non_trainable_variables):
        wrong = "the model does not track it", "Make it an attribute of the model or of a layer, not in a dictionary"
    elif not keras.backend.is_float_dtype(variable.dtype):
        wrong = f"its values are {variable.dtype}", "Make it with `dtype='float32'`"
    if wrong is not None:
        scalars = [
            each.path
            for each in model.non_trainable_variables
            if not len(each.shape) and keras.backend.is_float_dtype(each.dtype)
        ]
        listed = f"; those that can be scheduled are {', '.join(scalars)}" if scalars else ""
        raise wrong_value(repr(label), f"the variable `{variable.path}` cannot be: {wrong[0]}", f"{wrong[1]}{listed}.")
    return variable
