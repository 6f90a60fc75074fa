"""The keys of a schedule that are not the optimizer's."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import keras
import numpy as np

from keras_sched.curves import looked_at
from keras_sched.errors import is_number, shown, wrong_value
from keras_sched.hypers import OBJECT, attribute_of
from keras_sched.step import Target, layers_of, loss_numbers
from keras_sched.table import RowValues
from keras_sched.targets.layers import EXAMPLE, checked_variable, numeric, of_layers, target_at
from keras_sched.targets.losses import losses_of, of_loss, of_weight, outputs_of

_OPTIMIZERS = frozenset({"momentum", "beta_1", "beta_2", "rho", "epsilon"})  # of some layers too
_DROPOUTS = tuple(kind for name, kind in vars(keras.layers).items() if "Dropout" in name)
_ROUNDING = 1e-12  # a formula that ends at 0 may be this far below it


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
        if curve is None:
            continue
        if any(name == "rate" and isinstance(thing, _DROPOUTS) for thing, name in target.places):
            for row, value in _outside(curve, rows, -_ROUNDING, 1 + _ROUNDING):
                cure = f"For {value:g}% pass {value / 100:g}." if 2 <= value <= 100 else "Pass for example 0.5."
                expected = f"a rate of dropout lies between 0 and 1, and its schedule does not at batch {row}"
                raise wrong_value(f"{target.label}={value:g}", expected, cure)
        if any(name == "recurrent_dropout" and _falls(thing) for thing, name in target.places):
            with_end = np.append(rows, total)  # the step is compiled for it as well
            for row, value in _outside(curve, with_end, 2 * _ROUNDING, np.inf):
                path = "where Keras takes another path"
                expected = f"beside `dropout` it may not be 0, {path}, and its schedule is at batch {row}"
                raise wrong_value(f"{target.label}={value:g}", expected, "End, or begin, at 1e-6.")


def _falls(cell: Any) -> bool:
    """Whether a recurrent layer takes Keras' quick way where its cell's `recurrent_dropout` is 0, which fails there."""
    return hasattr(cell, "implementation") and bool(getattr(cell, "dropout", 0))


def _outside(curve: RowValues, rows: Any, low: float, high: float) -> Iterator[tuple[int, float]]:
    """The rows whose value is not in this range, each with it."""
    values = np.ravel(curve(rows))
    yield from ((row, value) for row, value in zip(rows, values, strict=True) if not low <= value <= high)


def _named(key: str, model: keras.Model, optimizer: keras.Optimizer) -> Target | None:
    first, _, rest = key.partition(".")
    if first == "loss" and rest:
        return of_loss(key, rest, model)
    if first == "loss_weights" and rest:
        return of_weight(key, rest, model)
    if rest:
        return of_layers(key, model)
    if _is_optimizers(key, optimizer):
        return None
    named = [each for each in model.variables if key in (each.name, each.path)]
    if len(named) > 1:
        paths = ", ".join(f"`{each.path}`" for each in named)
        raise wrong_value(repr(key), "the model has several variables of that name", f"Pass one of {paths}.")
    if named:
        return Target(key, variables=(checked_variable(named[0], key, model),))
    meant = [] if key in _OPTIMIZERS or hasattr(optimizer, key) else _meant(key, model)
    if meant:
        expected = f"{type(optimizer).__name__} has no such hyper-parameter, and no variable has that name"
        raise wrong_value(repr(key), expected, f"Did you mean {' or '.join(meant[:3])}?")
    return None  # which is then looked for, and missed, in the optimizer


def _meant(key: str, model: keras.Model) -> list[str]:
    """The keys that end with `key`, each as one types it."""
    name = key.rpartition("/")[2]
    layers = [each for each in layers_of(model) if name in numeric(each) or is_number(vars(each).get(name))]
    losses = [] if getattr(model, "loss", None) is None else losses_of(key, model)
    output = key.rpartition("_")[0] if key.endswith("loss") else key  # `NAME_loss`, as in the logs
    weights = [each for each in outputs_of(losses) if each == output or key in ("loss_weights", "loss_weight")]
    of_losses = [key] if any(key in loss_numbers(loss) for _, loss in losses) else []
    dropouts = [each for each in layers_of(model) if is_number(vars(each).get("rate"))]
    rates = [each for each in dropouts if key == "dropout" or fnmatchcase(each.name, key)]
    variables = [each.name for each in model.non_trainable_variables if not len(each.shape)]
    return [
        *(f"`loss_weights.{output}`" for output in weights),
        *(f"`loss.{name}`" for name in of_losses),
        *(f"`{layer.name}.rate`" for layer in rates),
        *(f"`(model, {name!r})`" if layer is model else f"`{layer.name}.{name}`" for layer in layers),
        *(f"`{name}`" for name in get_close_matches(key, variables, n=1, cutoff=0.75)),
    ]


def _is_optimizers(key: str, optimizer: keras.Optimizer) -> bool:
    try:
        return bool(attribute_of(key, optimizer))
    except ValueError:
        return False


def _pair(key: tuple[Any, ...], model: keras.Model) -> Target:
    if len(key) != 2 or not isinstance(key[1], str):
        raise wrong_value(shown(key), "it must be a pair of an object and the name of its attribute", EXAMPLE)
    thing, attribute = key
    if isinstance(thing, keras.Optimizer) and attribute == "learning_rate":
        raise wrong_value(f"{thing.name}.{attribute}", "it is an optimizer's", "Pass `{'lr': ...}`, and `optimizer=`.")
    name = getattr(thing, "name", None)
    label = f"{name if isinstance(name, str) else type(thing).__name__}.{attribute}"
    return target_at(label, [(thing, attribute)], model)
