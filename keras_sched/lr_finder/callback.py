"""`LRFinder`: a search as a callback of the user's own `fit`."""

from keras_sched.errors import speaking_as, wrong_state
from keras_sched.hypers import LearningRate
from keras_sched.lr_finder.found import Measured
from keras_sched.lr_finder.record import Record
from keras_sched.lr_finder.search import Search
from keras_sched.snapshot import Snapshot
from keras_sched.step import ScheduledFit


class LRFinder(Search, Measured):
    """Turns a `fit` into a search for a learning rate: it ends the fit, and gives weights and optimizer back.

    The rate rises exponentially from batch to batch. There is no validation; all else is as in any fit, other callbacks
    too. Give the fit as many epochs as the search needs, or more; where it ends before, the curve is short, and
    `stopped` says so. Where another callback, or on PyTorch the data, ends the fit with an error, the weights come back
    when the next `fit` begins, over what was loaded since; `lr_find` gives them back at once.

    Afterwards it has `lrs`, `losses` (smoothed) and `raw_losses`, each of shape (N,), `stopped` (why it ended) and
    `plot()`. `suggest()` returns what `lr_find` does: `suggest().lr` is the rate, `suggest().plot()` marks it.

    Args:
        start_lr, end_lr, num_it, stop_div: as for `lr_find`.

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
        self, start_lr: LearningRate = 1e-7, end_lr: LearningRate = 10, num_it: int = 100, stop_div: bool = True
    ) -> None:
        super().__init__(start_lr=start_lr, end_lr=end_lr, num_it=num_it, stop_div=stop_div)

    @property
    def record(self) -> Record:
        """Everything that was measured."""
        if not self._parts and self._hps is None:
            with speaking_as("LRFinder"):
                cure = "Pass the callback to `model.fit(..., callbacks=[...])` first."
                raise wrong_state("no search yet", "it tells what one has measured", cure)
        return super().record

    def _copy(self, fit: ScheduledFit) -> None:
        self.snapshot = Snapshot(fit.model)
        fit.at_end(self._give_back)
        super()._copy(fit)

    def _give_back(self) -> None:
        snapshot, self.snapshot = self.snapshot, None
        if snapshot is not None:
            with snapshot:
                """It restores on leaving."""
