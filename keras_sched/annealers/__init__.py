"""Annealers: the value of a hyper-parameter at each position of training, from 0 to 1."""

from keras_sched.annealers.base import Annealer
from keras_sched.annealers.formulas import (
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedNo,
    SchedOneMinusSqrt,
    SchedPoly,
    sched_cos,
    sched_exp,
    sched_lin,
    sched_no,
)
from keras_sched.annealers.handmade import annealer, as_annealer
from keras_sched.annealers.phases import combine_scheds, combined_cos
