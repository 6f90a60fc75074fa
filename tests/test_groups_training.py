"""Parameter groups train as one optimizer a group does, whose values are set by hand."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from loops import batch, gradients, without_gradients
from oracle import BATCH, BATCHES, data, largest_difference, with_optimizer_built
from test_every_optimizer import maker, optimizer_names

from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin, fit_one_cycle, layer_groups, one_cycle, scheduled
from keras_sched.hypers import known_attributes

EPOCHS = 2
N = EPOCHS * BATCHES
POSITIONS = np.arange(N) / N
TOLERANCE = 2e-5
NAMES = ["first", "second", "third"]
GROUPS = [[name] for name in NAMES]

Make = Callable[[], Any]
Values = Mapping[str, np.ndarray]
"""{attribute: one value per step, (N,), or one per step and group, (N, G)}."""


def layered(names: Sequence[str] = NAMES, width: int = 5) -> keras.Model:
    """A model of one dense layer a name, the same for each call."""
    keras.utils.set_random_seed(7)
    hidden = [keras.layers.Dense(width, activation="tanh", name=name) for name in names[:-1]]
    return keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1, name=names[-1])])


def compiled(make: Make, model: keras.Model | None = None, **arguments: Any) -> keras.Model:
    model = model or layered()
    model.compile(make(), loss="mse", **arguments)
    return model


def train(model: keras.Model, *callbacks: Any) -> list[np.ndarray]:
    x, y = data()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model.get_weights()


def one_optimizer_a_group(
    make: Make,
    values: Values,
    model: keras.Model | None = None,
    *,
    groups: int = 3,
    global_norm: float | None = None,
) -> list[np.ndarray]:
    """The weights after a loop with an optimizer for each group of layers, its values set by hand before each step."""
    model = model or layered()
    trained = [layer.trainable_variables for layer in model.layers]
    assert len(trained) == groups
    optimizers = [make() for _ in trained]
    for step in range(N):
        found = dict(zip(map(id, model.trainable_variables), gradients(model, *batch(step)), strict=True))
        if global_norm is not None:
            norm = ops.sqrt(sum(ops.sum(each**2) for each in found.values()))
            found = {key: each * global_norm / ops.maximum(norm, global_norm) for key, each in found.items()}
        for group, (optimizer, variables) in enumerate(zip(optimizers, trained, strict=True)):
            for name, of in values.items():
                setattr(optimizer, name, float(of[step] if of.ndim == 1 else of[step, group]))
            with without_gradients():
                optimizer.apply([found[id(variable)] for variable in variables], variables)
    for optimizer, variables in zip(optimizers, trained, strict=True):
        optimizer.finalize_variable_values(variables)
    return model.get_weights()


def curves(*ends: tuple[float, float]) -> list[Any]:
    return [SchedCos(*pair) for pair in ends]


def table(scheds: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: np.stack([one(POSITIONS) for one in sched], axis=-1) if isinstance(sched, list) else sched(POSITIONS)
        for name, sched in scheds.items()
    }


def check(make: Make, scheds: Mapping[str, Any], *, tolerance: float = TOLERANCE, **mode: Any) -> None:
    """A fit with three groups trains as three optimizers do, and not as one that has the last group's values."""
    scheduler = ParamScheduler(scheds, groups=GROUPS)
    weights = train(with_optimizer_built(compiled(make, **mode)), scheduler)
    values = table(scheds)
    assert largest_difference(one_optimizer_a_group(make, values), weights) < tolerance
    last = {name: of if of.ndim == 1 else of[:, -1] for name, of in values.items()}
    assert largest_difference(one_optimizer_a_group(make, last), weights) > 10 * tolerance, "groups have no effect"


RATES = curves((0.001, 0.0001), (0.02, 0.002), (0.05, 0.001))
MOMENTA = curves((0.95, 0.85), (0.9, 0.5), (0.6, 0.8))
DECAYS = curves((0.5, 0.01), (0.01, 0.3), (0.0, 0.1))


@pytest.mark.parametrize("name", optimizer_names())
def test_rates_momenta_and_decays_of_their_own_with(name: str) -> None:
    make = maker(name)
    known = known_attributes(make())
    scheds: dict[str, Any] = {"learning_rate": RATES, "weight_decay": DECAYS}
    momentum = next((one for one in ("momentum", "beta_1", "adam_beta_1") if one in known), None)
    if momentum is not None:
        scheds[momentum] = SchedCos(0.95, 0.6) if name == "Nadam" else MOMENTA
    if name == "Adadelta":  # whose steps are a thousandth of the others'
        scheds["learning_rate"] = curves((1.0, 0.1), (20.0, 2.0), (50.0, 1.0))
    check(make, scheds)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Muon"])
