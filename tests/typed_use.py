# pyright: strict, reportMissingTypeStubs=false
"""A user's program, which `tox -e types` checks as strictly as pyright can: nothing public is of an unknown type.

It is never run.
"""

from functools import partial
from typing import Any, assert_type

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import keras_sched as ks


def annealers() -> None:
    """A number gives a number, an array an array; what combines annealers takes them and is one."""
    fall = ks.SchedCos(1e-2, 1e-5)
    ks.combine_scheds([0.3, 0.7], [ks.SchedLin(0, 1), ks.combined_cos(0.25, 0, 1, 0)])
    ks.SchedExp([1e-3, 1e-2], [1e-5, 1e-4])
    ks.AnnealedSchedule(fall, steps=100)


@ks.annealer
def falls_late(start: float, end: float, pos: float) -> float:
    """An annealer of the user's own."""
    return start + (end - start) * pos**4


def recipes() -> None:
    """A recipe is a dictionary, and can be looked at."""
    recipe = ks.one_cycle(1e-2, pct_start=0.3)
    assert_type(ks.plot_sched(recipe, epochs=10), Figure)
    ks.ParamScheduler({**recipe, "wd": falls_late(1e-2, 1e-4)}, total_steps=1000)
    ks.ParamScheduler(ks.sgdr(1e-2, n_cycles=3))


def fits(model: keras.Model, x: NDArray[np.float32], y: NDArray[np.float32]) -> None:
    """Callbacks, fit helpers and the finder."""
    callback = ks.OneCycle(slice(1e-4, 1e-2), groups=3, layer_decay=0.75)
    log = ks.LogHyperParameters(lambda step, values: (step, values["lr"]))
    model.fit(x, y, callbacks=[callback, log])  # pyright: ignore[reportUnknownMemberType] - Keras has no types
    ks.WarmupLinear(1e-2, warmup=500)
    assert_type(callback.hps, dict[str, NDArray[np.float64]])
    assert_type(callback.plot_sched(), Figure)
    history = ks.fit_one_cycle(model, x, y, epochs=3, lr_max=1e-2, batch_size=32, callbacks=[callback])
    assert_type(history.hps, dict[str, NDArray[np.float64]])
    assert_type(ks.fine_tune(model, x, y, epochs=2).plot_sched(), Figure)
    found = ks.lr_find(model, x, y, suggest_funcs=(ks.valley, partial(ks.slide, lr_diff=10)))
    assert_type(found.losses, NDArray[np.float64])
    assert_type(found.plot(), Axes)
    ks.plot_lr_find(found.lrs, found.losses, suggestions=[(1e-3, 0.5)])
    ks.layer_groups(model, 2)
    ks.freeze(model)
    assert_type(ks.is_frozen(model), bool)


def loop(optimizer: keras.Optimizer, gradients: Any, variables: Any) -> None:
    """A training loop of one's own."""
    with ks.scheduled(optimizer, {"lr": ks.SchedCos(1e-2, 1e-5)}, steps=100) as schedule:
        optimizer.apply(gradients, variables)  # pyright: ignore[reportUnknownMemberType] - Keras has no types
    assert_type(schedule.hps, dict[str, NDArray[np.float64]])
