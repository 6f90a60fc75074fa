"""A linear rise at the beginning, and then one of four ways down."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import keras

from keras_sched.annealers import Annealer, SchedOneMinusSqrt
from keras_sched.callbacks.recipe import RecipeScheduler
from keras_sched.errors import is_whole, shown, wrong_value
from keras_sched.hypers import LearningRate
from keras_sched.recipes import inverse_sqrt, warmup_cosine, warmup_linear, warmup_stable_decay


@dataclass(eq=False, repr=False)
class Warmup(RecipeScheduler):
    """A recipe whose `warmup` and `decay` are fractions of training, or numbers of batches."""

    lr_max: LearningRate | None = None
    _: KW_ONLY
    warmup: float = 0.05
    lr_final: float = 0.0

    def recipe(self, rate: Any, optimizer: keras.Optimizer | None) -> dict[str, Any]:
        """The recipe, with numbers of batches as fractions of the fit's length; while that is not known, they are 0."""
        arguments = self.arguments
        lengths = {name: length for name, length in arguments.items() if name in {"warmup", "decay"}}
        batches = {name: length for name, length in lengths.items() if is_whole(length)}
        total = self._total or math.inf
        for name, length in lengths.items():
            if isinstance(length, float) and 1 < length < math.inf:
                expected = "it is a fraction of training, up to 1.0, or a whole number of batches"
                cure = f"For {length:g} batches pass `{name}={length:.0f}`, for {length:g}% `{name}={length / 100:g}`."
                raise wrong_value(f"{name}={length}", expected, cure)
        if batches and sum(batches.get(name, length * total) for name, length in lengths.items()) > total * (1 + 1e-9):
            received = ", ".join(f"{name}={shown(length)}" for name, length in lengths.items())
            expected = f"that is longer than the {total} batches of the schedule"
            raise wrong_value(received, expected, "Pass fewer batches, or fractions of training; or train for longer.")
        return self.build(rate, **arguments | {name: int(length) / total for name, length in batches.items()})


@dataclass(eq=False, repr=False, kw_only=True)
class WarmupStableDecay(Warmup):
    """A linear rise, a constant learning rate, and a decay at the end.

    Args:
        lr_max: the constant rate, in any of the forms that `OneCycle` takes.
        warmup: how long the rate rises: a fraction of training, or a number of batches (a whole number, from 1 on).
        decay: how long it decays, in the same way; with `warmup` at most all of training.
        lr_final: the rate at the end, at least 0.
        shape: the class of the decay's annealer.
        wd, optimizer, total_steps, steps_per_epoch, groups, momentum_correction, layer_decay: as for `OneCycle`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle`; and before the first batch, when both are longer than the fit.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import SchedLin, WarmupStableDecay
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> stable = WarmupStableDecay(0.1, warmup=0.25, decay=0.5, shape=SchedLin)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[stable])
        >>> stable.hps["lr"].round(3).tolist()
        [0.0, 0.1, 0.1, 0.05]

    Source: "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", Hägele et al. 2024.
    """

    build = staticmethod(warmup_stable_decay)

    decay: float = 0.2
    shape: Callable[[Any, Any], Annealer] = SchedOneMinusSqrt


class WarmupCosine(Warmup):
    """A linear rise, then a cosine down.

    Args:
        lr_max: the highest rate, in any of the forms that `OneCycle` takes.
        warmup: how long the rate rises: a fraction of training, or a number of batches (a whole number, from 1 on).
        lr_final: the rate at the end, at least 0.
        wd, optimizer, total_steps, steps_per_epoch, groups, momentum_correction, layer_decay: as for `OneCycle`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle`; and before the first batch, when the warmup is longer than the fit.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import WarmupCosine
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> cosine = WarmupCosine(0.1, warmup=0.5)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[cosine])
        >>> cosine.hps["lr"].round(3).tolist()
        [0.0, 0.05, 0.1, 0.05]

    Source: "Accurate, Large Minibatch SGD", Goyal et al. 2017; "SGDR", Loshchilov and Hutter 2016.
    """

    build = staticmethod(warmup_cosine)


class WarmupLinear(Warmup):
    """A linear rise, then a linear fall.

    Arguments and errors as for `WarmupCosine`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import WarmupLinear
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> line = WarmupLinear(0.1, warmup=0.5)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[line])
        >>> line.hps["lr"].round(3).tolist()
        [0.0, 0.05, 0.1, 0.05]

    Source: "When, Why and How Much? Adaptive Learning Rate Scheduling by Refinement", Defazio et al. 2023.
    """

    build = staticmethod(warmup_linear)


@dataclass(eq=False, repr=False, kw_only=True)
class InverseSqrt(Warmup):
    """A linear rise, then a fall with the inverse square root of the batch.

    Args:
        lr_final: the rate at the end, above 0.
        lr_max, warmup and all others: as for `WarmupCosine`.

    Raises:
        ValueError, RuntimeError: as for `WarmupCosine`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import InverseSqrt
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> falling = InverseSqrt(0.1, warmup=0.5, lr_final=0.05)
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[falling])
        >>> falling.hps["lr"].round(3).tolist()
        [0.0, 0.05, 0.1, 0.063]

    Source: "Attention Is All You Need", Vaswani et al. 2017.
    """

    build = staticmethod(inverse_sqrt)

    lr_final: float = field()  # it has to be given
