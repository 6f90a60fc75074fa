"""Annealers: the value of a hyper-parameter at each position of training, from 0 to 1."""

from keras_sched.annealers.base import Annealer, Ends, checked_ends, common_groups, registered
from keras_sched.annealers.curves import (
    Curve,
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedNo,
    SchedOneMinusSqrt,
    SchedPoly,
    mix,
    sched_cos,
    sched_exp,
    sched_lin,
    sched_no,
)
from keras_sched.annealers.handmade import annealer, as_annealer
from keras_sched.annealers.phases import CombinedScheds, combine_scheds, combined_cos, simplest_fraction
from keras_sched.annealers.triangles import MODES, Triangles

__all__ = [
    "MODES",
    "Annealer",
    "CombinedScheds",
    "Curve",
    "Ends",
    "SchedCos",
    "SchedExp",
    "SchedInvSqrt",
    "SchedLin",
    "SchedNo",
    "SchedOneMinusSqrt",
    "SchedPoly",
    "Triangles",
    "annealer",
    "as_annealer",
    "checked_ends",
    "combine_scheds",
    "combined_cos",
    "common_groups",
    "mix",
    "registered",
    "sched_cos",
    "sched_exp",
    "sched_lin",
    "sched_no",
    "simplest_fraction",
]
