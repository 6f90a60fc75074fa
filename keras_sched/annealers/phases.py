"""Annealers one after the other."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import Any

import keras
import numpy as np

from keras_sched.annealers.base import Annealer, Ends, computing_dtype, registered
from keras_sched.annealers.formulas import SchedCos
from keras_sched.annealers.handmade import as_annealer
from keras_sched.arguments import names_checked
from keras_sched.errors import check_fraction, shown, speaking_as, wrong_type, wrong_value

SNAP = 2.0**-48
"""Positions this close count as one: 0.7 + 0.2 lies one rounding below 0.9, where batch 9 of 10 is."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of positions from `low` to `high`, exact, and what anneals there."""

    low: Fraction
    high: Fraction
    sched: Annealer


@names_checked
def combine_scheds(pcts: Iterable[float], scheds: Iterable[Any]) -> CombinedScheds:
    """One annealer after the other, each for its share of training.

    Args:
        pcts: each phase's share, at least 0. They sum to 1 within 1e-6, and are then scaled to do so exactly. A phase
            of no length is skipped.
        scheds: the annealers, one per share; each runs through its own positions 0 to 1. A Python function of the
            position works too, but cannot be saved. If some have groups, the others give each group the same value.

    Returns:
        An annealer. A boundary belongs to the phase that begins there, position 1 to the last phase.

    Raises:
        ValueError: when lengths differ, a share is negative, or the shares do not sum to 1.

    Example:
        >>> from keras_sched import SchedCos, SchedLin, combine_scheds
        >>> warmup_then_cosine = combine_scheds([0.2, 0.8], [SchedLin(0, 0.1), SchedCos(0.1, 0)])
        >>> [round(warmup_then_cosine(pos), 9) for pos in (0.1, 0.2, 0.6, 1)]
        [0.05, 0.1, 0.05, 0.0]

    After fastai's function of the same name.
    """
    pcts = tuple(pcts) if isinstance(pcts, Iterable) else pcts
    if not isinstance(pcts, tuple) or not isinstance(scheds, Iterable) or any(map(callable, pcts)):
        cure = "Pass the shares first, for example `[0.3, 0.7], [SchedLin(0, 1), SchedCos(1, 0)]`."
        raise wrong_type(f"{shown(pcts)}, {shown(scheds)}", "it takes a list of shares and one of annealers", cure)
    return CombinedScheds(pcts, tuple(scheds))


@names_checked
def combined_cos(pct: float, start: Ends, middle: Ends, end: Ends) -> CombinedScheds:
    """Half a cosine from `start` to `middle`, then one from `middle` to `end`.

    Args:
        pct: the share of training that the first takes, from 0 to 1.
        start: the value at position 0; a number, or one per parameter group.
        middle: the value at position `pct`; the same.
        end: the value at position 1; the same.

    Raises:
        ValueError: when `pct` is not between 0 and 1.

    Example:
        >>> from keras_sched import combined_cos
        >>> combined_cos(0.25, 0.04, 1, 0)([0, 0.25, 1]).tolist()
        [0.04, 1.0, 0.0]

    After fastai's function of the same name.
    """
    check_fraction("pct", pct, "the share of training from `start` to `middle`")
    return combine_scheds([pct, 1 - pct], [SchedCos(start, middle), SchedCos(middle, end)])


