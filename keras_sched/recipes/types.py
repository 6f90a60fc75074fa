"""What a recipe takes for a learning rate, and what it makes."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from keras_sched.annealers.base import Annealer

Rates: TypeAlias = float | Sequence[float] | np.ndarray
Recipe: TypeAlias = dict[str, Annealer]
