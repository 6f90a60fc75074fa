"""Arguments by other libraries' names: what answers them, and what a signature still shows."""

import inspect
import re
import sys

import keras
import numpy as np
import pytest

import keras_sched as ks
from keras_sched.arguments.names import _NOTES, _OTHERS
from keras_sched.callbacks.base import Callback
from keras_sched.fit import History
from keras_sched.sweeps import Trial

PUBLIC = [getattr(ks, name) for name in ks.__all__ if name != "NoSuggestion"]
KNOWN = {each for made in PUBLIC for each in inspect.signature(made).parameters}
NO_LENGTH = "It has no length: the fit that it is for has one. "
MODEL = keras.Sequential(name="of_arguments")
DATA = np.ones((4, 2), "float32"), np.ones(4, "float32")
CALLBACKS = [made for made in PUBLIC if isinstance(made, type) and issubclass(made, Callback)]


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"lr_max": [0.1]}, "For an argument of the recipe pass `over={'lr_max': [...]}`."),
        ({"mode": "max"}, "Did you mean `monitor`? Pass `monitor=(name, 'max')`, or 'min'."),
    ],
)
def test_what_a_sweep_is_told_in_another_place(model, typed, says):
    with pytest.raises(TypeError, match=re.escape(says)):
        ks.sweep(model, np.ones((4, 2)), np.ones(4), epochs=1, **typed)


def test_every_name_that_is_answered_with_is_one_of_ours():
    assert {ours for names in _OTHERS.values() for ours in names} <= KNOWN | {"batch_size"}


def test_a_checked_function_still_shows_its_signature_and_its_name():
    assert list(inspect.signature(ks.warmup_linear).parameters) == ["lr_max", "warmup", "lr_final"]
    assert ks.warmup_linear.__name__ == "warmup_linear"
    assert "fit_arguments" in inspect.signature(ks.fine_tune).parameters


@pytest.mark.parametrize("made", CALLBACKS)
def test_every_callback_names_its_own_arguments(made):
    said = f"^`{made.__name__}` received `zzz=1`; it has no argument of that name"
    with pytest.raises(TypeError, match=said) as told:
        made(zzz=1)
    own = str(told.value).partition("Its own are ")[2].strip(".").split(", ")
    assert own == [f"`{name}`" for name in inspect.signature(made).parameters]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ks.sgdr(0.1), "`sgdr` received no `n_cycles`. Call `sgdr(lr_max, n_cycles=...)`"),
        (lambda: ks.SGDR(0.1), "`SGDR` received no `cycle_len`. Call `SGDR(n_cycles, cycle_len, lr_max, cycle_mult)`"),
        (lambda: ks.SGDR(0.1, n_cycles=2), "`SGDR` received `n_cycles` twice, once without its name. Call `SGDR("),
        (
            lambda: ks.OneCycle(None, 0.1),
            "`OneCycle` received 2 arguments without their names. Call `OneCycle(lr_max)`",
        ),
        (lambda: ks.WarmupLinear(0.1, 10), "`WarmupLinear` received 2 arguments without their names"),
        (lambda: ks.fine_tune(None, 3), "received no `epochs`. Call `fine_tune(model, x, y, epochs=...)`; the others"),
        (lambda: ks.fit_one_cycle(None, [1], [1], 5, 0.1), "`fit_one_cycle` received 5 arguments without their names"),
        (lambda: ks.ParamScheduler(groups=2), "`ParamScheduler` received no `scheds`. Call `ParamScheduler(scheds)`"),
    ],
)
def test_too_many_arguments_or_too_few(call, says):
    with pytest.raises(TypeError, match=re.escape(says)):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: ks.plot_sched(ks.OneCycle(0.1)),
            "`scheds=OneCycle(0.1)`; it must be a dictionary .* is a callback already",
        ),
        (lambda: ks.ParamScheduler({"lr": ks.sgdr(0.1, n_cycles=2)}), "It is a recipe, .* pass it alone"),
        (lambda: ks.ParamScheduler({"lr": ks.one_cycle}), "makes a recipe. Pass `ParamScheduler"),
        (lambda: ks.ParamScheduler({"loss_weights": {"r": ks.SchedLin(0, 1)}}), "Name each: `{'loss_weights.r'"),
    ],
)
def test_a_recipe_in_the_wrong_place(call, says):
    with pytest.raises(TypeError, match=says.replace("(", r"\(").replace(")", r"\)")):
        call()


