"""A scheduled fit beside Keras' own callbacks and a user's, in any order."""

import contextlib
import csv
import itertools
from pathlib import Path

import keras
import numpy as np
import pytest
from oracle import BATCHES, data, eager, fit, largest_difference
from runs import Bench, state

from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin, SchedNo

EPOCHS = 3
N = EPOCHS * BATCHES
TOLERANCE = 2e-5
EITHER_SIDE = pytest.mark.parametrize("ours_first", [True, False], ids=["after ours", "before ours"])


def adam():
    return keras.optimizers.Adam(0.01)


@pytest.fixture(scope="module")
def bench():
    return Bench(adam())


@pytest.fixture
def model(bench):
    return bench.again()


def scheduled():
    return ParamScheduler({"lr": SchedCos(0.1, 0.02), "mom": SchedLin(0.95, 0.8)})


def values():
    return SchedCos(0.1, 0.02)(np.arange(N) / N), SchedLin(0.95, 0.8)(np.arange(N) / N)


def beside(ours, other, ours_first):
    return [ours, other] if ours_first else [other, ours]


def rate_of(model):
    return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))


def on(hook, function):
    """A user's own callback: `function(model, index)` in one hook."""

    class Own(keras.callbacks.Callback):
        pass

    own = Own()
    setattr(own, hook, lambda index=None, logs=None: function(own.model, index))
    return own


# Callbacks that only look on


@pytest.fixture(scope="module")
def undisturbed(bench):
    """What weights and optimizer hold after the schedule alone, and its values."""
    ours = scheduled()
    fit(bench.again(), [ours], EPOCHS, validation_data=data(1))
    return state(bench.model), ours.hps


def lookers_on(folder):
    callbacks = keras.callbacks
    return {
        "EarlyStopping": callbacks.EarlyStopping("loss", patience=5),
        "ModelCheckpoint": callbacks.ModelCheckpoint(folder / "{epoch}.keras"),
        "ModelCheckpoint each 3 batches": callbacks.ModelCheckpoint(folder / "{epoch}_{batch}.keras", save_freq=3),
        "BackupAndRestore": callbacks.BackupAndRestore(str(folder / "backup")),
        "BackupAndRestore each 3 batches": callbacks.BackupAndRestore(str(folder / "backup"), save_freq=3),
        "CSVLogger": callbacks.CSVLogger(str(folder / "log.csv")),
        "TerminateOnNaN": callbacks.TerminateOnNaN(),
        "LambdaCallback": callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        "ReduceLROnPlateau in vain": callbacks.ReduceLROnPlateau("loss", patience=50),
        "LearningRateScheduler in vain": callbacks.LearningRateScheduler(lambda epoch, rate: rate),
        "History": callbacks.History(),
        "ProgbarLogger": callbacks.ProgbarLogger(),
    }


@EITHER_SIDE
@pytest.mark.parametrize("name", lookers_on(Path()))
def test_a_callback_that_only_looks_on_changes_nothing(model, undisturbed, tmp_path, name, ours_first, capsys):
    ours = scheduled()
    fit(model, beside(ours, lookers_on(tmp_path)[name], ours_first), EPOCHS, validation_data=data(1))
    expected, hps = undisturbed
    assert all(a.tobytes() == b.tobytes() for a, b in zip(expected, state(model), strict=True))
    assert (ours.hps["lr"] == hps["lr"]).all()
    capsys.readouterr()


def test_all_of_them_at_once_in_several_orders(model, bench, undisturbed, tmp_path, capsys):
    expected, _ = undisturbed
    for number, step in enumerate((1, 5, 7)):
        folder = tmp_path / str(number)
        folder.mkdir()
        others = lookers_on(folder)
        others.pop("BackupAndRestore each 3 batches")  # one of the two: they share a folder
        callbacks = [scheduled(), *others.values()]
        callbacks = [callbacks[i * step % len(callbacks)] for i in range(len(callbacks))]
        fit(bench.again(), callbacks, EPOCHS, validation_data=data(1))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(expected, state(model), strict=True))
    capsys.readouterr()


