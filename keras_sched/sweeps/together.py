"""The candidates of a round side by side, where a backend can: one fit, whose step trains all of them."""

from collections.abc import Mapping
from typing import Any, NoReturn

import keras
import numpy as np

from keras_sched.callbacks import Scheduler
from keras_sched.errors import wrong_state
from keras_sched.step import ScheduledFit, backend
from keras_sched.sweeps.train import Trainer, median
from keras_sched.sweeps.watch import Outcome, Sums, loss_metric


def train_together(
    trainer: Trainer, candidates: list[dict[str, Any]], epochs: int, *, measure: bool
) -> list[Outcome] | None:
    """Train candidates side by side; `None` where they would be faster one by one, and that is to be measured.

    Raises:
        RuntimeError: when they cannot be trained so; it says why.
    """
    from keras_sched.step.population import OneByOneError

    model = trainer.job.model
    found: list[list[Outcome]] = []
    tested = model.test_function
    try:
        for repeat in trainer.repeats():
            together = _Together([trainer.job.schedule(each) for each in candidates], measure=measure and not repeat)
            found.append(trainer.fit(together, [together], epochs))
            model.test_function = tested
    except OneByOneError:
        return None
    finally:
        model.test_function = tested
    return [median(list(of_one)) for of_one in zip(*found, strict=True)]


def why_not(trainer: Trainer, candidates: list[dict[str, Any]]) -> str | None:
    """Why the candidates cannot be trained side by side, as far as it is known beforehand; `None` where they can."""
    job, model = trainer.job, trainer.job.model
    reasons = {
        f"the backend {keras.backend.backend()}": not backend().side_by_side,
        "callbacks, which look at one model": bool(job.callbacks),
        "a single candidate": len(candidates) < 2,
        "a model that is not compiled (`jit_compile=False`, or `run_eagerly=True`)": not (
            model.jit_compile and not model.run_eagerly
        ),
        "a distribution": keras.distribution.distribution() is not None,
        "a `LossScaleOptimizer`, which skips other batches for each": isinstance(
            model.optimizer, keras.optimizers.LossScaleOptimizer
        ),
        "a recipe that is not one callback of this library": not all(
            isinstance(job.schedule(each), Scheduler) for each in candidates
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class _Together(keras.callbacks.Callback):
    """The first candidate's schedule, and the tables of them all; the source of a fit's numbers, too."""

    def __init__(self, schedules: list[Any], *, measure: bool) -> None:
        super().__init__()
        self.members = len(schedules)
        self._schedules, self._measure = schedules, measure
        self._population: Any = None
        self._tables: list[Any] = []

    # What a `Source` has

    def logs(self, logs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Those of each member; what Keras logs of the first one is left aside."""
        from keras_sched.step.population import of_members

        return [*of_members(self._population.epoch_logs, self.members)]

    def sums(self) -> Sums | None:
        """Of the metric of the mean loss, where there is one."""
        from keras_sched.step.population import place_of

        metric, model = loss_metric(self.model), self.model
        if metric is None:
            return None
        values = self._population.metrics()
        total, count = (np.asarray(values[place_of(model, each)]) for each in (metric.total, metric.count))
        return total, count

    # Keras' hooks

    def on_train_begin(self, logs: Any = None) -> None:
        """Make every member's tables, and let the first one's schedule begin."""
        for schedule in reversed(self._schedules):
            ScheduledFit.end_of(self.model)
            schedule.set_params(self.params)
            schedule.set_model(self.model)
            schedule.on_train_begin(logs)
            scheduled = ScheduledFit.of(self.model).scheduled()
            if any(inner.targets for inner in scheduled):
                self._refuse("a schedule of what is not the optimizer's")
            self._tables.insert(0, [inner.table for inner in scheduled])
        shapes = {tuple((table.attributes, table.groups) for table in tables) for tables in self._tables}
        if len(shapes) > 1:
            self._refuse("candidates that do not schedule the same hyper-parameters")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the population in the place of the step."""
        self._schedules[0].on_epoch_begin(epoch, logs)
        if self._population is None:
            from keras_sched.step.population import Population

            fit = ScheduledFit.of(self.model)
            step: Any = fit.step
            fit.step = self._population = Population(step, self._tables, compare=self._measure)
            self.model.test_function = self._population.test_function
        self._population.begin_epoch()

    def on_test_begin(self, logs: Any = None) -> None:
        """The metrics of an evaluation begin anew."""
        self._population.begin_test()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Let the first one's schedule end its epoch."""
        self._schedules[0].on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Let it put everything back."""
        self._schedules[0].on_train_end(logs)

    def _refuse(self, found: str) -> NoReturn:
        from keras_sched.step.population import OneByOneError

        if self._measure:
            raise OneByOneError
        raise cannot(found)


def cannot(found: str) -> RuntimeError:
    """Why there is no population, where one was asked for."""
    return wrong_state(found, "a population is trained in one compiled step of JAX", "Leave `population=True` out.")
