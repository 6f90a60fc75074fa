"""`LogHyperParameters`: every batch's values, written at each epoch's end."""

import contextlib
import csv
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from keras_sched.callbacks.base import Callback
from keras_sched.errors import needing, shown, speaking_as, wrong_state, wrong_type, wrong_value
from keras_sched.step import InnerOptimizer, ScheduledFit

Columns = dict[str, tuple[range, list[float]]]
"""{name: the batches of an epoch, counted from epoch 0, and a value for each}."""
Rows = Iterable[tuple[int, dict[str, float]]]


def prefix(fit: ScheduledFit, inner: InnerOptimizer) -> str:
    """What the values of one of several optimizers are told apart by in the logs."""
    if len(fit.scheduled()) == 1:
        return ""
    found = [name for name, each in vars(fit.model).items() if each is inner.optimizer]
    return f"{next(iter(found), inner.name)}_"


class LogHyperParameters(Callback):
    """Write the hyper-parameters of every batch to TensorBoard, to a CSV file, or to anything else.

    It stands beside the callbacks that schedule, before or after them, and writes at each epoch's end: one row per
    batch, whose `step` is the batch counted from epoch 0. It does nothing while batches run.

    Args:
        to: a folder, for TensorBoard's event files (the package `tensorboard` writes them; TensorFlow is not needed);
            a path that ends in `.csv`, for a table with the columns `step`, `epoch` and one for each name; or a
            function `(step, {name: value})`, which is called once per batch. Names are those of `ParamScheduler.hps`;
            a value for each parameter group is `name_0`, `name_1`, ..., and of several optimizers each has its own
            prefix. A fit that begins at a later epoch adds to the CSV file, in the place of what it had from there on.

    Raises:
        TypeError, ValueError: when `to` is none of these.
        ImportError: when `to` is a folder and `tensorboard` is not installed.
        RuntimeError: before the first batch, when no callback of the fit schedules anything.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import LogHyperParameters, WarmupLinear
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> log = LogHyperParameters(lambda step, values: print(step, values))
        >>> callbacks = [WarmupLinear(0.5, warmup=1), log]
        >>> history = model.fit(np.ones((6, 3)), np.ones(6), batch_size=2, verbose=0, callbacks=callbacks)
        0 {'lr': 0.0}
        1 {'lr': 0.5}
        2 {'lr': 0.25}
    """

    def __init__(self, to: str | os.PathLike[str] | Callable[[int, dict[str, float]], Any]) -> None:
        super().__init__()
        with speaking_as(type(self).__name__):
            self.to = _checked(to)
        self._counts: dict[InnerOptimizer, int] = {}  # of each optimizer's updates, when the epoch began
        self._writer: _Table | _Events | _Calls | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: nothing of a fit."""
        return super().__getstate__() | {"_counts": {}, "_writer": None}

    # Keras' hooks; none of them is called once a batch

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin anew, also after a fit that died."""
        self._counts, self._writer = {}, None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note where the epoch begins."""
        with self._hook() as fit:
            used = [each for each in fit.scheduled() if each.in_use]
            self._counts = {each: each.count() or 0 for each in used or fit.scheduled()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's values."""
        with self._hook() as fit:
            fit.end_epoch()
            columns = self._columns(fit)
            if columns:
                self._writer = self._writer or _writer(self.to, columns, epoch)
                self._writer.write(_rows(columns), epoch)

    def on_train_end(self, logs: Any = None) -> None:
        """Let go of the fit and the model."""
        self._counts = {}
        self.set_model(None)

    # Inside

    def _running(self) -> ScheduledFit:
        model: Any = self.model
        fit = ScheduledFit.running(model)
        if fit is not None and fit.alive and fit.scheduled():
            return fit
        expected = "it writes what the callbacks that schedule have used"
        cure = "Put one beside it, for example `callbacks=[OneCycle(1e-2), LogHyperParameters(...)]`."
        raise wrong_state("a fit in which nothing is scheduled", expected, cure)

    def _columns(self, fit: ScheduledFit) -> Columns:
        """What the epoch that ends has used."""
        columns: Columns = {}
        for inner, before in self._counts.items():
            last = inner.first_row  # of the coming batch
            batches = range(last - (inner.first_count - before) // inner.per_batch, last)
            used = [(plan, *each) for plan in inner.plans for each in plan.names.items()] if batches else []
            for plan, attribute, name in used:
                key, values = f"{prefix(fit, inner)}{name}", inner.table.values(attribute, batches).T.tolist()
                of_groups = {f"{key}_{group}": values[group] for group in range(len(values))}
                shown = of_groups if attribute in plan.grouped else {key: values[0]}
                columns |= {one: (batches, column) for one, column in shown.items()}
        return columns


def _first(columns: Columns) -> int:
    return min(batches.start for batches, _ in columns.values())


def _rows(columns: Columns) -> Rows:
    """Each batch, and its values by name."""
    for step in range(_first(columns), max(batches.stop for batches, _ in columns.values())):
        yield step, {key: values[step - of.start] for key, (of, values) in columns.items() if step in of}


class _Calls:
    """A function that is called once per batch."""

    def __init__(self, function: Callable[[int, dict[str, float]], Any]) -> None:
        self.function = function

    def write(self, rows: Rows, epoch: int) -> None:
        for step, values in rows:
            self.function(step, values)


class _Table:
    """A CSV file; what is in it already is kept up to the first step of a fit that begins at a later epoch."""

    def __init__(self, path: Path, columns: Columns, epoch: int) -> None:
        self.path = path
        old: list[Mapping[str, Any]] = []
        if epoch and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                old = [row for row in csv.DictReader(file) if int(row["step"]) < _first(columns)]
        self.names = list(dict.fromkeys(["step", "epoch", *(old[0] if old else ()), *columns]))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self.names)
            table.writeheader()
            table.writerows(old)

    def write(self, rows: Rows, epoch: int) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self.names)
            table.writerows({"step": step, "epoch": epoch, **values} for step, values in rows)