PLATEAU = {"monitor": "loss", "factor": 0.5, "patience": 0, "min_delta": 100.0}  # each epoch is one


@EITHER_SIDE
def test_a_checkpoint_has_the_compiled_rate_also_right_after_a_write(model, tmp_path, ours_first):
    others = [keras.callbacks.ReduceLROnPlateau(**PLATEAU), keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")]
    ours = scheduled()
    fit(model, [ours, *(others if ours_first else others[::-1])], EPOCHS)
    assert ours.hps["lr"][-1] == pytest.approx(values()[0][-1] / 2)
    saved = [keras.models.load_model(tmp_path / f"{epoch}.keras") for epoch in range(1, EPOCHS + 1)]
    assert [rate_of(each) for each in saved] == pytest.approx([0.01] * EPOCHS, rel=1e-6)
    assert rate_of(model) == pytest.approx(0.01, rel=1e-6)


@EITHER_SIDE
def test_a_backup_goes_on_with_the_schedule_as_planned_whatever_was_reduced(tmp_path, ours_first):
    def others():
        both = [keras.callbacks.ReduceLROnPlateau(**PLATEAU), keras.callbacks.BackupAndRestore(str(tmp_path))]
        return both if ours_first else both[::-1]

    def die(model, epoch):
        if epoch == EPOCHS - 1:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(Bench(adam()).model, [scheduled(), *others(), on("on_epoch_begin", die)], EPOCHS)
    ours = scheduled()
    fit(Bench(adam()).model, [ours, *others()], EPOCHS)  # another one, as in a new process
    np.testing.assert_allclose(ours.hps["lr"], values()[0][-BATCHES:], rtol=1e-6)


# What is logged


def logged_beside(model, file, ours_first):
    """What a log file, a user's own callback and the history have of each epoch."""
    own = []
    others = [
        keras.callbacks.CSVLogger(str(file)),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: own.append(dict(logs))),
    ]
    callbacks = [scheduled(), *others] if ours_first else [*others, scheduled()]
    history = fit(model, callbacks, EPOCHS, validation_data=data(1)).history
    rows = list(csv.DictReader(file.read_text().splitlines()))
    return rows, own, [dict(zip(history, row, strict=True)) for row in zip(*history.values(), strict=True)]


@EITHER_SIDE
def test_the_logs_of_each_epoch_have_the_last_batchs_values_for_the_callbacks_after_ours(model, tmp_path, ours_first):
    rows, own, history = logged_beside(model, tmp_path / "log.csv", ours_first)
    rates, momenta = (every[BATCHES - 1 :: BATCHES] for every in values())
    for logged in (rows, own, history) if ours_first else (history,):  # which Keras puts behind all of them
        assert [float(row["learning_rate"]) for row in logged] == rates.tolist()
        assert [float(row["beta_1"]) for row in logged] == momenta.tolist()
    for logged in (rows, own, history):
        assert all({"loss", "val_loss"} <= set(row) for row in logged)
        assert not any(name.startswith("val_") and "rate" in name for row in logged for name in row)


def test_callbacks_before_ours_have_the_logs_that_keras_gives_them(model, tmp_path):
    rows, own, _ = logged_beside(model, tmp_path / "log.csv", ours_first=False)
    assert [set(row) for row in own] == [{"loss", "val_loss"}] * EPOCHS
    assert [set(row) for row in rows] == [{"epoch", "loss", "val_loss"}] * EPOCHS


def test_a_user_who_evaluates_in_mid_fit_gets_no_rates_with_the_losses(model):
    found = []

    def evaluate(model, batch):
        found.append(model.evaluate(*data(1), verbose=0, return_dict=True))

    fit(model, [scheduled(), on("on_train_batch_end", evaluate)], 1)
    assert {name for logs in found for name in logs} == {"loss"}


