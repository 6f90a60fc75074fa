"""Fine-tuning: a cycle with the body frozen, then one with everything training at discriminative rates."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from keras_sched.arguments import check_rate, names_checked
from keras_sched.callbacks import DEFAULT_MOMS, OneCycle
from keras_sched.errors import advise, check_compiled, check_positive, check_whole
from keras_sched.fit import History, as_list, fit_with
from keras_sched.freezing import DIVIDED, freeze_to, is_frozen, reset_optimizer
from keras_sched.groups import Groups, paths, resolve_groups
from keras_sched.hypers import LearningRate
from keras_sched.step import trained_set
from keras_sched.step.state import begin_at_first_epoch

# What a `fine_tune` has frozen itself: one that died has not let it train again.
_FROZEN: WeakKeyDictionary[keras.Model, set[int]] = WeakKeyDictionary()


@names_checked
def fine_tune(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    base_lr: float = 2e-3,
    freeze_epochs: int = 1,
    lr_mult: float = 100,
    pct_start: float = 0.3,
    div: float = 5.0,
    lr_max: LearningRate | None = None,
    div_final: float = 1e5,
    wd: Any = None,
    moms: Sequence[float] | None = DEFAULT_MOMS,
    callbacks: Any = None,
    reset_opt: bool = False,
    initial_epoch: int = 0,
    groups: Groups | None = None,
    momentum_correction: bool = False,
    layer_decay: float | None = None,
    **fit_arguments: Any,
) -> History:
    """Fine-tune a pre-trained model: its head first, then all of it at rates that rise from input to output.

    Phase one trains the last parameter group (and BatchNormalization) for `freeze_epochs`, one cycle at
    `slice(base_lr)` that rises over 99 % of it. Phase two trains the other groups too for `epochs`, one cycle at
    `slice(base_lr / 2 / lr_mult, base_lr / 2)`. What you froze before stays frozen in both. Each phase is a `fit` of
    its own: callbacks see two trainings, and one that stops the first does not stop the second.

    Args:
        model: a built and compiled Keras model; `freeze_to` says what happens to its optimizer.
        x, y: what `model.fit` takes.
        epochs: the epochs of phase two, at least 1.
        base_lr: the learning rate of the head in phase one, above 0.
        freeze_epochs: the epochs of phase one, at least 0.
        lr_mult: the last group's rate divided by the first one's in phase two, above 0.
        pct_start, div: of phase two's cycle, as for `OneCycle`.
        lr_max: the rates of phase two, in any of the forms of `OneCycle`, instead of those made of `base_lr`.
        div_final, wd, moms, momentum_correction: of both cycles, as for `OneCycle`.
        callbacks: further Keras callbacks, in both phases. With a `BackupAndRestore`, a run that was killed goes on at
            its last backup; in the first epoch of phase two there is none, and it begins again.
        reset_opt: whether the optimizer's state starts afresh.
        initial_epoch: the epoch to begin at, counted over both phases: from `freeze_epochs` on it is in phase two.
        groups: the parameter groups, as for `freeze_to`; by default 2, the body and the head.
        layer_decay: of phase two, as for `OneCycle`; beside the spread of `lr_mult`, which is 1 for layer decay alone.
        fit_arguments: every other argument of `model.fit`, for both phases.

    Returns:
        The Keras History of both phases, one after the other, with `.hps` and `.plot_sched()`.

    Raises:
        ValueError, RuntimeError: as for `OneCycle` and `freeze_to`; nothing has changed then.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import fine_tune
        >>> body = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        >>> model = keras.Sequential([body, keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> history = fine_tune(model, np.ones((8, 3)), np.ones(8), epochs=1, batch_size=4, verbose=0)
        >>> history.epoch, history.hps["lr"].shape
        ([0, 1], (4, 2))

    Source: fastai's `fine_tune`.
    """
    check_whole("epochs", epochs, "the epochs of the unfrozen phase")
    check_whole("freeze_epochs", freeze_epochs, "the epochs of the frozen phase", 1, least=0)
    check_whole("initial_epoch", initial_epoch, "the epoch to begin at", 0, least=0)
    check_rate("base_lr", base_lr)
    check_positive("base_lr", base_lr, "the learning rate of the head", "2e-3")
    check_positive("lr_mult", lr_mult, "the ratio of the last group's rate to the first one's", "100")
    check_compiled(model)
    groups = 2 if groups is None else groups
    shared = {
        "div_final": div_final,
        "moms": moms,
        "wd": wd,
        "groups": groups,
        "momentum_correction": momentum_correction,
    }
    frozen = OneCycle(slice(base_lr), pct_start=0.99, **shared)
    rates = slice(base_lr / 2 / lr_mult, base_lr / 2) if lr_max is None else lr_max
    unfrozen = OneCycle(rates, pct_start=pct_start, div=div, layer_decay=layer_decay, **shared)
    unfrozen.first_epoch = freeze_epochs
    for schedule in (frozen, unfrozen):
        schedule.check(model)
    callbacks = as_list(callbacks)
    parts = _not_frozen_before(model, groups)
    if reset_opt:
        reset_optimizer(model)

    def run(schedule: OneCycle, last: int, first: int) -> History:
        shared = {"callbacks": callbacks, "reset_opt": False, "fit_arguments": fit_arguments}
        return fit_with(lambda: schedule, model=model, x=x, y=y, epochs=last, initial_epoch=first, **shared)

    phases: list[History] = []
    if initial_epoch < freeze_epochs and not _stopped_after(freeze_epochs, callbacks):
        training = {id(variable) for variable in model.trainable_variables}
        _train_from(len(parts) - 1, model, parts, groups)
        _FROZEN[model] = training - {id(variable) for variable in model.trainable_variables}
        phases.append(run(frozen, freeze_epochs, initial_epoch))
        begin_at_first_epoch(model)
    _train_from(0, model, parts, groups)
    _FROZEN.pop(model, None)
    begin, end = max(initial_epoch, freeze_epochs), freeze_epochs + epochs
    with _appending(callbacks, after=phases):
        phases.append(run(unfrozen, end, begin))
    begin_at_first_epoch(model)
    return _joined(phases)


def _not_frozen_before(model: keras.Model, groups: Groups) -> list[list[keras.Variable]]:
    """The variables of each group, without those that were frozen before, but for a `fine_tune` that died."""
    mine = _FROZEN.get(model, set())
    frozen = {id(each) for each in trained_set.can_train(model) if not each.trainable} - mine
    frozen |= {id(each) for norm in trained_set.batch_norms(model) if not norm.trainable for each in norm.weights}
    divided = resolve_groups(model, groups, variables=trained_set.can_train(model))
    if not mine and is_frozen(model, groups):
        alone = paths(sorted(model.trainable_variables, key=lambda each: all(each is not one for one in divided[-1])))
        meaning = f"its body is frozen already, and what was frozen before stays frozen: {alone} alone will train"
        cure = "Call `unfreeze(model)` first to train all of it, unless you froze it on purpose."
        advise(f"model={model.name}", meaning, cure)
    return [[each for each in group if id(each) not in frozen] for group in divided]


def _train_from(first: int, model: keras.Model, parts: Sequence[list[keras.Variable]], groups: Groups) -> None:
    """Let the groups from `first` on train, without what was frozen before."""
    if any(parts):
        freeze_to(model, sum(map(bool, parts[:first])), groups=[part for part in parts if part])
        DIVIDED[model] = groups  # for a later `freeze`, as if it had been divided by these


def _stopped_after(epochs: int, callbacks: Sequence[Any]) -> bool:
    """Whether a `BackupAndRestore` has the backup of a run that was stopped in its second phase, after `epochs`."""
    backups = [one for one in callbacks if isinstance(one, keras.callbacks.BackupAndRestore)]
    for file in (Path(each.backup_dir) / "training_metadata.json" for each in backups):
        if file.exists():
            where = json.loads(file.read_text(encoding="utf-8"))
            if (where["epoch"], where.get("batch", 0)) > (epochs, 0):  # at the very end of the first one, it is resumed
                return True
    return False


@contextmanager
def _appending(callbacks: Sequence[Any], after: Sequence[History]) -> Iterator[None]:
    """Let a second training add to the files of the first: a `CSVLogger` begins its file anew at each."""
    loggers = [one for one in callbacks if after and isinstance(one, keras.callbacks.CSVLogger) and not one.append]
    for logger in loggers:
        logger.append = True
    try:
        yield
    finally:
        for logger in loggers:
            logger.append = False


def _joined(phases: Sequence[History]) -> History:
    """The last phase's History, with what the others recorded before it."""
    *before, last = phases
    if not before:
        return last
    names = dict.fromkeys(name for phase in phases for name in phase.history)
    # A metric that one phase did not have (a group's rate, say) is not a number there, so that lists stay aligned.
    last.history = {
        name: [value for phase in phases for value in phase.history.get(name, [float("nan")] * len(phase.epoch))]
        for name in names
    }
    last.epoch = [epoch for phase in phases for epoch in phase.epoch]
    last.hps = {name: np.concatenate([phase.hps[name] for phase in phases]) for name in last.hps}
    return last
