"""What other libraries call an argument, and what it is called here."""

from collections.abc import Collection, Container, Mapping
from difflib import get_close_matches
from typing import Any

_LENGTHS = (
    *("steps", "num_steps", "max_steps", "total_iters", "t_max", "t_initial", "num_training_steps", "total_steps"),
    *("decay_steps", "num_decay_steps", "transition_steps"),
)
_OF_FREEZE_TO = ("n", "n_layers", "num_layers", "until")
# What PyTorch, Keras, optax, transformers, fastai and others say -> what it may be called here; the first that fits.
_OTHERS = {
    "lr": ("base_lr", "lr_max", "start"),
    "lr_max": ("lr", "end_lr", "start"),
    **dict.fromkeys(("max_lr", "maximal_learning_rate", "max_learning_rate"), ("lr_max", "lr", "end_lr", "start")),
    **dict.fromkeys(
        ("learning_rate", "peak_lr", "peak_value", "warmup_target"),
        ("base_lr", "lr_max", "lr", "start"),
    ),
    **dict.fromkeys(("init_lr", "initial_lr"), ("base_lr", "lr_max", "lr", "start_lr", "start")),
    **dict.fromkeys(("init_value", "start_value"), ("start_lr", "start")),
    **dict.fromkeys(("initial_learning_rate", "base_lr"), ("lr_min", "base_lr", "lr_max", "lr", "start_lr", "start")),
    **dict.fromkeys(("min_lr", "eta_min", "lr_min"), ("lr_min", "lr_final", "div_final", "start_lr", "end")),
    **dict.fromkeys(
        ("final_lr", "end_lr", "end_value", "end_learning_rate"), ("lr_final", "div_final", "end_lr", "end")
    ),
    **dict.fromkeys(("stop", "final", "last"), ("end",)),
    "div_factor": ("div",),
    "final_div_factor": ("div_final",),
    **dict.fromkeys(
        ("base_momentum", "max_momentum", "max_mom", "min_mom", "cycle_momentum", "momentum", "betas"), ("moms",)
    ),
    "weight_decay": ("wd",),
    "alpha": ("lr_final", "end"),
    "epochs": ("num_it", "steps"),
    **dict.fromkeys(("n_epoch", "n_epochs", "num_epochs", "tot_epochs", "cyc_len"), ("epochs", "cycle_len")),
    **dict.fromkeys(("start_epoch", "last_epoch"), ("initial_epoch",)),
    **dict.fromkeys(("t_0", "first_decay_steps", "first_cycle_steps"), ("cycle_len",)),
    **dict.fromkeys(("t_mult", "t_mul"), ("cycle_mult",)),
    "m_mul": ("cycle_decay",),
    **dict.fromkeys(("cycles", "num_cycles", "cycle_limit", "step_size", "step_size_up"), ("n_cycles",)),
    "scale_fn": ("mode",),
    **dict.fromkeys(_LENGTHS, ("total_steps", "num_it", "steps")),
    **dict.fromkeys(("decay_steps", "num_decay_steps"), ("decay", "total_steps", "steps")),
    **dict.fromkeys(("num_training", "num_iter", "num_iters", "n_iter", "max_iter", "iterations"), ("num_it",)),
    **dict.fromkeys(("stop_factor", "early_stop_threshold", "diverge_th"), ("stop_div",)),
    **dict.fromkeys(("suggest", "suggestion", "suggestions"), ("suggest_funcs",)),
    **dict.fromkeys(("plot", "show"), ("show_plot",)),
    **dict.fromkeys(("val_data", "valid_data", "val_loader", "validation_split"), ("validation_data",)),
    **dict.fromkeys(
        ("warmup_steps", "num_warmup_steps", "warmup_ratio", "warmup_iters", "warmup_epochs", "warmup_t"),
        ("warmup", "pct_start"),
    ),
    "pct": ("pct_start",),
    **dict.fromkeys(("milestones", "boundaries", "fractions"), ("pcts",)),
    **dict.fromkeys(("schedule", "schedules", "schedulers"), ("scheds",)),
    **dict.fromkeys(("param_groups", "layer_groups", "n_groups", "num_groups"), ("groups", "n")),
    **dict.fromkeys(_OF_FREEZE_TO[1:], ("n",)),
    **dict.fromkeys(("bn", "freeze_bn", "train_batch_norm"), ("train_bn",)),
    **dict.fromkeys(("log_dir", "filename", "filepath", "path"), ("to",)),
    "cbs": ("callbacks",),
    **dict.fromkeys(("objective", "metric"), ("monitor",)),
    **dict.fromkeys(("lr_end", "end_factor", "min_lr_ratio", "min_lr_rate"), ("lr_final", "div_final", "end")),
    "decay_type": ("shape",),
    **dict.fromkeys(("start_factor", "start_lr"), ("start", "div")),
    "timescale": ("warmup",),
    "warmup": ("pct_start",),
    "decay": ("pct_start",),
    "bs": ("batch_size",),
    "mode": ("monitor",),
    **dict.fromkeys(("grid", "param_grid", "params", "param_distributions", "search_space", "space"), ("over",)),
    **dict.fromkeys(("n_jobs", "workers", "num_workers", "max_workers"), ("executor",)),
}
_NOTES = {
    "final_div_factor": "PyTorch's divides the first rate, `div_final` the highest one: multiply it by `div`. ",
    "mode": "Pass `monitor=(name, 'max')`, or 'min'. ",
    **dict.fromkeys(("warmup_epochs", "warmup_t"), "In batches: `epochs * steps_per_epoch`. "),
    **dict.fromkeys(
        ("step_size", "step_size_up"), "That is half a cycle in batches: `n_cycles` is all batches / (2 * step_size). "
    ),
    **dict.fromkeys(
        ("min_lr_ratio", "end_factor"), "That is a fraction of the highest rate, and here it is a rate: multiply. "
    ),
    "start_factor": "That is a fraction: `start` is a rate, so multiply it by the rate; `div` is 1 / start_factor. ",
    "cycle_momentum": "`moms=None` leaves momentum alone. ",
    **dict.fromkeys(("t_0", "first_decay_steps"), "In epochs. "),
    "alpha": "Keras' is a fraction of the highest rate, and here it is a rate: multiply it by that one. ",
    "epochs": "In batches. ",
    **dict.fromkeys(("early_stop_threshold", "diverge_th", "stop_factor"), "It is True or False; the factor is 4. "),
    **dict.fromkeys(("milestones", "boundaries"), "How much of training each annealer takes; all add up to 1. "),
    **dict.fromkeys(("n_jobs", "workers", "num_workers", "max_workers"), "Of `concurrent.futures`, with its workers. "),
}
_FROM_ABOVE_0 = "For a warm-up that does not begin at 0 take `combine_scheds` with `SchedLin(1e-6, lr)`. "
_NO_LENGTH = "It has no length: the fit that it is for has one. "
_IN_CYCLES = "Cycles of some epochs are `SGDR(n_cycles, cycle_len)`. "
_ELSEWHERE = {
    **dict.fromkeys(
        ("warmup_lr_init", "warmup_init_lr", "warmup_init", "init_value", "warmup_start_lr", "start_factor"),
        _FROM_ABOVE_0,
    ),
    **dict.fromkeys(("num_stable_steps", "stable"), "The rate is constant in what `warmup` and `decay` leave. "),
    "train_bn": "Set `trainable = False` on each BatchNormalization, and compile: what is frozen before stays so. ",
    **dict.fromkeys(
        ("n_trials", "max_trials"), "`over` has the values to try, and `finalists` the longest trainings. "
    ),
    **dict.fromkeys(("gamma", "decay_rate"), "An annealer goes from `start` to `end`: `SchedExp(lr, lr * gamma**n)`. "),
    **dict.fromkeys(("n_cycles", "num_cycles", "cycles"), "Several cycles are `SGDR`, or `Triangular`. "),
    **dict.fromkeys(("cycle_len", "t_0", "first_decay_steps", "first_cycle_steps"), _IN_CYCLES),
    **dict.fromkeys(("step_size", "step_size_up"), "A rate that falls in steps is `combine_scheds` of `SchedNo`s. "),
    **dict.fromkeys(
        ("warmup", "warmup_steps", "num_warmup_steps", "warmup_ratio", "warmup_iters", "warmup_epochs", "warmup_t"),
        "`combine_scheds` puts a warm-up before another annealer. ",
    ),
    **dict.fromkeys(("eta_min", "lr_min"), "Cycles that end above 0: `combine_scheds` of `SchedCos(lr, end)`. "),
    "power": "`SchedPoly(start, end, power)` has one. ",
    "anneal_strategy": "It is 'cos'; for straight lines take `combine_scheds` with `SchedLin`. ",
    **dict.fromkeys(("seed", "random_state"), "`keras.utils.set_random_seed` sets it. "),
}
_WHERE = (  # an argument of those which it is said of, the names, what there is instead
    ("train_bn", _OF_FREEZE_TO, "`freeze_to(model, n)` counts groups. "),
    ("num_it", ("callbacks", "cbs"), "Beside other callbacks: `model.fit(..., callbacks=[LRFinder(), ...])`. "),
)
_OF_FIT = {
    "last_epoch": "initial_epoch",
    "start_epoch": "initial_epoch",
    **{each: each for each in ("initial_epoch", "epochs", "batch_size", "verbose", "validation_data")},
}
_OF_RECIPES = {
    *("lr_max", "lr_min", "lr_final", "wd", "layer_decay", "div", "div_final", "pct_start", "moms", "three_phase"),
    *("warmup", "decay", "shape", "n_cycles", "cycle_len", "cycle_mult", "cycle_decay", "gamma", "momentum_correction"),
}
# Schedules of PyTorch, Keras, transformers, timm, fastai and others -> the nearest that there is here.
_SCHEDULES = {
    "onecyclelr": "OneCycle",
    "cosineannealinglr": "SchedCos",
    **dict.fromkeys(("cosineannealingwarmrestarts", "cosinedecayrestarts", "sgdrlearner"), "SGDR"),
    **dict.fromkeys(("cycliclr", "cyclicallearningrate"), "Triangular"),
    **dict.fromkeys(("cosinelrscheduler", "cosinedecay", "get_cosine_schedule_with_warmup"), "WarmupCosine"),
    "get_linear_schedule_with_warmup": "WarmupLinear",
    "get_inverse_sqrt_schedule": "InverseSqrt",
    "get_wsd_schedule": "WarmupStableDecay",
    **dict.fromkeys(("sequentiallr", "steplr", "multisteplr", "piecewiseconstantdecay"), "combine_scheds"),
    **dict.fromkeys(("exponentiallr", "exponentialdecay"), "SchedExp"),
    **dict.fromkeys(("polynomiallr", "polynomialdecay"), "SchedPoly"),
    "linearlr": "SchedLin",
    "constantlr": "SchedNo",
    **dict.fromkeys(("lambdalr", "learningratescheduler", "lrscheduler"), "ParamScheduler"),
    **dict.fromkeys(("lrfind", "find_lr", "range_test"), "lr_find"),
    "schedcosine": "SchedCos",
    "slice": "layer_groups",
}
_LIKE = 0.8  # a name that is less like one than that means something else


