"""Keys of a schedule that are not the optimizer's: each trains as it would with the values set by hand, eagerly."""

import keras
import numpy as np
import oracle
import pytest

from keras_sched import ParamScheduler, SchedCos, SchedLin, SchedNo
from keras_sched.annealers import combine_scheds

EPOCHS = 3
BATCHES = EPOCHS * oracle.BATCHES
RISING = SchedLin(0.1, 0.6)
TO_ZERO = combine_scheds([0.25, 0.5, 0.25], [SchedNo(0.0, 0.0), SchedLin(0.5, 0.1), SchedNo(0.0, 0.0)])
TOLERANCE = 2e-5

MODES = {
    "compiled": {},
    "eager": {"run_eagerly": True, "jit_compile": False},
    "uncompiled": {"jit_compile": False},
    "several a call": {"steps_per_execution": 2},
}
if keras.backend.backend() == "torch":
    del MODES["several a call"], MODES["uncompiled"]  # Keras' PyTorch has one batch a call, and compiles nothing
    MODES["compiled"] = {"jit_compile": False}
modes = pytest.mark.parametrize("mode", MODES)


class ByHand(keras.callbacks.Callback):
    """Calls `put(model, value)` before each batch, as one does without a schedule."""

    def __init__(self, put, values):
        super().__init__()
        self.put, self.values, self.batch = put, values, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.put(self.model, float(self.values[self.batch]))
        self.batch += 1


class Noisy(keras.layers.Layer):
    """Multiplies by a variable that does not train, and adds what an attribute says."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.shift = 0.25

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False, name="scale")

    def call(self, x):
        return x * self.scale + self.shift


class OwnStep(keras.Sequential):
    """A `train_step` of its own, that calls Keras'."""

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def make(kind=keras.Sequential, loss=None, optimizer=None, **compile_arguments):
    keras.utils.set_random_seed(7)
    model = kind(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh", name="body", kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.Dropout(0.3, seed=5, name="drop_1"),
            keras.layers.BatchNormalization(momentum=0.9, name="norm"),
            keras.layers.Dropout(0.2, seed=6, name="drop_2"),
            keras.layers.GaussianNoise(0.1, seed=7, name="noise"),
            Noisy(name="noisy"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9), loss or keras.losses.Huber(0.7), **compile_arguments
    )
    return model


def at(path):
    layer, _, attribute = path.partition(".")

    def put(model, value):
        thing = model.get_layer(layer)
        for name in attribute.split(".")[:-1]:
            thing = getattr(thing, name)
        name = attribute.rpartition(".")[2]
        if isinstance(getattr(thing, name), keras.Variable):
            getattr(thing, name).assign(value)
        else:
            setattr(thing, name, value)

    return put


def both_drops(model, value):
    for name in ("drop_1", "drop_2"):
        model.get_layer(name).rate = value


def loss_argument(name):
    def put(model, value):
        model.loss._fn_kwargs[name] = value

    return put


KEYS = {
    "drop_*.rate": both_drops,
    "noise.stddev": at("noise.stddev"),
    "norm.momentum": at("norm.momentum"),
    "noisy.shift": at("noisy.shift"),
    "noisy.scale": at("noisy.scale"),
    "body.kernel_regularizer.l2": at("body.kernel_regularizer.l2"),
    "loss.delta": loss_argument("delta"),
}


def weights(model):
    """Its numbers, its seeds too, but not what the schedule is of."""
    return [np.asarray(v.numpy(), "float64") for v in model.variables if v.name != "scale"]


def by_hand(model, put, sched, fit=oracle.fit):
    callback = ByHand(put, [sched(i / BATCHES) for i in range(BATCHES)])
    with oracle.uncompiled():
        fit(model, [callback], EPOCHS)
    return weights(model)


@modes
@pytest.mark.parametrize("key", KEYS)
def test_a_value_is_in_its_place_in_each_batch(key, mode):
    expected = by_hand(make(run_eagerly=True, jit_compile=False), KEYS[key], RISING)
    model = make(**MODES[mode])
    scheduler = ParamScheduler({key: RISING})
    history = oracle.fit(model, [scheduler], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    np.testing.assert_allclose(scheduler.hps[key], [RISING(i / BATCHES) for i in range(BATCHES)])
    assert history.history[key][-1] == pytest.approx(RISING(1 - 1 / BATCHES))


@modes
@pytest.mark.parametrize("key", ["drop_*.rate", "noise.stddev", "body.kernel_regularizer.l2"])
def test_a_value_of_zero_trains_as_that_value_would(key, mode):
    expected = by_hand(make(run_eagerly=True, jit_compile=False), KEYS[key], TO_ZERO)
    model = make(**MODES[mode])
    oracle.fit(model, [ParamScheduler({key: TO_ZERO})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Keras drops everything on PyTorch
def test_a_value_of_one_too():
    ending = combine_scheds([0.5, 0.5], [SchedLin(0.2, 0.8), SchedNo(1.0, 1.0)])
    expected = by_hand(make(run_eagerly=True, jit_compile=False), KEYS["drop_*.rate"], ending)
    model = make()
    oracle.fit(model, [ParamScheduler({"drop_*.rate": ending})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


@modes
def test_a_train_step_of_ones_own_reads_them_too(mode):
    expected = by_hand(make(OwnStep, run_eagerly=True, jit_compile=False), both_drops, TO_ZERO)
    model = make(OwnStep, **MODES[mode])
    oracle.fit(model, [ParamScheduler({"drop_*.rate": TO_ZERO})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


@modes
def test_beside_the_optimizers_own(mode):
    rate = SchedCos(0.1, 0.01)

    def put(model, value):
        KEYS["drop_*.rate"](model, value)
        model.optimizer.learning_rate = rate((value - 0.1) / 0.5)

    expected = by_hand(make(run_eagerly=True, jit_compile=False), put, RISING)
    model = make(**MODES[mode])
    scheduler = ParamScheduler({"lr": rate, "drop_*.rate": RISING, "mom": SchedNo(0.9, 0.9)})
    oracle.fit(model, [scheduler], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    assert list(scheduler.hps) == ["lr", "drop_*.rate", "mom"]


def test_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        expected = by_hand(make(run_eagerly=True, jit_compile=False), both_drops, TO_ZERO)
        model = make()
        oracle.fit(model, [ParamScheduler({"drop_*.rate": TO_ZERO})], EPOCHS)
        own, plain = weights(model), make()
        oracle.fit(plain, [], EPOCHS)
    finally:
        keras.config.set_dtype_policy("float32")
    # bfloat16 rounds otherwise where XLA fuses: near, and nearer by far than a run without the schedule.
    assert oracle.largest_difference(own, expected) < 0.05
    assert [seed.tolist() for seed in own if seed.shape == (2,)] == [
        seed.tolist() for seed in expected if seed.shape == (2,)
    ]
