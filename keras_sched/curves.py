"""What a user schedules, {name: annealer}, as values by row: one row for each batch of one optimizer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isfunction
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.annealers import Annealer, as_annealer
from keras_sched.arguments import check_of_position, what_it_is
from keras_sched.errors import shown, speaker, speaking_as, wrong_type, wrong_value
from keras_sched.hypers import CLIPPING, RATE, attribute_of, is_object, momentum_attribute
from keras_sched.table import RowValues, Table

Scheds = Mapping[str, Any]
"""{hyper-parameter: an annealer, a function of the position, or a list of these, one per parameter group}."""

_BELOW_1, _UP_TO_1 = frozenset({"beta_1", "beta_2"}), frozenset({"momentum", "rho", "ema_momentum"})
_LOOKED_AT = 256  # batches whose values are checked before the fit: wrong ones may come late in it
_ROUNDING = 1e-12  # a formula that ends at 0 may be this far below it


@dataclass(frozen=True)
class Plan:
    """What one callback schedules on one optimizer.

    Args:
        curves: {attribute: row numbers -> values, (N,) or (N, G)}; row 0 is the first batch of epoch 0.
        total: the row from which on the values do not change.
        groups: the number of parameter groups, at least 1.
        group_of: {id of a trainable variable: its group}; empty where there are no groups.
        momentum_correction: whether the momentum is multiplied by the ratio of two successive rates.
        names: {attribute: the name by which the user called it}.
        grouped: the attributes that have a value for each parameter group.
    """

    curves: Mapping[str, RowValues]
    total: int
    groups: int = 1
    group_of: Mapping[int, int] = field(default_factory=dict)
    momentum_correction: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    grouped: frozenset[str] = frozenset()


def check_scheds(scheds: Any) -> dict[str, Any]:
    """`scheds` with functions made annealers and lists made tuples; raise unless it is {name: annealer}."""
    if not isinstance(scheds, Mapping) or not all(isinstance(name, str | tuple) for name in scheds):
        expected = "it must be a dictionary from the name of a hyper-parameter to an annealer"
        cure = "Pass for example `{'lr': SchedCos(0.1, 0.0)}`, or a recipe: `one_cycle(0.1)`."
        raise wrong_type(f"scheds={shown(scheds)}", expected, what_it_is(scheds) or cure)
    if not scheds:
        raise wrong_value("scheds={}", "there is nothing to schedule in it", "Pass for example `one_cycle(0.1)`.")
    return {name: _annealers(name if isinstance(name, str) else shown(name), sched) for name, sched in scheds.items()}


def groups_of(scheds: Scheds) -> int | None:
    """How many parameter groups the schedules themselves ask for, or `None` if all have one value."""
    wanted = {name: _wanted(sched) for name, sched in scheds.items()}
    counts = {name: count for name, count in wanted.items() if count is not None}
    if len(set(counts.values())) > 1:
        expected = "hyper-parameters which differ by parameter group must have the same number of groups"
        raise wrong_value(f"scheds with {counts} values", expected, "Give each one value, or one per group.")
    return next(iter(counts.values()), None)


def differs_by_group(sched: Any) -> bool:
    """Whether a schedule has a value for each parameter group."""
    return _wanted(sched) is not None


def curves_of(
    scheds: Scheds,
    optimizer: keras.Optimizer,
    total: int,
    groups: int,
    columns: Mapping[Any, tuple[str, str]] | None = None,
) -> tuple[dict[str, RowValues], dict[str, str]]:
    """{attribute of an inner optimizer: its values by row}, and {attribute: the name that the user gave}.

    `total` is the length in batches; `columns` has {key: (column, name)} of what is not the optimizer's. Raises where
    the optimizer has no such hyper-parameter, or one for all groups only, and where a value cannot be trained with.
    """
    curves: dict[str, RowValues] = {}
    names: dict[str, str] = {}
    for name, sched in scheds.items():
        if columns and name in columns:
            attribute, name = columns[name]  # noqa: PLW2901 - the rest speaks of it by that name
            if differs_by_group(sched):
                found = f"{name} with {_wanted(sched)} values"
                raise wrong_value(found, "parameter groups have no part in it", "Give it one annealer.")
        else:
            if not isinstance(name, str) or "." in name:
                cure = "Schedule it in `fit`, with `ParamScheduler`; a loop that is not compiled can set it itself."
                raise wrong_value(shown(name), "only the optimizer's hyper-parameters can be scheduled here", cure)
            attribute = attribute_of(name, optimizer)
        if attribute in curves:
            expected = f"both are `{attribute}` of {type(optimizer).__name__}"
            raise wrong_value(f"{names[attribute]!r} and {name!r}", expected, "Leave one of them out.")
        if not is_object(attribute):
            _check_groups(name, attribute, sched, optimizer, groups)
        values_of = _checked(_row_values(sched, total), name, attribute)
        values_of(looked_at(total))  # raises before the first batch
        curves[attribute], names[attribute] = values_of, name
    return curves, names


def looked_at(total: int) -> NDArray[np.int64]:
    """The batches of a schedule of that length whose values are checked before the fit."""
    return np.unique(np.linspace(0, total - 1, _LOOKED_AT).astype(np.int64))


def table_of(plans: Sequence[Plan], optimizer: keras.Optimizer, groups: int, *, fixed: bool) -> Table:
    """The table of all that is scheduled on an inner optimizer.

    Where a step is compiled its columns are `fixed`: those too that keep their value, so that later fits can share it.
    """
    curves: dict[str, RowValues] = {}
    for plan in plans:
        curves |= plan.curves
    momentum = momentum_attribute(optimizer)
    corrected = momentum == "momentum" and any(plan.momentum_correction for plan in plans)
    if corrected and momentum not in curves:
        value = float(optimizer.momentum)
        curves["momentum"] = lambda rows: np.full(len(rows), value)
    names = [RATE] if RATE in curves else []
    if fixed:
        names += [momentum] if momentum is not None else []
        names += ["weight_decay"] if optimizer.weight_decay is not None else []
    return Table(
        curves,
        {name: vars(optimizer).get(name) for name in names + sorted(set(curves) - set(names))},
        max(plan.total for plan in plans),
        groups,
        momentum="momentum" if corrected and RATE in curves else None,
        lag=optimizer.gradient_accumulation_steps or 1,
    )


def _annealers(name: str, sched: Any) -> Any:
    if isinstance(sched, list | tuple):
        if not sched:
            raise wrong_value(f"{name}=[]", "it has no annealer", "Pass one annealer per parameter group.")
        made = tuple(as_annealer(name, one, typed=sched) for one in sched)
        if any(one.groups is not None for one in made):
            expected = "each annealer of a list is for one parameter group, and has one value at a time"
            raise wrong_value(f"{name}={shown(sched)}", expected, "Pass one of them alone, or one value each.")
        return made
    if isfunction(sched):
        check_of_position(name, sched)
    return as_annealer(name, sched)


def _wanted(sched: Any) -> int | None:
    return len(sched) if isinstance(sched, tuple) else sched.groups


def _check_groups(name: str, attribute: str, sched: Any, optimizer: keras.Optimizer, groups: int) -> None:
    wanted = _wanted(sched)
    if wanted is None or wanted == 1 == groups:
        return
    if wanted != groups:
        cure = f"Give it one value, or one for each of the {groups}."
        raise wrong_value(f"{name} with {wanted} values", f"there are {groups} parameter groups", cure)
    shared: dict[str, str] = dict.fromkeys(CLIPPING, "one limit for all gradients of a step")
    if isinstance(optimizer, keras.optimizers.Nadam):
        shared["beta_1"] = "one product of the momenta so far, for all variables"
    if attribute in shared:
        expected = f"{type(optimizer).__name__} keeps {shared[attribute]}"
        raise wrong_value(f"{name} with {wanted} values", expected, "Give it one value for all parameter groups.")


def _row_values(sched: Annealer | Sequence[Annealer], total: int) -> RowValues:
    if isinstance(sched, Annealer):
        return lambda rows: np.asarray(sched(_positions(rows, total)))
    return lambda rows: np.stack([np.asarray(one(_positions(rows, total))) for one in sched], axis=-1)


def _checked(values_of: RowValues, name: str, attribute: str) -> RowValues:
    """`values_of`, but an error names the hyper-parameter, and so does a value that `attribute` cannot have."""
    who = speaker()  # rows are computed as training goes on, outside of any public function

    def checked(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        try:
            values = values_of(rows)
        except Exception as error:
            error.add_note(f"... in the schedule of {name!r}, in `{who}`")
            raise
        for wrong, expected, cure in _refused(attribute, values):
            if wrong.any():
                place = np.flatnonzero(wrong)[0]
                batch = rows[place // (values.size // len(rows))]
                with speaking_as(who):
                    raise wrong_value(f"{name}={values.flat[place]:g}", f"{expected} at batch {batch}", cure)
        return values

    return checked


def _refused(attribute: str, values: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.bool_], str, str]]:
    """Which of the values cannot be trained with, what is wrong with them, and the cure."""
    yield np.isnan(values), "its schedule has no value", "Return a number for each position."
    if attribute in (RATE, "weight_decay", "epsilon", *CLIPPING):
        name = "a learning rate" if attribute == RATE else f"`{attribute}`"
        below = values < -_ROUNDING
        yield below, f"{name} is at least 0, and its schedule is below", "End it at 0, or above."
    if attribute in _BELOW_1 | _UP_TO_1:
        most, high = ("below 1", values >= 1) if attribute in _BELOW_1 else ("at most 1", values > 1 + _ROUNDING)
        cure = f"Pass values as `{attribute}` has them, for example from 0.95 to 0.85."
        yield high | (values < -_ROUNDING), f"`{attribute}` is at least 0 and {most}, and its schedule is not", cure


def _positions(rows: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    return np.minimum(rows / total, 1.0)