def meant(name: str, own: Mapping[str, Any], given: Container[str], *, alone: bool) -> str:
    """What to type in the place of an argument that there is not; nothing where nobody knows.

    Args:
        name: the argument.
        own: those that there are.
        given: those that were typed, which cannot have been meant.
        alone: whether no other was wrong.
    """
    lower = name.lower()
    free = [each for each in own if each not in given]
    others = _OTHERS.get(lower, ())
    ours = next((each for each in others if each in free), None)
    if ours is not None:
        return f"Did you mean `{ours}`{'' if alone else f' for `{name}`'}? {_NOTES.get(lower, '')}"
    if told := _told(lower, own, others):
        return told
    if near := get_close_matches(lower, free, n=1, cutoff=_LIKE):
        return f"Did you mean `{near[0]}`{'' if alone else f' for `{name}`'}? "
    to_schedule = "scheds" in own and "pcts" not in own
    return f"To schedule it put it in the dictionary `scheds`: `{{{name!r}: ...}}`. " if to_schedule else ""


def _told(lower: str, own: Container[str], others: Collection[str]) -> str:
    """What there is instead, in a sentence."""
    of_recipe = next((each for each in (lower, *others) if each in _OF_RECIPES), None)
    of_recipe = "lr_max" if lower in ("rates", "lrs") else of_recipe
    if "over" in own and of_recipe:
        return f"For an argument of the recipe pass `over={{{of_recipe!r}: [...]}}`. "
    if lower in _LENGTHS:
        whole = "`n_cycles` of `cycle_len` epochs" if "cycle_len" in own else "`epochs`"
        return f"Its length is {whole}. " if "epochs" in own or "cycle_len" in own else _NO_LENGTH
    for argument, names, instead in _WHERE:
        if argument in own and lower in names:
            return instead
    return f"Pass `{_OF_FIT[lower]}` to `fit`. " if lower in _OF_FIT else _ELSEWHERE.get(lower, "")


