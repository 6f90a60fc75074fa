"""Everything that a training run changes comes back, to the bit."""

import contextlib
import gc
import os
import random
import sys

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state  # noqa: TID251 - to know whether there is a global seed generator

from keras_sched import snapshot
from keras_sched.snapshot import Snapshot
from keras_sched.step import backend as backend_of_the_step
from keras_sched.step import state

ROWS, COLUMNS, BATCH = 22, 4, 4  # six batches, the last one ragged


class Stop(keras.callbacks.Callback):
    """Raises at the end of batch `at`."""

    def __init__(self, error, at=2):
        super().__init__()
        self.error, self.at = error, at

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.at:
            raise self.error


def rows(seed=7):
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(ROWS, COLUMNS)).astype("float32")
    return x, x.sum(axis=1, keepdims=True) + numbers.normal(size=(ROWS, 1)).astype("float32")


def network(dtype=None):
    return keras.Sequential(
        [
            keras.Input((COLUMNS,)),
            keras.layers.Dense(5, activation="relu", dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dropout(0.3, dtype=dtype),
            keras.layers.Dense(1, dtype=dtype),
        ]
    )


def compiled(optimizer=None, dtype=None, model=None, **arguments):
    model = model or network(dtype)
    model.compile(optimizer or keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **arguments)
    return model


def multi():
    chosen = {"bias": keras.optimizers.SGD(0.1, momentum=0.9)}
    others = keras.optimizers.Adam(0.01)
    return keras.optimizers.MultiOptimizer(lambda variable: chosen.get(variable.name, others))


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=4),
    "accumulation": lambda: keras.optimizers.Adagrad(0.01, gradient_accumulation_steps=4),
    "schedule": lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)),
    # So large a scale that the first steps are skipped and the scale halved.
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), 2.0**20, 2),
    "several": multi,
}


def every_variable(model):
    """By Keras' own lists."""
    seeds = global_state.get_global_attribute("global_seed_generator")
    optimizer = model.optimizer.variables if model.optimizer else []
    lists = (model.variables, model.metrics_variables, optimizer, [seeds.state] if seeds else [])
    return [variable for variables in lists for variable in variables]


