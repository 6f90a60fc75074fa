"""One cycle of the rate over the whole fit, and its sibling that stays flat before it falls."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras

from keras_sched.callbacks.recipe import RecipeScheduler
from keras_sched.hypers import LearningRate, momentum_attribute
from keras_sched.recipes import DEFAULT_MOMS, flat_cos, one_cycle


@dataclass(eq=False, repr=False)
class OneCycle(RecipeScheduler):
    """One cycle of the learning rate, and of momentum against it, over the whole fit.

    Args:
        lr_max: the highest learning rate: a number above 0, `slice(hi)` (the last parameter group `hi`, the others
            `hi / 10`), `slice(lo, hi)` (geometric over the groups), one number per group, or `None` for the rate that
            the model was compiled with.
        div: `lr_max / div` is the rate at the start.
        div_final: `lr_max / div_final` is the rate at the end.
        pct_start: the fraction of training spent rising, from 0 to 1.
        moms: momentum (or beta_1) at the start, at the peak and at the end; `None` leaves it alone. The default is
            left out where the optimizer has no momentum; moms that were given are an error there.
        three_phase: fall back to `lr_max / div` in as long as the rise took, then to the end.
        wd: weight decay in this fit: a number, one per parameter group, or an annealer.
        optimizer: the optimizer to schedule, where it is not the compiled one: as for `ParamScheduler`.
        total_steps: the length in batches; `epochs` times the steps an epoch by default.
        steps_per_epoch: batches in an epoch, where `fit` cannot know.
        groups: the parameter groups, as for `ParamScheduler`.
        momentum_correction: as for `ParamScheduler`.
        layer_decay: group g of G gets its rate times `layer_decay ** (G - 1 - g)`.

    Raises:
        ValueError: when an argument is out of its range, or (before the first batch) the optimizer cannot do it.
        RuntimeError: before the first batch, when the length of an epoch is not known.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import OneCycle
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> cycle = OneCycle(0.1, pct_start=0.5)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[cycle])
        >>> cycle.hps["lr"].round(3).tolist(), cycle.hps["mom"].round(3).tolist()
        ([0.004, 0.052, 0.1, 0.05], [0.95, 0.9, 0.85, 0.9])

    Source: "Super-Convergence", Smith and Topin 2017; the form and defaults are fastai's `fit_one_cycle`.
    """

    build = staticmethod(one_cycle)

    lr_max: LearningRate | None = None
    _: KW_ONLY
    div: float = 25.0
    div_final: float = 1e5
    pct_start: float = 0.25
    moms: Sequence[float] | None = DEFAULT_MOMS
    three_phase: bool = False

    def _settle(self) -> None:
        self._default_moms = self.moms is DEFAULT_MOMS
        super()._settle()

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """`one_cycle`, without the default momentum where the optimizer has none."""
        scheds = super().recipe(rate, optimizer)
        if optimizer is not None and self._default_moms and momentum_attribute(optimizer) is None:
            del scheds["mom"]
        return scheds


@dataclass(eq=False, repr=False)
class FlatCos(RecipeScheduler):
    """A constant learning rate, then a cosine down.

    Args:
        lr: the constant rate, in any of the forms that `OneCycle` takes its `lr_max` in.
        div_final, pct_start: as for `flat_cos`.
        wd, optimizer, total_steps, steps_per_epoch, groups, momentum_correction, layer_decay: as for `OneCycle`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import FlatCos
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> flat = FlatCos(0.1, pct_start=0.5)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[flat])
        >>> flat.hps["lr"].round(3).tolist()
        [0.1, 0.1, 0.1, 0.05]

    Source: fastai's `fit_flat_cos`.
    """

    build = staticmethod(flat_cos)
    by_group = ("lr", "wd")

    lr: LearningRate | None = None
    _: KW_ONLY
    div_final: float = 1e5
    pct_start: float = 0.75