def test_24_groups_of_decaying_rates(name: str) -> None:
    make = maker(name)
    names = [f"layer_{number}" for number in range(24)]
    model = compiled(make, layered(names, width=3))
    weights = train(model, OneCycle(0.05, groups=24, layer_decay=0.75, wd=0.1))
    rates = [0.05 * 0.75 ** (23 - group) for group in range(24)]
    values = table({"learning_rate": [one_cycle(rate)["lr"] for rate in rates]})
    values["beta_1" if name == "AdamW" else "momentum"] = one_cycle(0.1)["mom"](POSITIONS)
    values["weight_decay"] = np.full(N, 0.1)
    expected = one_optimizer_a_group(make, values, layered(names, width=3), groups=24)
    assert largest_difference(expected, weights) < TOLERANCE


def adam(**more: Any) -> Make:
    return lambda: keras.optimizers.Adam(0.01, **more)


def sgd(**more: Any) -> Make:
    return lambda: keras.optimizers.SGD(0.01, momentum=0.9, **more)


@pytest.mark.parametrize(
    ("asked", "rates"),
    [
        (slice(0.05), (0.005, 0.005, 0.05)),
        (slice(0.0005, 0.05), (0.0005, 0.005, 0.05)),
        ([0.001, 0.05, 0.0002], (0.001, 0.05, 0.0002)),
    ],
    ids=["slice(hi)", "slice(lo, hi)", "a list"],
)
def test_the_forms_of_a_rate(asked: Any, rates: tuple[float, ...]) -> None:
    weights = train(compiled(adam()), OneCycle(asked, groups=3))
    values = table({"learning_rate": [one_cycle(rate)["lr"] for rate in rates], "beta_1": one_cycle(0.1)["mom"]})
    assert largest_difference(one_optimizer_a_group(adam(), values), weights) < TOLERANCE


def by_layers(model: keras.Model) -> Any:
    return [[layer] for layer in model.layers]


def by_function(_: keras.Model) -> Any:
    return lambda variable: next(i for i, name in enumerate(NAMES) if f"{name}/" in variable.path)


@pytest.mark.parametrize("division", [by_layers, by_function, layer_groups], ids=["layers", "function", "number"])
def test_groups_given_as(division: Callable[[keras.Model], Any]) -> None:
    model = compiled(sgd())
    groups = 3 if division is layer_groups else division(model)
    weights = train(model, ParamScheduler({"learning_rate": RATES}, groups=groups))
    assert largest_difference(one_optimizer_a_group(sgd(), table({"learning_rate": RATES})), weights) < TOLERANCE


def test_a_fit_helper_with_groups() -> None:
    model = compiled(sgd())
    x, y = data()
    fit_one_cycle(
        model, x, y, epochs=EPOCHS, lr_max=slice(0.0005, 0.05), groups=3, batch_size=BATCH, shuffle=False, verbose=0
    )
    rates = [one_cycle(rate)["lr"] for rate in (0.0005, 0.005, 0.05)]
    values = table({"learning_rate": rates, "momentum": one_cycle(0.1)["mom"]})
    assert largest_difference(one_optimizer_a_group(sgd(), values), model.get_weights()) < TOLERANCE


# Clipping, averages, accumulation


@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue"])
def test_a_schedule_of_clipping_beside_groups(clipping: str) -> None:
    check(sgd(**{clipping: 1.0}), {"learning_rate": RATES, clipping: SchedLin(0.5, 0.001)})


@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue", "global_clipnorm"])
@pytest.mark.parametrize("compiled_with", [True, False], ids=["clips", "does not clip"])
def test_clipping_by_group_is_refused_before_the_first_batch(clipping: str, compiled_with: bool) -> None:
    make = sgd(**{clipping: 1.0}) if compiled_with else sgd()
    model = compiled(make)
    before = model.get_weights()
    scheds = {"learning_rate": RATES, clipping: curves((1.0, 0.5), (0.1, 0.01), (0.3, 0.001))}
    message = f"{clipping}.*3 (values|parameter groups).*all gradients of a step"
    with pytest.raises(ValueError, match=message):
        train(model, ParamScheduler(scheds, groups=GROUPS))
    assert largest_difference(before, model.get_weights()) == 0
    assert int(model.optimizer.iterations) == 0
    with pytest.raises(ValueError, match=message):
        scheduled(make(), scheds, steps=N, groups=GROUPS)


@pytest.mark.parametrize("clipping", ["clipnorm", "clipvalue"])
def test_constant_clipping_beside_groups(clipping: str) -> None:
    check(sgd(**{clipping: 0.05}), {"learning_rate": RATES})


