"""A schedule does nothing on the host per batch, and compiles no more than is needed; what is kept is never stale."""

import gc

import keras
import numpy as np
import pytest
from keras.src.utils import tracking  # noqa: TID251 - what walks whatever is set on a model
from oracle import data, eager, fit, largest_difference, mlp

import keras_sched
from keras_sched import FlatCos, OneCycle, ParamScheduler, SchedCos, SchedLin

EPOCHS = 2
N = 8
TOLERANCE = 2e-5
SCHEDULE = {"lr": SchedCos(0.1, 0.02), "mom": SchedLin(0.95, 0.8)}
PUBLIC = [getattr(keras_sched, name) for name in keras_sched.__all__]
CALLBACKS = [made for made in PUBLIC if isinstance(made, type) and issubclass(made, keras.callbacks.Callback)]


@keras.saving.register_keras_serializable("tests")
class Counted(keras.layers.Layer):
    """Passes its input on, and counts how often Python does so: once a trace of a compiled step."""

    calls = 0

    def call(self, inputs):
        Counted.calls += 1
        return inputs


def counted_model(optimizer):
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, activation="tanh"), Counted(), keras.layers.Dense(1)]
    )
    model.compile(optimizer, loss="mse")
    return model


def traces(run):
    """How often `run` traced the model."""
    before = Counted.calls
    run()
    return Counted.calls - before


@pytest.fixture
def compiled(backend):
    if backend == "torch":
        pytest.skip("PyTorch's step is not compiled")


@pytest.mark.parametrize("kind", [kind for kind in CALLBACKS if kind is not getattr(keras_sched, "LRFinder", None)])
def test_no_callback_has_a_hook_that_is_called_once_a_batch(kind):
    hooks = [f"on_{of}batch_{when}" for of in ("", "train_", "test_", "predict_") for when in ("begin", "end")]
    assert all(getattr(kind, hook) is getattr(keras.callbacks.Callback, hook) for hook in hooks)


def test_logs_stay_asynchronous(backend):
    callbacks = keras.callbacks.CallbackList([OneCycle(0.1), ParamScheduler(SCHEDULE)])
    plain = keras.callbacks.CallbackList([])
    assert callbacks._async_train == plain._async_train


def calls_a_batch(monkeypatch, owner, name, run):
    """How many calls of `owner.name` each batch of `run(epochs)` makes, what is done once a fit or epoch aside."""
    calls, own = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **kwargs: [calls.append(None), own(*args, **kwargs)][1])
    counts = []
    for batch_size in (8, 4):  # four batches, and eight
        del calls[:]
        run(batch_size)
        counts.append(len(calls))
    monkeypatch.undo()
    return (counts[1] - counts[0]) / 4


def in_batches(callbacks):
    model = mlp(keras.optimizers.Adam(0.01))

    def run(batch_size):
        model.fit(*data(), batch_size=batch_size, verbose=0, shuffle=False, callbacks=callbacks())

    for batch_size in (8, 4):
        run(batch_size)  # all that is done once for a model
    return run


def test_the_state_of_a_scheduled_step_is_not_walked_after_every_batch(backend, monkeypatch):
    if backend != "jax":
        pytest.skip("it is on JAX that Keras sets the state on the model")
    scheduled, plain = (
        calls_a_batch(monkeypatch, tracking.Tracker, "track", in_batches(callbacks))
        for callbacks in (lambda: [OneCycle(0.1)], list)
    )
    assert scheduled <= 6 < plain, "the plain step's is, value by value"


def test_a_scheduled_step_makes_no_more_tensors_than_a_plain_one(backend, monkeypatch):
    if backend != "torch":
        pytest.skip("elsewhere a step is compiled")
    import torch

    for maker in ("as_tensor", "tensor", "from_numpy"):
        scheduled, plain = (
            calls_a_batch(monkeypatch, torch, maker, in_batches(callbacks))
            for callbacks in (lambda: [OneCycle(0.1)], list)
        )
        assert scheduled <= plain, maker


def test_every_scheduled_fit_after_the_first_compiles_nothing(compiled):
    model = counted_model(keras.optimizers.Adam(0.01))
    first = traces(lambda: fit(model, [OneCycle(0.1)], EPOCHS))
    assert first >= 1
    assert traces(lambda: fit(model, [OneCycle(0.02, pct_start=0.6, moms=(0.9, 0.7, 0.9))], EPOCHS + 1)) == 0
    plain = traces(lambda: fit(model, [], EPOCHS))
    assert plain <= first
    for callback in (OneCycle(0.3), FlatCos(0.1), ParamScheduler({"lr": SchedCos(0.1, 0.0)})):
        assert traces(lambda callback=callback: fit(model, [callback], EPOCHS)) == 0
    assert traces(lambda: fit(model, [], EPOCHS)) == 0, "the plain step is kept as well"


