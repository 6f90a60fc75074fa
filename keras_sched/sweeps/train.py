"""The trainings of a sweep in one process: each from the same weights, optimizer state and random numbers."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import keras
import numpy as np

from keras_sched.callbacks import ParamScheduler
from keras_sched.errors import shown, speaking_as, wrong_type
from keras_sched.groups import Groups
from keras_sched.snapshot import Snapshot
from keras_sched.step import ScheduledFit
from keras_sched.sweeps.found import TRAINED
from keras_sched.sweeps.watch import Outcome, Watch

NOTE = "... while `sweep` tried"
"""How the note begins that an error of a candidate has."""


@dataclass(frozen=True)
class Job:
    """What is trained again and again; it pickles where its parts do.

    Args:
        model: the model, compiled and built.
        x, y: what `model.fit` takes; `x` may be a function that makes it.
        fit: every other argument of `model.fit`.
        callbacks: the user's.
        recipe: arguments -> the callback that schedules, or what a `ParamScheduler` is made of.
        groups: the parameter groups.
        monitor: the name in the logs and its mode; `None` for the loss of the last tenth of the batches.
        repeats: how many trainings a candidate has.
    """

    model: Any
    x: Any
    y: Any
    fit: dict[str, Any]
    callbacks: list[Any]
    recipe: Callable[..., Any]
    groups: Groups | None
    monitor: tuple[str, str] | None
    repeats: int

    def schedule(self, arguments: Mapping[str, Any]) -> Any:
        """The callback that schedules a candidate."""
        groups = {} if self.groups is None else {"groups": self.groups}
        made: Any = None
        if groups and "groups" not in signature(self.recipe).parameters:
            made = self.recipe(**arguments)
        if not isinstance(made, Mapping):
            made = self.recipe(**arguments, **groups)
        if isinstance(made, Mapping):
            return ParamScheduler(made, groups=self.groups)
        if isinstance(made, keras.callbacks.Callback):
            return made
        cure = "Return a callback, or {hyper-parameter: annealer}, as `one_cycle` does."
        raise wrong_type(f"recipe={shown(self.recipe)}", f"it returned {shown(made)}, which schedules nothing", cure)

    def data(self) -> dict[str, Any]:
        """The arguments of `fit` for the data, made anew where a function makes them; `None` where there is none."""
        made = self.x() if callable(self.x) else self.x
        if not callable(self.x) or not isinstance(made, tuple):
            return {"x": made, "y": self.y}
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(made)
        return {"x": x, "y": y, "sample_weight": sample_weight}


class Trainer:
    """Trains candidates one by one.

    Args:
        job: what is trained.
        snapshot: what each training begins from, taken already.
    """

    def __init__(self, job: Job, snapshot: Snapshot) -> None:
        self.job, self.snapshot = job, snapshot

    def train(self, arguments: Mapping[str, Any], epochs: int) -> Outcome:
        """Train one candidate, as often as there are repeats."""
        job = self.job
        return median([self.fit(Watch(job.monitor), [job.schedule(arguments)], epochs)[0] for _ in self.repeats()])

    def repeats(self) -> Iterator[int]:
        """From the same weights each time, and from other random numbers, but the same ones for each candidate."""
        for number in range(self.job.repeats):
            if number == 0:
                self.snapshot.restore()
            else:  # a seed, since TensorFlow shuffles alike in every fit after one
                self.snapshot.rewind()
                keras.utils.set_random_seed(random.randrange(2**31))  # noqa: S311 - no secret
            yield number

    def fit(self, watch: Watch, schedules: list[Any], epochs: int) -> list[Outcome]:
        """One fit, of the candidates that `watch` notes."""
        job = self.job
        arguments: Any = job.fit | {name: value for name, value in job.data().items() if value is not None}
        try:
            job.model.fit(epochs=epochs, verbose=0, callbacks=[*schedules, watch, *job.callbacks], **arguments)
        finally:
            ScheduledFit.end_of(job.model)
        return watch.outcomes


def median(outcomes: list[Outcome]) -> Outcome:
    """Of several trainings of one candidate, the median of each epoch, or the first one that ended before its time."""
    if len(outcomes) == 1:
        return outcomes[0]
    early = [each for each in outcomes if each.ended != TRAINED]
    of_all = early[0] if early else outcomes[0]
    of_all.epochs = sum(each.epochs for each in outcomes)
    if not early:
        of_all.values = np.median([each.values for each in outcomes], axis=0).tolist()
    return of_all


@contextmanager
def said_of(arguments: Mapping[str, Any]) -> Iterator[None]:
    """Let an error say which candidate it was."""
    told = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
    try:
        with speaking_as("sweep"):
            yield
    except Exception as error:
        error.add_note(f"{NOTE} {told}")
        raise