def test_a_function_of_steps_is_told_from_one_of_the_position():
    with pytest.warns(UserWarning, match=r"`lr=<a function of epoch>`; a function gets one argument, the position"):
        ks.ParamScheduler({"lr": lambda epoch: 0.95**epoch})
    with pytest.raises(TypeError, match=r"`lr=<a function of epoch, lr>`; .* Keep it in a `LearningRateScheduler`"):
        ks.ParamScheduler({"lr": lambda epoch, lr: lr})
    with pytest.raises(TypeError, match=r"`lr=<a function of start, end>`; .* Pass for example `lambda pos"):
        ks.ParamScheduler({"lr": lambda start, end: start})
    ks.ParamScheduler({"lr": lambda pos, top=0.1: top * (1 - pos)})


def test_a_callback_of_a_users_own_takes_what_it_likes():
    class Mine(ks.OneCycle):
        def __init__(self, *, note, **arguments):
            super().__init__(**arguments)
            self.note = note

    assert Mine(lr_max=0.1, note="x").note == "x"


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: ks.lr_find(None, [1], min_lr=1e-7), "start_lr"),
        (lambda: ks.lr_find(None, [1], max_lr=1), "end_lr"),
        (lambda: ks.lr_find(None, [1], num_training=50), "num_it"),
        (lambda: ks.lr_find(None, [1], suggestion=ks.valley), "suggest_funcs"),
        (lambda: ks.LRFinder(num_iter=50), "num_it"),
        (lambda: ks.LRFinder(lr_max=1), "end_lr"),
        (lambda: ks.scheduled(None, {}, total_steps=9), "steps"),
        (lambda: ks.scheduled(None, schedules={}, steps=9), "scheds"),
        (lambda: ks.freeze(None, param_groups=2), "groups"),
        (lambda: ks.freeze_to(None, n_layers=2), "n"),
        (lambda: ks.unfreeze(None, freeze_bn=True), "train_bn"),
        (lambda: ks.is_frozen(None, group=2), "groups"),
        (lambda: ks.layer_groups(None, n_groups=2), "n"),
        (lambda: ks.plot_sched({}, num_epochs=2), "epochs"),
        (lambda: ks.find_optimal_lr(None, noises=2), "noise"),
        (lambda: ks.WarmupCosine(warmup_target=0.1), "lr_max"),
        (lambda: ks.SGDR(3, 1, cycle_limit=3), "n_cycles"),
        (lambda: ks.one_cycle(0.1, pct=0.3), "pct_start"),
        (lambda: ks.lr_find(None, [1], mode="exponential"), "model"),
        (lambda: ks.AnnealedSchedule(ks.SchedCos(0.1, 0), total_steps=9), "steps"),
        (lambda: ks.SchedCos(start=1, stop=0), "end"),
        (lambda: ks.SchedPoly(1, 0, powers=2), "power"),
    ],
)
def test_a_name_typed_by_habit_is_answered_with_ours(call, meant):
    with pytest.raises(TypeError, match=f"it has no argument of that name. Did you mean `{meant}`\\? Its own are"):
        call()


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: ks.Triangular(lr_max=0.1, step_size_up=9), f"Did you mean `n_cycles`? {_NOTES['step_size']}"),
        (lambda: ks.Triangular(lr_max=0.1, step_size=9), f"Did you mean `n_cycles`? {_NOTES['step_size']}"),
        (lambda: ks.Triangular(0.1, initial_learning_rate=0.1), "Did you mean `lr_min`? "),
        (lambda: ks.Triangular(0.1, maximal_learning_rate=0.1), "Did you mean `lr_max`? "),
        (lambda: ks.Triangular(0.1, scale_fn=abs), "Did you mean `mode`? "),
        (lambda: ks.Triangular(lr_max=0.1, num_cycles=9), "Did you mean `n_cycles`? "),
        (lambda: ks.WarmupCosine(lr_max=0.1, alpha=0.1), f"Did you mean `lr_final`? {_NOTES['alpha']}"),
        (lambda: ks.lr_find(None, [1], epochs=2), "Did you mean `num_it`? In batches. "),
        (
            lambda: ks.OneCycle(max_lr=0.1, max_momentum=0.95),
            "Did you mean `lr_max` for `max_lr`? Did you mean `moms` for `max_momentum`? ",
        ),
        (lambda: ks.OneCycle(0.1, last_epoch=-1), "Pass `initial_epoch` to `fit`. "),
        (lambda: ks.OneCycle(0.1, epochs=3), "Pass `epochs` to `fit`. "),
        (lambda: ks.scheduled(None, {}, epochs=3), "Did you mean `steps`? In batches. "),
        (
            lambda: ks.OneCycle(0.1, final_div_factor=1e4),
            f"Did you mean `div_final`? {_NOTES['final_div_factor']}",
        ),
        (lambda: ks.ParamScheduler({}, lr=0.1), "To schedule it put it in the dictionary `scheds`: `{'lr': ...}`. "),
        (lambda: ks.ParamScheduler({}, total_step=9), "Did you mean `total_steps`? "),
        (lambda: ks.SGDR(3, first_decay_steps=3), "Did you mean `cycle_len`? In epochs. "),
        (lambda: ks.SGDR(3, 1, eta_min=0.1), "Cycles that end above 0: `combine_scheds` of `SchedCos(lr, end)`. "),
        (lambda: ks.OneCycle(num_cycles=3), "Several cycles are `SGDR`, or `Triangular`. "),
        (lambda: ks.OneCycle(0.1, batch_size=8), "Pass `batch_size` to `fit`. "),
        (lambda: ks.OneCycle(warmup=0.1), "Did you mean `pct_start`? "),
        (lambda: ks.OneCycle(cycle_momentum=False), f"Did you mean `moms`? {_NOTES['cycle_momentum']}"),
        (lambda: ks.WarmupLinear(0.1, min_lr_ratio=0.1), f"Did you mean `lr_final`? {_NOTES['min_lr_ratio']}"),
        (lambda: ks.WarmupStableDecay(0.1, decay_type="cosine"), "Did you mean `shape`? "),
        (lambda: ks.SchedCos(0.1, eta_min=0.0), "Did you mean `end`? "),
        (lambda: ks.combine_scheds([1], [ks.SchedCos(1, 0)], weights=3), ""),
        (lambda: ks.combine_scheds(milestones=[3]), f"Did you mean `pcts`? {_NOTES['milestones']}"),
        (lambda: ks.SchedCos(start=1.0, strat=0.0), ""),
        (lambda: ks.SchedCos(0.1, T_max=9), NO_LENGTH),
        (lambda: ks.one_cycle(0.1, total_steps=9), NO_LENGTH),
        (lambda: ks.warmup_cosine(0.1, T_max=9), NO_LENGTH),
        (lambda: ks.plot_sched({}, total_steps=2), "Its length is `epochs`. "),
        (lambda: ks.fit_one_cycle(MODEL, [1], epochs=3, num_training_steps=9), "Its length is `epochs`. "),
        (lambda: ks.fine_tune(MODEL, [1], epochs=3, total_iters=9), "Its length is `epochs`. "),
        (
            lambda: ks.fit_sgdr(MODEL, [1], n_cycles=3, cycle_len=1, T_max=9),
            "Its length is `n_cycles` of `cycle_len` epochs. ",
        ),
        (lambda: ks.sgdr(0.1, n_cycles=3, cycle_len=2), "Cycles of some epochs are `SGDR(n_cycles, cycle_len)`. "),
        (lambda: ks.sgdr(0.1, n_cycles=3, T_0=2), "Cycles of some epochs are `SGDR(n_cycles, cycle_len)`. "),
        (lambda: ks.lr_find(None, [1], diverge_th=5), f"Did you mean `stop_div`? {_NOTES['diverge_th']}"),
        (lambda: ks.lr_find(None, [1], init_lr=1e-5), "Did you mean `start_lr`? "),
        (lambda: ks.lr_find(None, [1], base_lr=1e-5), "Did you mean `start_lr`? "),
        (lambda: ks.lr_find(None, [1], step_size=3), "A rate that falls in steps is `combine_scheds` of `SchedNo`s. "),
        (lambda: ks.fit_one_cycle(MODEL, [1], epochs=3, step_size=3), "A rate that falls in steps is "),
        (lambda: ks.Triangular(0.1, n_cycles=2, warmup_steps=3), "`combine_scheds` puts a warm-up before another "),
        (lambda: ks.freeze(None, until=2), "`freeze_to(model, n)` counts groups. "),
        (lambda: ks.SchedCos(0.1, 0, until=2), ""),
        (
            lambda: ks.lr_find(None, [1], callbacks=[]),
            "Beside other callbacks: `model.fit(..., callbacks=[LRFinder(), ",
        ),
        (lambda: ks.OneCycle(0.1, callbacks=[]), ""),
        (lambda: ks.WarmupLinear(0.1, power=2), "`SchedPoly(start, end, power)` has one. "),
        (lambda: ks.WarmupLinear(0.1, start_factor=0.1), "For a warm-up that does not begin at 0 take "),
        (lambda: ks.OneCycle(0.1, verbose=1), "Pass `verbose` to `fit`. "),
        (lambda: ks.fit_one_cycle(MODEL, [1], cyc_len=1), "Did you mean `epochs`? "),
        (lambda: ks.fit_one_cycle(MODEL, [1], epochs=1, max_mom=0.9), "Did you mean `moms`? "),
        (lambda: ks.lr_find(None, [1], validation_split=0.1), "Did you mean `validation_data`? "),
        (lambda: ks.sweep(MODEL, [1], epochs=3, param_grid={}), "Did you mean `over`? "),
        (lambda: ks.sweep(MODEL, [1], epochs=3, rates=[0.1]), "For an argument of the recipe pass `over={'lr_max': "),
        (lambda: ks.sweep(MODEL, [1], epochs=3, max_lr=0.1), "For an argument of the recipe pass `over={'lr_max': "),
        (lambda: ks.sweep(MODEL, [1], epochs=3, n_jobs=2), f"Did you mean `executor`? {_NOTES['n_jobs']}"),
        (lambda: ks.sweep(MODEL, [1], epochs=3, seed=2), "`keras.utils.set_random_seed` sets it. "),
        (lambda: ks.SchedCos(lr=0.1, end=0), "Did you mean `start`? "),
        (
            lambda: ks.SchedLin(init_value=0, end_value=1, transition_steps=10),
            f"Did you mean `start` for `init_value`? Did you mean `end` for `end_value`? {NO_LENGTH}",
        ),
        (
            lambda: ks.SchedCos(initial_learning_rate=0.1, decay_steps=10, alpha=0.1),
            f"Did you mean `start` for `initial_learning_rate`? {NO_LENGTH}Did you mean `end` for `alpha`? ",
        ),
    ],
)
def test_other_habits(call, meant):
    with pytest.raises(TypeError, match="argument of that name") as told:
        call()
    hints = str(told.value).partition("argument of that name. ")[2].partition("Its own are")[0]
    assert hints.startswith(meant)
    assert bool(hints) == bool(meant)


