"""`model.fit` under a recipe, in one call, as fastai's learners have it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.arguments import check_callbacks, names_checked
from keras_sched.callbacks import DEFAULT_MOMS, SGDR, FlatCos, OneCycle, Scheduler
from keras_sched.errors import check_compiled, check_data_given, check_whole, wrong_value
from keras_sched.freezing import reset_optimizer
from keras_sched.groups import Groups
from keras_sched.hypers import LearningRate
from keras_sched.step import ScheduledFit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class History(keras.callbacks.History):
    """Keras' own, with the values that were used."""

    def __init__(self) -> None:
        super().__init__()
        self.hps: dict[str, NDArray[np.float64]] = {}
        """{hyper-parameter: the values used, one per batch}."""

    def plot_sched(self, keys: Sequence[str] | None = None, figsize: tuple[float, float] | None = None) -> "Figure":
        """Draw `hps`, as `ParamScheduler.plot_sched`."""
        from keras_sched.plot import plot_hps

        steps: Any = (self.params or {}).get("steps")  # `None` of data of unknown length
        return plot_hps(self.hps, keys=keys, figsize=figsize, steps_per_epoch=steps)

    def on_train_end(self, logs: Any = None) -> None:
        """Let go of the model."""
        self.set_model(None)

    def __repr__(self) -> str:
        told = {"epochs": len(self.epoch), "history": sorted(self.history), "hps": sorted(self.hps)}
        return f"History({', '.join(f'{name}={value}' for name, value in told.items())})"


@names_checked
def fit_one_cycle(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    lr_max: LearningRate | None = None,
    div: float = 25.0,
    div_final: float = 1e5,
    pct_start: float = 0.25,
    wd: Any = None,
    moms: Sequence[float] | None = DEFAULT_MOMS,
    three_phase: bool = False,
    callbacks: Any = None,
    reset_opt: bool = False,
    initial_epoch: int = 0,
    groups: Groups | None = None,
    momentum_correction: bool = False,
    layer_decay: float | None = None,
    **fit_arguments: Any,
) -> History:
    """Train a model with one cycle of the learning rate.

    Args:
        model: a compiled Keras model.
        x, y: what `model.fit` takes.
        epochs: the epoch to train to, at least 1; the cycle spans epochs 0 to `epochs`.
        lr_max, div, div_final, pct_start, wd, moms, three_phase, groups, momentum_correction, layer_decay: as for
            `OneCycle`.
        callbacks: further Keras callbacks. A `ParamScheduler` of other values has `.hps` of its own.
        reset_opt: whether the optimizer's state starts afresh.
        initial_epoch: the epoch to begin at when a run is resumed; the cycle goes on from there.
        fit_arguments: every other argument of `model.fit`.

    Returns:
        The Keras History, with the cycle's `.hps` ({name: values used, one per batch}) and `.plot_sched()`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle`, before the first batch.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import fit_one_cycle
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> history = fit_one_cycle(model, np.ones((8, 3)), np.ones(8), epochs=2, lr_max=0.1, batch_size=4, verbose=0)
        >>> history.hps["lr"].round(3).tolist()
        [0.004, 0.1, 0.075, 0.025]

    Source: fastai's `fit_one_cycle`.
    """
    return fit_with(OneCycle, **locals())


@names_checked
def fit_flat_cos(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    lr: LearningRate | None = None,
    div_final: float = 1e5,
    pct_start: float = 0.75,
    wd: Any = None,
    callbacks: Any = None,
    reset_opt: bool = False,
    initial_epoch: int = 0,
    groups: Groups | None = None,
    momentum_correction: bool = False,
    layer_decay: float | None = None,
    **fit_arguments: Any,
) -> History:
    """Train a model at a constant learning rate that falls by a cosine at the end.

    Args:
        model, x, y, epochs, callbacks, reset_opt, initial_epoch, fit_arguments: as for `fit_one_cycle`.
        lr, div_final, pct_start, wd, groups, momentum_correction, layer_decay: as for `FlatCos`.

    Returns:
        The Keras History, with `.hps` and `.plot_sched()`.

    Raises:
        ValueError, RuntimeError: as for `FlatCos`, before the first batch.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import fit_flat_cos
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> history = fit_flat_cos(model, np.ones((8, 3)), np.ones(8), epochs=4, lr=0.1, batch_size=4, verbose=0)
        >>> history.hps["lr"].round(3).tolist()
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05]

    Source: fastai's `fit_flat_cos`.
    """
    return fit_with(FlatCos, **locals())


