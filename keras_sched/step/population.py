"""JAX: candidates side by side, in one compiled step over the weights, optimizer state and windows of all of them."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from keras_sched.step.jax import JaxStep
from keras_sched.step.stacked import batches_of
from keras_sched.table import Table

_TIMED = 5  # steps


class OneByOneError(Exception):
    """The candidates would train faster one by one."""


class Population:
    """What takes the place of a fit's step while several members train: the first of them is the model itself.

    The members begin equal, and see the same batches; each has its own rows.

    Args:
        step: the step of the fit.
        tables: of each member, the table of each optimizer.
        compare: whether to raise `OneByOneError` in the first batch where one member after the other would be faster.
    """

    def __init__(self, step: JaxStep, tables: Sequence[Sequence[Table]], *, compare: bool) -> None:
        self.members = len(tables)
        self._logs: dict[str, Any] = {}  # of the epoch so far, an array of all members for each name
        self._step, self._tables, self._compare = step, tables, compare
        self._state: Any = None
        self._tested: Any = None
        self._fresh = False  # whether the metrics begin anew
        self._windows: list[Any] = [None for _ in step.layouts]
        kept: dict[str, Any] = vars(step).setdefault("population", {})  # compiled once, as the step is
        self._train = kept.setdefault("train", jax.jit(partial(_train, step), donate_argnums=0))
        self._test = kept.setdefault("test", jax.jit(partial(_test, step.model)))
        for which in range(len(step.layouts)):
            self._load(which)

    def __getattr__(self, name: str) -> Any:
        """All else is the step's."""
        return getattr(self._step, name)

    def anchor(self, which: int, row: int, count: int, *, changed: bool = False) -> int:
        """See `ScheduledStep`."""
        left = self._step.anchor(which, row, count, changed=changed)
        self._load(which)
        return left

    def begin_epoch(self) -> None:
        """The metrics of all members begin anew, as the model's do."""
        self._fresh, self._logs = True, {}

    def begin_test(self) -> None:
        """The same, of an evaluation."""
        self._tested = None

    def function(self, state: Any, iterator: Any) -> Any:
        """What takes the place of `model.train_function`."""
        return self._each(self._one_batch, state, iterator)

    def test_function(self, state: Any, iterator: Any) -> Any:
        """What takes the place of `model.test_function`."""
        return self._each(self._one_test, state, iterator)

    def logs_of_members(self) -> list[dict[str, float]]:
        """What each of them would log at the end of the epoch."""
        logs = {name: np.asarray(value) for name, value in self._logs.items()}
        return [{name: float(value[member]) for name, value in logs.items()} for member in range(self.members)]

    def sums(self, metric: Any) -> NDArray[Any]:
        """What a metric of the mean has summed up so far, and the weights: (2, members)."""
        places = [*map(id, self._step.model.metrics_variables)]
        return np.stack([np.asarray(self._state[3][places.index(id(each))]) for each in (metric.total, metric.count)])

    def _each(self, call: Callable[..., Any], state: Any, iterator: Any) -> Any:
        logs: Any = None
        for data in batches_of(next(iterator), iterator, self._step.batches):
            logs, state = call(state, data)
        return logs, state

    def _one_batch(self, state: Any, data: Any) -> Any:
        parts = tuple(list(part) for part in state)
        if self._state is None:
            if self._compare:
                self._check_faster(parts, data)
            self._state = self._repeated(parts)
        elif self._fresh:
            self._state = *self._state[:3], self._repeated(parts[3])
        self._fresh = False
        logs, self._state, first = self._run(self._state, data)
        self._logs = dict(logs)
        return _first(logs), first

    def _one_test(self, state: Any, data: Any) -> Any:
        metrics = self._repeated(list(state[2])) if self._tested is None else self._tested
        weights, others, *rest = self._state
        logs, (_, others, self._tested) = self._test((weights, others, metrics), data)
        self._state = weights, others, *rest
        self._logs |= {f"val_{name}": value for name, value in logs.items()}
        return _first(logs), _first((weights, others, self._tested))

    def _run(self, state: Any, data: Any) -> Any:
        return self._step.traced(self._train, state, data, self._windows)

    def _repeated(self, values: Any) -> Any:
        return jax.tree.map(lambda value: jnp.repeat(value[None], self.members, axis=0), values)

    def _load(self, which: int) -> None:
        """Every member's window; they start where the first one's does."""
        windows = np.repeat(self._step._on_host[which][None], self.members, axis=0)
        first = self._step._firsts[which] or 0
        for member, tables in enumerate(self._tables):
            windows[member, :-1] = tables[which].rows(first, self._step.layouts[which].rows)
        self._windows[which] = [*map(jnp.array, np.split(windows, self._step.layouts[which].groups, -1))]

    def _check_faster(self, state: Any, data: Any) -> None:
        alone = _seconds(lambda copy: self._step._one_batch(copy, data, self._step._single), state)
        together = _seconds(lambda copy: self._run(copy, data), self._repeated(state))
        if together >= alone * self.members:
            refuse()


def refuse() -> NoReturn:
    """Leave the fit, to train the candidates one by one."""
    raise OneByOneError


def _train(step: JaxStep, state: Any, data: Any, windows: Any) -> Any:
    logs, state = jax.vmap(step._train, in_axes=(0, None, 0))(state, data, windows)
    return logs, state, _first(state)


def _test(model: Any, state: Any, data: Any) -> Any:
    return jax.vmap(model.test_step, in_axes=((0, 0, 0), None))(state, data)


def _first(values: Any) -> Any:
    return jax.tree.map(lambda value: value[0], values)


def _seconds(run: Callable[[Any], Any], state: Any) -> float:
    """The shortest time of some steps, what is compiled for the first aside."""
    found = []
    for _ in range(_TIMED + 1):
        copy = jax.block_until_ready(jax.tree.map(jnp.copy, state))
        began = time.perf_counter()
        jax.block_until_ready(jax.tree.leaves(run(copy)))
        found.append(time.perf_counter() - began)
    return min(found[1:])
