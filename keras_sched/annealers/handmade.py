"""A user's own Python function as an annealer."""

from __future__ import annotations

import numbers
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, make_dataclass
from inspect import Parameter, isfunction, signature
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_sched.annealers.base import Annealer, Between, Ends, computing_dtype
from keras_sched.errors import is_number, shown, speaking_as, wrong_type, wrong_value


@speaking_as("annealer")
def annealer(function: Callable[..., Any]) -> type[Handmade]:
    """Make an annealer of a function `(start, end, pos)`: afterwards `function(start, end)` is one.

    The class is registered with Keras under `keras_sched.annealer>` and the function's name when it is made, so models
    that hold one can be saved and loaded; if two functions have one name, the later one is loaded.

    Args:
        function: takes start, end and position, and returns the value there. All three are Python floats, also if
            the annealer is called with an array or has groups: then it is called once for each. A body written with
            `keras.ops` works on tensors too, in a compiled step (as `AnnealedSchedule` needs) as outside; `pos` is
            then a tensor. Further parameters, with defaults, become arguments of the annealer.

    Raises:
        TypeError: when `function` is no named function of such parameters.

    Example:
        >>> from keras_sched import annealer
        >>> @annealer
        ... def steps_down(start, end, pos, n=4):
        ...     return start + (end - start) * int(pos * n) / n
        >>> steps_down(1, 0)([0, 0.3, 0.9]).tolist()
        [1.0, 0.75, 0.25]
        >>> steps_down(1, 0, n=2)
        steps_down(start=1.0, end=0.0, n=2)

    After fastai's decorator of the same name.
    """
    extras = _extra_parameters(function)
    namespace = {"body": staticmethod(function), "__doc__": function.__doc__, "__qualname__": function.__qualname__}
    options = {"frozen": True, "slots": True, "repr": False}
    made = make_dataclass(function.__name__, extras, bases=(Handmade,), namespace=namespace, **options)
    made.__module__ = function.__module__
    keras.saving.register_keras_serializable(package="keras_sched.annealer")(made)
    return made