def test_early_stopping_after_ours_can_watch_a_scheduled_value(model):
    stop = keras.callbacks.EarlyStopping("learning_rate", mode="max", patience=1)
    history = fit(model, [ParamScheduler({"lr": SchedLin(0.1, 0.02)}, total_steps=5 * BATCHES), stop], 5)
    assert len(history.epoch) == 2


class Summary:
    """Stands in for `tf.summary`, which needs TensorFlow and TensorBoard: notes what Keras' callback writes."""

    def __init__(self):
        self.written = {}

    def scalar(self, name, value, step):
        self.written.setdefault(name, []).append((int(step), float(value)))

    def create_file_writer(self, folder):
        return self

    def as_default(self, step=None):
        return contextlib.nullcontext()

    def record_if(self, condition):
        return contextlib.nullcontext()

    def close(self):
        pass


@EITHER_SIDE
def test_tensorboard_has_the_scheduled_rate_by_epoch_and_by_batch(model, tmp_path, ours_first):
    class EachBatch(keras.callbacks.TensorBoard):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, {**(logs or {}), "rate": rate_of(self.model)})

    board = EachBatch(str(tmp_path), update_freq="batch", write_graph=False)
    board._summary_module = Summary()
    fit(model, beside(scheduled(), board, ours_first), EPOCHS)
    rates, momenta = values()
    written = board.summary.written
    epochs = {"epoch_learning_rate": rates} | ({"epoch_beta_1": momenta} if ours_first else {})
    for name, expected in epochs.items():
        np.testing.assert_allclose(written[name], list(enumerate(expected[BATCHES - 1 :: BATCHES])), rtol=1e-6)
    np.testing.assert_allclose(written["batch_rate"], list(enumerate(rates, start=1)), rtol=1e-6)


# Reading the rate


def test_the_rate_that_others_read_is_the_scheduled_one(model):
    read = {}

    def reader(hook):
        return on(hook, lambda model, index: read.setdefault(hook, []).append(rate_of(model)))

    hooks = ["on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end"]
    fit(model, [scheduled(), *(reader(hook) for hook in hooks)], EPOCHS)
    rates = values()[0].astype("float32")
    assert read["on_train_begin"] == [rates[0]]
    assert read["on_train_batch_end"] == rates.tolist()
    assert read["on_epoch_end"] == rates[BATCHES - 1 :: BATCHES].tolist()
    # Before a batch it is the rate of the one before, as where a rate is set after each batch.
    assert read["on_train_batch_begin"] == [rates[0], *rates[:-1]]
    assert read["on_epoch_begin"] == [rates[0], *rates[BATCHES - 1 : -1 : BATCHES]]


def test_the_rate_can_be_read_in_many_ways(model):
    found = []

    def read(model, batch):
        rate = model.optimizer.learning_rate
        found.append([float(rate), float(rate.numpy()), float(keras.ops.convert_to_numpy(rate)), float(rate * 1)])

    fit(model, [on("on_train_batch_end", read), scheduled()], 1)
    rates = SchedCos(0.1, 0.02)(np.arange(BATCHES) / BATCHES).astype("float32")
    assert found == [[rate] * 4 for rate in rates]


# Writing the rate


def halving(model, index):
    model.optimizer.learning_rate = 0.5 * rate_of(model)


def assigning(model, index):
    rate = model.optimizer.learning_rate
    rate.assign(rate * 0.5)


def at(epoch, function):
    return lambda model, index: function(model, index) if index in (epoch, None) else None


