"""`ParamScheduler` and the recipes' callbacks: values, what was used, lengths, names, and how they go together."""

from typing import Any

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, data, eager, fit, largest_difference, mlp
from runs import Bench, Dies

from keras_sched import (
    SGDR,
    FlatCos,
    InverseSqrt,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedExp,
    SchedLin,
    SchedNo,
    Triangular,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
    combine_scheds,
    fit_one_cycle,
    flat_cos,
    inverse_sqrt,
    one_cycle,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_linear,
    warmup_stable_decay,
)

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5
FALLING = {"lr": SchedLin(0.1, 0.02)}


def adam():
    return keras.optimizers.Adam(0.01)


def positions(n=N, of=None):
    return np.arange(n) / (of or n)


@pytest.fixture(scope="module")
def bench():
    return Bench(adam())


@pytest.fixture
def model(bench):
    return bench.again()


# Values


RECIPES = {
    "OneCycle": (lambda: OneCycle(0.1), one_cycle(0.1)),
    "FlatCos": (lambda: FlatCos(0.1), flat_cos(0.1)),
    "SGDR": (lambda: SGDR(2, 1, lr_max=0.1), sgdr(0.1, n_cycles=2)),
    "WarmupStableDecay": (lambda: WarmupStableDecay(0.1, warmup=0.2), warmup_stable_decay(0.1, warmup=0.2)),
    "WarmupCosine": (lambda: WarmupCosine(0.1, warmup=0.2), warmup_cosine(0.1, warmup=0.2)),
    "WarmupLinear": (lambda: WarmupLinear(0.1, warmup=0.2), warmup_linear(0.1, warmup=0.2)),
    "batches of warmup": (lambda: WarmupLinear(0.1, warmup=3), warmup_linear(0.1, warmup=0.25)),
    "InverseSqrt": (lambda: InverseSqrt(0.1, lr_final=0.01), inverse_sqrt(0.1, lr_final=0.01)),
    "Triangular": (lambda: Triangular(0.01, 0.1, n_cycles=2), triangular(0.01, 0.1, n_cycles=2)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_callback_trains_as_its_values_set_by_hand(model, name):
    make, recipe = RECIPES[name]
    ours = make()
    fit(model, [ours], EPOCHS)
    expected = {key: annealer(positions()) for key, annealer in recipe.items()}
    assert list(ours.hps) == list(expected)
    assert all((ours.hps[key] == values).all() for key, values in expected.items())
    attributes = {"lr": "learning_rate", "mom": "beta_1"}
    weights = eager(adam, {attributes[key]: np.maximum(values, 1e-30) for key, values in expected.items()}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE


def test_a_python_function_is_a_schedule_as_good_as_any(model):
    ours = ParamScheduler({"lr": lambda position: 0.1 if position < 0.5 else 0.01})
    fit(model, [ours], EPOCHS)
    assert ours.hps["lr"].tolist() == [0.1] * 6 + [0.01] * 6
    weights = eager(adam, {"learning_rate": ours.hps["lr"]}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE


def test_values_are_float64_and_exact_at_each_position(model):
    schedule = combine_scheds([0.3, 0.7], [SchedExp(1e-4, 0.1), SchedCos(0.1, 1e-6)])
    ours = ParamScheduler({"lr": schedule, "mom": SchedLin(0.95, 0.85)})
    fit(model, [ours], EPOCHS)
    assert all(values.dtype == np.float64 and values.shape == (N,) for values in ours.hps.values())
    assert ours.hps["lr"].tolist() == [schedule(i / N) for i in range(N)]


def test_a_recipe_handed_over_as_a_dictionary_is_the_callback(model, bench):
    fit(model, [OneCycle(0.1)], EPOCHS)
    weights = model.get_weights()
    fit(bench.again(), [ParamScheduler(one_cycle(0.1))], EPOCHS)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


def test_the_peak_is_by_default_the_compiled_rate(model):
    ours = OneCycle()
    fit(model, [ours], EPOCHS)
    assert ours.hps["lr"].max() == np.float32(0.01)


def test_weight_decay_of_this_fit_alone(model, bench):
    ours = OneCycle(0.1, moms=None, wd=0.5)
    fit(model, [ours], EPOCHS)
    assert (ours.hps["wd"] == 0.5).all()
    weights = eager(adam, {"learning_rate": one_cycle(0.1)["lr"](positions()), "weight_decay": np.full(N, 0.5)}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE
    assert model.optimizer.weight_decay is None


# What was used


def test_what_was_used_can_be_read_while_the_fit_runs(model):
    lengths = []

    class Reads(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert self.model is not None
            lengths.append(len(ours.hps["lr"]))

    ours = ParamScheduler(FALLING)
    fit(model, [ours, Reads()], EPOCHS)
    assert lengths == list(range(1, N + 1))


def test_what_was_used_is_there_after_a_death(model):
    ours = ParamScheduler(FALLING)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [ours, Dies("on_train_batch_end", KeyboardInterrupt(), at=2)], EPOCHS)
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(3, N))).all()


def test_each_fit_begins_its_own_account(model):
    ours = ParamScheduler(FALLING)
    fit(model, [ours], EPOCHS)
    fit(model, [ours], 1)
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(BATCHES))).all()


def test_names_are_those_that_were_given(model):
    ours = ParamScheduler({"learning_rate": SchedNo(0.1, 0.1), "mom": SchedNo(0.9, 0.9), "beta_2": SchedNo(0.99, 0.99)})
    fit(model, [ours], 1)
    assert list(ours.hps) == ["learning_rate", "mom", "beta_2"]


def test_the_history_has_the_attributes_names(model):
    history = fit(model, [ParamScheduler({"lr": SchedLin(0.1, 0.02), "sqr_mom": SchedNo(0.99, 0.99)})], EPOCHS).history
    assert history["learning_rate"] == SchedLin(0.1, 0.02)(positions())[BATCHES - 1 :: BATCHES].tolist()
    assert history["beta_2"] == [0.99] * EPOCHS


def test_groups_have_a_column_each_and_a_log_each(model):
    ours = OneCycle((0.01, 0.1))
    history = fit(model, [ours], EPOCHS).history
    assert ours.hps["lr"].shape == (N, 2)
    assert ours.hps["mom"].shape == (N,)
    last = ours.hps["lr"][BATCHES - 1 :: BATCHES]
    assert history["learning_rate_0"] == last[:, 0].tolist()
    assert history["learning_rate_1"] == history["learning_rate"] == last[:, 1].tolist()


def test_what_was_used_is_drawn(model):
    ours = OneCycle(0.1)
    fit(model, [ours], EPOCHS)
    figure = ours.plot_sched()
    assert len(figure.axes) >= 2
    assert len(ours.plot_sched(keys=["lr"]).axes) < len(figure.axes)


# Lengths


def batches(count, endless=False):
    x, y = data()
    while True:
        for i in range(count):
            rows = slice(i % BATCHES * BATCH, i % BATCHES * BATCH + BATCH)
            yield x[rows], y[rows]
        if not endless:
            return


@pytest.mark.filterwarnings("ignore:.*total_steps=")
@pytest.mark.parametrize("total", [5, 12, 40])
def test_total_steps_may_be_shorter_or_longer_than_the_fit(model, total):
    ours = ParamScheduler(FALLING, total_steps=total)
    fit(model, [ours], EPOCHS)
    expected = SchedLin(0.1, 0.02)(np.minimum(np.arange(N) / total, 1))
    assert (ours.hps["lr"] == expected).all()
    weights = eager(adam, {"learning_rate": expected}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE


def test_a_length_shorter_than_the_fit_is_said_once(model, recwarn):
    ours = ParamScheduler(FALLING, total_steps=5)
    fit(model, [ours], EPOCHS)
    (said,) = [str(each.message) for each in recwarn if each.category is UserWarning]
    found = "this fit has 12 batches: from batch 5 on, all train at the schedule's last value"
    cure = "Pass `total_steps=12`, or leave it out, if you did not mean that."
    assert said == f"`ParamScheduler` received `total_steps=5`; {found}. {cure}"


def test_a_generator_with_steps_an_epoch_told_to_fit(model):
    ours = ParamScheduler(FALLING)
    model.fit(batches(4, endless=True), steps_per_epoch=3, epochs=2, shuffle=False, verbose=0, callbacks=[ours])
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(6))).all()


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize("arguments", [{"steps_per_epoch": 8}, {"total_steps": 8}])
def test_a_generator_of_unknown_length(model, arguments):
    ours = ParamScheduler(FALLING, **arguments)
    model.fit(batches(8), shuffle=False, verbose=0, callbacks=[ours])
    # On TensorFlow the optimizer of Keras 3.15 counts a ninth step, which finds no data and trains nothing.
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(8))).all()


