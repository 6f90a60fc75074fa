"""What a training run changes on a model: where it lives on each backend, read to the host and put back bit for bit."""

from collections.abc import Callable, Container, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras.src.backend.common import global_state  # noqa: TID251 - the global seed generator, if there is one
from numpy.typing import NDArray

from keras_sched.errors import wrong_state
from keras_sched.inject.rng import GLOBAL_SEED_GENERATOR

Arrays = Sequence[NDArray[Any]]

# name -> what it is used for, as in names.py.
STATE_NAMES = {
    "_eval_epoch_iterator": "validation data that a fit which died leaves behind",
    "_flatten_layers": "every layer, to find optimizers, metrics and seeds in their attributes",
    "_initial_epoch": "what `BackupAndRestore` writes",
    "_jax_state": "state of a fit that died, which Keras would still write over the variables (JAX)",
    "_jax_state_synced": "the same",
    "_symbolic_build": "whether the next fit is to look at a batch",
    "_value": "tells a variable that a fit has purged (JAX)",
}
_ATTRIBUTES = ("stop_training", "history", "_initial_epoch", "_eval_epoch_iterator")
_MISSING = object()
_PLAIN = frozenset({str, int, float, bool, type(None), keras.Variable, keras.DTypePolicy})


class Content(NamedTuple):
    """One piece of a model's state.

    `arrays` are host arrays that nobody else holds; `put` takes equal ones, which it may keep, and puts them back.
    """

    name: str
    arrays: Arrays
    put: Callable[[Arrays], None]


