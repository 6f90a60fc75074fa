"""A run of ten million batches needs no more memory than a short one, and its rows are the right ones to the end."""

import tracemalloc

import keras
import numpy as np
import pytest
from oracle import BATCHES, eager, fit, largest_difference, mlp
from runs import Bench, state

from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin
from keras_sched.curves import Plan
from keras_sched.step import ScheduledFit
from keras_sched.table import HostRows, Table

SHORT, LONG = 100_000, 10_000_000
AT_ONCE = 1000  # batches in one call of the train function


def curves(total):
    rates, momenta = SchedCos(0.1, 1e-4), SchedLin(0.95, 0.8)
    return {
        "learning_rate": lambda rows: rates(np.minimum(rows / total, 1)),
        "beta_1": lambda rows: momenta(np.minimum(rows / total, 1)),
    }


class Drive:
    """Runs the train function of a scheduled fit without its training: each call counts batches, and looks at the rows.

    Args:
        model: a compiled model.
        total: the length of the run in batches.
    """

    def __init__(self, model, total):
        self.total = total
        self.iterations = 0
        self.loads = self.looked_at = self.wrong = 0
        self.counter = model.optimizer._iterations
        self.counter.assign(0)
        self.fit = ScheduledFit.of(model)
        (self.inner,) = self.fit.inner(model.optimizer)
        self.fit.add(self.inner, Plan(curves(total), total))
        self.fit.begin_epoch(0)
        self.table, self.step = self.inner.table, self.fit.step
        self.step.load, self.step.function = self._load, self._call

    def run(self, batches):
        for _ in range(0, batches, AT_ONCE):
            self.fit._function(((),))  # as on JAX: a state, without a variable in it

    def row_of(self, iteration):
        """What the step of this iteration would read: rate and momentum, float32."""
        on_jax = keras.backend.backend() == "jax"  # where each group has an array, whose last row says where it starts
        window = np.asarray(self.step._windows[0][0] if on_jax else self.step._windows[0])
        start = window[-1, :1].view(np.int32)[0] if on_jax else self.step._starts[0].numpy()
        return window[iteration - int(start)][::2][:2]

    def expected(self, row):
        columns = curves(self.total)
        return np.array([columns[name](np.array([row]))[0] for name in self.table.attributes], np.float32)

    def _load(self, *arguments):
        self.loads += 1
        type(self.step).load(self.step, *arguments)

    def _call(self, *arguments):
        if self.loads != self.looked_at or self.iterations % 100_000 == 0:
            for row in (self.iterations, self.iterations + AT_ONCE - 1):
                self.wrong += not np.array_equal(self.row_of(row), self.expected(row))
            self.looked_at = self.loads
        self.iterations += AT_ONCE
        self.counter.assign(self.iterations)


@pytest.fixture
def windows(backend):
    if backend == "torch":
        pytest.skip("PyTorch has no window: its rows are counted on the host")


