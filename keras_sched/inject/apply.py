"""How a row's values get into one optimizer's update, and out of it again."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_sched.errors import wrong_state
from keras_sched.hypers import RATE

Values = Mapping[str, Sequence[Any]]
"""{attribute: its value for each parameter group}."""

_ABSENT = object()
_SLOTS = {RATE: "_learning_rate"}  # where the optimizer's property looks


def put(target: Any, name: str, value: Any) -> None:
    """Set an attribute past the object's own `__setattr__`, which in Keras walks trackers (0.9 ms a step)."""
    object.__setattr__(target, name, value)


def take_away(target: Any, name: str) -> None:
    """Remove an attribute of the instance, if it is there, past the object's own `__delattr__`."""
    if name in vars(target):
        object.__delattr__(target, name)


class Injection:
    """Puts scheduled values in the place of one optimizer's own, only while its `apply` runs.

    Args:
        optimizer: an innermost optimizer, one that holds hyper-parameters itself.
        groups: the number of parameter groups.
        group_of: a trainable variable -> its group, from 0.

    `read` gives the values of the coming step; the step of each backend sets it. Replica threads of a TensorFlow
    strategy run `apply` interleaved, so that the last one to leave puts the optimizer's own values back.
    """

    def __init__(self, optimizer: keras.Optimizer, groups: int, group_of: Callable[[Any], int]) -> None:
        self.optimizer = optimizer
        self.groups = groups
        self.group_of = group_of
        self.read: Callable[[], Values] | None = None
        self.check: Callable[[Any], None] | None = None  # told the gradients before they are applied
        self.peek: Callable[[], Values] | None = None  # those of the running step, before its update and after
        self._lock = threading.RLock()
        self._inside = 0
        self._blocks = 0  # that `installed` has open
        self._before: dict[str, Any] = {}
        self._installed_over: Any = None

    @property
    def applying(self) -> bool:
        """Whether the optimizer holds scheduled values now."""
        return self._inside > 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let `optimizer.apply` take the scheduled values while the block runs, and other threads' blocks."""
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
        """Let `optimizer.apply` take the scheduled values until `remove`."""
        if self._installed_over is None:
            self._installed_over = vars(self.optimizer).get("apply", _ABSENT)
            put(self.optimizer, "apply", self.apply)

    def remove(self) -> None:
        """Give the optimizer its own `apply` and values back, also after a step that died half way."""
        before = self._installed_over
        if before is _ABSENT:
            take_away(self.optimizer, "apply")
        elif before is not None:
            put(self.optimizer, "apply", before)
        self._installed_over = None
        with self._lock:
            self._inside = self._blocks = 0
            self.peek = None
            self._put_back()

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """What `optimizer.apply` is while installed."""
        if self.read is None:
            raise wrong_state(
                "an update outside the step that was given its values",
                "a scheduled optimizer is applied in a step",
                "Train with `model.fit`, or with `scheduled(...)` in a loop of your own.",
            )
        if self.check is not None:
            self.check(grads)
        own = self._installed_over
        original = type(self.optimizer).apply.__get__(self.optimizer) if own in (_ABSENT, None) else own
        self._enter(self.read())
        try:
            original(grads, trainable_variables)
        finally:
            self._leave()

    def _enter(self, values: Values) -> None:
        changes: dict[str, Any] = {_slot(name): of_groups[-1] for name, of_groups in values.items()}
        changes |= self._methods(values)
        with self._lock:
            if self._inside == 0:
                own = vars(self.optimizer)
                self._before = {name: own.get(name, _ABSENT) for name in changes}
            self._inside += 1
            for name, value in changes.items():
                put(self.optimizer, name, value)

    def _leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._put_back()

    def _put_back(self) -> None:
        for name, value in self._before.items():
            if value is _ABSENT:
                take_away(self.optimizer, name)
            else:
                put(self.optimizer, name, value)
        self._before = {}  # last, so that one which was interrupted is made good by `remove`

    def _methods(self, values: Values) -> dict[str, Any]:
        """The optimizer's methods that have to know of groups, or of a clipping value that is a tensor."""
        clips = "clipnorm" in values or "clipvalue" in values
        if self.groups == 1 and not clips:
            return {}
        by_group = _ByGroup(self, values)
        methods: dict[str, Any] = {}
        if clips:
            methods |= {"_backend_apply_gradients": by_group.apply_gradients, "_clip_gradients": by_group.clip}
        if self.groups > 1:
            methods |= {"_backend_update_step": by_group.update_step, "_apply_weight_decay": by_group.weight_decay}
            if "ema_momentum" in values:
                methods["_update_model_variables_moving_average"] = by_group.moving_average
        return methods


