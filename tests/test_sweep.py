"""`sweep`: what it trains, and ranks by, is what separate fits by hand give; and it leaves nothing behind."""

import functools
import pickle
import random
import re
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, KERAS, data, fit, mlp
from runs import Bench, Dies, changes, face, plain_steps, same_bits

from keras_sched import (
    FlatCos,
    NoSuggestion,
    OneCycle,
    ParamScheduler,
    SchedCos,
    Sweep,
    fit_flat_cos,
    fit_one_cycle,
    lr_find,
    one_cycle,
    sweep,
)
from keras_sched.step.rng import keras_generator
from keras_sched.sweeps.plan import bracket, rates_around, rounds_of

QUIET = {"verbose": 0, "show_plot": False, "batch_size": BATCH}
RATES = [0.003, 0.01, 0.03, 0.1]


def adam():
    return keras.optimizers.Adam(0.01)


def with_dropout():
    model = mlp(adam())
    model = keras.Sequential([*model.layers[:1], keras.layers.Dropout(0.3, seed=1), *model.layers[1:]])
    model.compile(adam(), "mse", metrics=["mae"])
    model.build((None, 4))
    return model


@pytest.fixture(scope="module")
def model():
    return with_dropout()


@pytest.fixture(scope="module")
def start(model):
    fit(model, [], 1, validation_data=data(1))  # a model's first fit takes a batch to look at
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables(model)]


def variables(model):
    """The seeds of the layers among them."""
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]


def begin_again(model, start):
    for variable, value in zip(variables(model), start, strict=True):
        variable.assign(value)


def by_hand(model, start, epochs, fitting=fit_one_cycle, **arguments):
    """The History of a fit from the same weights, optimizer state and random numbers."""
    begin_again(model, start)
    keras.utils.set_random_seed(3)
    arguments = {"batch_size": BATCH, "verbose": 0} | arguments
    return fitting(model, *data(), epochs=epochs, **arguments).history


def swept(model, start, **arguments):
    begin_again(model, start)
    keras.utils.set_random_seed(3)
    return sweep(model, *data(), **QUIET | {"epochs": 10, "finalists": 2, "population": False} | arguments)


# What is trained, and what it is ranked by


def test_each_trial_is_a_fit_from_the_same_weights_and_random_numbers(model, start):
    found = swept(model, start, over={"lr_max": RATES}, validation_data=data(1))
    assert [(trial.round, trial.epochs) for trial in found.trials] == [(1, 1)] * 4 + [(2, 10)] * 2
    for trial in (found.trials[0], found.trials[3], found.trials[-1]):
        history = by_hand(model, start, trial.epochs, **trial.arguments, validation_data=data(1))
        np.testing.assert_allclose(trial.values, history["val_loss"], rtol=1e-6)


def test_the_better_half_goes_on_and_the_best_of_the_last_round_is_the_best(model, start):
    found = swept(model, start, over={"lr_max": RATES}, validation_data=data(1))
    first, last = found.trials[:4], found.trials[4:]
    better = sorted(first, key=lambda trial: trial.value)[:2]
    assert [trial.arguments for trial in last] == [trial.arguments for trial in better]
    winner = min(last, key=lambda trial: trial.value)
    assert found.best == dict(winner.arguments)
    assert found.lr == winner.arguments["lr_max"]
    assert found.value == winner.value
    assert found.cost == 4 * 1 + 2 * 10
    assert [trial.value for trial in found.ranked(1)] == sorted(trial.value for trial in first)
    for number in (0, 3):
        with pytest.raises(ValueError, match=f"`number={number}`; its rounds are 1 to 2"):
            found.ranked(number)
    assert (found.monitor, found.lower_is_better) == ("val_loss", True)


@pytest.mark.parametrize(
    ("left", "losses", "trained"),
    [
        ("abcde", {"b": 1, "d": 2}, "bda"),
        ("edcba", {"b": 2, "d": 1}, "bde"),
        ("dbca", {"b": 2, "d": 1}, "bdc"),  # the one beyond has diverged
        ("abcde", {"d": 2}, "bde"),  # and here one of the two at full length
        ("ebca", {}, "ebc"),
        ("dbc", {}, "dbc"),
        ("a", {}, "a"),
    ],
)
def test_which_of_the_default_rates_are_trained_to_the_end(left, losses, trained):
    turns = bracket(list("abcde"), list(left), lambda: sorted(losses, key=losses.__getitem__))
    assert "".join("".join(turn) for turn in turns) == trained


