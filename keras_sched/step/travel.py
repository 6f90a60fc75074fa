"""What a training begins from, packed to be unpacked in another process: weights, optimizer state, random numbers."""

import random
import sys
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # noqa: TID251 - where Keras keeps its seed generator

from keras_sched.errors import wrong_state
from keras_sched.step.backend import backend
from keras_sched.step.rng import keras_generator

Packed = dict[str, Any]


def pack(model: keras.Model) -> Packed:
    """Everything, as NumPy arrays and Python objects that pickle."""
    generator, torch, tensorflow = keras_generator(), sys.modules.get("torch"), sys.modules.get("tensorflow")
    loss: Any = model._compile_loss
    packed: Packed = {
        # Before its first fit Keras takes a batch to look at, for which random numbers are drawn (JAX, PyTorch).
        "looked": backend().looks_at_a_batch and loss is not None and bool(loss.built),
        "values": [np.array(keras.ops.convert_to_numpy(variable)) for variable in _variables(model)],
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - the global state has to travel
        "keras": None if generator is None else np.array(keras.ops.convert_to_numpy(generator.state)),
    }
    if torch is not None:
        packed["torch"] = torch.get_rng_state().numpy()
    if tensorflow is not None:
        context = _context()
        numbers = getattr(context, "_rng", None)
        packed["tensorflow"] = context._seed, None if numbers is None else numbers.getstate()
    return packed


def unpack(model: keras.Model, packed: Packed) -> None:
    """Give the model, and this process, what was packed in another."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables, values = _variables(model), packed["values"]
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise wrong_state(
            "a model that has other variables after it was pickled",
            "another process trains a pickled copy of it",
            "Let its `get_config` tell all of its arguments, or leave `executor=` out.",
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    random.setstate(packed["python"])
    np.random.set_state(packed["numpy"])  # noqa: NPY002 - see above
    generator = None
    if packed["keras"] is not None:
        generator = keras.random.SeedGenerator(0)
        generator.state.assign(packed["keras"])
    global_state.set_global_attribute("global_seed_generator", generator)
    if "torch" in packed:
        import torch

        torch.set_rng_state(torch.from_numpy(packed["torch"]))
    if "tensorflow" in packed:
        context, (seed, state) = _context(), packed["tensorflow"]
        context._seed, context._rng = seed, state and random.Random()  # noqa: S311 - as TensorFlow has it
        if state is not None:
            context._rng.setstate(state)


def _variables(model: keras.Model) -> list[Any]:
    """In the model's own order, the seeds of its layers among them."""
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]


def _context() -> Any:
    from tensorflow.python.eager import context

    return context.context()