def test_a_death_costs_no_compile(compiled):
    class Dies(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = counted_model(keras.optimizers.Adam(0.01))
    fit(model, [OneCycle(0.1)], EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [OneCycle(0.1), Dies()], EPOCHS)
    assert traces(lambda: fit(model, [OneCycle(0.1)], EPOCHS)) == 0


def scheduled_equals_by_hand(model, make):
    ours = ParamScheduler(SCHEDULE)
    fit(model, [ours], EPOCHS)
    expected = eager(make, {"learning_rate": ours.hps["lr"], "beta_1": ours.hps["mom"]}, EPOCHS)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE


def _from_its_beginning(optimizer):
    for variable in optimizer.variables:
        if variable is not optimizer.learning_rate:
            variable.assign(np.zeros(variable.shape, keras.backend.standardize_dtype(variable.dtype)))


@pytest.mark.parametrize(
    "constants", [{"beta_2": 0.9}, {"epsilon": 0.1}, {"amsgrad": True}], ids=["beta_2", "epsilon", "amsgrad"]
)
def test_a_new_optimizer_of_the_same_shape_is_not_served_by_the_old_ones_step(constants):
    start = mlp(keras.optimizers.Adam(0.01))
    model = mlp(keras.optimizers.Adam(0.01))
    fit(model, [ParamScheduler(SCHEDULE)], EPOCHS)
    model.set_weights(start.get_weights())
    model.compile(keras.optimizers.Adam(0.01, **constants), loss="mse")
    scheduled_equals_by_hand(model, lambda: keras.optimizers.Adam(0.01, **constants))


def test_a_new_loss_for_the_same_optimizer_is_not_served_by_the_old_step():
    start, optimizer = mlp(keras.optimizers.Adam(0.01)), keras.optimizers.Adam(0.01)
    model, other = mlp(optimizer), mlp(keras.optimizers.Adam(0.01))
    other.compile(other.optimizer, loss="mae")
    fit(model, [ParamScheduler(SCHEDULE)], EPOCHS)
    model.set_weights(start.get_weights())
    _from_its_beginning(optimizer)
    model.compile(optimizer, loss="mae")
    gc.collect()
    fit(model, [ParamScheduler(SCHEDULE)], EPOCHS)
    fit(other, [ParamScheduler(SCHEDULE)], EPOCHS)
    assert largest_difference(model.get_weights(), other.get_weights()) < TOLERANCE


def test_compiling_again_and_again_keeps_no_step_of_an_optimizer_that_is_gone(compiled):
    model = mlp(keras.optimizers.Adam(0.01))
    for rate in (0.01, 0.02, 0.03):
        model.compile(keras.optimizers.Adam(rate), loss="mse")
        fit(model, [OneCycle(0.1)], 1)
    (key, _), *others = model._keras_sched_steps
    assert others == []
    assert key.objects[1] is model.optimizer


def test_variables_that_do_not_train_any_more_are_not_trained_by_an_old_step():
    model = mlp(keras.optimizers.SGD(0.01))
    fit(model, [ParamScheduler({"lr": SchedCos(0.1, 0.02)})], EPOCHS)
    model.get_layer("body").trainable = False
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    before = [np.array(values) for values in model.get_layer("body").get_weights()]
    fit(model, [ParamScheduler({"lr": SchedCos(0.1, 0.02)})], EPOCHS)
    assert all((a == b).all() for a, b in zip(before, model.get_layer("body").get_weights(), strict=True))


def test_another_division_into_groups_is_not_served_by_the_old_one():
    def run(model, groups):
        fit(model, [OneCycle((0.001, 0.1), groups=groups)], EPOCHS)
        return model.get_weights()

    one_way, other_way = [["body"], ["head"]], [["head"], ["body"]]
    model, fresh = mlp(keras.optimizers.Adam(0.01)), mlp(keras.optimizers.Adam(0.01))
    start = model.get_weights()
    run(model, one_way)
    model.set_weights(start)
    _from_its_beginning(model.optimizer)
    assert largest_difference(run(model, other_way), run(fresh, other_way)) < 1e-6


def test_a_sample_weight_or_another_batch_size_needs_no_step_of_its_own():
    x, y = data()
    model = mlp(keras.optimizers.Adam(0.01))
    fit(model, [ParamScheduler(SCHEDULE)], EPOCHS)
    ours = ParamScheduler(SCHEDULE)
    weight = np.ones(len(x), "float32")
    model.fit(x, y, sample_weight=weight, batch_size=5, epochs=1, shuffle=False, verbose=0, callbacks=[ours])
    assert len(ours.hps["lr"]) == 7