@pytest.mark.parametrize(
    ("callbacks", "says"),
    [
        ([ks.one_cycle(0.1)], "a recipe is not a callback. Pass `ParamScheduler(...)`."),
        (ks.one_cycle(0.1), "a recipe is not a callback"),
        ([ks.SchedCos(0.1, 0)], "is not a callback. Pass `ParamScheduler(...)` of it"),
        ([ks.OneCycle], "`callbacks=[OneCycle]`; it is a class, and not a callback. Make one: `OneCycle()`."),
    ],
)
@pytest.mark.parametrize("train", [ks.fit_one_cycle, ks.fine_tune, ks.sweep])
def test_what_is_taken_for_a_callback(model, train, callbacks, says):
    with pytest.raises(TypeError, match=re.escape(says)):
        train(model, np.ones((4, 2)), np.ones(4), epochs=1, callbacks=callbacks)


@pytest.mark.parametrize("made", [np.asarray, keras.ops.convert_to_tensor])
def test_an_array_of_one_number_is_a_rate(made):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones((4, 2)), np.ones(4)
    history = ks.fit_one_cycle(model, *data, epochs=2, batch_size=1, lr_max=made(0.5), verbose=0)
    assert history.hps["lr"].max() == 0.5
    assert ks.OneCycle([made(0.25), made(0.5)], groups=2).lr_max is not None


