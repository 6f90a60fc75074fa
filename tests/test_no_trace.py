"""After a fit, however it ended, the optimizer is Keras' own again, and training goes on as if there had been none."""

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, data, fit, mlp
from runs import HOOKS, Batches, Bench, Dies, changes, face, plain_steps, same_bits

from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin

EPOCHS = 3
# How the rate is shown may stay after a death in another's hook, until the next fit.
SHOWN = {"attribute _get_current_learning_rate", "learning_rate", "rate variable's assign"}
LEFT = {"_keras_sched_steps", "_jax_state", "_jax_state_synced", "history", "stop_training", "stop_evaluating"}
LEFT |= {"test_function", "_eval_epoch_iterator"}  # of validation
KINDS = [RuntimeError, KeyboardInterrupt, SystemExit, MemoryError]


def adam():
    return keras.optimizers.AdamW(0.01, weight_decay=0.02)


def cycle():
    return OneCycle(0.1, wd=0.3)


@pytest.fixture(scope="module")
def bench():
    return Bench(adam())


@pytest.fixture(scope="module")
def control():
    """Its equal, which never sees a schedule."""
    return Bench(adam())


def check(model, before, attributes, control, *, lingering=frozenset()):
    """No trace at once, none in what a plain fit does next, and none in the model after that."""
    assert changes(before, face(model.optimizer)) <= lingering
    other = control.continuing(model)
    assert plain_steps(model) == plain_steps(other)
    assert same_bits(model, other)
    assert changes(before, face(model.optimizer)) == set()
    assert changes(attributes, vars(model)) <= LEFT


def begin(bench):
    """The model from its first state, and what it and its optimizer look like."""
    model = bench.again()
    plain_steps(model)
    return bench.again(), face(model.optimizer), dict(vars(model))


def test_after_a_fit_that_ended_well(bench, control):
    model, before, attributes = begin(bench)
    fit(model, [cycle()], EPOCHS)
    check(model, before, attributes, control)


def test_after_a_fit_that_was_stopped_early(bench, control):
    model, before, attributes = begin(bench)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True))
    fit(model, [cycle(), stop], EPOCHS)
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == 1
    check(model, before, attributes, control)


@pytest.mark.parametrize("before_ours", [True, False], ids=["before ours", "after ours"])
@pytest.mark.parametrize("hook", HOOKS)
def test_after_a_death_in_anothers_hook(bench, control, hook, before_ours):
    kind = KINDS[HOOKS.index(hook) % len(KINDS)]
    model, before, attributes = begin(bench)
    dies = Dies(hook, kind("on purpose"))
    with pytest.raises(kind, match="on purpose"):
        fit(model, [dies, cycle()] if before_ours else [cycle(), dies], EPOCHS, validation_data=data(1))
    check(model, before, attributes, control, lingering=SHOWN)


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_interrupt_between_two_batches(bench, control, kind):
    model, before, attributes = begin(bench)
    with pytest.raises(kind, match="on purpose"):
        fit(model, [cycle(), Dies("on_train_batch_end", kind("on purpose"), at=2)], EPOCHS)
    check(model, before, attributes, control, lingering=SHOWN)


@pytest.mark.parametrize("heals", ["fit", "train_on_batch"])
def test_after_a_death_in_anothers_hook_the_rate_is_keras_own_from_the_next_training_on(bench, heals):
    model, *_ = begin(bench)
    with pytest.raises(RuntimeError):
        fit(model, [cycle(), Dies("on_epoch_end", RuntimeError())], EPOCHS)
    x, y = data()
    model.fit(x, y, epochs=1, verbose=0) if heals == "fit" else model.train_on_batch(x, y)
    optimizer = model.optimizer
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == np.float32(0.01)
    optimizer.learning_rate = 0.5
    assert float(keras.ops.convert_to_numpy(optimizer.learning_rate)) == 0.5
    assert optimizer.get_config()["learning_rate"] == 0.5


@pytest.mark.parametrize(("at", "kind"), list(enumerate(KINDS)))
def test_after_data_that_raise(bench, control, at, kind):
    model, before, attributes = begin(bench)
    with pytest.raises((kind, Exception), match="on purpose"):  # TensorFlow wraps what its step's data raise
        model.fit(Batches(at, kind("on purpose")), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[cycle()])
    # Elsewhere Keras asks for data ahead of the step, outside of it: nothing of ours is called when they raise.
    check(model, before, attributes, control, lingering=SHOWN)


