"""Whether a step of the user's own is being compiled."""

from typing import Any

import keras


def being_compiled(arguments: Any) -> bool:
    """Whether the code that was called with `arguments` runs only once, while a step is compiled."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax
        from jax.core import Tracer

        return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments))
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [leaf for leaf in tf.nest.flatten(arguments) if tf.is_tensor(leaf)]
        return not tf.executing_eagerly() and (not tensors or any(map(tf.is_symbolic_tensor, tensors)))
    import torch

    return torch.compiler.is_compiling()