@pytest.mark.parametrize("is_scheduled", [False, True], ids=["constant", "scheduled"])
def test_a_global_norm_is_that_of_all_gradients(is_scheduled: bool) -> None:
    scheds: dict[str, Any] = {"learning_rate": RATES}
    if is_scheduled:
        scheds["global_clipnorm"] = SchedLin(0.2, 0.2)
    weights = train(compiled(sgd(global_clipnorm=0.2)), ParamScheduler(scheds, groups=GROUPS))
    values = table({"learning_rate": RATES})
    assert largest_difference(one_optimizer_a_group(sgd(), values, global_norm=0.2), weights) < TOLERANCE
    assert largest_difference(one_optimizer_a_group(sgd(), values), weights) > 10 * TOLERANCE


def test_a_moving_average_of_each_group() -> None:
    momenta = curves((0.99, 0.9), (0.5, 0.8), (0.2, 0.6))
    check(adam(use_ema=True, ema_momentum=0.9), {"learning_rate": RATES, "ema_momentum": momenta})


def test_a_moving_average_that_overwrites_the_weights() -> None:
    momenta = curves((0.99, 0.9), (0.5, 0.8), (0.2, 0.6))
    make = adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    check(make, {"learning_rate": RATES, "ema_momentum": momenta})


def test_accumulated_gradients_with_groups() -> None:
    check(adam(gradient_accumulation_steps=3), {"learning_rate": RATES, "weight_decay": DECAYS})


def test_accumulated_gradients_that_are_clipped_with_groups() -> None:
    make = sgd(clipnorm=1.0, gradient_accumulation_steps=2)
    check(make, {"learning_rate": RATES, "clipnorm": SchedLin(0.5, 0.001)})


def test_amsgrad_and_nesterov() -> None:
    check(adam(amsgrad=True), {"learning_rate": RATES})
    check(sgd(nesterov=True), {"learning_rate": RATES, "momentum": MOMENTA})


# Modes


def test_groups_in_several_steps_an_execution(backend: str) -> None:
    if backend == "torch":
        pytest.skip("Keras has no such mode on PyTorch")
    check(adam(), {"learning_rate": RATES}, steps_per_execution=3)


def test_groups_in_an_eager_step() -> None:
    check(adam(), {"learning_rate": RATES, "beta_1": MOMENTA}, run_eagerly=True, jit_compile=False)


def test_groups_under_a_loss_scale() -> None:
    model = layered()
    model.compile(keras.optimizers.LossScaleOptimizer(sgd()(), initial_scale=64.0), loss="mse")
    weights = train(model, ParamScheduler({"learning_rate": RATES, "momentum": MOMENTA}, groups=GROUPS))
    values = table({"learning_rate": RATES, "momentum": MOMENTA})
    assert largest_difference(one_optimizer_a_group(sgd(), values), weights) < TOLERANCE


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has it since 3.15")
def test_groups_of_each_optimizer_in_a_multi_optimizer() -> None:
    # Adam has the first two layers, SGD the last.
    inner = {".*(first|second)/.*": adam()()}
    multi = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(sgd()(), inner))
    weights = train(compiled(lambda: multi), ParamScheduler({"learning_rate": RATES}, groups=GROUPS))
    optimizers = iter([adam()(), adam()(), sgd()()])
    expected = one_optimizer_a_group(lambda: next(optimizers), table({"learning_rate": RATES}))
    assert largest_difference(expected, weights) < TOLERANCE


def test_a_model_with_its_own_schedule_of_rates() -> None:
    def make() -> Any:
        return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, N), momentum=0.9)

    weights = train(compiled(make), ParamScheduler({"learning_rate": RATES}, groups=GROUPS))
    assert largest_difference(one_optimizer_a_group(sgd(), table({"learning_rate": RATES})), weights) < TOLERANCE


def test_the_second_fit_with_other_values_is_right_too() -> None:
    other = curves((0.05, 0.001), (0.001, 0.02), (0.0005, 0.01))
    model = compiled(sgd())
    start = model.get_weights()
    train(model, ParamScheduler({"learning_rate": other}, groups=GROUPS))
    model.set_weights(start)
    model.optimizer.set_weights([0 * variable.numpy() for variable in model.optimizer.variables])
    model.optimizer.learning_rate = 0.01
    weights = train(model, ParamScheduler({"learning_rate": RATES}, groups=GROUPS))
    assert largest_difference(one_optimizer_a_group(sgd(), table({"learning_rate": RATES})), weights) < TOLERANCE


def test_a_frozen_layer_does_not_move_and_the_others_have_their_own_groups_values() -> None:
    def frozen() -> keras.Model:
        model = layered()
        model.layers[1].trainable = False
        return model

    model = compiled(sgd(), frozen())
    before = model.get_layer("second").get_weights()
    weights = train(model, ParamScheduler({"learning_rate": RATES}, groups=GROUPS))
    assert largest_difference(before, model.get_layer("second").get_weights()) == 0
    expected = one_optimizer_a_group(sgd(), table({"learning_rate": RATES}), frozen())
    assert largest_difference(expected, weights) < TOLERANCE


