"""Successive halving: rounds of trainings, of which each leaves the better candidates to the next one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from keras_sched.sweeps.found import DIVERGED, TRAINED, Sweep, Trial
from keras_sched.sweeps.plan import Round, bracket
from keras_sched.sweeps.shown import Shown
from keras_sched.sweeps.together import refuse, train_together, why_not
from keras_sched.sweeps.train import Trainer, said_of
from keras_sched.sweeps.watch import Outcome
from keras_sched.sweeps.workers import Workers

Candidates = list[dict[str, Any]]


class Halving:
    """The rounds: each trains what is left, and leaves the better ones.

    Args:
        trainer: trains here.
        population, executor: as for `sweep`.
        progress: what is shown.
        found: where the trials go.
    """

    def __init__(
        self, trainer: Trainer, population: bool | str, executor: Executor | None, progress: Shown, found: Sweep
    ) -> None:
        self._trainer, self._population, self._progress, self._found = trainer, population, progress, found
        self._workers = None if executor is None else Workers(executor, trainer.job)

    def run(self, candidates: Candidates, plan: list[Round], *, bracketed: bool) -> None:
        """Train the rounds, one after the other; `bracketed` where the last one has its own order."""
        around, left = candidates, candidates
        for number, planned in enumerate(plan, start=1):
            turns: Iterable[Candidates] = [left[: planned.candidates]]
            if bracketed and number == len(plan):
                turns = bracket(around, left, partial(self._ranked, number))
            for turn in turns:
                self._train(turn, number, planned.epochs)
            left = self._ranked(number)
            if not left:
                break
            self._progress.round(number, left)
        self._found.best  # noqa: B018 - says so where there is none

    def _train(self, candidates: Candidates, number: int, epochs: int) -> None:
        outcomes = []
        for candidate, outcome in zip(candidates, self._outcomes(candidates, epochs), strict=True):
            outcomes.append(outcome)
            self._take(candidate, outcome, number, epochs)
        self._leave_out_diverged(outcomes)

    def _ranked(self, number: int) -> Candidates:
        return [dict(trial.arguments) for trial in self._found.ranked(number)]

    def _outcomes(self, candidates: Candidates, epochs: int) -> Iterator[Outcome]:
        if self._workers is not None:
            yield from self._workers.train(candidates, epochs)
        elif (together := self._together(candidates, epochs)) is not None:
            yield from together
        else:
            for candidate in candidates:
                with said_of(candidate):
                    yield self._trainer.train(candidate, epochs)

    def _together(self, candidates: Candidates, epochs: int) -> list[Outcome] | None:
        """The outcomes of candidates trained side by side; `None` where they are to be trained one by one."""
        reason = None if self._population is False else why_not(self._trainer, candidates)
        if self._population is True and reason is not None and len(candidates) > 1:
            refuse(reason)
        if self._population is False or reason is not None:
            return None
        outcomes = train_together(self._trainer, candidates, epochs, measure=self._population == "auto")
        self._population = outcomes is not None  # measured once
        return outcomes

    def _take(self, candidate: dict[str, Any], outcome: Outcome, number: int, planned: int) -> None:
        self._found.lower_is_better = outcome.sign > 0
        trial = Trial(candidate, number, outcome.epochs, tuple(outcome.values), outcome.ended)
        self._found.trials.append(trial)
        self._progress.trial(trial, self._found, planned * self._trainer.job.repeats)

    def _leave_out_diverged(self, outcomes: list[Outcome]) -> None:
        """One that was lost in its very first batches is compared with what the others began with."""
        first = np.nanmin([np.inf, *(outcome.first for outcome in outcomes)])
        trials = self._found.trials[-len(outcomes) :]
        for place, (trial, outcome) in enumerate(zip(trials, outcomes, strict=True), start=-len(outcomes)):
            if trial.ended == TRAINED and np.isfinite(first) and outcome.worse_than(first):
                self._found.trials[place] = replace(trial, ended=DIVERGED)
