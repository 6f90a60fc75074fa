"""One update a parameter group: an optimizer's methods, called once for each group with that group's values."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_sched.hypers import RATE
from keras_sched.step.attributes import put, slot
from keras_sched.table import Values


def methods(optimizer: keras.Optimizer, groups: int, group_of: Callable[[Any], int], values: Values) -> dict[str, Any]:
    """{name: method} of those that have to know of groups, or of a `clipvalue` that is a tensor."""
    by_group = _ByGroup(optimizer, group_of, values)
    changed: dict[str, Any] = {}
    if "clipvalue" in values:
        changed["_clip_gradients"] = by_group.clip
    if groups > 1:
        changed |= {"_backend_update_step": by_group.update_step, "_apply_weight_decay": by_group.weight_decay}
        if "ema_momentum" in values:
            changed["_update_model_variables_moving_average"] = by_group.moving_average
    return changed


class _ByGroup:
    def __init__(self, optimizer: keras.Optimizer, group_of: Callable[[Any], int], values: Values) -> None:
        self.optimizer, self.group_of, self.values = optimizer, group_of, values

    def update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        product = getattr(self.optimizer, "_u_product", None)  # Nadam multiplies it in here, once a step
        before = None if product is None else ops.copy(product)
        for members in self._members(trainable_variables):
            if product is not None:
                product.assign(before)
            rate = self.optimizer.learning_rate if RATE in self.values else learning_rate
            of_group = [grads[i] for i in members], [trainable_variables[i] for i in members]
            self._own("_backend_update_step")(*of_group, rate)

    def weight_decay(self, variables: Any) -> None:
        for members in self._members(variables):
            self._own("_apply_weight_decay")([variables[i] for i in members])

    def moving_average(self, trainable_variables: Any) -> None:
        averages = self.optimizer._model_variables_moving_average
        try:
            for members in self._members(trainable_variables):
                put(self.optimizer, "_model_variables_moving_average", [averages[i] for i in members])
                self._own("_update_model_variables_moving_average")([trainable_variables[i] for i in members])
        finally:
            put(self.optimizer, "_model_variables_moving_average", averages)

    def clip(self, grads: Any) -> list[Any]:
        limit: Any = self.optimizer.clipvalue
        limits: list[Any] = [None if each is None else ops.cast(limit, each.dtype) for each in grads]
        return [each if each is None else ops.clip(each, -top, top) for each, top in zip(grads, limits, strict=True)]

    def _own(self, method: str) -> Callable[..., Any]:
        return getattr(type(self.optimizer), method).__get__(self.optimizer)

    def _members(self, variables: Sequence[Any]) -> Iterator[list[int]]:
        """For each group the places of its variables in `variables`, with the group's values in the optimizer."""
        places: dict[int, list[int]] = {}
        for place, variable in enumerate(variables):
            # What is passed may be a backend's own variable: the optimizer knows the Keras one.
            known = self.optimizer._trainable_variables[self.optimizer._get_variable_index(variable)]
            places.setdefault(self.group_of(known), []).append(place)
        for group in sorted(places):
            self._set(group)
            yield places[group]
        self._set(-1)

    def _set(self, group: int) -> None:
        for name, of_groups in self.values.items():
            put(self.optimizer, slot(name), of_groups[group])
