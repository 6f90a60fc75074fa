"""Wrong uses, each with the sentence that meets it: what came, what was expected, what to type."""

import re
from typing import NamedTuple

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched import (
    SGDR,
    AnnealedSchedule,
    FlatCos,
    InverseSqrt,
    LRFinder,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedPoly,
    Triangular,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
    combine_scheds,
)
from keras_sched.__main__ import main

LIN = SchedLin(0.1, 0.0)
X = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


class Found(NamedTuple):
    valley: float
    slide: float


FOUND = Found(0.01, 0.02)


def model_with(optimizer="adam", **compiled):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
    )
    model.compile(optimizer, loss="mse", **compiled)
    return model


def fit(*callbacks, optimizer="adam", epochs=2, **arguments):
    model_with(optimizer).fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), **arguments)


def sgd(**arguments):
    return keras.optimizers.SGD(0.1, **arguments)


def step_schedule():
    return keras.optimizers.schedules.CosineDecay(0.1, 9)


def helped(helper, **arguments):
    return helper(model_with(), X, Y, epochs=1, verbose=0, **arguments)


def looped(scheds):
    weight, optimizer = keras.Variable([1.0]), sgd()
    with ks.scheduled(optimizer, scheds, steps=3):
        optimizer.apply([keras.ops.ones(1)], [weight])


def without_weights():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    return model


def generator():
    while True:
        yield X[:8], Y[:8]


