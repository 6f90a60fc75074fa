"""What every scheduling callback does in a `fit`, and `ParamScheduler`, which schedules anything."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.curves import check_scheds, curves_of, differs_by_group, groups_of
from keras_sched.errors import advise, check_whole, speaker, speaking_as, wrong_state, wrong_value
from keras_sched.groups import Groups, resolve_groups
from keras_sched.hypers import RATE, innermost
from keras_sched.inject import Leaf, Plan, ScheduledFit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scheduler(keras.callbacks.Callback):
    """What every scheduling callback does: the schedules of one `fit`, from its length to what was used."""

    def __init__(
        self,
        total_steps: int | None,
        steps_per_epoch: int | None,
        groups: Groups | None,
        momentum_correction: bool,
    ) -> None:
        super().__init__()
        with speaking_as(type(self).__name__):
            self.total_steps = _optional_whole(
                "total_steps", total_steps, "the length of the schedule in batches", 1000
            )
            self.steps_per_epoch = _optional_whole("steps_per_epoch", steps_per_epoch, "the batches in an epoch", 100)
        self.groups = groups
        self.momentum_correction = bool(momentum_correction)
        self.first_epoch = 0
        """The epoch at which the schedule begins, where it is the second of two in a row."""
        self._session: ScheduledFit | None = None
        self._plans: list[Plan] = []

    @abstractmethod
    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """{hyper-parameter: annealer, or one a group} for one optimizer and so many parameter groups."""

    @abstractmethod
    def groups_asked(self) -> int | None:
        """How many parameter groups the arguments ask for by their shape, or `None`."""

    @property
    def hps(self) -> dict[str, NDArray[np.float64]]:
        """What was used: {name as given: one value a batch run, (N,), or (N, G) where it differs by parameter group}.

        Computed on access. With a `MultiOptimizer` whose optimizers used different values, the last axis has one for
        each of them.
        """
        session = self._fitted("hps")
        used: dict[str, list[NDArray[np.float64]]] = {}
        for leaf, plan in self._parts(session):
            for attribute, name in plan.names.items():
                values = session.used(leaf, attribute)
                used.setdefault(name, []).append(values if attribute in plan.grouped else values[:, :1])
        return {name: _told_apart(values) for name, values in used.items()}

    def plot_sched(self, keys: Sequence[str] | None = None, figsize: tuple[float, float] | None = None) -> "Figure":
        """Draw what was used, one Axes a hyper-parameter.

        Args:
            keys: the names to draw, all by default.
            figsize: width and height of the figure in inches.

        Returns:
            A matplotlib Figure.

        Raises:
            RuntimeError: before a fit.
            ValueError: when a key is not among the names scheduled.
        """
        from keras_sched.plot import plot_hps

        return plot_hps(self.hps, keys=keys, figsize=figsize, steps_per_epoch=self._steps)

    def check(self, model: keras.Model) -> None:
        """Raise what a `fit` of `model` would raise before its first batch, its length aside; nothing changes."""
        with speaking_as(type(self).__name__):
            self._check_compiled(model)
            count, group_of = self._divide(model)
            for optimizer in innermost(model.optimizer):
                self._plan(optimizer, 1, count, group_of)

    # Keras' hooks; none of them is called once a batch

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the schedules; every wrong use that can be known is an error here."""
        with speaking_as(type(self).__name__):
            model: Any = self.model
            self._check_compiled(model)
            session = ScheduledFit.of(model)
            with session.ended_by_errors():
                self._steps = self._steps_an_epoch()
                self._total_before, self._total = self._total, self._length()
                count, group_of = self._divide(model)
                self._plans = [
                    self._plan(optimizer, self._total, count, group_of) for optimizer in innermost(model.optimizer)
                ]
                session.add(self._plans)
                session.log(lambda: self._last_values(session))
            self._session = session

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Anchor the table at this epoch's first batch."""
        session = self._fitted("on_epoch_begin")
        passed = epoch - self.first_epoch
        with speaking_as(type(self).__name__), session.ended_by_errors():
            if passed and not session.running:
                self._check_resumed(session, passed)
            session.begin_epoch(None if self._steps is None else passed * self._steps)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Tell the last batch's values in the logs."""
        session = self._fitted("on_epoch_end")
        with speaking_as(type(self).__name__), session.ended_by_errors():
            session.end_epoch()
            if logs is not None and not session.epoch_logged:  # a `fit` of the model's own has made them
                logs.update(self._last_values(session))

    def on_train_end(self, logs: Any = None) -> None:
        """Put everything back."""
        if self._session is not None:
            self._session.end()

    # Inside

    _steps: int | None = None
    _total: int | None = None
    _total_before: int | None = None  # in the fit before, of the same callback

    def _check_resumed(self, session: ScheduledFit, epoch: int) -> None:
        """Say what does not fit together in a run that is taken up again, rather than guess what was meant."""
        if self._steps is None:
            raise self._unknown_length(f"a fit that begins at epoch {epoch} with steps of unknown number")
        if self._total_before is not None and self._total_before != self._total:
            advise(
                f"a fit that begins at epoch {epoch}, of {self._total} batches in all",
                f"the one before, which it goes on from, was to have {self._total_before}: it goes on at batch "
                f"{epoch * self._steps} of the new length",
                "Pass the same `epochs=` and batch size as before, or `total_steps=`.",
            )
        counted = session.counted(epoch * self._steps, self._steps)
        if counted is not None and not self.first_epoch:
            advise(
                f"a fit that begins at epoch {epoch}",
                f"at {self._steps} batches an epoch its schedule starts at batch {epoch * self._steps} of "
                f"{self._total}, and the optimizer has made {counted} steps already",
                "Where the model was trained before this run, that is as it should be. Where an interrupted run goes "
                "on and an epoch has other batches now, pass `initial_epoch=` and `total_steps=` to match.",
            )

    def _plan(self, optimizer: keras.Optimizer, total: int, groups: int, group_of: Mapping[int, int]) -> Plan:
        scheds = check_scheds(self.schedules(optimizer, groups))
        curves, names = curves_of(scheds, optimizer, total, groups)
        if self.momentum_correction:
            self._check_correction(optimizer)
        grouped = {attribute for attribute, name in names.items() if differs_by_group(scheds[name])}
        if self.momentum_correction and RATE in grouped:
            grouped.add("momentum")
        return Plan(curves, total, groups, group_of, self.momentum_correction, names, frozenset(grouped))

    def _check_correction(self, optimizer: keras.Optimizer) -> None:
        keeps_rate = isinstance(optimizer, keras.optimizers.SGD | keras.optimizers.RMSprop) and optimizer.momentum > 0
        if not keeps_rate or getattr(optimizer, "nesterov", False):
            raise wrong_value(
                "momentum_correction=True",
                f"it is for a velocity that holds the rate it was made with, as SGD's with momentum and without "
                f"Nesterov's does, not {type(optimizer).__name__}'s",
                "Leave it out, or compile with `keras.optimizers.SGD(momentum=0.9)`.",
            )

    def _divide(self, model: keras.Model) -> tuple[int, dict[int, int]]:
        groups = self.groups if self.groups is not None else self.groups_asked()
        if groups is None:
            return 1, {}
        divided = resolve_groups(model, groups, asking=self._asking() if self.groups is None else None)
        return len(divided), {id(variable): number for number, group in enumerate(divided) for variable in group}

    def _asking(self) -> str | None:
        """The argument whose shape asks for groups, as it was typed."""

    def _steps_an_epoch(self) -> int | None:
        known = self._parameters().get("steps")
        if known and self.steps_per_epoch and known != self.steps_per_epoch:
            raise wrong_value(
                f"steps_per_epoch={self.steps_per_epoch}",
                f"an epoch of this fit has {known} batches",
                "Leave it out: it is for data of unknown length.",
            )
        return self.steps_per_epoch or known or None

    def _parameters(self) -> dict[str, Any]:
        return self.params or {}

    def _length(self) -> int:
        if self.total_steps is not None:
            return self.total_steps
        epochs = self._parameters().get("epochs")
        if not epochs or not self._steps:
            raise self._unknown_length("a fit of unknown length")
        self._check_epochs(int(epochs))
        return (int(epochs) - self.first_epoch) * int(self._steps)

    def _check_epochs(self, epochs: int) -> None:
        """Refuse a number of epochs that the schedule cannot have."""

    def _unknown_length(self, found: str) -> RuntimeError:
        return wrong_state(
            found,
            "it has to know how many batches an epoch has",
            f"Pass `{speaker()}(..., steps_per_epoch=...)`, or `steps_per_epoch=` to `fit`.",
        )

    def _check_compiled(self, model: keras.Model) -> None:
        if getattr(model, "optimizer", None) is None:
            raise wrong_state(
                "a model without an optimizer",
                "there is nothing to schedule",
                "Compile it: `model.compile(optimizer='adam', loss=...)`.",
            )

    def _last_values(self, session: ScheduledFit) -> dict[str, float]:
        """The last batch's values under the optimizer's own attribute names."""
        values: dict[str, float] = {}
        several = len(session.leaves) > 1
        for leaf, plan in self._parts(session):
            for attribute in plan.curves:
                of_groups = session.last_value(leaf, attribute)
                key = f"{leaf.optimizer.name}_{attribute}" if several else attribute
                values[key] = float(of_groups[-1])
                if attribute in plan.grouped:
                    values |= {f"{key}_{group}": float(value) for group, value in enumerate(of_groups)}
        return values

    def _parts(self, session: ScheduledFit) -> list[tuple[Leaf, Plan]]:
        """Each innermost optimizer with its plan, but for those that a `MultiOptimizer` gives no variable to."""
        pairs = list(zip(session.leaves, self._plans, strict=True))
        return [pair for pair in pairs if pair[0].optimizer.built] or pairs

    def _fitted(self, what: str) -> ScheduledFit:
        if self._session is None:
            with speaking_as(f"{type(self).__name__}.{what}"):
                raise wrong_state(
                    "no fit yet",
                    "it tells what a fit used",
                    "Pass the callback to `model.fit(..., callbacks=[...])` first; `plot_sched` previews a recipe.",
                )
        return self._session


