"""A schedule is exact in every mode of training: the weights are those of an eager run with values set by hand."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, KERAS, SetByHand, data, largest_difference, mlp, uncompiled

from keras_sched import AnnealedSchedule, OneCycle, ParamScheduler, SchedCos, SchedLin

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5
RANGES = {"learning_rate": (0.05, 0.005), "beta_1": (0.95, 0.6)}

Make = Callable[[], Any]
Ranges = Mapping[str, tuple[float, float]]


def adam(**more: Any) -> keras.Optimizer:
    return keras.optimizers.Adam(0.01, **more)


def scheds(ranges: Ranges = RANGES) -> dict[str, Any]:
    return {name: SchedCos(*ends) for name, ends in ranges.items()}


def values(ranges: Ranges = RANGES, rows: Any = range(N), total: int = N) -> dict[str, np.ndarray]:
    return {name: SchedCos(*ends)(np.asarray(rows) / total) for name, ends in ranges.items()}


def train(model: keras.Model, *callbacks: Any, epochs: int = EPOCHS, **arguments: Any) -> list[np.ndarray]:
    x, y = arguments.pop("on", None) or data()
    arguments = {"batch_size": BATCH, "epochs": epochs, "shuffle": False, "verbose": 0, **arguments}
    model.fit(x, y, callbacks=list(callbacks), **arguments)
    return model.get_weights()


class SetByStep(SetByHand):
    """Sets the values of the step that the optimizer counts, from each epoch's own beginning."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.first = epoch * BATCHES - self._count()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.batch = self.first + self._count()
        super().on_train_batch_begin(batch, logs)

    def _count(self) -> int:
        return int(getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)._iterations)


def eagerly(make: Make, *callbacks: Any, build: Callable[..., Any] = mlp, **arguments: Any) -> list[np.ndarray]:
    with uncompiled():
        return train(build(make(), run_eagerly=True, jit_compile=False), *callbacks, **arguments)


def by_hand(make: Make, ranges: Ranges = RANGES, build: Callable[..., Any] = mlp, **arguments: Any) -> list[np.ndarray]:
    """The weights of an eager run whose values are set by hand."""
    return eagerly(make, SetByStep(values(ranges)), build=build, **arguments)


def check(
    make: Make, ranges: Ranges = RANGES, *, build: Callable[..., Any] = mlp, tolerance: float = TOLERANCE, **mode: Any
) -> None:
    """Compiled in `mode` and scheduled, a model trains as one by hand, and not as one without a schedule."""
    expected = by_hand(make, ranges, build)
    assert largest_difference(expected, train(build(make(), **mode), ParamScheduler(scheds(ranges)))) < tolerance
    constant = eagerly(make, build=build)
    assert largest_difference(expected, constant) > 10 * tolerance, "the schedule is without effect"


@functools.cache
def adam_by_hand() -> tuple[np.ndarray, ...]:
    keras.utils.set_random_seed(0)
    expected = by_hand(adam)
    assert largest_difference(expected, train(mlp(adam()))) > 10 * TOLERANCE, "the schedule is without effect"
    return tuple(expected)


# How the step is compiled


@pytest.mark.parametrize("batches", [2, 3, 4, 5])
def test_several_steps_in_one_execution(batches: int, several_steps: None) -> None:
    # Three does not divide an epoch of four batches; five are more than it has.
    weights = train(mlp(adam(), steps_per_execution=batches), ParamScheduler(scheds()))
    assert largest_difference(adam_by_hand(), weights) < TOLERANCE


def test_several_steps_in_one_execution_use_one_row_each(several_steps: None) -> None:
    scheduler = ParamScheduler(scheds())
    train(mlp(adam(), steps_per_execution=3), scheduler)
    np.testing.assert_allclose(scheduler.hps["learning_rate"], values()["learning_rate"], rtol=1e-12)


def test_steps_per_execution_on_pytorch_is_keras_own_error(backend: str) -> None:
    if backend != "torch" or KERAS >= (3, 16):
        pytest.skip("here Keras has that mode")
    model = mlp(adam(), steps_per_execution=2)
    with pytest.raises(ValueError, match="must be 1 with the PyTorch backend"):
        train(model, ParamScheduler(scheds()))
    assert "apply" not in vars(model.optimizer)


