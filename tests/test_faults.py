"""Whatever raises in mid-fit, under whichever callback: afterwards everything that must hold holds."""

import functools
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, KERAS, data, fit
from runs import Batches, Bench, Dies, changes, face, plain_steps, put_state, same_bits, state

import keras_sched
from keras_sched import (
    SGDR,
    FlatCos,
    InverseSqrt,
    LRFinder,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedLin,
    Triangular,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
)

EPOCHS = 3
COMPILED_RATE = np.float32(0.01)
# How the rate is shown may stay after a death in another's hook, until the next fit.
SHOWN = {"attribute _get_current_learning_rate", "learning_rate", "rate variable's assign"}
CALLBACKS = {
    "ParamScheduler": lambda: ParamScheduler({"lr": SchedCos(0.1, 0.01), "mom": SchedLin(0.9, 0.8)}),
    "OneCycle": lambda: OneCycle(0.1),
    "FlatCos": lambda: FlatCos(0.1),
    "SGDR": lambda: SGDR(2, 1, lr_max=0.1),
    "WarmupStableDecay": lambda: WarmupStableDecay(0.1),
    "WarmupCosine": lambda: WarmupCosine(0.1),
    "WarmupLinear": lambda: WarmupLinear(0.1, warmup=3),
    "InverseSqrt": lambda: InverseSqrt(0.1, lr_final=0.01),
    "Triangular": lambda: Triangular(0.01, 0.1, n_cycles=2),
    "LRFinder": lambda: LRFinder(1e-3, 0.1, num_it=40),
}


def rates_of(callback):
    """What a callback says that it used."""
    return np.asarray(callback.lrs if isinstance(callback, LRFinder) else callback.hps["lr"])


class Loss:
    """A mean squared error that raises when it is called once too often."""

    def __init__(self):
        self.error = None
        self.calls_left = 0

    def __call__(self, y, prediction):
        self.calls_left -= 1
        if self.error is not None and self.calls_left < 0:
            raise self.error
        return keras.losses.mean_squared_error(y, prediction)


LOSS = Loss()


@pytest.fixture(scope="module")
def bench():
    return _bench()


@pytest.fixture(scope="module")
def whole(bench):
    """The rates of a fit under each callback that came to its end."""

    @functools.cache
    def rates(name):
        callback = CALLBACKS[name]()
        fit(bench.again(), [callback], EPOCHS)
        return rates_of(callback)

    return rates


@pytest.fixture(scope="module")
def control():
    """Its equal, which never sees a schedule."""
    return _bench()


def _bench():
    # Eager, so that a loss can raise in the middle of a fit, and every line of ours runs in every step.
    made = Bench(keras.optimizers.AdamW(0.01, weight_decay=0.02), run_eagerly=True, jit_compile=False)
    made.model.compile(made.model.optimizer, loss=LOSS, run_eagerly=True, jit_compile=False)
    plain_steps(made.model)
    return made


def from_the_data(model, callback, error):
    model.fit(Batches(2, error), epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[callback])


def from_the_loss(model, callback, error):
    LOSS.error, LOSS.calls_left = error, BATCHES + 1
    try:
        fit(model, [callback], EPOCHS)
    finally:
        LOSS.error = None


def from_a_callback_before(model, callback, error):
    fit(model, [Dies("on_train_batch_begin", error, at=2), callback], EPOCHS)


def from_a_callback_after(model, callback, error):
    fit(model, [callback, Dies("on_train_batch_end", error)], EPOCHS)


