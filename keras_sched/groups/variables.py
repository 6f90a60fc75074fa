"""A model's variables, divided into groups."""

import numbers
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import keras

from keras_sched.arguments import taking_variables
from keras_sched.errors import check_whole, wrong_type, wrong_value
from keras_sched.groups.layers import check_built, split_layers, unique

Groups = int | Sequence[Any] | Callable[[keras.Variable], int]
"""A number of groups, a list of lists of layers, variables or name patterns, or a function of a variable."""

_SHOWN = 5


def resolve_groups(
    model: keras.Model, groups: Groups, *, variables: Sequence[keras.Variable] | None = None, asking: str | None = None
) -> list[list[keras.Variable]]:
    """The variables of each group, those that train and those that are frozen, in the order of the model.

    Every variable that trains is in exactly one group. A group whose variables are all frozen may be empty.

    Args:
        model: a built Keras model.
        groups: a whole number (as in `layer_groups`); a list with, for each group, a list of layers or of regular
            expressions that are searched for in `variable.path`; or a function from a variable to its group's index,
            which is called with each of `variables` only.
        variables: the variables to divide. By default all of the model's weights, or for a function those that train.
        asking: for errors, the argument from which the number of groups follows, if it is not `groups` itself.
    """
    check_built(model)
    trained = model.trainable_variables
    if isinstance(groups, numbers.Integral):
        count = check_whole("groups", groups, "the number of parameter groups", 2)
        return _of_layers(split_layers(model, count, "groups", asking), model.weights)
    return _divide(groups, unique([*(variables or []), *model.weights]), variables or trained, trained, model)


def divide_variables(variables: Sequence[keras.Variable], groups: Groups) -> list[list[keras.Variable]]:
    """`resolve_groups` for an optimizer's variables, in a training loop, where no model says how layers are ordered."""
    if isinstance(groups, numbers.Integral):
        if check_whole("groups", groups, "the number of parameter groups", 2) == 1:
            return [list(variables)]
        cure = "Pass lists of layers, for example `groups=layer_groups(model, 2)`, name patterns or a function."
        raise wrong_value(f"groups={groups}", "without a model nobody knows the order of the layers", cure)
    return _divide(groups, variables, variables, variables)


def _divide(
    groups: Groups,
    universe: Sequence[keras.Variable],
    variables: Sequence[keras.Variable],
    needed: Sequence[keras.Variable],
    model: keras.Model | None = None,
) -> list[list[keras.Variable]]:
    """Divide by a function or by lists; each of `needed` is in a group then, and none of `variables` in two."""
    if callable(groups) and not isinstance(groups, keras.Layer):
        return _by_function(groups, variables)
    found = [_members(group, universe, model, number) for number, group in enumerate(_listed(groups))]
    _check_once(found, variables, needed, groups)
    return found


def _of_layers(layers: list[list[keras.Layer]], universe: Sequence[keras.Variable]) -> list[list[keras.Variable]]:
    """The variables of each group of layers; one that two groups share is the first one's."""
    taken: dict[int, int] = {}
    for number, group in enumerate(layers):
        for weight in (weight for layer in group for weight in layer.weights):
            taken.setdefault(id(weight), number)
    return [[each for each in universe if taken.get(id(each)) == number] for number in range(len(layers))]


def _by_function(
    function: Callable[[keras.Variable], int], variables: Sequence[keras.Variable]
) -> list[list[keras.Variable]]:
    with taking_variables(_name(function)):
        indices = [function(variable) for variable in variables]
    for variable, index in zip(variables, indices, strict=True):
        if not isinstance(index, numbers.Integral) or isinstance(index, bool) or index < 0:
            expected = f"for `{variable.path}` it returned {index!r}, which is no group's index: a whole number from 0"
            cure = "Return 0 for the first group, 1 for the next, and so on."
            raise wrong_value(f"groups={_name(function)}", expected, cure)
    return [
        [variable for variable, index in zip(variables, indices, strict=True) if index == number]
        for number in range(int(max(indices, default=-1)) + 1)
    ]


