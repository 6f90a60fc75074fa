"""From the name of a hyper-parameter to an attribute of an optimizer, and from a learning rate to one per group."""

import math
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import keras

from keras_sched.arguments import check_rate, did_you_mean
from keras_sched.errors import advise, is_number, shown, wrong_state, wrong_type, wrong_value

LearningRate = float | slice | Sequence[float]

RATE = "learning_rate"
OBJECT = "."  # with it begins the column of what is not the optimizer's

_SHORT_NAMES = {"lr": RATE, "wd": "weight_decay", "eps": "epsilon"}
# Keras reads these outside the update, or they fix the shape of the compiled step: a schedule would not change them.
_STRUCTURAL = frozenset(
    {
        "ema_overwrite_frequency",
        "gradient_accumulation_steps",
        "initial_accumulator_value",
        "loss_scale_factor",
        "ns_steps",
        "warmup_steps",
    }
)
CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")  # in the order in which Keras looks for them


def innermost(optimizer: keras.Optimizer) -> list[keras.Optimizer]:
    """The optimizers that hold the hyper-parameters: inside a loss scale, and each one of a `MultiOptimizer`."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return innermost(optimizer.inner_optimizer)
    multi = getattr(keras.optimizers, "MultiOptimizer", None)  # Keras has it since 3.15
    if multi is not None and isinstance(optimizer, multi):
        return list(optimizer.optimizers)
    return [optimizer]


def known_innermost(optimizer: keras.Optimizer, cure: str) -> list[keras.Optimizer]:
    """`innermost`; a `RuntimeError` where a function divides the variables, and there are none yet."""
    if found := innermost(optimizer):
        return found
    state = "a `MultiOptimizer` that a function divides, and that is not built"
    raise wrong_state(state, "its optimizers are not known before the model's variables are", cure)


def is_object(column: str) -> bool:
    """Whether a column of a table is another object's than the optimizer's."""
    return column.startswith(OBJECT)


def attribute_of(name: str, optimizer: keras.Optimizer) -> str:
    """The attribute of `optimizer` that `name` stands for; raise where there is none, or a change has no effect."""
    attribute = _long_name(name, optimizer)
    if attribute is None or attribute not in known_attributes(optimizer):
        raise _unknown(name, attribute, optimizer)
    _check_effect(name, attribute, optimizer)
    return attribute


def momentum_attribute(optimizer: keras.Optimizer) -> str | None:
    """`momentum` where the optimizer has a positive one, else `beta_1` where it has that, else `None`."""
    if is_number(getattr(optimizer, "momentum", None)) and optimizer.momentum > 0:
        return "momentum"
    return "beta_1" if is_number(getattr(optimizer, "beta_1", None)) else None


def known_attributes(optimizer: keras.Optimizer) -> list[str]:
    """The attributes of `optimizer` that can be scheduled, in alphabetical order, the learning rate first.

    They are numeric arguments of its class, or of one above it: nobody reads another number that is put on it.
    """
    arguments = {name for kind in type(optimizer).__mro__ for name in signature(kind.__init__).parameters}
    numeric = {
        name for name in arguments - _STRUCTURAL if not name.startswith("_") and is_number(vars(optimizer).get(name))
    }
    if not optimizer.use_ema:
        numeric.discard("ema_momentum")
    # Unset (`None`), these four do something as soon as they have a value.
    return ["learning_rate", *sorted(numeric | {"weight_decay", *CLIPPING})]


def _long_name(name: Any, optimizer: keras.Optimizer) -> str | None:
    if name == "mom":
        return momentum_attribute(optimizer)
    if name == "sqr_mom":
        return next((known for known in ("rho", "beta_2") if is_number(getattr(optimizer, known, None))), None)
    return _SHORT_NAMES.get(name, name) if isinstance(name, str) else None


def _unknown(name: Any, attribute: str | None, optimizer: keras.Optimizer) -> ValueError:
    kind = type(optimizer).__name__
    if attribute in _STRUCTURAL and hasattr(optimizer, str(attribute)):
        expected = f"`{attribute}` of {kind} is settled when the step is made, it cannot change from batch to batch"
    elif attribute == "ema_momentum":
        expected = f"{kind} keeps no moving average of the weights"
    elif name == "mom" and hasattr(optimizer, "momentum"):
        return wrong_value(
            repr(name),
            f"{kind} was made with momentum={optimizer.momentum}, so that it keeps no velocity to schedule",
            f"Compile with a positive one, for example `{kind}(momentum=0.9)`.",
        )
    else:
        expected = f"{kind} has no such hyper-parameter"
    names = ["lr", "mom", "sqr_mom", "wd", "eps", *known_attributes(optimizer)]
    has = [each for each in names if _long_name(each, optimizer) is not None]
    meant = did_you_mean(name, has, {"momentum": "mom", "beta_1": "mom", "beta_2": "sqr_mom", "rho": "sqr_mom"})
    return wrong_value(repr(name), expected, f"{meant}Pass one of the names it knows: {', '.join(names)}.")


def _check_effect(name: str, attribute: str, optimizer: keras.Optimizer) -> None:
    """Refuse what Keras would not look at: a momentum of zero, or a second way of clipping."""
    if attribute == "momentum" and not optimizer.momentum > 0:
        raise _unknown("mom", None, optimizer)
    if attribute in CLIPPING:
        other = next((c for c in CLIPPING if c != attribute and getattr(optimizer, c) is not None), None)
        if other is not None:
            expected = f"the optimizer clips by `{other}` already, and Keras clips in one way only"
            raise wrong_value(repr(name), expected, f"Schedule `{other}`, or compile without it.")


def learning_rates(
    value: Any, groups: int, *, argument: str = "lr_max", layer_decay: float | None = None, example: str = "1e-3"
) -> float | tuple[float, ...]:
    """One learning rate for each parameter group: a float where there is one group, else a tuple.

    Args:
        value: a number (each group's), `slice(hi)` (the last group `hi`, the others `hi / 10`), `slice(lo, hi)`
            (geometric from the first group to the last), or one number per group.
        groups: how many groups there are, at least 1.
        argument: the name of the argument, for the message of an error.
        layer_decay: group g of G gets its rate times `layer_decay ** (G - 1 - g)`, above 0 and at most 1.
        example: a rate to name in the message of an error.

    """
    check_rate(argument, value)
    if isinstance(value, Mapping):
        recipe = any(map(callable, value.values()))
        kind, cure = "a dictionary", "Pass a list of rates, and the layers or name patterns of each group as `groups=`."
        if recipe or argument in value:
            kind = "a recipe" if recipe else "a dictionary of arguments"
            cure = "Pass the recipe to `ParamScheduler`." if recipe else "Unpack it: `**` before it."
        expected = f"it must be a learning rate, and this is {kind}"
        raise wrong_type(f"{argument}={shown(value)}", expected, cure)
    rates = [float(rate) if getattr(rate, "shape", None) == () else rate for rate in _spread(value, groups, argument)]
    for rate in rates:
        if not (is_number(rate) and 0 < rate < math.inf):
            expected = "a learning rate is a finite number above 0"
            raise wrong_value(f"{argument}={shown(value)}", expected, f"Pass `{argument}={example}`.")
    if layer_decay is not None:
        _check_layer_decay(layer_decay, groups)
        rates = [rate * layer_decay ** (groups - 1 - group) for group, rate in enumerate(rates)]
    return float(rates[0]) if groups == 1 else tuple(float(rate) for rate in rates)


def groups_wanted(value: Any) -> int | None:
    """How many groups a learning rate asks for by its own shape: 2 for a `slice`, G for G numbers, else `None`."""
    if isinstance(value, slice):
        return 2
    return len(list(value)) if _is_sequence(value) else None


def _spread(value: Any, groups: int, argument: str) -> list[Any]:
    if isinstance(value, slice):
        return _spread_slice(value, groups, argument)
    if not _is_sequence(value):
        return [value] * groups
    rates = list(value)
    if len(rates) != groups:
        there_are = "is one parameter group" if groups == 1 else f"are {groups} parameter groups"
        as_many = "one number" if groups == 1 else f"{groups} of them, one number for all, or `slice(lo, hi)`"
        expected = f"it has {len(rates)} rates where there {there_are}"
        raise wrong_value(f"{argument}={shown(value)}", expected, f"Pass {as_many}; or `groups={len(rates)}`.")
    return rates


def _spread_slice(value: slice, groups: int, argument: str) -> list[Any]:
    low, high, step = value.start, value.stop, value.step
    if step is not None or not is_number(high) or not (low is None or is_number(low)) or high <= 0:
        expected = "a slice of learning rates is `slice(hi)` or `slice(lo, hi)`, of numbers above 0"
        raise wrong_value(f"{argument}={shown(value)}", expected, f"Pass for example `{argument}=slice(1e-5, 1e-3)`.")
    if low is None:
        return [high / 10] * (groups - 1) + [high]
    if low <= 0:
        return [low] * groups  # refused by the caller's check, in the same words as any rate
    if groups == 1:
        return [high]
    if low > high:
        found = "its first group, of the first layers, has the highest rate"
        advise(f"{argument}={shown(value)}", found, f"Pass `slice({high}, {low})`, if you did not mean that.")
    ratio = (high / low) ** (1 / (groups - 1))
    return [low * ratio**group for group in range(groups - 1)] + [high]


def _check_layer_decay(value: Any, groups: int) -> None:
    received = f"layer_decay={shown(value)}"
    if not (is_number(value) and 0 < value <= 1):
        expected = "it is the factor from a group's rate to that of the one before, and must be above 0 and at most 1"
        raise wrong_value(received, expected, "Pass for example `layer_decay=0.75`.")
    if groups == 1:
        expected = "there is one parameter group, so that nothing would decay"
        raise wrong_value(received, expected, "Pass `groups=` too, for example `groups=4`.")


def _is_sequence(value: Any) -> bool:
    several = isinstance(value, Iterable) and getattr(value, "shape", None) != ()  # an array of one number is a number
    return several and not isinstance(value, str | bytes) and not callable(value)