@pytest.mark.parametrize("executor", [False, True])
def test_by_default_five_rates_are_tried_and_three_of_them_to_the_end(model, start, executor):
    with ThreadPoolExecutor(1) as threads:
        arguments = {"executor": threads} if executor else {}
        found = swept(model, start, epochs=10, finalists=3, validation_data=data(1), **arguments)
    assert [(trial.round, trial.epochs) for trial in found.trials] == [(1, 1)] * 5 + [(2, 10)] * 3
    rates = [trial.arguments["lr_max"] for trial in found.trials]
    np.testing.assert_allclose(rates[:5], rates_around(rates[2]))
    below, above = found.trials[5:7]
    assert rates[5:7] == [rates[1], rates[3]]
    assert rates[7] == (rates[0] if below.value < above.value else rates[4])
    assert found.lr == min(found.trials[5:], key=lambda trial: trial.value).arguments["lr_max"]
    history = by_hand(model, start, 10, lr_max=rates[7], validation_data=data(1))
    np.testing.assert_allclose(found.trials[-1].values, history["val_loss"], rtol=1e-6)


def batch_losses(history, epochs):
    """Of each batch, from the running means of an epoch: its batches are alike."""
    means = np.reshape(history, (epochs, -1)) * np.arange(1, BATCHES + 1)
    return np.diff(means, axis=1, prepend=0).ravel()


@pytest.mark.parametrize(("epochs", "batches"), [(2, 1), (12, 5)])
def test_without_validation_the_loss_of_the_last_tenth_of_the_batches_counts(model, start, epochs, batches):
    found = swept(model, start, epochs=epochs, rounds=1, over={"lr_max": [0.03]})
    seen = []
    note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
    history = by_hand(model, start, epochs, lr_max=0.03, callbacks=[note])
    assert len(seen) == epochs * BATCHES
    (trial,) = found.trials
    np.testing.assert_allclose(trial.values[:-1], history["loss"][:-1], rtol=1e-5)
    assert trial.values[-1] == pytest.approx(batch_losses(seen, epochs)[-batches:].mean(), rel=1e-4)
    assert found.monitor == "loss"


def test_a_metric_that_is_to_rise_is_ranked_so(model, start):
    def rising(y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred))

    model = keras.models.clone_model(model)
    model.compile(adam(), "mse", metrics=[rising, keras.metrics.R2Score()])
    found = sweep(model, *data(), epochs=1, over={"lr_max": RATES}, monitor="r2_score", **QUIET)
    assert not found.lower_is_better
    assert found.lr == max(found.trials, key=lambda trial: trial.value).arguments["lr_max"]
    worst = sweep(model, *data(), epochs=1, over={"lr_max": RATES}, monitor=("rising", "max"), **QUIET)
    assert not worst.lower_is_better
    with pytest.raises(ValueError, match=r"whether it is to rise or to fall. Say which: `monitor=\('rising', 'max'\)`"):
        sweep(model, *data(), epochs=1, over={"lr_max": RATES}, monitor="rising", **QUIET)


def test_a_grid_of_any_arguments_of_any_recipe(model, start):
    over = {"lr": [0.01, 0.1], "pct_start": (0.3, 0.9)}
    found = swept(model, start, over=over, recipe=FlatCos, epochs=2, rounds=1, validation_data=data(1))
    assert [tuple(trial.arguments.values()) for trial in found.trials] == [
        (0.01, 0.3),
        (0.01, 0.9),
        (0.1, 0.3),
        (0.1, 0.9),
    ]
    history = by_hand(model, start, 2, fit_flat_cos, lr=0.1, pct_start=0.3, validation_data=data(1))
    np.testing.assert_allclose(found.trials[2].values, history["val_loss"], rtol=1e-6)
    assert found.lr == found.best["lr"]


def test_a_function_of_ones_own_as_the_recipe(model, start):
    def falling(high, low):
        return ParamScheduler({"lr": SchedCos(high, low)})

    found = swept(model, start, recipe=falling, over={"high": [0.1, 0.01], "low": [0.0]}, rounds=1, epochs=1)
    assert [trial.arguments["high"] for trial in found.trials] == [0.1, 0.01]
    assert found.lr is None