def test_data_of_unknown_length_over_several_epochs(model):
    class Unknown(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            x, y = data()
            return x[:BATCH], y[:BATCH]

    ours = ParamScheduler(FALLING, steps_per_epoch=5)
    model.fit(Unknown(), steps_per_epoch=5, epochs=2, shuffle=False, verbose=0, callbacks=[ours])
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(10))).all()


def of_unknown_length():
    """Four batches an epoch, as often as they are asked for, and nobody knows how many."""
    if keras.backend.backend() == "torch":
        from torch.utils.data import DataLoader, IterableDataset

        class Stream(IterableDataset[Any]):
            def __iter__(self):
                return batches(4)

        return DataLoader(Stream(), batch_size=None)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x, y = next(iter(batches(1)))
        kinds = tuple(tf.TensorSpec(each.shape, each.dtype) for each in (x, y))
        return tf.data.Dataset.from_generator(lambda: batches(4), output_signature=kinds)
    pytest.skip("JAX alone has no such data")


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_a_wrong_number_of_steps_an_epoch_is_said_when_it_ends(model):
    ours = ParamScheduler(FALLING, steps_per_epoch=9)
    with pytest.warns(UserWarning, match="`steps_per_epoch=9 and had an epoch of [45] batches`.*Pass `steps_per"):
        model.fit(of_unknown_length(), epochs=2, shuffle=False, verbose=0, callbacks=[ours])


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_data_that_end_before_the_fit_are_said(model):
    with pytest.warns(UserWarning, match="`steps_per_epoch=4 and had an epoch of 0 batches`.*Pass data that repeat"):
        fit_one_cycle(model, of_unknown_length(), epochs=2, steps_per_epoch=4, shuffle=False, verbose=0)
    with pytest.raises(RuntimeError, match="Pass `steps_per_epoch=` and data that repeat, or a callback"):
        fit_one_cycle(model, of_unknown_length(), epochs=2, shuffle=False, verbose=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_a_loop_over_callbacks_that_schedules_nothing_is_said(model):
    x, y = data()
    loop = keras.callbacks.CallbackList([ParamScheduler(FALLING, total_steps=4)], model=model)
    loop.on_train_begin()
    for _ in range(4):
        model.train_on_batch(x[:BATCH], y[:BATCH])
    with pytest.warns(UserWarning, match="`ParamScheduler` received `a fit without a batch`; .* `with scheduled"):
        loop.on_train_end()


@pytest.mark.parametrize("epochs", [{"epochs": 0}, {"epochs": 2, "initial_epoch": 2}])
def test_a_fit_without_an_epoch_is_said(model, epochs):
    with pytest.warns(UserWarning, match="`ParamScheduler` received `a fit without a batch`; nothing was scheduled"):
        history = model.fit(*data(), callbacks=[ParamScheduler(FALLING)], verbose=0, **epochs)
    assert history.epoch == []


def test_the_count_goes_on_from_the_initial_epoch(model):
    ours = ParamScheduler(FALLING)
    fit(model, [ours], EPOCHS, initial_epoch=1)
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions())[BATCHES:]).all()