class WithUnused(keras.layers.Dense):
    """A dense layer with a weight that it never looks at."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.unused = self.add_weight(shape=(3,), name="unused", initializer="ones")


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_variables_that_get_no_gradient_are_left_alone() -> None:
    keras.utils.set_random_seed(7)
    hidden = [WithUnused(5, activation="tanh", name=name) for name in NAMES[:-1]]
    model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(1, name=NAMES[-1])])
    model.set_weights(_with_ones(layered().get_weights()))
    compiled(sgd(), model)
    train(model, ParamScheduler({"learning_rate": RATES}, groups=GROUPS))
    expected = one_optimizer_a_group(sgd(), table({"learning_rate": RATES}))
    assert largest_difference(_with_ones(expected), model.get_weights()) < TOLERANCE


def _with_ones(weights: list[np.ndarray]) -> list[np.ndarray]:
    """The weights of `layered` as those of a model whose hidden layers have an unused weight each."""
    ones = np.ones(3, np.float32)
    return [*weights[:2], ones, *weights[2:4], ones, *weights[4:]]


def test_gradients_of_an_embedding() -> None:
    def built() -> keras.Model:
        keras.utils.set_random_seed(7)
        layers = [keras.layers.Embedding(9, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
        return keras.Sequential([keras.Input((4,), dtype="int32"), *layers])

    x, y = np.arange(BATCH * BATCHES * 4).reshape(-1, 4) % 9, data()[1]

    def run(make: Make, scheds: Any, **arguments: Any) -> list[np.ndarray]:
        model = compiled(make, built(), **arguments)
        scheduler = ParamScheduler(scheds, groups=[["embedding"], ["dense"]])
        model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[scheduler])
        return model.get_weights()

    scheds = {"learning_rate": RATES[:2], "clipnorm": SchedLin(0.1, 0.05)}
    eager = run(sgd(), scheds, run_eagerly=True, jit_compile=False)
    assert largest_difference(eager, run(sgd(), scheds)) < TOLERANCE
    assert largest_difference(eager, run(sgd(), scheds | {"learning_rate": RATES[:1] * 2})) > 10 * TOLERANCE


# What is told


def test_hps_and_logs_have_each_group() -> None:
    model = compiled(adam())
    cycle = OneCycle(slice(0.0005, 0.05), groups=3)
    x, y = data()
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[cycle]).history
    rates = table({"lr": [one_cycle(rate)["lr"] for rate in (0.0005, 0.005, 0.05)]})["lr"]
    np.testing.assert_allclose(cycle.hps["lr"], rates, rtol=1e-12)
    assert cycle.hps["mom"].shape == (N,)
    ends = [BATCHES - 1, N - 1]
    for group in range(3):
        np.testing.assert_allclose(history[f"learning_rate_{group}"], rates[ends, group], rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], rates[ends, 2], rtol=1e-6)
    assert "beta_1_0" not in history


def test_the_rate_is_given_back_after_a_fit_with_groups() -> None:
    model = compiled(adam(weight_decay=0.2))
    train(model, ParamScheduler({"learning_rate": RATES, "weight_decay": DECAYS, "beta_1": MOMENTA}, groups=GROUPS))
    optimizer = model.optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    assert (optimizer.weight_decay, optimizer.beta_1) == (0.2, 0.9)
    patched = {"apply", "_backend_update_step", "_apply_weight_decay", "_backend_apply_gradients", "_clip_gradients"}
    assert patched.isdisjoint(vars(optimizer))


# Custom loops


@pytest.mark.parametrize("groups", ["patterns", "layers", "function"])
def test_a_loop_with_groups(groups: str) -> None:
    model, optimizer = layered(), adam()()
    division = {"patterns": GROUPS, "layers": by_layers(model), "function": by_function(model)}[groups]
    scheds = {"learning_rate": RATES, "weight_decay": DECAYS, "beta_1": SchedCos(0.95, 0.6)}
    with scheduled(optimizer, scheds, steps=N, groups=division) as s:
        for step in range(N):
            found = gradients(model, *batch(step))
            with without_gradients():
                optimizer.apply(found, model.trainable_variables)
    assert largest_difference(one_optimizer_a_group(adam(), table(scheds)), model.get_weights()) < TOLERANCE
    np.testing.assert_allclose(s.hps["learning_rate"], table(scheds)["learning_rate"], rtol=1e-12)
    assert s.hps["beta_1"].shape == (N,)
