"""`LogHyperParameters`: what every batch used, in TensorBoard's files, in a CSV file, or by a function."""

import copy
import csv
import itertools
import pickle
import struct
import sys

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, data, fit, mlp
from runs import Dies, face

from keras_sched import (
    LogHyperParameters,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedLin,
    SchedNo,
    WarmupLinear,
    fine_tune,
    fit_one_cycle,
)

EPOCHS = 3
N = EPOCHS * BATCHES
# Keras refuses more than one on PyTorch.
SEVERAL_AT_ONCE = {"steps_per_execution": 1 if keras.backend.backend() == "torch" else 2}


def written(callbacks, model=None, epochs=EPOCHS, **arguments):
    """What a log beside these callbacks is given; `None` among them is its place."""
    rows = []
    log = LogHyperParameters(lambda step, values: rows.append((step, values)))
    fit(model or mlp("adam"), [log if each is None else each for each in callbacks], epochs, **arguments)
    return rows


class StopsAt(keras.callbacks.Callback):
    """Ends the fit after one of its batches."""

    def __init__(self, last):
        super().__init__()
        self.last = last

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = batch == self.last


def table(path):
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def events(folder):
    """Every event of TensorBoard's files: records of a length, a checksum, the event and a checksum."""
    proto = pytest.importorskip("tensorboard.compat.proto.event_pb2")
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        left = path.read_bytes()
        while left:
            (length,) = struct.unpack("<Q", left[:8])
            found.append(proto.Event.FromString(left[12 : 12 + length]))
            left = left[16 + length :]
    return found


# What is written


@pytest.mark.parametrize("log_first", [True, False], ids=["before the scheduler", "after it"])
def test_every_batch_has_its_row(log_first):
    cycle = OneCycle(0.1)
    rows = written([None, cycle] if log_first else [cycle, None])
    assert [step for step, _ in rows] == list(range(N))
    assert {name: [values[name] for _, values in rows] for name in rows[0][1]} == {
        name: used.tolist() for name, used in cycle.hps.items()
    }


def test_names_are_those_that_were_given():
    rows = written([ParamScheduler({"learning_rate": SchedNo(0.5, 0), "sqr_mom": SchedNo(0.25, 0)}), None])
    assert rows == [(step, {"learning_rate": 0.5, "sqr_mom": 0.25}) for step in range(N)]


def test_each_group_has_its_own_name():
    rows = written([ParamScheduler({"lr": [SchedNo(0.25, 0), SchedNo(0.5, 0)], "mom": SchedNo(0.75, 0)}), None])
    assert rows[-1] == (N - 1, {"lr_0": 0.25, "lr_1": 0.5, "mom": 0.75})


def test_several_schedulers_share_the_rows_wherever_the_log_stands():
    rates, momenta = ParamScheduler({"lr": SchedLin(1.2, 0)}), ParamScheduler({"mom": SchedLin(0.6, 0)})
    rows = written([rates, None, momenta])
    np.testing.assert_allclose([values["lr"] for _, values in rows], 1.2 - np.arange(N) / 10)
    np.testing.assert_allclose([values["mom"] for _, values in rows], 0.6 - np.arange(N) / 20)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has it since 3.15")
def test_several_optimizers_are_told_apart_as_in_the_logs():
    body, head = keras.optimizers.SGD(0.125, name="body_sgd"), keras.optimizers.SGD(0.25, name="head_sgd")
    multi = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(head, {".*body/.*": body}))
    rows = written([None, ParamScheduler({"lr": [SchedNo(0.5, 0), SchedNo(0.25, 0)]}, groups=2)], mlp(multi), 1)
    both = {"lr_0": 0.5, "lr_1": 0.25}
    assert rows[0][1] == {f"{one}_sgd_{name}": rate for one in ("body", "head") for name, rate in both.items()}


def test_a_resumed_fit_counts_from_epoch_nought():
    rows = written([WarmupLinear(4.0, warmup=4), None], initial_epoch=1)
    assert [(step, values["lr"]) for step, values in rows][:3] == [(4, 4.0), (5, 3.5), (6, 3.0)]
    assert len(rows) == N - BATCHES


@pytest.mark.parametrize("log_first", [True, False])
def test_an_epoch_of_unknown_length_has_its_rows(log_first):
    rows = []
    log, rates = (
        LogHyperParameters(lambda *row: rows.append(row)),
        ParamScheduler({"lr": SchedLin(1, 0)}, total_steps=N),
    )
    callbacks = [log, rates] if log_first else [rates, log]
    x, y = data()
    endless = itertools.repeat((x[:BATCH], y[:BATCH]))
    mlp("sgd").fit((batch for batch in endless), shuffle=False, verbose=0, callbacks=[*callbacks, StopsAt(6)])
    assert rows == [(step, {"lr": 1 - step / N}) for step in range(7)]


