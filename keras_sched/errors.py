"""How this library words an error: what came, what was expected, what to type instead."""

import math
import numbers
import reprlib
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from typing import Any

_SPEAKER: ContextVar[str | None] = ContextVar("speaker", default=None)

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8


class NoSuggestion(ValueError):  # noqa: N818 - the name is part of the public surface, and reads as what it says
    """A curve from which no learning rate can be suggested; the message is the reason.

    Raised by the suggestion functions (`valley`, `slide`, ...) when the curve is too short, flat, only rising or not
    finite, and by `find_optimal_lr` when the curve has no minimum. `lr_find` turns it into a warning.

    Example:
        >>> from keras_sched import NoSuggestion, valley
        >>> try:
        ...     valley([1e-3, 1e-2], [1.0, 1.0], 100)
        ... except NoSuggestion as reason:
        ...     print(type(reason).__name__)
        NoSuggestion
    """


def wrong_value(received: str, expected: str, cure: str) -> ValueError:
    """A `ValueError` in this library's words: the speaker received `received`; `expected`. `cure`."""
    return ValueError(_sentence(received, expected, cure))


def wrong_type(received: str, expected: str, cure: str) -> TypeError:
    """A `TypeError` in this library's words: the speaker received `received`; `expected`. `cure`."""
    return TypeError(_sentence(received, expected, cure))


def wrong_state(found: str, expected: str, cure: str) -> RuntimeError:
    """A `RuntimeError` for a call that came at the wrong time: the speaker found `found`; `expected`. `cure`."""
    return RuntimeError(f"`{speaker()}` found {found}; {expected}. {cure}")


def no_attribute(module: str, name: str) -> AttributeError:
    """What Python says of a module without such a name."""
    return AttributeError(f"module {module!r} has no attribute {name!r}")


def advise(received: str, meaning: str, cure: str) -> None:
    """Warn, in this library's words, of what was done otherwise than it may have been meant."""
    warnings.warn(_sentence(received, meaning, cure), UserWarning, stacklevel=3)


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


def did_you_mean(name: Any, known: Collection[str], aliases: Mapping[str, str] | None = None) -> str:
    """A question that names the one of `known` which `name` comes nearest to, or nothing."""
    lower = str(name).lower()
    alias = (aliases or {}).get(lower)
    near = [alias] if alias in known else get_close_matches(lower, known, n=1)
    return f"Did you mean `{near[0]}`? " if near else ""


def check_no_named_tuple(name: str, value: Any) -> None:
    """Raise where a learning rate is a named tuple, as the result of `lr_find` is: its numbers are not one a group."""
    if not (isinstance(value, tuple) and hasattr(value, "_fields")):
        return
    fields: Any = getattr(value, "_fields", ())
    first = fields[0] if fields else "valley"
    raise wrong_type(
        f"{name}={shown(value)}",
        "it is a learning rate, and this a named tuple, such as `lr_find` returns",
        f"Pass one of its suggestions, for example `{name}=found.{first}`.",
    )


def check_fraction(name: str, value: Any, meaning: str, example: str = "0.25") -> None:
    """Raise unless `value` is a number from 0 to 1; `meaning` says what the fraction is of."""
    if _is_number(value) and 0 <= value <= 1:
        return
    percent = _is_number(value) and 1 < value <= 100
    cure = (
        f"For {value}% pass `{name}={value / 100:g}`."
        if percent
        else f"Pass a fraction, for example `{name}={example}`."
    )
    raise wrong_value(f"{name}={shown(value)}", f"it is {meaning}, between 0 and 1", cure)


def check_positive(name: str, value: Any, meaning: str, example: str) -> None:
    """Raise unless `value` is a finite number above 0."""
    if _is_number(value) and 0 < value < math.inf:
        return
    raise wrong_value(
        f"{name}={shown(value)}",
        f"it is {meaning}, a finite number above 0",
        f"Pass for example `{name}={example}`.",
    )


def check_not_negative(name: str, value: Any, meaning: str, example: str) -> None:
    """Raise unless `value` is a finite number of at least 0."""
    if _is_number(value) and 0 <= value < math.inf:
        return
    raise wrong_value(
        f"{name}={shown(value)}",
        f"it is {meaning}, a finite number of at least 0",
        f"Pass for example `{name}={example}`.",
    )


def check_whole(name: str, value: Any, meaning: str, example: int = 10, *, least: int = 1) -> int:
    """Return `value` as an `int`; raise unless it is a whole number of at least `least`."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise wrong_value(
        f"{name}={shown(value)}",
        f"it is {meaning}, a whole number of at least {least}",
        f"Pass for example `{name}={example}`.",
    )


def check_data_given(x: Any) -> None:
    """Raise where there is no data at all, which Keras tells in words of its inside."""
    if x is None:
        raise wrong_type("x=None", "there is no data to train on", "Pass what `model.fit` takes, for example arrays.")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    if isinstance(value, str) and value in choices:
        return
    known = ", ".join(f"`{name}={choice!r}`" for choice in choices)
    raise wrong_value(f"{name}={shown(value)}", "it is not one of the choices", f"Pass one of {known}.")


@contextmanager
def needing(package: str) -> Iterator[None]:
    """Around the imports of a `package` that may be absent: turns its absence into an `ImportError` with the cure."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:  # the package is there; what it misses is its own affair
            raise
        raise ImportError(
            f"`{speaker()}` needs {package}, which is not installed. Type `pip install {package}`."
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and not math.isnan(value)
