"""One schedule for every optimizer inside a `MultiOptimizer`: each gets its values, and its own rate back."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, SetByHand, data, largest_difference, mlp, uncompiled

from keras_sched import OneCycle, ParamScheduler, SchedCos, one_cycle

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5
POSITIONS = np.arange(N) / N

pytestmark = pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has it since 3.15")


def both(**of_adam: Any) -> keras.Optimizer:
    """Adam for the layer `body`, SGD with momentum for the rest."""
    inner = {".*body/.*": keras.optimizers.Adam(0.02, name="body_adam", **of_adam)}
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, name="head_sgd")
    return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(sgd, inner))


def parts(model: keras.Model) -> tuple[Any, Any]:
    """Adam and SGD of `both`."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    adam, sgd = optimizer.optimizers
    return adam, sgd


def train(model: keras.Model, *callbacks: Any, epochs: int = EPOCHS) -> list[np.ndarray]:
    x, y = data()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def by_hand(make: Callable[[], Any], of_adam: dict[str, Any], of_sgd: dict[str, Any]) -> list[np.ndarray]:
    """An eager run with each optimizer's values set by hand."""
    with uncompiled():
        return train(
            mlp(make(), run_eagerly=True, jit_compile=False),
            SetByHand(of_adam, inside=lambda optimizer: optimizer.optimizers[0]),
            SetByHand(of_sgd, inside=lambda optimizer: optimizer.optimizers[1]),
        )


def cycles(adam: float, sgd: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """One cycle's values at each batch, for a highest rate of each of the two."""
    of_adam, of_sgd = ({name: anneal(POSITIONS) for name, anneal in one_cycle(rate).items()} for rate in (adam, sgd))
    return {"learning_rate": of_adam["lr"], "beta_1": of_adam["mom"]}, {
        "learning_rate": of_sgd["lr"],
        "momentum": of_sgd["mom"],
    }


def test_without_a_rate_each_cycles_up_to_its_own() -> None:
    model = mlp(both())
    assert largest_difference(by_hand(both, *cycles(0.02, 0.1)), train(model, OneCycle())) < TOLERANCE


def test_one_rate_is_for_all_of_them() -> None:
    model = mlp(both())
    assert largest_difference(by_hand(both, *cycles(0.05, 0.05)), train(model, OneCycle(0.05))) < TOLERANCE


def test_afterwards_each_has_its_own_rate_and_momentum_again() -> None:
    model = mlp(both())
    train(model, OneCycle(0.05))
    adam, sgd = parts(model)
    assert float(adam.learning_rate) == pytest.approx(0.02)
    assert float(sgd.learning_rate) == pytest.approx(0.1)
    assert (adam.beta_1, sgd.momentum) == (0.9, 0.9)
    assert not {"apply", "_get_current_learning_rate"} & (set(vars(adam)) | set(vars(sgd)) | set(vars(model.optimizer)))


def test_a_plain_fit_afterwards_trains_as_if_there_had_been_no_schedule() -> None:
    model, control = mlp(both()), mlp(both())
    train(model, OneCycle(0.05))
    control.set_weights(model.get_weights())
    control.optimizer.build(control.trainable_variables)
    control.optimizer.set_weights([variable.numpy() for variable in model.optimizer.variables])
    assert largest_difference(train(control), train(model)) == 0


def test_hps_and_logs_tell_the_two_apart() -> None:
    cycle = OneCycle()
    model = mlp(both())
    x, y = data()
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[cycle])
    of_adam, of_sgd = cycles(0.02, 0.1)
    expected = np.stack([of_adam["learning_rate"], of_sgd["learning_rate"]], axis=-1)
    np.testing.assert_allclose(cycle.hps["lr"], expected, rtol=1e-6)  # the compiled rates are float32
    assert cycle.hps["mom"].shape == (N,), "what both have the same is told once"
    last = [BATCHES - 1, 2 * BATCHES - 1, N - 1]
    for name, column in (("body_adam", 0), ("head_sgd", 1)):
        np.testing.assert_allclose(history.history[f"{name}_learning_rate"], expected[last, column], rtol=1e-6)


def test_under_a_loss_scale() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")

    def make() -> Any:
        return keras.optimizers.LossScaleOptimizer(both(), initial_scale=64.0)

    try:
        model = mlp(make())
        expected = by_hand(make, *cycles(0.02, 0.1))
        assert largest_difference(expected, train(model, OneCycle())) < 2e-3
        adam, sgd = parts(model)
        assert (float(adam.learning_rate), float(sgd.learning_rate)) == pytest.approx((0.02, 0.1))
    finally:
        keras.config.set_dtype_policy(before)


def test_with_accumulation_in_one_of_the_two() -> None:
    def make() -> Any:
        return both(gradient_accumulation_steps=2)

    values = {"learning_rate": SchedCos(0.1, 0.001)(POSITIONS)}
    weights = train(mlp(make()), ParamScheduler({"lr": SchedCos(0.1, 0.001)}))
    assert largest_difference(by_hand(make, values, values), weights) < TOLERANCE


def test_a_hyper_parameter_that_one_of_them_lacks_is_refused_before_the_first_batch() -> None:
    model = mlp(both())
    before = model.get_weights()
    with pytest.raises(ValueError, match="SGD has no such hyper-parameter"):
        train(model, ParamScheduler({"beta_2": SchedCos(0.9, 0.99)}))
    assert largest_difference(before, model.get_weights()) == 0
    assert all("apply" not in vars(part) for part in parts(model))


def by_function() -> keras.Optimizer:
    """`both`, its optimizers chosen by a function, which Keras asks when the variables are there."""
    adam, sgd = keras.optimizers.Adam(0.02), keras.optimizers.SGD(0.1, momentum=0.9)
    return keras.optimizers.MultiOptimizer(lambda variable: adam if "body" in variable.path else sgd)


def test_optimizers_that_a_function_chooses() -> None:
    expected = by_hand(both, *cycles(0.05, 0.05))
    assert largest_difference(expected, train(mlp(by_function()), OneCycle(0.05))) < TOLERANCE


def test_optimizers_that_a_function_chooses_for_a_model_that_is_not_built(backend: str) -> None:
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(6, activation="tanh", name="body"), keras.layers.Dense(1, name="head")]
    model = keras.Sequential(layers)
    model.compile(by_function(), loss="mse")
    if backend == "tensorflow":  # Keras builds it there in the first batch, and knows no optimizer before
        with pytest.raises(RuntimeError, match="Build the model first"):
            train(model, OneCycle(0.05))
        model.build((None, 4))
    assert largest_difference(by_hand(both, *cycles(0.05, 0.05)), train(model, OneCycle(0.05))) < TOLERANCE


def test_an_optimizer_that_no_variable_is_given_to_is_passed_over() -> None:
    def make() -> Any:
        inner = {"nothing": keras.optimizers.Adam(0.02), ".*": keras.optimizers.SGD(0.1, momentum=0.9)}
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.Lion(), inner))

    cycle = OneCycle(0.05)
    weights = train(mlp(make()), cycle)
    control = mlp(keras.optimizers.SGD(0.1, momentum=0.9))
    assert largest_difference(train(control, OneCycle(0.05)), weights) < TOLERANCE
    np.testing.assert_allclose(cycle.hps["lr"], cycles(0.05, 0.05)[0]["learning_rate"], rtol=1e-12)
