"""What a sweep shows: its cost before it begins, and how far it is."""

from typing import Any

import keras

from keras_sched.errors import is_number
from keras_sched.sweeps.found import TRAINED, Sweep, Trial
from keras_sched.sweeps.plan import Round


class Shown:
    """A bar over the epochs of all trainings, or one line per round.

    Args:
        plan: the rounds.
        repeats: how often each candidate is trained in a round.
        verbose: 0 for nothing, 1 or "auto" for a bar, 2 for lines.
    """

    def __init__(self, plan: list[Round], repeats: int, verbose: Any) -> None:
        self._verbose = 1 if verbose == "auto" else int(verbose or 0)
        self._done = 0
        cost = repeats * sum(each.candidates * each.epochs for each in plan)
        trainings = cost / plan[-1].epochs
        rounds = ", ".join(f"{each.candidates} × {each.epochs}" for each in plan)
        again = f", {repeats} times each" if repeats > 1 else ""
        self._say(
            f"{plan[0].candidates} candidates in {len(plan)} round{'s' * (len(plan) > 1)}: {rounds} epochs{again}. "
            f"That is {cost} epochs, as many as {trainings:.1f} trainings have."
        )
        self._bar = keras.utils.Progbar(
            cost, verbose=int(self._verbose == 1), stateful_metrics=["best"], unit_name="epoch"
        )

    def trial(self, trial: Trial, found: Sweep, planned: int) -> None:
        """A candidate has been trained; `planned` epochs are done with."""
        self._done += planned
        ranked = found.ranked(trial.round)
        self._values = [("best", ranked[0].value)] if ranked else []
        self._bar.update(self._done, self._values, finalize=False)

    def round(self, number: int, left: list[dict[str, Any]]) -> None:
        """A round is over, and these are left."""
        if self._verbose == 2:
            self._say(f"Round {number} is over: left {len(left)}, of which the best is {left[0]}.")

    def end(self, found: Sweep) -> None:
        """Say what was found; once."""
        if self._verbose == 1 and self._done:
            self._bar.target = self._done  # fewer than planned, where some diverged
            self._bar.update(self._done, self._values, finalize=True)
        self._say(f"{_edge(found)}{found!r}")

    def _say(self, text: str) -> None:
        if self._verbose:
            print(text)  # noqa: T201 - part of the bar


def _edge(found: Sweep) -> str:
    """What to say where the best rate is the highest or the lowest of several."""
    tried: list[Any] = [trial.arguments.get(found.rate) for trial in found.trials]
    if not all(map(is_number, tried)) or all(trial.ended != TRAINED for trial in found.trials):
        return ""
    for edge, side, further in ((min(tried), "lowest", "lower"), (max(tried), "highest", "higher")):
        if found.lr == edge and min(tried) < max(tried):
            return f"The best rate is the {side} that was tried: a {further} one may be better.\n"
    return ""
