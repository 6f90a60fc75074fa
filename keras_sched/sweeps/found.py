"""What a sweep found: every training of it, and the best."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_sched.errors import needing, shown, speaking_as, wrong_state, wrong_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAINED, DIVERGED, NOT_FINITE, WORKER_DIED = "trained", "diverged", "not finite", "worker died"


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Args:
        arguments: what the recipe was called with.
        round: its round, from 1.
        epochs: how many it was trained for; of several repeats, all of them.
        values: the monitored value of each epoch, of several repeats the median. Where the loss of the training is
            monitored, the last one is the mean of the last tenth of the batches.
        ended: "trained", "diverged", "not finite" or "worker died".
    """

    arguments: Mapping[str, Any]
    round: int
    epochs: int
    values: tuple[float, ...]
    ended: str = TRAINED

    @property
    def value(self) -> float:
        """What the trial is ranked by; not a number where it did not train to its end."""
        (*_, last) = (math.nan, *self.values)
        return last if self.ended == TRAINED else math.nan


@dataclass
class Sweep:
    """What `sweep` returns. It pickles, and a notebook shows it as a table.

    Args:
        trials: every training, in the order of rounds and candidates: a `Trial` each, with `arguments`, `round` (from
            1), `epochs`, `values` (the monitored value of each epoch), `value` (what it is ranked by) and `ended`
            ("trained", "diverged", "not finite" or "worker died").
        monitor: the name of the value that they are ranked by.
        lower_is_better: whether the lowest is the best.
        rate: the recipe's argument for the learning rate.

    Example:
        >>> from keras_sched.sweeps import Sweep, Trial
        >>> found = Sweep([Trial({"lr_max": 0.1}, 1, 2, (0.5, 0.4)), Trial({"lr_max": 0.01}, 1, 2, (0.7, 0.6))])
        >>> found
        Sweep(best={'lr_max': 0.1}, loss=0.4, 2 trials, 4 epochs)
        >>> found.lr, found.value, found.cost, found.trials[1].value
        (0.1, 0.4, 4, 0.6)
    """

    trials: list[Trial] = field(default_factory=list)
    monitor: str = "loss"
    lower_is_better: bool = True
    rate: str = "lr_max"

    @property
    def best(self) -> dict[str, Any]:
        """{argument: value} of the best trial of the last round that has one.

        Raises:
            RuntimeError: when no trial was trained to its end.
        """
        return dict(self._best().arguments)

    @property
    def lr(self) -> Any:
        """The best learning rate (of your own recipe `lr_max`, `lr` or `rate`); `None` if there was none."""
        return self.best.get(self.rate)

    @property
    def value(self) -> float:
        """The monitored value of the best trial."""
        return self._best().value

    @property
    def cost(self) -> int:
        """How many epochs were trained in all."""
        return sum(trial.epochs for trial in self.trials)

    def ranked(self, number: int) -> list[Trial]:
        """The trials of a round, from 1, that were trained to their end, the best first."""
        rounds = {trial.round for trial in self.trials}
        if rounds and number not in rounds:
            with speaking_as("Sweep.ranked"):
                raise wrong_value(f"number={number}", f"its rounds are 1 to {max(rounds)}", "Pass one of them.")
        sign = 1 if self.lower_is_better else -1
        found = [trial for trial in self.trials if trial.round == number and _trained(trial)]
        return sorted(found, key=lambda trial: sign * trial.value)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the monitored value over the learning rate, one line per round, the best marked.

        Args:
            ax: the Axes to draw on; `None` makes a new figure.

        Returns:
            The Axes.
        """
        from keras_sched.plot import plot_sweep

        rounds: dict[str, list[tuple[Any, float]]] = {}
        names = self.trials[0].arguments if self.trials else [self.rate]
        below = self.rate if self.rate in names else next(iter(names))
        for trial in filter(_trained, self.trials):
            name = f"round {trial.round}, {len(trial.values)} epoch{'s' * (len(trial.values) > 1)}"
            rounds.setdefault(name, []).append((trial.arguments[below], trial.value))
        mark = (self.best[below], self._best().value) if rounds else None
        return plot_sweep(rounds, mark, below, self.monitor, lower_is_better=self.lower_is_better, ax=ax)

    def to_frame(self) -> Any:
        """A pandas DataFrame with one row per trial.

        Raises:
            ImportError: when pandas is not installed.
        """
        with speaking_as("Sweep.to_frame"), needing("pandas"):
            import pandas as pd

            return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                **trial.arguments,
                "round": trial.round,
                "epochs": trial.epochs,
                self.monitor: trial.value,
                "ended": trial.ended,
            }
            for trial in self.trials
        ]

    def _best(self) -> Trial:
        last = max((trial.round for trial in self.trials if _trained(trial)), default=0)
        if not last:
            with speaking_as("Sweep"):
                expected = "the best is one of those"
                cure = "Look for a NaN in the data, or sweep over lower rates: `over={'lr_max': [1e-4, 3e-4, 1e-3]}`."
                raise wrong_state(f"no trial that was trained to its end ({_told(self.trials)})", expected, cure)
        return self.ranked(last)[0]

    def __repr__(self) -> str:
        trained = any(map(_trained, self.trials))
        best = f"best={self.best}, {self.monitor}={self._best().value:.4g}, " if trained else ""
        return f"Sweep({best}{_told(self.trials)}, {self.cost} epochs)"

    def _repr_html_(self) -> str:
        rows = self._rows()
        best = id(self._best()) if any(map(_trained, self.trials)) else None
        lines = [_line("th", list(rows[0]))] if rows else []
        for trial, row in zip(self.trials, rows, strict=True):
            lines.append(_line("td", list(row.values()), bold=id(trial) == best))
        return f"<table>{''.join(lines)}</table><p>{html.escape(_told(self.trials))}, {self.cost} epochs</p>"


def _trained(trial: Trial) -> bool:
    return trial.ended == TRAINED


def _told(trials: Sequence[Trial]) -> str:
    ended = [trial.ended for trial in trials if not _trained(trial)]
    out = [f"{ended.count(why)} {why}" for why in dict.fromkeys(ended)]
    return ", ".join([f"{len(trials)} trials", *out])


def _line(tag: str, cells: list[Any], *, bold: bool = False) -> str:
    texts = [html.escape(f"{cell:.4g}" if isinstance(cell, float) else shown(cell).strip("'")) for cell in cells]
    return (
        f"<tr>{''.join(f'<{tag}><b>{text}</b></{tag}>' if bold else f'<{tag}>{text}</{tag}>' for text in texts)}</tr>"
    )
