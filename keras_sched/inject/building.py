"""Build a model, its metrics, loss and optimizer as the beginning of `fit` does, and nothing more."""

import contextlib
import importlib
import itertools
import types
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import tree

from keras_sched.errors import wrong_state
from keras_sched.hypers import innermost
from keras_sched.inject.apply import put, take_away
from keras_sched.inject.rng import keep_random_states

# name -> what it is used for, as in names.py.
BUILDING_NAMES = {
    "_compile_loss": "whether it is built",
    "_compile_metrics": "whether it is built",
    "_distribute_strategy": "with one, Keras builds before the first batch on TensorFlow too",
    "_distributed_dataset": "the shapes of a batch, without taking one (TensorFlow)",
    "_flatten_layers": "whether every layer is built",
    "_maybe_symbolic_build": "how `fit` builds under a TensorFlow strategy",
    "_symbolic_build": "how `fit` builds",
}
_ITERATORS = {"jax": "JAXEpochIterator", "tensorflow": "TFEpochIterator", "torch": "TorchEpochIterator"}
_PEEKED = 2  # batches of a generator that Keras itself takes to learn their shapes


def build_like_fit(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool | str = True,
) -> Any:
    """Build what `fit` with the same arguments would build, so that what it draws for it is drawn once only.

    What the layers draw stays drawn. What is drawn to look at a batch is put back; as a fit looks at one only where
    something is to be built (JAX, PyTorch), the model's next fit is to look at one all the same. So a snapshot taken
    next, and put back, leaves the numbers that the next fit would have met.

    Returns:
        What to pass as `x` from now on: `x` itself, or a generator that begins with the batches taken here.
    """
    if is_built(model):
        return x
    random_states = keep_random_states(x)
    try:
        first, x = _peek(x)
        iterator = epoch_iterator(
            model,
            x=x if first is None else first,
            y=y,
            sample_weight=sample_weight,
            class_weight=class_weight,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            shuffle=shuffle,
        )
    finally:
        for _, put_back in random_states:
            put_back()
    if not _is_traced(model):
        batch = _first_batch(iterator, x)
        try:
            model._symbolic_build(data_batch=batch)
        finally:
            _have_look(model)  # also where it died: half of it may be built
    elif model._distribute_strategy is not None:
        model._maybe_symbolic_build(iterator=iterator)
    else:
        _build_from_spec(model, iterator._distributed_dataset.element_spec)
    iterator.reset()
    return x


def build_like_first_batch(model: keras.Model, iterator: Any) -> None:
    """Build what the first batch of a running fit would build, from the iterator given to its train function.

    Keras does so while it traces the step, on TensorFlow without a strategy; elsewhere, nothing is left to build.
    """
    if _is_traced(model) and hasattr(iterator, "element_spec") and not is_built(model):
        _build_from_spec(model, iterator.element_spec)


def build_optimizer(model: keras.Model) -> None:
    """Make the optimizer's variables where only they are missing; a fit would, and draws nothing for it."""
    optimizer = model.optimizer
    if optimizer is None or optimizer.built or not _layers_built(model):
        return
    strategy = getattr(model, "_distribute_strategy", None)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        optimizer.build(model.trainable_variables)


def build_parts(model: keras.Model) -> None:
    """Let a `MultiOptimizer` that a function divides know its optimizers: Keras makes them when it is built.

    Raises:
        RuntimeError: when the model is not built either (on TensorFlow Keras builds it in the first batch).
    """
    if innermost(model.optimizer):
        return
    build_optimizer(model)
    if not innermost(model.optimizer):
        raise wrong_state(
            "a `MultiOptimizer` that a function divides, and a model that is not built",
            "its optimizers are not known before the model's variables are",
            "Build the model first: begin it with `keras.Input`, or call `model.build(input_shape)`.",
        )


def is_built(model: keras.Model) -> bool:
    """Whether a fit would find nothing to build."""
    parts = (model._compile_metrics, model._compile_loss, model.optimizer)
    return _layers_built(model) and all(part is None or part.built for part in parts)


def _first_batch(iterator: Any, x: Any = None) -> Any:
    """The first batch; where the data `x` is given, the random numbers that are drawn for it are put back."""
    random_states = [] if x is None else keep_random_states(x)
    try:
        _, _, data = next(iter(iterator))
        return data[0] if isinstance(data, list | tuple) else next(data)
    finally:
        for _, put_back in random_states:
            put_back()


def _have_look(model: keras.Model) -> None:
    """Let the next fit, or `evaluate`, look at its first batch, as it does with a model that is not built."""

    def symbolic_build(iterator: Any = None, data_batch: Any = None) -> None:
        take_away(model, "_symbolic_build")
        if iterator is not None and data_batch is None:
            data_batch = _first_batch(iterator)
        model._symbolic_build(iterator, data_batch)

    put(model, "_symbolic_build", symbolic_build)


def _layers_built(model: keras.Model) -> bool:
    return all(layer.built for layer in model._flatten_layers())


def _is_traced(model: keras.Model) -> bool:
    return hasattr(model, "_maybe_symbolic_build")  # on TensorFlow only


def epoch_iterator(model: keras.Model, **arguments: Any) -> Any:
    """What `fit` and `evaluate` take their batches from."""
    backend = keras.backend.backend()
    trainer = importlib.import_module(f"keras.src.backend.{backend}.trainer")
    if _is_traced(model):
        arguments["distribute_strategy"] = model.distribute_strategy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit that follows will say it
        return getattr(trainer, _ITERATORS[backend])(steps_per_execution=model.steps_per_execution, **arguments)


def _peek(x: Any) -> tuple[Any, Any]:
    """The first batches of a generator, as a generator; and one that still begins with them."""
    if not isinstance(x, types.GeneratorType):
        return None, x
    batches = list(itertools.islice(x, _PEEKED))
    return _chain(batches), _chain(batches, x)


def _chain(*parts: Iterable[Any]) -> Iterator[Any]:
    """`itertools.chain` as a generator, which is what Keras knows."""
    for part in parts:
        yield from part


def _build_from_spec(model: keras.Model, spec: Any) -> None:
    import tensorflow as tf

    kinds = (tf.TensorSpec, tf.SparseTensorSpec, tf.RaggedTensorSpec)
    spec = tree.map_structure(lambda part: part if isinstance(part, kinds) else None, spec)
    own_step = type(model).train_step is not keras.Model.train_step
    if own_step and not model.run_eagerly:
        # Such a model needs no `call`, and may have optimizers of its own. Keras builds it while it traces the step: so
        # do we, and throw the trace away.
        tf.function(model.train_step).get_concrete_function(spec)
    elif not (own_step and _layers_built(model)):
        model._symbolic_build(data_batch=spec)
