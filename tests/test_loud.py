"""What cannot be scheduled is an error before the first batch, which says what to type instead."""

import keras
import numpy as np
import pytest
from oracle import data, fit, mlp

from keras_sched import (
    SGDR,
    AnnealedSchedule,
    FlatCos,
    InverseSqrt,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedLin,
    SchedNo,
    Triangular,
    WarmupCosine,
    WarmupStableDecay,
)

CONSTANT = SchedNo(0.1, 0.1)


def adam(**arguments):
    return keras.optimizers.Adam(0.01, **arguments)


def sgd(momentum=0.0, **arguments):
    return keras.optimizers.SGD(0.01, momentum=momentum, **arguments)


# At the door: without a model


AT_THE_DOOR = {
    "no schedules": (lambda: ParamScheduler({}), ValueError, r"scheds=\{\}.*one_cycle"),
    "no dictionary": (lambda: ParamScheduler([CONSTANT]), TypeError, "dictionary.*SchedCos"),
    "a name that is none": (lambda: ParamScheduler({1: CONSTANT}), TypeError, "name of a hyper-parameter"),
    "a number for a schedule": (lambda: ParamScheduler({"lr": 0.1}), TypeError, "lr.*0.1"),
    "an empty list of schedules": (lambda: ParamScheduler({"lr": []}), ValueError, "no annealer"),
    "total_steps of zero": (lambda: ParamScheduler({"lr": CONSTANT}, total_steps=0), ValueError, "total_steps=0"),
    "total_steps in half": (lambda: OneCycle(0.1, total_steps=2.5), ValueError, "total_steps=2.5.*whole number"),
    "total_steps below zero": (lambda: OneCycle(0.1, total_steps=-1), ValueError, "total_steps=-1"),
    "steps_per_epoch of zero": (lambda: OneCycle(0.1, steps_per_epoch=0), ValueError, "steps_per_epoch=0"),
    "steps_per_epoch true": (lambda: OneCycle(0.1, steps_per_epoch=True), ValueError, "steps_per_epoch=True"),
    "a rate of zero": (lambda: OneCycle(0), ValueError, "lr_max=0.*above 0"),
    "a rate below zero": (lambda: FlatCos(-0.1), ValueError, "lr=-0.1.*above 0"),
    "a rate that is nan": (lambda: OneCycle(float("nan")), ValueError, "lr_max=nan"),
    "a rate that is endless": (lambda: OneCycle(float("inf")), ValueError, "lr_max=inf"),
    "a rate in words": (lambda: OneCycle("0.1"), ValueError, "lr_max='0.1'"),
    "a slice of one": (lambda: OneCycle(slice(0.1, None)), ValueError, "slice"),
    "a slice with a step": (lambda: OneCycle(slice(0.1, 0.2, 2)), ValueError, "slice"),
    "percent": (lambda: OneCycle(0.1, pct_start=30), ValueError, r"pct_start=30.*pct_start=0\.3"),
    "div of zero": (lambda: OneCycle(0.1, div=0), ValueError, "div=0"),
    "div_final below zero": (lambda: OneCycle(0.1, div_final=-1), ValueError, "div_final=-1"),
    "two moms": (lambda: OneCycle(0.1, moms=(0.9, 0.8)), ValueError, "moms"),
    "a weight decay below zero": (lambda: OneCycle(0.1, wd=-0.1), ValueError, "wd=-0.1.*at least 0"),
    "a weight decay in words": (lambda: OneCycle(0.1, wd="0.1"), TypeError, "wd='0.1'.*number"),
    "no cycles": (lambda: SGDR(0, 1), ValueError, "n_cycles=0"),
    "cycles of no length": (lambda: SGDR(2, 0), ValueError, "cycle_len=0"),
    "cycles that shrink to nothing": (lambda: SGDR(2, 1, cycle_mult=0), ValueError, "cycle_mult=0"),
    "warm-up in percent": (lambda: WarmupCosine(0.1, warmup=5.0), ValueError, r"warmup=5.0.*warmup=0\.05"),
    "decay after the end": (lambda: WarmupStableDecay(0.1, warmup=0.6, decay=0.6), ValueError, "decay"),
    "an end below zero": (lambda: InverseSqrt(0.1, lr_final=-1), ValueError, "lr_final=-1"),
    "a mode unknown": (lambda: Triangular(0.01, 0.1, n_cycles=2, mode="square"), ValueError, "square.*triangular2"),
    "gamma above one": (lambda: Triangular(0.01, 0.1, n_cycles=2, gamma=2), ValueError, "gamma=2"),
}


