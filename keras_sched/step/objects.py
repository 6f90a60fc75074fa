"""Scheduled values in the place of what else a training step reads: attributes of layers and losses, variables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any, cast

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from keras_sched.errors import advise, is_number, no_attribute, speaking_as, wrong_state
from keras_sched.step.attributes import Replaced
from keras_sched.step.proxy import refuse_to_answer
from keras_sched.step.scalar import Scalar

_ROWS = 65_536  # looked through at once
_ONE_OF_EACH = (-1.0, 0.0, 0.5, 1.0, 2.0)  # below 0, 0, between, 1, above: no Keras layer or loss asks for more


@dataclass(frozen=True)
class Target:
    """What one key of a schedule stands for, where it is not the optimizer's.

    Args:
        label: its name in `hps` and `logs`.
        places: the objects and their attributes.
        variables: scalar variables that do not train.
        loss: attribute of the compiled losses, of all or of those of one output; `None` as an attribute is the weight.
    """

    label: str
    places: tuple[tuple[Any, str], ...] = ()
    variables: tuple[keras.Variable, ...] = ()
    loss: tuple[str | None, str | None] | None = None

    @property
    def things(self) -> list[tuple[Any, str | None]]:
        """What must be the same in two targets that are one; losses are their model's."""
        return [*self.places, *((variable, None) for variable in self.variables)]

    def overlaps(self, other: "Target") -> bool:
        """Whether both schedule the same."""
        mine, theirs = ({(id(thing), name) for thing, name in each.things} for each in (self, other))
        if self.loss is None or other.loss is None:
            return bool(mine & theirs)
        (output, name), (its_output, its_name) = self.loss, other.loss
        return name == its_name and (output == its_output or None in (output, its_output))


