"""How many batches a schedule has, and where in a run it begins."""

from typing import Any, NoReturn

from keras_sched.callbacks.base import Callback
from keras_sched.errors import advise, check_whole, speaker, speaking_as, wrong_state, wrong_value


class OfKnownLength(Callback):
    """A callback that knows how many batches it is for: its arguments say so, or the fit."""

    total_steps: int | None
    steps_per_epoch: int | None

    def __post_init__(self) -> None:
        super().__init__()
        with speaking_as(type(self).__name__):
            self._settle()

    def _settle(self) -> None:
        """Check the arguments, and make of them what is needed."""
        for name, meaning, example in (
            ("total_steps", "the length of the schedule in batches", 1000),
            ("steps_per_epoch", "the batches in an epoch", 100),
        ):
            if getattr(self, name) is not None:
                setattr(self, name, check_whole(name, getattr(self, name), meaning, example))
        self.first_epoch = 0
        """The epoch at which the schedule begins, where it is the second of two in a row."""
        self._steps: int | None = None  # an epoch
        self._batches = 0  # of the fit, where that is known

    def _steps_an_epoch(self) -> int | None:
        known = self._parameters().get("steps")
        if known and self.steps_per_epoch and known != self.steps_per_epoch:
            expected = f"an epoch of this fit has {known} batches"
            cure = "Leave it out: it is for data of unknown length."
            raise wrong_value(f"steps_per_epoch={self.steps_per_epoch}", expected, cure)
        return self.steps_per_epoch or known or None

    def _parameters(self) -> dict[str, Any]:
        return self.params or {}

    def _length(self) -> int:
        epochs = int(self._parameters().get("epochs") or 0)
        self._batches = batches = (epochs - self.first_epoch) * int(self._steps or 0)
        total = self.total_steps
        if total is None:
            if not batches and self._parameters().get("epochs") != 0:
                self._refuse_length("a fit of unknown length")
            self._check_epochs(epochs)
            return max(batches, 1)
        if total < batches:
            meaning = f"this fit has {batches} batches: from batch {total} on, all train at the schedule's last value"
            cure = f"Pass `total_steps={batches}`, or leave it out, if you did not mean that."
            advise(f"total_steps={total}", meaning, cure)
        return total

    def _check_epochs(self, epochs: int) -> None:
        """Refuse a number of epochs that the schedule cannot have."""

    def _refuse_length(self, found: str) -> NoReturn:
        cure = f"Pass `{speaker()}(..., steps_per_epoch=...)`, or `steps_per_epoch=` to `fit`."
        if speaker().islower():  # a helper hands it to `fit`, where data of that length are not begun anew
            own = "`recipe=partial(OneCycle, " if speaker() == "sweep" else "a callback, as `OneCycle("
            cure = f"Pass `steps_per_epoch=` and data that repeat, or {own}steps_per_epoch=...)`."
        raise wrong_state(found, "it has to know how many batches an epoch has", cure)