@EITHER_SIDE
@pytest.mark.parametrize("write", [halving, assigning])
@pytest.mark.parametrize(
    ("hook", "index", "first"),
    [
        ("on_epoch_begin", 1, BATCHES),
        ("on_epoch_end", 0, BATCHES),
        ("on_train_batch_end", 1, BATCHES),  # of each epoch, so twice by the third
        ("on_epoch_end", 1, 2 * BATCHES),
    ],
)
def test_a_write_scales_the_rest_of_the_schedule(model, write, hook, index, first, ours_first):
    ours = scheduled()
    fit(model, beside(ours, on(hook, at(index, write)), ours_first), EPOCHS)
    expected, momenta = values()
    expected[first:] *= 0.5
    if hook == "on_train_batch_end":
        expected[2 * BATCHES :] *= 0.5
    np.testing.assert_allclose(ours.hps["lr"], expected, rtol=1e-6)
    assert (ours.hps["mom"] == momenta).all()
    weights = eager(adam, {"learning_rate": expected, "beta_1": momenta}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE
    assert rate_of(model) == np.float32(0.01)


def test_a_write_before_the_first_batch_scales_all_of_it(model):
    ours = scheduled()
    fit(model, [ours, on("on_train_begin", halving)], EPOCHS)
    np.testing.assert_allclose(ours.hps["lr"], 0.5 * values()[0], rtol=1e-6)
    assert rate_of(model) == np.float32(0.01)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, on PyTorch
def test_a_scheduler_of_keras_that_was_forgotten_beside_ours_is_said(model):
    forgotten = keras.callbacks.LearningRateScheduler(lambda epoch: 0.5)
    ours = scheduled()
    with pytest.warns(UserWarning, match=r"a rate of 0.5 while the schedule is at .* rest, by [\d.]+. Leave out"):
        fit(model, [ours, forgotten], EPOCHS)
    assert ours.hps["lr"][0] == pytest.approx(0.5)


@EITHER_SIDE
def test_two_that_halve_the_rate_at_one_end_of_an_epoch_leave_a_quarter(model, ours_first):
    ours, halves = scheduled(), [on("on_epoch_end", at(0, halving)) for _ in range(2)]
    fit(model, [ours, *halves] if ours_first else [*halves, ours], EPOCHS)
    expected = values()[0] * np.where(np.arange(BATCHES * EPOCHS) < BATCHES, 1, 0.25)
    np.testing.assert_allclose(ours.hps["lr"], expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, on PyTorch
@EITHER_SIDE
def test_one_that_begins_at_the_compiled_rate_is_said_too(model, ours_first):
    ours, forgotten = scheduled(), keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 if epoch < 1 else 0.001)
    with pytest.warns(UserWarning, match="a rate of 0.01 while .*the compiled rate changes nothing. Leave out"):
        fit(model, [ours, forgotten] if ours_first else [forgotten, ours], EPOCHS)
    assert ours.hps["lr"][0] == values()[0][0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, on PyTorch
@pytest.mark.parametrize("kept", [lambda epoch, rate: rate, lambda epoch, rate: rate / 2 if epoch == 2 else rate])
def test_one_that_follows_the_rate_that_it_reads_is_none(model, kept):
    fit(model, [scheduled(), keras.callbacks.LearningRateScheduler(kept)], EPOCHS)


def test_what_was_written_is_what_others_read_until_the_next_batch(model):
    read = []
    writer = on("on_epoch_end", at(0, lambda model, index: setattr(model.optimizer, "learning_rate", 0.003)))
    readers = [
        on(hook, lambda model, index: read.append(rate_of(model))) for hook in ("on_epoch_end", "on_epoch_begin")
    ]
    fit(model, [writer, scheduled(), *readers], 2)
    np.testing.assert_allclose(read[1:3], [0.003, 0.003], rtol=1e-6)


def test_of_two_writes_before_the_next_epoch_the_second_counts(model):
    ours = scheduled()
    writes = [on("on_epoch_end", at(0, lambda model, index: setattr(model.optimizer, "learning_rate", 7.0)))]
    writes += [on("on_epoch_begin", at(1, halving))]
    shown = values()[0][BATCHES - 1]
    fit(model, [writes[0], ours, writes[1]], EPOCHS)
    np.testing.assert_allclose(ours.hps["lr"][BATCHES:], 3.5 / shown * values()[0][BATCHES:], rtol=1e-6)


@EITHER_SIDE
@pytest.mark.parametrize("compiled_rate", [0.01, 0.0625])  # of which the second is itself in float32
def test_a_write_of_the_compiled_rate_is_none(ours_first, compiled_rate):
    bench = Bench(keras.optimizers.Adam(compiled_rate))
    ours = ParamScheduler({"lr": SchedNo(0.1, 0.1)})
    writer = on("on_epoch_end", at(0, lambda model, index: setattr(model.optimizer, "learning_rate", compiled_rate)))
    fit(bench.model, beside(ours, writer, ours_first), EPOCHS)
    np.testing.assert_allclose(ours.hps["lr"], [0.1] * N, rtol=1e-6)
    assert rate_of(bench.model) == np.float32(compiled_rate)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_a_write_that_no_factor_leads_to_is_said(model):
    ours = ParamScheduler({"lr": SchedLin(0.0, 0.1)})
    with pytest.warns(UserWarning, match="no factor leads from 0"):
        fit(model, [ours, on("on_train_begin", lambda model, index: setattr(model.optimizer, "learning_rate", 0.1))], 1)
    assert ours.hps["lr"][0] == 0


@EITHER_SIDE
def test_reduce_lr_on_plateau_scales_the_rest(model, ours_first):
    ours = scheduled()
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=100.0)
    history = fit(model, beside(ours, plateau, ours_first), EPOCHS).history
    expected, _ = values()
    for epoch in range(1, EPOCHS):  # the first epoch is an improvement on nothing
        expected[(epoch + 1) * BATCHES :] *= 0.5
    np.testing.assert_allclose(ours.hps["lr"], expected, rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], expected[BATCHES - 1 :: BATCHES], rtol=1e-6)