class _Events:
    """A file of TensorBoard's; one that goes on at a later epoch has TensorBoard forget what others had from there."""

    def __init__(self, folder: Path, columns: Columns, epoch: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() / 1e9:.6f}.{socket.gethostname()}.{os.getpid()}.keras_sched"
        self.path = folder / name
        self.proto = import_module("tensorboard.compat.proto.event_pb2")
        self.summary = import_module("tensorboard.compat.proto.summary_pb2").Summary
        self.record = import_module("tensorboard.summary.writer.record_writer").RecordWriter
        start = {"step": _first(columns), "session_log": self.proto.SessionLog(status=self.proto.SessionLog.START)}
        self._add([{"file_version": "brain.Event:2"}, *([start] if epoch else [])])

    def write(self, rows: Rows, epoch: int) -> None:
        value = self.summary.Value
        summaries = ((step, [value(tag=name, simple_value=one) for name, one in of.items()]) for step, of in rows)
        self._add({"step": step, "summary": self.summary(value=values)} for step, values in summaries)

    def _add(self, events: Iterable[dict[str, Any]]) -> None:
        with self.path.open("ab") as file:
            record = self.record(file)
            for event in events:
                record.write(self.proto.Event(wall_time=time.time(), **event).SerializeToString())
            record.flush()


def _checked(to: Any) -> Any:
    if callable(to):
        with contextlib.suppress(ValueError):  # of what has no signature
            try:
                signature(to).bind(0, {})
            except TypeError as error:
                expected = "it is called with a step and a dictionary of its values"
                raise wrong_type(f"to={shown(to)}", expected, "Pass for example `lambda step, values: ...`.") from error
        return to
    if not isinstance(to, str | os.PathLike):
        expected = "it must be a folder, a path that ends in `.csv`, or a function of a step and its values"
        raise wrong_type(f"to={shown(to)}", expected, "Pass for example `to='hyper_parameters.csv'`.")
    path = Path(to)
    if path.suffix.lower() in {".txt", ".tsv", ".json", ".jsonl", ".log"}:
        expected = "it must be a path that ends in `.csv`, or a folder for TensorBoard's files"
        raise wrong_value(f"to={shown(to)}", expected, f"Pass `to={str(path.with_suffix('.csv'))!r}`.")
    if path.suffix.lower() != ".csv":
        if path.is_file():
            expected = "it must be a folder for TensorBoard's files, and this is a file"
            raise wrong_value(f"to={shown(to)}", expected, "Pass a folder, or a path that ends in `.csv`.")
        with needing("tensorboard"):
            import_module("tensorboard")
    return path


def _writer(to: Any, columns: Columns, epoch: int) -> _Table | _Events | _Calls:
    if not isinstance(to, Path):
        return _Calls(to)
    return (_Table if to.suffix.lower() == ".csv" else _Events)(to, columns, epoch)
