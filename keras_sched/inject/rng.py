"""The random number generators that a training run draws from, remembered and put back."""

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from keras.src.backend.common import global_state  # noqa: TID251 - where Keras keeps its seed generator
from keras.src.random import seed_generator  # noqa: TID251 - its name there

# Keras before 3.13 has the same name, written out.
GLOBAL_SEED_GENERATOR = getattr(seed_generator, "GLOBAL_SEED_GENERATOR", "global_seed_generator")

Put = tuple[str, Callable[[], None]]


def keep_random_states(data: Any = None) -> list[Put]:
    """Remember where every global generator is, and those that `data` has of its own; the calls put them back.

    PyTorch's and TensorFlow's are remembered wherever they are loaded: the data may come from there on any backend.
    (JAX has no global generator; what Keras has besides is in variables.)
    """
    seeds = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002 - the global state is what has to be kept
    return [
        keep_python(),
        ("NumPy's random numbers", _setter(np.random.set_state, numpy)),
        # Where there was none, the next draw must make it from Python's random numbers, as it would have.
        ("Keras' seed generator", lambda: global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, seeds)),
        *_torch_states(sys.modules.get("torch")),
        *_tensorflow_states(sys.modules.get("tensorflow")),
        *(("the data's random numbers", put) for put in _own_generators(data)),
    ]


def keep_python() -> Put:
    """Remember Python's own generator, from which Keras draws its default seeds."""
    return "Python's random numbers", _setter(random.setstate, random.getstate())


def _setter(set_state: Callable[[Any], Any], state: Any) -> Callable[[], None]:
    return lambda: set_state(state)


def _torch_states(torch: Any) -> Iterator[Put]:
    if torch is None:
        return
    yield "PyTorch's random numbers", _setter(torch.set_rng_state, torch.get_rng_state())
    for device in ("cuda", "xpu"):
        module = getattr(torch, device, None)
        # Not `is_available`: asking an unused device for its state would start it.
        if module is not None and module.is_available() and module.is_initialized():
            yield f"PyTorch's random numbers on {device}", _setter(module.set_rng_state_all, module.get_rng_state_all())
    if torch.backends.mps.is_available():
        yield "PyTorch's random numbers on mps", _setter(torch.mps.set_rng_state, torch.mps.get_rng_state())


def _tensorflow_states(tensorflow: Any) -> Iterator[Put]:
    if tensorflow is None:
        return
    from tensorflow.python.eager import context as eager
    from tensorflow.python.ops import stateful_random_ops

    yield "TensorFlow's operation seeds", _keep_operation_seeds(eager.context())
    generator = stateful_random_ops.global_generator  # `get_global_generator` would make one
    if generator is not None:
        yield "TensorFlow's generator", _setter(generator.state.assign, generator.state.numpy())


def _keep_operation_seeds(context: Any) -> Callable[[], None]:
    seed, generator = context._seed, getattr(context, "_rng", None)  # there is none until `tf.random.set_seed`
    state = generator and generator.getstate()

    def put() -> None:
        current = getattr(context, "_rng", None)
        if current is generator and (generator is None or generator.getstate() == state):
            return
        context._seed, context._rng = seed, generator
        if generator is not None:
            generator.setstate(state)
        # An operation that will get a seed again must not go on in the kernel that drew from it.
        context.clear_kernel_cache()

    return put


def _own_generators(data: Any) -> Iterator[Callable[[], None]]:
    """For a `DataLoader`, a `PyDataset` or the like: the generators among its attributes and those of its samplers."""
    torch = sys.modules.get("torch")
    holders = [data, *(getattr(data, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    holders.append(getattr(holders[2], "sampler", None))
    values = [value for holder in holders for value in getattr(holder, "__dict__", {}).values()]
    for value in {id(value): value for value in values}.values():
        if isinstance(value, np.random.Generator):
            yield lambda bits=value.bit_generator, state=value.bit_generator.state: setattr(bits, "state", state)
        elif isinstance(value, np.random.RandomState):
            yield _setter(value.set_state, value.get_state(legacy=False))
        elif isinstance(value, random.Random):
            yield _setter(value.setstate, value.getstate())
        elif torch is not None and isinstance(value, torch.Generator):
            yield _setter(value.set_state, value.get_state())