@pytest.mark.parametrize("wrong", AT_THE_DOOR)
def test_at_the_door(wrong):
    make, error, message = AT_THE_DOOR[wrong]
    with pytest.raises(error, match=message):
        make()


# When the fit begins: with a model, before a weight has moved


ONE_NAME_TWICE = {"lr": CONSTANT, "learning_rate": CONSTANT}
WHEN_A_FIT_BEGINS = {
    "a name unknown": (adam, lambda: ParamScheduler({"rate": CONSTANT}), "'rate'.*lr, mom, sqr_mom, wd, eps.*beta_1"),
    "a name of another optimizer's": (adam, lambda: ParamScheduler({"rho": CONSTANT}), "'rho'.*Adam has no such"),
    "an attribute that is no number": (adam, lambda: ParamScheduler({"name": CONSTANT}), "'name'"),
    "a private attribute": (adam, lambda: ParamScheduler({"_iterations": CONSTANT}), "'_iterations'"),
    "one hyper-parameter twice": (adam, lambda: ParamScheduler(ONE_NAME_TWICE), "'lr' and 'learning_rate'.*both"),
    "momentum by two names": (
        adam,
        lambda: ParamScheduler({"mom": CONSTANT, "beta_1": CONSTANT}),
        "'mom' and 'beta_1'.*both are `beta_1`",
    ),
    "momentum of an optimizer made without": (
        sgd,
        lambda: ParamScheduler({"mom": CONSTANT}),
        "momentum=0.*positive one",
    ),
    "moms that were given, without momentum": (
        sgd,
        lambda: OneCycle(0.1, moms=(0.95, 0.85, 0.95)),
        "'mom'.*positive one",
    ),
    "moms given to RMSprop": (
        lambda: keras.optimizers.RMSprop(0.01),
        lambda: OneCycle(0.1, moms=(0.9, 0.8, 0.9)),
        "'mom'.*positive one",
    ),
    "a second way of clipping": (
        lambda: adam(clipnorm=1.0),
        lambda: ParamScheduler({"clipvalue": CONSTANT}),
        "clips by `clipnorm` already.*Schedule `clipnorm`",
    ),
    "an average that is not kept": (adam, lambda: ParamScheduler({"ema_momentum": CONSTANT}), "no moving average"),
    "what the step is made of": (
        lambda: adam(gradient_accumulation_steps=2),
        lambda: ParamScheduler({"gradient_accumulation_steps": CONSTANT}),
        "settled when the step is made",
    ),
    "more rates than groups": (adam, lambda: OneCycle([0.1, 0.2, 0.3], groups=2), "3.*2"),
    "layer decay without groups": (adam, lambda: OneCycle(0.1, layer_decay=0.5), "layer_decay.*groups"),
    "correction without momentum": (sgd, lambda: OneCycle(0.1, momentum_correction=True), "momentum_correction=True"),
    "correction of Adam": (adam, lambda: OneCycle(0.1, momentum_correction=True), "momentum_correction.*SGD"),
    "correction of Nesterov's": (
        lambda: sgd(0.9, nesterov=True),
        lambda: OneCycle(0.1, momentum_correction=True),
        "momentum_correction.*Nesterov",
    ),
    "correction at a rate of zero": (
        lambda: sgd(0.9),
        lambda: WarmupCosine(0.1, momentum_correction=True),
        "momentum_correction=True.*which is 0 at batch 0",
    ),
    "epochs that are not the cycles' sum": (adam, lambda: SGDR(3, 1, lr_max=0.1), "7 epochs together.*epochs=7"),
    "steps that are not the fit's": (
        adam,
        lambda: OneCycle(0.1, steps_per_epoch=5),
        "steps_per_epoch=5.*an epoch of this fit has 4 batches",
    ),
    "the compiled rate of a schedule": (
        lambda: keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10)),
        OneCycle,
        "lr_max=None.*that is a schedule.*compile with a number",
    ),
    "the compiled rate of an annealed schedule": (
        lambda: keras.optimizers.Adam(AnnealedSchedule(SchedCos(0.1, 0.0), 10)),
        FlatCos,
        "lr=None.*that is a schedule",
    ),
}


