"""`sweep`: successive halving of learning rates, or of anything else that a recipe takes, in one call."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from inspect import signature
from typing import Any

import keras

from keras_sched.arguments import check_cache_dir, names_checked
from keras_sched.callbacks import OneCycle, Scheduler
from keras_sched.errors import (
    NoSuggestion,
    advise,
    check_compiled,
    check_data_given,
    check_whole,
    shown,
    speaker,
    wrong_type,
    wrong_value,
)
from keras_sched.fit import as_list
from keras_sched.groups import Groups
from keras_sched.lr_finder import lr_find
from keras_sched.snapshot import Snapshot
from keras_sched.step.state import is_built
from keras_sched.sweeps.found import Sweep
from keras_sched.sweeps.halving import Candidates, Halving
from keras_sched.sweeps.plan import FINALISTS, check_recipe, grid, rates_around, rates_of, rounds_of
from keras_sched.sweeps.shown import Shown
from keras_sched.sweeps.train import Job, Trainer, said_of


@names_checked
def sweep(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    over: Mapping[str, Any] | None = None,
    recipe: Callable[..., Any] = OneCycle,
    finalists: int = FINALISTS,
    rounds: int = 3,
    repeats: int = 1,
    monitor: Any = None,
    population: bool | str = "auto",
    executor: Executor | None = None,
    show_plot: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: Any = "auto",
    callbacks: Any = None,
    groups: Groups | None = None,
    **fit: Any,
) -> Sweep:
    """Find the learning rate, or any other arguments of a recipe, by training: successive halving.

    Every candidate is trained through a whole short recipe, from the same weights, optimizer state and random numbers;
    the better ones through a longer one, and the last of them through all epochs. No step is compiled for a candidate,
    and all is put back at the end, however it ends: fit the model then with what was best.

    Args:
        model: a compiled Keras model.
        x, y: what `model.fit` takes. `x` may be a function that makes the data, or a tuple `(x, y)` of it; it is called
            for each training.
        epochs: how long the finalists are trained, at least 1.
        over: {argument of `recipe`: values to try}, every combination of them; by default five rates over a factor of
            ten, around the one that `lr_find` suggests. Of these five one short round leaves out what diverges, and
            three are trained for all epochs: the two next to the middle one, then the one beyond the better of them.
            A dictionary without a rate trains at the compiled one: `{"lr_max": [found.lr], "pct_start": [0.1, 0.3]}`.
        recipe: what makes the schedule of the arguments: a callback of this library, or a function that returns one, or
            {hyper-parameter: annealer}, as `one_cycle` does.
        finalists: how many candidates the last round has, at least 1.
        rounds: how many rounds there are, at least 1. Each is about ten times as long as the one before it; where
            `epochs` are too few for that there are fewer. One round trains all candidates for all `epochs`. Without
            `over` and `finalists` only the first and the last of them are run.
        repeats: how often each is trained in a round, with other random numbers each time, also for the order of the
            batches (up to Keras 3.15: from 3.16 on Keras shuffles arrays by the epoch alone); the median counts.
        monitor: what decides: a name that is logged at an epoch's end, or `(name, "min")`, `(name, "max")` where Keras
            cannot know which. By default `val_loss` where there is validation data, else the mean loss of the last
            tenth of the batches.
        population: whether the candidates of a round train side by side in one step (JAX); `"auto"` measures a few
            batches of both ways, and takes the faster. It takes as many times the memory.
        executor: a `concurrent.futures.Executor`, whose workers train the candidates: a `ProcessPoolExecutor` that
            spawns, Dask's `client.get_executor()`. They get the model, the data and the callbacks pickled.
        show_plot: whether to plot the result.
        cache_dir: an existing folder for the copy of the model's state; `None` keeps it in memory.
        verbose: 0 for nothing, 1 or "auto" for a bar, 2 for one line per round.
        callbacks: further Keras callbacks, the same ones for each training.
        groups: the parameter groups, as for `ParamScheduler`.
        fit: every other argument of `model.fit`: `validation_data`, `batch_size`, ...

    Returns:
        A `Sweep`: `best`, `lr`, `trials`, `cost`, `plot()`, `to_frame()`. An error, or Ctrl-C, that ends it has what
        there is of it as its attribute `sweep`.

    Raises:
        ValueError: when an argument is out of its range, the recipe cannot do what it is asked for, or the data can be
            read only once.
        TypeError: when the recipe has no such argument, or something for a worker cannot be pickled.
        RuntimeError: when the model is not compiled, or no candidate was trained to its end.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import sweep
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile("sgd", loss="mse")
        >>> x = np.linspace(-1, 1, 64)[:, None]
        >>> rates = {"lr_max": [0.001, 0.03, 1e30]}
        >>> found = sweep(model, x, 3 * x, epochs=4, over=rates, finalists=1, show_plot=False, verbose=0)
        >>> found.best, found.cost, [trial.ended for trial in found.trials[:3]]
        ({'lr_max': 0.03}, 7, ['trained', 'trained', 'not finite'])

    Source: "Non-stochastic Best Arm Identification and Hyperparameter Optimization", Jamieson and Talwalkar 2015.
    """
    _check_numbers(epochs=epochs, finalists=finalists, rounds=rounds, repeats=repeats)
    _check_given(model, x, fit, population, executor, cache_dir)
    check_recipe(recipe, over)
    job = Job(model, x, y, fit, as_list(callbacks), recipe, groups, _monitor(monitor, fit), repeats)
    candidates = grid(over) if over is not None else _suggested(job, cache_dir)
    if not is_built(model):
        _search(job, cache_dir, num_it=1, suggest_funcs=None)  # which builds it, and puts the rest back
    _check_candidates(job, candidates)
    plan = rounds_of(len(candidates), finalists, rounds, epochs)
    bracketed = over is None and finalists == FINALISTS and len(plan) > 1
    plan = [plan[0], plan[-1]] if bracketed else plan
    rate, *_ = rates_of(recipe, over) or ("lr_max",)
    found = Sweep([], "loss" if job.monitor is None else job.monitor[0], rate=rate)
    progress = Shown(plan, repeats, verbose)
    try:
        with Snapshot(model, cache_dir, None if callable(x) else x) as snapshot:
            snapshot.take()
            halving = Halving(Trainer(job, snapshot), population, executor, progress, found)
            halving.run(candidates, plan, bracketed=bracketed)
    except BaseException as error:
        vars(error)["sweep"] = found
        error.add_note("... what `sweep` had trained until then is in the error's attribute `sweep`")
        raise
    finally:
        progress.end(found)
    if show_plot:
        found.plot()
    return found


def _suggested(job: Job, cache_dir: Any) -> Candidates:
    """Rates around the one that `lr_find` suggests."""
    name, *_ = rates_of(job.recipe) or ("",)
    if not name:
        cure = "Say what to try: `over={'lr_max': [1e-3, 3e-3, 1e-2]}`, with your function's arguments."
        raise wrong_type(f"recipe={shown(job.recipe)}", "which of its arguments is a rate is not known", cure)
    found = _search(job, cache_dir)
    rate = found.lr
    if rate is None:
        raise NoSuggestion(
            f"`{speaker()}` has no rate to begin with, since `lr_find` suggests none. "
            f"Say what to try: `over={{'{name}': [1e-4, 1e-3, 1e-2]}}`."
        )
    if found.halfway is None:
        meaning = f"the rates that it tries lie around {rate:.2g}, which `halfway` does not stand for"
        advise("over=None", meaning, f"To choose them pass `over={{'{name}': [1e-4, 1e-3, 1e-2]}}`.")
    return [{name: each} for each in rates_around(rate)]


def _search(job: Job, cache_dir: Any, **arguments: Any) -> Any:
    taken = {name: value for name, value in job.fit.items() if name in signature(lr_find).parameters}
    data = job.data()
    if isinstance(data["x"], Iterator):
        data["x"] = _without_end(job, data["x"])
    taken |= data | {"groups": job.groups, "cache_dir": cache_dir, "show_plot": False, "verbose": 0}
    taken.pop("validation_data", None)
    return lr_find(job.model, **taken | arguments)


def _without_end(job: Job, batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, made anew where they end, as a search may be longer than an epoch."""
    ran = True
    while ran:
        ran = False
        for batch in batches:
            ran = True
            yield batch
        batches = job.data()["x"]