def content(model):
    """Every variable's bytes, and those of the random number generators."""
    values = [keras.ops.convert_to_numpy(variable.value) for variable in every_variable(model)]
    found = [(value.dtype, value.shape, value.tobytes()) for value in values]
    found += [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    if "torch" in sys.modules:
        found.append(sys.modules["torch"].get_rng_state().tolist())
    return found


def train(model, x=None, y=None, epochs=2, **arguments):
    if x is None:
        x, y = rows()
        arguments = {"batch_size": BATCH} | arguments
    history = model.fit(x, y, epochs=epochs, verbose=0, **arguments)
    return history.history, content(model)


def disturb(model):
    """Change every variable and every random number generator, without the cost of a training run."""
    for variable in every_variable(model):
        variable.assign(keras.ops.logical_not(variable) if variable.dtype == "bool" else variable.value + 1)
    random.random()  # noqa: S311
    np.random.random()  # noqa: NPY002


def search(model, *, epochs=1, error=None, at=2, **arguments):
    """A training run that leaves nothing as it was, and may die."""
    arguments |= {"epochs": epochs, "batch_size": BATCH}
    if error is None:
        train(model, *rows(seed=3), **arguments)
        return
    try:
        train(model, *rows(seed=3), callbacks=[Stop(error, at)], **arguments)
    except type(error):
        return
    pytest.fail("nothing was raised")


@contextlib.contextmanager
def kept(model, cache_dir=None, data=None):
    """A snapshot that is taken at once and put back at the end."""
    with Snapshot(model, cache_dir, data) as taken:
        taken.take()
        yield taken


def with_optimizer(model):
    """The model with the optimizer's variables, which the first `fit` would make."""
    model.optimizer.build(model.trainable_variables)
    return model


def seeded(make):
    keras.utils.set_random_seed(11)
    return make()


def assert_no_trace(make, run, **arguments):
    """`run`, in between a take and a restore, changes nothing in what the fit after it gives."""
    control = train(seeded(make), **arguments)
    model = seeded(make)
    with kept(model):
        run(model)
    assert train(model, **arguments) == control


def assert_all_comes_back(model, run):
    before = content(model)
    with kept(model):
        run(model)
        assert content(model) != before
    assert content(model) == before


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_fit_after_restore_is_the_fit_of_a_run_that_was_never_disturbed(shuffle):
    assert_no_trace(compiled, lambda model: search(model, shuffle=shuffle), shuffle=shuffle)


def test_the_average_of_the_weights_that_ends_a_fit_leaves_no_trace():
    assert_no_trace(lambda: compiled(OPTIMIZERS["average"]()), search, shuffle=False)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_variable_of_every_kind_of_optimizer_comes_back(name):
    if name == "several" and not hasattr(keras.optimizers, "MultiOptimizer"):
        pytest.skip("this Keras has no MultiOptimizer")
    model = compiled(OPTIMIZERS[name](), "mixed_float16" if name == "loss scale" else None)
    with kept(model):
        assert model.optimizer.built
    assert_all_comes_back(model, disturb)


@pytest.fixture(scope="module")
def compiled_once():
    """One model for the searches that die: each leaves it as it was, or the next ones fail too."""
    model = compiled()
    train(model, epochs=1)
    return model


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_all_comes_back_after_a_death_in_a_callback(error, compiled_once):
    assert_all_comes_back(compiled_once, lambda model: search(model, error=error))
    train(compiled_once, epochs=1)


class Broken(keras.utils.PyDataset):
    """Has `good` batches, and dies at the next one once training has begun (TensorFlow looks at two beforehand)."""

    def __init__(self, good):
        super().__init__()
        self.good, self.begun = good, False

    def __len__(self):
        return 6

    def on_epoch_begin(self):
        self.begun = True

    def __getitem__(self, index):
        if self.begun and index >= self.good:
            raise ZeroDivisionError
        return tuple(part[:BATCH] for part in rows())


@pytest.mark.parametrize("good", [0, 2], ids=["at the first batch", "at the third batch"])
def test_all_comes_back_after_a_death_in_the_data(good, compiled_once):
    model = compiled_once
    before = content(model)
    with kept(model):
        disturb(model)
        with pytest.raises(Exception, match=r"ZeroDivision|^$"):  # TensorFlow wraps it
            model.fit(Broken(good), verbose=0, shuffle=False)
    assert content(model) == before
    train(model, epochs=1)


def test_metrics_that_the_search_made_are_left_empty():
    model = compiled()
    known = len(model.metrics_variables)
    with kept(model):
        search(model)
        assert len(model.metrics_variables) > known
        assert any(np.any(keras.ops.convert_to_numpy(variable.value)) for variable in model.metrics_variables)
    assert all(not np.any(keras.ops.convert_to_numpy(variable.value)) for variable in model.metrics_variables)


def test_one_snapshot_can_be_put_back_many_times(compiled_once):
    model = compiled_once
    before = content(model)
    with kept(model) as taken:
        for _ in range(3):  # what one run was given to write into must not be what the next one is given
            search(model)
            taken.restore()
            assert content(model) == before


def test_the_compiled_step_is_kept(backend):
    if backend == "torch":
        pytest.skip("PyTorch compiles nothing here")
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            calls.append(1)
            return inputs

    model = compiled(model=keras.Sequential([keras.Input((COLUMNS,)), Counting(), keras.layers.Dense(1)]))
    train(model)  # before its first fit, Keras looks at a batch
    with kept(model):
        search(model)
    traced = len(calls)
    train(model)
    assert len(calls) == traced > 0


def test_jax_compiles_nothing_again(backend):
    if backend != "jax":
        pytest.skip("XLA compiles by where an array is, which is JAX's to say")
    import jax

    compiled_parts = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled_parts.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    model = compiled()
    with kept(model):
        search(model)
    known = len(compiled_parts)
    search(model)
    assert len(compiled_parts) == known > 0


def test_what_is_put_back_in_mid_fit_stays(compiled_once):
    class Midway(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.taken = Snapshot(self.model)
            self.taken.take()
            self.before = content(self.model)

        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.taken.restore()
                self.model.stop_training = True

    model = compiled_once
    midway = Midway()
    train(model, callbacks=[midway])
    assert content(model) == midway.before


class Rewinds(keras.callbacks.Callback):
    """Takes a snapshot before the first batch, and rewinds it after the third, in a fit that goes on."""

    def on_train_begin(self, logs=None):
        self.taken = Snapshot(self.model)
        self.taken.take()

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            backend_of_the_step().attach_state(self.model)
            self.taken.rewind()


def test_a_fit_goes_on_from_a_rewound_snapshot_with_the_batches_that_follow():
    keras.utils.set_random_seed(11)
    plain = [keras.Input((COLUMNS,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential(plain)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    other.compile(keras.optimizers.Adam(0.01), "mse")
    x, y = rows()
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[Rewinds()])
    other.fit(x[3 * BATCH :], y[3 * BATCH :], batch_size=BATCH, shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_rewind_leaves_the_random_numbers_and_what_the_fit_has_set():
    model = compiled()
    random.seed(3)
    expected = [random.random() for _ in range(2)][1]  # noqa: S311
    random.seed(3)
    with kept(model) as taken:
        random.random()  # noqa: S311
        model.stop_training = True
        taken.rewind()
        assert random.random() == expected  # noqa: S311
        assert model.stop_training


class Bare(keras.Model):
    """Knows its weights when it has seen a batch, and draws a seed for them then."""

    def __init__(self):
        super().__init__()
        self.first, self.last, self.drop = keras.layers.Dense(5), Weighted(), keras.layers.Dropout(0.3)

    def call(self, inputs, training=False):
        return self.last(self.drop(self.first(inputs), training=training))


class Weighted(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 1), initializer="random_normal")

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.kernel)


def batches(numbers=np.random):
    while True:
        x = numbers.normal(size=(BATCH, COLUMNS)).astype("float32")
        yield x, x.sum(axis=1, keepdims=True)


def test_a_snapshot_reads_no_data():
    data = batches()
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    with kept(compiled(), data=data):
        assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


class FromWithin(keras.callbacks.Callback):
    """Takes its snapshot as a callback can: when training has begun, and Keras still builds at the first batch."""

    def on_train_begin(self, logs=None):
        self.taken = Snapshot(self.model)
        self.taken.take()

    def on_train_end(self, logs=None):
        with self.taken:
            pass


def test_a_snapshot_taken_within_a_fit_leaves_no_trace_of_it():
    x, y = rows()
    keras.utils.set_random_seed(11)
    control = train(compiled(), x, y, shuffle=False)
    keras.utils.set_random_seed(11)
    model = compiled()
    model.fit(x, y, verbose=0, shuffle=False, callbacks=[FromWithin()])
    assert train(model, x, y, shuffle=False) == control


def test_weights_that_appeared_since_are_not_passed_over_in_silence():
    model = compiled(model=Bare())
    taken = Snapshot(model)
    taken.take()
    model(rows()[0])
    with pytest.raises(RuntimeError, match=r"first values are not known.*Build the model first"):
        taken.restore()


class Pair(keras.Model):
    """Two networks, each with its optimizer, as in a GAN."""

    def __init__(self):
        super().__init__()
        self.one = keras.Sequential([keras.Input((COLUMNS,)), keras.layers.Dense(2), keras.layers.Dropout(0.2)])
        self.two = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        self.built = True

    def compile(self, first, second):
        super().compile(optimizer=None)
        self.first, self.second = first, second
        self.seen = keras.metrics.Mean(name="seen")

    @property
    def metrics(self):
        return []

    def train_step(self, data):
        return PAIR_STEPS[keras.backend.backend()](self, data)


def _pair_tensorflow(model, data):
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        loss = keras.ops.mean((model.two(model.one(data[0], training=True)) - data[1]) ** 2)
    for part, optimizer in ((model.one, model.first), (model.two, model.second)):
        optimizer.apply(tape.gradient(loss, part.trainable_weights), part.trainable_weights)
    model.seen.update_state(loss)
    return {"loss": loss}


def _pair_torch(model, data):
    import torch

    model.zero_grad()
    loss = keras.ops.mean((model.two(model.one(data[0], training=True)) - data[1]) ** 2)
    loss.backward()
    for part, optimizer in ((model.one, model.first), (model.two, model.second)):
        with torch.no_grad():
            optimizer.apply([weight.value.grad for weight in part.trainable_weights], part.trainable_weights)
    model.seen.update_state(loss)
    return {"loss": loss}


PAIR_STEPS = {"tensorflow": _pair_tensorflow, "torch": _pair_torch}


def test_every_optimizer_and_metric_that_a_model_has_is_remembered(backend):
    if backend == "jax":
        pytest.skip("Keras' JAX trainer trains with one optimizer")

    def make():
        model = Pair()
        model.compile(keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.9))
        return model

    assert_no_trace(make, search, shuffle=False)


def test_what_fit_sets_on_a_model_is_as_it_was():
    model = compiled()
    history = model.history = keras.callbacks.History()
    model.stop_training = True
    with kept(model):
        model._initial_epoch, model.history, model.stop_training = 3, keras.callbacks.History(), False
    assert (model.history, model.stop_training, model._initial_epoch) == (history, True, None)


def test_a_model_that_had_no_history_has_none():
    model = compiled()
    with kept(model):
        model.history = keras.callbacks.History()
    assert not hasattr(model, "history")


# Random numbers


def draws():
    """The next number of each global generator."""
    found = [random.random(), np.random.random(), float(keras.random.uniform(()))]  # noqa: NPY002, S311
    if "torch" in sys.modules:
        found.append(sys.modules["torch"].rand(1).item())
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        found += [tf.random.uniform(()).numpy().item(), tf.random.get_global_generator().uniform(()).numpy().item()]
    return found


@pytest.mark.parametrize("used", [True, False], ids=["used", "not used before"])
def test_every_global_generator_draws_what_it_would_have_drawn(used):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.random.set_global_generator(tf.random.Generator.from_seed(3))
    keras.utils.set_random_seed(5)
    if used:
        draws()
    with kept(compiled()):
        first = draws()
    assert draws() == first


def test_the_data_s_own_generators_are_put_back():
    class Own(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.numpy, self.old = np.random.default_rng(1), np.random.RandomState(1)
            self.python = random.Random(1)  # noqa: S311

        def draw(self):
            return self.numpy.random(), self.old.random(), self.python.random()

    data = Own()
    with kept(compiled(), data=data):
        first = data.draw()
    assert data.draw() == first


def test_a_torch_loader_with_its_own_generator_shuffles_as_it_would_have():
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(
        list(range(20)), shuffle=True, generator=torch.Generator().manual_seed(4), batch_size=5
    )
    with kept(compiled(), data=loader):
        first = [batch.tolist() for batch in loader]
    assert [batch.tolist() for batch in loader] == first


# Values


class Holding(keras.layers.Layer):
    """Holds variables of any kind."""

    def __init__(self, *values, dtype):
        super().__init__()
        self.held = [keras.Variable(value, dtype=dtype, trainable=False) for value in values]

    def call(self, inputs):
        return inputs


DTYPES = ["bfloat16", "float16", "float32", "uint8", "int8", "int32", "uint32", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("where", ["memory", "file"])
def test_each_dtype_and_shape_comes_back_to_the_bit(dtype, where, tmp_path):
    special = [-0.0, np.nan, np.inf] if "float" in dtype else [0, 1, 1]
    layer = Holding(np.array([special, [1, 0, 1]]), 1, np.zeros((0, 3)), dtype=dtype)
    model = compiled(model=keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1)]))
    with_optimizer(model)
    before = content(model)
    with kept(model, tmp_path if where == "file" else None):
        disturb(model)
        assert content(model)[:3] != before[:3]
    assert content(model) == before


def test_gradients_are_none_again_on_torch(backend):
    if backend != "torch":
        pytest.skip("gradients stay on the weights on PyTorch only")
    model = compiled()
    with kept(model):
        search(model)
        assert model.trainable_variables[0].value.grad is not None
    assert all(variable.value.grad is None for variable in model.trainable_variables)


def test_a_torch_module_s_buffers_and_mode_come_back(backend):
    if backend != "torch":
        pytest.skip("modules are PyTorch's")
    import torch

    module = torch.nn.BatchNorm1d(COLUMNS)
    model = compiled(model=keras.Sequential([keras.layers.TorchModuleWrapper(module), keras.layers.Dense(1)]))
    train(model, epochs=1)
    module.eval()
    before = {name: buffer.tolist() for name, buffer in module.named_buffers()}
    with kept(model):
        search(model)
        assert {name: buffer.tolist() for name, buffer in module.named_buffers()} != before
        assert module.training
    assert {name: buffer.tolist() for name, buffer in module.named_buffers()} == before
    assert not module.training


# Where the copies lie


def test_with_cache_dir_the_copies_are_in_that_folder_in_a_file_that_nobody_sees(tmp_path, monkeypatch):
    opened = []
    make = snapshot.tempfile.TemporaryFile

    def noted(**arguments):
        opened.append((arguments, make(**arguments)))
        return opened[-1][1]

    monkeypatch.setattr(snapshot.tempfile, "TemporaryFile", noted)
    model = with_optimizer(compiled())
    before = content(model)
    with kept(model, tmp_path):
        ((arguments, file),) = opened
        assert arguments == {"dir": tmp_path}
        assert file.seek(0, os.SEEK_END) >= sum(np.prod(weight.shape) * 4 for weight in model.weights)
        disturb(model)
    assert content(model) == before
    assert file.closed
    assert not list(tmp_path.iterdir())


def test_with_cache_dir_no_copy_stays_in_memory(tmp_path, monkeypatch):
    import weakref

    seen, keep = [], snapshot._Store.keep

    def watched(self, array):
        seen.append(weakref.ref(array))
        return keep(self, array)

    monkeypatch.setattr(snapshot._Store, "keep", watched)
    with kept(compiled(), tmp_path):
        gc.collect()
        assert len(seen) > 10
        assert not any(ref() is not None for ref in seen)


def test_in_memory_there_is_one_copy_and_it_is_nobody_else_s(compiled_once):
    model = compiled_once
    kept = []

    class Watching(snapshot._Store):
        def keep(self, array):
            kept.append(array)
            return super().keep(array)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_Store", Watching)
        taken = Snapshot(model)
        taken.take()
    copies = [array.copy() for array in kept]
    size = sum(keras.ops.convert_to_numpy(variable.value).nbytes for variable in state.variables(model))
    assert sum(array.nbytes for array in kept) <= size
    values = [variable.value for variable in state.variables(model)]
    windows = [np.asarray(value.detach() if hasattr(value, "detach") else value) for value in values]
    assert not any(np.shares_memory(array, window) for array in kept for window in windows)
    search(model)
    assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(kept, copies, strict=True))
    taken.close()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_file_is_gone_after_a_failure_within(error, tmp_path):
    with pytest.raises(error), kept(compiled(), tmp_path):
        raise error
    assert not list(tmp_path.iterdir())


