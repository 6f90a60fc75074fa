"""The callback that all recipes share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, ClassVar

import keras

from keras_sched.annealers import Annealer, SchedNo
from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.errors import is_number, shown, wrong_type, wrong_value
from keras_sched.hypers import groups_wanted, learning_rates
from keras_sched.step import compiled_rate


@dataclass(eq=False, repr=False, kw_only=True)
class RecipeScheduler(Scheduler):
    """A recipe as a callback: it makes the annealers when it sees the optimizer."""

    build: ClassVar[Callable[..., dict[str, Any]]]
    """The recipe. Each of its keyword-only arguments is a field of the callback."""
    by_group: ClassVar[tuple[str, ...]] = ("lr_max", "wd")
    """The arguments that may have a value for each parameter group, the learning rate first."""

    wd: Any = None
    layer_decay: float | None = None

    def _settle(self) -> None:
        super()._settle()
        given = 1.0 if self._rate is None else self._rate
        self.recipe(learning_rates(given, groups_wanted(given) or 1, argument=self.by_group[0]), None)
        if self.wd is not None:
            _weight_decay(self.wd)

    @property
    def arguments(self) -> dict[str, Any]:
        """What the recipe takes beside the rate."""
        taken = signature(self.build).parameters.values()
        return {each.name: getattr(self, each.name) for each in taken if each.kind is Parameter.KEYWORD_ONLY}

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """The recipe at one rate, or one per parameter group; `optimizer` is `None` while arguments are checked."""
        return self.build(rate, **self.arguments)

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The recipe at the rates asked for, with the weight decay where one was given."""
        scheds = self.recipe(self._rates(optimizer, groups), optimizer)
        if self.wd is not None:
            scheds["wd"] = _weight_decay(self.wd)
        return scheds

    def groups_asked(self) -> tuple[int, str] | None:
        """As many as the learning rate has values, or else the weight decay."""
        for name in self.by_group:
            value = getattr(self, name)
            count = value.groups if isinstance(value, Annealer) else groups_wanted(value)
            if count is not None:
                return count, f"{name}={shown(value)}"
        return None

    @property
    def _rate(self) -> Any:
        return getattr(self, self.by_group[0])

    def _rates(self, optimizer: keras.Optimizer, groups: int) -> Any:
        rate, argument = self._rate, self.by_group[0]
        rate = compiled_rate(optimizer) if rate is None else rate
        if rate is None:
            expected = "it means the rate the model was compiled with, and that is a schedule"
            raise wrong_value(f"{argument}=None", expected, f"Pass `{argument}=`, or compile with a number.")
        return learning_rates(rate, groups, argument=argument, layer_decay=self.layer_decay)


def _weight_decay(value: Any) -> Any:
    """A constant weight decay, one per parameter group, or an annealer of it."""
    if isinstance(value, Annealer) or callable(value):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple([_weight_decay(one) for one in value])
    if not is_number(value) or float(value) < 0:
        wrong = wrong_value if is_number(value) else wrong_type
        raise wrong(f"wd={shown(value)}", "a weight decay is a number of at least 0", "Pass for example `wd=0.01`.")
    return SchedNo(float(value), float(value))
