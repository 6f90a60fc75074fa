"""How a row's values take the place of one optimizer's own while it makes an update, and how they leave again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_sched.errors import wrong_state
from keras_sched.hypers import is_object
from keras_sched.step.attributes import ABSENT, own, put, slot
from keras_sched.step.groups import methods
from keras_sched.step.table import Values


class Override:
    """Puts scheduled values in the place of an inner optimizer's own, by group, only while its `apply` runs."""

    def __init__(self, optimizer: keras.Optimizer, groups: int, group_of: Callable[[Any], int]) -> None:
        self.optimizer, self.groups, self.group_of = optimizer, groups, group_of
        self.read: Callable[[int], Values] | None = None
        """The values of the coming update; it takes how many updates this batch has made before it."""
        self.peek: Callable[[], Values] | None = None  # the values of the running batch, also outside `apply`
        self.per_batch = 1  # how many updates the optimizer makes in a batch, as far as it is known
        self.used = False  # whether an update has taken values
        self._batch = threading.local()  # replicas of a TensorFlow strategy run the step in threads of their own
        self._lock = threading.RLock()
        self._inside = 0  # calls of `apply` that are running
        self._blocks = 0  # blocks of `installed` that are open
        self._before: dict[str, Any] = {}
        self._apply_before: Any = None

    @property
    def applying(self) -> bool:
        """Whether the optimizer holds scheduled values now."""
        return self._inside > 0

    @property
    def updates(self) -> int:
        """How many updates this batch has made so far."""
        return getattr(self._batch, "updates", 0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let `optimizer.apply` take the scheduled values while the block runs, and while other threads' blocks do."""
        with self._lock:
            self._blocks += 1
            self.install()
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if self._blocks <= 0:
                    self.remove()

    def install(self) -> None:
        """Let `optimizer.apply` take the scheduled values until `remove`; a batch begins."""
        self._batch.updates = 0
        if self._apply_before is None:
            self._apply_before = own(self.optimizer, "apply")
            put(self.optimizer, "apply", self.apply)

    def remove(self) -> None:
        """Give the optimizer its own `apply` and values back, also after a step that died half way."""
        if self._apply_before is not None:
            put(self.optimizer, "apply", self._apply_before)
        self._apply_before = None
        with self._lock:
            self._inside = self._blocks = 0
            self.peek = None
            self._put_back()

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """What `optimizer.apply` is while installed."""
        if self.read is None:
            raise wrong_state(
                "an update outside the step that was given its values",
                "a scheduled optimizer makes its updates in a step",
                "Train with `model.fit`, or with `scheduled(...)` in a loop of your own.",
            )
        before = self._apply_before
        original = type(self.optimizer).apply.__get__(self.optimizer) if before in (ABSENT, None) else before
        values = {name: value for name, value in self.read(self.updates).items() if not is_object(name)}
        self._batch.updates = self.updates + 1
        self.used = True
        self._enter(values)
        try:
            original(grads, trainable_variables)
        finally:
            self._leave()

    def _enter(self, values: Values) -> None:
        changes: dict[str, Any] = {slot(name): of_groups[-1] for name, of_groups in values.items()}
        changes |= methods(self.optimizer, self.groups, self.group_of, values)
        with self._lock:
            if self._inside == 0:
                self._before = {name: own(self.optimizer, name) for name in changes}
            self._inside += 1
            for name, value in changes.items():
                put(self.optimizer, name, value)

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:  # the last thread to leave
                self._put_back()

    def _put_back(self) -> None:
        for name, value in self._before.items():
            put(self.optimizer, name, value)
        self._before = {}  # last: where this was interrupted, `remove` does it again