@pytest.mark.parametrize(
    ("call", "typed"),
    [
        (lambda: ks.SchedCos(1), "SchedCos(start, end)"),
        (lambda: ks.AnnealedSchedule(ks.SchedCos(1, 0)), "AnnealedSchedule(annealer, steps)"),
    ],
)
def test_a_value_that_is_missing(call, typed):
    with pytest.raises(TypeError, match=re.escape(f"Call `{typed}`.")):
        call()


def test_the_signature_of_an_annealer_stays_what_it_was():
    assert str(inspect.signature(ks.SchedPoly)) == "(start: 'Ends', end: 'Ends', power: 'float') -> None"
    assert [*inspect.signature(ks.AnnealedSchedule).parameters] == ["annealer", "steps"]


@pytest.mark.parametrize("recipe", [ks.one_cycle, ks.flat_cos, ks.warmup_cosine])
def test_a_recipe_at_the_rate_that_no_rule_found(recipe):
    with pytest.raises(
        TypeError, match=r"`lr_find` may have found none. Pass .*, or a callback: it takes the compiled"
    ):
        recipe(None)


def test_a_suggestion_by_its_name():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="Pass the function itself: `from keras_sched import valley`"):
        ks.lr_find(model, [1], suggest_funcs="valley")


@pytest.mark.parametrize("callbacks", [[ks.SchedCos(0.1, 0)], [ks.one_cycle(0.1)], ks.one_cycle(0.1)])
def test_what_is_no_callback_says_so_to_keras_too(callbacks):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(AttributeError, match=r"it is not a callback. Pass `callbacks=\[ParamScheduler"):
        model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0, callbacks=callbacks)


