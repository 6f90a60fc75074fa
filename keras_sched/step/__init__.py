"""The seam: a scheduled training step. Alone in knowing Keras' private names, and what differs between backends."""

from keras_sched.step.backend import backend
from keras_sched.step.fit import ScheduledFit
from keras_sched.step.inner import InnerOptimizer, compiled_rate
from keras_sched.step.objects import Target, layers_of, loss_numbers

__all__ = ["InnerOptimizer", "ScheduledFit", "Target", "backend", "compiled_rate", "layers_of", "loss_numbers"]
