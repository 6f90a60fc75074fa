"""`AnnealedSchedule`: an annealer where Keras takes a LearningRateSchedule."""

import copy
import itertools
import json
import math
import pickle

import keras
import numpy as np
import pytest
from keras import ops

from keras_sched.annealers import SchedCos, SchedExp, SchedLin, SchedOneMinusSqrt, annealer, combine_scheds
from keras_sched.recipes import one_cycle, sgdr, warmup_stable_decay
from keras_sched.schedule import AnnealedSchedule

STEPS = 12  # two epochs of six batches


@annealer
def traceable(start, end, pos):
    return start + (end - start) * ops.square(pos)


@annealer
def not_traceable(start, end, pos):
    return start + (end - start) * math.sin(pos)


def numbers(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def data():
    x = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def model(rate, **compiling):
    built = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    built.compile(keras.optimizers.SGD(rate), "mse", **compiling)
    return built


def train(built, epochs=2):
    built.fit(*data(), batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return built.get_weights()


def train_by_hand(sched):
    """The weights that plain gradient descent reaches in NumPy, batch i with the rate of position i/n."""
    x, y = data()
    w, b = np.ones((3, 1)), np.zeros(1)
    for i in range(STEPS):
        batch = slice(4 * (i % 6), 4 * (i % 6) + 4)
        error = 2 * (x[batch] @ w + b - y[batch]) / 4
        w, b = w - sched(i / STEPS) * x[batch].T @ error, b - sched(i / STEPS) * error.sum(axis=0)
    return [w, b]


@pytest.mark.parametrize("jit_compile", ["auto", pytest.param(True, marks=pytest.mark.slow)])  # half a minute on torch
@pytest.mark.parametrize("sched", [one_cycle(0.1)["lr"], traceable(0.01, 0.1)], ids=repr)
def test_a_fit_trains_with_the_annealers_rates(sched, jit_compile):
    found = train(model(AnnealedSchedule(sched, STEPS), jit_compile=jit_compile))
    for ours, by_hand in zip(found, train_by_hand(sched), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)


def test_a_saved_model_goes_on_with_the_schedule(tmp_path):
    sched = sgdr(0.1, n_cycles=2, warmup=0.1)["lr"]
    saved = model(AnnealedSchedule(sched, STEPS))
    train(saved, epochs=1)
    saved.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    for ours, by_hand in zip(train(loaded, epochs=1), train_by_hand(sched), strict=True):
        np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "through",
    [
        lambda rate: pickle.loads(pickle.dumps(rate)),  # noqa: S301 - the pickle is our own
        lambda rate: AnnealedSchedule.from_config(json.loads(json.dumps(rate.get_config()))),
        lambda rate: keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate)),
        copy.deepcopy,
    ],
    ids=["pickle", "config", "keras", "deepcopy"],
)
def test_a_schedule_comes_back_as_it_was(through):
    rate = AnnealedSchedule(combine_scheds([0.5, 0.5], [traceable(0, 1), SchedCos(1, 0)]), 100)
    again = through(rate)
    assert again == rate
    assert hash(again) == hash(rate)
    assert again(70) == rate(70)
    assert numbers(again(ops.array(70))) == numbers(rate(ops.array(70)))


@pytest.mark.parametrize("dtype", ["int32", "int16", "float32"])
def test_every_step_has_the_value_of_its_position(dtype, compiled):
    sched = one_cycle(0.1)["lr"]
    steps = 190  # the rise ends between two of them
    found = numbers(compiled(AnnealedSchedule(sched, steps))(ops.cast(ops.arange(steps + 1), dtype)))
    np.testing.assert_allclose(found, sched(np.arange(steps + 1) / steps), rtol=1e-5, atol=1e-8)


def test_a_python_number_gives_a_float_of_full_precision():
    rate = AnnealedSchedule(SchedExp(1e-7, 10), 100)
    assert type(rate(33)) is float
    assert rate(33) == SchedExp(1e-7, 10)(33 / 100)
    assert rate(np.int64(33)) == rate(33)