class Objects:
    """Puts the values of a batch in the place of the objects' own, only while the model's `train_step` runs.

    Args:
        model: the compiled model.
        targets: for each scheduled optimizer, {column of its table: what the column is for}.
        tables: their tables.
    """

    def __init__(self, model: keras.Model, targets: Sequence[Mapping[str, Target]], tables: Sequence[Any]) -> None:
        self.model = model
        self.columns = [(which, name, each) for which, some in enumerate(targets) for name, each in some.items()]
        self._split: set[str] = set()  # columns about which the step asks what not all rows answer alike
        self._asked: set[str] = set()
        self.plain = False
        """Whether a value about which nothing was asked is put in its place as a tensor."""
        self._cases = _cases([(tables[which], name) for which, name, _ in self.columns])
        self._places = Replaced()
        self._watched = False  # whether it is known which of them the step reads

    @property
    def things(self) -> list[Any]:
        """What must be the very same for another fit to use the step."""
        return [thing for _, _, target in self.columns for thing, _ in target.things]

    @property
    def several(self) -> bool:
        """Whether a question in Python may have several answers."""
        return len(self._cases) > 1

    @property
    def facts(self) -> Any:
        """What must be equal for that."""
        return tuple((name, target.loss) for _, name, target in self.columns), self._cases.tobytes()

    def learned(self) -> bool:
        """Whether the trace has asked a question, in Python, to which other rows have another answer."""
        before, columns = self._split, zip(self.columns, self._cases.T, strict=True)
        self._split = {name for (_, name, _), kinds in columns if name in self._asked and len(set(kinds)) > 1}
        return self._split != before

    def run(self, step: Any, call: Callable[..., Any], *arguments: Any) -> Any:
        """What `call(*arguments)` returns with the batch's values in place. `step` is the scheduled step around it."""
        if not self.columns:
            return call(*arguments)
        if self._watched:
            return self._run(step, call, *arguments)
        self._watched = True  # and another replica does not watch as well
        try:
            with reads([place for _, _, target in self.columns for place in target.places]) as seen:
                result = self._run(step, call, *arguments)
        except BaseException as error:
            self._watched = False
            if _is_of(step.needs_a_number, error):
                refuse_to_answer("turns into a Python number")
            raise
        with speaking_as("ParamScheduler"):
            self._tell(seen, recompiles=not step.compiled and bool(self.model.jit_compile))
        return result

    def _tell(self, seen: set[tuple[int, str]], *, recompiles: bool) -> None:
        """Warn of what has no effect, or a costly one."""
        for _, _, target in self.columns:
            if target.places and not seen & {(id(thing), name) for thing, name in target.places}:
                thing, name = target.places[0]
                meaning = "the step did not read it: what reads it when it is made, or built, goes on as it was"
                cure = f"Let the step read `{name}` of that {type(thing).__name__}, and not a copy."
                for key in _keys_inside(thing, name)[:1]:
                    cure = f"Schedule what the layer made of it, for example `{key}`."
                advise(repr(target.label), meaning, cure)
        if recompiles:
            meaning = "PyTorch compiles the step again for each new value, eight times, and then not at all"
            advise(f"{self.columns[0][2].label!r} with jit_compile=True", meaning, "Compile with `jit_compile=False`.")

    def _run(self, step: Any, call: Callable[..., Any], *arguments: Any) -> Any:
        values = {}
        for which, name, _ in self.columns:
            peek = step.overrides[which].peek
            if peek is None:
                expected = "only its count says which values a batch takes"
                cure = "Schedule it with `optimizer=` the one that the model was compiled with."
                raise wrong_state("an optimizer whose state is not handed to `train_step`", expected, cure)
            values[name] = peek()[name][-1]
        if not step.compiled:  # Python numbers, as one would set by hand
            floats = {name: float(getattr(value, "value", value)) for name, value in values.items()}
            return self._with(step, floats, call, *arguments)
        mask = [name in self._split for _, name, _ in self.columns]
        cases = {tuple(case[mask]): case for case in self._cases}
        branches = [partial(self._branch, step, values, case, call) for case in cases.values()]
        if len(branches) == 1:
            return branches[0](*arguments)
        here = ops.stack([_kind(values[name].value) for _, name, _ in self.columns if name in self._split])
        return step.switch(ops.argmax(ops.all(ops.equal(np.array(list(cases)), here), axis=-1)), branches, *arguments)

    def _branch(self, step: Any, values: Mapping[str, Any], case: Any, call: Any, *arguments: Any) -> Any:
        if self._split:
            for override in step.overrides:
                override.install()  # each branch counts its updates from 0
        given = {}
        for (_, name, _), kind in zip(self.columns, case, strict=True):
            pair = step.weak(values[name].value), step.weak(values[name].complement)
            plain = self.plain and name not in self._asked
            given[name] = pair[0] if plain else Scalar(*pair, _ONE_OF_EACH[kind], partial(self._asked.add, name))
        return self._with(step, given, call, *arguments)

    def _with(self, step: Any, values: Mapping[str, Any], call: Callable[..., Any], *arguments: Any) -> Any:
        variables = [
            (variable, ops.cast(getattr(values[name], "value", values[name]), variable.dtype))
            for _, name, target in self.columns
            for variable in target.variables
        ]
        places = [(*place, values[name]) for _, name, target in self.columns for place in target.places]
        with self._places.during(places):
            self._place_losses(values)
            return step.with_variables(self._places.put, variables, call, *arguments)

    def _place_losses(self, values: Mapping[str, Any]) -> None:
        wanted = [(*target.loss, values[name]) for _, name, target in self.columns if target.loss is not None]
        if not wanted:
            return
        compiled = cast(Any, self.model._compile_loss)  # AutoGraph refuses an annotation of what a function in it reads
        if not compiled.built:  # on TensorFlow the first step builds it

            def build(*shapes: Any) -> None:
                type(compiled).build(compiled, *shapes)
                self._place_losses(values)

            self._places.put(compiled, "build", build)
            return
        entries = list(compiled._flat_losses)
        for output, attribute, value in wanted:
            for place, entry in enumerate(entries):
                if output not in (None, entry.name, str(place), *map(str, entry.path[-1:])):
                    continue
                if attribute is None:
                    entries[place] = entry._replace(loss_weights=value)
                elif attribute in _arguments(entry.loss):  # its attribute of that name, if any, is for its config
                    self._places.put(entry.loss, "_fn_kwargs", {**entry.loss._fn_kwargs, attribute: value})
                else:
                    self._places.put(entry.loss, attribute, value)
        self._places.put(compiled, "_flat_losses", entries)

    def put_back(self) -> None:
        """Give the objects their own values back, also after a step that died half way."""
        self._places.put_back()


@contextmanager
def reads(places: Sequence[tuple[Any, str]]) -> Iterator[set[tuple[int, str]]]:
    """Which of these (object, attribute) are read in the block, as (id, attribute): a property of the class sees it."""
    seen: set[tuple[int, str]] = set()
    with ExitStack() as leave:
        kinds = {(type(thing), name) for thing, name in places}
        for kind, name in sorted(kinds, key=lambda each: -len(each[0].__mro__)):  # what inherits before its base
            if _watch(kind, name, seen):
                leave.callback(delattr, kind, name)
                continue
            seen |= {(id(thing), each) for thing, each in places if (type(thing), each) == (kind, name)}  # nobody knows
        yield seen


