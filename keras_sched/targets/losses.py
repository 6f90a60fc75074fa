"""Attributes of the compiled losses, and their weights."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

import keras

from keras_sched.arguments import did_you_mean
from keras_sched.errors import is_number, wrong_value
from keras_sched.step import Target, loss_numbers


def of_loss(key: str, rest: str, model: keras.Model) -> Target:
    """What `loss.attribute` or `loss.OUTPUT.attribute` stands for."""
    output, _, attribute = rest.rpartition(".")
    losses = losses_of(key, model)
    if output and output not in outputs_of(losses):
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


def of_weight(key: str, output: str, model: keras.Model) -> Target:
    """What `loss_weights.OUTPUT` stands for."""
    losses = losses_of(key, model)
    if output not in outputs_of(losses):
        raise _unknown_output(key, output, losses)
    return Target(key, loss=(output, None))


def _unknown_output(key: str, output: str, losses: list[tuple[tuple[str, ...], Any]]) -> ValueError:
    names = outputs_of(losses)
    keys = " or ".join(f"`{key.replace(f'.{output}', f'.{name}', 1)}`" for name in names)
    cure = f"{did_you_mean(output, names)}Pass {keys}."
    return wrong_value(repr(key), f"the model has no output `{output}` with a loss", cure)


def losses_of(key: str, model: keras.Model) -> list[tuple[tuple[str, ...], Any]]:
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


def outputs_of(losses: list[tuple[tuple[str, ...], Any]]) -> list[str]:
    """What the outputs are called."""
    found = dict.fromkeys(name for names, _ in losses for name in names)
    return sorted(found, key=str.isdigit)  # by name first
