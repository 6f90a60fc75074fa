"""How this library words an error: what came, what was expected, what to type instead."""

import math
import numbers
import reprlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

_SPEAKER: ContextVar[str | None] = ContextVar("speaker", default=None)

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = 80
vars(_SHORT).update(dict.fromkeys(("repr_type", "repr_ABCMeta"), lambda kind, _: kind.__name__))  # a class: its name
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8


class NoSuggestion(ValueError):  # noqa: N818 - the name is part of the public surface, and reads as what it says
    """A curve from which no learning rate can be suggested; the message says why.

    The suggestion functions (`valley`, `slide`, ...) raise it when the curve is too short, flat, only rising or not
    finite, and `find_optimal_lr` when the curve has no minimum. `lr_find` turns it into a warning.

    Example:
        >>> from keras_sched import NoSuggestion, valley
        >>> try:
        ...     valley([1e-3, 1e-2], [1.0, 1.0], 100)
        ... except NoSuggestion as reason:
        ...     print(type(reason).__name__)
        NoSuggestion
    """


def wrong_value(received: str, expected: str, cure: str) -> ValueError:
    """A `ValueError` that says: the speaker received `received`; `expected`. `cure`."""
    return ValueError(_sentence(received, expected, cure))


def wrong_type(received: str, expected: str, cure: str) -> TypeError:
    """A `TypeError` that says the same."""
    return TypeError(_sentence(received, expected, cure))


def wrong_state(found: str, expected: str, cure: str) -> RuntimeError:
    """A `RuntimeError` for a call that came at the wrong time: the speaker found `found`; `expected`. `cure`."""
    return RuntimeError(f"`{speaker()}` found {found}; {expected}. {cure}")


def wrong_call(found: str, cure: str) -> TypeError:
    """A `TypeError` for a call with other arguments than there are: the speaker received `found`. `cure`."""
    return TypeError(f"`{speaker()}` received {found}. {cure}")


def no_attribute(owner: str, name: str, cure: str = "") -> AttributeError:
    """What Python says of what has no such name, and what to type instead."""
    return AttributeError(f"{owner} has no attribute {name!r}{cure}")


class NoCallback:
    """What is easily taken for a callback, and says what it is."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        cure = "; it is not a callback. Pass `callbacks=[ParamScheduler(...)]` of it, or one like `OneCycle(0.01)`."
        raise no_attribute(f"{type(self).__name__!r} object", name, cure if name.startswith(("on_", "set_")) else "")


def advise(received: str, meaning: str, cure: str) -> None:
    """Warn, in the same words, of a call that may not do what was meant; Python 3.12 names the line that made it."""
    found = map(find_spec, ("keras", __package__ or "", "contextlib"))
    inside = tuple((each.origin or "").removesuffix("__init__.py").removesuffix(".py") for each in found if each)
    place: Any = {"stacklevel": 3} if sys.version_info < (3, 12) else {"skip_file_prefixes": inside}
    warnings.warn(_sentence(received, meaning, cure), UserWarning, **place)


def _sentence(received: str, expected: str, cure: str) -> str:
    return f"`{speaker()}` received `{received}`; {expected}. {cure}"


@contextmanager
def speaking_as(name: str) -> Iterator[None]:
    """Let errors in here name `name`: what the user called. Inside another public function, that one keeps speaking."""
    token = _SPEAKER.set(_SPEAKER.get() or name)
    try:
        yield
    finally:
        _SPEAKER.reset(token)


def speaker() -> str:
    """What the user called, as an error names it."""
    return _SPEAKER.get() or "keras_sched"


def shown(value: Any) -> str:
    """`value` as it was typed, on one line and not too long."""
    return " ".join(_SHORT.repr(value).split())


def check_fraction(name: str, value: Any, meaning: str, example: str = "0.25") -> None:
    """Raise unless `value` is a number from 0 to 1; `meaning` says what the fraction is of."""
    if is_number(value) and 0 <= value <= 1:
        return
    percent = is_number(value) and 1 < value <= 100
    cure = f"For {value:g}% pass `{name}={value / 100:g}`." if percent else f"Pass for example `{name}={example}`."
    raise wrong_value(f"{name}={shown(value)}", f"it is {meaning}, and must be between 0 and 1", cure)


def check_positive(name: str, value: Any, meaning: str, example: str) -> None:
    """Raise unless `value` is a finite number above 0."""
    if not (is_number(value) and 0 < value < math.inf):
        raise _out_of_range(name, value, f"{meaning}, and must be a finite number above 0", example)


def check_not_negative(name: str, value: Any, meaning: str, example: str) -> None:
    """Raise unless `value` is a finite number of at least 0."""
    if not (is_number(value) and 0 <= value < math.inf):
        raise _out_of_range(name, value, f"{meaning}, and must be a finite number of at least 0", example)


def check_whole(name: str, value: Any, meaning: str, example: int = 10, *, least: int = 1) -> int:
    """Return `value` as an `int`; raise unless it is a whole number of at least `least`."""
    if is_whole(value, least):
        return int(value)
    raise _out_of_range(name, value, f"{meaning}, and must be a whole number of at least {least}", example)


def check_compiled(model: Any) -> None:
    """Raise unless `model` has what it was compiled with."""
    if isinstance(model, type) or not (hasattr(model, "fit") and hasattr(model, "compile")):
        raise wrong_type(shown(model), "it must be a Keras model", "Pass a model that is compiled.")
    if getattr(model, "optimizer", None) is None or not getattr(model, "compiled", True):
        found = f"the model `{getattr(model, 'name', model)}`, which is not compiled"
        cure = "Compile it first: `model.compile(optimizer='adam', loss=...)`."
        raise wrong_state(found, "it trains with the optimizer and the loss it was compiled with", cure)


def check_free(optimizer: Any) -> None:
    """Raise inside the `with scheduled(...)` of the optimizer."""
    if "stateless_apply" in vars(optimizer):
        raise wrong_state("an optimizer inside `scheduled`", "it has its values", "Leave that `with` first.")


def check_data_given(x: Any) -> None:
    """Raise where there is no data at all, which Keras tells in words of its inside."""
    if x is None:
        raise wrong_type("x=None", "there is no data to train on", "Pass what `model.fit` takes, for example arrays.")


def _out_of_range(name: str, value: Any, meaning: str, example: Any) -> ValueError:
    return wrong_value(f"{name}={shown(value)}", f"it is {meaning}", f"Pass for example `{name}={example}`.")


@contextmanager
def needing(package: str) -> Iterator[None]:
    """Import a `package` in here that may be missing; then an `ImportError` says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:  # a package that this one imports
            raise
        told = f"`{speaker()}` needs {package}, which is not installed. Type `pip install {package}`."
        raise ImportError(told) from error


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether `value` is a whole number of at least `least`, by its type: 1.0 is not one."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def is_number(value: Any) -> bool:
    """Whether `value` is a real number, and neither a bool nor NaN."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)