@pytest.mark.parametrize("jit", [False, "auto"])
def test_jit_compile(jit: bool | str) -> None:
    weights = train(mlp(adam(), jit_compile=jit), ParamScheduler(scheds()))
    assert largest_difference(adam_by_hand(), weights) < TOLERANCE


def test_jit_compile_true() -> None:
    weights = train(mlp(adam(), jit_compile=True), ParamScheduler(scheds()))
    assert largest_difference(adam_by_hand(), weights) < TOLERANCE


def test_a_plain_fit_after_one_compiled_on_pytorch_is_as_if_there_had_been_no_schedule(backend: str) -> None:
    if backend != "torch":
        pytest.skip("elsewhere the plain step is another compiled function")
    model = mlp(adam(), jit_compile=True)
    train(model, ParamScheduler(scheds()), epochs=1)
    control = mlp(adam(), jit_compile=False)
    control.set_weights(model.get_weights())
    control.optimizer.build(control.trainable_variables)
    control.optimizer.set_weights([variable.numpy() for variable in model.optimizer.variables])
    assert largest_difference(train(control), train(model)) < TOLERANCE


def test_run_eagerly() -> None:
    weights = train(mlp(adam(), run_eagerly=True, jit_compile=False), ParamScheduler(scheds()))
    assert largest_difference(adam_by_hand(), weights) < TOLERANCE


def test_eager_steps_several_in_one_execution(several_steps: None) -> None:
    weights = train(mlp(adam(), run_eagerly=True, jit_compile=False, steps_per_execution=3), ParamScheduler(scheds()))
    assert largest_difference(adam_by_hand(), weights) < TOLERANCE


def test_the_mode_changed_by_a_second_compile_is_taken() -> None:
    model = mlp(adam())
    start = model.get_weights()
    train(model, ParamScheduler(scheds()))
    model.compile(adam(), loss="mse", run_eagerly=True, jit_compile=False)
    model.set_weights(start)
    assert largest_difference(adam_by_hand(), train(model, ParamScheduler(scheds()))) < TOLERANCE


# Accumulation, averages, clipping


@pytest.mark.parametrize("steps", [2, 3])
def test_gradient_accumulation(steps: int) -> None:
    check(lambda: adam(gradient_accumulation_steps=steps))


def test_accumulation_over_several_steps_in_one_execution(several_steps: None) -> None:
    check(lambda: adam(gradient_accumulation_steps=2), steps_per_execution=3)


@pytest.mark.parametrize("frequency", [None, 3])
def test_the_moving_average_and_its_overwriting(frequency: int | None) -> None:
    check(
        lambda: adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=frequency),
        RANGES | {"ema_momentum": (0.95, 0.5)},
    )


def test_averaged_weights_swapped_in_for_evaluation() -> None:
    def make() -> keras.Optimizer:
        return adam(use_ema=True, ema_momentum=0.9)

    def run(model: keras.Model, callback: Any) -> tuple[list[np.ndarray], list[float]]:
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        x, y = data()
        history = model.fit(
            x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, validation_data=(x, y),
            callbacks=[callback, swap],
        )  # fmt: skip
        return model.get_weights(), history.history["val_loss"]

    expected, losses = run(mlp(make(), run_eagerly=True, jit_compile=False), SetByHand(values()))
    weights, losses_scheduled = run(mlp(make()), ParamScheduler(scheds()))
    assert largest_difference(expected, weights) < TOLERANCE
    np.testing.assert_allclose(losses_scheduled, losses, rtol=1e-4)


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_constant_clipping_beside_a_scheduled_rate(clipping: str) -> None:
    check(lambda: keras.optimizers.SGD(0.1, momentum=0.9, **{clipping: 0.1}), {"learning_rate": (0.1, 0.01)})


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_scheduled_clipping_with_accumulation_in_a_compiled_step(clipping: str) -> None:
    def make() -> keras.Optimizer:
        return keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2, **{clipping: 0.1})

    check(make, {clipping: (0.5, 0.01), "learning_rate": (0.1, 0.01)}, jit_compile="auto")


