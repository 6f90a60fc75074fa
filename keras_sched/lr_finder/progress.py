"""The progress bar of a search: the current rate and loss."""

from typing import Any

import keras


class Progress:
    """Keras' own bar, with the rate and the smoothed loss of the last batch; `verbose` is as for `fit`."""

    def __init__(self, batches: int, verbose: Any) -> None:
        self._verbose = 1 if verbose == "auto" else int(verbose or 0)
        self.shown = self._verbose > 0
        self._batch = 0
        self._values: list[tuple[str, float]] = []
        self._bar = keras.utils.Progbar(
            batches, verbose=self._verbose, stateful_metrics=["lr", "loss"], unit_name="batch"
        )

    def show(self, lr: float, loss: float) -> None:
        """One batch more."""
        self._batch += 1
        self._values = [("lr", lr), ("loss", loss)]
        self._bar.update(self._batch, self._values, finalize=False)

    def end(self, why: str) -> None:
        """Show the last state, and say why it is the last; once."""
        if self.shown:
            self.shown = False
            if self._batch:
                self._bar.target = self._batch
                self._bar.update(self._batch, self._values, finalize=True)
            print(f"The search is over: {why}.")  # noqa: T201 - part of the bar
