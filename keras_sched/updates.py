"""Whether the updates of a fit are those that its schedule was made for: as many in each batch, and at least one."""

import keras

from keras_sched.errors import wrong_state
from keras_sched.step import InnerOptimizer, ScheduledFit, backend
from keras_sched.step.numbers import as_int


def check_used(fit: ScheduledFit) -> None:
    """Raise a `RuntimeError` where no update has taken a value of an optimizer that is scheduled."""
    for inner in fit.scheduled():
        if inner.override is not None and not inner.override.used and not inner.may_be_idle:
            _refuse_idle(inner, fit.model, searching=fit.searching is not None)


def check_updates(fit: ScheduledFit) -> None:
    """At an epoch's end: refuse an optimizer that has not stepped, or not as often in each batch."""
    if fit.searching is not None or fit.step is None:
        return
    step = fit.step
    for inner in fit.scheduled():
        updates, ran = inner.epochs[-1] if inner.epochs else (0, 0)
        if not ran or inner.may_be_idle or updates < 0:
            continue
        check_used(fit)
        if not any(count for count, _ in inner.epochs):
            _refuse_idle(inner, fit.model, searching=False)
        batches = updates // inner.per_batch
        # The last call may run fewer; Keras 3.15 on TensorFlow trains once more where a generator ends.
        enough = ran - step.batches < batches <= ran + step.batches
        if step.uneven or updates % inner.per_batch or (updates and not enough):
            expected = "a schedule has one row a batch, so each batch has to make the same number of updates"
            cure = "Apply the optimizer in each batch, or compile with `gradient_accumulation_steps=`."
            raise wrong_state(f"the optimizer `{inner.name}` with {updates} updates in {ran} batches", expected, cure)


def _refuse_idle(inner: InnerOptimizer, model: keras.Model, *, searching: bool) -> None:
    backend().attach_state(model)
    optimizers = {name: each for name, each in vars(model).items() if isinstance(each, keras.Optimizer)}
    stepped = [f"model.{name}" for name, each in optimizers.items() if as_int(each.iterations)]
    listed = ", ".join(f"`{name}`" for name in stepped) or "none"
    expected = f"a schedule goes by its optimizer's steps; the model's optimizers that made updates: {listed}"
    example = next(iter(stepped), "model.d_optimizer")
    cure = f"Pass the optimizer that your `train_step` applies, for example `optimizer={example}`, after any `freeze`."
    if searching:
        cure = f"A search is for the optimizer that the model was compiled with: compile with `{example}`."
    raise wrong_state(f"the optimizer `{inner.name}` without one update that took a scheduled value", expected, cure)
