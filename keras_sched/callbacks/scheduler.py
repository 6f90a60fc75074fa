"""What every scheduling callback does in a `fit`, and `ParamScheduler`, which schedules anything."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from keras_sched.arguments import how_to_look_ahead, names_checked
from keras_sched.callbacks.length import OfKnownLength
from keras_sched.callbacks.log import prefix
from keras_sched.curves import Plan, check_scheds, curves_of, differs_by_group
from keras_sched.errors import advise, check_compiled, check_free, speaking_as, wrong_state, wrong_type, wrong_value
from keras_sched.groups import Groups, resolve_groups
from keras_sched.hypers import RATE, innermost, is_object
from keras_sched.step import InnerOptimizer, ScheduledFit, Target
from keras_sched.targets import check_optimizer, check_values, columns_of, targets_of
from keras_sched.updates import check_updates, watch_updates

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(eq=False, repr=False, kw_only=True)
class Scheduler(OfKnownLength):
    """What every scheduling callback does: the schedules of one `fit`, from its length to what was used."""

    optimizer: keras.Optimizer | None = None
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    groups: Groups | None = None
    momentum_correction: bool = False

    def _settle(self) -> None:
        super()._settle()
        if self.optimizer is not None and not isinstance(self.optimizer, keras.Optimizer):
            expected = "it must be one of the optimizers that the model's `train_step` applies"
            cure = "Pass for example `optimizer=model.d_optimizer`, or leave it out for the compiled one."
            raise wrong_type(f"optimizer={self.optimizer!r:.80}", expected, cure)
        self._total: int | None = None
        self._total_before: int | None = None  # in the fit before, of the same callback
        self._fit: ScheduledFit | None = None
        self._parts: list[tuple[InnerOptimizer, Plan]] = []
        self._hps: dict[str, NDArray[np.float64]] | None = None  # of a fit that has ended

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: `hps`, and nothing of the model."""
        hps = {"_hps": self.hps} if self._parts else {}
        return super().__getstate__() | {"_fit": None, "_parts": []} | hps

    @abstractmethod
    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """{hyper-parameter: annealer, or one per group} for one optimizer and so many parameter groups."""

    @abstractmethod
    def groups_asked(self) -> tuple[int, str] | None:
        """How many parameter groups the arguments ask for by their shape, and the one that does, as it was typed."""

    @property
    def hps(self) -> dict[str, NDArray[np.float64]]:
        """What was used: {name as given: one value a batch run, (N,), or (N, G) where it differs by parameter group}.

        Computed on access. With a `MultiOptimizer` whose optimizers used different values, the last axis has one for
        each of them.
        """
        if self._hps is not None:
            return self._hps
        if not self._parts:
            with speaking_as(f"{type(self).__name__}.hps"):
                raise wrong_state("no fit yet", "it tells what a fit used", how_to_look_ahead(self))
        used: dict[str, list[NDArray[np.float64]]] = {}
        for inner, plan in self._in_use():
            for attribute, name in plan.names.items():
                values = inner.used(attribute, 0 if self._fit is None else self._fit.rows_run(inner))
                used.setdefault(name, []).append(values if attribute in plan.grouped else values[:, :1])
        return {name: _told_apart(values) for name, values in used.items()}

    @names_checked
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
        count, group_of = self._divide(model)
        for optimizer in innermost(self._scheduled_optimizer(model)):
            self._plan(optimizer, 1, 0, count, group_of, model)

    # Keras' hooks; none of them is called once a batch

    def on_train_begin(self, logs: Any = None) -> None:
        """Make the schedules; every wrong use that can be known is an error here."""
        with speaking_as(type(self).__name__):
            model: Any = self.model
            optimizer = self._scheduled_optimizer(model)
            fit = ScheduledFit.of(model)
            with fit.ended_by_errors():
                self._steps = self._steps_an_epoch()
                self._total_before, self._total = self._total, self._length()
                count, group_of = self._divide(model)
                self._parts = []
                first = self.first_epoch * (self._steps or 0)
                for inner in fit.inner(optimizer):
                    plan, targets = self._plan(inner.optimizer, self._total, first, count, group_of, model)
                    fit.add(inner, plan, targets)
                    self._parts.append((inner, plan))
            self._fit, self._hps = fit, None
            fit.at_end(self._let_go)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Anchor the table at this epoch's first batch."""
        with self._hook() as fit:
            if epoch > self.first_epoch and fit.step is None:
                self._check_resumed(epoch)
            fit.begin_epoch(None if self._steps is None else epoch * self._steps)
            watch_updates(fit)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Add the last batch's values to the logs."""
        with self._hook() as fit:
            fit.end_epoch()
            check_updates(fit)
            self._check_ran(epoch)
            if logs is not None:
                logs.update(self._last_values())

    def on_train_end(self, logs: Any = None) -> None:
        """Put everything back, and let go of the model."""
        fit = self._fit
        if fit is not None:
            fit.end()
        with speaking_as(type(self).__name__):
            ran = any(batches for inner, _ in self._parts for _, batches in inner.epochs)
            if self._parts and not ran and not (fit is not None and fit.searching):  # a search has its own error
                cure = "Pass data, and more `epochs` than `initial_epoch`; in a loop `with scheduled(...)`."
                advise("a fit without a batch", "nothing was scheduled", cure)
        self.set_model(None)

    # Inside

    def _check_resumed(self, epoch: int) -> None:
        """Say what does not fit together in a run that is taken up again, rather than guess what was meant."""
        if self._steps is None:
            self._refuse_length(f"a fit that begins at epoch {epoch} with steps of unknown number")
        if self._total_before is not None and self._total_before != self._total:
            found = f"a fit that begins at epoch {epoch}, of {self._total} batches in all"
            meaning = f"the one before was to have {self._total_before}; this goes on at batch {epoch * self._steps}"
            advise(found, meaning, "Pass the same `epochs=` and batch size as before, or `total_steps=`.")
        first = epoch * self._steps
        for inner, _ in self._parts:
            count = inner.count() or 0  # 0 of a new optimizer
            if self.first_epoch or not count or ((first <= count or inner.skips) and count < first + self._steps):
                continue
            starts = f"at {self._steps} batches an epoch its schedule starts at batch {first} of {self._total}"
            meaning = f"{starts}, and the optimizer has made {count} steps already"
            cure = "If a run goes on whose epochs had other batches, pass `initial_epoch=` and `total_steps=` to match."
            advise(f"a fit that begins at epoch {epoch}", meaning, f"{cure} Ignore this if it was trained before.")
            return

    def _check_ran(self, epoch: int) -> None:
        """Warn of an epoch that was longer or shorter than its schedule."""
        step = self._running().step
        if self._steps is None or step is None or getattr(self.model, "stop_training", False):
            return
        for inner in (inner for inner, _ in self._in_use() if not inner.skips):
            ran = inner.first_row - epoch * self._steps
            if abs(ran - self._steps) > step.batches and (ran > 0 or not inner.epochs[-1][1]):  # not a count set back
                found = f"steps_per_epoch={self._steps} and had an epoch of {ran} batches"
                cure = f"`steps_per_epoch={ran}`" if ran else "data that repeat, or the steps to the callback alone"
                advise(found, "each epoch has its own part of the schedule", f"Pass {cure}.")

    def _plan(
        self,
        optimizer: keras.Optimizer,
        total: int,
        first: int,
        groups: int,
        group_of: Mapping[int, int],
        model: keras.Model,
    ) -> tuple[Plan, dict[str, Target]]:
        scheds = check_scheds(self.schedules(optimizer, groups))
        targets = targets_of(scheds, model, optimizer)
        columns = columns_of(targets)
        # One part of a `MultiOptimizer` gives all of them their row.
        others = [key for key in targets if any(inner.optimizer is not None for inner, _ in self._parts)]
        scheds = {key: sched for key, sched in scheds.items() if key not in others}
        curves, names = curves_of(scheds, optimizer, total, groups, columns)
        check_values(curves, targets, total)
        if first:
            curves = {name: lambda rows, of=of: of(np.maximum(rows - first, 0)) for name, of in curves.items()}
        if self.momentum_correction:
            self._check_correction(optimizer)
        own = {attribute: name for attribute, name in names.items() if not is_object(attribute)}
        grouped = {attribute for attribute, name in own.items() if differs_by_group(scheds[name])}
        if self.momentum_correction and RATE in curves:
            names.setdefault("momentum", "mom")
            grouped |= {"momentum"} if RATE in grouped else set()
        last = first + max(total, self._batches)  # a fit may be longer than its schedule
        plan = Plan(curves, last, groups, group_of, self.momentum_correction, names, frozenset(grouped))
        return plan, {columns[key][0]: target for key, target in targets.items() if key not in others}

    def _check_correction(self, optimizer: keras.Optimizer) -> None:
        keeps_rate = isinstance(optimizer, keras.optimizers.SGD | keras.optimizers.RMSprop) and optimizer.momentum > 0
        if not keeps_rate or getattr(optimizer, "nesterov", False):
            expected = "it is for a velocity that holds the rate it was made with, as SGD's does (without Nesterov's)"
            cure = "Leave it out, or compile with `keras.optimizers.SGD(momentum=0.9)`."
            raise wrong_value("momentum_correction=True", f"{expected}, not {type(optimizer).__name__}'s", cure)

    def _divide(self, model: keras.Model) -> tuple[int, dict[int, int]]:
        groups, asking = (self.groups_asked() or (None, None)) if self.groups is None else (self.groups, None)
        if groups is None:
            return 1, {}
        divided = resolve_groups(model, groups, asking=asking)
        return len(divided), {id(variable): number for number, group in enumerate(divided) for variable in group}

    def _scheduled_optimizer(self, model: keras.Model) -> keras.Optimizer:
        if self.optimizer is not None:
            check_free(self.optimizer)
            check_optimizer(self.optimizer, model, [model.optimizer, *innermost(model.optimizer)])
            return self.optimizer
        check_compiled(model)
        check_free(model.optimizer)
        if model.built and model.weights and not model.trainable_variables:
            found = f"the model `{model.name}`, of which no variable trains"
            raise wrong_state(found, "a schedule would change nothing", "Call `unfreeze(model)` first.")
        return model.optimizer

    def _last_values(self) -> dict[str, float]:
        """The last batch's values under the optimizer's own attribute names."""
        fit = self._running()
        values: dict[str, float] = {}
        for inner, plan in self._in_use():
            for attribute in plan.names:
                of_groups = fit.last_value(inner, attribute)
                key = plan.names[attribute] if is_object(attribute) else f"{prefix(fit, inner)}{attribute}"
                values[key] = float(of_groups[-1])
                if attribute in plan.grouped:
                    values |= {f"{key}_{group}": float(value) for group, value in enumerate(of_groups)}
        return values

    def _in_use(self) -> list[tuple[InnerOptimizer, Plan]]:
        """Each inner optimizer with its plan, but for those to which a `MultiOptimizer` gives no variable."""
        return [part for part in self._parts if part[0].in_use] or self._parts

    def _let_go(self) -> None:
        """The fit has ended: keep its tables, and nothing of the model."""
        self._parts, self._fit = self._in_use(), None

    def _running(self) -> ScheduledFit:
        if self._fit is None:
            expected = "a `fit`, `train_on_batch` or `freeze` of the same model, inside this fit, has ended it"
            cure = "Train that in a fit of its own, or another model in it."
            raise wrong_state("a schedule that has ended before its fit", expected, cure)
        return self._fit


def _told_apart(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One array, (N,) or (N, G), of what each of an optimizer's parts used: the last axis where they differ."""
    first, *others = values
    if all(np.array_equal(first, other) for other in others):
        return first[:, 0] if first.shape[1] == 1 else first
    return np.concatenate(values, axis=1)
