"""The seam: how scheduled values get into Keras' training step. Alone in knowing Keras' private names."""

from keras_sched.inject.building import build_like_fit
from keras_sched.inject.leaf import Leaf, Plan, compiled_rate
from keras_sched.inject.loop import ScheduledLoop, scheduled
from keras_sched.inject.search import SearchedFit
from keras_sched.inject.session import ScheduledFit

__all__ = [
    "Leaf",
    "Plan",
    "ScheduledFit",
    "ScheduledLoop",
    "SearchedFit",
    "build_like_fit",
    "compiled_rate",
    "scheduled",
]