def test_a_write_compiles_nothing_again(backend):
    if backend != "jax":
        pytest.skip("only JAX compiles a step again for a value that is bound to its device")
    import jax

    seen, by_epoch = [], []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: by_epoch.append(len(seen)))
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=100)
    model = Bench(adam()).model
    fit(model, [plateau], 3)
    fit(model, [scheduled(), plateau], 1)

    def listen(event, seconds, **more):
        if "backend_compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        fit(model, [scheduled(), plateau, note], 4)
        jax.jit(lambda x: x + len(seen))(1.0)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert by_epoch == [by_epoch[0]] * 4
    assert len(seen) > by_epoch[0]  # the listener hears


@EITHER_SIDE
def test_a_learning_rate_scheduler_scales_each_epoch(model, ours_first):
    ours = ParamScheduler({"lr": SchedNo(0.1, 0.1)})
    falls = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch else rate)
    fit(model, beside(ours, falls, ours_first), EPOCHS)
    np.testing.assert_allclose(ours.hps["lr"], np.repeat([0.1, 0.05, 0.025], BATCHES), rtol=1e-6)


def test_a_write_scales_every_parameter_group(model):
    ours = OneCycle(slice(0.01, 0.1), moms=None)
    alone = OneCycle(slice(0.01, 0.1), moms=None)
    fit(model, [alone], EPOCHS)
    fit(model, [ours, on("on_epoch_begin", at(1, halving))], EPOCHS)
    expected = alone.hps["lr"]
    expected[BATCHES:] *= 0.5
    np.testing.assert_allclose(ours.hps["lr"], expected, rtol=1e-6)


def test_a_write_through_a_loss_scale_scales_the_rest():
    bench = Bench(keras.optimizers.LossScaleOptimizer(adam(), initial_scale=4.0))
    ours, plateau = scheduled(), keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=100.0)
    fit(bench.model, [ours, plateau], EPOCHS)
    expected, momenta = values()
    expected[2 * BATCHES :] *= 0.5
    np.testing.assert_allclose(ours.hps["lr"], expected, rtol=1e-6)
    weights = eager(adam, {"learning_rate": expected, "beta_1": momenta}, EPOCHS)
    assert largest_difference(weights, bench.model.get_weights()) < TOLERANCE
    assert rate_of(bench.model) == np.float32(0.01)


