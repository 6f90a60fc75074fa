"""Set and remove attributes of Keras' objects without their trackers, which take 0.9 ms a step."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from keras_sched.hypers import RATE

ABSENT = object()  # stands for an attribute that an instance does not have


def put(target: Any, name: str, value: Any) -> None:
    """Set an attribute of the instance, or remove it where `value` is `ABSENT`."""
    take_away(target, name) if value is ABSENT else object.__setattr__(target, name, value)


def take_away(target: Any, name: str) -> None:
    """Remove an attribute of the instance, if it has it."""
    vars(target).pop(name, None)


def own(target: Any, name: str) -> Any:
    """The attribute of the instance itself, or `ABSENT`."""
    return vars(target).get(name, ABSENT)


def slot(name: str) -> str:
    """The attribute of the instance in which an optimizer keeps the hyper-parameter `name`."""
    return "_learning_rate" if name == RATE else name


class Replaced:
    """Attributes that have other values for a while, in several threads too: TensorFlow's replicas have one each."""

    def __init__(self) -> None:
        self.inside = 0
        """How many blocks of `during` are open."""
        self.lock = threading.RLock()
        self._before: dict[tuple[int, str], tuple[Any, str, Any]] = {}

    @contextmanager
    def during(self, changes: Sequence[tuple[Any, str, Any]]) -> Iterator[None]:
        """Have these (object, attribute, value) in place until the last thread leaves its block."""
        try:
            with self.lock:
                self.inside += 1
                for change in changes:
                    self.put(*change)
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if self.inside <= 0:
                    self.put_back()

    def put(self, target: Any, name: str, value: Any) -> None:
        """Set one attribute, until `put_back`."""
        self._before.setdefault((id(target), name), (target, name, own(target, name)))
        put(target, name, value)

    def put_back(self) -> None:
        """Give all of them their own values back, also after a step that died half way."""
        with self.lock:
            self.inside = 0
            for before in self._before.values():
                put(*before)
            self._before = {}  # last: where this was interrupted, the next call does it again