class _ByGroup:
    """An optimizer's methods, called once a parameter group with that group's values in place."""

    def __init__(self, injection: Injection, values: Values) -> None:
        self.injection = injection
        self.optimizer = injection.optimizer
        self.values = values
        self._clipped: Sequence[Any] = ()

    def update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        product = getattr(self.optimizer, "_u_product", None)  # Nadam multiplies it in here, once a step
        before = None if product is None else ops.copy(product)
        for members in self._groups(trainable_variables):
            if product is not None:
                product.assign(before)
            self._own("_backend_update_step")(
                [grads[i] for i in members],
                [trainable_variables[i] for i in members],
                self.optimizer.learning_rate if RATE in self.values else learning_rate,
            )

    def weight_decay(self, variables: Any) -> None:
        for members in self._groups(variables):
            self._own("_apply_weight_decay")([variables[i] for i in members])

    def moving_average(self, trainable_variables: Any) -> None:
        averages = self.optimizer._model_variables_moving_average
        try:
            for members in self._groups(trainable_variables):
                put(self.optimizer, "_model_variables_moving_average", [averages[i] for i in members])
                self._own("_update_model_variables_moving_average")([trainable_variables[i] for i in members])
        finally:
            put(self.optimizer, "_model_variables_moving_average", averages)

    def apply_gradients(self, grads: Any, trainable_variables: Any) -> None:
        self._clipped = trainable_variables
        self._own("_backend_apply_gradients")(grads, trainable_variables)

    def clip(self, grads: Any) -> list[Any]:
        clipped = list(grads)
        for members in self._groups(self._clipped):
            for i, gradient in zip(members, self._clip([grads[i] for i in members]), strict=True):
                clipped[i] = gradient
        return clipped

    def _clip(self, grads: list[Any]) -> list[Any]:
        if "clipvalue" not in self.values:
            return self._own("_clip_gradients")(grads)
        # JAX 0.10 refuses an object with `__jax_array__` inside `jnp.clip`, so the limit goes in as a tensor.
        limit = self.optimizer.clipvalue
        limit = getattr(limit, "value", limit)
        return [gradient if gradient is None else ops.clip(gradient, -limit, limit) for gradient in grads]

    def _own(self, method: str) -> Callable[..., Any]:
        return getattr(type(self.optimizer), method).__get__(self.optimizer)

    def _groups(self, variables: Sequence[Any]) -> Iterator[list[int]]:
        """The places of each group's variables in `variables`, with that group's values in the optimizer."""
        places: dict[int, list[int]] = {}
        for place, variable in enumerate(variables):
            places.setdefault(self._group(variable), []).append(place)
        for group in sorted(places):
            for name, of_groups in self.values.items():
                put(self.optimizer, _slot(name), of_groups[group])
            yield places[group]
        for name, of_groups in self.values.items():
            put(self.optimizer, _slot(name), of_groups[-1])

    def _group(self, variable: Any) -> int:
        if self.injection.groups == 1:
            return 0
        known = self.optimizer._trainable_variables[self.optimizer._get_variable_index(variable)]
        return self.injection.group_of(known)


def _slot(name: str) -> str:
    return _SLOTS.get(name, name)