@pytest.mark.parametrize("groups", [{}, {"groups": 2}])
def test_a_recipe_that_returns_a_dictionary(model, start, groups):
    arguments = {"over": {"lr_max": [0.1, 0.01]}, "rounds": 1, "epochs": 1} | groups
    found = swept(model, start, recipe=one_cycle, **arguments)
    of_class = swept(model, start, recipe=OneCycle, **arguments)
    assert [trial.values for trial in found.trials] == [trial.values for trial in of_class.trials]


def test_rates_by_parameter_group(model, start):
    rates = {"lr_max": [(0.01, 0.1), slice(0.01)]}
    found = swept(model, start, over=rates, groups=2, epochs=2, rounds=1, validation_data=data(1))
    history = by_hand(model, start, 2, lr_max=(0.01, 0.1), groups=2, validation_data=data(1))
    np.testing.assert_allclose(found.trials[0].values, history["val_loss"], rtol=1e-6)


def test_the_default_is_five_rates_over_a_decade_around_the_one_that_lr_find_suggests(model, start):
    begin_again(model, start)
    keras.utils.set_random_seed(3)
    suggested = lr_find(model, *data(), **QUIET)
    found = swept(model, start, epochs=1)
    rates = [trial.arguments["lr_max"] for trial in found.trials]
    np.testing.assert_allclose(rates, suggested.lr * 10 ** np.linspace(-0.5, 0.5, 5))


def test_repeats_are_fits_over_other_batches_and_their_median_counts(model, start):
    found = swept(model, start, over={"lr_max": [0.1]}, epochs=2, repeats=3, validation_data=data(1), rounds=1)
    (trial,) = found.trials
    histories = []
    keras.utils.set_random_seed(3)
    for repeat in range(3):
        begin_again(model, start)
        if repeat:
            keras.utils.set_random_seed(random.randrange(2**31))  # noqa: S311 - as the sweep does
        arguments = {"batch_size": BATCH, "verbose": 0, "validation_data": data(1)}
        histories.append(fit_one_cycle(model, *data(), epochs=2, lr_max=0.1, **arguments).history["val_loss"])
    by_epoch = KERAS >= (3, 16)  # there the order of arrays goes by the epoch alone, and not by the seed
    assert len({history[-1] for history in histories}) == (1 if by_epoch else 3), "the batches differ"
    np.testing.assert_allclose(trial.values, np.median(histories, axis=0), rtol=1e-6)
    assert trial.epochs == 6


def test_data_that_a_function_makes_is_made_for_each_training(model, start):
    made = []

    def make():
        made.append(None)
        return data()

    found = swept(model, start, over={"lr_max": [0.01, 0.1]}, rounds=1, epochs=2)
    begin_again(model, start)
    keras.utils.set_random_seed(3)
    other = sweep(model, make, epochs=2, over={"lr_max": [0.01, 0.1]}, rounds=1, population=False, **QUIET)
    assert len(made) == 2
    assert [trial.values for trial in other.trials] == [trial.values for trial in found.trials]


# Candidates that are out


def test_a_candidate_that_diverges_is_out_and_listed(model, start):
    found = swept(model, start, over={"lr_max": [0.01, 1e5, 0.1]}, epochs=1, rounds=1)
    assert [trial.ended for trial in found.trials] == ["trained", "diverged", "trained"]
    assert np.isnan(found.trials[1].value)
    assert found.lr in {0.01, 0.1}


def test_a_candidate_that_learns_slowly_has_not_diverged():
    x = np.repeat(data()[0], 16, axis=0)
    over, arguments = {"lr_max": [1e-5, 0.1]}, {"epochs": 2, "rounds": 1, "population": False}
    found = sweep(mlp(keras.optimizers.Adam(0.01)), x, 0 * x[:, :1], over=over, **arguments, **QUIET)
    slow, fast = found.trials
    assert (slow.ended, fast.ended) == ("trained", "trained")
    assert min(slow.values) > 4 * max(fast.values), "which is how much a loss may rise"


def test_one_whose_loss_is_not_finite_is_out_at_once():
    model = mlp(keras.optimizers.SGD(0.01))
    found = sweep(model, *data(), epochs=3, over={"lr_max": [0.01, 1e30]}, rounds=1, population=False, **QUIET)
    lost = found.trials[1]
    assert (lost.ended, lost.epochs) == ("not finite", 1)
    assert found.cost == 3 + 1


