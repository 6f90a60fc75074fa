"""How good the suggestions of the learning-rate finder are: `python -m benchmarks.regret`, on JAX."""

import os
from importlib.util import find_spec

if find_spec("jax"):  # which trains the oracle; the tables can be made again without
    os.environ["KERAS_BACKEND"] = "jax"