def test_where_taking_fails_the_error_is_its_own(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot._Store, "keep", full)
    model = compiled()
    model.stop_training = True
    with pytest.raises(OSError, match="No space left"), kept(model, tmp_path):
        pytest.fail("it was taken")
    assert model.stop_training
    assert not list(tmp_path.iterdir())


def test_the_file_is_gone_when_python_is_killed(run_script, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    script = """
        import os, signal, sys, keras
        from keras_sched.snapshot import Snapshot
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        taken = Snapshot(model, sys.argv[1])
        taken.take()
        print("taken", flush=True)
        os.kill(os.getpid(), signal.SIGKILL) if len(sys.argv) > 2 else None
        """
    assert run_script(script, folder).split()[-1] == "taken"
    with pytest.raises(pytest.fail.Exception, match="exited with -9"):
        run_script(script, folder, "kill")
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("missing", ValueError, r"received `cache_dir='.*missing'`; .* no such folder\. Make it first"),
        ("file", ValueError, "no such folder"),
        (3, TypeError, "received `cache_dir=3`; it is the folder .* Pass the path of a folder"),
    ],
)
def test_a_cache_dir_that_is_no_folder_is_refused_before_anything(given, kind, message, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    model = compiled()
    with pytest.raises(kind, match=message):
        Snapshot(model, str(tmp_path / given) if isinstance(given, str) else given)
    assert not model.optimizer.built


def test_a_cache_dir_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="cannot be written to"):
        Snapshot(compiled(), tmp_path)


