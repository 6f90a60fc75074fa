"""What a recipe makes."""

from typing import TypeAlias

from keras_sched.annealers.base import Annealer

Recipe: TypeAlias = dict[str, Annealer]
