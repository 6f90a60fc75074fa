"""What the seam asks of a backend. `jax.py`, `tensorflow.py` and `torch.py` hold all that differs between them."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.step.objects import Objects
from keras_sched.step.override import Override
from keras_sched.step.table import Layout
from keras_sched.table import Table, Values

Arrays = Sequence[NDArray[Any]]
Arguments = tuple[Any, ...]  # of a train function


class Content(NamedTuple):
    """One piece of a model's state: host arrays that nobody else holds; `put` may keep those that it puts back."""

    name: str
    arrays: Arrays
    put: Callable[[Arrays], None]


class ScheduledStep(ABC):
    """A training step that reads its values from a table; an override and a layout for each scheduled optimizer."""

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        self.model = model
        self.overrides = list(overrides)
        self.layouts = list(layouts)
        self.objects = Objects(model, [], [])  # what else than the optimizers takes scheduled values
        self.compiled = False  # whether values are traced
        self.needs_a_number: Any = ()  # what a trace raises that makes a Python number of a tensor, where it is known
        self.batches = batches_per_call(model)
        self.searching = False  # whether each batch begins with empty metrics, so that the loss in its logs is its own
        self.uneven = False  # whether an optimizer made more updates in some batches than in others

    @abstractmethod
    def function(self, *arguments: Any) -> Any:
        """What takes the place of `model.train_function`."""

    @abstractmethod
    def begin(self, tables: Sequence[Table], plain: Callable[..., Any]) -> None:
        """Take the rows from these tables from now on; `plain` is the train function of the model."""

    @abstractmethod
    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        """Let the batch at an optimizer's `count` take row `row` of table `which`, whose values may have `changed`.

        Returns how many batches can be run until it has to be called again.
        """

    def mend(self, arguments: Arguments, result: Any) -> None:
        """Mend what a step that died has left in the model: called with `arguments`, it returned `result` or died."""

    def with_variables(self, place: Callable[..., Any], variables: Any, call: Callable[..., Any], *data: Any) -> Any:
        """`call(*data)`, the model's step, with each of these variables at its value: `place` is put back after it."""
        for variable, value in variables:
            place(variable, "_value", value)
        return call(*data)

    def installed(self) -> ExitStack:
        """Let the optimizers take scheduled values while this is open."""
        stack = ExitStack()
        for override in self.overrides:
            stack.enter_context(override.installed())
        return stack

    def learn_updates(self) -> bool:
        """Note how many updates each optimizer has made in this batch; whether that is new."""
        for idle in [each.idle for each in self.overrides if not each.used]:
            idle()
        new = [each for each in self.overrides if each.updates not in (0, each.per_batch)]
        self.uneven = self.uneven or any(each.per_batch > 1 for each in new)
        for each in new:
            each.per_batch = each.updates
        return bool(new)