def test_a_long_epoch_is_left_as_soon_as_its_loss_is_lost():
    x, y = (np.repeat(part, 32, axis=0) for part in data())
    model = mlp(keras.optimizers.SGD(0.01))
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    with pytest.raises(RuntimeError, match="no trial that was trained to its end"):
        sweep(model, x, y, epochs=1, over={"lr_max": [1e30]}, callbacks=[count], **QUIET)
    assert len(batches) < 80 < len(x) // BATCH


def test_where_all_are_out_it_is_an_error_that_has_the_table():
    model = mlp(keras.optimizers.SGD(0.01))
    with pytest.raises(RuntimeError, match=r"2 trials, 2 not finite.*lower rates") as caught:
        sweep(model, *data(), epochs=2, over={"lr_max": [1e25, 1e30]}, **QUIET)
    assert [trial.ended for trial in caught.value.sweep.trials] == ["not finite", "not finite"]


# Nothing is left behind, and nothing is compiled


def seed():
    keras.random.uniform(())  # makes the generator, which before Keras 3.15 goes on from where it was
    keras.utils.set_random_seed(5)
    generator = keras_generator()
    if generator is not None:
        generator.state.assign(np.array([5, 0]))


def numbers():
    return random.random(), np.random.rand(), float(keras.random.uniform(()))  # noqa: NPY002, S311 - the global state


@pytest.fixture(scope="module")
def benches():
    return Bench(adam()), Bench(adam())


@pytest.mark.parametrize("kind", [None, RuntimeError, KeyboardInterrupt])
def test_all_is_as_it_was_however_it_ends(kind, tmp_path, benches):
    model, control = (bench.again() for bench in benches)
    for each in (model, control):
        plain_steps(each)
    before, attributes = face(model.optimizer), dict(vars(model))
    seed()
    expected = numbers()
    seed()
    arguments = QUIET | {"epochs": 10, "over": {"lr_max": RATES}, "finalists": 1, "cache_dir": tmp_path}
    if kind is None:
        sweep(model, *data(), validation_split=0.25, **arguments)
    else:
        dies = Dies("on_epoch_end", kind("on purpose"), at=2)
        with pytest.raises(kind, match="on purpose") as caught:
            sweep(model, *data(), callbacks=[dies], **arguments)
        assert len(caught.value.sweep.trials) == 4, "those of the first round"
        assert caught.value.sweep.lr in RATES
    assert list(tmp_path.iterdir()) == []
    assert numbers() == expected
    assert changes(before, face(model.optimizer)) == set()
    left = {"_keras_sched_steps", "_jax_state", "_jax_state_synced", "history", "stop_training", "stop_evaluating"}
    assert changes(attributes, vars(model)) <= left | {"test_function", "_eval_epoch_iterator"}
    assert plain_steps(model) == plain_steps(control)
    assert same_bits(model, control)


class Counted(keras.layers.Layer):
    calls = 0

    def call(self, inputs, training=False):
        if training:
            Counted.calls += 1
        return inputs


def test_nothing_is_compiled_for_a_candidate(backend):
    if backend == "torch":
        pytest.skip("PyTorch's step is not compiled")
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6), Counted(), keras.layers.Dense(1)])
    model.compile(adam(), "mse")
    fit(model, [OneCycle(0.1)], 1)
    before = Counted.calls
    over = {"lr_max": RATES, "pct_start": [0.2, 0.5]}
    sweep(model, *data(), epochs=10, over=over, population=False, validation_data=data(1), **QUIET)
    assert Counted.calls == before


def test_a_model_that_is_not_built_is_built_and_then_as_it_was_first():
    model = keras.Sequential([keras.layers.Dense(6), keras.layers.Dense(1)])
    model.compile(adam(), "mse")
    found = sweep(model, *data(), epochs=1, over={"lr_max": RATES}, **QUIET)
    assert model.built
    assert int(model.optimizer.iterations) == 0
    assert len(found.trials) == 4


