"""A model with a `train_step` of its own, in each backend's idiom, takes the schedule as Keras' own step does."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from oracle import BATCH, BATCHES, SetByHand, data, largest_difference

from keras_sched import ParamScheduler, SchedCos

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5
SCHEDS = {"learning_rate": SchedCos(0.05, 0.005), "beta_1": SchedCos(0.95, 0.6)}
VALUES = {name: anneal(np.arange(N) / N) for name, anneal in SCHEDS.items()}


class OwnStep(keras.Model):
    """A mean squared error, differentiated by hand; `logs` says what its step returns."""

    def __init__(self, logs: Any = None) -> None:
        super().__init__()
        self.body = keras.layers.Dense(6, activation="tanh")
        self.head = keras.layers.Dense(1)
        self.own_logs = logs or (lambda model, loss: {"loss": loss})

    def call(self, inputs: Any, *, training: bool = False) -> Any:
        return self.head(self.body(inputs))

    def train_step(self, *arguments: Any) -> Any:
        return getattr(self, f"_{keras.backend.backend()}_step")(*arguments)

    def _jax_step(self, state: Any, batch: Any) -> Any:
        import jax

        trainable, others, of_optimizer, metrics = state
        x, y = batch

        def loss_of(trainable: Any) -> Any:
            predicted, new_others = self.stateless_call(trainable, others, x, training=True)
            return ops.mean((predicted - y) ** 2), new_others

        (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
        trainable, of_optimizer = self.optimizer.stateless_apply(of_optimizer, gradients, trainable)
        return self.own_logs(self, loss), (trainable, others, of_optimizer, metrics)

    def _tensorflow_step(self, batch: Any) -> Any:
        import tensorflow as tf

        x, y = batch
        with tf.GradientTape() as tape:
            loss = ops.mean((self(x, training=True) - y) ** 2)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return self.own_logs(self, loss)

    def _torch_step(self, batch: Any) -> Any:
        import torch

        x, y = batch
        self.zero_grad()
        loss = ops.mean((self(x, training=True) - y) ** 2)
        loss.backward()
        variables = self.trainable_variables
        with torch.no_grad():
            self.optimizer.apply([variable.value.grad for variable in variables], variables)
        return self.own_logs(self, loss)


def made(logs: Any = None, **compile_arguments: Any) -> OwnStep:
    keras.utils.set_random_seed(7)
    model = OwnStep(logs)
    model.compile(keras.optimizers.Adam(0.01), loss="mse", **compile_arguments)
    return model


def train(model: keras.Model, *callbacks: Any) -> dict[str, Any]:
    x, y = data()
    return model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks)).history


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    model = made(run_eagerly=True, jit_compile=False)
    train(model, SetByHand(VALUES))
    return model.get_weights()


def test_a_step_that_returns_its_loss(expected: list[np.ndarray]) -> None:
    model = made()
    history = train(model, ParamScheduler(SCHEDS))
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
    assert list(history["loss"]) == sorted(history["loss"], reverse=True)


def test_a_step_around_keras_own() -> None:
    class Around(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.head(inputs)

        def train_step(self, *arguments: Any) -> Any:
            result = super().train_step(*arguments)
            if keras.backend.backend() == "jax":
                return {**result[0], "twice": 2 * result[0]["loss"]}, result[1]
            return {**result, "twice": 2 * result["loss"]}

    def around(**compile_arguments: Any) -> keras.Model:
        keras.utils.set_random_seed(7)
        model = Around()
        model.compile(keras.optimizers.Adam(0.01), loss="mse", **compile_arguments)
        return model

    by_hand, model = around(run_eagerly=True, jit_compile=False), around()
    train(by_hand, SetByHand(VALUES))
    train(model, ParamScheduler(SCHEDS))
    assert largest_difference(by_hand.get_weights(), model.get_weights()) < TOLERANCE


def test_a_step_that_logs_the_rate_tells_the_one_it_trains_with() -> None:
    def logs(model: keras.Model, loss: Any) -> dict[str, Any]:
        return {"loss": loss, "rate": ops.convert_to_tensor(model.optimizer.learning_rate)}

    told: list[float] = []
    hear = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(float(logs["rate"])))
    train(made(logs), ParamScheduler(SCHEDS), hear)
    np.testing.assert_allclose(told, VALUES["learning_rate"], rtol=1e-6)


@pytest.mark.parametrize("batches", [2, 3])
def test_a_step_of_several_in_one_execution_logs_its_own_rate(batches: int, several_steps: None) -> None:
    def logs(model: keras.Model, loss: Any) -> dict[str, Any]:
        return {"loss": loss, "rate": ops.convert_to_tensor(model.optimizer.learning_rate)}

    told: list[float] = []
    hear = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: told.append(float(logs["rate"])))
    model = made(logs, steps_per_execution=batches)
    train(model, ParamScheduler(SCHEDS), hear)
    last = [row for row in range(N) if row % BATCHES % batches == batches - 1 or row % BATCHES == BATCHES - 1]
    np.testing.assert_allclose(told, VALUES["learning_rate"][last], rtol=1e-6)