# Kinds of models and data


def test_a_last_batch_that_is_smaller() -> None:
    x, y = data()
    some = (x[:29], y[:29])
    expected = by_hand(adam, on=some)
    assert largest_difference(expected, train(mlp(adam()), ParamScheduler(scheds()), on=some)) < TOLERANCE


def test_a_sequential_model_without_an_input_layer() -> None:
    def build(optimizer: Any, **compile_arguments: Any) -> keras.Model:
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)])
        model.compile(optimizer, loss="mse", **compile_arguments)
        return model

    check(adam, build=build)


class Subclassed(keras.Model):
    """A model that is code, with a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = keras.layers.Dense(4, activation="tanh")
        self.head = keras.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.head(self.shared(self.shared(inputs)))


def test_a_subclassed_model() -> None:
    def build(optimizer: Any, **compile_arguments: Any) -> keras.Model:
        keras.utils.set_random_seed(7)
        model = Subclassed()
        model.compile(optimizer, loss="mse", **compile_arguments)
        return model

    check(adam, build=build)


def test_a_layer_that_two_branches_share() -> None:
    def build(optimizer: Any, **compile_arguments: Any) -> keras.Model:
        keras.utils.set_random_seed(7)
        shared = keras.layers.Dense(4, activation="tanh")
        one = keras.Input((4,))
        twice = keras.layers.Concatenate()([shared(one), shared(keras.layers.Dense(4)(one))])
        model = keras.Model(one, keras.layers.Dense(1)(twice))
        model.compile(optimizer, loss="mse", **compile_arguments)
        return model

    check(adam, build=build)


def test_a_model_compiled_with_a_schedule_of_its_own() -> None:
    def make() -> keras.Optimizer:
        return keras.optimizers.SGD(AnnealedSchedule(SchedLin(0.5, 0.1), 5), momentum=0.9)

    ranges = {"learning_rate": (0.1, 0.001), "momentum": (0.95, 0.5)}
    expected = by_hand(lambda: keras.optimizers.SGD(0.1, momentum=0.9), ranges)
    model = mlp(make())
    own = vars(model.optimizer)["_learning_rate"]
    assert largest_difference(expected, train(model, ParamScheduler(scheds(ranges)))) < TOLERANCE
    assert vars(model.optimizer)["_learning_rate"] is own
    plain = mlp(make())
    plain.set_weights(model.get_weights())
    plain.optimizer.build(plain.trainable_variables)
    plain.optimizer.set_weights([kept.numpy() for kept in model.optimizer.variables])
    assert largest_difference(train(plain), train(model)) < TOLERANCE, "afterwards it follows its own schedule again"


def test_the_momentum_alone_beside_a_schedule_of_the_models_own() -> None:
    def make() -> keras.Optimizer:
        return keras.optimizers.SGD(AnnealedSchedule(SchedLin(0.1, 0.01), N), momentum=0.9)

    check(make, {"momentum": (0.95, 0.5)})


def test_adafactor_with_a_relative_step() -> None:
    # The rate is then the most that a step may be, and Adafactor asks whether it is a function.
    def make() -> keras.Optimizer:
        return keras.optimizers.Adafactor(0.05, relative_step=True)

    check(make, {"learning_rate": (0.5, 0.001)})


def test_one_cycle_takes_the_compiled_rate_as_its_highest() -> None:
    explicit = train(mlp(adam()), OneCycle(0.01))
    assert largest_difference(explicit, train(mlp(adam()), OneCycle())) < 1e-6  # it is kept as a float32


# Mixed precision


@pytest.fixture
def policy() -> Any:
    """`policy(name)` sets a precision for the rest of the test."""
    before = keras.config.dtype_policy()

    def set_policy(name: str) -> None:
        _allow_double(allowed=name == "float64")
        keras.config.set_dtype_policy(name)

    yield set_policy
    keras.config.set_dtype_policy(before)
    _allow_double(allowed=False)


def _allow_double(*, allowed: bool) -> None:
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", allowed)


# Half precision keeps 11 bits: where a compiled step fuses what an eager one rounds in between, weights differ by
# some of the last. The schedule moves them a hundred times further.
HALF = 2e-3


def test_mixed_float16(policy: Any) -> None:
    policy("mixed_float16")
    check(lambda: keras.optimizers.LossScaleOptimizer(adam(), initial_scale=256.0), tolerance=HALF)


def test_mixed_float16_as_compile_wraps_it(policy: Any) -> None:
    policy("mixed_float16")
    check(adam, tolerance=HALF)


def test_mixed_bfloat16(policy: Any) -> None:
    policy("mixed_bfloat16")
    check(adam, {"learning_rate": (0.1, 0.005)}, tolerance=5e-3)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_a_pure_precision_trains_under_every_usual_schedule(name: str, policy: Any) -> None:
    policy(name)
    scheduler = OneCycle(0.05, wd=0.01)
    model = mlp(keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01))
    before = model.evaluate(*data(), verbose=0)
    train(model, scheduler)
    assert model.evaluate(*data(), verbose=0) < 0.9 * before
    assert all(str(weight.dtype) == name for weight in model.trainable_variables)


def nadam() -> keras.Optimizer:
    return keras.optimizers.Nadam(0.01, epsilon=1e-2)


def ftrl() -> keras.Optimizer:
    return keras.optimizers.Ftrl(0.5, l1_regularization_strength=0.01)


L1 = {"l1_regularization_strength": (0.0, 0.5), "learning_rate": (0.5, 0.1)}


@pytest.mark.parametrize(
    ("name", "make", "ranges", "tolerance"),
    [("float16", nadam, RANGES, 5e-3), ("float16", ftrl, L1, 5e-3), ("float64", ftrl, L1, 1e-6)],
)
def test_a_number_has_the_type_of_the_variable_that_it_meets(
    name: str, make: Make, ranges: Ranges, tolerance: float, policy: Any
) -> None:
    policy(name)
    check(make, ranges, tolerance=tolerance)


def with_an_infinite_batch(which: int) -> tuple[np.ndarray, np.ndarray]:
    """The usual data, with one batch whose loss overflows half precision."""
    x, y = data()
    y[which * BATCH] = 6e4
    return x, y


@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_step_which_the_loss_scale_skips_takes_no_row(policy: Any, accumulated: int | None) -> None:
    policy("mixed_float16")

    def make() -> keras.Optimizer:
        inner = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=accumulated)
        return keras.optimizers.LossScaleOptimizer(inner, initial_scale=256.0)

    # Batch 1 of each epoch is skipped, and takes no row; the epoch after it begins at its own row all the same.
    taken = [0, 1, 2, 4, 5, 6, 8, 9, 10]
    at_batch = [0, 1, 1, 2, 4, 5, 5, 6, 8, 9, 9, 10]
    ranges = {"learning_rate": (0.1, 0.001), "momentum": (0.95, 0.5)}
    some = with_an_infinite_batch(1)
    expected = eagerly(make, SetByHand(values(ranges, at_batch)), on=some)
    scheduler = ParamScheduler(scheds(ranges))
    model = mlp(make())
    weights = train(model, scheduler, on=some)
    assert int(model.optimizer.inner_optimizer._iterations) == len(taken), "the batch was not skipped"
    assert largest_difference(expected, weights) < HALF
    np.testing.assert_allclose(scheduler.hps["momentum"], values(ranges, taken)["momentum"], rtol=1e-12)


def test_the_loss_scale_moves_as_it_does_without_a_schedule(policy: Any) -> None:
    policy("mixed_float16")

    def make() -> keras.Optimizer:
        return keras.optimizers.LossScaleOptimizer(adam(), initial_scale=256.0, dynamic_growth_steps=3)

    plain, model = mlp(make()), mlp(make())
    train(plain, on=with_an_infinite_batch(1))
    train(model, OneCycle(0.01), on=with_an_infinite_batch(1))
    assert float(model.optimizer.dynamic_scale) == float(plain.optimizer.dynamic_scale) != 256.0