# What it refuses


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"epochs": 0}, ValueError, "`sweep` received `epochs=0`; it is how long the finalists are trained"),
        ({"finalists": 0}, ValueError, "`finalists=0`"),
        ({"rounds": 1.5}, ValueError, "`rounds=1.5`"),
        ({"repeats": 0}, ValueError, "`repeats=0`"),
        ({"over": {}}, ValueError, "no value to try"),
        ({"over": {"lr_max": []}}, ValueError, "no value to try"),
        ({"over": [0.1]}, TypeError, "{argument of the recipe: values to try}"),
        ({"over": {"lr_max": 0.1}}, TypeError, "must be a list"),
        ({"over": {"max_lr": [0.1]}}, TypeError, "argument of the recipe `OneCycle`.*Did you mean `lr_max`"),
        ({"over": {"lr_max": [0.1, -1.0]}}, ValueError, "lr_max"),
        ({"over": {"wd": [-0.1]}}, ValueError, "a weight decay is a number of at least 0"),
        (
            {"over": {"rate": [0.1]}, "recipe": lambda rate: ParamScheduler({"rho": SchedCos(rate, 0)})},
            ValueError,
            "rho",
        ),
        ({"monitor": "val_loss"}, ValueError, "there is no validation data"),
        ({"monitor": 3}, TypeError, "it must be a name in the logs"),
        ({"monitor": "accuracy"}, ValueError, "an epoch logs `loss`"),
        ({"population": "yes"}, ValueError, "`population='yes'`"),
        ({"executor": 3}, TypeError, "it must be a `concurrent.futures.Executor`"),
        ({"initial_epoch": 1}, ValueError, "begins with epoch 0"),
        ({"lr_max": 0.1}, TypeError, "`sweep` received `lr_max=0.1`"),
        ({"cache_dir": "nowhere"}, ValueError, "no such folder"),
        ({"x": None}, TypeError, "no data to train on"),
        ({"x": iter([])}, ValueError, "a function that makes the data"),
        ({"validation_data": iter([])}, ValueError, "this can be read once"),
        ({"recipe": lambda: None, "over": None}, TypeError, "Say what to try"),
        ({"recipe": one_cycle, "over": None}, TypeError, "Say what to try"),
        ({"recipe": lambda lr_max: None}, TypeError, "it returned None, which schedules nothing"),
        ({"recipe": OneCycle(0.1)}, TypeError, "Pass the class: `recipe=OneCycle`"),
        ({"recipe": {"lr": SchedCos(0.1, 0)}}, TypeError, "Pass for example `recipe=OneCycle`"),
    ],
    ids=str,
)
def test_a_wrong_use_is_an_error_that_says_what_to_type(wrong, error, says):
    class Untouched(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert wrong.get("monitor") == "accuracy", "it was refused before the first batch"

    model, (x, y) = mlp(adam()), data()
    arguments = {"epochs": 1, "over": {"lr_max": [0.1]}, "callbacks": [Untouched()], **QUIET} | wrong
    with pytest.raises(error, match=says):
        sweep(model, arguments.pop("x", x), y, **arguments)


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(RuntimeError, match="which is not compiled"):
        sweep(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]), *data(), epochs=1)


def test_an_error_says_which_candidate_it_was(model, start):
    dies = Dies("on_train_batch_end", RuntimeError("on purpose"))
    with pytest.raises(RuntimeError, match="on purpose") as caught:
        swept(model, start, over={"lr_max": [0.1]}, callbacks=[dies], epochs=2, rounds=1)
    assert caught.value.__notes__[0] == "... while `sweep` tried lr_max=0.1"
    assert caught.value.__notes__[1:] == ["... what `sweep` had trained until then is in the error's attribute `sweep`"]


# What it says, before and after


@pytest.mark.parametrize(
    ("arguments", "plan"),
    [
        ((5, 3, 3, 30), [(5, 1), (4, 3), (3, 30)]),
        ((5, 3, 3, 100), [(5, 1), (4, 10), (3, 100)]),
        ((5, 3, 3, 10), [(5, 1), (3, 10)]),
        ((5, 3, 3, 1), [(5, 1)]),
        ((5, 3, 1, 30), [(5, 30)]),
        ((3, 3, 3, 30), [(3, 30)]),
        ((2, 3, 3, 30), [(2, 30)]),
        ((27, 1, 4, 1000), [(27, 1), (9, 10), (3, 100), (1, 1000)]),
    ],
)
def test_the_rounds(arguments, plan):
    assert rounds_of(*arguments) == plan


def test_the_rates_around_one():
    np.testing.assert_allclose(rates_around(1.0), [10**-0.5, 10**-0.25, 1, 10**0.25, 10**0.5])