# What is typed, and what the sentence must hold.
AT_THE_DOOR = {
    "SchedExp through zero": (lambda: SchedExp(0.0, 1.0), "SchedExp"),
    "SchedExp of two signs": (lambda: SchedExp(-1.0, 1.0), "SchedExp"),
    "SchedInvSqrt from zero": (lambda: SchedInvSqrt(0.0, 1.0), "SchedInvSqrt"),
    "SchedPoly of no power": (lambda: SchedPoly(0.0, 1.0, 0), "power=0"),
    "an end that is a word": (lambda: SchedLin("a", 1.0), "'a'"),
    "an end that is not finite": (lambda: SchedCos(float("nan"), 1.0), "nan"),
    "fractions that are too much": (lambda: combine_scheds([0.7, 0.7], [LIN, LIN]), "1.4"),
    "a negative fraction": (lambda: combine_scheds([-0.5, 1.5], [LIN, LIN]), "-0.5"),
    "fewer fractions than schedules": (lambda: combine_scheds([1.0], [LIN, LIN]), "combine_scheds"),
    "no schedules": (lambda: combine_scheds([], []), "combine_scheds"),
    "a number for a schedule": (lambda: combine_scheds([1.0], [0.1]), "0.1"),
    "schedules that are in no list": (lambda: combine_scheds(SchedLin, SchedCos), "a list of shares and one"),
    "a log to another kind of file": (lambda: ks.LogHyperParameters("run.json"), r"to='run.csv'"),
    "a triangle above the compiled rate": (
        lambda: fit(Triangular(0.5, n_cycles=2)),
        "without `lr_max` the peak is the compiled rate, 0.001",
    ),
    "a function for a model": (lambda: ks.fit_one_cycle(model_with, X, Y, epochs=1), "must be a Keras model"),
    "a class for a model": (lambda: ks.fit_one_cycle(keras.Sequential, X, Y, epochs=1), "must be a Keras model"),
    "an estimator for a model": (
        lambda: ks.fit_one_cycle(keras.wrappers.SKLearnClassifier(model_with), X, Y, epochs=1),
        "must be a Keras model",
    ),
    "percent for a fraction": (lambda: ks.one_cycle(0.1, pct_start=30), "pct_start=0.3"),
    "a negative rate": (lambda: ks.one_cycle(-0.1), "-0.1"),
    "a divisor of zero": (lambda: ks.one_cycle(0.1, div=0), "div=0"),
    "two momenta": (lambda: ks.one_cycle(0.1, moms=(0.9, 0.8)), "moms="),
    "a momentum of one": (lambda: ks.one_cycle(0.1, moms=(0.9, 1.0, 0.9)), "moms="),
    "three phases that do not fit": (lambda: ks.one_cycle(0.1, pct_start=0.6, three_phase=True), "pct_start=0.6"),
    "flat_cos in percent": (lambda: ks.flat_cos(0.1, pct_start=75), "pct_start=0.75"),
    "half a cycle": (lambda: ks.sgdr(0.1, n_cycles=0.5), "n_cycles=0.5"),
    "cycles that vanish": (lambda: ks.sgdr(0.1, n_cycles=2, cycle_mult=0), "cycle_mult=0"),
    "a warm-up in percent": (lambda: ks.warmup_cosine(0.1, warmup=5), "warmup=0.05"),
    "warm-up and decay past the end": (lambda: ks.warmup_stable_decay(0.1, warmup=0.6, decay=0.6), "decay"),
    "a final rate of zero": (lambda: ks.inverse_sqrt(0.1, lr_final=0.0), "lr_final"),
    "an unknown mode": (lambda: ks.triangular(0.01, 0.1, n_cycles=1, mode="square"), "'square'"),
    "peaks below the valleys": (lambda: ks.triangular(0.1, 0.01, n_cycles=1), "triangular"),
    "OneCycle in percent": (lambda: OneCycle(0.1, pct_start=25), "pct_start=0.25"),
    "OneCycle at zero": (lambda: OneCycle(0.0), "lr_max=0.0"),
    "OneCycle at a word": (lambda: OneCycle("fast"), "fast"),
    "a slice that is not one of rates": (lambda: OneCycle(slice(1, 2, 3)), "slice(1, 2, 3)"),
    "a slice from below zero": (lambda: OneCycle(slice(-1e-3, 1e-2)), "slice"),
    "a negative decay": (lambda: OneCycle(0.1, wd=-1), "wd=-1"),
    "a decay that is a word": (lambda: OneCycle(0.1, wd="much"), "wd="),
    "no steps": (lambda: OneCycle(0.1, total_steps=0), "total_steps=0"),
    "half a step an epoch": (lambda: OneCycle(0.1, steps_per_epoch=2.5), "steps_per_epoch=2.5"),
    "FlatCos at minus one": (lambda: FlatCos(-1), "lr=-1"),
    "SGDR of no cycle": (lambda: SGDR(0, 1), "n_cycles=0"),
    "SGDR of half an epoch": (lambda: SGDR(2, 0.5), "cycle_len=0.5"),
    "WarmupCosine in percent": (lambda: WarmupCosine(0.1, warmup=10.0), "warmup=0.1"),
    "WarmupStableDecay of no shape": (lambda: WarmupStableDecay(0.1, shape=3), "shape=3"),
    "InverseSqrt to zero": (lambda: InverseSqrt(0.1, lr_final=0), "lr_final"),
    "Triangular from below zero": (lambda: Triangular(-0.1, 0.1, n_cycles=1), "lr_min=-0.1"),
    "schedules in a list": (lambda: ParamScheduler([LIN]), "dictionary"),
    "nothing to schedule": (lambda: ParamScheduler({}), "{}"),
    "a number to schedule": (lambda: ParamScheduler({"lr": 0.1}), "lr=0.1"),
    "a class to schedule": (lambda: ParamScheduler({"lr": SchedLin}), "SchedLin"),
    "groups that disagree": (lambda: ParamScheduler({"lr": [LIN] * 2, "wd": [LIN] * 3}), "group"),
    "values before a fit": (lambda: OneCycle(0.1).hps, "OneCycle.hps"),
    "steps of a schedule": (lambda: AnnealedSchedule(LIN, 0), "steps=0"),
    "a schedule with groups": (lambda: AnnealedSchedule(SchedLin((0.1, 0.2), 0.0), 5), "group"),
    "a search that goes down": (lambda: LRFinder(1.0, 0.1), "start_lr"),
    "a search from zero": (lambda: LRFinder(0.0, 0.1), "start_lr=0.0"),
    "a search of half a batch": (lambda: LRFinder(num_it=0.5), "num_it=0.5"),
    "a search of no batch": (lambda: ks.lr_find(model_with(), X, Y, num_it=0), "num_it=0"),
    "a search without compile": (lambda: ks.lr_find(keras.Sequential([keras.layers.Dense(1)]), X, Y), "compile"),
    "a search over nothing": (lambda: ks.lr_find(model_with(), X[:0], Y[:0], verbose=0), "lr_find"),
    "a suggestion that is a word": (lambda: ks.lr_find(model_with(), X, Y, suggest_funcs="valley"), "valley"),
    "a plot of an unknown name": (lambda: ks.plot_sched(ks.one_cycle(0.1), keys=["rate"]), "rate"),
    "no groups": (lambda: ks.layer_groups(model_with(), 0), "n=0"),
    "more groups than layers": (lambda: ks.layer_groups(model_with(), 9), "9"),
    "freezing past the end": (lambda: ks.freeze_to(model_with(), 5), "5"),
    "a loop of no steps": (lambda: ks.scheduled(sgd(), {"lr": LIN}, steps=0), "steps=0"),
    "a loop without optimizer": (lambda: ks.scheduled("sgd", {"lr": LIN}, steps=3), "'sgd'"),
    "a loop with groups of nobody": (lambda: ks.scheduled(sgd(), {"lr": [LIN, LIN]}, steps=3), "groups"),
    "fit_sgdr with epochs": (lambda: ks.fit_sgdr(model_with(), X, Y, n_cycles=2, cycle_len=1, epochs=5), "epochs=5"),
    "fit_one_cycle of no epoch": (lambda: ks.fit_one_cycle(model_with(), X, Y, epochs=0), "epochs=0"),
    "what lr_find returned": (lambda: OneCycle(FOUND), "lr_max=found.valley"),
    "what lr_find returned, in a recipe": (lambda: ks.one_cycle(FOUND), "lr_max=found.valley"),
    "what lr_find returned, in an annealer": (lambda: SchedCos(FOUND, 0), "start=found.valley"),
    "what lr_find returned, at the valleys": (lambda: Triangular(FOUND, 0.1, n_cycles=1), "lr_min=found.valley"),
    "what lr_find returned, in fit_flat_cos": (lambda: helped(ks.fit_flat_cos, lr=FOUND), "lr=found.valley"),
    "what lr_find returned, for a head": (lambda: helped(ks.fine_tune, base_lr=FOUND), "base_lr=found.valley"),
    "a search from what it returned": (lambda: LRFinder(FOUND), "start_lr=found.valley"),
    "PyTorch's name for the rate": (lambda: helped(ks.fit_one_cycle, max_lr=0.1), "Did you mean `lr_max`?"),
    "OneCycle's name for the rate": (lambda: helped(ks.fit_flat_cos, lr_max=0.1), "Did you mean `lr`?"),
    "Keras' name for the rate": (lambda: helped(ks.fine_tune, learning_rate=0.1), "Did you mean `base_lr`?"),
    "fastai's callbacks": (lambda: helped(ks.fit_one_cycle, cbs=[]), "Did you mean `callbacks`?"),
    "a slip in an own name": (lambda: helped(ks.fit_one_cycle, mom=None), "Did you mean `moms`?"),
    "a slip in a name of fit": (lambda: helped(ks.fit_one_cycle, batchsize=8), "Did you mean `batch_size`?"),
    "PyTorch's epochs": (lambda: ks.fit_one_cycle(model_with(), X, Y, n_epochs=1), "Did you mean `epochs`?"),
    "PyTorch's rate of a callback": (lambda: OneCycle(max_lr=0.1), "Did you mean `lr_max`?"),
    "PyTorch's rate of FlatCos": (lambda: FlatCos(max_lr=0.1), "Did you mean `lr`?"),
    "PyTorch's end of a cycle": (lambda: OneCycle(0.1, final_div_factor=9), "Did you mean `div_final`?"),
    "PyTorch's beginning of a cycle": (lambda: OneCycle(0.1, div_factor=9), "Did you mean `div`?"),
    "PyTorch's momenta": (lambda: OneCycle(0.1, base_momentum=0.8), "Did you mean `moms`?"),
    "PyTorch's length": (lambda: FlatCos(0.1, total_iters=100), "Did you mean `total_steps`?"),
    "PyTorch's length of a cosine": (lambda: WarmupCosine(0.1, T_max=100), "Did you mean `total_steps`?"),
    "our own length of a loop": (lambda: ParamScheduler({"lr": LIN}, steps=100), "Did you mean `total_steps`?"),
    "PyTorch's valleys": (lambda: Triangular(base_lr=0.1, n_cycles=2), "Did you mean `lr_min`?"),
    "PyTorch's restarts": (lambda: SGDR(2, T_0=2), "Did you mean `cycle_len`?"),
    "Keras' warm-up": (lambda: WarmupLinear(0.1, warmup_steps=500), "Did you mean `warmup`?"),
    "Keras' decay": (lambda: WarmupStableDecay(0.1, decay_steps=500), "Did you mean `decay`?"),
    "Keras' length": (lambda: InverseSqrt(0.1, decay_steps=500, lr_final=0.01), "Did you mean `total_steps`?"),
    "PyTorch's rate of a recipe": (lambda: ks.one_cycle(max_lr=0.1), "Did you mean `lr_max`?"),
    "transformers' warm-up of a recipe": (
        lambda: ks.warmup_linear(0.1, num_warmup_steps=9),
        "Did you mean `warmup`? Its own are `lr_max`, `warmup`, `lr_final`.",
    ),
    "a length for a recipe": (lambda: ks.flat_cos(0.1, zzz=9), "`zzz=9`; it has no argument of that name."),
    "two names of others": (
        lambda: OneCycle(max_lr=0.1, anneal=1, div_factor=5),
        "`lr_max` for `max_lr`? Did you mean `div` for `div_factor`?",
    ),
    "a recipe for a rate": (lambda: OneCycle(ks.one_cycle(0.1)), "Pass the recipe to `ParamScheduler`."),
    "a recipe for the valleys": (lambda: Triangular(ks.one_cycle(0.1), n_cycles=1), "to `ParamScheduler`."),
    "a recipe for a helper's rate": (lambda: helped(ks.fit_flat_cos, lr=ks.flat_cos(0.1)), "to `ParamScheduler`."),
    "a name that is like no other": (lambda: helped(ks.fit_one_cycle, zzz=8), "zzz=8"),
    "half a thousandth of cycles": (lambda: ks.sgdr(0.1, n_cycles=0.01), "`n_cycles=3`"),
    "no groups at all": (lambda: fit(OneCycle(0.1, groups=0)), "`groups=2`"),
    "less than no frozen epoch": (lambda: helped(ks.fine_tune, freeze_epochs=-1), "`freeze_epochs=1`"),
    "a search of no batches": (lambda: LRFinder(num_it=0), "`num_it=100`"),
    "a search from nothing": (lambda: LRFinder(start_lr=0), "`start_lr=1e-7`"),
    "no noise": (lambda: ks.inflection([0.1], [1.0], 1, noise=0), "`noise=3`"),
    "less than nothing pale": (lambda: ks.plot_lr_find([0.1], [1.0], skip_end=-1), "`skip_end=5`"),
    "a warm-up below zero": (lambda: WarmupCosine(0.1, warmup=-1), "`warmup=0.05`"),
    "groups in a list for groups": (
        lambda: ParamScheduler({"lr": [SchedLin([0, 0], [1, 2]), LIN]}),
        "has one value at a time",
    ),
    "rates in a list for an annealer": (lambda: ParamScheduler({"lr": [0.1, 0.2]}), "lr=[0.1, 0.2]"),
    "an array that fills a page": (lambda: OneCycle(np.zeros(2000)), "lr_max=array([0., 0."),
    "a schedule of Keras'": (
        lambda: ParamScheduler({"lr": step_schedule()}),
        "`lambda pos: float(schedule(round(pos * n)))`",
    ),
    "an annealer without a position": (lambda: LIN(), "AnnealedSchedule(SchedLin(...), steps=...)"),  # noqa: PLW0108 - the call is the thing
    "fit_flat_cos without compile": (lambda: ks.fit_flat_cos(keras.Sequential(), X, Y, epochs=1), "compile"),
}
IN_FIT = {
    "an unknown name": (lambda: fit(ParamScheduler({"speed": LIN})), "'speed'"),
    "one thing by two names": (lambda: fit(ParamScheduler({"lr": LIN, "learning_rate": LIN})), "learning_rate"),
    "one thing by two callbacks": (lambda: fit(OneCycle(0.1), FlatCos(0.1)), "another callback"),
    "momentum where there is none": (lambda: fit(ParamScheduler({"mom": LIN}), optimizer=sgd()), "momentum=0.9"),
    "an optimizer that the model does not apply": (
        lambda: fit(OneCycle(0.1, optimizer=keras.optimizers.Adam(name="other"))),
        "the optimizer `other`, which",
    ),
    "moms where there is none": (lambda: fit(OneCycle(0.1, moms=(0.9, 0.8, 0.9)), optimizer=sgd()), "momentum"),
    "a rate that falls below zero": (
        lambda: fit(ParamScheduler({"lr": SchedLin(0.1, -0.3)})),
        "`lr=-0.05`; a learning rate is at least 0, and its schedule is below at batch 3",
    ),
    "a rate that falls below zero late in a long fit": (
        lambda: fit(ParamScheduler({"lr": SchedLin(0.1, -0.1)}, total_steps=10**6)),
        "lr=",
    ),
    "a momentum above one": (
        lambda: fit(ParamScheduler({"mom": ks.SchedNo(1.5, 0)})),
        "`mom=1.5`; `beta_1` is at least 0 and below 1, and its schedule is not at batch 0",
    ),
    "SGD's momentum above one": (
        lambda: fit(ParamScheduler({"mom": SchedLin(0.9, 1.1)}), optimizer=sgd(momentum=0.9)),
        "`momentum` is at least 0 and at most 1, and its schedule is not at batch 5",
    ),
    "a negative rho": (
        lambda: fit(ParamScheduler({"rho": SchedLin(0.9, -0.1)}), optimizer=keras.optimizers.RMSprop()),
        "`rho` is at least 0 and at most 1",
    ),
    "a second moment of one": (lambda: fit(ParamScheduler({"beta_2": ks.SchedNo(1.0, 0)})), "beta_2=1"),
    "rates below zero in a loop": (lambda: looped({"lr": SchedLin(-0.1, 0.1)}), "lr=-0.1"),
    "momentum of Adam": (lambda: fit(ParamScheduler({"momentum": LIN})), "Did you mean `mom`?"),
    "beta1": (lambda: fit(ParamScheduler({"beta1": LIN})), "Did you mean `beta_1`?"),
    "LR": (lambda: fit(ParamScheduler({"LR": LIN})), "Did you mean `lr`?"),
    "a slip in a long name": (lambda: fit(ParamScheduler({"learnig_rate": LIN})), "Did you mean `learning_rate`?"),
    "an annealer for Keras' schedule": (
        lambda: fit(optimizer=keras.optimizers.SGD(LIN)),
        "AnnealedSchedule(SchedLin(...), steps=...)",
    ),
    "more rates than layers": (lambda: fit(OneCycle([0.1, 0.2, 0.3])), "lr_max=[0.1, 0.2, 0.3]"),
    "more valleys than layers": (lambda: fit(Triangular([0.1, 0.2, 0.3], n_cycles=1)), "lr_min=[0.1, 0.2, 0.3]"),
    "more annealers than layers": (lambda: fit(ParamScheduler({"lr": [LIN] * 3})), "lr with several values"),
    "a second way of clipping": (
        lambda: fit(ParamScheduler({"clipvalue": LIN}), optimizer=sgd(clipnorm=1.0)),
        "clipnorm",
    ),
    "an average that is not kept": (lambda: fit(ParamScheduler({"ema_momentum": LIN})), "ema_momentum"),
    "what cannot change": (lambda: fit(ParamScheduler({"gradient_accumulation_steps": LIN})), "gradient_accum"),
    "the sum of the cycles": (lambda: fit(SGDR(2, 1), epochs=2), "epochs=3"),
    "steps that differ": (lambda: fit(OneCycle(0.1, steps_per_epoch=9)), "steps_per_epoch=9"),
    "correction of Adam": (lambda: fit(OneCycle(0.1, momentum_correction=True)), "momentum_correction"),
    "layer decay of one group": (lambda: fit(OneCycle(0.1, layer_decay=0.5)), "layer_decay=0.5"),
    "rates for other groups": (lambda: fit(OneCycle([0.1, 0.2], groups=1)), "groups"),
    "an unknown pattern": (lambda: fit(OneCycle(slice(0.1), groups=[["tail"], ["head"]])), "tail"),
    "no rate to take": (
        lambda: fit(OneCycle(), optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))),
        "lr_max",
    ),
    "a length nobody knows": (
        lambda: model_with().fit(generator(), epochs=1, shuffle=False, verbose=0, callbacks=[OneCycle(0.1)]),
        "steps_per_epoch",
    ),
}
# Who tells it: what the user called, and not what that calls in turn.
TOLD_BY = {
    "fine_tune": lambda: helped(ks.fine_tune, groups=9),
    "fine_tune, of its cycle": lambda: helped(ks.fine_tune, pct_start=30),
    "fine_tune, of a model without weights": lambda: ks.fine_tune(without_weights(), X, Y, epochs=1),
    "fine_tune, of an unknown name": lambda: helped(ks.fine_tune, zzz=1),
    "fit_one_cycle": lambda: helped(ks.fit_one_cycle, lr_max=-1),
    "fit_one_cycle, in the fit": lambda: helped(ks.fit_one_cycle, momentum_correction=True),
    "fit_flat_cos": lambda: helped(ks.fit_flat_cos, pct_start=75),
    "fit_sgdr": lambda: ks.fit_sgdr(model_with(), X, Y, n_cycles=0, cycle_len=1),
    "OneCycle": lambda: OneCycle(pct_start=30),
    "Triangular": lambda: Triangular(0.1, 0.01, n_cycles=1),
    "one_cycle": lambda: ks.one_cycle(0.1, pct_start=30),
    "SchedPoly": lambda: SchedPoly(0.0, 1.0, 0),
}
SENTENCE = re.compile(r"^`[^`]+` (received|found|suggests nothing)\b.*[;:] .*\. ?\S.*[.`\)]$", re.DOTALL)


