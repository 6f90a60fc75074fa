"""The candidates of a round as tasks of an executor: each in a process that has its own copy of the model."""

import copy
import multiprocessing
import pickle
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from typing import Any

from keras_sched.errors import advise, wrong_type
from keras_sched.snapshot import Snapshot
from keras_sched.step import travel
from keras_sched.sweeps.found import WORKER_DIED
from keras_sched.sweeps.train import NOTE, Job, Trainer, said_of
from keras_sched.sweeps.watch import Outcome

_TRAINERS: dict[str, Trainer] = {}  # in a worker: that of the sweep which came last
_ONE_AT_A_TIME = threading.Lock()  # a worker of Dask's may run tasks in several threads


class Workers:
    """Trains candidates on an executor.

    Args:
        executor: any `concurrent.futures.Executor`.
        job: what is trained.
    """

    def __init__(self, executor: Executor, job: Job) -> None:
        self._executor = executor
        self._key = str(uuid.uuid4())
        self._packed = _pickled(job)
        self._broken = False

    def train(self, candidates: list[dict[str, Any]], epochs: int) -> Iterator[Outcome]:
        """Each candidate's outcome, in their order. A worker that died costs its candidate one retry."""
        if self._broken:
            yield from (self._alone(each, epochs, retry=True) for each in candidates)
            return
        futures = [self._submit(self._executor, each, epochs) for each in candidates]
        try:
            for candidate, future in zip(candidates, futures, strict=True):
                yield self._result(future) or self._again(candidate, epochs)
        finally:
            for future in filter(None, futures):
                future.cancel()

    def _submit(self, executor: Executor, candidate: dict[str, Any], epochs: int) -> "Future[Outcome] | None":
        """The future; `None` where the executor takes no more tasks since one of its workers has died."""
        try:
            return executor.submit(train_there, self._key, self._packed, candidate, epochs)
        except BrokenExecutor:
            return None

    def _again(self, candidate: dict[str, Any], epochs: int) -> Outcome:
        """The retry: on the executor, or where that takes no more tasks in a process of its own."""
        future = None if self._broken else self._submit(self._executor, candidate, epochs)
        if future is not None:
            return self._result(future) or Outcome(ended=WORKER_DIED)
        if not self._broken:
            self._broken = True
            meaning = "one of its workers has died, and it takes no more tasks: a new process trains each candidate now"
            cure = "Give the workers more memory, or begin fewer of them."
            advise(f"executor={type(self._executor).__name__}(...)", meaning, cure)
        return self._alone(candidate, epochs)

    def _alone(self, candidate: dict[str, Any], epochs: int, *, retry: bool = False) -> Outcome:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            found = self._result(self._submit(alone, candidate, epochs))
        if found is None and retry:
            return self._alone(candidate, epochs)
        return found or Outcome(ended=WORKER_DIED)

    @staticmethod
    def _result(future: "Future[Outcome] | None") -> Outcome | None:
        """What the task returned; `None` where its worker died. An error of the training itself is raised."""
        error = None if future is None else future.exception()
        if future is not None and error is None:
            return future.result()
        if error is not None and any(NOTE in note for note in getattr(error, "__notes__", ())):
            raise error
        return None


def train_there(key: str, packed: bytes, candidate: dict[str, Any], epochs: int) -> Outcome:
    """The task: train one candidate in a worker, which keeps the model, and its compiled step, for the next one."""
    with _ONE_AT_A_TIME, said_of(candidate):
        if key not in _TRAINERS:
            _TRAINERS.clear()
            job, state = pickle.loads(packed)  # noqa: S301 - packed by the sweep that sent it
            if state["looked"]:
                job.model.evaluate(**copy.deepcopy(job.data()), steps=1, verbose=0)
            travel.unpack(job.model, state)
            snapshot = Snapshot(job.model, None, None if callable(job.x) else job.x)
            snapshot.take()
            _TRAINERS[key] = Trainer(job, snapshot)
        return _TRAINERS[key].train(candidate, epochs)


def _pickled(job: Job) -> bytes:
    try:
        return pickle.dumps((job, travel.pack(job.model)))
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        expected = "an executor's workers get the model, the data and the callbacks in pickled form"
        cure = "Pass arrays, or a function of a module that makes the data: `sweep(model, make_data, executor=...)`."
        raise wrong_type(f"something that cannot be pickled ({error})", expected, cure) from error
