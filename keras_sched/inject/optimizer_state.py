"""An optimizer's state when the variables that it trains change: made afresh, or carried over."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import keras
from keras import ops

from keras_sched.errors import wrong_state
from keras_sched.inject.apply import put

# name -> what it is used for, as in names.py.
OPTIMIZER_STATE_NAMES = {
    "_accumulated_gradients": "half a sum of gradients is worth nothing to a variable that was frozen in between",
    "_distribute_strategy": "under a TensorFlow strategy variables are made in its scope",
    "_iterations": "begins at 0 again",
    "_learning_rate": "stays what it is",
    "_model_variables_moving_average": "the average of a variable that begins to train is the variable",
    "_optimizer_map": "a function that makes a new optimizer each time must not lose the one in use",
    "_trainable_variables": "the variables that the optimizer was built for, in the order of its slots",
    "_trainable_variables_indices": "emptied before the optimizer is built again",
    "_untrack_variable": "lets go of a slot",
    "_var_key": "finds a variable's optimizer in a `MultiOptimizer`",
    "_var_to_optimizer_idx": "the same",
    "_variables": "the one list of an optimizer's variables that is no list of slots",
}

Slots = dict[str, dict[int, tuple[keras.Variable, keras.Variable]]]
"""{attribute: {id of a model's variable: (that variable, its slot)}}."""


@dataclass(frozen=True)
class _State:
    slots: Slots
    scalars: dict[str, keras.Variable]


# The slots of variables that are frozen with `keep_state=True`, for when they train again. They are no part of the
# optimizer, so that what is saved meanwhile is what Keras would have saved.
_FROZEN: WeakKeyDictionary[keras.Optimizer, Slots] = WeakKeyDictionary()
# The optimizers that a function chose for the variables of a `MultiOptimizer`, also for those that are frozen now.
_CHOSEN: WeakKeyDictionary[keras.Optimizer, dict[int, tuple[keras.Variable, keras.Optimizer]]] = WeakKeyDictionary()


def fits(model: keras.Model) -> bool:
    """Whether the optimizer has state for exactly the variables that train now, or none at all."""
    optimizer = model.optimizer
    if optimizer is None or not optimizer.built:
        return True
    return [id(v) for v in optimizer._trainable_variables] == [id(v) for v in model.trainable_variables]


def check_keepable(model: keras.Model) -> None:
    """Raise when it is not known which of the optimizer's variables belongs to which of the model's."""
    if not model.compiled or model.optimizer is None or not model.optimizer.built:
        return
    for part in _parts(model.optimizer):
        known = {id(variable) for variable in _scalars(part).values()}
        known |= {id(slot) for slots in _slots(part).values() for slot in slots}
        unknown = [variable.path for variable in _own(part) if id(variable) not in known]
        if unknown:
            raise wrong_state(
                f"variables of `{type(part).__name__}` that belong to no known weight ({', '.join(unknown[:5])})",
                "with `keep_state=True` the state of each weight is carried over",
                "Leave `keep_state` out, or keep them in lists with an entry for each variable, as `build` gets them.",
            )


def renew(model: keras.Model, *, keep_state: bool) -> None:
    """Build the same optimizer object again, for the variables that train now; its hyper-parameters stay.

    Args:
        model: a compiled model whose optimizer is built.
        keep_state: whether slots, the count and other state are carried over; else they begin anew.
    """
    optimizer = model.optimizer
    parts = _parts(optimizer)
    states = {id(part): _state(part) for part in parts} if keep_state else {}
    with _scope(model), _same_choices(parts):
        before = [(part, _scalars(part)) for part in parts]
        for part in parts:
            _strip(part)
        optimizer.build(model.trainable_variables)
        for part, scalars in before:
            _let_go(part, scalars)
        for part in _parts(optimizer):
            if id(part) in states:
                _give_back(part, states[id(part)])
            elif not keep_state:
                _FROZEN.pop(part, None)
                part._iterations.assign(0)


def refill(model: keras.Model) -> bool:
    """Give every variable of the optimizer its first value again, the learning rate aside; no step compiles again.

    Returns:
        Whether it could: an optimizer that cannot be made from its own configuration has to be built again.
    """
    parts = _parts(model.optimizer)
    with _scope(model):
        pairs = [_first_values(part) for part in parts]
        if any(pair is None for pair in pairs):
            return False
        for part, pair in zip(parts, pairs, strict=True):
            _FROZEN.pop(part, None)
            for variable, value in pair or []:
                variable.assign(value)
    return True


def rewind(model: keras.Model) -> None:
    """Set an optimizer that is not built to its first step."""
    for part in _parts(model.optimizer):
        part._iterations.assign(0)


# The parts of an optimizer


def _parts(optimizer: keras.Optimizer) -> list[keras.Optimizer]:
    """The optimizer and those in it, whatever wraps what."""
    return [optimizer, *(part for inner in _inner(optimizer) for part in _parts(inner))]


def _inner(optimizer: keras.Optimizer) -> list[keras.Optimizer]:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.inner_optimizer]
    return list(optimizer.optimizers) if _is_multi(optimizer) else []


def _is_multi(optimizer: keras.Optimizer) -> bool:
    multi = getattr(keras.optimizers, "MultiOptimizer", None)  # Keras has it since 3.15
    return multi is not None and isinstance(optimizer, multi)


def _own(part: keras.Optimizer) -> list[keras.Variable]:
    """The part's variables without those of the optimizers in it."""
    inner = {id(variable) for each in _inner(part) for variable in each.variables}
    return [variable for variable in part.variables if id(variable) not in inner]


def _scalars(part: keras.Optimizer) -> dict[str, keras.Variable]:
    """{attribute: variable} of what is the whole optimizer's and no weight's: the count, the rate, a loss scale."""
    own = {id(variable) for variable in _own(part)}
    return {name: value for name, value in vars(part).items() if id(value) in own}


def _slots(part: keras.Optimizer) -> dict[str, list[Any]]:
    """{attribute: its slots, one for each variable that the optimizer was built for}."""
    own = {id(variable) for variable in _own(part)}
    count = len(part._trainable_variables)
    return {
        name: value
        for name, value in vars(part).items()
        if isinstance(value, list) and value is not part._variables and len(value) == count > 0
        if all(slot is None or id(slot) in own for slot in value)
    }


def _state(part: keras.Optimizer) -> _State:
    slots: Slots = {
        name: {
            id(variable): (variable, slot)
            for variable, slot in zip(part._trainable_variables, slots, strict=True)
            if slot is not None
        }
        for name, slots in _slots(part).items()
    }
    return _State(slots, _scalars(part))


# Building it again


def _strip(part: keras.Optimizer) -> None:
    """Make the part one that is not built."""
    scalars = {id(variable) for variable in _scalars(part).values()}
    gone = [variable for variable in _own(part) if id(variable) not in scalars]
    for name in [*_slots(part), "_trainable_variables"]:
        put(part, name, [])
    for variable in gone:
        part._untrack_variable(variable)
    part._trainable_variables_indices.clear()
    part.built = False


def _let_go(part: keras.Optimizer, before: dict[str, keras.Variable]) -> None:
    """Untrack what building has made anew under the same name."""
    for name, variable in before.items():
        if vars(part).get(name) is not variable:
            part._untrack_variable(variable)


def _give_back(part: keras.Optimizer, state: _State) -> None:
    frozen = _FROZEN.setdefault(part, {})
    now = _slots(part)
    for name in {*now, *state.slots}:
        known = frozen.pop(name, {}) | state.slots.get(name, {})
        for variable, slot in zip(part._trainable_variables, now.get(name, ()), strict=name in now):
            if slot is not None and id(variable) in known:
                slot.assign(known.pop(id(variable))[1])
            elif slot is not None and name == "_model_variables_moving_average":
                slot.assign(ops.copy(variable))
        if name != "_accumulated_gradients":
            frozen[name] = known
    for name, variable in state.scalars.items():
        made = vars(part).get(name)
        if made is not None and made is not variable:
            made.assign(variable)


@contextmanager
def _same_choices(parts: list[keras.Optimizer]) -> Iterator[None]:
    """Let a `MultiOptimizer` keep the optimizer of each variable that it has met, while the block builds it."""
    multi = next((part for part in parts if _is_multi(part)), None)
    if multi is None:
        yield
        return
    chosen = _CHOSEN.setdefault(multi, {})
    for variable in multi._trainable_variables:
        place = multi._var_to_optimizer_idx[multi._var_key(variable)]
        chosen[id(variable)] = (variable, multi.optimizers[place])
    choose: Callable[[Any], keras.Optimizer] = multi._optimizer_map
    put(multi, "_optimizer_map", lambda v: chosen[id(v)][1] if id(v) in chosen else choose(v))
    try:
        yield
    finally:
        put(multi, "_optimizer_map", choose)


def _scope(model: keras.Model) -> AbstractContextManager[Any]:
    strategy = getattr(model, "_distribute_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


# The first values again


def _first_values(part: keras.Optimizer) -> list[tuple[keras.Variable, Any]] | None:
    """(variable, its first value) of each of the part's own variables; `None` where that is not known."""
    if isinstance(part, keras.optimizers.LossScaleOptimizer):
        return [(part._iterations, 0), (part.step_counter, 0), (part.dynamic_scale, part.initial_scale)]
    if _is_multi(part):
        return [(part._iterations, 0)]
    twin = _twin(part)
    if twin is None:
        return None
    own, fresh = ([v for v in _own(each) if v is not each._learning_rate] for each in (part, twin))
    if [v.shape for v in own] != [v.shape for v in fresh]:
        return None
    return list(zip(own, fresh, strict=True))


def _twin(part: keras.Optimizer) -> keras.Optimizer | None:
    """A new optimizer of the same configuration, built for the same variables."""
    try:
        twin = type(part).from_config(part.get_config())
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None  # a user's optimizer, or a schedule, without a configuration
    if part.built:
        twin.build(part._trainable_variables)
    return twin
