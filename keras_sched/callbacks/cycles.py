"""Cycles of the rate: warm restarts, and triangles."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras
import numpy as np

from keras_sched.callbacks.recipe import RecipeScheduler
from keras_sched.errors import check_whole, is_whole, shown, wrong_value
from keras_sched.hypers import LearningRate, groups_wanted, learning_rates
from keras_sched.recipes import restarts, sgdr, sgdr_lengths, triangular


@dataclass(eq=False, repr=False)
class SGDR(RecipeScheduler):
    """Cosine cycles with warm restarts.

    The fit's `epochs` must be the sum of the cycles: `cycle_len * (1 + cycle_mult + cycle_mult**2 + ...)`, rounded up.

    Args:
        n_cycles: how many cycles, at least 1.
        cycle_len: the epochs of the first cycle, at least 1.
        lr_max: the rate at which the first cycle begins, in any of the forms that `OneCycle` takes.
        cycle_mult, cycle_decay: as for `sgdr`.
        warmup: how long each cycle rises: a fraction of it, or a number of batches (a whole number, from 1 on).
        wd, optimizer, total_steps, steps_per_epoch, groups, momentum_correction, layer_decay: as for `OneCycle`.

    Raises:
        ValueError: as for `OneCycle`, and when the fit's `epochs` are not the cycles' sum; the message names it.
        RuntimeError: as for `OneCycle`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import SGDR
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> restarts = SGDR(2, 1, lr_max=0.1)
        >>> history = model.fit(np.ones((4, 3)), np.ones(4), batch_size=2, epochs=3, verbose=0, callbacks=[restarts])
        >>> restarts.hps["lr"].round(3).tolist()
        [0.1, 0.05, 0.1, 0.085, 0.05, 0.015]

    Source: "SGDR", Loshchilov and Hutter 2016; the form is fastai's `fit_sgdr`.
    """

    build = staticmethod(sgdr)

    n_cycles: int
    cycle_len: int
    lr_max: LearningRate | None = None
    cycle_mult: float = 2
    _: KW_ONLY
    cycle_decay: float = 1.0
    warmup: float = 0.0

    def _settle(self) -> None:
        check_whole("cycle_len", self.cycle_len, "the epochs of the first cycle", 1)
        self.epochs = math.ceil(self.cycle_len * sum(sgdr_lengths(self.n_cycles, self.cycle_mult)))
        super()._settle()

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """The recipe, with a number of batches as a fraction of each cycle; while no length is known, it is 0."""
        if not is_whole(self.warmup):
            return super().recipe(rate, optimizer)
        return restarts(rate, self.n_cycles, self.cycle_mult, self.cycle_decay, self._warmup_of)

    def _warmup_of(self, share: float) -> float:
        batches = share * (self._total or math.inf)
        if self.warmup > batches + 1e-6:
            expected = f"that is longer than a cycle of {batches:g} batches"
            raise wrong_value(f"warmup={self.warmup}", expected, "Pass fewer batches, or a fraction of each cycle.")
        return min(self.warmup / batches, 1.0)

    def _check_epochs(self, epochs: int) -> None:
        if epochs != self.epochs:
            expected = f"its {self.n_cycles} cycles last {self.epochs} epochs together"
            raise wrong_value(f"a fit of {epochs} epochs", expected, f"Pass `epochs={self.epochs}` to `fit`.")


@dataclass(eq=False, repr=False)
class Triangular(RecipeScheduler):
    """Triangles between two learning rates.

    Args:
        lr_min: the rate at which each cycle begins and ends, in any of the forms that `OneCycle` takes.
        lr_max: each cycle's peak, unless `mode` lowers it, in any of these forms.
        n_cycles, mode, gamma: as for `triangular`.
        wd, optimizer, total_steps, steps_per_epoch, groups, momentum_correction, layer_decay: as for `OneCycle`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import Triangular
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> triangles = Triangular(0.01, 0.1, n_cycles=1)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[triangles])
        >>> triangles.hps["lr"].round(3).tolist()
        [0.01, 0.055, 0.1, 0.055]

    Source: "Cyclical Learning Rates for Training Neural Networks", Smith 2015.
    """

    build = staticmethod(triangular)
    by_group = ("lr_max", "wd", "lr_min")

    lr_min: LearningRate
    lr_max: LearningRate | None = None
    _: KW_ONLY
    n_cycles: float
    mode: str = "triangular"
    gamma: float = 0.1

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """`triangular` between both rates."""
        groups = len(rate) if isinstance(rate, tuple) else groups_wanted(self.lr_min) or 1
        decay = self.layer_decay if groups > 1 else None
        low = learning_rates(self.lr_min, groups, argument="lr_min", layer_decay=decay)
        if optimizer is None and self.lr_max is None:
            rate = low  # the peak is the compiled rate, which is not known yet
        if self.lr_max is None and np.max(low) > np.max(rate):
            meaning = f"without `lr_max` the peak is the compiled rate, {np.max(rate):.3g}"
            raise wrong_value(f"lr_min={shown(self.lr_min)}", meaning, "Pass both: `Triangular(lr_min, lr_max, ...)`.")
        return self.build(low, rate, **self.arguments)
