"""A search leaves no trace: what is trained after it is to the bit what would have been trained without it."""

import functools
import random
import signal
import sys

import keras
import numpy as np
import pytest

from keras_sched import LRFinder, fit_one_cycle, lr_find

ROWS, BATCH = 22, 4  # six batches, the last one of two rows
QUIET = {"show_plot": False, "verbose": 0, "suggest_funcs": ()}


def rows(seed=7):
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(ROWS, 4)).astype("float32")
    return x, 5 + x.sum(axis=1, keepdims=True) + numbers.normal(size=(ROWS, 1)).astype("float32")


def network(*first):
    return keras.Sequential(
        [
            *first,
            keras.layers.Dense(5, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1),
        ]
    )


def compiled(optimizer=None, *, built=True, **arguments):
    keras.utils.set_random_seed(11)
    model = network(*[keras.Input((4,))] * built)
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **arguments)
    return model


def unbuilt():
    return compiled(built=False)


def trained(model, **arguments):
    """All that a fit leaves: the history, the weights, the state of the optimizer, and of the random numbers."""
    arguments = {"epochs": 2, "batch_size": BATCH, "shuffle": False, "verbose": 0} | arguments
    history = model.fit(*rows(), **arguments).history
    values = [keras.ops.convert_to_numpy(variable.value) for variable in (*model.variables, *model.optimizer.variables)]
    return [history, [(value.dtype, value.shape, value.tobytes()) for value in values], *random_numbers()]


def sees_nothing_of(search, make=compiled):
    """Whether a fit after `search(model)` is to the bit the one without it."""
    expected = trained_without(make)
    model = make()
    search(model)
    return trained(model) == expected


@functools.cache
def trained_without(make, **arguments):
    """What is trained where nothing is searched: once for all tests that compare with it."""
    return trained(make(), **arguments)


def trained_once():
    model = compiled()
    trained(model, epochs=1)
    return model


class Broken(keras.utils.PyDataset):
    """Data that raises at its fourth batch."""

    def __init__(self, error, **arguments):
        super().__init__(**arguments)
        self.error = error

    def __len__(self):
        return 6

    def __getitem__(self, number):
        if number == 3:
            raise self.error
        return tuple(part[number * BATCH : (number + 1) * BATCH] for part in rows())


class At(keras.callbacks.Callback):
    """Calls `do` in hook `name`, the third time."""

    def __init__(self, name, do):
        super().__init__()
        self.left = 3
        self.do = do
        setattr(self, name, self.hook)

    def hook(self, *_, **__):
        self.left -= 1
        if self.left == 0:
            self.do()


def fail():
    raise OSError("it failed")


def interrupt():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what runs in the background ignore Ctrl-C
    signal.raise_signal(signal.SIGINT)


def spoilt():
    x, y = rows()
    y[BATCH * 3 :] = np.nan
    return x, y


# lr_find


def test_after_a_whole_search():
    def search(model):
        assert lr_find(model, *rows(), batch_size=BATCH, num_it=20, end_lr=0.1, **QUIET).stopped == "num_it"

    assert sees_nothing_of(search)


def test_after_a_search_that_diverged():
    def search(model):
        found = lr_find(model, *rows(), batch_size=BATCH, num_it=40, start_lr=1e-3, end_lr=1e4, **QUIET)
        assert found.stopped == "diverged"

    assert sees_nothing_of(search)


def test_after_a_search_whose_loss_was_not_finite():
    def search(model):
        found = lr_find(model, *spoilt(), batch_size=BATCH, num_it=40, shuffle=False, **QUIET)
        assert (found.stopped, len(found.losses)) == ("not finite", 3)

    assert sees_nothing_of(search)


def test_after_a_search_whose_data_failed():
    def search(model):
        with pytest.raises(Exception, match="it failed"):
            lr_find(model, Broken(OSError("it failed")), num_it=20, shuffle=False, **QUIET)

    assert sees_nothing_of(search)


class Fails(keras.losses.Loss):
    """A squared error, which fails when it is asked as often as it is told to."""

    left = -1
    error = None

    def call(self, y_true, y_pred):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return keras.ops.mean((y_true - y_pred) ** 2, axis=-1)


