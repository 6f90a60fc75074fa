"""One innermost optimizer in a scheduled fit: its table, and the account of the rows it used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_sched.curves import RowValues
from keras_sched.errors import wrong_value
from keras_sched.hypers import RATE, momentum_attribute
from keras_sched.inject.numbers import as_float, as_int
from keras_sched.inject.table import Table


@dataclass(frozen=True)
class Plan:
    """What one callback schedules on one optimizer.

    Args:
        curves: {attribute: row numbers -> values, (N,) or (N, G)}.
        total: the row from which on the values do not change.
        groups: the number of parameter groups, 1 where there are none.
        group_of: {id of a trainable variable: its group}; empty where there are none.
        momentum_correction: whether the momentum is multiplied by the ratio of two successive rates.
        names: {attribute: the name it was asked for by}, for messages.
        grouped: the attributes that have a value for each parameter group.
    """

    curves: Mapping[str, RowValues]
    total: int
    groups: int = 1
    group_of: Mapping[int, int] = field(default_factory=dict)
    momentum_correction: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    grouped: frozenset[str] = frozenset()


class Leaf:
    """One innermost optimizer in a scheduled fit."""

    def __init__(self, optimizer: keras.Optimizer) -> None:
        self.optimizer = optimizer
        self.plans: list[Plan] = []
        self.group_of: Mapping[int, int] = {}
        self.groups = 1
        self.table: Table
        self.first_iteration = 0
        self.first_row = 0
        self.window_first: int | None = None
        self.used: list[tuple[int, int]] = []

    def add(self, plan: Plan) -> None:
        """Take one more callback's plan; `where` names the callback, for the message of an error."""
        for attribute in plan.curves:
            if any(attribute in other.curves for other in self.plans):
                raise wrong_value(
                    repr(plan.names.get(attribute, attribute)),
                    f"`{attribute}` is scheduled by another callback of this fit already",
                    "Leave it out of one of the two.",
                )
        if plan.groups > 1:
            if self.groups > 1 and dict(plan.group_of) != dict(self.group_of):
                raise wrong_value(
                    f"{plan.groups} parameter groups",
                    f"another callback of this fit has divided the variables differently, into {self.groups}",
                    "Give both the same `groups=`.",
                )
            self.groups, self.group_of = plan.groups, plan.group_of
        self.plans.append(plan)

    def build(self, backend: str) -> None:
        """Make the table: the scheduled columns, and beside them those that let every later fit share the step."""
        curves: dict[str, RowValues] = {}
        for plan in self.plans:
            curves |= plan.curves
        momentum = momentum_attribute(self.optimizer)
        corrected = any(plan.momentum_correction for plan in self.plans) and momentum == "momentum"
        if corrected and momentum is not None and momentum not in curves:
            value = float(self.optimizer.momentum)
            curves[momentum] = lambda rows: np.full(len(rows), value)
        self.table = Table(
            curves,
            {name: vars(self.optimizer).get(name) for name in self._columns(curves, momentum, backend)},
            max(plan.total for plan in self.plans),
            self.groups,
            momentum="momentum" if corrected and RATE in curves else None,
            lag=self.optimizer.gradient_accumulation_steps or 1,
        )

    def _columns(self, curves: Mapping[str, RowValues], momentum: str | None, backend: str) -> list[str]:
        names = [RATE] if RATE in curves else []
        if backend != "torch":  # there nothing is compiled that could be shared
            names += [momentum] if momentum is not None else []
            names += ["weight_decay"] if self.optimizer.weight_decay is not None else []
        return names + sorted(set(curves) - set(names))

    def account(self, count: int) -> None:
        """Note that `count` more rows were used; a run without a gap stays one span, however long it is."""
        if count:
            first, before = self.used[-1] if self.used else (self.first_row, 0)
            if first + before == self.first_row:
                self.used[-1:] = [(first, before + count)]
            else:
                self.used.append((self.first_row, count))
        self.first_row += count
        self.first_iteration += count

    def group(self, variable: Any) -> int:
        """The parameter group of a trainable variable."""
        return self.group_of.get(id(variable), self.groups - 1)

    def iterations(self) -> int:
        """How many steps the optimizer has counted."""
        return as_int(self.optimizer._iterations)


def compiled_rate(optimizer: keras.Optimizer) -> float | None:
    """The learning rate that an innermost optimizer was made with; `None` where that is a schedule of its own."""
    rate = vars(optimizer)["_learning_rate"]
    return as_float(rate) if isinstance(rate, keras.Variable) else None