def _listed(groups: Any) -> list[list[Any]]:
    """`groups` as a list of lists of layers and patterns."""
    if not isinstance(groups, list | tuple) or not groups:
        expected = "groups are a whole number, a list with a list for each group, or a function of a variable"
        cure = "Pass for example `groups=2`, or `groups=[['backbone/'], ['head/']]`."
        raise wrong_type(f"groups={_name(groups)}", expected, cure)
    listed = [[group] if isinstance(group, str | keras.Layer) else group for group in groups]
    for number, group in enumerate(listed):
        entries = list(group) if isinstance(group, list | tuple) else [group]
        if not entries or not all(isinstance(entry, str | keras.Layer | keras.Variable) for entry in entries):
            expected = f"group {number} is {_name(group)}, not a list of layers or of name patterns"
            cure = "Pass for example `groups=[['backbone/'], ['head/']]`."
            raise wrong_type(f"groups={_name(groups)}", expected, cure)
    return [list(group) for group in listed]


def _members(
    group: list[Any], universe: Sequence[keras.Variable], model: keras.Model | None, number: int
) -> list[keras.Variable]:
    """The variables of `universe` that belong to one group."""
    chosen: set[int] = set()
    for entry in group:
        if isinstance(entry, str):
            chosen |= _matching(entry, universe, number)
        else:
            chosen |= _within(entry, universe, model, number) if isinstance(entry, keras.Layer) else {id(entry)}
    return [variable for variable in universe if id(variable) in chosen]


def _matching(pattern: str, universe: Sequence[keras.Variable], number: int) -> set[int]:
    received = f"groups=[..., {pattern!r}, ...]"
    try:
        found = {id(variable) for variable in universe if re.search(pattern, variable.path)}
    except re.error as error:
        expected = f"in group {number} that is no regular expression, as is searched for in a variable's path: {error}"
        raise wrong_value(received, expected, f"Pass for example `{re.escape(pattern.strip('*'))!r}`.") from error
    if not found:
        cure = f"Pass one that does; the variables are called {paths(universe)}."
        raise wrong_value(received, f"in group {number} that pattern matches no variable", cure)
    return found


def _within(layer: keras.Layer, universe: Sequence[keras.Variable], model: keras.Model | None, number: int) -> set[int]:
    known = {id(variable) for variable in universe}
    inside = {id(weight) for weight in layer.weights} & known
    if inside or (not layer.weights and _is_below(layer, model)):
        return inside
    expected = f"the layer `{layer.name}` of group {number} is not in the model, or is not built"
    cure = "Pass layers of this model, for example `groups=layer_groups(model, 2)`."
    raise wrong_value(f"groups=[..., {layer!r}, ...]", expected, cure)


def _is_below(layer: keras.Layer, model: keras.Model | None) -> bool:
    """Whether a layer without weights is the model's; without a model, whether it could be."""
    if model is None:
        return layer.built
    return any(each is layer or (isinstance(each, keras.Model) and _is_below(layer, each)) for each in model.layers)


def _check_once(
    found: list[list[keras.Variable]], single: Iterable[keras.Variable], needed: Iterable[keras.Variable], groups: Any
) -> None:
    """Raise unless each of `needed` is in a group, and none of `single` is in two."""
    homes: dict[int, list[int]] = {}
    for number, group in enumerate(found):
        for variable in group:
            homes.setdefault(id(variable), []).append(number)
    received = f"groups={_name(groups)}"
    doubled = [variable for variable in single if len(homes.get(id(variable), [])) > 1]
    if doubled:
        first, second, *_ = homes[id(doubled[0])]
        expected = f"groups {first} and {second} both have {paths(doubled)}, and a variable is in one group only"
        narrower = f"Narrow one of them down, for example to the pattern `{_prefix(doubled[0])!r}`"
        raise wrong_value(received, expected, f"{narrower}, or put both in one group.")
    missing = [variable for variable in needed if id(variable) not in homes]
    if missing:
        expected = f"no group has {paths(missing)}, and every variable that trains is in one"
        cure = f"Add them to a group, for example as the pattern `{_prefix(missing[0])!r}`, or freeze them."
        raise wrong_value(received, expected, cure)


def _prefix(variable: keras.Variable) -> str:
    return "^" + re.escape(variable.path.rpartition("/")[0] + "/")


def paths(variables: Sequence[keras.Variable]) -> str:
    """The paths of variables, in an error or a warning."""
    shown = ", ".join(f"`{variable.path}`" for variable in islice(variables, _SHOWN))
    more = f" and {len(variables) - _SHOWN} more, the last of them `{variables[-1].path}`"
    return shown + (more if len(variables) > _SHOWN else "")


def _name(thing: Any) -> str:
    name = getattr(thing, "__name__", None) or repr(thing)
    return name if len(name) <= 80 else f"{name[:77]}..."
