"""Triangles, one after the other: what the recipe `triangular` makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_sched.annealers.base import registered
from keras_sched.annealers.formulas import Formula, mix

MODES = ("triangular", "triangular2", "exp_range")


@registered
@dataclass(frozen=True, slots=True, repr=False)
class Triangles(Formula):
    """From `start` to `end` and back, `n_cycles` times; `triangular` describes and checks the arguments."""

    n_cycles: float
    mode: str
    gamma: float

    def _constants(self) -> tuple[Any, ...]:
        return self.start, self.end, {"triangular2": 0.5, "exp_range": self.gamma}.get(self.mode, 1.0)

    def _between(self, ops: Any, pos: Any, constants: tuple[Any, ...]) -> Any:
        start, end, left = constants
        cycle = ops.floor(pos * self.n_cycles)
        height = 1 - ops.abs(1 - 2 * (pos * self.n_cycles - cycle))
        height = height * ops.power(left, cycle if self.mode == "triangular2" else pos)
        return mix(ops, start, end, height, 1 - height)

    def __repr__(self) -> str:
        rates = f"{self.start!r}, {self.end!r}, n_cycles={self.n_cycles!r}"
        return f"triangular({rates}, mode={self.mode!r}, gamma={self.gamma!r})['lr']"
