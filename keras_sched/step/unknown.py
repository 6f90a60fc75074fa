"""A backend of which nothing is known but that it trains: a step in Python, which takes its row from the host."""

import inspect
from typing import Any

import keras
import numpy as np

from keras_sched.errors import wrong_state
from keras_sched.step.backend import Backend, Content, batches_per_call
from keras_sched.step.host import HostStep
from keras_sched.step.numbers import as_int


class UnknownStep(HostStep):
    """A `HostStep` that finds out whether the backend has compiled it."""

    def function(self, *arguments: Any) -> Any:
        before = [as_int(override.optimizer._iterations) for override in self.overrides]
        logs = super().function(*arguments)
        for override, count in zip(self.overrides, before, strict=True):
            if as_int(override.optimizer._iterations) != count + override.updates:
                raise wrong_state(
                    f"other updates of `{override.optimizer.name}` than calls of its `apply`",
                    f"the backend `{keras.backend.backend()}` has compiled the step, with the values of one batch",
                    "Compile the model with `run_eagerly=True`.",
                )
        return logs


class UnknownBackend(Backend):
    """See `Backend`."""

    step = UnknownStep
    compiles = False

    def being_traced(self, arguments: Any) -> bool:
        return False

    def read(self, variable: keras.Variable) -> Content:
        array = np.array(keras.ops.convert_to_numpy(variable.value))
        return Content(variable.path, [array], lambda arrays: variable.assign(arrays[0]))

    def check_model(self, model: keras.Model) -> None:
        """Refuse a step that is handed its state, and one of several batches: neither can be made from outside."""
        name = f"the backend `{keras.backend.backend()}`, which keras_sched does not know,"
        if len(inspect.signature(keras.Model.train_step).parameters) != 2:
            expected = "one that trains the model in place can be scheduled"
            cure = "Set KERAS_BACKEND to jax, tensorflow or torch before Keras is imported."
            raise wrong_state(f"{name} with a `train_step` that is handed its state", expected, cure)
        if batches_per_call(model) > 1:
            expected = "the values are set between two batches"
            cure = "Compile the model with `steps_per_execution=1`."
            raise wrong_state(f"{name} and several batches in one call", expected, cure)
