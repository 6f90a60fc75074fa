"""Fits that fastai ran too: the values of each batch, and the weights after each batch."""

import keras
import numpy as np
import pytest
from runs import Bench, put_state, state

from keras_sched import SGDR, FlatCos, OneCycle, ParamScheduler, SchedCos, SchedLin, one_cycle

CALLBACKS = {"one_cycle": OneCycle, "flat_cos": FlatCos, "sgdr": SGDR}
CASES = {"one_cycle": 8, "flat_cos": 4, "sgdr": 6}


def argument(value):
    return slice(*value["slice"]) if isinstance(value, dict) else value


def arguments_of(case):
    return {name: argument(value) for name, value in case["arguments"].items() if name != "start_epoch"}


def three_layers():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((1,)), *(keras.layers.Dense(1) for _ in range(3))])


@pytest.fixture(scope="module")
def model():
    """A model of three layers, each of them a group where there are groups."""
    return three_layers()


@pytest.mark.parametrize(("name", "number"), [(name, i) for name, count in CASES.items() for i in range(count)])
def test_a_fit_uses_the_values_that_fastai_uses(golden, model, name, number):
    case = golden(name)["cases"][number]
    groups, batches = case["groups"], case["batches_per_epoch"]
    ours = CALLBACKS[name](**arguments_of(case), groups=None if groups == 1 else groups)
    model.compile(keras.optimizers.SGD(case["learner_lr"], momentum=0.9), loss="mse", run_eagerly=True)
    x = np.zeros((batches, 1), "float32")
    first = case["arguments"].get("start_epoch", 0)
    model.fit(x, x, batch_size=1, epochs=case["n_epoch"], initial_epoch=first, verbose=0, callbacks=[ours])
    for key, theirs in case["per_group"].items():
        expected, used = np.array(theirs), ours.hps[key]
        used = used[:, None] if used.ndim == 1 else used
        for late in case.get("late_restarts", []):
            expected[late] = expected[0]  # fastai gave this one batch the end of the cycle before
        tolerance = golden(name)["tolerance"]["atol_times_largest_value"] * expected.max(axis=0)
        assert (np.abs(used - expected) <= tolerance).all()


def test_the_cases_are_all_there(golden):
    ran = {name: [case for case in golden(name)["cases"] if "fastai_raises" not in case] for name in CASES}
    assert {name: len(cases) for name, cases in ran.items()} == CASES
    assert len(golden("adam_one_cycle_weights")["cases"]) == 5


@pytest.mark.parametrize("number", range(5))
def test_adam_has_fastais_weights_after_every_batch(golden, number):
    reference = golden("adam_one_cycle_weights")
    case = reference["cases"][number]
    layers = [keras.layers.Dense(layer["units"], layer["activation"]) for layer in case["layers"]]
    model = keras.Sequential([keras.Input((case["layers"][0]["inputs"],)), *layers])
    arguments = arguments_of(case)
    adam = {"learning_rate": 1e-3, "beta_2": 0.999, "epsilon": 1e-7}
    wd = arguments.pop("wd", None)
    optimizer = keras.optimizers.Adam(**adam) if wd is None else keras.optimizers.AdamW(**adam, weight_decay=0.5)
    model.compile(optimizer, loss="mse")
    model.set_weights([np.array(weights) for weights in np_weights(case["initial_weights"])])
    after, losses = [], []

    class Notes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            after.append(self.model.get_weights())
            losses.append(logs["loss"])
            self.model.reset_metrics()

    groups = len(layers) if isinstance(arguments["lr_max"], slice) else None
    ours = OneCycle(**arguments, wd=wd, groups=groups)
    x, y = np.array(case["x"], "float32"), np.array(case["y"], "float32")
    settings = {"batch_size": case["batch_size"], "epochs": case["epochs"], "shuffle": False, "verbose": 0}
    model.fit(x, y, **settings, callbacks=[ours, Notes()])
    assert len(after) == case["batches"]
    tolerance = reference["tolerance"]["atol"]
    for expected, weights in zip(case["weights"], after, strict=True):
        for theirs, own in zip(np_weights(expected), weights, strict=True):
            np.testing.assert_allclose(own, theirs, rtol=0, atol=tolerance)
    np.testing.assert_allclose(ours.hps["mom"], case["mom"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.hps["lr"], case["lr"], rtol=0, atol=1e-6 * np.max(case["lr"]))


def np_weights(weights):
    """Kernel, bias, kernel, ... as arrays, whether they are in one list or in one list a layer."""
    return [np.array(values, "float32") for values in weights]


# What fastai gets wrong


def fit_once(model, callback, **arguments):
    x = np.zeros((5, 1), "float32")
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss="mse", run_eagerly=True)
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[callback], **arguments)
    return callback.hps


def test_flat_cos_goes_on_at_the_epoch_that_it_is_told(model):
    whole = fit_once(model, FlatCos(0.1, pct_start=0.5), epochs=4)["lr"]
    resumed = fit_once(model, FlatCos(0.1, pct_start=0.5), epochs=4, initial_epoch=3)["lr"]
    assert (resumed == whole[15:]).all()
    assert resumed[0] < 0.1 == whole[0]


