"""What a training run changes on a model, to be read to the host and put back bit for bit."""

from collections.abc import Callable, Container, Hashable, Iterator
from typing import Any

import keras

from keras_sched.errors import wrong_state
from keras_sched.hypers import innermost
from keras_sched.step.attributes import own, put
from keras_sched.step.backend import Content, backend
from keras_sched.step.rng import keras_generator

_PLAIN = frozenset({str, int, float, bool, type(None), keras.Variable, keras.DTypePolicy})


def contents(model: keras.Model) -> Iterator[tuple[Hashable, Content]]:
    """The state of `model`, on PyTorch its modules' too: one piece at a time, so that no two copies are in memory."""
    backend().attach_state(model)
    for variable in variables(model):
        yield id(variable), backend().read(variable)
    yield from backend().contents(model)


def variables(model: keras.Model) -> list[keras.Variable]:
    """Each variable once: of the layers, optimizers (the inner ones too), metrics and random seeds."""
    found = {id(variable): variable for variable in model.variables}
    for holder in (*_holders(model, keras.Optimizer, keras.Metric, keras.Loss), *model.metrics):
        found |= {id(variable): variable for variable in all_variables(holder)}
    generator = keras_generator()
    if generator is not None:
        found[id(generator.state)] = generator.state
    return list(found.values())


def is_built(model: keras.Model) -> bool:
    """Whether every layer has its variables."""
    return all(layer.built for layer in model._flatten_layers())


def reset_new(model: keras.Model, known: Container[Hashable]) -> None:
    """Empty the metrics and optimizers that are not in `known`: a training made them. Raise where it made weights."""
    for metric in (*model.metrics, *_holders(model, keras.Metric)):
        if any(id(variable) not in known for variable in metric.variables):
            metric.reset_state()
    for optimizer in _holders(model, keras.Optimizer):
        if any(id(variable) not in known for variable in all_variables(optimizer)):
            first = type(optimizer).from_config(optimizer.get_config())
            first.build(optimizer._trainable_variables)
            for variable, value in zip(all_variables(optimizer), all_variables(first), strict=True):
                variable.assign(value)
    unknown = [variable.path for variable in model.variables if id(variable) not in known]
    if unknown:
        found = f"weights that the training made ({', '.join(unknown)})"
        cure = "Build the model first, for example by calling it on a batch."
        raise wrong_state(found, "their first values are not known", cure)


def all_variables(holder: Any) -> list[keras.Variable]:
    """The variables it tracks, and those it does not, or an optimizer in it: Nadam's product, inside a loss scale."""
    around = [value for each in (holder, *innermost(holder)) for value in vars(each).values()]
    found = [value for value in around if isinstance(value, keras.Variable)]
    return list({id(variable): variable for variable in [*found, *getattr(holder, "variables", ())]}.values())


def keep_attributes(model: keras.Model) -> Callable[[], None]:
    """Remember what a fit sets on the model itself; the call that is returned sets it back."""
    kept = {name: own(model, name) for name in ("stop_training", "history", "_initial_epoch")}
    loss: Any = model._compile_loss
    # Before its first fit Keras takes a batch to look at, for which random numbers are drawn (JAX, PyTorch).
    looks = backend().looks_at_a_batch and loss is not None and not loss.built

    def put_back() -> None:
        for name, value in kept.items():
            put(model, name, value)
        if looks and loss is not None and not loss.metrics:  # with several losses Keras would make their metrics twice
            loss.built = False
        backend().forget_state(model)

    return put_back


def begin_at_first_epoch(model: keras.Model) -> None:
    """Let go of the epoch at which `BackupAndRestore` has begun a fit: Keras 3.15 begins every later one there too."""
    model._initial_epoch = None


def _holders(model: keras.Model, *kinds: type) -> list[Any]:
    """Each object of these kinds that a layer of `model`, or an optimizer in it, has among its attributes."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [vars(layer) for layer in model._flatten_layers()]
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN:  # most of them: a deep model has tens of thousands
            continue
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):  # twice as fast as a union
            waiting.extend(value)
        elif isinstance(value, kinds) and id(value) not in found:
            found[id(value)] = value
            waiting.extend([vars(value)] if isinstance(value, keras.Optimizer) else [])
    return list(found.values())