def _extra_parameters(function: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    if not isfunction(function) or not function.__name__.isidentifier():
        expected = "it makes an annealer of a function that has a name"
        raise wrong_type(repr(function), expected, "Write `@annealer` above `def name(start, end, pos):`.")
    parameters = list(signature(function).parameters.values())
    first, extras = parameters[:3], parameters[3:]
    by_place = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    by_name = {Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
    swapped = any(each.name in {"pos", "position"} for each in first[:2])
    fits = len(first) == 3 and not swapped and all(each.kind in by_place for each in first)
    if not fits or any(each.default is Parameter.empty or each.kind not in by_name for each in extras):
        received = f"{function.__name__}{signature(function)}"
        expected = "its function takes start, end and position, then only parameters that have names and defaults"
        raise wrong_type(received, expected, f"Write `def {function.__name__}(start, end, pos):`.")
    return [(each.name, Any, _field(function.__name__, each)) for each in extras]


def _field(function: str, parameter: Parameter) -> Any:
    if hasattr(Handmade, parameter.name):
        expected = "every annealer has an attribute of that name"
        raise wrong_value(f"{function}(..., {parameter})", expected, "Give the parameter another name.")
    default = parameter.default
    mutable = type(default).__hash__ is None
    return field(default_factory=lambda: default) if mutable else field(default=default)


@dataclass(frozen=True, slots=True, repr=False)
class Handmade(Between):
    """What `annealer` makes of a function; each such class is final."""

    if TYPE_CHECKING:

        def __init__(self, start: Ends, end: Ends, *extras: Any, **more: Any) -> None: ...

    def _settle(self) -> None:
        for name, value in self._arguments().items():
            if isinstance(value, list):  # as JSON gives a tuple back
                object.__setattr__(self, name, tuple(value))

    @staticmethod
    @abstractmethod
    def body(start: float, end: float, pos: Any, **extras: Any) -> Any:
        """The function that the annealer was made of."""

    def on_array(self, pos: np.ndarray) -> np.ndarray:
        """The values at float64 positions that lie in [0, 1]."""
        values = [_each(function, type(self).__name__, pos) for function in self._by_group()]
        return values[0] if self.groups is None else np.stack(values, axis=-1)

    def on_tensor(self, pos: Any) -> Any:
        """The values at a tensor of positions, float32 or finer, that lie in [0, 1]."""
        values = [_at_once(function, type(self).__name__, pos) for function in self._by_group()]
        return values[0] if self.groups is None else keras.ops.stack(values, axis=-1)

    def _by_group(self) -> list[Callable[[Any], Any]]:
        extras = {name: value for name, value in self._arguments().items() if name not in {"start", "end"}}
        ends: tuple[Any, Any] = (self.start, self.end)
        pairs = zip(*(each if isinstance(each, tuple) else (each,) * (self.groups or 1) for each in ends), strict=True)
        return [lambda pos, start=start, end=end: self.body(start, end, pos, **extras) for start, end in pairs]

    def __reduce__(self) -> tuple[Any, ...]:
        values = tuple(self._arguments().values())
        if _importable(type(self)):
            return type(self), values
        return _by_name, (keras.saving.get_registered_name(type(self)), values)


def _importable(made: type[Handmade]) -> bool:
    # Pickle cannot import a class made inside a function, or one that a notebook's cell, run again, has replaced.
    try:
        return attrgetter(made.__qualname__)(sys.modules[made.__module__]) is made
    except (AttributeError, KeyError):
        return False


@speaking_as("pickle")
def _by_name(name: str, values: tuple[Any, ...]) -> Annealer:
    made = keras.saving.get_registered_object(name)
    if made is None:
        cure = "Run the `@annealer` that makes it before you load."
        raise wrong_value(name, "no annealer of that name has been made in this process", cure)
    return made(*values)


@dataclass(frozen=True, slots=True, repr=False)
class PlainFunction(Annealer):
    """A user's plain function of the position, as an annealer."""

    function: Callable[[Any], Any]

    def on_array(self, pos: np.ndarray) -> np.ndarray:
        """The values at float64 positions that lie in [0, 1]."""
        return _each(self.function, repr(self), pos)

    def on_tensor(self, pos: Any) -> Any:
        """The values at a tensor of positions, float32 or finer, that lie in [0, 1]."""
        return _at_once(self.function, repr(self), pos)

    @speaking_as("get_config")
    def get_config(self) -> dict[str, Any]:
        """Raise: a plain function has no name under which a saved model could find it."""
        expected = "a plain function cannot be saved"
        raise wrong_type(repr(self), expected, "Make it an annealer with `@keras_sched.annealer`.")

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", None) or repr(self.function)


def as_annealer(name: str, sched: Any, typed: Any = None) -> Annealer:
    """An annealer as it is, a function of the position as one; else raise. `typed` is the list that has it, if any."""
    if isinstance(sched, Annealer):
        return sched
    counts_steps = isinstance(sched, keras.optimizers.schedules.LearningRateSchedule)
    if callable(sched) and not isinstance(sched, type) and not counts_steps:
        return PlainFunction(sched)
    received = sched.__name__ if isinstance(sched, type) else shown(sched if typed is None else typed)
    expected = "it must be an annealer, or a function of the position"
    cure = f"Pass for example `{f'SchedNo({sched}, {sched})' if is_number(sched) else 'SchedCos(0.1, 0)'}`."
    if isinstance(sched, Mapping):
        cure = "It is a recipe, and those are dictionaries already: pass it alone, `ParamScheduler(one_cycle(0.1))`."
        cure = f"Name each: `{{'{name}.{next(iter(sched), 'head')}': ...}}`." if name.startswith("loss") else cure
    if counts_steps:
        received = f"{type(sched).__name__}(...)"
        expected = f"{expected} from 0 to 1, and this is a function of the step"
        cure = "Pass `lambda pos: float(schedule(round(pos * n)))`, with n batches in the whole fit."
    elif typed is not None:
        expected = f"each of them is an annealer, or a function of the position, which {shown(sched)} is not"
        pair = len(typed) == 2 and all(map(is_number, typed))
        example = f"SchedCos({', '.join(map(shown, typed))})" if pair else "[SchedCos(0.01, 0), SchedCos(0.1, 0)]"
        cure = f"Pass for example `{example}`."
    raise wrong_type(f"{name}={received}", expected, cure)


def _each(function: Callable[[Any], Any], name: str, pos: np.ndarray) -> np.ndarray:
    """The values of a function, called once per position; or once for all, if it returns a tensor."""
    if not pos.size:
        return np.zeros(pos.shape)
    head, *others = pos.ravel().tolist()
    first = function(head)
    if keras.ops.is_tensor(first):
        tensor = keras.ops.convert_to_tensor(pos, dtype=computing_dtype(keras.config.floatx()))
        return np.asarray(keras.ops.convert_to_numpy(_at_once(function, name, tensor)), "float64")
    values = [_number(value, name) for value in (first, *map(function, others))]
    return np.array(values).reshape(pos.shape)


def _number(value: Any, name: str) -> float:
    single = (isinstance(value, np.ndarray) or keras.ops.is_tensor(value)) and value.ndim == 0
    if (single or isinstance(value, numbers.Real)) and not isinstance(value, bool):
        return float(value)
    expected = "the function of an annealer returns a number for each position"
    with speaking_as(name):
        raise wrong_type(f"{shown(value)} from its function", expected, "Return one number, for example a float.")


def _at_once(function: Callable[[Any], Any], name: str, pos: Any) -> Any:
    try:
        values = function(pos)
    except Exception as error:
        error.add_note(
            f"... while the function of `{name}` was called with a tensor of positions. "
            "A function that runs in a compiled step is written with keras.ops, without `math` and without `if`."
        )
        raise
    values = values if keras.ops.is_tensor(values) else _number(values, name)
    return keras.ops.broadcast_to(keras.ops.cast(values, pos.dtype), keras.ops.shape(pos))