# When putting back goes wrong


def test_what_cannot_be_put_back_is_named_and_all_else_is_put_back(monkeypatch):
    model = compiled()
    with_optimizer(model)
    before = content(model)
    taken = Snapshot(model)
    taken.take()
    disturb(model)
    broken = model.layers[0].kernel
    key = id(broken)
    name, _ = taken._steps[key]

    def refuse():
        raise ValueError("no room")

    monkeypatch.setitem(taken._steps, key, (name, refuse))
    with pytest.raises(RuntimeError, match=rf"`{broken.path}` \(ValueError: no room\)"):
        taken.restore()
    place = [id(variable) for variable in every_variable(model)].index(key)
    after = content(model)
    assert [index for index, pair in enumerate(zip(after, before, strict=True)) if pair[0] != pair[1]] == [place]


def test_ctrl_c_while_putting_back_is_answered_when_all_is_back(monkeypatch):
    model = compiled()
    with_optimizer(model)
    before = content(model)
    taken = Snapshot(model)
    taken.take()
    disturb(model)
    pressed = []
    key = id(model.layers[0].kernel)
    name, put = taken._steps[key]

    def interrupted():
        if not pressed:
            pressed.append(1)
            raise KeyboardInterrupt
        put()

    monkeypatch.setitem(taken._steps, key, (name, interrupted))
    with pytest.raises(KeyboardInterrupt):
        taken.restore()
    assert content(model) == before