@pytest.mark.parametrize("arguments", [SEVERAL_AT_ONCE, {"run_eagerly": True, "jit_compile": False}])
def test_the_rows_are_the_batches_in_other_modes_too(arguments):
    cycle = OneCycle(0.1)
    rows = written([None, cycle], mlp("adam", **arguments))
    assert [values["lr"] for _, values in rows] == cycle.hps["lr"].tolist()


def test_updates_that_wait_for_others_have_rows_too():
    cycle = OneCycle(0.1)
    rows = written([None, cycle], mlp(keras.optimizers.Adam(0.1, gradient_accumulation_steps=2)))
    assert [values["lr"] for _, values in rows] == cycle.hps["lr"].tolist()


def test_a_step_which_the_loss_scale_skips_has_no_row():
    x, y = data()
    x[BATCH] = np.inf  # in batch 1 of each epoch
    rows = []
    log, rates = LogHyperParameters(lambda step, values: rows.append((step, values["lr"]))), OneCycle(0.1)
    model = mlp(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.1)))
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[log, rates])
    assert [step for step, _ in rows] == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert [rate for _, rate in rows] == rates.hps["lr"].tolist()


def test_a_fit_that_ends_early_has_the_rows_of_its_batches():
    rows = written([WarmupLinear(0.1), None, StopsAt(1)])
    assert [step for step, _ in rows] == [0, 1]


def test_it_works_in_a_helper_and_in_both_phases_of_fine_tuning(tmp_path):
    x, y = data()
    path = tmp_path / "log.csv"
    history = fit_one_cycle(
        mlp("adam"), x, y, epochs=2, batch_size=BATCH, verbose=0, callbacks=LogHyperParameters(path)
    )
    assert [row["lr"] for row in table(path)] == history.hps["lr"].tolist()
    history = fine_tune(mlp("adam"), x, y, epochs=2, batch_size=BATCH, verbose=0, callbacks=[LogHyperParameters(path)])
    rows = table(path)
    assert [row["epoch"] for row in rows] == np.repeat([0, 1, 2], BATCHES).tolist()
    assert [[row["lr_0"], row["lr_1"]] for row in rows] == history.hps["lr"].tolist()


# CSV


def test_a_csv_file_has_a_row_for_each_batch(tmp_path):
    path = tmp_path / "new" / "log.csv"
    fit(mlp("adam"), [WarmupLinear(4.0, warmup=4), LogHyperParameters(path)], EPOCHS)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["step,epoch,lr", "0,0,0.0", "1,0,1.0"]
    assert table(path)[-1] == {"step": 11, "epoch": 2, "lr": pytest.approx(0.5)}
    assert len(lines) == 1 + N


def test_a_fit_from_the_beginning_begins_the_file_anew(tmp_path):
    log = LogHyperParameters(str(tmp_path / "log.csv"))
    for _ in range(2):
        fit(mlp("adam"), [WarmupLinear(0.1), log], EPOCHS)
        assert len(table(tmp_path / "log.csv")) == N


def test_a_resumed_run_is_one_table(tmp_path):
    whole, path = tmp_path / "whole.csv", tmp_path / "log.csv"
    fit(mlp("adam"), [OneCycle(0.1), LogHyperParameters(whole)], EPOCHS)
    with pytest.raises(KeyboardInterrupt):
        fit(mlp("adam"), [LogHyperParameters(path), OneCycle(0.1), Dies("on_epoch_end", KeyboardInterrupt())], EPOCHS)
    assert len(table(path)) == 2 * BATCHES  # the second epoch, which the next run repeats, is in it
    fit(mlp("adam"), [LogHyperParameters(path), OneCycle(0.1)], EPOCHS, initial_epoch=1)
    assert path.read_text() == whole.read_text()


def test_a_resumed_run_may_have_other_columns(tmp_path):
    path = tmp_path / "log.csv"
    fit(mlp("adam"), [ParamScheduler({"lr": SchedNo(0.5, 0)}, total_steps=N), LogHyperParameters(path)], 1)
    fit(mlp("adam"), [ParamScheduler({"mom": SchedNo(0.5, 0)}), LogHyperParameters(path)], 2, initial_epoch=1)
    lines = path.read_text().splitlines()
    assert lines[0] == "step,epoch,lr,mom"
    assert (lines[1], lines[-1]) == ("0,0,0.5,", "7,1,,0.5")