@pytest.mark.parametrize("wrong", WHEN_A_FIT_BEGINS)
def test_when_a_fit_begins(wrong):
    make, callback, message = WHEN_A_FIT_BEGINS[wrong]
    model = mlp(make(), run_eagerly=True)
    before, ours = model.get_weights(), callback()
    with pytest.raises(ValueError, match=message):
        fit(model, [ours], 2)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert "_get_current_learning_rate" not in vars(model.optimizer)
    assert "make_train_function" not in vars(model)


def test_one_hyper_parameter_in_two_callbacks():
    model = mlp(adam(), run_eagerly=True)
    first, second = OneCycle(0.1), ParamScheduler({"beta_1": SchedLin(0.9, 0.8)})
    with pytest.raises(ValueError, match=r"'beta_1'.*scheduled by another callback of this fit already"):
        fit(model, [first, second], 2)


def test_two_divisions_into_groups():
    model = mlp(adam(), run_eagerly=True)
    rates = OneCycle((0.01, 0.1), moms=None, groups=[["body"], ["head"]])
    decays = ParamScheduler({"wd": [CONSTANT, CONSTANT]}, groups=[["head"], ["body"]])
    with pytest.raises(ValueError, match=r"divided the variables differently.*same `groups=`"):
        fit(model, [rates, decays], 2)


def test_data_of_unknown_length():
    def endless():
        x, y = data()
        while True:
            yield x[:8], y[:8]

    model = mlp(adam(), run_eagerly=True)
    with pytest.raises(RuntimeError, match=r"how many batches an epoch has.*steps_per_epoch"):
        model.fit(endless(), epochs=2, shuffle=False, verbose=0, callbacks=[OneCycle(0.1)])
    with pytest.raises(RuntimeError, match=r"begins at epoch 1.*how many batches"):
        model.fit(
            endless(), epochs=2, initial_epoch=1, shuffle=False, verbose=0, callbacks=[OneCycle(0.1, total_steps=9)]
        )


def test_a_model_that_is_not_compiled():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    ours = OneCycle(0.1)
    ours.set_model(model)
    with pytest.raises(RuntimeError, match=r"not compiled.*model\.compile"):
        ours.on_train_begin()


@pytest.mark.parametrize("what", ["hps", "plot_sched"])
def test_what_was_used_before_any_fit(what):
    for ours, ahead in ((OneCycle(0.1), r"one_cycle\(\.\.\.\)"), (ParamScheduler({"lr": SchedNo(0.1, 0.1)}), "scheds")):
        with pytest.raises(RuntimeError, match=rf"no fit yet.*model\.fit.*`plot_sched\({ahead}\)`"):
            getattr(ours, what)() if what == "plot_sched" else ours.hps


def test_the_figure_of_a_fit_takes_no_length():
    with pytest.raises(TypeError, match=r"`plot_sched` received `epochs=5`.*Pass `epochs` to `fit`"):
        OneCycle(0.1).plot_sched(epochs=5)


def test_a_schedule_that_gives_what_is_no_number():
    model = mlp(adam(), run_eagerly=True)
    before = model.get_weights()
    with pytest.raises(TypeError, match=r"'fast'.*number for each position") as caught:
        fit(model, [ParamScheduler({"lr": lambda position: "fast"})], 1)
    assert caught.value.__notes__ == ["... in the schedule of 'lr', in `ParamScheduler`"]
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_schedule_with_a_hole_in_it():
    model = mlp(adam(), run_eagerly=True)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"lr=nan.*no value at batch 6"):
        fit(model, [ParamScheduler({"lr": lambda position: float("nan") if position > 0.7 else 0.1})], 2)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_schedule_that_raises_says_whose_it_was():
    def broken(position):
        raise ZeroDivisionError("the user's own")

    model = mlp(adam(), run_eagerly=True)
    before = model.get_weights()
    with pytest.raises(ZeroDivisionError, match="the user's own") as caught:
        fit(model, [ParamScheduler({"lr": SchedLin(0.1, 0.2), "mom": broken})], 1)
    assert caught.value.__notes__ == ["... in the schedule of 'mom', in `ParamScheduler`"]
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert np.isfinite(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