def _check_numbers(**numbers: Any) -> None:
    meanings = {
        "epochs": "how long the finalists are trained",
        "finalists": "how many candidates the last round has",
        "rounds": "how many rounds there are",
        "repeats": "how often each candidate is trained",
    }
    for name, value in numbers.items():
        check_whole(name, value, meanings[name], 10 if name == "epochs" else 3)


def _check_given(model: Any, x: Any, fit: Mapping[str, Any], population: Any, executor: Any, cache_dir: Any) -> None:
    check_compiled(model)
    check_data_given(x)
    check_cache_dir(cache_dir)
    for name, value in (("x", x), ("validation_data", fit.get("validation_data"))):
        if isinstance(value, Iterator):
            raise wrong_value(
                f"{name}={shown(value)}",
                "each training reads it from the beginning, and this can be read once",
                "Pass arrays, a dataset, or as `x` a function that makes the data: `sweep(model, lambda: batches())`.",
            )
    if "initial_epoch" in fit:
        cure = "Leave it out."
        raise wrong_value(f"initial_epoch={fit['initial_epoch']!r}", "each training begins with epoch 0", cure)
    if population not in (True, False, "auto"):
        cure = "Pass `population='auto'`, True or False."
        raise wrong_value(f"population={shown(population)}", "it is not one of the choices", cure)
    if executor is not None and not hasattr(executor, "submit"):
        cure = "Pass for example a `ProcessPoolExecutor`, or Dask's `client.get_executor()`."
        raise wrong_type(f"executor={shown(executor)}", "it must be a `concurrent.futures.Executor`", cure)
    if executor is not None and population is True:
        cure = "Leave out one of the two."
        raise wrong_value("population=True", "with an executor each candidate has a process of its own", cure)


def _check_candidates(job: Job, candidates: Candidates) -> None:
    """Raise what the schedules would raise before their first batch."""
    for candidate in candidates:
        with said_of(candidate):
            schedule = job.schedule(candidate)
            if isinstance(schedule, Scheduler) and is_built(job.model):
                schedule.check(job.model)


def _monitor(monitor: Any, fit: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name in the logs, and Keras' mode; `None` for the loss of the training."""
    validated = fit.get("validation_data") is not None or bool(fit.get("validation_split"))
    if monitor is None:
        return ("val_loss", "min") if validated else None
    name, mode = monitor if isinstance(monitor, tuple) and len(monitor) == 2 else (monitor, "auto")
    if not isinstance(name, str) or mode not in {"auto", "min", "max"}:
        cure = "Pass for example `monitor='val_accuracy'`, or `monitor=('val_score', 'max')`."
        raise wrong_type(f"monitor={shown(monitor)}", "it must be a name in the logs, or that and its mode", cure)
    if name.startswith("val_") and not validated:
        cure = "Pass `validation_data=` or `validation_split=`, or monitor what the training logs."
        raise wrong_value(f"monitor={name!r}", "there is no validation data", cure)
    return name, mode