def test_the_same_callback_begins_anew_after_a_fit_that_died(tmp_path):
    log = LogHyperParameters(tmp_path / "log.csv")
    with pytest.raises(KeyboardInterrupt):
        fit(mlp("adam"), [WarmupLinear(0.1), log, Dies("on_epoch_end", KeyboardInterrupt())], EPOCHS)
    fit(mlp("adam"), [WarmupLinear(0.1), log], 1)
    assert [row["step"] for row in table(tmp_path / "log.csv")] == [0, 1, 2, 3]


# TensorBoard


def test_tensorboard_has_a_scalar_for_each_batch_and_name(tmp_path):
    pytest.importorskip("tensorboard")
    cycle = OneCycle(0.1)
    fit(mlp("adam"), [LogHyperParameters(tmp_path / "logs"), cycle], EPOCHS)
    first, *found = events(tmp_path / "logs")
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in found] == list(range(N))
    for name, used in cycle.hps.items():
        values = [{each.tag: each.simple_value for each in event.summary.value}[name] for event in found]
        assert values == used.astype("float32").tolist()


def test_tensorboard_is_told_from_which_step_on_a_resumed_run_goes_on(tmp_path):
    pytest.importorskip("tensorboard")
    for first in (0, 1):
        fit(mlp("adam"), [OneCycle(0.1), LogHyperParameters(tmp_path)], 2, initial_epoch=first)
    starts = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert starts == [BATCHES]


def test_tensorboards_files_need_no_tensorflow(run_script):
    pytest.importorskip("tensorboard")
    printed = run_script("""
        import sys, tempfile
        before = "tensorflow" in sys.modules
        import keras, numpy as np
        from keras_sched import LogHyperParameters, OneCycle
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        without = "tensorflow" not in sys.modules
        log = LogHyperParameters(tempfile.mkdtemp())
        model.fit(np.ones((4, 3)), np.ones(4), verbose=0, callbacks=[OneCycle(0.1), log])
        print(without and "tensorflow" in sys.modules)
    """)
    assert printed.split() == ["False"]


def test_without_tensorboard_a_folder_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"`LogHyperParameters` needs tensorboard.*`pip install tensorboard`"):
        LogHyperParameters(tmp_path)


# Wrong uses, and what is left behind


def test_a_fit_without_a_schedule_is_an_error_before_its_first_batch():
    model = mlp("sgd")
    weights = model.get_weights()
    with pytest.raises(RuntimeError, match=r"nothing is scheduled.*callbacks=\[OneCycle\(1e-2\), LogHyperParameters"):
        fit(model, [LogHyperParameters(print)], 1)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


def test_the_schedule_of_an_earlier_fit_is_none_of_this_one():
    model = mlp("adam")
    fit(model, [OneCycle(0.1), LogHyperParameters(lambda *_: None)], 1)
    with pytest.raises(RuntimeError, match="nothing is scheduled"):
        fit(model, [LogHyperParameters(print)], 1)


@pytest.mark.parametrize("to", [None, 3, ["log.csv"]])
def test_what_nothing_can_be_written_to_is_refused(to):
    with pytest.raises(TypeError, match=r"`LogHyperParameters` received `to=.*function of a step"):
        LogHyperParameters(to)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "log.txt").write_text("")
    with pytest.raises(ValueError, match=r"log\.txt.*a path that ends in `\.csv`"):
        LogHyperParameters(tmp_path / "log.txt")


def test_a_function_that_fails_ends_the_fit_without_a_trace():
    def fails(step, values):
        raise OSError("disk full")

    model = mlp("adam")
    before = face(model.optimizer)
    with pytest.raises(OSError, match="disk full"):
        fit(model, [LogHyperParameters(fails), OneCycle(0.1)], EPOCHS)
    after = face(model.optimizer)
    assert after["attribute beta_1"] == before["attribute beta_1"]
    assert after["learning_rate"] == before["learning_rate"]
    assert model.optimizer.apply.__func__ is keras.optimizers.Adam.apply


def test_it_has_no_hook_for_batches():
    hooks = ["on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"]
    assert all(getattr(LogHyperParameters, hook) is getattr(keras.callbacks.Callback, hook) for hook in hooks)


@pytest.mark.parametrize("used", [False, True])
def test_it_is_a_value(used, tmp_path):
    log = LogHyperParameters(str(tmp_path / "log.csv"))
    if used:
        fit(mlp("adam"), [ParamScheduler({"lr": SchedCos(0.1, 0)}), log], 1)
    for other in (copy.deepcopy(log), pickle.loads(pickle.dumps(log))):  # noqa: S301
        assert repr(other) == repr(log) == f"LogHyperParameters({str(tmp_path / 'log.csv')!r})"
        fit(mlp("adam"), [OneCycle(0.1), other], 1)
        assert len(table(tmp_path / "log.csv")) == BATCHES
