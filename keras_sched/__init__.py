"""Schedules for every hyper-parameter of every Keras optimizer, and a learning-rate finder, on every backend."""

from keras_sched.annealers import (
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedNo,
    SchedOneMinusSqrt,
    SchedPoly,
    annealer,
    combine_scheds,
    combined_cos,
    sched_cos,
    sched_exp,
    sched_lin,
    sched_no,
)
from keras_sched.callbacks import (
    SGDR,
    FlatCos,
    InverseSqrt,
    OneCycle,
    ParamScheduler,
    Triangular,
    WarmupCosine,
    WarmupStableDecay,
)
from keras_sched.inject import scheduled
from keras_sched.recipes import (
    flat_cos,
    inverse_sqrt,
    one_cycle,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_stable_decay,
)