class ParamScheduler(Scheduler):
    """Schedule any hyper-parameter of the optimizer, batch by batch, in `model.fit`.

    Batch `i` of `n` trains with `annealer(i / n)`, on every backend and in every mode of Keras; after the fit the
    optimizer is as it was. Two of these compose in one fit, where they schedule different hyper-parameters.

    Args:
        scheds: {name: annealer, or a list of annealers, one a parameter group}. Names are `lr`, `mom` (momentum or
            beta_1), `sqr_mom` (rho or beta_2), `wd`, `eps`, and every numeric attribute of the optimizer by its own
            name. A plain function of the position serves as an annealer.
        total_steps: the length of the schedule in batches; `epochs` times the steps an epoch by default. Batches past
            it keep the value at the end.
        steps_per_epoch: batches in an epoch, where `fit` cannot know (a generator).
        groups: the parameter groups: a whole number (`layer_groups(model, n)`), lists of layers or of name patterns,
            or a function of a variable. By default as many as `scheds` has values for.
        momentum_correction: multiply the momentum by the ratio of two successive rates (Goyal et al. 2017), for SGD
            with momentum: the weights are then PyTorch's and fastai's.

    Raises:
        ValueError: before the first batch, when the optimizer has no such hyper-parameter, one is scheduled twice, or
            the groups do not fit.
        TypeError: when `scheds` is no dictionary of annealers.
        RuntimeError: before the first batch, when the length of an epoch is not known.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import ParamScheduler, SchedCos, SchedLin
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.Adam(0.01), loss="mse")
        >>> scheduler = ParamScheduler({"lr": SchedCos(0.1, 0.0), "sqr_mom": SchedLin(0.9, 0.99)})
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[scheduler])
        >>> scheduler.hps["lr"].round(3).tolist()
        [0.1, 0.085, 0.05, 0.015]

    Source: fastai's `ParamScheduler`; momentum correction: "Accurate, Large Minibatch SGD", Goyal et al. 2017.
    """

    def __init__(
        self,
        scheds: Mapping[str, Any],
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        groups: Groups | None = None,
        momentum_correction: bool = False,
    ) -> None:
        super().__init__(total_steps, steps_per_epoch, groups, momentum_correction)
        with speaking_as(type(self).__name__):
            self.scheds = check_scheds(scheds)
            groups_of(self.scheds)

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The schedules as given."""
        return self.scheds

    def groups_asked(self) -> int | None:
        """As many as there are values."""
        return groups_of(self.scheds)

    def _asking(self) -> str | None:
        return next((f"{name} with several values" for name, one in self.scheds.items() if differs_by_group(one)), None)


def _optional_whole(name: str, value: Any, meaning: str, example: int) -> int | None:
    return None if value is None else check_whole(name, value, meaning, example)


def _told_apart(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One array, (N,) or (N, G), of what each of an optimizer's parts used: the last axis where they differ."""
    first, *others = values
    if all(np.array_equal(first, other) for other in others):
        return first[:, 0] if first.shape[1] == 1 else first
    return np.concatenate(values, axis=1)
