"""What users write against: every public name, and the arguments and defaults it was promised with."""

import inspect
import os
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import keras_sched
from keras_sched.arguments import names

ROOT = Path(__file__).parents[1]

ONE_CYCLE = "div=25., div_final=1e5, pct_start=.25"
SUGGESTION = "lrs, losses, num_it"
# Where a signature ends in `...` the callable may have further keyword arguments; elsewhere it has these and no others.
SIGNATURES = {
    "AnnealedSchedule": "annealer, steps, ...",
    "FlatCos": "lr=None, ...",
    "InverseSqrt": "...",
    "LRFinder": "start_lr=1e-7, end_lr=10, num_it=100, stop_div=True",
    "LogHyperParameters": "to",
    "NoSuggestion": None,
    "OneCycle": (
        "lr_max=None, ..., *, wd=None, optimizer=None, total_steps=None, steps_per_epoch=None, groups=None, "
        "momentum_correction=False"
    ),
    "ParamScheduler": (
        "scheds, *, optimizer=None, total_steps=None, steps_per_epoch=None, groups=None, momentum_correction=False"
    ),
    "SGDR": "n_cycles, cycle_len, lr_max=None, cycle_mult=2, ...",
    "SchedCos": "start, end",
    "SchedExp": "start, end",
    "SchedInvSqrt": "start, end",
    "SchedLin": "start, end",
    "SchedNo": "start, end",
    "SchedOneMinusSqrt": "start, end",
    "SchedPoly": "start, end, power",
    "Sweep": None,
    "Triangular": "...",
    "WarmupCosine": "...",
    "WarmupLinear": "...",
    "WarmupStableDecay": "...",
    "annealer": None,
    "combine_scheds": "pcts, scheds",
    "combined_cos": "pct, start, middle, end",
    "find_optimal_lr": "result, model=None, *, noise=3, show_df=None, show_min_values=False",
    "fine_tune": (
        "model, x, y=None, *, epochs, base_lr=2e-3, freeze_epochs=1, lr_mult=100, pct_start=.3, div=5., lr_max=None, "
        "div_final=1e5, wd=None, moms=(.95,.85,.95), ..."
    ),
    "fit_flat_cos": "model, x, y=None, *, epochs, lr=None, div_final=1e5, pct_start=.75, wd=None, ...",
    "fit_one_cycle": (
        f"model, x, y=None, *, epochs, lr_max=None, {ONE_CYCLE}, wd=None, moms=(.95,.85,.95), three_phase=False, ..."
    ),
    "fit_sgdr": (
        "model, x, y=None, *, n_cycles, cycle_len, lr_max=None, cycle_mult=2, cycle_decay=1., warmup=0., wd=None, ..."
    ),
    "flat_cos": "lr, *, div_final=1e5, pct_start=.75",
    "freeze": "model, ...",
    "freeze_to": "model, n, *, groups=None, train_bn=True",
    "halfway": SUGGESTION,
    "inflection": f"{SUGGESTION}, noise=3",
    "inverse_sqrt": "lr_max, *, warmup=.05, lr_final",
    "is_frozen": "model, groups=None",
    "layer_groups": "model, n=2",
    "lr_find": (
        "model, x, y=None, *, start_lr=1e-7, end_lr=10, num_it=100, stop_div=True, show_plot=True, "
        "suggest_funcs=keras_sched.suggest.DEFAULT, wd=None, validation_data=None, groups=None, repeats=1, "
        "cache_dir=None, batch_size=None, steps_per_epoch=None, shuffle=True, sample_weight=None, class_weight=None, "
        "verbose='auto'"
    ),
    "min_grad": SUGGESTION,
    "minimum": SUGGESTION,
    "one_cycle": f"lr_max, *, {ONE_CYCLE}, moms=(.95,.85,.95), three_phase=False",
    "plot_lr_find": "lrs, losses, *, skip_start=0, skip_end=5, suggestions=None, names=None, ax=None, ...",
    "plot_sched": "scheds, *, keys=None, figsize=None, epochs=None, steps_per_epoch=None",
    "sched_cos": "start, end, pos",
    "sched_exp": "start, end, pos",
    "sched_lin": "start, end, pos",
    "sched_no": "start, end, pos",
    "scheduled": "optimizer, scheds, *, steps, groups=None",
    "sgdr": "lr_max, *, n_cycles, cycle_mult=2, cycle_decay=1., warmup=0.",
    "slide": f"{SUGGESTION}, lr_diff=15, thresh=.005, adjust_value=1.",
    "steep": SUGGESTION,
    "sweep": (
        "model, x, y=None, *, epochs, over=None, recipe=keras_sched.OneCycle, finalists=3, rounds=3, repeats=1, "
        "monitor=None, population='auto', executor=None, show_plot=True, cache_dir=None, verbose='auto', "
        "callbacks=None, groups=None, ..."
    ),
    "triangular": "lr_min, lr_max, *, n_cycles, mode='triangular', gamma=.1",
    "unfreeze": "model, ...",
    "valley": SUGGESTION,
    "warmup_cosine": "lr_max, *, warmup=.05, lr_final=0.",
    "warmup_linear": "lr_max, *, warmup=.05, lr_final=0.",
    "warmup_stable_decay": "lr_max, *, warmup=.05, decay=.2, lr_final=0., shape=keras_sched.SchedOneMinusSqrt",
}
FIT_HELPERS = ["fine_tune", "fit_flat_cos", "fit_one_cycle", "fit_sgdr"]
CALLBACK_OF = {
    "FlatCos": "flat_cos",
    "InverseSqrt": "inverse_sqrt",
    "OneCycle": "one_cycle",
    "SGDR": "sgdr",
    "Triangular": "triangular",
    "WarmupCosine": "warmup_cosine",
    "WarmupLinear": "warmup_linear",
    "WarmupStableDecay": "warmup_stable_decay",
}


