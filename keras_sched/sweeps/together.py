"""The candidates of a round side by side, where a backend can: one fit, whose step trains all of them."""

from collections.abc import Mapping
from typing import Any, NoReturn

import keras

from keras_sched.callbacks import Scheduler
from keras_sched.errors import wrong_state
from keras_sched.step import ScheduledFit, backend
from keras_sched.step.objects import Objects
from keras_sched.sweeps.train import Trainer, median
from keras_sched.sweeps.watch import Outcome, Sums, Watch


def train_together(
    trainer: Trainer, candidates: list[dict[str, Any]], epochs: int, *, measure: bool
) -> list[Outcome] | None:
    """Train candidates side by side; `None` where they would be faster one by one, and that is to be measured.

    Raises:
        RuntimeError: when they cannot be trained so; it says why.
    """
    from keras_sched.step.population import OneByOneError

    job, found = trainer.job, []
    tested = job.model.test_function
    try:
        for repeat in trainer.repeats():
            schedules = [job.schedule(each) for each in candidates]
            found.append(trainer.fit(_Together(job.monitor, schedules, measure=measure and not repeat), [], epochs))
            job.model.test_function = tested
    except OneByOneError:
        return None
    finally:
        job.model.test_function = tested
    return [median(list(of_one)) for of_one in zip(*found, strict=True)]


def why_not(trainer: Trainer, candidates: list[dict[str, Any]]) -> str | None:
    """Why the candidates cannot be trained side by side, as far as it is known beforehand; `None` where they can."""
    job, model = trainer.job, trainer.job.model
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    reasons = {
        f"the backend {keras.backend.backend()}": not backend().side_by_side,
        "callbacks, which look at one model": bool(job.callbacks),
        "a model that is not compiled (`run_eagerly`, `jit_compile`)": model.run_eagerly or not model.jit_compile,
        "a distribution": keras.distribution.distribution() is not None,
        "a `LossScaleOptimizer`, which skips other batches for each": scaled,
        "a schedule that is no callback of this library": not isinstance(job.schedule(candidates[0]), Scheduler),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def refuse(found: str) -> NoReturn:
    """Say why there is no population, where one was asked for."""
    raise wrong_state(found, "a population is trained in one compiled step of JAX", "Leave `population=True` out.")


class _Together(Watch):
    """Watches all candidates of a fit, whose schedule is the first one's, and whose step has the tables of them all."""

    def __init__(self, monitor: tuple[str, str] | None, schedules: list[Any], *, measure: bool) -> None:
        super().__init__(monitor, len(schedules))
        self._schedules, self._measure = schedules, measure
        self._population: Any = None

    def logs_of_members(self, logs: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Those of the population; what Keras logs is the first one's."""
        return self._population.logs_of_members()

    def sums(self, metric: Any) -> Sums:
        """Those of the population."""
        return self._population.sums(metric)

    def on_train_begin(self, logs: Any = None) -> None:
        """Make every member's tables, and let the first one's schedule begin."""
        super().on_train_begin(logs)
        self._tables, facts = zip(*map(self._tables_of, reversed(self._schedules)), strict=True)
        self._tables = self._tables[::-1]
        if len(set(facts)) > 1:
            self._refuse("candidates that do not schedule the same hyper-parameters, or only some that reach 0 or 1")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Put the population in the place of the step."""
        super().on_epoch_begin(epoch, logs)
        self._schedules[0].on_epoch_begin(epoch, logs)
        if self._population is None:
            from keras_sched.step.population import Population

            fit: Any = ScheduledFit.of(self._trained())
            fit.step = self._population = Population(fit.step, self._tables, compare=self._measure)
            self._trained().test_function = self._population.test_function
        self._population.begin_epoch()

    def on_test_begin(self, logs: Any = None) -> None:
        """The metrics of an evaluation begin anew."""
        self._population.begin_test()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Let the first one's schedule end its epoch."""
        self._schedules[0].on_epoch_end(epoch, logs)
        super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Let it put everything back."""
        self._schedules[0].on_train_end(logs)

    def _tables_of(self, schedule: Any) -> tuple[list[Any], Any]:
        """Begin a fit with this schedule; its tables, and what must be equal for one step to train the candidates."""
        ScheduledFit.end_of(self._trained())
        schedule.set_params(self.params)
        schedule.set_model(self.model)
        schedule.on_train_begin()
        scheduled = ScheduledFit.of(self._trained()).scheduled()
        tables = [inner.table for inner in scheduled]
        objects = Objects(self._trained(), [inner.targets for inner in scheduled], tables)
        alike = [(table.attributes, table.groups) for table in tables]
        return tables, (*alike, *map(id, objects.things), objects.facts)

    def _refuse(self, found: str) -> NoReturn:
        from keras_sched.step import population

        population.refuse() if self._measure else refuse(found)
