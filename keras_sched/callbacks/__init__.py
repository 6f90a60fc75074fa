"""`ParamScheduler`, one callback for each recipe, and one that writes what they used."""

from keras_sched.callbacks.cycles import SGDR, Triangular
from keras_sched.callbacks.log import LogHyperParameters
from keras_sched.callbacks.one_cycle import DEFAULT_MOMS, FlatCos, OneCycle
from keras_sched.callbacks.param_scheduler import ParamScheduler
from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.callbacks.warmups import InverseSqrt, WarmupCosine, WarmupLinear, WarmupStableDecay