def test_all_is_the_public_surface():
    assert sorted(keras_sched.__all__) == sorted(SIGNATURES)


def test_what_a_notebook_completes_is_public():
    assert dir(keras_sched) == sorted(SIGNATURES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_is_public_is_there_and_described(name):
    assert inspect.getdoc(getattr(keras_sched, name))


@pytest.mark.parametrize("name", [name for name, promised in SIGNATURES.items() if promised])
def test_arguments_and_defaults_are_those_promised(name):
    promised = re.split(r",\s*(?![^()]*\))", SIGNATURES[name])
    wanted = _parameters(", ".join(part for part in promised if part != "..."))
    given = inspect.signature(getattr(keras_sched, name)).parameters
    assert {each: given[each].default for each in wanted if each in given} == {
        each: parameter.default for each, parameter in wanted.items()
    }
    by_position = [each for each, parameter in wanted.items() if _by_position(parameter)]
    assert [each for each, parameter in given.items() if _by_position(parameter)][: len(by_position)] == by_position
    if "..." not in promised:
        assert [each for each in given if each != "kwargs"] == list(wanted)


def _parameters(signature):
    scope = {"keras_sched": keras_sched}
    return inspect.signature(eval(f"lambda {signature}: None", scope)).parameters  # noqa: S307 - our own text


def _by_position(parameter):
    return parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


@pytest.mark.parametrize("callback", CALLBACK_OF)
def test_a_callback_takes_what_its_recipe_takes_with_the_same_defaults(callback):
    recipe = dict(inspect.signature(getattr(keras_sched, CALLBACK_OF[callback])).parameters)
    given = inspect.signature(getattr(keras_sched, callback)).parameters
    recipe.pop("lr_max", recipe.pop("lr", None))
    assert {name: given[name].default for name in recipe if name in given} == {
        name: parameter.default for name, parameter in recipe.items()
    }


@pytest.mark.parametrize("callback", CALLBACK_OF)
def test_a_callback_can_be_told_length_groups_and_decay(callback):
    given = inspect.signature(getattr(keras_sched, callback)).parameters
    assert {"wd", "total_steps", "steps_per_epoch", "groups", "momentum_correction", "layer_decay"} <= set(given)


@pytest.mark.parametrize("helper", FIT_HELPERS)
def test_a_fit_helper_takes_what_all_of_them_take_and_hands_the_rest_to_fit(helper):
    given = inspect.signature(getattr(keras_sched, helper)).parameters
    shared = {"callbacks": None, "reset_opt": False, "initial_epoch": 0, "groups": None, "momentum_correction": False}
    assert {name: given[name].default for name in shared if name in given} == shared
    assert "layer_decay" in given
    assert any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in given.values())


def test_the_version_is_that_of_the_distribution_and_no_public_name():
    try:
        installed = version("keras-sched")
    except PackageNotFoundError:
        installed = "0+unknown"
    assert keras_sched.__version__ == installed
    assert "__version__" not in keras_sched.__all__


def test_a_name_that_the_package_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'keras_sched' has no attribute 'onecycle'"):
        keras_sched.onecycle  # noqa: B018


@pytest.mark.parametrize(
    ("name", "meant"),
    {
        "OneCycleLR": "OneCycle",
        "CosineAnnealingWarmRestarts": "SGDR",
        "get_linear_schedule_with_warmup": "WarmupLinear",
        "LearningRateScheduler": "ParamScheduler",
        "slice": "layer_groups",
        "fit_onecycle": "fit_one_cycle",
    }.items(),
)
def test_a_name_typed_by_habit_is_answered_with_the_one_that_is_meant(name: str, meant: str):
    with pytest.raises(AttributeError, match=rf"has no attribute '{name}'\. Did you mean `{meant}`\?$"):
        getattr(keras_sched, name)


def test_a_name_like_no_other_is_answered_without_a_guess():
    with pytest.raises(AttributeError, match=r"has no attribute 'AdamW'$"):
        keras_sched.AdamW  # noqa: B018


def test_every_schedule_that_is_answered_with_another_is_one_that_there_is():
    assert set(names._SCHEDULES.values()) <= set(keras_sched.__all__)


def test_the_reference_has_every_public_name_once():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"(?m)^::: keras_sched\.(?:[\w.]+\.)?(\w+)$", page)) == sorted(SIGNATURES)


@pytest.mark.skipif(os.environ.get("KERAS_SCHED_TESTS_EXPECT") != "wheel", reason="only tox has built a wheel")
def test_under_tox_the_wheel_is_tested_and_not_the_tree():
    assert "site-packages" in Path(keras_sched.__file__).parts
    assert (Path(keras_sched.__file__).parent / "py.typed").exists()


def test_the_default_suggestions_can_be_imported():
    from keras_sched import DEFAULT, halfway, valley

    assert (halfway, valley) == DEFAULT
