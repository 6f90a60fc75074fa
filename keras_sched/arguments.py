"""Arguments by name: one that a callable does not have is answered with the one that was meant."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

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

# What PyTorch, Keras, optax, transformers, fastai and others say -> what it may be called here; the first that fits.
_OTHERS = {
    "lr": ("base_lr", "lr_max"),
    "lr_max": ("lr", "end_lr", "start"),
    "max_lr": ("lr_max", "lr", "end_lr"),
    **dict.fromkeys(
        ("learning_rate", "init_lr", "peak_lr", "peak_value", "warmup_target"),
        ("base_lr", "lr_max", "lr"),
    ),
    "initial_learning_rate": ("lr_min", "base_lr", "lr_max", "lr"),
    "base_lr": ("lr_min", "lr_max", "lr"),
    **dict.fromkeys(("min_lr", "eta_min", "lr_min"), ("lr_min", "lr_final", "div_final", "start_lr", "end")),
    **dict.fromkeys(("final_lr", "end_lr", "end_value", "end_learning_rate"), ("lr_final", "div_final")),
    **dict.fromkeys(("stop", "final", "last"), ("end",)),
    "div_factor": ("div",),
    "final_div_factor": ("div_final",),
    **dict.fromkeys(("base_momentum", "max_momentum", "cycle_momentum", "momentum", "betas"), ("moms",)),
    "weight_decay": ("wd",),
    "alpha": ("lr_final",),
    "epochs": ("num_it",),
    **dict.fromkeys(("n_epoch", "n_epochs", "num_epochs"), ("epochs", "cycle_len")),
    **dict.fromkeys(("start_epoch", "last_epoch"), ("initial_epoch",)),
    **dict.fromkeys(("t_0", "first_decay_steps", "first_cycle_steps"), ("cycle_len",)),
    **dict.fromkeys(("t_mult", "t_mul"), ("cycle_mult",)),
    "m_mul": ("cycle_decay",),
    **dict.fromkeys(("cycles", "num_cycles", "cycle_limit", "step_size", "step_size_up"), ("n_cycles",)),
    **dict.fromkeys(("maximal_learning_rate", "max_learning_rate"), ("lr_max", "lr")),
    "scale_fn": ("mode",),
    **dict.fromkeys(
        ("steps", "num_steps", "max_steps", "total_iters", "t_max", "t_initial", "num_training_steps"),
        ("total_steps", "num_it", "steps", "steps_per_epoch"),
    ),
    "total_steps": ("steps", "epochs"),
    **dict.fromkeys(("num_training", "num_iter", "num_iters", "n_iter", "max_iter", "iterations"), ("num_it",)),
    **dict.fromkeys(("stop_factor", "early_stop_threshold", "diverge_th"), ("stop_div",)),
    **dict.fromkeys(("suggest", "suggestion", "suggestions"), ("suggest_funcs",)),
    **dict.fromkeys(("plot", "show"), ("show_plot",)),
    **dict.fromkeys(("val_data", "valid_data", "val_loader"), ("validation_data",)),
    **dict.fromkeys(
        ("warmup_steps", "num_warmup_steps", "warmup_ratio", "warmup_iters", "warmup_epochs", "warmup_t"),
        ("warmup", "pct_start"),
    ),
    "pct": ("pct_start",),
    **dict.fromkeys(("decay_steps", "num_decay_steps"), ("decay", "total_steps")),
    **dict.fromkeys(("schedule", "schedules", "schedulers"), ("scheds",)),
    **dict.fromkeys(("param_groups", "layer_groups", "n_groups", "num_groups"), ("groups", "n")),
    **dict.fromkeys(("n_layers", "num_layers", "until"), ("n",)),
    **dict.fromkeys(("bn", "freeze_bn", "train_batch_norm"), ("train_bn",)),
    **dict.fromkeys(("log_dir", "filename", "filepath", "path"), ("to",)),
    "cbs": ("callbacks",),
    **dict.fromkeys(("objective", "metric"), ("monitor",)),
    **dict.fromkeys(("lr_end", "end_factor", "min_lr_ratio"), ("lr_final", "div_final", "end")),
    "decay_type": ("shape",),
    **dict.fromkeys(("start_factor", "start_lr"), ("start", "div")),
    "timescale": ("warmup",),
    "warmup": ("pct_start",),
    "decay": ("pct_start",),
    "bs": ("batch_size",),
    "mode": ("monitor",),
}
_NOTES = {
    "final_div_factor": "PyTorch's divides the first rate, `div_final` the highest one: multiply it by `div`. ",
    "mode": "Pass `monitor=(name, 'max')`, or 'min'. ",
    **dict.fromkeys(("warmup_epochs", "warmup_t"), "In batches: `epochs * steps_per_epoch`. "),
    **dict.fromkeys(
        ("step_size", "step_size_up"), "That is half a cycle in batches: `n_cycles` is all batches / (2 * step_size). "
    ),
    "min_lr_ratio": "That is a fraction of the highest rate: multiply it by `lr_max`. ",
    "end_factor": "That is a fraction of the highest rate: multiply it by `lr_max`. ",
    "cycle_momentum": "Pass `moms=None` to leave momentum alone. ",
    **dict.fromkeys(("t_0", "first_decay_steps"), "In epochs. "),
    "alpha": "Keras' is a fraction of the highest rate, `lr_final` a rate: multiply it by `lr_max`. ",
}
_FROM_ABOVE_0 = "For a warm-up that does not begin at 0 take `combine_scheds` with `SchedLin(1e-6, lr)`. "
_ELSEWHERE = {
    **dict.fromkeys(
        ("warmup_lr_init", "warmup_init_lr", "warmup_init", "init_value", "warmup_start_lr"), _FROM_ABOVE_0
    ),
    **dict.fromkeys(("num_stable_steps", "stable"), "The rate is constant in what `warmup` and `decay` leave. "),
    "train_bn": "Set `trainable = False` on each BatchNormalization, and compile: what is frozen before stays so. ",
    **dict.fromkeys(
        ("n_trials", "max_trials"), "`over` has the values to try, and `finalists` the longest trainings. "
    ),
    **dict.fromkeys(("gamma", "decay_rate"), "An annealer goes from `start` to `end`: `SchedExp(lr, lr * gamma**n)`. "),
    **dict.fromkeys(("n_cycles", "num_cycles", "cycles"), "Several cycles are `SGDR`, or `Triangular`. "),
    **dict.fromkeys(("eta_min", "lr_min"), "Cycles that end above 0: `combine_scheds` of `SchedCos(lr, end)`. "),
    "anneal_strategy": "For straight lines take `combine_scheds` with `SchedLin`. ",
}
_OF_FIT = {
    "last_epoch": "initial_epoch",
    "start_epoch": "initial_epoch",
    "epochs": "epochs",
    "batch_size": "batch_size",
}

_COUNTS = frozenset({"step", "steps", "epoch", "epochs", "iteration", "current_step", "global_step", "batch", "i", "e"})
"""What other libraries call the argument of such a function, and count with."""


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
    free = {name: each for name, each in known.items() if name not in given}
    ours = {theirs: next((each for each in names if each in free), "") for theirs, names in _OTHERS.items()}
    received = ", ".join(f"{name}={shown(value)}" for name, value in unknown.items())
    nobody = f"{having} no" if of_fit is None else "neither it nor `model.fit` has an"
    meant = "".join(dict.fromkeys(_meant(name, free, ours, alone=len(unknown) == 1) for name in unknown))
    listed = f"Its own are {', '.join(f'`{name}`' for name in own)}"
    handed_on = "." if of_fit is None else "; it hands the others to `model.fit`."
    raise wrong_type(received, f"{nobody} argument of that name", f"{meant}{listed}{handed_on}")


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
    """Raise a `TypeError` where there are more arguments without a name than it takes, or one is missing or twice."""
    if any(each.kind is Parameter.VAR_POSITIONAL for each in own.values()):
        return
    by_place = [name for name, each in own.items() if each.kind is Parameter.POSITIONAL_OR_KEYWORD]
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


def _meant(name: str, known: Mapping[str, Parameter], ours: Mapping[str, str], *, alone: bool) -> str:
    lower = name.lower()
    if lower in _OF_FIT and not ours.get(lower):
        return f"Pass `{_OF_FIT[lower]}` to `fit`. "
    if lower in _ELSEWHERE and not ours.get(lower):
        return _ELSEWHERE[lower]
    meant = did_you_mean(name, known, ours)
    if not meant and "scheds" in known and "pcts" not in known:
        return f"To schedule it put it in the dictionary `scheds`: `{{{name!r}: ...}}`. "
    if not meant and "over" in known:
        return f"For an argument of the recipe pass `over={{{name!r}: [...]}}`. "
    if not meant and "start" in known and "total_steps" in _OTHERS.get(lower, ()):
        return "It has no length: the fit that it is for has one. "
    note = _NOTES.get(lower, "") if ours.get(lower) else ""
    return (meant if alone else meant.replace("?", f" for `{name}`?")) + note


def did_you_mean(name: Any, known: Collection[str], aliases: Mapping[str, str] | None = None) -> str:
    """A question that names the name in `known` that is most like `name`, or nothing."""
    lower = str(name).lower()
    alias = (aliases or {}).get(lower)
    near = [alias] if alias in known else get_close_matches(lower, known, n=1)
    return f"Did you mean `{near[0]}`? " if near else ""


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
    if (function.__module__ or "").startswith(f"{__package__}.recipes"):
        called = f"{function.__name__}({', '.join(own)}, ...)"
        raise wrong_type(f"{name}={function.__name__}", "that makes a recipe", f"Pass `ParamScheduler({called})`.")
    if len(own) > 1:
        received = f"{name}=<a function of {', '.join(own)}>"
        raise wrong_type(received, expected, "Pass for example `lambda pos: 1 - pos`.")
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
