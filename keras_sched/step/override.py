"""How a row's values take the place of one optimizer's own while it makes an update, and how they leave again."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_sched.hypers import is_object
from keras_sched.step.attributes import Replaced, slot
from keras_sched.step.groups import methods
from keras_sched.step.proxy import Proxy
from keras_sched.table import Values


class Override:
    """Puts scheduled values in the place of an inner optimizer's own, by group, only while its `apply` runs."""

    def __init__(self, optimizer: keras.Optimizer, groups: int, group_of: Callable[[Any], int]) -> None:
        self.optimizer, self.groups, self.group_of = optimizer, groups, group_of
        self.read: Callable[[int], Values]  # the values of an update, after so many in this batch
        self.peek: Callable[[], Values] | None = None  # the values of the running batch, also outside `apply`
        self.per_batch = 1  # how many updates the optimizer makes in a batch, as far as it is known
        self.used = False  # whether an update has taken values
        self.idle: Callable[[], None] = lambda: None  # called at the end of a batch, or of its trace, while none has
        self._batch = threading.local()
        self._hook, self._values = Replaced(), Replaced()
        self._original: Callable[..., Any] | None = None

    @property
    def applying(self) -> bool:
        """Whether the optimizer holds scheduled values now."""
        return self._values.inside > 0

    @property
    def updates(self) -> int:
        """How many updates this batch has made so far."""
        return getattr(self._batch, "updates", 0)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let `optimizer.apply` take the scheduled values while the block runs, and while other threads' blocks do."""
        try:
            with self._hook.during(()):
                self.install()
                yield
        finally:
            if not self._hook.inside:
                self.remove()

    def install(self) -> None:
        """Let `optimizer.apply` take the scheduled values until `remove`; a batch begins."""
        self._batch.updates = 0
        with self._hook.lock:
            if self._original is None:
                self._original = self.optimizer.apply
                self._hook.put(self.optimizer, "apply", self.apply)

    def remove(self) -> None:
        """Give the optimizer its own `apply` and values back, also after a step that died half way."""
        self._hook.put_back()
        self._original = self.peek = None
        self._values.put_back()

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """What `optimizer.apply` is while installed."""
        original = self._original or type(self.optimizer).apply.__get__(self.optimizer)
        values = {name: some for name, some in self.read(self.updates).items() if not is_object(name)}
        if any(isinstance(of_groups[0], Proxy) for of_groups in values.values()):  # in a trace, not in each batch
            values = _typed(values, trainable_variables or self.optimizer._trainable_variables)
        self._batch.updates = self.updates + 1
        self.used = True
        changes = {slot(name): of_groups[-1] for name, of_groups in values.items()}
        changes |= methods(self.optimizer, self.groups, self.group_of, values)
        with self._values.during([(self.optimizer, name, value) for name, value in changes.items()]):
            original(grads, trainable_variables)


def _typed(values: dict[str, Any], variables: Any) -> dict[str, Any]:
    """Values in the type of the variables, as TensorFlow needs it; tensors where JAX 0.10 clips with nothing else."""
    kinds = {keras.backend.standardize_dtype(variable.dtype) for variable in variables}
    for name, some in values.items():
        typed = [each.cast(*kinds) if isinstance(each, Proxy) and len(kinds) == 1 else each for each in some]
        values[name] = [each.value for each in typed] if name in ("clipvalue", "l1_regularization_strength") else typed
    return values