def what_it_is(given: Any) -> str:
    """What to type in the place of a callback or a History that was taken for a schedule; nothing of anything else."""
    if not hasattr(given, "plot_sched"):
        return ""
    if hasattr(given, "history"):
        return "It draws itself what the fit used: `.plot_sched()`."
    alone = f"its schedule alone is a dictionary, `{_schedule_of(given)}`."
    return f"It is a callback already, for `callbacks=[...]`; {alone} After a fit it draws itself: `.plot_sched()`."


def how_to_look_ahead(callback: Any) -> str:
    """What to type to see the schedule of a callback before a fit."""
    return (
        f"Pass it to `model.fit(..., callbacks=[...])`. To look ahead: `plot_sched({_schedule_of(callback, '(...)')})`."
    )


def _schedule_of(callback: Any, call: str = "") -> str:
    """The recipe of a callback, or else what it was given."""
    recipe = getattr(getattr(callback, "build", None), "__name__", "")
    return f"{recipe}{call}" if recipe else "scheds"


def schedule_meant(name: str, known: Collection[str]) -> str:
    """The question `did_you_mean` asks, of a name that this package does not have."""
    return "" if name.startswith("_") else f". {did_you_mean(name, known, _SCHEDULES)}".rstrip(". ")


def did_you_mean(name: Any, known: Collection[str], aliases: Mapping[str, str] | None = None) -> str:
    """A question that names the name in `known` that is most like `name`, or nothing."""
    lower = str(name).lower()
    alias = (aliases or {}).get(lower)
    near = [alias] if alias in known else get_close_matches(lower, known, n=1)
    return f"Did you mean `{near[0]}`? " if near else ""