@pytest.mark.parametrize(
    ("make", "warns"),
    [
        (lambda: ks.WarmupCosine(1e-3, lr_final=0.1), "`WarmupCosine` received `lr_final=0.1, .*rises at the end"),
        (lambda: ks.warmup_linear((0.1, 1e-3), lr_final=0.01), "`warmup_linear` .*rises at the end"),
        (lambda: ks.OneCycle(0.1, div=0.1), "`OneCycle` received `div=0.1`; .* below 1 it makes that rate the highest"),
        (lambda: ks.one_cycle(0.1, div_final=1e-5), "`one_cycle` received `div_final=1e-05`; .* that rate the highest"),
        (lambda: ks.flat_cos(0.1, div_final=0.5), "`flat_cos` received `div_final=0.5`; .* that rate the highest"),
        (
            lambda: ks.OneCycle(slice(0.1, 1e-3)),
            r"`lr_max=slice\(0.1, .*its first group.* Pass `slice\(0.001, 0.1\)`",
        ),
    ],
)
def test_a_rate_above_the_highest_is_said(make, warns):
    with pytest.warns(UserWarning, match=warns):
        make()


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("loss.from_logits", r"the compiled loss has label_smoothing.*for example `keras.losses.Huber"),
        ("head_loss", r"Did you mean `loss_weights.head`"),
        ("drop/rate", r"Did you mean `drop.rate`"),
        ("dro*", r"Did you mean `drop.rate`"),
        ("drop.rate", r"`rate` of `drop` is 0, and a Dropout made with 0 has no random numbers"),
    ],
)
def test_a_key_that_cannot_be_is_answered_with_what_can(key, told):
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, name="head")(keras.layers.Dropout(0, name="drop")(inputs))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    with pytest.raises(ValueError, match=told):
        model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0, callbacks=[ks.ParamScheduler({key: ks.SchedLin(0, 1)})])