def test_a_closed_snapshot_says_so():
    taken = Snapshot(compiled())
    taken.take()
    taken.close()
    with pytest.raises(RuntimeError, match="closed snapshot"):
        taken.restore()


def test_a_model_without_values_is_refused_with_the_cause(backend):
    if backend != "jax":
        pytest.skip("Keras purges variables on JAX only")
    model = compiled()
    model.layers[0].kernel._value = None
    with pytest.raises(RuntimeError, match="without a value; a fit that died"):
        Snapshot(model).take()


def test_a_model_whose_arrays_a_dying_step_took_along_comes_back(backend):
    if backend != "jax":
        pytest.skip("a step is given its arrays for good on JAX only")
    model = compiled()
    with_optimizer(model)
    before = content(model)
    with kept(model):
        for variable in state.variables(model):
            variable.value.delete()
    assert content(model) == before


# Distributed


def test_sharded_variables_come_back_with_their_sharding(run_script, backend):
    if backend != "jax":
        pytest.skip("Keras distributes by layout on JAX only")
    script = """
        import jax, keras, numpy as np
        from keras_sched.snapshot import Snapshot
        devices = keras.distribution.list_devices()
        mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"), devices)
        layout = keras.distribution.LayoutMap(mesh)
        layout[".*first.kernel"] = (None, "model")
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch"))
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name="first"), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        x = np.random.rand(16, 4)
        y = x.sum(1, keepdims=True)
        model.fit(x, y, verbose=0)
        every = [*model.variables, *model.optimizer.variables]
        before = [(np.asarray(v.value), v.value.sharding) for v in every]
        assert any(not v.value.is_fully_replicated for v in every)
        with Snapshot(model) as taken:
            taken.take()
            model.fit(x, y, verbose=0)
        for v, (value, sharding) in zip(every, before):
            assert np.array_equal(np.asarray(v.value), value), v.path
            assert v.value.sharding == sharding, v.path
        print("equal")
        """
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    assert run_script(script, env=flags).split()[-1] == "equal"


def test_each_replica_gets_its_own_value_back(run_script, backend):
    if backend != "tensorflow":
        pytest.skip("strategies are TensorFlow's")
    script = """
        import keras, numpy as np, tensorflow as tf
        from keras_sched.snapshot import Snapshot
        from keras_sched.step import state
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        keras.utils.set_random_seed(0)
        with strategy.scope():
            model = keras.Sequential([
                keras.Input((4,)), keras.layers.Dense(6), keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.3), keras.layers.Dense(1)])
            model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
        x = np.random.rand(16, 4).astype("float32")
        y = x.sum(1, keepdims=True)
        model.fit(x, y, batch_size=8, verbose=0)
        def parts():
            return [[part.numpy().tobytes() for part in strategy.experimental_local_results(v.value)]
                    for v in state.variables(model)]
        before = parts()
        assert any(len(set(each)) > 1 for each in before)
        with Snapshot(model) as taken:
            taken.take()
            model.fit(x, y, batch_size=8, verbose=0)
            assert parts() != before
        assert parts() == before
        print("equal")
        """
    assert run_script(script).split()[-1] == "equal"