@registered
@dataclass(frozen=True, slots=True, repr=False)
class CombinedScheds(Annealer):
    """What `combine_scheds` makes."""

    pcts: tuple[float, ...]
    scheds: tuple[Annealer, ...]
    phases: tuple[Phase, ...] = field(init=False, compare=False)

    @speaking_as("combine_scheds")
    def __post_init__(self) -> None:
        if len(self.pcts) != len(self.scheds):
            cure = "Pass for example `combine_scheds([0.3, 0.7], [SchedLin(0, 1), SchedCos(1, 0)])`."
            expected = "each of the scheds has a share of training"
            raise wrong_value(f"{len(self.pcts)} pcts and {len(self.scheds)} scheds", expected, cure)
        scheds = tuple(as_annealer(f"scheds[{i}]", each) for i, each in enumerate(self.scheds))
        if len({each.groups for each in scheds} - {None}) > 1:
            expected = "values go to one number of parameter groups all the way"
            cure = "Pass scheds with equally many numbers, or with a single number for all groups."
            raise wrong_value(f"scheds={shown(list(scheds))}", expected, cure)
        object.__setattr__(self, "pcts", _checked_pcts(tuple(self.pcts)))
        object.__setattr__(self, "scheds", scheds)
        object.__setattr__(self, "phases", tuple(_phases(self.pcts, scheds)))

    @property
    def groups(self) -> int | None:
        """How many parameter groups have their own value; `None` if all share one."""
        return next((each.groups for each in self.scheds if each.groups is not None), None)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this annealer, as Keras' serialisation wants them."""
        scheds = [keras.saving.serialize_keras_object(each) for each in self.scheds]
        return {"pcts": list(self.pcts), "scheds": scheds}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CombinedScheds:
        """The annealer that `get_config` describes."""
        return cls(config["pcts"], tuple(keras.saving.deserialize_keras_object(each) for each in config["scheds"]))

    def __repr__(self) -> str:
        return f"combine_scheds({list(self.pcts)!r}, {list(self.scheds)!r})"

    def on_array(self, pos: np.ndarray) -> np.ndarray:
        """The values at float64 positions that lie in [0, 1]."""
        flat = pos.ravel()
        values = np.empty(flat.shape if self.groups is None else (*flat.shape, self.groups))
        for phase, places in zip(self.phases, _places(flat, self.phases), strict=True):
            found = phase.sched.on_array(_within_array(flat[places], phase))
            values[places] = found[..., None] if found.ndim < values.ndim else found
        return values.reshape((*pos.shape, *values.shape[1:]))

    def on_tensor(self, pos: Any) -> Any:
        """The values at a tensor of positions, float32 or finer, that lie in [0, 1]."""
        near = SNAP if keras.backend.standardize_dtype(pos.dtype) == "float64" else 2.0**-22
        lows = [float(phase.low) for phase in self.phases]
        highs = [float(phase.high) for phase in self.phases]

        def within(at: int) -> tuple[Any, Any]:
            local = (pos - lows[at]) / (highs[at] - lows[at])
            before_next = pos < lows[at + 1] - near if at + 1 < len(lows) else True
            return (pos >= lows[at] - near) & before_next, keras.ops.where(pos - lows[at] <= near, 0.0 * pos, local)

        return self._choose(within)

    def in_steps(self, steps: int) -> Callable[[Any], Any]:
        """A function from a tensor of whole steps, 0 to `steps`, to a tensor of their values, in `floatx` or finer."""
        # Each phase counts its own steps, in whole numbers: a float32 position is too coarse for a million steps.
        firsts = [math.ceil((phase.low - Fraction(SNAP)) * steps) for phase in self.phases]
        lates = [float(first - phase.low * steps) for first, phase in zip(firsts, self.phases, strict=True)]
        widths = [float((phase.high - phase.low) * steps) for phase in self.phases]

        def within(step: Any, at: int) -> tuple[Any, Any]:
            done: Any = keras.ops.cast(step - firsts[at], computing_dtype(keras.config.floatx()))
            before_next = step < firsts[at + 1] if at + 1 < len(firsts) else True
            return (step >= firsts[at]) & before_next, (done + lates[at]) / widths[at]

        return lambda step: self._choose(lambda at: within(step, at))

    def _choose(self, within: Callable[[int], tuple[Any, Any]]) -> Any:
        """The values; `within` gives for a phase which places are in it, and their positions inside it."""
        values = None
        for at, phase in enumerate(self.phases):
            inside, local = within(at)
            # Outside, 0.5 and not 0 or 1: there a slope may be infinite, and infinity times 0 is NaN.
            local = keras.ops.where(inside, keras.ops.clip(local, 0.0, 1.0), 0.5 + 0.0 * local)
            found = self._with_groups(phase.sched.on_tensor(local), phase.sched)
            values = found if values is None else keras.ops.where(self._with_groups(inside, None), found, values)
        return values

    def _with_groups(self, tensor: Any, sched: Annealer | None) -> Any:
        if self.groups is None or (sched is not None and sched.groups is not None):
            return tensor
        return keras.ops.repeat(keras.ops.expand_dims(tensor, -1), self.groups, axis=-1)


def _places(pos: np.ndarray, phases: tuple[Phase, ...]) -> list[np.ndarray]:
    """The places in `pos` that belong to each phase."""
    starts = np.array([float(phase.low) for phase in phases[1:]]) - SNAP
    which = np.searchsorted(starts, pos, side="right")
    return [np.flatnonzero(which == at) for at in range(len(phases))]


def _within_array(pos: np.ndarray, phase: Phase) -> np.ndarray:
    low = float(phase.low)
    local = np.where(pos - low <= SNAP, 0.0, (pos - low) / (float(phase.high) - low))
    return np.clip(local, 0.0, 1.0)


def _checked_pcts(pcts: tuple[Any, ...]) -> tuple[float, ...]:
    received = f"pcts={shown(list(pcts))}"
    meaning = "they are the phases' shares of training"
    if not all(isinstance(each, numbers.Real) and 0 <= float(each) < math.inf for each in pcts):
        raise wrong_value(received, f"{meaning}, each a number of at least 0", "Pass for example `[0.3, 0.7]`.")
    total = math.fsum(pcts)
    if abs(total - 1) > 1.000001e-6:
        cure = f"Pass `[p / {total:g} for p in pcts]`." if total else "Pass for example `[0.3, 0.7]`."
        raise wrong_value(received, f"{meaning}, and sum to 1; these sum to {total:g}", cure)
    return tuple(float(each) for each in pcts)


def _phases(pcts: tuple[float, ...], scheds: tuple[Annealer, ...]) -> list[Phase]:
    """The phases longer than 0, with exact boundaries; a combined schedule among them is taken apart."""
    lengths = [simplest_fraction(each) for each in pcts]
    highs = [each / sum(lengths) for each in accumulate(lengths)]
    lows = [Fraction(0), *highs]
    phases = [phase for triple in zip(lows, highs, scheds, strict=False) for phase in _flat(*triple)]
    return [phase for phase in phases if phase.high - phase.low > SNAP]


def _flat(low: Fraction, high: Fraction, sched: Annealer) -> list[Phase]:
    if not isinstance(sched, CombinedScheds):
        return [Phase(low, high, sched)]
    length = high - low
    return [Phase(low + each.low * length, low + each.high * length, each.sched) for each in sched.phases]


def simplest_fraction(value: float) -> Fraction:
    """The fraction that the float stands for: 1/10 for 0.1, and 1/3 for 0.333..."""
    exact = Fraction(value)
    simple = exact.limit_denominator(10**6)
    return simple if simple and abs(simple - exact) <= SNAP / 8 * max(1, exact) else exact