def test_what_it_will_cost_is_said_before_the_first_batch(capsys):
    said = []
    note = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: said.append(capsys.readouterr().out))
    arguments = QUIET | {"over": {"lr_max": RATES}, "finalists": 1, "verbose": 2}
    sweep(mlp(adam()), *data(), epochs=10, callbacks=[note], **arguments)
    assert said[0] == (
        "4 candidates in 2 rounds: 4 × 1, 1 × 10 epochs. That is 14 epochs, as many as 1.4 trainings have.\n"
    )
    assert capsys.readouterr().out.splitlines()[-1].startswith("Sweep(best={'lr_max': ")


def test_the_bar_ends_where_fewer_candidates_are_left_than_were_planned(capsys):
    arguments = QUIET | {"over": {"lr_max": [0.01, 1e30, 2e30]}, "finalists": 2, "verbose": 1, "population": False}
    found = sweep(mlp(adam()), *data(), epochs=10, **arguments)
    printed = capsys.readouterr().out
    assert "23 epochs, as many as 2.3 trainings" in printed
    assert "13/13" in printed
    assert printed.splitlines()[-1] == repr(found)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's, on PyTorch
def test_rates_around_a_suggestion_that_is_only_the_second_best_are_told():
    x, y = data()
    with pytest.warns(UserWarning, match="halfway") as told:
        found = sweep(mlp(adam()), x, 1e9 * y, epochs=1, **QUIET)
    suggested, around = (str(each.message) for each in told if "halfway" in str(each.message))
    assert re.search(r"^`halfway` suggests nothing: .* higher rate \(`end_lr`\)\. `lr` is what `valley`", suggested)
    rate = np.median([trial.arguments["lr_max"] for trial in found.trials if trial.round == 1])
    assert re.search(rf"^`sweep` received `over=None`; .* around {rate:.2g}, .*pass `over={{'lr_max': \[", around)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's, on PyTorch
def test_a_search_without_a_suggestion_is_an_error():
    x, y = data()
    with (
        pytest.warns(UserWarning, match="the loss of batch 0 was not finite"),
        pytest.raises(NoSuggestion, match=r"`sweep` has no rate to begin with.*`over={'lr_max': \["),
    ):
        sweep(mlp(adam()), x, np.nan * y, epochs=1, **QUIET)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([1e-5, 1e-4, 0.01], "The best rate is the highest that was tried: a higher one may be better.\n"),
        ([0.01, 1e30], "The best rate is the lowest that was tried: a lower one may be better.\n"),
        ([1e-5, 0.01, 1e30], ""),
        ([0.01], ""),
        ([slice(1e-4, 0.01), 0.01], ""),
    ],
)
def test_a_best_rate_at_the_edge_is_told(rates, said, capsys):
    found = sweep(mlp(adam()), *data(), epochs=2, **QUIET | {"over": {"lr_max": rates}, "verbose": 2})
    assert found.lr == 0.01 or not said
    assert capsys.readouterr().out.endswith(f"\n{said}{found!r}\n")


def test_without_a_rate_there_is_no_edge_to_tell(capsys):
    arguments = {"over": {"pct_start": [0.2, 0.3]}, "recipe": functools.partial(OneCycle, 0.01), "verbose": 2}
    sweep(mlp(adam()), *data(), epochs=2, **QUIET | arguments)
    assert "The best rate" not in capsys.readouterr().out


def test_a_sweep_pickles_prints_and_draws(model, start):
    found = swept(model, start, over={"lr_max": [0.01, 1e30, 0.1], "wd": [None]}, validation_data=data(1), finalists=1)
    other = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert isinstance(other, Sweep)
    assert other == found
    assert repr(found).startswith(f"Sweep(best={found.best}, val_loss=")
    frame = found.to_frame()
    assert frame.columns.tolist() == ["lr_max", "wd", "round", "epochs", "val_loss", "ended"]
    assert len(frame) == len(found.trials) == found._repr_html_().count("<tr>") - 1
    ax = found.plot()
    assert ax.get_xscale() == "log"
    lines = {line.get_label(): line.get_xdata().tolist() for line in ax.lines}
    assert lines == {"round 1, 1 epoch": [0.01, 0.1], "round 2, 10 epochs": [found.lr], "best": [found.lr]}


def test_the_picture_of_a_sweep_over_something_that_is_no_number(model, start):
    found = swept(model, start, over={"moms": [None, (0.9, 0.8, 0.9)]}, epochs=1, rounds=1)
    ax = found.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == sorted(["None", "(0.9, 0.8, 0.9)"])
    assert ax.get_xlabel() == "moms"