def _watch(kind: Any, name: str, seen: set[tuple[int, str]]) -> bool:
    """Whether the class could be given the property: not where it has a default of its own, or cannot be changed."""
    if hasattr(kind, name):
        return False
    try:
        setattr(kind, name, property(partial(_read, name, seen), partial(_write, name)))
    except TypeError:
        return False
    return True


def _read(name: str, seen: set[tuple[int, str]], thing: Any) -> Any:
    seen.add((id(thing), name))
    if name not in vars(thing):
        raise no_attribute(repr(type(thing).__name__), name)
    return vars(thing)[name]


def _write(name: str, thing: Any, value: Any) -> None:
    vars(thing)[name] = value


def _is_of(kind: Any, error: BaseException | None) -> bool:
    """Whether an error is of this kind, or came of one: Keras words an error of a layer anew."""
    return error is not None and (isinstance(error, kind) or _is_of(kind, error.__context__))


def _keys_inside(thing: Any, name: str) -> list[str]:
    """What may be scheduled in the place of a layer's attribute: the same of what it holds, or a rate in it."""
    if not isinstance(thing, keras.Layer):
        return []
    held = [f"{thing.name}.{each}.{name}" for each, of in vars(thing).items() if is_number(getattr(of, name, None))]
    return held + [f"{thing.name}/*.rate" for _ in thing._flatten_layers(recursive=False, include_self=False)]


def layers_of(model: keras.Model) -> dict[keras.Layer, list[str]]:
    """{layer: its names} of every layer of a model, and the layers in a layer: each with its parents' names or without.

    `encoder/block_1/dropout` is `block_1/dropout` and `dropout` too.
    """
    found: dict[keras.Layer, list[str]] = {}
    around: list[tuple[keras.Layer, list[str]]] = [(model, [])]
    while around:
        layer, parents = around.pop(0)
        names = [f"{parent}/{layer.name}" for parent in parents] + [layer.name]
        known = found.setdefault(layer, [])
        if set(names) <= set(known):
            continue  # it is shared, or holds itself
        known += [name for name in [*names, layer.path] if name and name not in known]
        around += [(each, names) for each in layer._flatten_layers(recursive=False, include_self=False)]
    return found


def loss_numbers(loss: Any) -> dict[str, Any]:
    """{attribute: value} of what can be scheduled of one compiled loss, an object or a function."""
    given = (vars(loss) if isinstance(loss, keras.Loss) else {}) | _arguments(loss)
    return {name: value for name, value in given.items() if not name.startswith("_") and is_number(value)}


def _arguments(loss: Any) -> dict[str, Any]:
    """What the function of a loss is called with, beside the batch; empty where the loss is no function."""
    function = getattr(loss, "fn", None if isinstance(loss, keras.Loss) else loss)
    if function is None:
        return {}
    defaults = {name: each.default for name, each in signature(function).parameters.items()}
    return defaults | getattr(loss, "_fn_kwargs", {})


def _kind(value: Any) -> Any:
    """Where a scalar stands towards 0 and 1: the place in `_ONE_OF_EACH` of a number that compares as it does."""
    answers: list[Any] = [ops.cast(answer, "int32") for answer in (value >= 0, value > 0, value >= 1, value > 1)]
    return sum(answers)


def _cases(columns: Sequence[tuple[Any, str]]) -> NDArray[np.int32]:
    """Which kinds the columns have at the same time, in some row or other: (cases, columns)."""
    found: set[tuple[int, ...]] = set()
    last = max((table.total for table, _ in columns), default=0)
    for first in range(0, last + 1, _ROWS) if columns else ():
        rows = range(first, min(first + _ROWS, last + 1))
        values = np.stack([table.values(name, rows)[:, -1].astype(np.float32) for table, name in columns], axis=1)
        kinds = (values >= 0).astype(np.int32) + (values > 0) + (values >= 1) + (values > 1)
        texts = (kinds + 1).astype(np.uint8, order="C").view(f"S{len(columns)}")[:, 0]  # six times as fast as rows are
        _, first_ones = np.unique(texts, return_index=True)
        found |= set(map(tuple, kinds[first_ones].tolist()))
    return np.array(sorted(found), np.int32).reshape(len(found), len(columns))