@pytest.mark.parametrize("use", AT_THE_DOOR)
def test_a_wrong_argument_is_met_with_a_sentence(use):
    check(*AT_THE_DOOR[use])


@pytest.mark.parametrize("use", IN_FIT)
def test_a_wrong_schedule_is_met_with_a_sentence_before_the_first_batch(use):
    check(*IN_FIT[use])


def test_there_are_sixty_wrong_uses_and_more():
    assert len(AT_THE_DOOR) + len(IN_FIT) >= 60


@pytest.mark.parametrize("called", TOLD_BY)
def test_an_error_is_told_by_what_was_called(called):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as raised:
        TOLD_BY[called]()
    assert str(raised.value).startswith(f"`{called.partition(',')[0]}` ")


def test_a_helper_that_failed_leaves_the_names_as_they_are():
    with pytest.raises(ValueError, match=r"^`fit_one_cycle`"):
        helped(ks.fit_one_cycle, lr_max=-1)
    with pytest.raises(ValueError, match=r"^`OneCycle`"):
        OneCycle(-1)


def test_an_unknown_argument_of_a_helper_is_met_before_anything_changes():
    model = model_with()
    model.fit(X, Y, verbose=0)
    before = numbers_of(model)
    with pytest.raises(TypeError, match="zzz=1"):
        ks.fine_tune(model, X, Y, epochs=1, reset_opt=True, verbose=0, zzz=1)
    assert all(np.array_equal(*pair) for pair in zip(before, numbers_of(model), strict=True))
    assert not ks.is_frozen(model)