def test_data_made_by_a_function_may_be_shorter_than_the_search(model, start):
    x, y = data()
    begin_again(model, start)

    def batches():
        for first in range(0, len(x), BATCH):
            yield x[first : first + BATCH], y[first : first + BATCH]

    made = sweep(model, batches, epochs=1, steps_per_epoch=BATCHES, shuffle=False, verbose=0, show_plot=False, rounds=1)
    assert len(made.trials) == 5
    assert lr_find(model, x, y, verbose=0, show_plot=False, batch_size=BATCH, shuffle=False).lr == pytest.approx(
        made.trials[2].arguments["lr_max"], rel=1e-6
    )


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.filterwarnings("ignore:.*had an epoch of 0 batches:UserWarning")
def test_an_epoch_without_a_batch_is_an_error(model, start):
    x, y = data()
    begin_again(model, start)
    arguments = {"over": {"lr_max": RATES}, "rounds": 1, "steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    with pytest.raises(ValueError, match=r"`data that ended before epoch 1`.*`dataset.repeat\(\)`"):
        sweep(model, lambda: ((x[:BATCH], y[:BATCH]) for _ in range(2)), epochs=2, show_plot=False, **arguments)


def test_what_is_not_to_be_swept(model):
    with pytest.raises(TypeError, match=r"`recipe=fit_one_cycle`.*and this trains. Pass the callback, as `recipe=One"):
        sweep(model, *data(), epochs=1, recipe=fit_one_cycle)
    with pytest.raises(TypeError, match="Pass `batch_size` to `fit`"):
        sweep(model, *data(), epochs=1, over={"batch_size": [8, 16]})
    with pytest.raises(TypeError, match="Did you mean `monitor`"):
        sweep(model, *data(), epochs=1, objective="val_loss")


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a step of one's own is written otherwise there")
def test_a_step_that_does_not_track_its_loss_is_an_error():
    class Untracked(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

        def train_step(self, data):
            inputs, targets, _ = keras.utils.unpack_x_y_sample_weight(data)
            self.zero_grad()
            loss = keras.ops.mean((targets - self(inputs)) ** 2)
            loss.backward()
            self.optimizer.apply([v.value.grad for v in self.trainable_variables], self.trainable_variables)
            return {"loss": loss.detach()}

    model = Untracked()
    model.compile("adam")
    x = np.ones((32, 3), "float32")
    model(x)
    before = model.get_weights()
    with pytest.raises(RuntimeError, match=r"does not track its loss; Keras logs 0 in its place. Track it"):
        sweep(model, x, x[:, :1], epochs=2, over={"lr_max": [1e-6, 1e-1]}, show_plot=False, verbose=0)
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), before, strict=True))


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (lambda lr: ParamScheduler({"lr": SchedCos(lr, 0)}), "lr"),
        (lambda rate: ParamScheduler({"lr": SchedCos(rate, 0)}), "rate"),
        (lambda lr_max: ParamScheduler({"lr": SchedCos(lr_max, 0)}), "lr_max"),
        (FlatCos, "lr"),
        (lambda moment: ParamScheduler({"mom": SchedCos(moment, 0)}), None),
    ],
)
def test_the_rate_by_whatever_name(model, start, recipe, name):
    found = swept(model, start, recipe=recipe, over={name or "moment": [0.1, 0.01]}, epochs=1)
    assert found.lr == (found.best[name] if name else None)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # where Keras first learns the length
def test_data_of_unknown_length_with_a_recipe_that_knows_it(model, start):
    x, y = data()

    def batches():
        yield from ((x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH))

    def tried(**arguments):
        begin_again(model, start)
        keras.utils.set_random_seed(3)
        return sweep(model, batches, epochs=1, shuffle=False, verbose=0, show_plot=False, **arguments)

    with pytest.raises(RuntimeError, match=r"or `recipe=partial\(OneCycle, steps_per_epoch=...\)`"):
        tried(over={"lr_max": RATES})
    found = tried(recipe=functools.partial(OneCycle, steps_per_epoch=BATCHES))
    assert len(found.trials) == 5
    assert found.lr == found.best["lr_max"]
    expected = by_hand(model, start, 1, shuffle=False, lr_max=found.lr)
    assert found.value == pytest.approx(expected["loss"][-1], rel=1e-5)  # the mean of the epoch
