"""From a schedule's key to what it stands for beside the optimizer: attributes of layers and losses, variables."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from inspect import signature
from typing import Any

import keras
import numpy as np

from keras_sched.arguments import did_you_mean
from keras_sched.curves import looked_at
from keras_sched.errors import advise, is_number, shown, wrong_value
from keras_sched.hypers import OBJECT, attribute_of
from keras_sched.step import Target, layers_of, loss_numbers
from keras_sched.table import RowValues

_OPTIMIZERS = frozenset({"momentum", "beta_1", "beta_2", "rho", "epsilon"})  # of some layers too
_DROPOUTS = tuple(kind for name, kind in vars(keras.layers).items() if "Dropout" in name)
_ROUNDING = 1e-12  # a formula that ends at 0 may be this far below it
_EXAMPLE = "Pass for example `{'dropout*.rate': SchedLin(0.0, 0.5)}`."


def targets_of(keys: Iterable[Any], model: keras.Model, optimizer: keras.Optimizer) -> dict[Any, Target]:
    """{key: what it stands for} of the keys that are not the optimizer's.

    Args:
        keys: those of a schedule.
        model: the compiled model.
        optimizer: what is its own is left to it, whatever else has that name.

    Raises:
        ValueError: when a key matches nothing, or what it matches cannot be scheduled.
    """
    found: dict[Any, Target] = {}
    for key in keys:
        target = _pair(key, model) if isinstance(key, tuple) else _named(key, model, optimizer)
        if target is None:
            continue
        for other, before in found.items():
            if target.overlaps(before):
                raise wrong_value(f"{other!r} and {key!r}", "both schedule the same", "Leave one of them out.")
        found[key] = target
    return found


def columns_of(targets: Mapping[Any, Target]) -> dict[Any, tuple[str, str]]:
    """{key: (its column in the table, its name in `hps`)}."""
    return {key: (f"{OBJECT}{target.label}", target.label) for key, target in targets.items()}


def check_values(curves: Mapping[str, RowValues], targets: Mapping[Any, Target], total: int) -> None:
    """Raise where one of the values that are looked at before a fit is a rate of dropout and out of its range."""
    rows = looked_at(total)
    for target in targets.values():
        curve = curves.get(f"{OBJECT}{target.label}")
        if curve is None or not any(name == "rate" and isinstance(thing, _DROPOUTS) for thing, name in target.places):
            continue
        for row, value in zip(rows, np.ravel(curve(rows)), strict=True):
            if not -_ROUNDING <= value <= 1 + _ROUNDING:
                cure = f"For {value:g}% pass {value / 100:g}." if 1 < value <= 100 else "Pass for example 0.5."
                expected = f"a rate of dropout lies between 0 and 1, and its schedule does not at batch {row}"
                raise wrong_value(f"{target.label}={value:g}", expected, cure)


def _named(key: str, model: keras.Model, optimizer: keras.Optimizer) -> Target | None:
    first, _, rest = key.partition(".")
    if first == "loss" and rest:
        return _loss(key, rest, model)
    if first == "loss_weights" and rest:
        return _weight(key, rest, model)
    if rest:
        return _layers(key, model)
    if _is_optimizers(key, optimizer):
        return None
    named = [each for each in model.variables if key in (each.name, each.path)]
    if len(named) > 1:
        paths = ", ".join(f"`{each.path}`" for each in named)
        raise wrong_value(repr(key), "the model has several variables of that name", f"Pass one of {paths}.")
    if named:
        return Target(key, variables=(_variable(named[0], key, model),))
    meant = [] if key in _OPTIMIZERS or hasattr(optimizer, key) else _meant(key, model)
    if meant:
        expected = f"{type(optimizer).__name__} has no such hyper-parameter, and no variable has that name"
        raise wrong_value(repr(key), expected, f"Did you mean {' or '.join(meant[:3])}?")
    return None  # which is then looked for, and missed, in the optimizer


def _meant(key: str, model: keras.Model) -> list[str]:
    """The keys that end with `key`, each as one types it."""
    name = key.rpartition("/")[2]
    layers = [each for each in layers_of(model) if name in _numeric(each) or is_number(vars(each).get(name))]
    losses = [] if getattr(model, "loss", None) is None else _losses(key, model)
    output = key.rpartition("_")[0] if key.endswith("loss") else key  # `NAME_loss`, as in the logs
    weights = [each for each in _outputs(losses) if each == output or key in ("loss_weights", "loss_weight")]
    of_losses = [key] if any(key in loss_numbers(loss) for _, loss in losses) else []
    dropouts = [each for each in layers_of(model) if is_number(vars(each).get("rate"))]
    rates = [each for each in dropouts if key == "dropout" or fnmatchcase(each.name, key)]
    variables = [each.name for each in model.non_trainable_variables if not len(each.shape)]
    return [
        *(f"`loss_weights.{output}`" for output in weights),
        *(f"`loss.{name}`" for name in of_losses),
        *(f"`{layer.name}.rate`" for layer in rates),
        *(f"`{layer.name}.{name}`" for layer in layers),
        *(f"`{name}`" for name in get_close_matches(key, variables, n=1, cutoff=0.75)),
    ]


def _is_optimizers(key: str, optimizer: keras.Optimizer) -> bool:
    try:
        return bool(attribute_of(key, optimizer))
    except ValueError:
        return False


def _pair(key: tuple[Any, ...], model: keras.Model) -> Target:
    if len(key) != 2 or not isinstance(key[1], str):
        raise wrong_value(shown(key), "it must be a pair of an object and the name of its attribute", _EXAMPLE)
    thing, attribute = key
    if isinstance(thing, keras.Optimizer) and attribute == "learning_rate":
        raise wrong_value(f"{thing.name}.{attribute}", "it is an optimizer's", "Pass `{'lr': ...}`, and `optimizer=`.")
    name = getattr(thing, "name", None)
    label = f"{name if isinstance(name, str) else type(thing).__name__}.{attribute}"
    return _target(label, [(thing, attribute)], model)


def _layers(key: str, model: keras.Model) -> Target:
    layers = layers_of(model)
    pattern, _, path = key.partition(".")
    matching = _matching(pattern, layers, model)
    if not matching:
        names = sorted({layer.name for layer in layers if layer is not model})
        weight = f"loss_weights.{path}"
        meant = did_you_mean(pattern, [*names, weight], dict.fromkeys(("loss_weight", "lossweights"), weight))
        expected = f"no layer has a name or path like `{pattern}`"
        raise wrong_value(repr(key), expected, f"{meant}The layers are {', '.join(names)}; see `model.summary()`.")
    places = [_follow(layer, path) for layer in matching]
    there = [place for place in places if place is not None and hasattr(*place)]
    if not there:
        parents = [layer if "." not in path else _parent(layer, path) for layer in matching]
        has = sorted({name for each in parents for name in _numeric(each)})
        listed = f"those which can be scheduled are {', '.join(has)}" if has else "nor any that can be scheduled"
        cure = f"{did_you_mean(path.rpartition('.')[2], has)}Pass an attribute that the step reads as a number."
        raise wrong_value(repr(key), f"`{matching[0].name}` has no attribute `{path}`; {listed}", cure)
    return _target(key, there, model)


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
    parent = _parent(layer, path)
    return None if parent is None else (parent, path.rpartition(".")[2])


def _parent(layer: Any, path: str) -> Any:
    for name in path.split(".")[:-1]:
        layer = getattr(layer, name, None)
    return layer


def _target(label: str, places: list[tuple[Any, str]], model: keras.Model) -> Target:
    plain, variables = [], []
    for thing, attribute in {(id(thing), attribute): (thing, attribute) for thing, attribute in places}.values():
        value = getattr(thing, attribute, None)
        if isinstance(value, keras.Variable):
            variables.append(_variable(value, label, model))
        else:
            _check(label, thing, attribute, value)
            plain.append((thing, attribute))
    return Target(label, tuple(plain), tuple(variables))


def _check(label: str, thing: Any, attribute: str, value: Any) -> None:
    """Refuse an attribute that the step does not read as a number from batch to batch."""
    numbers = _numeric(thing) + [f"cell.{name}" for name in _numeric(getattr(thing, "cell", None))]  # recurrent
    who = f"`{attribute}` of `{getattr(thing, 'name', type(thing).__name__)}`"
    draws = isinstance(thing, keras.Layer) and "seed" in signature(type(thing).__init__).parameters
    if draws and is_number(value) and not value and not hasattr(thing, "seed_generator"):
        kind = type(thing).__name__
        expected = f"{who} is 0, and a {kind} made with 0 has no random numbers"
        raise wrong_value(repr(label), expected, f"Make it with another, for example `{kind}(0.1)`.")
    if isinstance(value, int) and not isinstance(value, bool):
        expected = f"{who} is the whole number {value}, as sizes are, which are settled when the step is made"
        cure = f"Where it is a hyper-parameter, make it a float first: {float(value)}."
        raise wrong_value(repr(label), expected, cure)
    if attribute not in numbers:
        listed = f"those which can be scheduled are {', '.join(numbers)}" if numbers else "it has none"
        meant = did_you_mean(attribute, numbers)
        raise wrong_value(repr(label), f"{who} is no numeric attribute; {listed}", f"{meant}{_EXAMPLE}")


def _numeric(thing: Any) -> list[str]:
    """The attributes that can be scheduled, in alphabetical order."""
    if not hasattr(thing, "__dict__"):
        return []
    found = dict(each for place in (*reversed(type(thing).__mro__), thing) for each in vars(place).items())
    numbers = [name for name, value in found.items() if is_number(value) and not isinstance(value, int)]
    variables = [name for name, each in found.items() if isinstance(each, keras.Variable) and not len(each.shape)]
    return sorted(name for name in numbers + variables if not name.startswith("_"))


def _variable(variable: keras.Variable, label: str, model: keras.Model) -> keras.Variable:
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


def _loss(key: str, rest: str, model: keras.Model) -> Target:
    output, _, attribute = rest.rpartition(".")
    losses = _losses(key, model)
    if output and output not in _outputs(losses):
        raise _unknown_output(key, output, losses)
    chosen = [loss for names, loss in losses if not output or output in names]
    known = sorted({name for loss in chosen for name, value in loss_numbers(loss).items() if name != "axis"})
    if attribute not in known:
        listed = f"the compiled loss has {', '.join(known)}" if known else "the compiled loss has no numeric attribute"
        having = [name for name, kind in vars(keras.losses).items() if is_number(_arguments(kind).get(attribute))]
        example = f"{having[0]}({attribute}=...)" if having else "Huber(delta=1.0)"
        cure = f"Compile with a loss that has what is to be scheduled, for example `keras.losses.{example}`."
        raise wrong_value(repr(key), listed, f"{did_you_mean(attribute, known)}{cure}")
    return Target(key, loss=(output or None, attribute))


def _arguments(kind: Any) -> dict[str, Any]:
    given = signature(kind.__init__).parameters if isinstance(kind, type) else {}
    return {name: each.default for name, each in given.items()}


def _weight(key: str, output: str, model: keras.Model) -> Target:
    losses = _losses(key, model)
    if output not in _outputs(losses):
        raise _unknown_output(key, output, losses)
    return Target(key, loss=(output, None))


def _unknown_output(key: str, output: str, losses: list[tuple[tuple[str, ...], Any]]) -> ValueError:
    names = _outputs(losses)
    cure = f"{did_you_mean(output, names)}Pass one of {', '.join(names)}."
    return wrong_value(repr(key), f"the model has no output `{output}` with a loss", cure)


def _losses(key: str, model: keras.Model) -> list[tuple[tuple[str, ...], Any]]:
    """(what an output is called, its loss) of each output of the compiled model; losses are objects or functions."""
    loss: Any = getattr(model, "loss", None)
    if loss is None:
        cure = "Compile it with one, or schedule an attribute of the object that computes it: `(object, 'attribute')`."
        raise wrong_value(repr(key), "the model is compiled without a loss", cure)
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(loss, Mapping):
        places = {name: [str(place)] for place, name in enumerate(names)}
        pairs = [((str(name), *places.get(name, [])), each) for name, each in loss.items()]
    elif isinstance(loss, list | tuple):
        pairs = [((str(place), *names[place : place + 1]), each) for place, each in enumerate(loss)]
    else:
        outputs = names or ["0"]
        pairs = [((str(place), name), loss) for place, name in enumerate(outputs)]
    return [(called, keras.losses.get(each)) for called, each in pairs if each is not None]


def _outputs(losses: list[tuple[tuple[str, ...], Any]]) -> list[str]:
    found = dict.fromkeys(name for names, _ in losses for name in names)
    return sorted(found, key=str.isdigit)  # by name first