def test_equal_cycles_are_as_good_as_any(model):
    rates = fit_once(model, SGDR(3, 1, lr_max=0.1, cycle_mult=1), epochs=3)["lr"]
    np.testing.assert_allclose(rates, np.tile(rates[:5], 3), rtol=1e-12)
    assert rates[0] == 0.1 > rates[1]


@pytest.mark.filterwarnings("ignore:.*total_steps=")
def test_past_its_end_a_schedule_stays_at_its_end(model):
    rates = fit_once(model, ParamScheduler({"lr": SchedLin(0.1, 0.02)}, total_steps=4), epochs=2)["lr"]
    assert rates[4:].tolist() == [0.02] * 6


# Momentum as PyTorch's SGD has it


def by_torchs_rule(x, y, rates, momenta, kernel, bias, batch):
    """Weights of a line by PyTorch's and fastai's SGD, in float64: v = m v + g, w -= lr v."""
    v_kernel, v_bias = np.zeros_like(kernel), np.zeros_like(bias)
    for i, (rate, momentum) in enumerate(zip(rates, momenta, strict=True)):
        rows = slice(i * batch % len(x), i * batch % len(x) + batch)
        error = 2 * (x[rows] @ kernel + bias - y[rows]) / y[rows].size
        v_kernel = momentum * v_kernel + x[rows].T @ error
        v_bias = momentum * v_bias + error.sum(axis=0)
        kernel, bias = kernel - rate * v_kernel, bias - rate * v_bias
    return kernel, bias


@pytest.fixture(scope="module")
def line():
    from oracle import data

    x, y = data()
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model, state(model), x, y


def run_line(line, callbacks, epochs=3):
    model, start, x, y = line
    put_state(model, start)
    model.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=callbacks)
    return model.get_weights()


@pytest.mark.parametrize(
    "scheds",
    [
        one_cycle(0.05),
        {"lr": SchedCos(0.05, 0.001)},
        {"lr": SchedCos(0.05, 0.001), "mom": SchedLin(0.95, 0.6)},
    ],
    ids=["one cycle", "the rate alone", "both"],
)
def test_momentum_correction_trains_as_pytorchs_sgd(line, scheds):
    _, start, x, y = line
    positions = np.arange(12) / 12
    rates = scheds["lr"](positions)
    momenta = scheds["mom"](positions) if "mom" in scheds else np.full(12, 0.9)
    kernel, bias = by_torchs_rule(x.astype(float), y.astype(float), rates, momenta, start[0].astype(float), start[1], 8)
    ours = ParamScheduler(scheds, momentum_correction=True)
    own = run_line(line, [ours])
    assert max(np.abs(own[0] - kernel).max(), np.abs(own[1] - bias).max()) < 2.4e-7 * max(1, np.abs(kernel).max())
    plain = run_line(line, [ParamScheduler(scheds)])
    assert np.abs(plain[0] - kernel).max() > 1e-4, "the correction is without effect"
    if "mom" in scheds:
        expected = momenta.copy()
        expected[1:] *= rates[1:] / rates[:-1]
        np.testing.assert_allclose(ours.hps["mom"], expected, rtol=1e-12)
    np.testing.assert_allclose(ours.hps["lr"], rates, rtol=0)


def test_momentum_correction_of_a_resumed_run_goes_on_from_the_rate_before(line):
    from runs import Dies

    def ours():
        return OneCycle(0.05, momentum_correction=True)

    whole = run_line(line, [ours()])
    with pytest.raises(KeyboardInterrupt):
        run_line(line, [ours(), Dies("on_epoch_begin", KeyboardInterrupt())])
    model, _, x, y = line
    model.fit(x, y, batch_size=8, epochs=3, initial_epoch=1, shuffle=False, verbose=0, callbacks=[ours()])
    assert all((a == b).all() for a, b in zip(whole, model.get_weights(), strict=True))


def test_a_write_from_outside_is_corrected_for_too(line):
    _, start, x, y = line

    class Halves(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
                self.model.optimizer.learning_rate = rate / 2

    scheds = one_cycle(0.05)
    rates, momenta = (scheds[name](np.arange(12) / 12) for name in ("lr", "mom"))
    rates[4:] /= 2
    kernel, _ = by_torchs_rule(x.astype(float), y.astype(float), rates, momenta, start[0].astype(float), start[1], 8)
    own = run_line(line, [ParamScheduler(scheds, momentum_correction=True), Halves()])
    assert np.abs(own[0] - kernel).max() < 5e-7


def test_momentum_correction_under_accumulated_gradients_looks_back_by_as_many_batches():
    def made(steps):
        sgd = keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=steps)
        return Bench(sgd)

    ours = ParamScheduler({"lr": SchedLin(0.05, 0.01)}, momentum_correction=True)
    with_mom = ParamScheduler({"lr": SchedLin(0.05, 0.01), "mom": SchedLin(0.9, 0.9)}, momentum_correction=True)
    bench = made(2)
    for callback in (ours, with_mom):
        bench.again().fit(*_data(), batch_size=8, shuffle=False, verbose=0, callbacks=[callback])
    rates = SchedLin(0.05, 0.01)(np.arange(4) / 4)
    np.testing.assert_allclose(with_mom.hps["mom"], [0.9, 0.9, *(0.9 * rates[2:] / rates[:2])])


def _data():
    from oracle import data

    return data()