def test_a_variable_of_the_optimizers_kind_is_a_step():
    rate = AnnealedSchedule(SchedLin(0, 1), 10)
    assert numbers(rate(keras.Variable(5, dtype="int32", trainable=False))) == 0.5


def test_steps_past_the_end_keep_the_end_and_steps_before_the_start_the_start():
    rate = AnnealedSchedule(combine_scheds([0.5, 0.5], [SchedLin(1, 2), SchedLin(2, 3)]), 10)
    assert [rate(-3), rate(10), rate(99)] == [1, 3, 3]
    assert numbers(rate(ops.array([-3, 10, 99]))).tolist() == [1, 3, 3]


def test_the_rate_has_keras_float_type():
    assert keras.backend.standardize_dtype(AnnealedSchedule(SchedLin(0, 1), 10)(ops.array(3)).dtype) == "float32"


@pytest.mark.parametrize("n", [7, 10, 30, 49, 100, 1797])
def test_each_phase_begins_at_its_very_step(n):
    cuts = [0, n // 7, n // 3, n // 2, n]
    pcts = [(high - low) / n for low, high in itertools.pairwise(cuts)]
    rate = AnnealedSchedule(combine_scheds(pcts, [SchedLin(k, k) for k in range(4)]), n)
    found = numbers(rate(ops.arange(n, dtype="int32")))
    assert found.tolist() == [k for k in range(4) for _ in range(cuts[k], cuts[k + 1])]


def test_a_late_phase_of_a_very_long_run_keeps_its_digits():
    # Float32 knows positions to 6e-8: 6 steps of these, where the decay begins with an infinite slope.
    steps = 100_000_000
    rate = AnnealedSchedule(warmup_stable_decay(0.1, warmup=0.05, decay=0.2)["lr"], steps)
    first = 80_000_000
    near = np.array([first - 1, first, first + 1, first + 5, first + 1000, steps - 1])
    wanted = SchedOneMinusSqrt(0.1, 0)(np.maximum(near - first, 0) / 20_000_000)
    np.testing.assert_allclose(numbers(rate(ops.array(near, dtype="int32"))), wanted, rtol=2e-7, atol=1e-8)


def test_a_function_that_cannot_be_compiled_says_how_to_write_it(backend):
    built = model(AnnealedSchedule(not_traceable(0, 0.1), STEPS))
    if backend == "torch":  # whose step is not compiled, and whose tensors turn themselves into floats
        train(built)
        return
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the backend's own error
        train(built)
    assert "`not_traceable`" in caught.value.__notes__[0]
    assert "keras.ops" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: AnnealedSchedule(0.1, 10), r"`AnnealedSchedule` received `annealer=0.1`; it must be an annealer"),
        (lambda: AnnealedSchedule(SchedCos, 10), r"`annealer=SchedCos`.*SchedCos\(0.1, 0\)"),
        (lambda: AnnealedSchedule(abs, 10), r"`annealer=<built-in function abs>`.*@keras_sched.annealer"),
        (lambda: AnnealedSchedule(one_cycle(0.1), 10), r"a recipe. Pass .*one_cycle\(0.1\)\['lr'\].*ParamScheduler"),
        (lambda: AnnealedSchedule(SchedCos([1, 2], 0), 10), r"this has 2, one per group. Use `ParamScheduler"),
        (lambda: AnnealedSchedule(SchedCos(1, 0), 0), r"received `steps=0`.*whole number of at least 1"),
        (lambda: AnnealedSchedule(SchedCos(1, 0), 10.5), r"received `steps=10.5`"),
        (lambda: AnnealedSchedule(SchedCos(1, 0), None), r"received `steps=None`"),
    ],
)
def test_a_wrong_use_says_what_came_and_what_to_pass(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrong()
