"""Every Keras optimizer with its hyper-parameters scheduled trains as an eager run that sets them by hand."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from oracle import BATCHES, eager, fit, largest_difference, mlp, with_optimizer_built

from keras_sched import ParamScheduler, SchedCos, SchedLin
from keras_sched.hypers import known_attributes

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5

MADE_WITH: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.01},
    "RMSprop": {"momentum": 0.5},
    "Adafactor": {"relative_step": False},
}
WRAPPERS = {"LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"}
# Between which values each attribute moves, where an optimizer has it: wide enough to see each of them.
RANGES = {
    "learning_rate": (0.02, 0.001),
    "momentum": (0.95, 0.5),
    "beta_1": (0.95, 0.6),
    "beta_2": (0.9, 0.999),
    "rho": (0.95, 0.7),
    "epsilon": (1e-7, 1e-3),
    "weight_decay": (0.5, 0.01),
    "adam_beta_1": (0.95, 0.6),
    "adam_beta_2": (0.9, 0.999),
    "adam_weight_decay": (0.5, 0.01),
    "beta_2_decay": (-0.9, -0.5),
    "beta": (0.1, 0.5),
    "l1_regularization_strength": (0.0, 0.01),
    "rms_rate": (0.1, 0.3),
}


def optimizer_names() -> list[str]:
    members = inspect.getmembers(keras.optimizers, inspect.isclass)
    return [name for name, kind in members if issubclass(kind, keras.Optimizer) and name not in WRAPPERS]


def maker(name: str, **more: Any) -> Callable[[], keras.Optimizer]:
    return lambda: getattr(keras.optimizers, name)(learning_rate=0.01, **MADE_WITH.get(name, {}), **more)


def check(make: Callable[[], keras.Optimizer], ranges: dict[str, tuple[float, float]]) -> None:
    values = {name: SchedCos(*ends)(np.arange(N) / N) for name, ends in ranges.items()}
    expected = eager(make, values, EPOCHS)
    model = with_optimizer_built(mlp(make()))
    fit(model, [ParamScheduler({name: SchedCos(*ends) for name, ends in ranges.items()})], EPOCHS)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
    constant = with_optimizer_built(mlp(make()))
    fit(constant, [], EPOCHS)
    assert largest_difference(expected, constant.get_weights()) > 10 * TOLERANCE, "the schedule is without effect"


def test_the_list_of_optimizers_is_kerass_own() -> None:
    assert {"SGD", "Adam", "AdamW", "Nadam", "Lion", "Muon", "Adafactor", "Ftrl", "Lamb"} <= set(optimizer_names())


@pytest.mark.parametrize("name", optimizer_names())
def test_the_rate_alone(name: str) -> None:
    # Adadelta's steps are a thousandth of the others'.
    check(maker(name), {"learning_rate": (20.0, 1.0) if name == "Adadelta" else RANGES["learning_rate"]})


@pytest.mark.parametrize("name", optimizer_names())
def test_all_that_the_optimizer_has_at_once(name: str) -> None:
    make = maker(name)
    known = known_attributes(make())
    ranges = {attribute: ends for attribute, ends in RANGES.items() if attribute in known}
    if name == "SGD":
        ranges.pop("epsilon", None)
    check(make, ranges)


@pytest.mark.parametrize("name", optimizer_names())
def test_clipping_by_norm_and_the_moving_average(name: str) -> None:
    make = maker(name, clipnorm=0.5, use_ema=True, ema_momentum=0.9)
    check(make, {"clipnorm": (1.0, 0.01), "ema_momentum": (0.95, 0.5), "learning_rate": (0.05, 0.01)})


@pytest.mark.parametrize("clipping", ["clipnorm", "global_clipnorm", "clipvalue"])
@pytest.mark.parametrize("made_with_it", [True, False], ids=["made with it", "made without"])
def test_each_way_of_clipping(clipping: str, made_with_it: bool) -> None:
    more = {clipping: 0.3} if made_with_it else {}
    check(lambda: keras.optimizers.SGD(0.1, momentum=0.9, **more), {clipping: (1.0, 0.001)})


@pytest.mark.parametrize("attribute", ["learning_rate", "beta_1", "beta_2", "epsilon", "weight_decay"])
def test_each_hyper_parameter_of_adam_alone(attribute: str) -> None:
    check(lambda: keras.optimizers.Adam(0.01), {attribute: RANGES[attribute]})


def test_a_momentum_that_begins_at_zero_trains_as_it_does_in_a_compiled_step() -> None:
    def make() -> keras.Optimizer:
        return keras.optimizers.SGD(0.05, momentum=0.9)

    values = np.maximum(SchedLin(0.0, 0.9)(np.arange(N) / N), 1e-30)  # as 0 Keras would not keep the velocity
    expected = eager(make, {"momentum": values}, EPOCHS)
    model = mlp(make())
    fit(model, [ParamScheduler({"mom": SchedLin(0.0, 0.9)})], EPOCHS)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