def test_a_hyper_parameter_that_is_not_scheduled_can_be_written_as_ever(model, backend):
    """On PyTorch, and for the rate everywhere, a plain write has its effect beside a schedule of something else."""
    ours = ParamScheduler({"mom": SchedLin(0.95, 0.8)})
    writer = on("on_epoch_begin", at(1, lambda model, index: setattr(model.optimizer, "learning_rate", 0.002)))
    fit(model, [ours, writer], EPOCHS)
    rates = np.array([0.01] * BATCHES + [0.002] * 2 * BATCHES)
    weights = eager(adam, {"learning_rate": rates, "beta_1": values()[1]}, EPOCHS)
    assert largest_difference(weights, model.get_weights()) < TOLERANCE


# Callbacks that act


@EITHER_SIDE
def test_early_stopping_ends_the_account_where_it_stops(model, ours_first):
    ours = scheduled()
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0, restore_best_weights=True)
    fit(model, beside(ours, stop, ours_first), EPOCHS)
    assert (ours.hps["lr"] == values()[0][: 2 * BATCHES]).all()


@EITHER_SIDE
def test_terminate_on_nan_ends_the_account_in_mid_epoch(model, ours_first):
    x, y = data()
    y = y.copy()
    y[2 * 8] = np.nan  # the third batch
    ours, terminate = scheduled(), keras.callbacks.TerminateOnNaN()
    callbacks = beside(ours, terminate, ours_first)
    model.fit(x, y, batch_size=8, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=callbacks)
    assert (ours.hps["lr"] == values()[0][:3]).all()
    assert rate_of(model) == np.float32(0.01)


@EITHER_SIDE
@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_swap_ema_weights(ours_first, swap_on_epoch, averaged):
    def run(bench, ours):
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=swap_on_epoch)
        history = fit(bench.again(), [*ours[:ours_first], swap, *ours[ours_first:]], EPOCHS, validation_data=data(1))
        return history.history["val_loss"]

    bench, control = averaged
    constant = ParamScheduler({"lr": SchedNo(0.01, 0.01)})
    np.testing.assert_allclose(run(bench, [constant]), run(control, []), rtol=1e-5)
    np.testing.assert_allclose(
        np.concatenate([values.ravel() for values in state(bench.model)]),
        np.concatenate([values.ravel() for values in state(control.model)]),
        atol=TOLERANCE,
    )


@pytest.fixture(scope="module")
def averaged(backend):
    def made():
        return keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.7)

    return Bench(made()), Bench(made())


def test_two_schedulers_stand_around_the_others(model, undisturbed):
    rate, momentum = ParamScheduler({"lr": SchedCos(0.1, 0.02)}), ParamScheduler({"mom": SchedLin(0.95, 0.8)})
    looks_on = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    for ours in itertools.permutations([rate, momentum]):
        fit(model, [ours[0], looks_on, ours[1]], EPOCHS, validation_data=data(1))
        assert (rate.hps["lr"] == values()[0]).all()
        assert (momentum.hps["mom"] == values()[1]).all()


def test_a_batch_trained_by_another_callback_ends_the_schedule_loudly(model):
    x, y = data()
    ours = scheduled()
    extra = on("on_train_batch_end", lambda model, batch: model.train_on_batch(x[:8], y[:8]) if batch == 1 else None)
    with pytest.raises(RuntimeError, match=r"ended before its fit.*train_on_batch.*in a fit of its own"):
        fit(model, [ours, extra], 1)
    np.testing.assert_allclose(ours.hps["lr"], SchedCos(0.1, 0.02)(np.arange(2) / BATCHES), rtol=1e-12)
    assert rate_of(model) == np.float32(0.01)


def test_a_fit_inside_the_fit_ends_the_schedule_loudly(model):
    x, y = data()
    inner = on("on_epoch_end", lambda model, epoch: model.fit(x[:8], y[:8], verbose=0) if epoch == 0 else None)
    with pytest.raises(RuntimeError, match="ended before its fit"):
        fit(model, [scheduled(), inner], EPOCHS)