def test_a_number_for_an_annealer_is_answered_with_a_constant():
    with pytest.raises(TypeError, match=r"`lr=0.01`; it must be an annealer.*`SchedNo\(0.01, 0.01\)`"):
        ks.ParamScheduler({"lr": 0.01})


@pytest.mark.parametrize("ends", [(0.01, 0), [0.01, 0]])
def test_two_numbers_for_an_annealer_are_its_ends(ends):
    with pytest.raises(TypeError, match=r"which 0.01 is not. Pass for example `SchedCos\(0.01, 0\)`"):
        ks.ParamScheduler({"lr": ends})


@pytest.mark.parametrize("to", [lambda values: 0, lambda: 0])
def test_what_logs_is_called_with_two_arguments(to):
    with pytest.raises(TypeError, match=r"called with a step and a dictionary.*`lambda step, values: ...`"):
        ks.LogHyperParameters(to)


def of_position(pos, start, end):
    return start + (end - start) * pos


TRIED = ks.Sweep([Trial({"lr_max": 0.1}, 1, 1, (0.5,))])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: ks.annealer(of_position), r"`of_position\(pos, start, end\)`.*`def of_position\(start, end, pos\):`"),
        (lambda: ks.combine_scheds([ks.SchedLin(0, 1)], [1.0]), r"Pass the shares first, for example `\[0.3, 0.7\]"),
        (lambda: ks.ParamScheduler({}, initial_epoch=1), "that name. Pass `initial_epoch` to `fit`. Its"),
        (lambda: ks.WarmupCosine(1e-2, warmup=10.0), "For 10 batches pass `warmup=10`"),
        (lambda: ks.WarmupCosine(1e-2, warmup_lr_init=1e-6), "begin at 0 take `combine_scheds` with `SchedLin"),
        (lambda: ks.WarmupCosine(1e-2, warmup_epochs=5), "Did you mean `warmup`. In batches: `epochs"),
        (lambda: ks.WarmupStableDecay(1e-2, num_stable_steps=5), "constant in what `warmup` and `decay` leave"),
        (lambda: ks.OneCycle(1e-2, anneal_strategy="linear"), "`combine_scheds` with `SchedLin`"),
        (lambda: ks.OneCycle(TRIED), "this is what `sweep` returns. Pass a rate of it, for example `lr_max=found.lr`"),
        (lambda: ks.OneCycle({"lr_max": 0.1}), r"a dictionary of arguments. Unpack it: `\*\*`"),
        (lambda: ks.OneCycle({"stem": 0.1, "head": 1.0}), r"a dictionary. Pass a list of rates, .* as `groups=`"),
        (lambda: ks.ParamScheduler(ks.OneCycle(0.1)), r"It is a callback already, for `callbacks=\[...\]`"),
        (
            lambda: ks.plot_sched(ks.FlatCos(0.1)),
            r"alone is a dictionary, `flat_cos`. After a fit .* `.plot_sched\(\)`",
        ),
        (lambda: ks.plot_sched(History()), r"an annealer. It draws itself what the fit used: `.plot_sched\(\)`"),
        (
            lambda: ks.plot_sched(ks.ParamScheduler({"lr": ks.SchedNo(1, 1)})),
            "its schedule alone is a dictionary, `scheds`",
        ),
    ],
)
def test_other_slips_of_a_hurried_hand(wrong, told):
    with pytest.raises((TypeError, ValueError), match=told):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            lambda model: ks.fit_one_cycle(model, *DATA, epochs=1, reset_opt="no"),
            "`reset_opt='no'`; .* `reset_opt=True`",
        ),
        (lambda model: ks.fine_tune(model, *DATA, epochs=1, base_lr=1, reset_opt=5), "`reset_opt=5`"),
        (lambda model: ks.freeze(model, train_bn="gamma"), "`train_bn='gamma'`; .* Pass `train_bn=False`, or leave"),
        (lambda model: ks.lr_find(model, *DATA, stop_div=4), "`lr_find` received `stop_div=4`; it is whether"),
        (lambda model: ks.one_cycle(0.1, three_phase="cos"), "`one_cycle` received `three_phase='cos'`"),
        (lambda model: ks.OneCycle(0.1, momentum_correction=None), "`OneCycle` received `momentum_correction=None`"),
    ],
)
def test_what_is_neither_true_nor_false_is_refused(model, wrong, says):
    weights = model.get_weights()
    with pytest.raises(TypeError, match=says):
        wrong(model)
    assert all(map(np.array_equal, weights, model.get_weights()))
    assert model.trainable_variables