def contents(model: keras.Model, known: Container[Hashable] = ()) -> Iterator[tuple[Hashable, Content]]:
    """The state of `model`, but for the keys in `known`: one piece at a time, so that no two copies are in memory.

    Weights, optimizer variables, metrics, seeds; on PyTorch also the buffers and modes of its modules. Gradients are
    not copied but let go of, as each step does.

    Raises:
        RuntimeError: when a variable has no value (an earlier fit died on JAX before its first batch).
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    torch = keras.backend.backend() == "torch"
    for variable in variables(model):
        if id(variable) not in known:
            yield id(variable), _READERS[keras.backend.backend()](variable)
        if torch and ("grad", id(variable)) not in known:
            yield ("grad", id(variable)), _gradient(variable)
    if torch:
        yield from ((key, content) for key, content in _module_contents(model) if key not in known)


def variables(model: keras.Model) -> list[keras.Variable]:
    """Each variable once: of the layers, optimizers (the inner ones too), metrics and random seeds."""
    found = {id(variable): variable for variable in model.variables}
    for holder in (*_holders(model, keras.Optimizer, keras.Metric, keras.Loss), *model.metrics):
        found.update((id(variable), variable) for variable in getattr(holder, "variables", ()))
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        found[id(generator.state)] = generator.state
    return list(found.values())


def unknown_weights(model: keras.Model, known: Container[Hashable]) -> list[str]:
    """The paths of the weights and seeds of `model` that are not in `known`."""
    return [variable.path for variable in model.variables if id(variable) not in known]


def reset_new_metrics(model: keras.Model, known: Container[Hashable]) -> None:
    """Empty the metrics that were not there when `known` was made."""
    for metric in (*model.metrics, *_holders(model, keras.Metric)):
        if any(id(variable) not in known for variable in metric.variables):
            metric.reset_state()


def keep_attributes(model: keras.Model) -> Callable[[], None]:
    """Remember what a fit sets on the model itself; the call that is returned sets it back."""
    kept = {name: getattr(model, name, _MISSING) for name in _ATTRIBUTES}
    look = vars(model).get("_symbolic_build")  # the next fit's, which a fit takes away

    def put() -> None:
        if look is not None:
            object.__setattr__(model, "_symbolic_build", look)
        for name, value in kept.items():
            if value is not _MISSING:
                setattr(model, name, value)
            elif hasattr(model, name):
                delattr(model, name)
        if hasattr(model, "jax_state_sync"):
            model._jax_state = None
            model._jax_state_synced = True

    return put


def keep_optimizers(model: keras.Model) -> list[tuple[str, Callable[[], None]]]:
    """Remember which variables each optimizer has; the calls that are returned take away what came later."""
    return [(optimizer.name, _keep_structure(model, optimizer)) for optimizer in _holders(model, keras.Optimizer)]


def _keep_structure(model: keras.Model, optimizer: keras.Optimizer) -> Callable[[], None]:
    identities = [id(variable) for variable in optimizer.variables]
    attributes = dict(vars(optimizer))
    lengths = [(value, len(value)) for value in attributes.values() if isinstance(value, list)]
    mappings = [(value, dict(value)) for value in attributes.values() if isinstance(value, dict)]

    def put() -> None:
        if [id(variable) for variable in optimizer.variables] == identities:
            return
        for value, length in lengths:  # in place: Keras' tracker holds the same list
            del value[length:]
        for now, then in mappings:
            now.clear()
            now.update(then)
        optimizer.__dict__.clear()
        optimizer.__dict__.update(attributes)
        model.train_function = None  # a step compiled by TensorFlow holds the variables that are gone

    return put


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
            if isinstance(value, keras.Optimizer):
                waiting.append(vars(value))
    return list(found.values())


def _read_jax(variable: keras.Variable) -> Content:
    import jax

    if variable._value is None:
        raise _purged(variable)
    value: Any = variable.value
    if value.is_fully_replicated and value.is_fully_addressable:
        return _read_jax_whole(variable, value)
    whole = value.is_fully_replicated
    shards = [(None, value)] if whole else [(_corner(s.index, value.shape), s.data) for s in value.addressable_shards]
    # `addressable_data(0)` is an array of its own: NumPy's copy of it, which JAX keeps on it, dies with it.
    parts = {corner: _host(shard.addressable_data(0)) for corner, shard in dict(shards).items()}
    # `put` must not hold the array itself, nor the copies.
    corners, shape = list(parts), value.shape
    place = value.sharding

    def put(arrays: Arrays) -> None:
        by_corner = dict(zip(corners, arrays, strict=True))
        variable.assign(
            jax.make_array_from_callback(
                shape, place, lambda index: by_corner[None if whole else _corner(index, shape)]
            )
        )

    return Content(variable.path, list(parts.values()), put)


def _read_jax_whole(variable: keras.Variable, value: Any) -> Content:
    """One array that every device has, all of them in this process: mostly there is one."""
    import jax

    place = value.sharding if getattr(value, "committed", True) else None

    def put(arrays: Arrays) -> None:
        array = arrays[0]
        variable.assign(jax.numpy.asarray(array) if place is None else jax.device_put(array, place))

    return Content(variable.path, [_host(value.addressable_data(0))], put)


def _corner(index: Any, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(part.indices(size)[0] for part, size in zip(index, shape, strict=True))


def _host(array: Any) -> NDArray[Any]:
    window = np.asarray(array)
    # On the CPU it looks into JAX's own memory, which the next step is given to write into.
    return window.copy() if all(device.platform == "cpu" for device in array.devices()) else window


def _purged(variable: keras.Variable) -> RuntimeError:
    return wrong_state(
        f"the variable `{variable.path}` without a value",
        "a fit that died before its first batch took the model's state with it (JAX)",
        "Load the weights again, or make and compile the model anew.",
    )


def _read_tensorflow(variable: keras.Variable) -> Content:
    import tensorflow as tf

    value: Any = variable.value
    strategy = getattr(value, "distribute_strategy", None) or tf.distribute.get_strategy()
    # A replica each: the value of the whole would be a sum or a mean where replicas differ.
    parts = strategy.experimental_local_results(value)

    def put(arrays: Arrays) -> None:
        for part, array in zip(parts, arrays, strict=True):
            part.assign(array)

    return Content(variable.path, [np.asarray(part.numpy()) for part in parts], put)


def _read_torch(variable: keras.Variable) -> Content:
    return _tensor(variable.path, lambda: variable.value)


def _tensor(name: str, find: Callable[[], Any]) -> Content:
    """A PyTorch tensor as bytes: NumPy has no bfloat16, and a cast would not keep every bit."""
    import torch

    def put(arrays: Arrays) -> None:
        tensor = find()
        if not tensor.numel():  # such a one has no strides to look at it by
            return
        kept = torch.from_numpy(arrays[0]).view(tensor.dtype).reshape(tensor.shape)
        with torch.no_grad():
            tensor.copy_(kept)

    with torch.no_grad():
        flat = find().detach().to("cpu", copy=True).contiguous().reshape(-1)
    return Content(name, [flat.view(torch.uint8).numpy()], put)


def _gradient(variable: keras.Variable) -> Content:
    """Let go of it in place of a copy: each step begins with none."""
    parameter: Any = variable.value

    def put(_: Arrays) -> None:
        if parameter.is_leaf and parameter.grad is not None:
            parameter.grad = None

    return Content(f"gradient of {variable.path}", [], put)


def _module_contents(model: keras.Model) -> Iterator[tuple[Hashable, Content]]:
    modules = {id(module): module for layer in model._flatten_layers() for module in layer.modules()}
    for module in modules.values():
        yield ("training", id(module)), _training_mode(module)
        for name, _ in module.named_buffers(recurse=False):
            yield ("buffer", id(module), name), _tensor(name, lambda module=module, name=name: getattr(module, name))


def _training_mode(module: Any) -> Content:
    mode = module.training

    def put(_: Arrays) -> None:
        if module.training != mode:
            module.training = mode

    return Content("training mode", [], put)


_READERS = {"jax": _read_jax, "tensorflow": _read_tensorflow, "torch": _read_torch}
