"""JAX: the windows are arguments of the compiled step, and an epoch's state is on its way from step to step."""

import itertools
from collections import UserList
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import keras
import numpy as np
from jax.core import Tracer
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.step.attributes import put, take_away
from keras_sched.step.backend import Arguments, Arrays, Backend, Content, TraceAgainError, WindowedStep
from keras_sched.step.override import Override
from keras_sched.step.stacked import batches_of, in_turn, is_stacked
from keras_sched.step.table import Layout


class StatePart(UserList[Any]):
    """The values of one kind of variable, in the model's order: for JAX a node of a tree, for Keras a plain object.

    After every batch Keras 3.15 sets the state on the model, whose tracker walks lists: a third of a deep model's step.
    """


jax.tree_util.register_pytree_node(StatePart, lambda part: (part.data, None), lambda _, values: StatePart(values))


class JaxStep(WindowedStep):
    """A jitted `step(state, data, windows)`: the optimizer's variables, donation and shardings stay Keras' own.

    Each group has a window of its own, so that XLA compiles one update for all. The last row says where it starts.
    """

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        self.compiled = bool(model.jit_compile) and not model.run_eagerly
        self.needs_a_number = jax.errors.ConcretizationTypeError
        self._windows: list[Any] = [None for _ in layouts]
        self._traced: Any = None  # the windows, while a step is traced
        self._on_host = [np.zeros((layout.rows + 1, layout.width), np.float32) for layout in layouts]
        self._empty: list[Any] = []  # the metrics' variables before the first batch
        self._in_parts = self.compiled and keras.distribution.distribution() is None  # its shardings know lists
        step: Any = self._train_parts if self._in_parts else self._train
        self._single, self._several = step, partial(in_turn, step)
        if self.compiled:
            shardings = None if self._in_parts else (None, model._get_state_sharding_spec())
            jit = partial(jax.jit, donate_argnums=0, out_shardings=shardings)
            self._single, self._several = jit(step), jit(self._several)

    def function(self, *arguments: Any) -> Any:
        state, iterator = arguments
        data = next(iterator)
        if self.batches > 1 and self.compiled and is_stacked(data):
            return self._one_batch(state, data, self._several)
        logs: Any = None
        for batch in batches_of(data, iterator, self.batches):
            logs, state = self._one_batch(state, batch, self._single)
        return logs, state

    def load(self, which: int, start: int, window: NDArray[np.float32] | None) -> None:
        kept, groups = self._on_host[which], self.layouts[which].groups
        first = kept[-1, :1].view(np.int32)
        if window is not None or first[0] != start:
            kept[:-1], first[0] = kept[:-1] if window is None else window, start
            self._windows[which] = [_with_sharding(jax.numpy.array(part)) for part in np.split(kept, groups, axis=-1)]

    def mend(self, arguments: Arguments, result: Any) -> None:
        """Reattach the values that Keras took off the model's variables: 3.15 loses them where a first step dies."""
        state = arguments[0] if result is None else result[1]
        for variable, value in zip(itertools.chain(*_parts(self.model)), itertools.chain(*state), strict=True):
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        optimizer = self.model.optimizer
        if self.searching and isinstance(optimizer, keras.Optimizer):
            # Keras 3.15 goes on to copy the averages over the weights (`use_ema`), which were put back.
            put(optimizer, "finalize_variable_values", lambda _: take_away(optimizer, "finalize_variable_values"))

    def with_variables(self, place: Callable[..., Any], variables: Any, call: Callable[..., Any], *data: Any) -> Any:
        """In the state that the step is given, and in the one that it returns their own values."""
        state, batch = data
        before = list(state[1])
        new = {id(variable): value for variable, value in variables}
        values = [new.get(id(v), value) for v, value in zip(self.model.non_trainable_variables, before, strict=True)]
        logs, after = call((state[0], values, *state[2:]), batch)
        pairs = zip(self.model.non_trainable_variables, before, after[1], strict=True)
        own = [value if id(variable) in new else now for variable, value, now in pairs]
        return logs, (after[0], own, *after[2:])

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *arguments: Any) -> Any:
        return jax.lax.switch(index, branches, *arguments)

    def weak(self, value: Any) -> Any:
        """JAX gives a condition the weak type of its branches' Python numbers, and has no other public way to it."""
        return jax.lax.cond(1, lambda: value, lambda: 0.0)

    def _one_batch(self, state: Any, data: Any, step: Callable[..., Any]) -> Any:
        if self._in_parts and isinstance(state[0], (list, tuple)):  # the first batch of an epoch
            state = tuple(StatePart(part) for part in state)
        if self.searching:
            metrics = self._reset(state[3])
            state = (*state[:3], StatePart(metrics) if self._in_parts else metrics)
        return self.traced(step, state, data, self._windows)

    def traced(self, step: Any, *arguments: Any) -> Any:
        """Call a step; again, where its trace has found out something."""
        while True:
            try:
                return step(*arguments)
            except (TraceAgainError, TypeError, ValueError) as error:
                # A function that JAX itself compiles (`leaky_relu`): JAX 0.10 takes nothing but tensors there.
                tensors = not self.objects.plain and "__jax_array__" in str(error)
                if not (tensors or isinstance(error, TraceAgainError)):
                    raise
                self.objects.plain = self.objects.plain or tensors

    def _reset(self, metrics: Any) -> list[Any]:
        """The values of the metrics' variables before the first batch; `reset_state` may leave one as it is now."""
        variables = self.model.metrics_variables
        if len(self._empty) != len(variables):
            with keras.StatelessScope(state_mapping=[]) as scope:
                self.model.reset_metrics()
            values = map(scope.get_current_value, variables)
            self._empty = [value if value is None else np.asarray(value) for value in values]
        return [now if old is None else _with_sharding(old) for old, now in zip(self._empty, metrics, strict=True)]

    def _train_parts(self, state: Any, data: Any, windows: Any) -> Any:
        logs, state = self._train(tuple(list(part) for part in state), data, windows)
        return logs, tuple(StatePart(part) for part in state)

    def _train(self, state: Any, data: Any, windows: Any) -> Any:
        self._traced = windows
        for which, override in enumerate(self.overrides):
            count = _find(self.model, override.optimizer._iterations, state)
            since = None if count is None else count - self._first(which)
            override.read = partial(self._values, which)
            override.peek = None if since is None else partial(self._values, which, 0, since)
        try:
            with self.installed():
                result = self.objects.run(self, self.model.train_step, state, data)
                self.check_updates()
            return result
        finally:
            self._traced = None

    def since(self, which: int) -> Any:
        return self.overrides[which].optimizer._iterations.value - self._first(which)

    def row(self, which: int, place: Any) -> Any:
        place = jax.numpy.clip(place, 0, self.layouts[which].rows - 1)
        return jax.numpy.concatenate([rows[place] for rows in self._traced[which]])

    def _first(self, which: int) -> Any:
        return jax.lax.bitcast_convert_type(self._traced[which][0][-1, 0], np.int32)