FAULTS = {
    "data": (from_the_data, ValueError),
    "loss": (from_the_loss, RuntimeError),
    "out of memory": (from_the_loss, MemoryError),
    "interrupt in the step": (from_the_loss, KeyboardInterrupt),
    "interrupt in a callback": (from_a_callback_after, KeyboardInterrupt),
    "exit in a callback": (from_a_callback_before, SystemExit),
    "exit in the step": (from_the_loss, SystemExit),
    "a callback before": (from_a_callback_before, RuntimeError),
    "a callback after": (from_a_callback_after, RuntimeError),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", CALLBACKS)
def test_after_a_fault_the_invariants_hold(bench, control, whole, name, fault, tmp_path):
    whole(name)
    where, kind = FAULTS[fault]
    model, callback = bench.again(), CALLBACKS[name]()
    before = face(model.optimizer)
    with pytest.raises((kind, Exception), match="on purpose"):  # TensorFlow wraps what its step's data raise
        where(model, callback, kind("on purpose"))
    # 1. No trace.
    assert changes(before, face(model.optimizer)) <= SHOWN
    # 2. A plain checkpoint.
    model.save_weights(tmp_path / "after.weights.h5")
    assert model.optimizer.get_config()["learning_rate"] == COMPILED_RATE
    # 3. Exact: what ran is known, and is what the schedule says.
    ran = len(rates_of(callback))
    least = 1 if KERAS >= (3, 15) else 0  # before that JAX reads a batch ahead
    assert least <= ran < EPOCHS * BATCHES
    assert (rates_of(callback) == whole(name)[:ran]).all()
    # And the next fit trains as if there had been no schedule, and after a search as if nothing had been trained.
    if name == "LRFinder":
        fit(model, [], 0)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(bench.start, state(model), strict=True))
    other = control.continuing(model)
    assert plain_steps(model) == plain_steps(other)
    assert same_bits(model, other)
    assert changes(before, face(model.optimizer)) == set()


PACKAGE = Path(keras_sched.__file__).parent


class Interrupt:
    """Raises `KeyboardInterrupt` when a line of the package is about to run, as Ctrl-C does.

    Args:
        line: (file, number) of the line, or `None` to note in `lines` those that run.
    """

    def __init__(self, line=None):
        self.line = line
        self.lines = {}
        self.raised = False

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._enter)
        return self

    def __exit__(self, *error):
        sys.settrace(self._before)

    def _enter(self, frame, event, argument):
        name = frame.f_code.co_filename
        return self._step if name.startswith(str(PACKAGE)) else None

    def _step(self, frame, event, argument):
        line = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line":
            if line == self.line and not self.raised:
                self.raised = True
                raise KeyboardInterrupt
            self.lines.setdefault(line)
        return self._step


def lines_of_ours(bench, callback):
    fit(bench.again(), [callback()], 2)  # what is run once, in the first fit of all, an interrupt would run again
    with Interrupt() as interrupt:
        fit(bench.again(), [callback()], 2)
    return list(interrupt.lines)


def check_interrupts(bench, control, lines):
    """Interrupt a fit at each of these lines, and look at what it leaves."""
    found = []
    control.again()
    plain_steps(control.model)
    x, y = data()
    for line in lines:
        model = bench.again()
        before = face(model.optimizer)
        try:
            with Interrupt(line):
                fit(model, [CALLBACKS["ParamScheduler"]()], 2)
            ended = "was not interrupted"
        except KeyboardInterrupt:
            ended = ""
        put_state(model, bench.start)  # which JAX may have lost: Keras 3.15 has it in no variable for a moment
        model.fit(x[:BATCH], y[:BATCH], batch_size=BATCH, verbose=0)
        left = changes(before, face(model.optimizer))
        put = "make_train_function" in vars(model)
        if ended or left or put:
            found.append((Path(line[0]).name, line[1], ended, left, put))
    return found


def test_an_interrupt_in_a_sample_of_our_lines_is_cleaned_up_by_the_next_fit(bench, control):
    lines = lines_of_ours(bench, CALLBACKS["ParamScheduler"])
    assert len(lines) > 200
    assert check_interrupts(bench, control, lines[::9]) == []


@pytest.mark.slow
def test_an_interrupt_in_any_of_our_lines_is_cleaned_up_by_the_next_fit(bench, control):
    assert check_interrupts(bench, control, lines_of_ours(bench, CALLBACKS["ParamScheduler"])) == []
