"""A backend's scalar as a Python number; where it lies on a device, this waits for it."""

from typing import Any

import keras


def as_float(value: Any) -> float:
    """A variable, tensor or number as a float."""
    # Not through NumPy, which warns of Keras' variables and TensorFlow's: `__array__` without `copy` (NumPy 2).
    value = value.value if isinstance(value, keras.Variable) else value
    # A variable that a TensorFlow strategy mirrors is no number until it is read.
    return float(value.read_value() if hasattr(value, "read_value") else value)


def as_int(value: Any) -> int:
    """A variable, tensor or number as an int, exact up to 2**53."""
    return int(as_float(value))