class JaxBackend(Backend):
    """See `Backend`."""

    step = JaxStep
    traces_conditions = True
    side_by_side = True

    def private_names(self) -> dict[str, Any]:
        return {"model of JAX": keras.Sequential(name="specimen"), "variable of JAX": keras.Variable(0.0)}

    def check_model(self, model: keras.Model) -> None:
        """Refuse a `make_train_function` of the model's own, which could not be given the windows."""
        if type(model).make_train_function is not keras.Model.make_train_function:
            expected = "on JAX the schedule has to make the train function itself, to hand over its values"
            cure = "Override `train_step` in its place."
            raise wrong_state(f"a `make_train_function` of {type(model).__name__}'s own", expected, cure)

    def being_traced(self, arguments: Any) -> bool:
        return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments))

    def read(self, variable: keras.Variable) -> Content:
        if not self.has_value(variable):
            expected = "a fit that died before its first batch took the model's state with it (JAX)"
            cure = "Load the weights again, or make and compile the model anew."
            raise wrong_state(f"the variable `{variable.path}` without a value", expected, cure)
        value: Any = variable.value
        whole, place, shape = value.is_fully_replicated, value.sharding, value.shape
        free = not getattr(value, "committed", True)

        def corner(index: Any) -> Any:
            return whole or tuple(part.indices(size)[0] for part, size in zip(index, shape, strict=True))

        shards = [(True, value)] if whole else [(corner(shard.index), shard.data) for shard in value.addressable_shards]
        # On the CPU NumPy looks into JAX's own memory, which the next step is given to write into.
        copy = True if all(device.platform == "cpu" for device in value.devices()) else None
        # `addressable_data(0)` is an array of its own: NumPy's copy of it, which JAX keeps on it, dies with it.
        parts = {key: np.array(shard.addressable_data(0), copy=copy) for key, shard in dict(shards).items()}
        keys = list(parts)

        def put_back(arrays: Arrays) -> None:
            new = dict(zip(keys, arrays, strict=True))
            made = new[True] if free else jax.make_array_from_callback(shape, place, lambda at: new[corner(at)])
            variable.assign(jax.numpy.asarray(made))

        return Content(variable.path, list(parts.values()), put_back)

    def has_value(self, variable: keras.Variable) -> bool:
        return variable._value is not None and not isinstance(variable.value, Tracer)

    def attach_state(self, model: keras.Model) -> None:
        model.jax_state_sync()

    def forget_state(self, model: keras.Model) -> None:
        model._jax_state_synced = True

    def in_flight(self, model: keras.Model, variable: keras.Variable, arguments: Arguments) -> Any:
        found = _find(model, variable, arguments[0])
        return variable if found is None else found


def _parts(model: keras.Model) -> list[list[keras.Variable]]:
    """The variables of a state's four parts."""
    own = [model.trainable_variables, model.non_trainable_variables]
    return [*own, model.optimizer.variables, model.metrics_variables]


def _find(model: keras.Model, variable: keras.Variable, state: Any) -> Any:
    """The value of `variable` in a state that is on its way; `None` where it is not in it."""
    pairs = itertools.chain(*(zip(*pair, strict=False) for pair in zip(_parts(model), state, strict=False)))
    return next((value for each, value in pairs if each is variable), None)


def _with_sharding(array: Any) -> Any:
    """The array as it is; under a distribution of Keras', which asks for its sharding, the same on every device."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return array
    layout = keras.distribution.TensorLayout([None] * np.ndim(array), distribution.device_mesh)
    return keras.distribution.distribute_tensor(jax.numpy.asarray(array), layout)
