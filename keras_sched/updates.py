"""Whether the updates of a fit are those that its schedule was made for: as many in each batch, and at least one."""

from functools import partial

import keras

from keras_sched.errors import speaker, speaking_as, wrong_state
from keras_sched.hypers import innermost
from keras_sched.step import ScheduledFit


def watch_updates(fit: ScheduledFit) -> None:
    """Let the step refuse an optimizer of which no update takes a value: before a batch, where it is compiled."""
    own = {name: each for name, each in vars(fit.model).items() if isinstance(each, keras.Optimizer)}
    for inner in fit.scheduled():
        if inner.override is not None and not inner.may_be_idle:
            others = [f"model.{name}" for name, each in own.items() if inner.optimizer not in (each, *innermost(each))]
            inner.override.idle = partial(_refuse_idle, speaker(), inner.name, others, fit.searching is not None)


def check_updates(fit: ScheduledFit) -> None:
    """At an epoch's end: refuse an optimizer that has not stepped, or not as often in each batch."""
    if fit.searching is not None or (step := fit.step) is None:
        return
    for inner in fit.scheduled():
        updates, ran = inner.epochs[-1] if inner.epochs else (0, 0)
        if not ran or inner.may_be_idle or updates < 0:
            continue
        batches = updates // inner.per_batch
        # The last call may run fewer; Keras 3.15 on TensorFlow trains once more where a generator ends.
        enough = ran - step.batches < batches <= ran + step.batches or (
            not updates and any(count for count, _ in inner.epochs)
        )
        if step.uneven or updates % inner.per_batch or not enough:
            expected = "a schedule has one row a batch, so each batch has to make the same number of updates"
            cure = "Apply the optimizer in each batch, or compile with `gradient_accumulation_steps=`."
            raise wrong_state(f"the optimizer `{inner.name}` with {updates} updates in {ran} batches", expected, cure)


def _refuse_idle(who: str, name: str, others: list[str], searching: bool) -> None:
    listed, example = ", ".join(f"`{other}`" for other in others) or "none", next(iter(others), "model.d_optimizer")
    expected = f"a schedule goes by its optimizer's steps; the model's other optimizers: {listed}"
    cure = f"After any `freeze` pass one that each batch of your `train_step` applies, such as `optimizer={example}`."
    if searching:
        cure = f"A search is for the optimizer that the model was compiled with: compile with `{example}`."
    with speaking_as(who):
        raise wrong_state(f"the optimizer `{name}` without one update that took a scheduled value", expected, cure)