@pytest.mark.parametrize("error", [OSError("it failed"), KeyboardInterrupt("it failed")])
@pytest.mark.parametrize("times", [2, 5])
def test_after_a_search_whose_step_failed(error, times):
    losses = []

    def make():
        losses.append(Fails())
        model = compiled()
        model.compile(keras.optimizers.Adam(0.01), losses[-1], metrics=["mae"], run_eagerly=True)
        return model

    def search(model):
        losses[-1].left, losses[-1].error = times, error
        with pytest.raises((OSError, KeyboardInterrupt), match="it failed"):
            lr_find(model, *rows(), batch_size=BATCH, num_it=20, **QUIET)

    assert sees_nothing_of(search, make)


def test_after_several_searches_and_measuring_on_other_data():
    def search(model):
        lr_find(model, *rows(), batch_size=BATCH, num_it=8, repeats=2, validation_data=rows(3), **QUIET)

    assert sees_nothing_of(search)


@pytest.mark.parametrize(
    "make",
    [
        lambda: compiled(optimizer=keras.optimizers.SGD(0.01, momentum=0.9, gradient_accumulation_steps=4)),
        lambda: compiled(optimizer=keras.optimizers.Nadam(0.01)),
        lambda: compiled(optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), 2.0**20, 2)),
        lambda: compiled(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5))),
        lambda: compiled(run_eagerly=True),
    ],
)
def test_whatever_the_model_and_its_optimizer(make):
    assert sees_nothing_of(lambda model: lr_find(model, *rows(), batch_size=BATCH, num_it=14, **QUIET), make)


@pytest.mark.parametrize("make", [compiled, unbuilt])
def test_a_model_that_was_never_trained_has_its_first_weights_and_the_random_numbers_again(make):
    weights = compiled().get_weights()
    model = make()
    before = random_numbers()
    lr_find(model, *rows(), batch_size=BATCH, num_it=14, **QUIET)
    assert random_numbers() == before
    assert untrained(model, weights)


def test_a_model_that_was_trained_goes_on_as_if_there_had_been_no_search():
    assert sees_nothing_of(lambda model: lr_find(model, *rows(), batch_size=BATCH, num_it=14, **QUIET), trained_once)


def test_the_history_of_the_last_fit_and_its_end_stay():
    model = compiled()
    history = model.fit(*rows(), verbose=0)
    model.stop_training = True
    lr_find(model, *rows(), num_it=6, **QUIET)
    assert model.history is history
    assert model.stop_training is True


@pytest.mark.parametrize("make", [compiled, trained_once])
def test_shuffled_data_comes_in_the_same_order_after_a_search(make):
    expected = trained_without(make, shuffle=True)
    model = make()
    lr_find(model, *rows(), batch_size=BATCH, num_it=14, **QUIET)
    assert trained(model, shuffle=True) == expected


def test_nothing_is_left_on_the_model_but_the_compiled_step():
    model = compiled()
    before = set(vars(model))
    lr_find(model, *rows(), num_it=6, **QUIET)
    left = set(vars(model)) - before
    assert left <= {"_keras_sched_steps", "_eval_epoch_iterator", "_jax_state", "_symbolic_build", "train_function"}


