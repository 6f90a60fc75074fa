"""Learning rates, or any other arguments of a recipe, tried by training."""

from keras_sched.sweeps.found import Sweep, Trial
from keras_sched.sweeps.sweep import sweep

__all__ = ["Sweep", "Trial", "sweep"]
