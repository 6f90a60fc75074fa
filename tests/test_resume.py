"""A run that was stopped and taken up again has the values and, to the bit, the weights of one that never was."""

import warnings

import keras
import numpy as np
import pytest
from oracle import BATCHES, fit
from runs import Bench, Dies, state

from keras_sched import OneCycle, ParamScheduler, SchedCos, fit_one_cycle

EPOCHS = 4
N = EPOCHS * BATCHES


def adam():
    return keras.optimizers.AdamW(0.01, weight_decay=0.02)


def cycle():
    return OneCycle(0.1, wd=0.3)


@pytest.fixture(scope="module")
def bench():
    return Bench(adam())


@pytest.fixture(scope="module")
def other():
    """A second model, as in another process."""
    return Bench(adam())


@pytest.fixture(scope="module")
def unbroken(bench):
    """What the run that was never stopped holds at its end, and its values."""
    ours = cycle()
    fit(bench.again(), [ours], EPOCHS)
    return state(bench.model), ours.hps


def check(model, hps, unbroken, first):
    """As the unbroken run from batch `first` on."""
    expected, values = unbroken
    assert all((hps[name] == values[name][first:]).all() for name in values)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(expected, state(model), strict=True))


@pytest.mark.parametrize("epoch", [1, 3])
def test_from_an_epoch_with_weights_and_optimizer_loaded(bench, other, unbroken, tmp_path, epoch):
    saves = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), [cycle(), saves, Dies("on_epoch_begin", KeyboardInterrupt(), at=epoch)], EPOCHS)
    model, ours = other.again(), cycle()
    model.load_weights(tmp_path / f"{epoch}.weights.h5")
    fit(model, [ours], EPOCHS, initial_epoch=epoch)
    check(model, ours.hps, unbroken, epoch * BATCHES)


def test_from_a_whole_model_loaded(bench, unbroken, tmp_path):
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    fit(bench.again(), [cycle(), stop], EPOCHS)
    bench.model.save(tmp_path / "model.keras")
    loaded, ours = keras.models.load_model(tmp_path / "model.keras"), cycle()
    fit(loaded, [ours], EPOCHS, initial_epoch=2)
    check(loaded, ours.hps, unbroken, 2 * BATCHES)


def test_by_a_fit_helper(bench, unbroken):
    x_y = _data()
    settings = {"epochs": EPOCHS, "lr_max": 0.1, "wd": 0.3, "batch_size": 8, "shuffle": False, "verbose": 0}
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    fit_one_cycle(bench.again(), *x_y, callbacks=stop, **settings)
    history = fit_one_cycle(bench.model, *x_y, initial_epoch=2, **settings)
    check(bench.model, history.hps, unbroken, 2 * BATCHES)


def _data():
    from oracle import data

    return data()


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "ours last"])
@pytest.mark.parametrize(
    ("hook", "at", "resumed_at"),
    [
        ("on_epoch_begin", 2, 2),
        ("on_epoch_end", 1, 2),  # after the backup
        ("on_train_batch_end", 2, 0),  # in the first epoch, before there is a backup
    ],
)
def test_from_a_backup_by_epoch(bench, other, tmp_path, unbroken, hook, at, resumed_at, ours_first):
    def callbacks(*more):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        return [ours, backup, *more] if ours_first else [backup, *more, ours]

    ours = cycle()
    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), callbacks(Dies(hook, KeyboardInterrupt(), at=at)), EPOCHS)
    model, ours = other.again(), cycle()
    fit(model, callbacks(), EPOCHS)
    check(model, ours.hps, unbroken, resumed_at * BATCHES)


class DiesAtBatch(keras.callbacks.Callback):
    """Raises at a batch counted over all epochs."""

    def __init__(self, batch):
        super().__init__()
        self.left = batch

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("batch", [5, 6, 7, 11])
def test_a_death_in_mid_epoch_goes_on_from_the_epochs_beginning(bench, other, tmp_path, unbroken, batch):
    backup = keras.callbacks.BackupAndRestore
    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), [cycle(), backup(str(tmp_path / "backup")), DiesAtBatch(batch)], EPOCHS)
    model, ours = other.again(), cycle()
    fit(model, [backup(str(tmp_path / "backup")), ours], EPOCHS)
    check(model, ours.hps, unbroken, batch // BATCHES * BATCHES)


def test_from_a_backup_by_batches_the_epoch_that_keras_replays_has_its_own_values(bench, other, tmp_path):
    backup = keras.callbacks.BackupAndRestore
    folder = str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), [backup(folder, save_freq=2), cycle(), DiesAtBatch(6)], EPOCHS)
    saved = 6  # batches: the epoch's first four, and two of the next one
    model, ours = other.again(), cycle()
    fit(model, [backup(folder, save_freq=2), ours], EPOCHS)
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == saved + 3 * BATCHES
    whole = cycle()
    fit(bench.again(), [whole], EPOCHS)
    assert all((ours.hps[name] == values[BATCHES:]).all() for name, values in whole.hps.items())


