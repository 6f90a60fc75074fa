"""TensorFlow: the windows are variables that the compiled step captures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.step.again import go_on, taken_once
from keras_sched.step.attributes import own, put
from keras_sched.step.backend import Arguments, Arrays, Backend, Content, TraceAgainError, WindowedStep
from keras_sched.step.override import Override
from keras_sched.step.table import Layout

_KINDS = (tf.TensorSpec, tf.SparseTensorSpec, tf.RaggedTensorSpec)


class TensorFlowStep(WindowedStep):
    """The train function that the model itself makes, around a `train_step` that reads its row."""

    def __init__(self, model: keras.Model, overrides: Sequence[Override], layouts: Sequence[Layout]) -> None:
        super().__init__(model, overrides, layouts)
        self.compiled = not model.run_eagerly
        with model.distribute_strategy.scope():
            self._windows = [_variable(np.zeros((layout.rows, layout.width), np.float32)) for layout in layouts]
            self._starts = [_variable(np.int64(0)) for _ in layouts]
        self._started: list[int] = [0 for _ in layouts]
        self._function: Any = None
        self._rehearsing = False

    def function(self, *arguments: Any) -> Any:
        if self.searching:
            self.model.reset_metrics()
        before = own(self.model, "train_step")
        train_step = self.model.train_step
        put(self.model, "train_step", lambda data: self._train(train_step, data))
        try:
            if self._function is None and self.compiled and self.objects.several:
                self._rehearse(arguments)
            while True:
                try:
                    self._function = self._function or self._made(arguments[0])
                    return self._function(*arguments)
                except TraceAgainError:
                    self._function = None
        finally:
            put(self.model, "train_step", before)
            go_on(arguments[0])

    def load(self, which: int, start: int, window: NDArray[np.float32] | None) -> None:
        if window is not None:
            self._windows[which].assign(window)
        if start != self._started[which]:
            self._starts[which].assign(start)
            self._started[which] = start

    def switch(self, index: Any, branches: Sequence[Callable[..., Any]], *arguments: Any) -> Any:
        """A conditional of the graph. Replicas cannot meet inside one."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            found = "a schedule of several replicas' values that reaches 0, or 1, where Keras takes another path"
            expected = "replicas of a `MirroredStrategy` cannot take it"
            cure = "Let the schedule begin and end beside it, for example at 1e-6."
            raise wrong_state(found, expected, cure)
        return tf.switch_case(tf.cast(index, tf.int32), [partial(branch, *arguments) for branch in branches])

    def _made(self, iterator: Any) -> Any:
        taken_once(iterator, self.batches)
        plain = self.model.train_function
        try:
            type(self.model).make_train_function(self.model, force=True)
            return self.model.train_function
        finally:
            self.model.train_function = plain

    def _train(self, train_step: Callable[..., Any], data: Any) -> Any:
        for which, override in enumerate(self.overrides):
            override.read = partial(self._values, which)
            override.peek = partial(self._values, which, 0, self.since(which))
        with self.installed():
            logs = self.objects.run(self, train_step, data)
            with suppress(TraceAgainError) if self._rehearsing else nullcontext():
                self.check_updates()
        return logs

    def _rehearse(self, arguments: Arguments) -> None:
        """Trace once to the end: what is built in a trace that is thrown away half way would have no values."""
        if self.model.distribute_strategy.num_replicas_in_sync == 1:
            self._rehearsing = True
            try:
                TensorFlowBackend().build(self.model, arguments)
            finally:
                self._rehearsing = False

    def since(self, which: int) -> Any:
        count = tf.convert_to_tensor(self.overrides[which].optimizer._iterations)
        return tf.cast(count, tf.int64) - tf.cast(self._starts[which], tf.int64)

    def row(self, which: int, place: Any) -> Any:
        return tf.gather(self._windows[which], tf.clip_by_value(place, 0, self.layouts[which].rows - 1))


class TensorFlowBackend(Backend):
    """See `Backend`."""

    step = TensorFlowStep
    looks_at_a_batch = False

    def private_names(self) -> dict[str, Any]:
        return {"TensorFlow's context": operations_context()}

    def being_traced(self, arguments: Any) -> bool:
        tensors = [leaf for leaf in tf.nest.flatten(arguments) if tf.is_tensor(leaf)]
        return not tf.executing_eagerly() and (not tensors or any(map(tf.is_symbolic_tensor, tensors)))

    def read(self, variable: keras.Variable) -> Content:
        value: Any = variable.value
        strategy = getattr(value, "distribute_strategy", None) or tf.distribute.get_strategy()
        parts = strategy.experimental_local_results(value)

        def put_back(arrays: Arrays) -> None:
            for part, array in zip(parts, arrays, strict=True):
                part.assign(array)

        return Content(variable.path, [np.asarray(part.numpy()) for part in parts], put_back)

    @property
    def end_of_data(self) -> tuple[type[BaseException], ...]:
        return (StopIteration, tf.errors.OutOfRangeError)

    def scope(self, model: keras.Model) -> AbstractContextManager[Any]:
        return model.distribute_strategy.scope()

    def build(self, model: keras.Model, arguments: Arguments) -> None:
        """Keras builds while it traces the first step; so do we, and throw the trace away."""
        spec = tree.map_structure(lambda part: part if isinstance(part, _KINDS) else None, arguments[0].element_spec)
        if not model.run_eagerly:
            tf.function(model.train_step).get_concrete_function(spec)
        elif not model.built:
            x, _, _ = keras.utils.unpack_x_y_sample_weight(spec)
            model(tree.map_structure(lambda part: keras.KerasTensor(part.shape, part.dtype.name), x))


def random_states() -> Iterator[tuple[str, Callable[[], None]]]:
    """Remember the seeds of TensorFlow's operations; the calls put them back."""
    context: Any = operations_context()
    seed, generator = context._seed, getattr(context, "_rng", None)  # there is none until `tf.random.set_seed`
    state = generator and generator.getstate()

    def put_back() -> None:
        current = getattr(context, "_rng", None)
        if current is generator and (generator is None or generator.getstate() == state):
            return
        context._seed, context._rng = seed, generator
        if generator is not None:
            generator.setstate(state)
        # An operation that will get a seed again must not go on in the kernel that drew from it.
        context.clear_kernel_cache()

    yield "TensorFlow's operation seeds", put_back
    from tensorflow.python.ops import stateful_random_ops

    made = stateful_random_ops.global_generator  # `get_global_generator` would make one
    if made is not None:
        yield "TensorFlow's generator", partial(made.state.assign, made.state.numpy())


def operations_context() -> Any:
    """What TensorFlow's operations get their seeds from."""
    from tensorflow.python.eager import context

    return context.context()


def _variable(value: Any) -> tf.Variable:
    return tf.Variable(value, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