def test_a_fit_that_takes_anything_is_handed_anything():
    class Takes(keras.Sequential):
        def fit(self, *arguments, extra=None, **keywords):
            self.extra = extra
            return super().fit(*arguments, **keywords)

    model = Takes([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    ks.fit_one_cycle(model, X, Y, epochs=1, lr_max=0.1, extra=3, verbose=0)
    assert model.extra == 3


@pytest.mark.parametrize("sched", [LIN, ks.SchedNo(0.0, 0.0), lambda pos: 0.1 - 0.1 * 3 * min(pos, 1 / 3)])
def test_a_rate_of_zero_and_one_that_rounding_takes_below_it_train(sched):
    fit(ParamScheduler({"lr": sched}, total_steps=8))


def test_what_was_typed_is_shown_on_one_short_line():
    with pytest.raises(ValueError, match="lr_max") as raised:
        OneCycle([0.0] * 2000)
    assert len(str(raised.value)) < 250
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_a_backend_that_is_missing_is_told_by_the_package_it_is(backend, monkeypatch, capsys):
    monkeypatch.setattr("keras_sched.__main__.installed_backends", lambda: ["numpy"])
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert main(["--backend", backend]) == 2
    assert capsys.readouterr().err.endswith(f"Type: pip install {backend}\n")


def numbers_of(model):
    return [np.array(keras.ops.convert_to_numpy(each)) for each in [*model.variables, *model.optimizer.variables]]


def check(wrong, said):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as raised:
        wrong()
    message = str(raised.value)
    assert said in message
    assert SENTENCE.match(message), message
