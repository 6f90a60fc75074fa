"""`lr_find`: a search in one call."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_sched.arguments import names_checked
from keras_sched.errors import advise, check_compiled, shown
from keras_sched.groups import Groups
from keras_sched.hypers import LearningRate
from keras_sched.lr_finder.data import can_shuffle, check_data, check_ran, check_repeatable, enough, is_generator
from keras_sched.lr_finder.found import LRFound, check_functions, search_found
from keras_sched.lr_finder.search import Search
from keras_sched.snapshot import Snapshot
from keras_sched.step import ScheduledFit
from keras_sched.step.backend import batches_per_call
from keras_sched.suggest import DEFAULT


@names_checked
def lr_find(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    start_lr: LearningRate = 1e-7,
    end_lr: LearningRate = 10,
    num_it: int = 100,
    stop_div: bool = True,
    show_plot: bool = True,
    suggest_funcs: Any = DEFAULT,
    wd: float | None = None,
    validation_data: Any = None,
    groups: Groups | None = None,
    repeats: int = 1,
    cache_dir: str | os.PathLike[str] | None = None,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    shuffle: bool | str = True,
    sample_weight: Any = None,
    class_weight: dict[int, float] | None = None,
    verbose: Any = "auto",
) -> LRFound:
    """Search for a learning rate: train with a rate that rises from batch to batch, record the losses, undo it all.

    However the search ends, weights, optimizer, metrics and random numbers are to the bit what they were before.

    Args:
        model: a compiled Keras model.
        x, y: what `model.fit` takes.
        start_lr: the rate of the first batch, above 0, or one per parameter group.
        end_lr: the rate that would follow the last batch, above `start_lr`, or one per parameter group.
        num_it: how many batches it takes, at least 1; 1 to 5 count as 6. It goes on into the next epoch.
        stop_div: whether it ends where the smoothed loss exceeds four times its best. A loss that is not finite ends it
            anyway, and is dropped.
        show_plot: whether to plot the curve.
        suggest_funcs: a suggestion function, or several: `halfway` and `valley` by default, `slide`, `minimum`,
            `steep`, `min_grad`, `inflection`, or your own `f(lrs, losses, num_it) -> (lr, (x, y))`.
        wd: a weight decay for the search.
        validation_data: what the loss of each point is measured on, in place of its batch; as for `model.fit`.
        groups: the parameter groups, as for `ParamScheduler`; all rates that it returns are those of the last one.
        repeats: how many searches, from the same weights over the batches that follow. The curve is their median. Data
            that is read once, as a generator is, needs `repeats * num_it` batches.
        cache_dir: an existing folder for the copy of the model's state; `None` keeps it in memory.
        batch_size, steps_per_epoch, shuffle, sample_weight, class_weight, verbose: as for `model.fit`.

    Returns:
        A named tuple with one field per suggestion, named like its function: a rate, or `None` for no answer. Its
        attributes are `lr` (the first field that is a rate), `lrs`, `losses` (smoothed), `raw_losses`, each of shape
        (N,), `stopped` (why it ended), `spread` (of several searches), `plot()` and `suggest(*functions)`.

    Raises:
        ValueError: when a rate is not above 0, `start_lr` not below `end_lr`, `num_it` or `repeats` no whole number
            above 0, or there is no data.
        TypeError: when a suggestion function cannot be called.
        RuntimeError: when the model is not compiled, or its `train_step` returns no loss.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import lr_find, minimum, valley
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile("sgd", loss="mse")
        >>> x = np.random.default_rng(0).uniform(size=(64, 1)).astype("float32")
        >>> found = lr_find(model, x, 3 * x, batch_size=8, shuffle=False, suggest_funcs=(minimum, valley), verbose=0)
        >>> lr_min, lr_valley = found
        >>> found.stopped, f"{lr_min:.1e}", f"{lr_valley:.1e}"
        ('diverged', '1.1e-01', '2.3e-02')

    Source: "Cyclical Learning Rates for Training Neural Networks", Smith 2015; the form is fastai's.
    """
    model = _checked_model(model)
    functions = check_functions(suggest_funcs)
    search = Search(
        start_lr=start_lr,
        end_lr=end_lr,
        num_it=num_it,
        stop_div=stop_div,
        wd=wd,
        groups=groups,
        repeats=repeats,
        validation=_validation(validation_data, batch_size),
        verbose=verbose,
    )
    once = is_generator(x)
    x = check_data(x)
    arguments = {
        "y": y,
        "batch_size": batch_size,
        "steps_per_epoch": None if once else steps_per_epoch,
        "shuffle": shuffle if can_shuffle(x) else False,
        "sample_weight": sample_weight,
        "class_weight": class_weight,
    }
    with Snapshot(model, cache_dir, x) as snapshot, _one_batch_per_call(model):
        search.snapshot = snapshot
        try:
            _search(model, search, x, arguments)
        finally:
            ScheduledFit.end_of(model)
    found = search_found(search.record, functions)
    if (enough_for := len(found.record.curves)) < repeats:
        meaning = f"the curve is that of {enough_for}: a search that has too few batches does not count"
        advise(f"repeats={repeats}, and too little data", meaning, f"Pass {repeats * search.num_it} batches.")
    if verbose:
        falls = found.stopped == "num_it" and found.losses.argmin() > len(found.losses) - 3
        told = f"The loss still falls at end_lr={shown(end_lr)}: a higher rate may be better.\n" if falls else ""
        print(f"{told}{found}")  # noqa: T201 - the bar's last lines
    if show_plot and len(found.lrs):
        found.plot()
    return found


def _search(model: keras.Model, search: Search, x: Any, arguments: dict[str, Any]) -> None:
    x, epochs = enough(x, search.most_batches(model))
    try:
        with _more_batches_than_an_epoch():
            fit: Any = model.fit  # Keras gives `verbose` the type of its default
            fit(x, epochs=epochs, callbacks=[search], verbose=0, **arguments)
    except (StopIteration, UnboundLocalError):  # Keras' own, of data without a batch
        check_ran(search.run)
        raise
    check_ran(search.run)


@contextmanager
def _one_batch_per_call(model: keras.Model) -> Iterator[None]:
    """The search looks at the loss of each batch, and so needs them one by one."""
    batches = batches_per_call(model)
    if batches == 1:
        yield
        return
    # What trains and what evaluates is made for so many batches: a plain fit must not meet the search's.
    kept, model.steps_per_execution, model.test_function = model.train_function, 1, None
    try:
        yield
    finally:
        model.steps_per_execution, model.test_function, model.train_function = batches, None, kept


@contextmanager
def _more_batches_than_an_epoch() -> Iterator[None]:
    """Keras warns of what is wanted here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Your input ran out of data")
        yield


def _checked_model(model: Any) -> keras.Model:
    """The compiled model, also where it came wrapped, as PyTorch's DistributedDataParallel does it."""
    wrapped = getattr(model, "module", None)
    if not isinstance(model, keras.Model) and isinstance(wrapped, keras.Model):
        model = wrapped
        meaning = "the model inside is searched with; before Keras 3.16 each process follows its own gradients"
        advise("a model in a wrapper", meaning, "Let a `train_step` call the wrapper: see `tutorials/distributed.md`.")
    check_compiled(model)
    return model


def _validation(data: Any, batch_size: int | None) -> dict[str, Any] | None:
    """What `evaluate` takes, of what `fit` takes as `validation_data`."""
    if data is None:
        return None
    parts = keras.utils.unpack_x_y_sample_weight(data) if isinstance(data, list | tuple) else (data, None, None)
    check_repeatable(parts[0])
    return dict(zip(("x", "y", "sample_weight"), parts, strict=True)) | {"batch_size": batch_size}