@pytest.mark.parametrize(
    "wrong",
    [
        lambda model, optimizer: ks.OneCycle(optimizer, 1e-2),
        lambda model, optimizer: ks.OneCycle(optimizer, lr_max=1e-2),
        lambda model, optimizer: ks.ParamScheduler(optimizer, {"lr": ks.SchedCos(1, 0)}),
        lambda model, optimizer: ks.LRFinder(model, optimizer, "mse"),
        lambda model, optimizer: ks.lr_find(model, optimizer, *DATA),
        lambda model, optimizer: ks.fit_one_cycle(model, optimizer, *DATA, epochs=1),
    ],
)
def test_an_optimizer_where_the_compiled_one_is_meant_is_to_be_left_out(model, wrong):
    with pytest.raises(
        TypeError, match=r"received an optimizer. It takes the one that the model is compiled with: leave"
    ):
        wrong(model, model.optimizer)


@pytest.mark.parametrize("true", [True, np.True_, 1])
def test_what_is_true_is_taken_for_it(true):
    assert ks.one_cycle(0.1, three_phase=true) == ks.one_cycle(0.1, three_phase=True)


def trained_with(*callbacks, **arguments):
    layers = [keras.layers.Dense(2, name="body"), keras.layers.Dense(1, name="head")]
    model = keras.Sequential([keras.Input((1,)), *layers])
    model.compile(keras.optimizers.AdamW(0.01), "mse")
    model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=2, verbose=0, callbacks=list(callbacks), **arguments)
    return model


def test_a_class_in_the_place_of_a_callback_says_how_to_make_one():
    with pytest.raises(TypeError, match=r"it is not a callback yet. Make one: `OneCycle\(\)`"):
        trained_with(ks.OneCycle)


@pytest.mark.parametrize("key", ["wd", "eps", "clipnorm"])
def test_what_cannot_be_below_0_is_refused(key):
    with pytest.raises(ValueError, match="is at least 0, and its schedule is below at batch 3"):
        trained_with(ks.ParamScheduler({key: lambda pos: 0.1 - (pos > 0.5)}))


def test_a_pattern_as_in_a_shell_is_answered_with_a_regular_expression():
    with pytest.raises(ValueError, match=r"is no regular expression, as is searched for .* Pass for example `'head'`"):
        trained_with(ks.OneCycle([0.1, 0.2], groups=[["body"], ["*head*"]]))


def test_suggest_takes_a_list_too():
    rng = np.random.default_rng(0)
    model = trained_with()
    found = ks.lr_find(model, rng.normal(size=(64, 1)), np.ones((64, 1)), batch_size=8, show_plot=False, verbose=0)
    assert found.suggest([ks.minimum])._fields == found.suggest(ks.minimum)._fields == ("minimum",)
    with pytest.raises(TypeError, match=r"`suggest` received `'minimum'`; .*Pass the function itself"):
        found.suggest("minimum")


def test_what_is_no_model_is_not_asked_for_its_fit():
    with pytest.raises(TypeError, match="must be a Keras model"):
        ks.fit_one_cycle(keras.layers.Dense(1), [1], [1], epochs=1, batch_size=1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.11 cannot look beyond the lines of a library")
@pytest.mark.parametrize(
    "call",
    [
        lambda model: ks.one_cycle(0.1, div=0.5),
        lambda model: ks.scheduled(model.optimizer, {"lr": ks.SchedCos(0.1, 0)}, steps=1),
        lambda model: model.fit(np.ones((64, 1)), np.ones(64), verbose=0, callbacks=[ks.OneCycle(0.1, total_steps=1)]),
    ],
)
def test_a_warning_names_the_line_that_made_it(call):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="`(one_cycle|scheduled|OneCycle)` received") as said:
        call(model)
    assert [each.filename for each in said] == [__file__]
