"""What a training begins from, packed to be unpacked in another process: weights, optimizer state, random numbers."""

import random
import sys
from typing import Any, cast

import keras
import numpy as np
from keras.src.backend.common import global_state  # noqa: TID251 - where Keras keeps its seed generator

from keras_sched.errors import wrong_state
from keras_sched.step.backend import backend
from keras_sched.step.rng import keras_generator

Packed = dict[str, Any]


def pack(model: keras.Model) -> Packed:
    """Everything, as NumPy arrays and Python objects that pickle."""
    generator, loss = keras_generator(), cast(Any, model._compile_loss)
    return {
        # Before its first fit Keras takes a batch to look at, for which random numbers are drawn (JAX, PyTorch).
        "looked": backend().looks_at_a_batch and loss is not None and bool(loss.built),
        "values": [np.array(keras.ops.convert_to_numpy(variable)) for variable in _variables(model)],
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - the global state has to travel
        "keras": None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state)),
        # PyTorch's and TensorFlow's wherever they are loaded: the data may come from there on any backend.
        "libraries": {name: packed() for name, (packed, _) in _LIBRARIES.items() if name in sys.modules},
    }


def unpack(model: keras.Model, packed: Packed) -> None:
    """Give the model, and this process, what was packed in another."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables, values = _variables(model), packed["values"]
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        expected = "another process trains a pickled copy of it"
        cure = "Let its `get_config` tell all of its arguments, or leave `executor=` out."
        raise wrong_state("a model that has other variables after it was pickled", expected, cure)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    random.setstate(packed["python"])
    np.random.set_state(packed["numpy"])  # noqa: NPY002 - see above
    generator = None
    if packed["keras"] is not None:
        generator = keras.random.SeedGenerator(0)
        generator.state.assign(packed["keras"])
    global_state.set_global_attribute("global_seed_generator", generator)
    for name, numbers in packed["libraries"].items():
        _LIBRARIES[name][1](numbers)


def _variables(model: keras.Model) -> list[Any]:
    """In the model's own order, the seeds of its layers among them."""
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]


def _of_torch() -> Any:
    import torch

    return torch.get_rng_state().numpy()


def _to_torch(packed: Any) -> None:
    import torch

    torch.set_rng_state(torch.from_numpy(packed))


def _of_tensorflow() -> Any:
    from keras_sched.step.tensorflow import operations_context

    context = operations_context()
    numbers = getattr(context, "_rng", None)
    return context._seed, None if numbers is None else numbers.getstate()


def _to_tensorflow(packed: Any) -> None:
    from keras_sched.step.tensorflow import operations_context

    context, (seed, state) = operations_context(), packed
    context._seed, context._rng = seed, None
    if state is not None:
        context._rng = random.Random()  # noqa: S311 - as TensorFlow has it
        context._rng.setstate(state)


# {library: what packs its random numbers, and what unpacks them}
_LIBRARIES = {"torch": (_of_torch, _to_torch), "tensorflow": (_of_tensorflow, _to_tensorflow)}
