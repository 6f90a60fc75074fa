"""Recipes: well-known schedules, each as {hyper-parameter: annealer}."""

from keras_sched.recipes.cycles import restarts, sgdr, sgdr_lengths, triangular
from keras_sched.recipes.one_cycle import DEFAULT_MOMS, flat_cos, one_cycle
from keras_sched.recipes.warmups import inverse_sqrt, warmup_cosine, warmup_linear, warmup_stable_decay
