"""What each learning rate leads to: one cycle at every rate of a grid from every seed, in one compiled loop."""

from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.regret.data import Data
from benchmarks.regret.tasks import BATCH, EPOCHS, Task
from keras_sched import one_cycle, scheduled

State = tuple[list[Any], list[Any]]  # trainable weights, the others; each with a leading axis of seeds


class Oracle:
    """Trains one task with one optimizer, at many rates from many weights at once.

    Args:
        task: what is trained.
        model: its model, built; it is only looked at.
        optimizer: of that model; it is only looked at.
        data: what it is trained on.
    """

    def __init__(self, task: Task, model: keras.Model, optimizer: keras.Optimizer, data: Data) -> None:
        self.task, self.model, self.optimizer, self.data = task, model, optimizer, data
        self.epoch = max(1, len(data.x) // BATCH)
        optimizer.build(model.trainable_variables)
        self.start = [jnp.asarray(variable.value) for variable in optimizer.variables]
        self._run = jax.jit(self._train)
        self._run_reducing = jax.jit(self._train_reducing)
        self.x, self.y = jnp.asarray(data.x), jnp.asarray(data.y)

    def losses(
        self, state: State, rates: Any, epochs: int, recipe: Any = one_cycle, *, reducing: bool = False
    ) -> tuple[np.ndarray, State]:
        """Train every seed's weights at every rate; the validation losses, (rates, seeds), and what was trained.

        `recipe` makes of a rate what to schedule; the rate and the momentum have to be in it. With `reducing` the rate
        is reduced on plateaus, too.
        """
        seeds = len(state[0][0])
        which = np.repeat(np.arange(len(rates)), seeds), np.tile(np.arange(seeds), len(rates))
        found, weights = self._trained(state, rates, which, epochs, recipe, self._run_reducing if reducing else None)
        return found.reshape(len(rates), seeds), weights

    def tried(self, state: State, rates: np.ndarray, epochs: int) -> np.ndarray:
        """Train every seed's weights at rates of its own, (seeds, rates), for one cycle; the validation losses."""
        seeds, count = rates.shape
        which = np.arange(rates.size), np.repeat(np.arange(seeds), count)
        return self._trained(state, rates.ravel(), which, epochs, one_cycle)[0].reshape(rates.shape)

    def _trained(
        self, state: State, rates: Any, which: Any, epochs: int, recipe: Any, run: Any = None
    ) -> tuple[np.ndarray, State]:
        """Train the pairs of (place of the rate, seed) in `which`."""
        steps, seeds = epochs * self.epoch, len(state[0][0])
        most = max(EPOCHS) * self.epoch
        rows = np.stack([self._window(recipe(float(rate)), steps, most) for rate in rates])
        batches = np.zeros((seeds, most, BATCH), "int32")
        for seed in range(seeds):
            batches[seed, :steps] = self._batches(seed, epochs)
        found, weights = (run or self._run)(state, jnp.asarray(rows), jnp.asarray(batches), which, steps)
        return np.asarray(found), weights

    def untrained(self, state: State) -> float:
        """The validation loss of the weights as they are, the mean over seeds."""
        return float(jax.vmap(self._loss)(*state).mean())

    def _window(self, scheds: Any, steps: int, rows: int) -> np.ndarray:
        with scheduled(self.optimizer, scheds, steps=steps) as loop:
            ((window, _),) = loop.window()
        return np.resize(np.asarray(window), (rows, window.shape[1]))

    def _batches(self, seed: int, epochs: int) -> np.ndarray:
        rng, size = np.random.default_rng(seed), self.epoch * BATCH
        epoch = [np.resize(rng.permutation(len(self.data.x)), size) for _ in range(epochs)]
        return np.concatenate(epoch).reshape(-1, BATCH)

    def _train(self, state: State, rows: Any, batches: Any, which: Any, steps: Any) -> Any:
        def one(pair: Any) -> Any:
            rate, seed = pair
            start = ([w[seed] for w in state[0]], [w[seed] for w in state[1]], self.start)

            def step(i: Any, carry: Any) -> Any:
                return self._step(carry, (rows[rate], jnp.zeros((), "int32")), batches[seed, i])

            weights, others, _ = jax.lax.fori_loop(0, steps, step, start)
            return self._loss(weights, others), (weights, others)

        return jax.lax.map(one, which) if self.task.in_turn else jax.vmap(one)(which)

    def _train_reducing(self, state: State, rows: Any, batches: Any, which: Any, steps: Any) -> Any:
        """As Keras' `ReduceLROnPlateau`: a fifth of the rate after a sixth of the epochs without a better loss."""
        epochs = steps // self.epoch
        patience = jnp.maximum(epochs // 6, 1)

        def one(pair: Any) -> Any:
            rate, seed = pair
            start = ([w[seed] for w in state[0]], [w[seed] for w in state[1]], self.start)

            def epoch(number: Any, carry: Any) -> Any:
                trained, factor, best, wait = carry
                window = rows[rate].at[:, 0].multiply(factor), jnp.zeros((), "int32")  # the rate's column

                def step(i: Any, carry: Any) -> Any:
                    return self._step(carry, window, batches[seed, number * self.epoch + i])

                trained = jax.lax.fori_loop(0, self.epoch, step, trained)
                loss = self._loss(*trained[:2])
                better = loss < best - 1e-4  # Keras' default
                wait = jnp.where(better, 0, wait + 1)
                reduced = wait >= patience
                factor = jnp.where(reduced, factor * 0.2, factor)
                return trained, factor, jnp.minimum(best, loss), jnp.where(reduced, 0, wait)

            first = start, jnp.float32(1.0), jnp.float32(jnp.inf), jnp.zeros((), "int32")
            (weights, others, _), *_ = jax.lax.fori_loop(0, epochs, epoch, first)
            return self._loss(weights, others), (weights, others)

        return jax.lax.map(one, which) if self.task.in_turn else jax.vmap(one)(which)

    def _step(self, carry: Any, window: Any, batch: Any) -> Any:
        weights, others, slots = carry
        x, y = self.x[batch], self.y[batch]

        def loss(weights: Any) -> Any:
            predicted, after, *_ = self.model.stateless_call(weights, others, x, training=True)
            return self.task.loss(y, predicted), after

        gradients, others = jax.grad(loss, has_aux=True)(weights)
        with scheduled(self.optimizer, one_cycle(1.0), steps=1) as loop:
            weights, slots = loop.stateless_apply((window,), slots, gradients, weights)
        return weights, others, slots

    def _loss(self, weights: Any, others: Any) -> Any:
        predicted, *_ = self.model.stateless_call(weights, others, self.data.x_val, training=False)
        return self.task.loss(self.data.y_val, predicted)