KILLED = """
    import os, signal, sys, warnings
    sys.path.insert(0, sys.argv[1])
    import keras
    from oracle import fit
    from runs import Bench, state
    from keras_sched import OneCycle

    warnings.simplefilter("error", UserWarning)  # what the imports warn of is not ours

    class Kills(keras.callbacks.Callback):
        def __init__(self, moment):
            super().__init__()
            self.moment = moment

        def kill(self, *moment):
            if ".".join(map(str, moment)) == self.moment:
                os.kill(os.getpid(), signal.SIGKILL)

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch
            self.kill("begin", epoch)

        def on_train_batch_begin(self, batch, logs=None):
            self.kill("before", self.epoch, batch)

        def on_train_batch_end(self, batch, logs=None):
            self.kill("after", self.epoch, batch)

        def on_epoch_end(self, epoch, logs=None):
            self.kill("end", epoch)

    def run(*callbacks):
        bench = Bench(keras.optimizers.AdamW(0.01, weight_decay=0.02))
        ours = OneCycle(0.1, wd=0.3)
        fit(bench.model, [ours, *callbacks], 4)
        return [values.tobytes() for values in state(bench.model)], ours.hps

    weights, hps = run(keras.callbacks.BackupAndRestore("backup"), Kills(sys.argv[2]))
    unbroken, all_hps = run()
    assert weights == unbroken, "not bit-equal"
    assert all((hps[name] == values[-len(hps[name]):]).all() for name, values in all_hps.items())
    print(len(hps["lr"]), "batches")
"""

START_AGAIN = """
    import pathlib, signal, subprocess, sys

    for moment in [*sys.argv[2:], "never"]:
        done = subprocess.run([sys.executable, "killed.py", sys.argv[1], moment], capture_output=True, text=True)
        expected = 0 if moment == "never" else -signal.SIGKILL
        if done.returncode != expected:
            sys.exit(f"{moment}: {done.returncode}\\n{done.stderr}")
    print(done.stdout)
"""


def killed_and_started_again(run_script, tmp_path, moments):
    import textwrap
    from pathlib import Path

    (tmp_path / "killed.py").write_text(textwrap.dedent(KILLED))
    return run_script(START_AGAIN, Path(__file__).parent, *moments, timeout=900)


def test_a_process_that_is_killed_and_started_again_ends_bit_equal(run_script, tmp_path):
    # Once in mid-epoch, after the second backup.
    assert killed_and_started_again(run_script, tmp_path, ["after.2.1"]).strip() == f"{2 * BATCHES} batches"


@pytest.mark.slow
def test_a_process_that_is_killed_again_and_again_ends_bit_equal(run_script, tmp_path):
    moments = ["before.0.0", "after.0.2", "end.0", "begin.1", "before.1.3", "after.1.3", "after.2.0", "end.2"]
    assert killed_and_started_again(run_script, tmp_path, moments).strip() == f"{BATCHES} batches"


# What changed in between is said


KERASS_OWN = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras 3.15, on PyTorch


@KERASS_OWN
def test_another_batch_size_is_said(bench):
    x, y = _data()
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    fit(bench.again(), [cycle(), stop], EPOCHS)
    with pytest.warns(
        UserWarning, match=r"2 batches an epoch.*starts at batch 4 of 8, and the optimizer has made 8 steps"
    ):
        bench.model.fit(
            x, y, batch_size=16, epochs=EPOCHS, initial_epoch=2, shuffle=False, verbose=0, callbacks=[cycle()]
        )


@KERASS_OWN
def test_a_backup_that_was_killed_between_its_two_files_is_said(bench, other, tmp_path):
    """Keras writes the weights first and then the epoch; one written without the other would replay an epoch."""

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), [backup(), cycle(), Dies("on_epoch_begin", KeyboardInterrupt(), at=2)], EPOCHS)
    (tmp_path / "backup" / "training_metadata.json").write_text('{"epoch": 1, "batch": 0}')
    with pytest.warns(
        UserWarning, match="begins at epoch 1.*starts at batch 4 of .*, and the optimizer has made 8 steps"
    ):
        fit(other.again(), [backup(), cycle()], EPOCHS)


@KERASS_OWN
def test_another_number_of_epochs_under_the_same_callback_is_said(bench):
    ours = cycle()
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    fit(bench.again(), [ours, stop], EPOCHS)
    with pytest.warns(UserWarning, match="24 batches in all.* was to have 16; this goes on at batch 8"):
        fit(bench.model, [ours], 6, initial_epoch=2)
    assert len(ours.hps["lr"]) == 4 * BATCHES


def test_the_same_length_is_not_warned_of(bench, other):
    ours = cycle()
    with pytest.raises(KeyboardInterrupt):
        fit(bench.again(), [ours, Dies("on_epoch_begin", KeyboardInterrupt(), at=2)], EPOCHS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(bench.model, [ours], EPOCHS, initial_epoch=2)
        fit(other.again(), [cycle()], EPOCHS, initial_epoch=2)  # an optimizer that has counted nothing is a new one


def test_total_steps_lets_a_run_be_taken_up_with_more_epochs(bench, unbroken):
    def fixed():
        return OneCycle(0.1, wd=0.3, total_steps=N)

    fit(bench.again(), [fixed()], 2)
    ours = fixed()
    fit(bench.model, [ours], EPOCHS, initial_epoch=2)
    check(bench.model, ours.hps, unbroken, 2 * BATCHES)


def test_a_scheduled_rate_scaled_before_the_stop_begins_unscaled(bench):
    """A write lives as long as its fit: what is saved is the compiled rate, and the next fit has the schedule's own."""
    halves = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch == 1 else rate)
    schedule = SchedCos(0.1, 0.01)
    ours = ParamScheduler({"lr": schedule})
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)
    fit(bench.again(), [ours, halves, stop], EPOCHS)
    assert ours.hps["lr"][BATCHES] == pytest.approx(schedule(BATCHES / N) / 2)
    ours = ParamScheduler({"lr": schedule})
    fit(bench.model, [ours], EPOCHS, initial_epoch=2)
    assert (ours.hps["lr"] == schedule(np.arange(2 * BATCHES, N) / N)).all()
