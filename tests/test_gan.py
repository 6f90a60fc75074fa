"""Two optimizers of a model's own, each with a schedule of its own, in one fit: as a GAN trains."""

import keras
import numpy as np
import pytest
from keras import ops
from oracle import BATCHES, SetByHand, data, fit, largest_difference

from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin, lr_find, one_cycle

EPOCHS = 3
N = EPOCHS * BATCHES
D_SCHEDS = {"lr": SchedCos(0.05, 0.005), "mom": SchedLin(0.9, 0.5)}
KINDS = {"compiled": {}, "eager": {"run_eagerly": True, "jit_compile": False}}


class GAN(keras.Model):
    """A discriminator and a generator of a few weights, each with its optimizer."""

    def __init__(self):
        super().__init__()
        self.discriminator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)])
        self.generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
        self.built = True

    def compile(self, d_optimizer, g_optimizer, **compile_arguments):
        super().compile(**compile_arguments)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        d_optimizer.build(self.discriminator.trainable_variables)
        g_optimizer.build(self.generator.trainable_variables)

    def d_loss(self, real, fake):
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def g_loss(self, fake):
        return ops.mean(ops.softplus(-fake))


class TensorFlowGAN(GAN):
    def train_step(self, data):
        import tensorflow as tf

        (x, _), value = data, None
        for loss, part, optimizer in self.turns(x):
            with tf.GradientTape() as tape:
                value = loss()
            variables = part.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return {"loss": value}

    def turns(self, x):
        discriminator, generator = self.discriminator, self.generator
        yield lambda: self.d_loss(discriminator(x), discriminator(generator(x))), discriminator, self.d_optimizer
        yield lambda: self.g_loss(discriminator(generator(x))), generator, self.g_optimizer


class TorchGAN(TensorFlowGAN):
    def train_step(self, data):
        import torch

        (x, _), value = data, None
        for loss, part, optimizer in self.turns(x):
            self.zero_grad()
            value = loss()
            value.backward()
            with torch.no_grad():
                optimizer.apply(
                    [variable.value.grad for variable in part.trainable_variables], part.trainable_variables
                )
        return {"loss": value.detach()}


class JaxGAN(GAN):
    @property
    def non_trainable_variables(self):
        """The state of both optimizers travels with what does not train."""
        return [*super().non_trainable_variables, *self.d_optimizer.variables, *self.g_optimizer.variables]

    def train_step(self, state, data):
        import jax

        trainable, others, of_optimizer, metrics = state
        (x, _), split = data, len(self.discriminator.trainable_variables)
        d_weights, g_weights = trainable[:split], trainable[split:]
        place = len(self.d_optimizer.variables)
        d_state, g_state = others[:place], others[place:]

        def d_loss(weights):
            fake, _ = self.generator.stateless_call(g_weights, [], x)
            (real, _), (fake, _) = (self.discriminator.stateless_call(weights, [], each) for each in (x, fake))
            return self.d_loss(real, fake)

        d_weights, d_state = self.d_optimizer.stateless_apply(d_state, jax.grad(d_loss)(d_weights), d_weights)

        def g_loss(weights):
            fake, _ = self.generator.stateless_call(weights, [], x)
            return self.g_loss(self.discriminator.stateless_call(d_weights, [], fake)[0])

        loss, gradients = jax.value_and_grad(g_loss)(g_weights)
        g_weights, g_state = self.g_optimizer.stateless_apply(g_state, gradients, g_weights)
        return {"loss": loss}, ([*d_weights, *g_weights], [*d_state, *g_state], of_optimizer, metrics)


MODELS = {"jax": JaxGAN, "tensorflow": TensorFlowGAN, "torch": TorchGAN}


def gan(**compile_arguments):
    keras.utils.set_random_seed(11)
    model = MODELS[keras.backend.backend()]()
    model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.02, momentum=0.9), **compile_arguments)
    return model


def schedulers(model):
    return [
        ParamScheduler(D_SCHEDS, optimizer=model.d_optimizer),
        OneCycle(0.05, optimizer=model.g_optimizer),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_both_optimizers_take_their_own_row_in_each_batch(kind):
    model = gan(**KINDS[kind])
    before = [model.d_optimizer.apply, model.g_optimizer.apply]
    callbacks = schedulers(model)
    history = fit(model, callbacks, EPOCHS)
    assert largest_difference(weights(model), by_hand_weights()) < 2e-5
    np.testing.assert_allclose(callbacks[0].hps["mom"], D_SCHEDS["mom"](np.arange(N) / N))
    np.testing.assert_allclose(callbacks[1].hps["lr"], one_cycle(0.05)["lr"](np.arange(N) / N))
    assert {"d_optimizer_learning_rate", "g_optimizer_momentum"} <= set(history.history)
    assert [model.d_optimizer.apply, model.g_optimizer.apply] == before
    assert [float(each.learning_rate) for each in (model.d_optimizer, model.g_optimizer)] == pytest.approx([0.01, 0.02])


def test_a_search_says_which_optimizer_it_is_for():
    model = gan()
    before = weights(model)
    others = "other optimizers: `model.d_optimizer`, `model.g_optimizer`"
    says = rf"`lr_find` found the optimizer .* {others}\. A search is for .*: compile with `model.d_optimizer`\."
    with pytest.raises(RuntimeError, match=says):
        lr_find(model, *data(), num_it=10, show_plot=False, verbose=0)
    assert largest_difference(weights(model), before) == 0


def weights(model):
    return [np.array(each) for each in (*model.discriminator.get_weights(), *model.generator.get_weights())]


def by_hand_weights():
    model, positions, cycle = gan(**KINDS["eager"]), np.arange(N) / N, one_cycle(0.05)
    d_values = {"learning_rate": D_SCHEDS["lr"](positions), "beta_1": D_SCHEDS["mom"](positions)}
    g_values = {"learning_rate": cycle["lr"](positions), "momentum": cycle["mom"](positions)}
    fit(model, [SetByHand(d_values, lambda _: model.d_optimizer), SetByHand(g_values, lambda _: model.g_optimizer)])
    return weights(model)
