"""How good the suggestions of the learning-rate finder are: `python -m benchmarks.regret`, on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"  # the oracle is a compiled loop of JAX'