class WindowedStep(ScheduledStep):
    """A compiled step, which reads its row from a window of the table on the device."""

    @abstractmethod
    def load(self, which: int, start: int, window: NDArray[np.float32] | None) -> None:
        """Give the step another window, (rows, width), if any; it begins at this count of updates."""

    @abstractmethod
    def since(self, which: int) -> Any:
        """How many updates after the start of the window the optimizer is."""

    @abstractmethod
    def row(self, which: int, place: Any) -> Any:
        """A row of the window; the first or last one where the place is outside."""

    @abstractmethod
    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *arguments: Any) -> Any:
        """What the branch of this number returns: one of them runs, and each is compiled."""

    def weak(self, value: Any) -> Any:
        """A scalar that takes the other's type in arithmetic, as a Python number does, where there is such a thing."""
        return value

    def begin(self, tables: Sequence[Table], plain: Callable[..., Any]) -> None:
        """Take the rows from these tables from now on."""
        self._tables = tables
        self._firsts: list[int | None] = [None for _ in tables]
        self._anchors = [(0, 0) for _ in tables]

    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        """Let the coming batch take row `row`: in a new window where it is not in the one on the device."""
        first, rows, window = self._firsts[which], self.layouts[which].rows, None
        if changed or first is None or not first <= row <= first + rows - self.batches:
            # Some rows before it, for a checkpoint whose count lies before this one's.
            first = self._firsts[which] = max(0, row - rows // 4)
            window = self._tables[which].rows(first, rows)
        self._anchors[which] = row - first, count
        self._load(which, window)
        return first + rows - row

    def check_updates(self) -> None:
        """At the end of a batch: where it made other updates than was known, place the rows anew, or trace again."""
        news = self.learn_updates()
        for which in range(len(self.layouts) if news else 0):
            self._load(which)
        if (self.objects.learned() or news) and self.compiled:
            raise TraceAgainError

    def _load(self, which: int, window: NDArray[np.float32] | None = None) -> None:
        place, count = self._anchors[which]
        self.load(which, count - place * self.overrides[which].per_batch, window)

    def _values(self, which: int, updates: int = 0, since: Any = None) -> Values:
        """The values of the row that the batch takes, of which it has made `updates` already."""
        since = self.since(which) if since is None else since
        since = since - updates if updates else since
        per_batch = self.overrides[which].per_batch
        return self.layouts[which].values(self.row(which, since if per_batch == 1 else since // per_batch))


class TraceAgainError(Exception):
    """A trace has shown how many updates a batch makes, or what it asks: what was traced is thrown away."""


class Backend(ABC):
    """What differs between the backends. The methods here do what is right where nothing has to be done."""

    step: type[ScheduledStep]
    compiles = True  # whether a step is compiled with Python numbers as constants
    traces_conditions = False  # whether both branches of a condition run while it is traced, also in an eager loop
    side_by_side = False  # whether one step can train several candidates: `population.py`
    looks_at_a_batch = True  # whether a model's first `fit` takes a batch to build from

    @abstractmethod
    def being_traced(self, arguments: Any) -> bool:
        """Whether the code that was called with `arguments` runs only once, while a step is compiled."""

    @abstractmethod
    def read(self, variable: keras.Variable) -> Content:
        """A variable's value, every bit of it."""

    def private_names(self) -> dict[str, Any]:
        """{kind: an object} of whatever only this backend has: `keras_names.py` says which names of it are used."""
        return {}

    def outside_graph(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, to be run in Python where a graph is being compiled that knows no windows."""
        return call

    @property
    def end_of_data(self) -> tuple[type[BaseException], ...]:
        """What a train function raises where its data has no more batches."""
        return (StopIteration,)

    def check_model(self, model: keras.Model) -> None:
        """Raise where `model` cannot be scheduled on this backend."""

    def contents(self, model: keras.Model) -> Iterator[tuple[Any, Content]]:
        """(key, content) of a model's state that is in no Keras variable."""
        yield from ()

    def has_value(self, variable: keras.Variable) -> bool:
        """Whether the variable's value is not away, in a step or a trace."""
        return True

    def attach_state(self, model: keras.Model) -> None:
        """Give the model's variables their values, which may be on their way through the steps of an epoch."""

    def forget_state(self, model: keras.Model) -> None:
        """Let go of values on their way, which would be written over what was put back."""

    def in_flight(self, model: keras.Model, variable: keras.Variable, arguments: Arguments) -> Any:
        """The value of a variable before a step, which is called with `arguments`."""
        return variable

    def scope(self, model: keras.Model) -> AbstractContextManager[Any]:
        """Where variables for `model` are made."""
        return nullcontext()

    def build(self, model: keras.Model, arguments: Arguments) -> None:
        """Build what the first batch would build, from the arguments of its step."""

    def mean_over_processes(self, loss: Any) -> Any:
        """The mean of a loss over the processes that train together."""
        return loss

    def after_evaluation(self, model: keras.Model) -> None:
        """Go on training after an `evaluate` between two batches."""


def batches_per_call(model: keras.Model) -> int:
    """How many batches one call of the train function runs, at most."""
    return int(getattr(model, "steps_per_execution", 1) or 1)


def backend() -> Backend:
    """The backend of this process; a `RuntimeError` where it does not train."""
    name = keras.backend.backend()
    if name not in _MADE:
        if not hasattr(keras.Model, "train_step"):
            expected = "a schedule needs a backend that trains"
            cure = "Set KERAS_BACKEND to jax, tensorflow or torch before Keras is imported."
            raise wrong_state(f"the backend `{name}`", expected, cure)
        made = _CLASSES.get(name, "UnknownBackend")  # one that comes in a package of its own
        file = name if name in _CLASSES else "unknown"
        _MADE[name] = getattr(importlib.import_module(f"keras_sched.step.{file}"), made)()
    return _MADE[name]


_CLASSES = {"jax": "JaxBackend", "tensorflow": "TensorFlowBackend", "torch": "TorchBackend"}
_MADE: dict[str, Backend] = {}  # no `functools.cache`, of which PyTorch's compiler warns