def random_numbers():
    found = [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    if "torch" in sys.modules:
        found.append(sys.modules["torch"].get_rng_state().tolist())
    return found


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_random_number_is_drawn_by_a_search(shuffle):
    model = compiled()
    before = random_numbers()
    lr_find(model, *rows(), num_it=6, shuffle=shuffle, **QUIET)
    assert random_numbers() == before


# LRFinder


def with_finder(*others, data=None, finder=None, **arguments):
    def search(model):
        x, y = (data, None) if data is not None else rows()
        arguments_ = {"epochs": 8, "shuffle": False, "verbose": 0} | arguments
        if data is None:
            arguments_["batch_size"] = BATCH
        model.fit(x, y, callbacks=[finder or LRFinder(num_it=20), *others], **arguments_)

    return search


def test_after_a_fit_with_a_finder():
    assert sees_nothing_of(with_finder())


def test_after_a_fit_with_a_finder_of_a_model_that_was_trained():
    assert sees_nothing_of(with_finder(), trained_once)


def test_after_a_fit_with_a_finder_of_a_model_that_was_not_built():
    assert sees_nothing_of(with_finder(), unbuilt)


def test_after_a_fit_with_a_finder_that_ends_before_the_search():
    assert sees_nothing_of(with_finder(epochs=2))


def test_after_a_fit_with_a_finder_that_diverged():
    finder = LRFinder(1e-3, 1e4, 40)
    assert sees_nothing_of(with_finder(finder=finder))
    assert finder.stopped == "diverged"


@pytest.mark.parametrize("do", [fail, interrupt])
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_batch_end"])
def test_after_a_callback_beside_a_finder_failed(hook, do):
    finder = LRFinder(num_it=20)

    def search(model):
        with pytest.raises((OSError, KeyboardInterrupt)):
            with_finder(At(hook, do), finder=finder)(model)
        assert (finder.stopped, len(finder.losses) in {1, 2, 3}) == ("interrupted", True)

    assert sees_nothing_of(search)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_end"])
def test_after_a_callback_beside_a_finder_failed_at_the_beginning_or_the_end(hook):
    at = At(hook, fail)
    at.left = 1

    def search(model):
        with pytest.raises(OSError, match="it failed"):
            with_finder(at)(model)

    assert sees_nothing_of(search)


@pytest.mark.parametrize("error", [OSError("it failed"), KeyboardInterrupt("it failed")])
def test_after_the_data_of_a_fit_with_a_finder_failed(error, backend):
    if backend == "tensorflow" and isinstance(error, KeyboardInterrupt):
        pytest.skip("TensorFlow reads the data in a thread, which no interrupt reaches")

    def search(model):
        with pytest.raises((Exception, KeyboardInterrupt), match="it failed"):
            with_finder(data=Broken(error))(model)

    assert sees_nothing_of(search)


def untrained(model, weights):
    """Whether the model has these weights to the bit, and its optimizer has made no step."""
    same = all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))
    return same and float(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 0


@pytest.mark.parametrize(
    "begin",
    [lambda model: model.fit(*rows(), epochs=0, verbose=0), lambda model: lr_find(model, *rows(), num_it=6, **QUIET)],
)
def test_the_weights_are_given_back_when_the_next_fit_begins_where_a_callback_failed(begin):
    model = compiled()
    before = model.get_weights()
    with pytest.raises(OSError, match="it failed"):
        with_finder(At("on_train_batch_end", fail))(model)
    begin(model)
    assert untrained(model, before)


def test_the_weights_are_given_back_at_once_where_the_step_failed():
    loss, model = Fails(), compiled()
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)
    before = model.get_weights()
    loss.left, loss.error = 5, OSError("it failed")
    with pytest.raises(OSError, match="it failed"):
        with_finder()(model)
    assert untrained(model, before)


def test_after_a_callback_beside_a_finder_failed_the_next_fit_brings_back_the_weights_over_what_was_loaded():
    model, other = compiled(), compiled()
    before = model.get_weights()
    with pytest.raises(OSError, match="it failed"):
        with_finder(At("on_train_batch_end", fail))(model)
    model.set_weights([weight + 1 for weight in other.get_weights()])
    model.fit(*rows(), epochs=0, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# Compiling


class Counted(keras.layers.Layer):
    calls = 0

    def call(self, inputs, training=None):
        if training:
            type(self).calls += 1
        return inputs


def test_a_search_and_the_cycles_after_it_share_one_compiled_step(backend):
    if backend == "torch":
        pytest.skip("nothing is compiled there")

    def traces(*runs):
        Counted.calls = 0
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        data = [part[:20] for part in rows()]  # whole batches: another shape is another trace
        for run in runs:
            run(model, *data)
        return Counted.calls

    def search(model, x, y):
        lr_find(model, x, y, batch_size=BATCH, num_it=8, **QUIET)

    def cycle(lr_max):
        return lambda model, x, y: fit_one_cycle(model, x, y, epochs=1, lr_max=lr_max, batch_size=BATCH, verbose=0)

    first = traces(cycle(0.1))
    assert 0 < traces(search, cycle(0.1), cycle(0.01)) <= first