@pytest.mark.parametrize("long", [LONG // 10, pytest.param(LONG, marks=pytest.mark.slow)])
def test_millions_of_batches_at_the_seam_read_the_right_rows_in_constant_memory(windows, long):
    model, peaks = mlp(keras.optimizers.Adam(0.01), steps_per_execution=AT_ONCE), {}
    for total in (AT_ONCE, SHORT, long):  # the first to warm up
        tracemalloc.start()
        drive = Drive(model, total)
        drive.run(total)
        peaks[total] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert drive.wrong == 0
        assert drive.iterations == total
        drive.fit.end()
        spans = drive.inner._used
        assert [first for first, _ in spans] == [sum(count for _, count in spans[:i]) for i in range(len(spans))]
        assert sum(count for _, count in spans) == total
        assert len(spans) <= drive.loads + 1, "one span for each window, and the last"
    assert peaks[long] < 1.1 * peaks[SHORT] + 2**21
    rows = drive.table.window_rows * 3 // 4  # the rest of a window are rows that were run
    assert drive.loads <= long / (rows - AT_ONCE) + 2, "a window is filled once, not looked at in each batch"


def host_rows(total):
    """The rows of a run, as the steps of this backend take them that are not compiled."""
    table = Table(curves(total), {"learning_rate": 0.1, "beta_1": 0.9}, total)
    if keras.backend.backend() != "torch":
        return HostRows(table)
    from keras_sched.step.torch import TorchStep

    return HostRows(table, as_rates=TorchStep.as_rates)


def as_given(rates):
    """Rates as a step is given them: on PyTorch in a tensor, as Keras' own."""
    return rates.astype(np.float32 if keras.backend.backend() == "torch" else np.float64).tolist()


def test_rows_on_the_host_need_no_more_memory_for_a_longer_run():
    peaks = {}
    for total in (10_000, 200_000):
        rows = host_rows(total)
        tracemalloc.start()
        for first in range(0, total, AT_ONCE):
            rows.position = first
            expected = curves(total)["learning_rate"](np.array([first]))
            assert [float(rate) for rate in rows.take()["learning_rate"]] == as_given(expected)
        peaks[total] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[200_000] < 1.1 * peaks[10_000] + 2**16


@pytest.mark.slow
def test_ten_million_batches_of_rows_on_the_host_are_the_tables():
    rows = host_rows(LONG)
    rates = curves(LONG)["learning_rate"]
    tracemalloc.start()
    for first in range(0, LONG, AT_ONCE):
        taken = [float(rows.take()["learning_rate"][0]) for _ in range(AT_ONCE)]
        assert taken == as_given(rates(np.arange(first, first + AT_ONCE)))
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(("place", "row"), [(-1, 0), (2, 2), (3, 2), (1000, 2)])
def test_a_step_outside_the_window_takes_its_nearest_row(windows, backend, monkeypatch, place, row):
    monkeypatch.setattr(Table, "window_rows", 3)
    drive = Drive(mlp(keras.optimizers.Adam(0.01)), 100)
    if backend == "jax":
        monkeypatch.setattr(drive.step, "_traced", drive.step._windows, raising=False)
    taken = drive.step.row(0, keras.ops.convert_to_tensor(place, dtype="int64" if backend == "tensorflow" else "int32"))
    rate = np.asarray(keras.ops.convert_to_numpy(taken))[0]
    drive.fit.end()
    assert rate == np.float32(curves(100)["learning_rate"](np.array([row]))[0])


# A real fit over many windows


def sgd():
    return keras.optimizers.SGD(0.01, momentum=0.9)


def schedule():
    return ParamScheduler({"lr": SchedCos(0.05, 0.001), "mom": SchedLin(0.95, 0.8)})


@pytest.fixture
def tiny_windows(monkeypatch):
    """Windows of three rows, fewer than an epoch's batches; how often one was loaded, by epoch's first row or not."""
    monkeypatch.setattr(Table, "window_rows", 3)
    monkeypatch.setattr(HostRows, "_compute", _three_rows(HostRows._compute))
    firsts = []
    window, values = Table.rows, Table.values

    def noted_window(table, first, count):
        firsts.append(first)
        return window(table, first, count)

    def noted_values(table, attribute, rows):
        if attribute == "learning_rate" and isinstance(rows, range) and len(rows) == 3:
            firsts.append(rows[0])
        return values(table, attribute, rows)

    monkeypatch.setattr(Table, "rows", noted_window)
    if keras.backend.backend() == "torch":
        monkeypatch.setattr(Table, "values", noted_values)
    return firsts


def _three_rows(compute):
    return lambda rows, count: compute(rows, 3)


def test_an_epoch_over_several_windows_trains_as_by_hand(tiny_windows, backend):
    epochs = 3
    rows = np.arange(epochs * BATCHES)
    values = {
        "learning_rate": SchedCos(0.05, 0.001)(rows / len(rows)),
        "momentum": SchedLin(0.95, 0.8)(rows / len(rows)),
    }
    expected = eager(sgd, values, epochs)
    model, ours = mlp(sgd()), schedule()
    fit(model, [ours], epochs)
    assert largest_difference(expected, model.get_weights()) < 2e-5
    assert (ours.hps["lr"] == values["learning_rate"]).all()
    assert sorted(set(tiny_windows)) == [0, 3, 6, 9], "the rows that an epoch has left serve the next one"


def test_windows_and_steps_per_execution(backend, monkeypatch):
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    epochs = 3
    plain = mlp(sgd(), steps_per_execution=2)
    fit(plain, [schedule()], epochs)
    monkeypatch.setattr(Table, "window_rows", 3)
    monkeypatch.setattr(HostRows, "_compute", _three_rows(HostRows._compute))
    model, ours = mlp(sgd(), steps_per_execution=2), schedule()
    fit(model, [ours], epochs)
    assert all((a == b).all() for a, b in zip(plain.get_weights(), model.get_weights(), strict=True))
    assert len(ours.hps["lr"]) == epochs * BATCHES


def test_a_write_and_a_window_that_ends_in_mid_epoch(tiny_windows):
    class Halves(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
                self.model.optimizer.learning_rate = rate / 2

    epochs = 3
    rows = np.arange(epochs * BATCHES)
    values = {
        "learning_rate": SchedCos(0.05, 0.001)(rows / len(rows)),
        "momentum": SchedLin(0.95, 0.8)(rows / len(rows)),
    }
    values["learning_rate"][BATCHES:] /= 2
    expected = eager(sgd, values, epochs)
    model, ours = mlp(sgd()), schedule()
    fit(model, [ours, Halves()], epochs)
    assert largest_difference(expected, model.get_weights()) < 2e-5
    np.testing.assert_allclose(ours.hps["lr"], values["learning_rate"], rtol=1e-6)


def test_a_fit_that_dies_after_a_refill_leaves_an_account_of_what_ran(tiny_windows):
    class Dies(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    bench = Bench(keras.optimizers.Adam(0.01))
    ours = OneCycle(0.1)
    with pytest.raises(KeyboardInterrupt):
        fit(bench.model, [ours, Dies()], 3)
    assert len(ours.hps["lr"]) == BATCHES
    assert all(np.isfinite(values).all() for values in state(bench.model))
