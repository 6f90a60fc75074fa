"""The callback that all recipes share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_sched.annealers import Annealer, SchedNo
from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.errors import shown, speaking_as, wrong_value
from keras_sched.groups import Groups
from keras_sched.hypers import LearningRate, groups_wanted, learning_rates, number_of
from keras_sched.step import compiled_rate


class RecipeScheduler(Scheduler):
    """A recipe as a callback: it makes the annealers when it sees the optimizer."""

    build: Callable[..., dict[str, Any]]
    """The recipe: a learning rate, or one per parameter group, and `arguments` -> {hyper-parameter: annealer}."""
    rate_argument = "lr_max"

    def __init__(
        self,
        lr: LearningRate | None,
        arguments: dict[str, Any],
        wd: Any,
        optimizer: keras.Optimizer | None,
        total_steps: int | None,
        steps_per_epoch: int | None,
        groups: Groups | None,
        momentum_correction: bool,
        layer_decay: float | None,
    ) -> None:
        super().__init__(optimizer, total_steps, steps_per_epoch, groups, momentum_correction)
        self.lr = lr
        self.arguments = arguments
        self.wd = wd
        self.layer_decay = layer_decay
        with speaking_as(type(self).__name__):
            self._check_arguments()

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """The recipe at one rate, or one per parameter group; `optimizer` is `None` while arguments are checked."""
        return self.build(rate, **self.arguments)

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The recipe at the rates asked for, with the weight decay where one was given."""
        scheds = self.recipe(self._rates(optimizer, groups), optimizer)
        if self.wd is not None:
            scheds["wd"] = _weight_decay(self.wd)
        return scheds

    def groups_asked(self) -> int | None:
        """As many as the learning rate has values, or else the weight decay."""
        if isinstance(self.wd, Annealer):
            return groups_wanted(self.lr) or self.wd.groups
        return groups_wanted(self.lr) or groups_wanted(self.wd)

    def _asking(self) -> str | None:
        if groups_wanted(self.lr) is not None:
            return f"{self.rate_argument}={shown(self.lr)}"
        return f"wd={shown(self.wd)}" if groups_wanted(self.wd) is not None else None

    def _rates(self, optimizer: keras.Optimizer, groups: int) -> Any:
        rate = self.lr if self.lr is not None else compiled_rate(optimizer)
        if rate is None:
            expected = "it means the rate the model was compiled with, and that is a schedule"
            cure = f"Pass `{self.rate_argument}=`, or compile with a number."
            raise wrong_value(f"{self.rate_argument}=None", expected, cure)
        return learning_rates(rate, groups, argument=self.rate_argument, layer_decay=self.layer_decay)

    def _check_arguments(self) -> None:
        """Raise for what is wrong whatever the optimizer."""
        rate = 1.0 if self.lr is None else self.lr
        self.recipe(learning_rates(rate, groups_wanted(self.lr) or 1, argument=self.rate_argument), None)
        if self.wd is not None:
            _weight_decay(self.wd)


def _weight_decay(value: Any) -> Any:
    """A constant weight decay, one per parameter group, or an annealer of it."""
    if isinstance(value, Annealer) or callable(value):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple([_weight_decay(one) for one in value])
    decay = number_of(value, "wd")
    if decay < 0:
        raise wrong_value(f"wd={shown(value)}", "a weight decay is at least 0", "Pass for example `wd=0.01`.")
    return SchedNo(decay, decay)