@names_checked
def fit_sgdr(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    n_cycles: int,
    cycle_len: int,
    lr_max: LearningRate | None = None,
    cycle_mult: float = 2,
    cycle_decay: float = 1.0,
    warmup: float = 0.0,
    wd: Any = None,
    callbacks: Any = None,
    reset_opt: bool = False,
    initial_epoch: int = 0,
    groups: Groups | None = None,
    momentum_correction: bool = False,
    layer_decay: float | None = None,
    **fit_arguments: Any,
) -> History:
    """Train a model in cosine cycles with warm restarts.

    The number of epochs is the sum of the cycles, rounded up where `cycle_mult` is a fraction.

    Args:
        model, x, y, callbacks, reset_opt, initial_epoch, fit_arguments: as for `fit_one_cycle`.
        n_cycles, cycle_len, lr_max, cycle_mult, cycle_decay, warmup, wd, groups, momentum_correction, layer_decay: as
            for `SGDR`.

    Returns:
        The Keras History, with `.hps` and `.plot_sched()`.

    Raises:
        ValueError, RuntimeError: as for `SGDR`, before the first batch.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import fit_sgdr
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> data = np.ones((8, 3)), np.ones(8)
        >>> history = fit_sgdr(model, *data, n_cycles=2, cycle_len=1, lr_max=0.1, batch_size=4, verbose=0)
        >>> history.hps["lr"].round(3).tolist()
        [0.1, 0.05, 0.1, 0.085, 0.05, 0.015]

    Source: fastai's `fit_sgdr`.
    """
    return fit_with(SGDR, **locals())


def fit_with(
    make: Callable[..., Scheduler],
    *,
    model: keras.Model,
    x: Any,
    y: Any,
    callbacks: Any,
    reset_opt: bool,
    initial_epoch: int,
    fit_arguments: dict[str, Any],
    epochs: int | None = None,
    **arguments: Any,
) -> History:
    """`model.fit` with one more callback, made of a helper's other arguments; the History has the values it used."""
    schedule = make(**arguments)
    if isinstance(schedule, SGDR):
        if "epochs" in fit_arguments:
            cure = "Leave it out, or change `n_cycles`, `cycle_len` and `cycle_mult`."
            raise wrong_value(f"epochs={fit_arguments['epochs']!r}", f"its cycles last {schedule.epochs} epochs", cure)
        epochs = schedule.epochs
    last = check_whole("epochs", epochs, "the epoch to train to")
    check_whole("initial_epoch", initial_epoch, "the epoch to begin at", 0, least=0)
    check_compiled(model)
    check_data_given(x)
    if reset_opt:
        reset_optimizer(model)
    history = History()
    callbacks = [schedule, *as_list(callbacks), history]
    try:
        model.fit(x, y, epochs=last, initial_epoch=initial_epoch, callbacks=callbacks, **fit_arguments)
    finally:
        ScheduledFit.end_of(model)
    history.hps = schedule.hps
    return history


def as_list(callbacks: Any) -> list[Any]:
    """Callbacks as `model.fit` takes them, one or many, as a list."""
    if callbacks is None:
        return []
    if isinstance(callbacks, keras.callbacks.CallbackList):
        cure = "Pass the callbacks themselves: `callbacks=[...]`."
        raise wrong_value("callbacks=CallbackList(...)", "it adds a callback of its own to a list", cure)
    return check_callbacks(list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks])
