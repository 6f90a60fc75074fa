"""A backend that comes in a package of its own: scheduled where it trains a model in place, and else refused."""

import keras
import numpy as np
import pytest
from oracle import BATCHES, SetByHand, fit, largest_difference, mlp

from keras_sched import OneCycle, ParamScheduler, SchedCos, freeze, lr_find, scheduled

EPOCHS = 3
N = EPOCHS * BATCHES
SCHEDS = {"learning_rate": SchedCos(0.05, 0.005), "beta_1": SchedCos(0.95, 0.6)}
VALUES = {name: anneal(np.arange(N) / N) for name, anneal in SCHEDS.items()}


@pytest.fixture
def by_hand():
    model = made()
    fit(model, [SetByHand(VALUES)], EPOCHS)
    return model.get_weights()


@pytest.fixture
def unknown(by_hand, monkeypatch):
    """This process' backend, under a name that nobody knows."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "abacus")


@pytest.fixture
def in_place(backend):
    if backend == "jax":
        pytest.skip("JAX hands a step its state")


def made(**compile_arguments):
    arguments = {"run_eagerly": True, "jit_compile": False, **compile_arguments}
    return mlp(keras.optimizers.Adam(0.01), **arguments)


def test_one_that_trains_in_place_trains_as_by_hand(in_place, by_hand, unknown):
    model, ours = made(), ParamScheduler(SCHEDS)
    fit(model, [ours], EPOCHS)
    assert largest_difference(by_hand, model.get_weights()) < 2e-5
    assert ours.hps["learning_rate"].tolist() == VALUES["learning_rate"].tolist()


def test_a_search_on_it_finds_what_it_finds_elsewhere_and_gives_the_weights_back(in_place, backend, monkeypatch):
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    arguments = {
        "batch_size": 8,
        "num_it": 20,
        "shuffle": False,
        "show_plot": False,
        "verbose": 0,
        "suggest_funcs": None,
    }
    expected = lr_find(made(), x, x[:, :1], **arguments)
    monkeypatch.setattr(keras.backend, "backend", lambda: "abacus")
    model = made()
    before = model.get_weights()
    found = lr_find(model, x, x[:, :1], **arguments)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
    assert [a.tobytes() for a in before] == [a.tobytes() for a in model.get_weights()]


def test_freezing_on_it_leaves_the_body_alone(in_place, unknown):
    model = made()
    before = model.get_weights()
    freeze(model)
    fit(model, [OneCycle(0.1)], 1)
    after = model.get_weights()
    assert [(a == b).all() for a, b in zip(before, after, strict=True)] == [True, True, False, False]


def test_one_that_compiles_its_step_is_refused_in_the_batch_that_would_keep_the_values_of_another(backend, unknown):
    if backend != "tensorflow":
        pytest.skip("only TensorFlow compiles a step that trains in place")
    model = made(run_eagerly=False)
    with pytest.raises(RuntimeError, match=r"the backend `abacus` has compiled the step.*run_eagerly=True"):
        fit(model, [OneCycle(0.1)], 1)
    assert 1 <= int(model.optimizer.iterations) <= 2
    assert "apply" not in vars(model.optimizer)


def test_one_that_hands_a_step_its_state_is_refused_before_the_first_batch(backend, unknown):
    if backend != "jax":
        pytest.skip("that is JAX's way")
    model = made()
    with pytest.raises(RuntimeError, match=r"the backend `abacus`.*handed its state.*Set KERAS_BACKEND"):
        fit(model, [OneCycle(0.1)], 1)
    assert int(model.optimizer.iterations) == 0


def test_several_batches_in_one_call_are_refused_before_the_first(in_place, several_steps, unknown):
    model = made(steps_per_execution=2)
    with pytest.raises(RuntimeError, match=r"several batches in one call.*steps_per_execution=1"):
        fit(model, [OneCycle(0.1)], 1)
    assert int(model.optimizer.iterations) == 0


def test_a_loop_of_ones_own_takes_its_values_too(unknown):
    weight, optimizer = keras.Variable([1.0]), keras.optimizers.SGD(0.5)
    with scheduled(optimizer, {"lr": SchedCos(0.4, 0.0)}, steps=2):
        for _ in range(2):
            optimizer.apply([keras.ops.ones(1)], [weight])
    assert float(weight.numpy()[0]) == pytest.approx(1 - 0.4 - 0.2)


def test_one_that_does_not_train_is_refused(run_script):
    pytest.importorskip("jax", reason="Keras' NumPy backend imports it")
    printed = run_script(
        """
        import keras
        from keras_sched import SchedNo, scheduled

        try:
            scheduled(keras.optimizers.SGD(), {"lr": SchedNo(0.1, 0.1)}, steps=2)
        except RuntimeError as error:
            print(error)
        """,
        backend="numpy",
    )
    assert "the backend `numpy`" in printed
    assert "Set KERAS_BACKEND to jax, tensorflow or torch" in printed