def test_after_a_generator_that_raises(bench, control):
    def batches():
        x, y = data()
        yield from ((x[:BATCH], y[:BATCH]) for _ in range(6))
        raise RuntimeError("on purpose")

    model, before, attributes = begin(bench)
    with pytest.raises(Exception, match="on purpose"):
        model.fit(batches(), epochs=EPOCHS, steps_per_epoch=BATCHES, shuffle=False, verbose=0, callbacks=[cycle()])
    check(model, before, attributes, control, lingering=SHOWN)


@pytest.mark.parametrize(
    ("eagerly", "kind"), [(False, RuntimeError), (False, KeyboardInterrupt), *((True, kind) for kind in KINDS)]
)
def test_after_a_death_in_our_own_step(eagerly, kind, control):
    calls_left = [1000]

    def loss(y, prediction):
        calls_left[0] -= 1
        if calls_left[0] < 0:
            raise kind("on purpose")
        return keras.losses.mean_squared_error(y, prediction)

    model = mlp(adam())
    model.compile(adam(), loss=loss, run_eagerly=eagerly, jit_compile=False if eagerly else "auto")
    plain_steps(model)
    before, weights = face(model.optimizer), model.get_weights()
    calls_left[0] = 2 if eagerly else 0
    with pytest.raises(kind, match="on purpose"):
        fit(model, [cycle()], EPOCHS)
    assert changes(before, face(model.optimizer)) == set()
    moved = any((a != b).any() for a, b in zip(weights, model.get_weights(), strict=True))
    assert moved == eagerly, "what a step that came to its end did stays, what died does not begin"
    calls_left[0] = 1000
    if not eagerly:  # an eager step's numbers are a little different from a compiled one's
        other = control.continuing(model)
        assert plain_steps(model) == plain_steps(other)
        assert same_bits(model, other)


def test_what_a_loss_scale_and_what_is_inside_it_held():
    def scaled():
        return Bench(keras.optimizers.LossScaleOptimizer(adam(), initial_scale=4.0))

    bench, control = scaled(), scaled()
    model, before, _ = begin(bench)
    fit(model, [cycle()], EPOCHS)
    assert changes(before, face(model.optimizer)) == set()
    with pytest.raises(KeyboardInterrupt):
        fit(model, [cycle(), Dies("on_epoch_end", KeyboardInterrupt())], EPOCHS)
    assert changes(before, face(model.optimizer)) <= {"learning_rate", *(f"inner {name}" for name in SHOWN)}
    other = control.continuing(model)
    assert plain_steps(model) == plain_steps(other)
    assert same_bits(model, other)
    assert changes(before, face(model.optimizer)) == set()


def test_a_rate_that_was_not_scheduled_keeps_what_was_written_to_it(bench):
    model, *_ = begin(bench)
    written = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.004)
    fit(model, [ParamScheduler({"mom": SchedLin(0.9, 0.8)}), written], EPOCHS)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == np.float32(0.004)
    assert model.optimizer.beta_1 == 0.9


def test_a_schedule_of_the_rate_gives_the_compiled_one_back_whatever_was_written(bench):
    model, *_ = begin(bench)
    written = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    fit(model, [ParamScheduler({"lr": SchedCos(0.1, 0.01)}), written], EPOCHS)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == np.float32(0.01)


def test_the_next_scheduled_fit_after_a_death_is_that_of_a_new_model(bench, control):
    model, *_ = begin(bench)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [cycle(), Dies("on_train_batch_end", KeyboardInterrupt())], EPOCHS)
    other = control.continuing(model)
    first, second = OneCycle(0.05), OneCycle(0.05)
    fit(model, [first], EPOCHS)
    fit(other, [second], EPOCHS)
    assert same_bits(model, other)
    assert (first.hps["lr"] == second.hps["lr"]).all()


def test_a_wrong_use_found_before_the_first_batch_leaves_nothing(bench, control):
    model, before, attributes = begin(bench)
    with pytest.raises(ValueError, match="scheduled by another callback"):
        fit(model, [cycle(), OneCycle(0.2)], EPOCHS)
    assert changes(before, face(model.optimizer)) == set()
    with pytest.raises(ValueError, match="has no such hyper-parameter"):
        fit(model, [cycle(), ParamScheduler({"rho": SchedLin(0.9, 0.8)})], EPOCHS)
    check(model, before, attributes, control)
