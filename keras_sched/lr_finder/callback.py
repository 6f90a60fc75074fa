"""`LRFinder`: a search as a callback of the user's own `fit`."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_sched.errors import speaking_as, wrong_state
from keras_sched.hypers import LearningRate
from keras_sched.lr_finder.found import LRFound, SuggestionFunction, check_functions, plot_record, search_found
from keras_sched.lr_finder.record import Record
from keras_sched.lr_finder.search import Search
from keras_sched.snapshot import Snapshot
from keras_sched.step import ScheduledFit
from keras_sched.suggest import DEFAULT

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LRFinder(Search):
    """Turns a `fit` into a search for a learning rate: it ends the fit, and gives weights and optimizer back.

    The rate rises exponentially from batch to batch. There is no validation; all else is as in any fit, other callbacks
    too. Give the fit as many epochs as the search needs, or more; where it ends before, the curve is short, and
    `stopped` says so. Where another callback, or on PyTorch the data, ends the fit with an error, the weights come back
    when the next `fit` begins, over what was loaded since; `lr_find` gives them back at once.

    Args:
        start_lr: the rate of the first batch, above 0, or one a parameter group.
        end_lr: the rate that would follow the last batch, above `start_lr`, or one a parameter group.
        num_it: how many batches it takes, at least 1; fewer than 6 are 6.
        stop_div: whether it ends where the smoothed loss exceeds four times its best. A loss that is not finite ends it
            anyway.

    Raises:
        ValueError: when a rate is not above 0, `start_lr` not below `end_lr`, or `num_it` no whole number above 0.
        RuntimeError: when the model's `train_step` returns no loss, its optimizer makes no update, or it was compiled
            with `steps_per_execution` above 1.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import LRFinder, minimum
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
        >>> model.compile("sgd", loss="mse")
        >>> x = np.random.default_rng(0).uniform(size=(64, 1)).astype("float32")
        >>> finder = LRFinder(num_it=50)
        >>> history = model.fit(x, 3 * x, batch_size=8, epochs=50, shuffle=False, verbose=0, callbacks=[finder])
        >>> len(finder.lrs), finder.stopped, model.get_weights()[0].item()
        (48, 'diverged', 1.0)
        >>> f"{finder.suggest(minimum).minimum:.1e}"
        '5.2e-02'

    Source: "Cyclical Learning Rates for Training Neural Networks", Smith 2015; the form is fastai's.
    """

    def __init__(
        self,
        start_lr: LearningRate = 1e-7,
        end_lr: LearningRate = 10,
        num_it: int = 100,
        stop_div: bool = True,
    ) -> None:
        with speaking_as(type(self).__name__):
            super().__init__(start_lr, end_lr, num_it, stop_div=stop_div)

    @property
    def lrs(self) -> NDArray[np.float64]:
        """The rate of each batch so far, of the last parameter group where there are several; (N,)."""
        return self._measured("lrs").lrs

    @property
    def losses(self) -> NDArray[np.float64]:
        """The smoothed loss of each batch so far; (N,)."""
        return self._measured("losses").losses

    @property
    def raw_losses(self) -> NDArray[np.float64]:
        """The loss of each batch so far; (N,)."""
        return self._measured("raw_losses").raw_losses

    @property
    def stopped(self) -> str:
        """Why it ended: `num_it`, `diverged`, `not finite`, `data ended`, or `interrupted`."""
        return self._measured("stopped").stopped

    @speaking_as("LRFinder.suggest")
    def suggest(self, *functions: SuggestionFunction) -> LRFound:
        """Ask suggestion functions for a learning rate.

        Args:
            functions: as `suggest_funcs` of `lr_find`; `halfway` and `valley` where none is given.

        Returns:
            What `lr_find` returns.
        """
        record = self._measured("suggest")
        return search_found(record, check_functions(functions or DEFAULT))

    def plot(self, **arguments: Any) -> "Axes":
        """Plot the curve.

        Args:
            arguments: what `plot_lr_find` takes: `suggestions`, `skip_start`, `skip_end`, `ax`, ...

        Returns:
            The Axes.
        """
        return plot_record(self._measured("plot"), {}, **arguments)

    def _copy(self, fit: ScheduledFit) -> None:
        self.snapshot = Snapshot(fit.model)
        fit.at_end(self._give_back)
        super()._copy(fit)

    def _give_back(self) -> None:
        snapshot, self.snapshot = self.snapshot, None
        if snapshot is not None:
            with snapshot:
                """It restores on leaving."""

    def _measured(self, what: str) -> Record:
        if not self._parts and self._hps is None:
            with speaking_as(f"LRFinder.{what}"):
                raise wrong_state(
                    "no search yet",
                    "it tells what one has measured",
                    "Pass the callback to `model.fit(..., callbacks=[...])` first.",
                )
        return self.record
