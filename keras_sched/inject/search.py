"""A fit that searches for a learning rate: it has no validation and no epochs, and is told each batch's own loss."""

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import keras

from keras_sched.errors import wrong_state
from keras_sched.inject.apply import put, take_away
from keras_sched.inject.building import epoch_iterator
from keras_sched.inject.numbers import as_int
from keras_sched.inject.session import ScheduledFit

# name -> what it is used for, as in names.py.
SEARCH_NAMES = {
    "_async_train": "whether any of the callbacks has a hook for the end of a batch",
    "_distributed_dataset": "the shapes of a batch, without taking one (TensorFlow)",
    "_eval_epoch_iterator": "validation data, from one batch to the next",
    "_get_iterator": "where `fit` takes its batches from, outside the step (PyTorch)",
    "_should_eval": "whether an epoch is followed by validation",
}

# What these keep, write or change belongs to a training run. A user's own callbacks are told of each batch.
_IDLE = tuple(
    kind
    for kind in vars(keras.callbacks).values()
    if isinstance(kind, type)
    and issubclass(kind, keras.callbacks.Callback)
    and kind not in (keras.callbacks.Callback, keras.callbacks.CallbackList, keras.callbacks.LambdaCallback)
)


class SearchedFit:
    """The `fit` that is running, turned into a search; all is undone at the session's end.

    Where `fit` was called by a custom loop with callbacks of its own, only the validation is left out.

    Args:
        session: the session of that fit.
        finder: the callback that searches.
    """

    def __init__(self, session: ScheduledFit, finder: keras.callbacks.Callback) -> None:
        self.session = session
        self.finder = finder
        self._model = session.model
        frame = _fit_frame(session.model)
        self._callbacks: Any = None if frame is None else frame.f_locals.get("callbacks")
        self._data: Any = None if frame is None else frame.f_locals.get("epoch_iterator")
        self._patched: list[tuple[Any, str]] = []
        self._told: keras.callbacks.CallbackList | None = None
        session.searching = True
        session.at_end(self.remove)
        if self._callbacks is not None:
            self._patch(self._callbacks, "on_epoch_begin", self._guarded(self.finder.on_epoch_begin))

    def install(self) -> None:
        """Begin, before the first batch. Until here only our own hooks were changed."""
        if any(owner is self._model for owner, _ in self._patched):
            return
        self._patch(self._model, "_should_eval", lambda *_: False)
        self._one_batch_a_call()
        if self._callbacks is not None:
            self._take_over(self._callbacks)
        if self._data is not None and self.session.backend == "torch":
            own = self._data._get_iterator
            self._patch(self._data, "_get_iterator", lambda: _Guarded(self.session, own()))

    def remove(self) -> None:
        """Give the model and Keras' list of callbacks their own again. Can be done twice."""
        for owner, name in self._patched:
            take_away(owner, name)
        if self._batches_a_call > 1:
            self._model.steps_per_execution = self._batches_a_call

    # What a search asks

    @property
    def of_known_length(self) -> bool:
        """Whether the data says how many batches it has; where not, none is taken that is not needed."""
        return self._data is not None and self._data.data_adapter.num_batches is not None

    @property
    def shapes(self) -> Any:
        """What says of which shapes the batches are, before any was taken (TensorFlow); else `None`."""
        return getattr(self._data, "_distributed_dataset", None)

    def over_ranks(self, loss: Any) -> Any:
        """The mean of a loss over the processes that train together (PyTorch), so that all of them decide alike."""
        if self.session.backend != "torch":
            return loss
        from keras_sched.inject.torch_step import mean_over_ranks

        return mean_over_ranks(loss)

    def steps_taken(self) -> int | None:
        """How many batches the optimizer counts, where it may skip some: those whose scaled gradients overflow."""
        optimizer = self._model.optimizer
        if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return None
        self.attach_state()
        return as_int(optimizer.iterations)

    def validation_logs(self, **data: Any) -> Any:
        """What `evaluate` tells of other data, between two batches."""
        model = self._model
        self.attach_state()
        if getattr(model, "_eval_epoch_iterator", None) is None:  # as `fit` keeps it, from one epoch to the next
            model._eval_epoch_iterator = epoch_iterator(model, steps_per_epoch=None, shuffle=False, **data)
        evaluate: Any = model.evaluate  # Keras' default alone has a type
        logs = evaluate(verbose=0, return_dict=True, _use_cached_eval_dataset=True)
        if self.session.backend == "torch":
            model.train()  # as Keras sets it at an epoch's beginning; `evaluate` has changed it
        return logs

    def attach_state(self) -> None:
        """Let the model's variables have their values, which on JAX are in flight within an epoch."""
        if hasattr(self._model, "jax_state_sync"):
            self._model.jax_state_sync()

    # Inside

    _batches_a_call = 1

    def _patch(self, owner: Any, name: str, value: Any) -> None:
        put(owner, name, value)
        self._patched.append((owner, name))

    def _one_batch_a_call(self) -> None:
        """The losses are needed one by one, and so are the batches."""
        self._batches_a_call = self._model.steps_per_execution
        if self._batches_a_call == 1:
            return
        if self._data is None:
            raise wrong_state(
                f"a model compiled with steps_per_execution={self._batches_a_call}",
                "it looks at the loss of each batch, and here it cannot ask for them one by one",
                "Use `lr_find`, or compile with `steps_per_execution=1`.",
            )
        self._model.steps_per_execution = self._data.steps_per_execution = 1

    def _take_over(self, callbacks: keras.callbacks.CallbackList) -> None:
        others = [one for one in callbacks.callbacks if one is not self.finder and not isinstance(one, _IDLE)]
        if others:
            self._told = keras.callbacks.CallbackList(others)
        hooks = {
            "on_epoch_end": self.finder.on_epoch_end,
            "on_train_batch_begin": self._on_train_batch_begin,
            "on_train_batch_end": self._on_train_batch_end,
            # An epoch's logs, of which there are none, are not handed on.
            "on_train_end": lambda logs=None: type(callbacks).on_train_end(callbacks),  # noqa: ARG005 - Keras names it
        }
        for name, hook in hooks.items():
            self._patch(callbacks, name, self._guarded(hook))

    def _on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._told is not None:
            self._told.on_train_batch_begin(batch, logs)

    def _on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.finder.on_train_batch_end(batch, logs)
        if self._told is not None and not self._told._async_train:
            self._told.on_train_batch_end(batch, logs)

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        """A hook that puts everything back where it dies: nothing else in `fit` would, on most backends."""

        def guarded(*arguments: Any, **named: Any) -> None:
            with self.session.ended_by_errors():
                hook(*arguments, **named)

        return guarded


class _Guarded:
    """Data which, when it dies outside the step, puts everything back first."""

    def __init__(self, session: ScheduledFit, batches: Any) -> None:
        self.session = session
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        with self.session.ended_by_errors():
            batches = iter(self.batches)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except BaseException:
                self.session.end()
                raise
            yield batch


def _fit_frame(model: keras.Model) -> FrameType | None:
    """Where Keras' own `fit` of `model` is running in this thread, with its list of callbacks and its data."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals
        if frame.f_code.co_name == "fit" and found.get("self") is model and "epoch_iterator" in found:
            return frame
        frame = frame.f_back
    return None