def test_a_ragged_last_batch_is_a_batch(model):
    x, y = data()
    ours = ParamScheduler(FALLING)
    model.fit(x[:-3], y[:-3], batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[ours])
    assert (ours.hps["lr"] == SchedLin(0.1, 0.02)(positions(8))).all()


def test_a_model_that_was_never_built_is_scheduled_from_its_first_batch():
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)])
    model.compile(adam(), loss="mse")
    ours = OneCycle(0.1)
    fit(model, [ours], EPOCHS)
    assert (ours.hps["lr"] == one_cycle(0.1)["lr"](positions())).all()
    weights = eager(adam, {"learning_rate": ours.hps["lr"], "beta_1": ours.hps["mom"]}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE


# Names


@pytest.mark.parametrize(
    ("optimizer", "name", "attribute"),
    [
        (keras.optimizers.Adam, "lr", "learning_rate"),
        (keras.optimizers.Adam, "mom", "beta_1"),
        (keras.optimizers.Adam, "sqr_mom", "beta_2"),
        (keras.optimizers.Adam, "eps", "epsilon"),
        (keras.optimizers.Adam, "wd", "weight_decay"),
        (keras.optimizers.RMSprop, "sqr_mom", "rho"),
        (lambda: keras.optimizers.SGD(momentum=0.9), "mom", "momentum"),
        (lambda: keras.optimizers.RMSprop(momentum=0.9), "mom", "momentum"),
        (lambda: keras.optimizers.Adam(clipnorm=1.0), "clipnorm", "clipnorm"),
    ],
)
def test_a_short_name_stands_for_the_optimizers_own(optimizer, name, attribute):
    model = mlp(optimizer(), run_eagerly=True)
    ours = ParamScheduler({name: SchedNo(0.5, 0.5)})
    assert fit(model, [ours], 1).history[attribute] == [0.5]


def test_a_momentum_that_the_optimizer_lacks_is_left_out_where_it_was_not_asked_for():
    model = mlp(keras.optimizers.SGD(0.01), run_eagerly=True)
    ours = OneCycle(0.1)
    fit(model, [ours], 1)
    assert list(ours.hps) == ["lr"]


def test_no_momentum_is_scheduled_where_none_is_wanted(model):
    ours = OneCycle(0.1, moms=None)
    fit(model, [ours], 1)
    assert list(ours.hps) == ["lr"]


# Several


def test_two_schedulers_of_different_things_train_as_one(model, bench):
    both = ParamScheduler({"lr": SchedCos(0.1, 0.02), "mom": SchedLin(0.95, 0.8)})
    fit(model, [both], EPOCHS)
    weights = model.get_weights()
    rate, momentum = ParamScheduler({"lr": SchedCos(0.1, 0.02)}), ParamScheduler({"mom": SchedLin(0.95, 0.8)})
    fit(bench.again(), [momentum, rate], EPOCHS)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    assert list(rate.hps) == ["lr"]
    assert list(momentum.hps) == ["mom"]


@pytest.mark.filterwarnings("ignore:.*total_steps=")
def test_two_schedulers_may_have_different_lengths(model):
    rate, momentum = ParamScheduler(FALLING), ParamScheduler({"mom": SchedLin(0.95, 0.8)}, total_steps=4)
    fit(model, [rate, momentum], EPOCHS)
    assert (rate.hps["lr"] == SchedLin(0.1, 0.02)(positions())).all()
    assert momentum.hps["mom"][4:].tolist() == [0.8] * 8


def test_one_callback_serves_two_models_one_after_the_other(model):
    ours, other = ParamScheduler(FALLING), mlp(keras.optimizers.SGD(0.01), run_eagerly=True)
    fit(model, [ours], EPOCHS)
    fit(other, [ours], 1)
    assert len(ours.hps["lr"]) == BATCHES
