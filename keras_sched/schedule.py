"""An annealer as a Keras `LearningRateSchedule`."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_sched.annealers import Annealer
from keras_sched.arguments import call_checked
from keras_sched.errors import check_whole, shown, speaking_as, wrong_type, wrong_value


@keras.saving.register_keras_serializable(package="keras_sched")
@call_checked
@dataclass(frozen=True)
class AnnealedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """An annealer as the learning rate that an optimizer is compiled with, in `fit` and in custom loops.

    A frozen value, registered with Keras: models that hold it save and load. Momentum and other hyper-parameters are
    beyond a `LearningRateSchedule`; `ParamScheduler` schedules them.

    Args:
        annealer: the rate at each position of training, one for all parameter groups. One made by `@annealer` must be
            written with `keras.ops`, as the step is compiled.
        steps: how many steps training takes, a whole number. Step i has the annealer's value at i/steps, and every
            step from `steps` on the value at 1.

    Raises:
        TypeError: when `annealer` is not an annealer.
        ValueError: when `annealer` has parameter groups, or `steps` is not a whole number above 0.

    Example:
        >>> import keras
        >>> from keras_sched import AnnealedSchedule, SchedCos
        >>> rate = AnnealedSchedule(SchedCos(0.1, 0), steps=1000)
        >>> optimizer = keras.optimizers.Adam(rate)
        >>> [round(rate(step), 9) for step in (0, 500, 1000, 2000)]
        [0.1, 0.05, 0.0, 0.0]
    """

    annealer: Annealer
    steps: int
    on_step: Callable[[Any], Any] = field(init=False, repr=False, compare=False)

    @speaking_as("AnnealedSchedule")
    def __post_init__(self) -> None:
        _check_annealer(self.annealer)
        steps = check_whole("steps", self.steps, "how many steps training takes", 1000)
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "on_step", self.annealer.in_steps(steps))

    def __call__(self, step: Any) -> Any:
        """The rate of a step: of a Python or NumPy number as a `float`, of a tensor as a tensor of Keras' `floatx`."""
        if isinstance(step, numbers.Real):
            return self.annealer(step / self.steps)
        step = keras.ops.convert_to_tensor(step)
        if "int" in keras.backend.standardize_dtype(step.dtype):
            rate = self.on_step(keras.ops.clip(step, 0, self.steps))
        else:
            rate = self.annealer(step / self.steps)
        return keras.ops.cast(rate, keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule, as Keras' serialisation wants them."""
        return {"annealer": keras.saving.serialize_keras_object(self.annealer), "steps": self.steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> AnnealedSchedule:
        """The schedule that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["annealer"]), config["steps"])

    def __reduce__(self) -> tuple[Any, ...]:
        return AnnealedSchedule, (self.annealer, self.steps)


def _check_annealer(annealer: Any) -> None:
    if isinstance(annealer, dict):
        cure = "Pass its learning rate, for example `one_cycle(0.1)['lr']`; for the momentum too use `ParamScheduler`."
        raise wrong_type(f"annealer={shown(annealer)}", "it must be one annealer, and this is a recipe", cure)
    if not isinstance(annealer, Annealer):
        received = annealer.__name__ if isinstance(annealer, type) else shown(annealer)
        cure = "Pass for example `SchedCos(0.1, 0)`; of a function make one with `@keras_sched.annealer`."
        raise wrong_type(f"annealer={received}", "it must be an annealer", cure)
    if annealer.groups is not None:
        expected = f"Keras has one rate for all parameters, and this has {annealer.groups}, one per group"
        cure = "Use `ParamScheduler(..., groups=...)`, or pass an annealer of single numbers."
        raise wrong_value(f"annealer={shown(annealer)}", expected, cure)
