"""One inner optimizer in a scheduled fit: its table, and which rows of it were used."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import Plan, table_of
from keras_sched.errors import wrong_value
from keras_sched.step.backend import backend
from keras_sched.step.numbers import as_float, as_int
from keras_sched.step.objects import Target
from keras_sched.step.override import Override
from keras_sched.step.shown import ShownRate
from keras_sched.table import Table


class InnerOptimizer:
    """An optimizer that holds hyper-parameters itself: inside a `LossScaleOptimizer`, or one of a `MultiOptimizer`.

    Args:
        skips: whether a loss scale around it may skip updates.
        part: whether it is one of several.
    """

    def __init__(self, optimizer: keras.Optimizer, *, skips: bool = False, part: bool = False) -> None:
        self.optimizer: Any = optimizer  # `None` after `release`
        self.name = optimizer.name
        self.skips = skips
        self._part = part
        self.plans: list[Plan] = []
        self.group_of: Mapping[int, int] = {}
        self.groups = 1
        self.targets: dict[str, Target] = {}  # {column: what it is for} of the columns that are not the optimizer's
        self.table: Table
        self.epochs: list[tuple[int, int]] = []  # (updates, batches) of each
        self.override: Override | None = None
        self.shown: ShownRate | None = None
        self.first_count = self.first_row = 0  # the optimizer's count, and the coming row then
        self._was_built = False
        self._used: list[tuple[int, int]] = []  # (first row, how many) of each epoch, or part of one

    def add(self, plan: Plan) -> None:
        """Take one more callback's plan, and make the table anew; a `ValueError` where it contradicts another's."""
        for attribute in plan.curves:
            if any(attribute in other.curves for other in self.plans):
                expected = f"`{attribute}` is scheduled by another callback of this fit already"
                raise wrong_value(repr(plan.names.get(attribute, attribute)), expected, "Keep one of the two.")
        if plan.groups > 1:
            if self.groups > 1 and dict(plan.group_of) != dict(self.group_of):
                expected = f"another callback of this fit has divided the variables differently, into {self.groups}"
                cure = "Give both the same `groups=`."
                raise wrong_value(f"{plan.groups} parameter groups", expected, cure)
            self.groups, self.group_of = plan.groups, plan.group_of
        self.plans.append(plan)
        self.table = table_of(self.plans, self.optimizer, self.groups, fixed=backend().compiles)
        self.table.check_correction()

    def group(self, variable: keras.Variable) -> int:
        """The parameter group of a trainable variable."""
        return self.group_of.get(id(variable), self.groups - 1)

    def release(self) -> None:
        """Let go of the optimizer: what is left tells what was used."""
        self._was_built = self.in_use
        self.optimizer = self.override = self.shown = None
        self.targets = {}

    @property
    def in_use(self) -> bool:
        """Whether the optimizer has variables to train: a `MultiOptimizer` may give it none."""
        return self._was_built if self.optimizer is None else bool(self.optimizer.built)

    @property
    def may_be_idle(self) -> bool:
        """Whether batches without an update of it are as they should be."""
        return self.skips or (self._part and not self.in_use)

    @property
    def per_batch(self) -> int:
        """How many updates it makes in a batch."""
        return 1 if self.override is None else self.override.per_batch

    @property
    def counter(self) -> keras.Variable:
        """The variable in which the optimizer counts its updates."""
        return self.optimizer._iterations

    @property
    def trained(self) -> list[keras.Variable]:
        """The variables that the optimizer was built for."""
        return self.optimizer._trainable_variables

    def count(self) -> int | None:
        """How many updates the optimizer has counted; `None` while the variable's value is away, in a step."""
        return as_int(self.counter) if backend().has_value(self.counter) else None

    def anchor(self, row: int) -> None:
        """The coming batch takes row `row`."""
        self.first_count, self.first_row = self.count() or 0, row

    def account(self, batches: int, count: int | None = None) -> None:
        """Note that so many more rows were used; `count` is the optimizer's after them."""
        if batches:
            self._used.append((self.first_row, batches))
        self.first_row += batches
        self.first_count = self.first_count + batches * self.per_batch if count is None else count

    def used(self, attribute: str, running: int = 0) -> NDArray[np.float64]:
        """The values of `attribute` in the batches so far, (N, groups); `running` of them are not accounted yet."""
        spans = [*self._used, (self.first_row, running)]
        rows = np.concatenate([np.arange(0), *(np.arange(first, first + count) for first, count in spans)])
        return self.table.values(attribute, rows)

    def last_value(self, attribute: str, running: int = 0) -> NDArray[np.float64]:
        """The value of the last batch, (groups,); before any batch, that of the first one."""
        row = self.first_row + max(running - 1, 0)
        if not running and self._used:
            row = sum(self._used[-1]) - 1
        return self.table.values(attribute, [row])[0]


def compiled_rate(optimizer: keras.Optimizer) -> float | None:
    """The learning rate that an inner optimizer was made with; `None` where that is a schedule of its own."""
    rate = vars(optimizer)["_learning_rate"]
    return as_float(rate) if isinstance(rate, keras.Variable) else None
