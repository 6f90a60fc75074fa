"""What an argument may not be, and a call with arguments that there are not."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from keras_sched.arguments.names import meant
from keras_sched.errors import (
    advise,
    check_fraction,
    is_whole,
    shown,
    speaker,
    speaking_as,
    wrong_call,
    wrong_type,
    wrong_value,
)

P = ParamSpec("P")
R = TypeVar("R")
Made = TypeVar("Made")

_COUNTS = frozenset({"step", "steps", "epoch", "epochs", "iteration", "current_step", "global_step", "batch", "i", "e"})
"""What other libraries call the argument of such a function, and count with."""
_FLAGS = {"stop_div": "it is whether the search ends where the loss is four times its best, and"}
"""What is said of an argument that is True or False, where its name does not say it."""


def names_checked(function: Callable[P, R]) -> Callable[P, R]:
    """A public function that errors name, and that answers an argument which it does not have with the one meant.

    Where it has `**fit_arguments`, an argument of `model.fit` is one too.
    """
    parameters = signature(function).parameters
    own = {name: each for name, each in parameters.items() if each.kind is not Parameter.VAR_KEYWORD}

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        with speaking_as(function.__name__):
            fit = getattr(args[0] if args else kwargs.get("model"), "fit", None) if len(own) < len(parameters) else None
            check_names(kwargs, parameters if fit is None else own, None if fit is None else signature(fit).parameters)
            check_count(args, kwargs, own)
            return function(*args, **kwargs)

    return called


def check_names(
    given: Mapping[str, Any],
    own: Mapping[str, Parameter],
    of_fit: Mapping[str, Parameter] | None = None,
    *,
    having: str = "it has",
) -> None:
    """Raise a `TypeError` where a name in `given` is not in `own`, nor in what is handed on to `model.fit`.

    Args:
        given: the arguments, by name.
        own: the arguments of what was called.
        of_fit: those of `model.fit`, where the rest is handed on to it.
        having: how the error begins to say who has no such argument.
    """
    known = {**own, **(of_fit or {})}
    unknown = {name: value for name, value in given.items() if name not in known}
    if not unknown or any(each.kind is Parameter.VAR_KEYWORD for each in known.values()):
        return
    received = ", ".join(f"{name}={shown(value)}" for name, value in unknown.items())
    nobody = f"{having} no" if of_fit is None else "neither it nor `model.fit` has an"
    hints = dict.fromkeys(meant(name, known, given, alone=len(unknown) == 1) for name in unknown)
    listed = f"Its own are {', '.join(f'`{name}`' for name in own)}"
    handed_on = "." if of_fit is None else "; it hands the others to `model.fit`."
    raise wrong_type(received, f"{nobody} argument of that name", f"{''.join(hints)}{listed}{handed_on}")


def call_checked(cls: type[Made]) -> type[Made]:
    """A public class that answers an argument which it does not have with the one meant."""
    init = cls.__init__

    @wraps(init)
    def checked(self: Made, *args: Any, **kwargs: Any) -> None:
        check_call(cls, args, kwargs)
        init(self, *args, **kwargs)

    setattr(cls, "__init__", checked)  # noqa: B010 - a type checker goes on with the signature that it had
    return cls


def check_call(cls: type, args: Sequence[Any], given: Mapping[str, Any]) -> None:
    """Raise a `TypeError` where a class is not called as its `__init__` wants it."""
    _, *own = signature(cls.__init__).parameters.items()
    with speaking_as(cls.__name__):
        check_names(given, dict(own))
        check_count(args, given, dict(own))


def check_count(args: Sequence[Any], given: Mapping[str, Any], own: Mapping[str, Parameter]) -> None:
    """Raise a `TypeError` where arguments are too many, missing, twice there, or neither True nor False and must be."""
    if any(each.kind is Parameter.VAR_POSITIONAL for each in own.values()):
        return
    by_place = [name for name, each in own.items() if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if "optimizer" not in by_place and any(hasattr(each, "stateless_apply") for each in args):
        other = ", or name another by `optimizer=`" if "optimizer" in own else ""
        raise wrong_call("an optimizer", f"It takes the one that the model is compiled with: leave it out{other}.")
    typed = by_place[: len(args)]
    needed = [name for name, each in own.items() if each.default is each.empty and each.kind is not each.VAR_KEYWORD]
    missing = [f"no `{name}`" for name in needed if name not in typed and name not in given]
    wrong = [f"`{name}` twice, once without its name" for name in typed if name in given] + missing
    if len(args) > len(by_place):
        wrong = [f"{len(args)} arguments without their names"]
    if wrong:
        call = ", ".join([*by_place, *(f"{name}=..." for name in needed if name not in by_place)])
        rest = "; the others go by their names." if len(needed) < len(own) else "."
        raise wrong_call(wrong[0], f"Call `{speaker()}({call})`{rest}")
    for name, value in [*zip(by_place, args, strict=False), *given.items()]:
        if name in own and own[name].annotation in (bool, "bool"):
            _check_flag(name, value, default=own[name].default)


def _check_flag(name: str, value: Any, *, default: bool) -> None:
    """Raise unless `value` is true or false: text, or a number such as 5, would be taken for true."""
    if not (isinstance(value, bool | np.bool_) or (is_whole(value, 0) and value <= 1)):
        expected = f"{_FLAGS.get(name, 'it')} must be True or False"
        raise wrong_type(f"{name}={shown(value)}", expected, f"Pass `{name}={not default}`, or leave it out.")


def check_callbacks(callbacks: list[Any]) -> list[Any]:
    """The callbacks; raise a `TypeError` for what is taken for a callback: a recipe, an annealer, a class."""
    for each in callbacks:
        if isinstance(each, type):
            cure = f"Make one: `{each.__name__}()`."
            raise wrong_type(f"callbacks=[{each.__name__}]", "it is a class, and not a callback", cure)
        if isinstance(each, Mapping) or (callable(each) and not hasattr(each, "on_train_begin")):
            lacks = "a recipe" if isinstance(each, Mapping) else "an annealer, or another function,"
            cure = "Pass `ParamScheduler(...)`" + ("." if isinstance(each, Mapping) else " of it: `{'lr': ...}`.")
            raise wrong_type(f"callbacks=[{shown(each)}]", f"{lacks} is not a callback", cure)
    return callbacks


def check_of_position(name: str, function: Callable[..., Any]) -> None:
    """Refuse a function of several arguments, and warn of one that counts, as those of other libraries do."""
    given = [each for each in signature(function).parameters.values() if each.default is each.empty]
    own = [each.name for each in given if each.kind is each.POSITIONAL_OR_KEYWORD]
    expected = "a function gets one argument, the position from 0 (the first batch) to 1 (the end)"
    if (function.__module__ or "").startswith("keras_sched.recipes"):
        called = f"{function.__name__}({', '.join(own)}, ...)"
        raise wrong_type(f"{name}={function.__name__}", "that makes a recipe", f"Pass `ParamScheduler({called})`.")
    if len(own) > 1:
        received = f"{name}=<a function of {', '.join(own)}>"
        of_epochs = own[0] in _COUNTS
        cure = (
            "Keep it in a `LearningRateScheduler`; the guide for PyTorch and HF shows it as a function of the position."
        )
        raise wrong_type(received, expected, cure if of_epochs else "Pass for example `lambda pos: 1 - pos`.")
    if own and own[0] in _COUNTS:
        advise(f"{name}=<a function of {own[0]}>", expected, "Name its argument `pos` if that is what you mean.")


def check_rate(name: str, value: Any) -> None:
    """Refuse for a learning rate what has one: the results of `lr_find` and `sweep`."""
    if (isinstance(value, tuple) and hasattr(value, "_fields")) or hasattr(value, "trials"):
        fields = getattr(value, "_fields", None)
        first = "lr" if fields is None or hasattr(value, "lr") else next(iter(fields), "valley")
        kind = "what `sweep` returns" if fields is None else "a named tuple, such as `lr_find` returns"
        cure = f"Pass a rate of it, for example `{name}=found.{first}`."
        raise wrong_type(f"{name}={shown(value)}", f"it must be a learning rate, and this is {kind}", cure)


def check_share(name: str, value: Any, meaning: str, example: str, *, callback: str | None = None) -> None:
    """Raise unless `value` is a fraction of training; a number of batches is for the callback, which knows them."""
    if is_whole(value):
        if callback is None and "_" in speaker():
            callback = "".join(word.capitalize() for word in speaker().split("_"))
        use = "." if callback is None else f"; or use the callback, `{callback}({name}={value})`."
        cure = f"Pass for example `{name}={example}`{use}"
        expected = f"it is {meaning}, and a recipe does not know how many batches that has"
        raise wrong_value(f"{name}={value}", expected, cure)
    check_fraction(name, value, meaning, example)


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    if not (isinstance(value, str) and value in choices):
        known = ", ".join(f"`{name}={choice!r}`" for choice in choices)
        raise wrong_value(f"{name}={shown(value)}", "it is not one of the choices", f"Pass one of {known}.")


@contextmanager
def taking_variables(name: str) -> Iterator[None]:
    """A function of a variable is called in here; one that is a function of a model gets an error that says so."""
    try:
        yield
    except AttributeError as error:
        if not hasattr(error.obj, "regularizer"):  # it is no variable: the error is the function's own
            raise
        cure = f"Where it divides a model, as fastai's `splitter` does, pass `groups={name}(model)`."
        raise wrong_type(f"groups={name}", "it is called with a variable, and returns a number", cure) from error


def check_takes(function: Any, count: int, name: str, example: str) -> None:
    """Raise where a function cannot be called with so many arguments."""
    try:
        own = signature(function)
    except ValueError:  # one that is not written in Python
        return
    try:
        own.bind(*range(count))
    except TypeError as error:
        raise wrong_type(f"{name}{shown(function)}", f"it is called with {count} arguments", example) from error


def check_window(window: Any, count: int, method: str, arguments: Sequence[Any]) -> Any:
    """The window, with a pair for each of `count` inner optimizers; raise a `TypeError` for a call without one."""
    pairs = window if isinstance(window, tuple | list) else ()
    is_window = len(pairs) == count and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs)
    whole = method == "apply" or (len(arguments) == 3 and arguments[-1] is not None)
    if is_window and whole:
        return window
    state = "" if method == "apply" else "optimizer_variables, "
    call = f"`s.{method}(window, {state}grads, trainable_variables)`"
    cure = f"In a step that you compile call {call}, and pass that step `s.window()`."
    if method == "apply":
        cure += " In a loop that runs eagerly call `optimizer.apply(grads, trainable_variables)` instead."
    found = (
        f"no `trainable_variables` for `s.{method}`"
        if is_window
        else f"no window as the first argument of `s.{method}`"
    )
    raise wrong_call(found, cure)


def check_cache_dir(cache_dir: str | os.PathLike[str] | None) -> None:
    """Raise unless `cache_dir` is `None` or a folder that can be written to."""
    if cache_dir is None:
        return
    received, what = f"cache_dir={cache_dir!r}", "it is the folder for a temporary copy of the model's state"
    if not isinstance(cache_dir, str | os.PathLike):
        raise wrong_type(received, what, "Pass the path of a folder, or None for memory.")
    if not Path(cache_dir).is_dir():
        raise wrong_value(received, f"{what}, and there is no such folder", "Make it first, or pass None for memory.")
    if not os.access(cache_dir, os.W_OK | os.X_OK):
        raise wrong_value(received, f"{what}, and it cannot be written to", "Pass another one, or None for memory.")
