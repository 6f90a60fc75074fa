"""A backend's scalar as a Python number; where it is on a device this waits for it."""

from typing import Any

import keras


def as_float(value: Any) -> float:
    """A variable, tensor or number as a float."""
    array: Any = keras.ops.convert_to_numpy(value)
    return float(array)


def as_int(value: Any) -> int:
    """A variable, tensor or number as an int."""
    array: Any = keras.ops.convert_to_numpy(value)
    return int(array)
