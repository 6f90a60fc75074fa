"""Each point of a search is its own batch's loss, whatever `fit` is given and however the model trains."""

import itertools
import json
import math

import keras
import numpy as np
import pytest
from oracle import KERAS

from keras_sched import LRFinder, ParamScheduler, SchedExp, lr_find

# Keras 3.15's own, on PyTorch with a new NumPy: `pytest.warns` emits again what it was not to find.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROWS, BATCH = 22, 4  # six batches an epoch, the last one of two rows
ENDS = {"start_lr": 1e-3, "end_lr": 0.5}
NUM_IT = 14  # two epochs and two batches
RATES = SchedExp(1e-3, 0.5)(np.arange(NUM_IT) / NUM_IT)


of_several_optimizers = pytest.mark.skipif(
    not hasattr(keras.optimizers, "MultiOptimizer"), reason="this Keras has no public MultiOptimizer"
)


def rows(outputs=1, seed=3):
    numbers = np.random.default_rng(seed)
    x = numbers.normal(size=(ROWS, 3)).astype("float32")
    y = x @ numbers.normal(size=(3, outputs)) + 0.3 * numbers.normal(size=(ROWS, outputs))
    return x, y.astype("float32")


def batches(*arrays):
    """As many batches as a search takes, begun again when they are used up."""
    firsts = list(range(0, ROWS, BATCH))
    for number in range(NUM_IT):
        first = firsts[number % len(firsts)]
        yield tuple(array[first : first + BATCH] for array in arrays)


def compiled(*layers, optimizer=None, loss="mse", **arguments):
    model = keras.Sequential([keras.Input((3,)), *(layers or [keras.layers.Dense(1)])])
    model.compile(optimizer or keras.optimizers.SGD(), loss, **arguments)
    return model


def by_hand(make, *arrays, batch=lambda *parts: {"x": parts[0], "y": parts[1]}):
    """The losses of `train_on_batch`, with the rate set by hand before each."""
    keras.utils.set_random_seed(5)
    model = make()
    losses = []
    for rate, parts in zip(RATES, batches(*arrays), strict=True):
        model.optimizer.learning_rate = float(rate)
        model.reset_metrics()  # before Keras 3.15 `train_on_batch` goes on with the mean of the batches before
        losses.append(model.train_on_batch(**batch(*parts), return_dict=True)["loss"])
    return losses


def search(make, x, y=None, **arguments):
    keras.utils.set_random_seed(5)
    arguments = {"shuffle": False, "show_plot": False, "verbose": 0, "suggest_funcs": ()} | ENDS | arguments
    return lr_find(make(), x, y, **{"num_it": NUM_IT, "stop_div": False} | arguments)


def check(make, *arrays, batch=None, **arguments):
    expected = by_hand(make, *arrays, **{} if batch is None else {"batch": batch})
    found = search(make, *arrays[:2], **{"batch_size": BATCH} | arguments)
    np.testing.assert_allclose(found.raw_losses, expected, rtol=1e-5)
    assert np.ptp(expected) > 1e-2


# What the loss is made of


def test_a_ragged_last_batch_counts_as_a_batch():
    check(compiled, *rows())


def test_sample_weights_count():
    x, y = rows()
    weights = np.linspace(0.1, 3, ROWS, dtype="float32")
    check(
        compiled,
        x,
        y,
        weights,
        batch=lambda x, y, w: {"x": x, "y": y, "sample_weight": w},
        sample_weight=weights,
    )


def test_class_weights_count():
    x, _ = rows()
    y = (np.arange(ROWS) % 3 == 0).astype("int32")
    check(
        lambda: compiled(keras.layers.Dense(2, activation="softmax"), loss="sparse_categorical_crossentropy"),
        x,
        y,
        batch=lambda x, y: {"x": x, "y": y, "class_weight": {0: 0.2, 1: 2.5}},
        class_weight={0: 0.2, 1: 2.5},
    )


def test_regularisers_and_added_losses_count():
    class Adds(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(0.1 * keras.ops.mean(inputs**2))
            return inputs

    def make():
        return compiled(
            keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.2)), Adds(), keras.layers.Dense(1)
        )

    check(make, *rows())


def two_headed():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    body = keras.layers.Dense(4, activation="tanh")(keras.layers.Concatenate()([a, b]))
    outputs = {name: keras.layers.Dense(1, name=name)(body) for name in ("mean", "sign")}
    model = keras.Model({"a": a, "b": b}, outputs)
    model.compile(
        keras.optimizers.SGD(),
        {"mean": "mse", "sign": "mae"},
        loss_weights={"mean": 0.5, "sign": 2.0},
        metrics={"mean": ["mae"]},
    )
    return model


def test_several_inputs_and_outputs_have_one_loss():
    x, y = rows(outputs=2)
    named = {"a": x[:, :2], "b": x[:, 2:]}, {"mean": y[:, :1], "sign": y[:, 1:]}
    expected = by_hand(
        two_headed,
        x,
        y,
        batch=lambda x, y: {
            "x": {"a": x[:, :2], "b": x[:, 2:]},
            "y": {"mean": y[:, :1], "sign": y[:, 1:]},
        },
    )
    np.testing.assert_allclose(search(two_headed, *named, batch_size=BATCH).raw_losses, expected, rtol=1e-5)


# How the model trains


@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(keras.optimizers.Adam, id="Adam"),
        pytest.param(lambda: keras.optimizers.SGD(momentum=0.9, gradient_accumulation_steps=3), id="accumulation"),
        pytest.param(lambda: keras.optimizers.Adam(use_ema=True), id="average"),
        pytest.param(lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 8.0), id="loss scale"),
    ],
)
def test_the_loss_is_that_of_a_run_with_each_rate_set_by_hand(optimizer):
    check(lambda: compiled(optimizer=optimizer()), *rows())


@of_several_optimizers
def test_each_optimizer_of_several_takes_the_rate():
    def make(rates=(0.01, 0.01)):
        parts = {"bias": keras.optimizers.SGD(rates[0]), "kernel": keras.optimizers.Adam(rates[1])}
        return compiled(optimizer=keras.optimizers.MultiOptimizer(lambda variable: parts[variable.name]))

    keras.utils.set_random_seed(5)
    model, expected = make(), []
    model.optimizer.build(model.trainable_variables)  # before, it has no optimizers
    for rate, (x, y) in zip(RATES, batches(*rows()), strict=True):
        for part in model.optimizer.optimizers:
            part.learning_rate = float(rate)
        model.reset_metrics()
        expected.append(model.train_on_batch(x, y))
    np.testing.assert_allclose(search(make, *rows(), batch_size=BATCH).raw_losses, expected, rtol=1e-5)


def test_a_model_compiled_with_a_schedule_is_searched_and_has_its_schedule_again():
    def scheduled():
        return compiled(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5)))

    expected = by_hand(compiled, *rows())
    np.testing.assert_allclose(search(scheduled, *rows(), batch_size=BATCH).raw_losses, expected, rtol=1e-5)
    model = scheduled()
    lr_find(model, *rows(), num_it=6, show_plot=False, verbose=0, suggest_funcs=())
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.1)


def test_a_weight_decay_is_for_the_search_alone():
    def make(decay=None):
        return compiled(optimizer=keras.optimizers.SGD(weight_decay=decay))

    expected = by_hand(lambda: make(0.5), *rows())
    np.testing.assert_allclose(search(make, *rows(), batch_size=BATCH, wd=0.5).raw_losses, expected, rtol=1e-5)


def test_the_loss_of_a_model_in_mixed_precision_is_not_scaled():
    def make():
        return compiled(keras.layers.Dense(4, dtype="mixed_float16"), keras.layers.Dense(1, dtype="mixed_float16"))

    expected = by_hand(make, *rows())
    found = search(make, *rows(), batch_size=BATCH)
    np.testing.assert_allclose(found.raw_losses, expected, rtol=2e-3)  # float16's


def test_a_batch_that_the_loss_scale_skips_is_no_point():
    def make():
        model = compiled(keras.layers.Dense(1, dtype="mixed_float16"))
        scale = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 2.0**24)
        model.compile(scale, "mse")
        return model

    found = search(make, *rows(), batch_size=BATCH, num_it=8)
    assert len(found.lrs) == 8
    np.testing.assert_allclose(found.lrs, SchedExp(1e-3, 0.5)(np.arange(8) / 8))
    assert found.raw_losses[0] not in found.raw_losses[1:]


def test_gradients_that_are_finite_at_no_loss_scale_end_the_search():
    model = compiled(keras.layers.Dense(1))
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(), 2.0**15)
    model.compile(optimizer, lambda true, predicted: keras.ops.sqrt(0.0 * predicted))  # at 0 the root has no slope
    with pytest.warns(UserWarning, match=r"not finite \(or its gradients, at any loss scale\)"):
        found = lr_find(model, *rows(), batch_size=BATCH, num_it=8, show_plot=False, verbose=0)
    assert (found.stopped, len(found.lrs)) == ("not finite", 0)
    assert float(optimizer.dynamic_scale) == 2.0**15


@pytest.mark.parametrize("size", [2, 5])
def test_a_model_that_takes_several_batches_in_a_call_is_searched_one_by_one(size, backend):
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution there")
    expected = by_hand(compiled, *rows())
    found = search(lambda: compiled(steps_per_execution=size), *rows(), batch_size=BATCH)
    np.testing.assert_allclose(found.raw_losses, expected, rtol=1e-5)


def test_a_model_takes_as_many_batches_in_a_call_again_after_the_search(backend):
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution there")
    model = compiled(steps_per_execution=3)
    lr_find(model, *rows(), num_it=6, show_plot=False, verbose=0, suggest_funcs=())
    assert model.steps_per_execution == 3


def test_a_finder_in_a_fit_that_takes_several_batches_in_a_call_is_an_error_before_a_weight_moves(backend):
    if backend == "torch":
        pytest.skip("Keras has no steps_per_execution there")
    model = compiled(steps_per_execution=3)
    before = model.get_weights()
    with pytest.raises(RuntimeError, match=r"`LRFinder` .*steps_per_execution=3.*Use `lr_find`"):
        model.fit(*rows(), batch_size=BATCH, epochs=6, verbose=0, callbacks=[LRFinder(num_it=6)])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("mode", [{"run_eagerly": True}, {"jit_compile": False}])
def test_the_mode_of_compilation_makes_no_difference(mode):
    expected = by_hand(compiled, *rows())
    found = search(lambda: compiled(**mode), *rows(), batch_size=BATCH)
    np.testing.assert_allclose(found.raw_losses, expected, rtol=1e-5)


# How the model tells its loss


class Tracker(keras.Model):
    """A model with its own `train_step`, which keeps its loss in a metric, and tells a running mean."""

    name_of_tracker = "loss"

    def __init__(self):
        inputs = keras.Input((3,))
        super().__init__(inputs, keras.layers.Dense(1)(inputs))
        self.tracker = keras.metrics.Mean(name=self.name_of_tracker)

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, *arguments):
        return {"jax": self._jax, "tensorflow": self._tensorflow, "torch": self._torch}[keras.backend.backend()](
            *arguments
        )

    def tell(self, loss, y, prediction):
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def _jax(self, state, data):
        import jax

        trainable, others, optimizer, metrics = state
        x, y = data

        def forward(trainable, others, x, y):
            prediction, others = self.stateless_call(trainable, others, x, training=True)
            return keras.ops.mean(keras.ops.abs(y - prediction)), (prediction, others)

        (loss, (prediction, others)), gradients = jax.value_and_grad(forward, has_aux=True)(trainable, others, x, y)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        known = list(zip(self.metrics_variables, metrics, strict=True))
        with keras.StatelessScope(state_mapping=known) as scope:
            logs = self.tell(loss, y, prediction)
        metrics = [scope.get_current_value(variable) for variable, _ in known]
        metrics = [old if new is None else new for new, (_, old) in zip(metrics, known, strict=True)]
        return logs, (trainable, others, optimizer, metrics)

    def _tensorflow(self, data):
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            prediction = self(x, training=True)
            loss = keras.ops.mean(keras.ops.abs(y - prediction))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.tell(loss, y, prediction)

    def _torch(self, data):
        import torch

        x, y = data
        prediction = self(x, training=True)
        self.zero_grad()
        loss = keras.ops.mean(keras.ops.abs(y - prediction))
        loss.backward()
        with torch.no_grad():
            self.optimizer.apply([each.value.grad for each in self.trainable_variables], self.trainable_variables)
        return self.tell(loss, y, prediction)


class OtherTracker(Tracker):
    name_of_tracker = "total"


class NoTracker(Tracker):
    @property
    def metrics(self):
        return []

    def tell(self, loss, y, prediction):
        return {"loss": loss}


class SampleTracker(Tracker):
    """Tells its metric the loss of each sample."""

    def tell(self, loss, y, prediction):
        self.tracker.update_state(keras.ops.abs(y - prediction))
        return {"loss": self.tracker.result()}


class TwiceTracker(Tracker):
    """Tells its metric a batch in two parts."""

    def tell(self, loss, y, prediction):
        self.tracker.update_state(0.5 * loss)
        self.tracker.update_state(1.5 * loss)
        return {"loss": self.tracker.result()}


class NestedTracker(Tracker):
    """Tells its metric in a function within the step, which TensorFlow traces by itself."""

    def tell(self, loss, y, prediction):
        if keras.backend.backend() != "tensorflow":
            return super().tell(loss, y, prediction)
        import tensorflow as tf

        tf.function(self.tracker.update_state)(loss)
        return {"loss": self.tracker.result()}


@pytest.mark.parametrize("kind", [Tracker, OtherTracker, NoTracker, SampleTracker, TwiceTracker, NestedTracker])
def test_a_train_step_of_ones_own_tells_each_batchs_loss(kind):
    def make(kind=kind):
        model = kind()
        model.compile(keras.optimizers.SGD())
        return model

    expected = by_hand(lambda: compiled(loss="mae"), *rows())
    assert_same_losses(search(make, *rows(), batch_size=BATCH), expected)


def assert_same_losses(found, expected):
    np.testing.assert_allclose(found.raw_losses, expected, rtol=1e-5)


class Silent(Tracker):
    def tell(self, loss, y, prediction):
        return {"error": loss}


def test_a_train_step_that_tells_no_loss_is_an_error_that_says_what_to_return():
    model = Silent()
    model.compile(keras.optimizers.SGD())
    before = model.get_weights()
    with pytest.raises(RuntimeError, match=r"`train_step` which returns error; .* follows `loss`\. Let `train_step`"):
        lr_find(model, *rows(), num_it=6)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


# What `fit` is given


class Sequence(keras.utils.PyDataset):
    def __init__(self, x, y, **arguments):
        super().__init__(**arguments)
        self.parts = x, y

    def __len__(self):
        return math.ceil(len(self.parts[0]) / BATCH)

    def __getitem__(self, number):
        return tuple(part[number * BATCH : (number + 1) * BATCH] for part in self.parts)


def as_pandas(x, y):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(x), pandas.DataFrame(y)


def as_dataset(x, y):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH), None


def as_dataset_without_end(x, y):
    return as_dataset(x, y)[0].repeat(), None


def as_dataset_of_unknown_length(x, y):
    return as_dataset(x, y)[0].filter(lambda *_: True), None


def as_loader(x, y):
    data = pytest.importorskip("torch.utils.data")
    return data.DataLoader(data.StackDataset(x, y), batch_size=BATCH), None


def as_generator(x, y):
    return batches(x, y), None


def as_tensors(x, y):
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


@pytest.mark.parametrize(
    "given",
    [
        as_pandas,
        as_dataset,
        as_dataset_without_end,
        as_dataset_of_unknown_length,
        as_loader,
        as_generator,
        as_tensors,
        # With one worker: with two, Keras 3.15 begins the fit of a model that is to be built at the second batch (JAX).
        lambda x, y: (Sequence(x, y), None),
    ],
)
def test_the_search_goes_on_into_the_next_epoch_of_any_data(given):
    expected = by_hand(compiled, *rows())
    x, y = given(*rows())
    assert_same_losses(search(compiled, x, y, batch_size=None if y is None else BATCH), expected)


def test_an_epoch_may_be_given_a_number_of_steps():
    expected = by_hand(compiled, *rows())
    assert_same_losses(search(compiled, *as_dataset_without_end(*rows()), steps_per_epoch=5), expected)
    assert_same_losses(search(compiled, *as_generator(*rows()), steps_per_epoch=5), expected)
    x, y = (array[:20] for array in rows())
    assert_same_losses(search(compiled, x, y, steps_per_epoch=5), search(compiled, x, y, batch_size=4).raw_losses)


def test_a_generator_gives_no_more_than_the_search_needs():
    x, y = rows()
    taken = itertools.count()
    endless = ((x[:BATCH], y[:BATCH]) for _ in taken)
    search(compiled, endless)
    assert next(taken) == NUM_IT


def test_a_generator_gives_no_more_than_several_searches_need():
    x, y = rows()
    taken = itertools.count()
    endless = ((x[:BATCH], y[:BATCH]) for _ in taken)
    search(compiled, endless, repeats=3, num_it=6)
    assert next(taken) == 18


def test_a_search_which_has_diverged_takes_no_batch_more_than_keras_has_read(backend):
    x, y = rows()
    taken = itertools.count()
    endless = ((x[:BATCH], y[:BATCH]) for _ in taken)
    found = search(compiled, endless, start_lr=0.5, end_lr=1e3, num_it=50, stop_div=True)
    assert found.stopped == "diverged"
    assert len(found.lrs) < 25
    if backend != "tensorflow":  # which reads ahead
        ahead = backend == "jax" and KERAS < (3, 15)
        assert next(taken) == len(found.lrs) + ahead


def test_a_generator_that_ends_before_ends_the_search_with_a_warning():
    with pytest.warns(UserWarning, match=rf"ended after 8 of {NUM_IT} batches.*may be far too low"):
        found = search(compiled, (each for each in list(batches(*rows()))[:8]), suggest_funcs=lambda lrs, *_: lrs[0])
    assert found.stopped == "data ended"
    assert len(found.lrs) == 8


@pytest.mark.parametrize("more", [0, 3])
def test_a_search_that_the_data_cut_short_does_not_count_after_another(more):
    x, y = rows()
    endless = [(x[:BATCH], y[:BATCH])] * (2 * NUM_IT + more)
    with pytest.warns(UserWarning, match=rf"`repeats=3, and too little data`.*that of 2: .*Pass {3 * NUM_IT} batches"):
        found = search(compiled, (each for each in endless), repeats=3)
    assert (found.stopped, len(found.lrs), len(found.record.curves)) == ("num_it", NUM_IT, 2)


def test_shuffled_data_is_shuffled():
    found = search(compiled, *rows(), shuffle=True, batch_size=BATCH)
    assert not np.allclose(found.raw_losses, by_hand(compiled, *rows()), rtol=1e-2)


def test_a_subclass_of_a_dataset_is_not_asked_to_shuffle():
    class Endless(Sequence):
        @property
        def num_batches(self):
            return None

        def __getitem__(self, number):
            return super().__getitem__(number % len(self))

    x, y = rows()
    assert len(search(compiled, Endless(x, y), shuffle=True).lrs) == NUM_IT  # Keras would warn


class Empty(Sequence):
    def __len__(self):
        return 0


@pytest.mark.parametrize(
    "given",
    [
        lambda x, y: (x[:0], y[:0]),
        lambda x, y: ({"a": x[:0]}, y[:0]),
        lambda x, y: (Empty(x, y), None),
        lambda x, y: ((each for each in ()), None),
        lambda x, y: (as_dataset(x, y)[0].take(0), None),
        lambda x, y: as_loader(x[:0], y[:0]),
    ],
)
def test_data_without_a_batch_is_an_error(given):
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"the search needs data to train on\. Pass at least one batch"):
        lr_find(model, *given(*rows()), show_plot=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_data_that_is_found_without_a_batch_is_an_error():
    model = compiled()
    before = model.get_weights()
    with pytest.raises(ValueError):  # noqa: PT011 - on PyTorch in Keras' words, who looks at the first batch
        lr_find(model, as_dataset(*rows())[0].filter(lambda *_: False), show_plot=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_data_may_be_read_again_after_a_search():
    x, y = rows()
    loader = Sequence(x, y)
    assert_same_losses(search(compiled, loader), search(compiled, loader).raw_losses)


# Groups


@of_several_optimizers
def test_each_group_has_its_own_rates():
    def make():
        return compiled(keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1))

    keras.utils.set_random_seed(5)
    model, expected = make(), []
    body = keras.optimizers.SGD(momentum=0.0)
    head = keras.optimizers.SGD(momentum=0.0)
    parts = dict(zip((id(weight) for weight in model.weights), (body, body, head, head), strict=True))
    model.compile(keras.optimizers.MultiOptimizer(lambda variable: parts[id(variable)]), "mse")
    model.optimizer.build(model.trainable_variables)
    low = SchedExp(1e-3, 0.1)(np.arange(NUM_IT) / NUM_IT)
    for number, (x, y) in enumerate(batches(*rows())):
        body.learning_rate, head.learning_rate = float(low[number]), float(RATES[number])
        model.reset_metrics()
        expected.append(model.train_on_batch(x, y))
    found = search(make, *rows(), batch_size=BATCH, start_lr=1e-3, end_lr=[0.1, 0.5])
    assert_same_losses(found, expected)
    np.testing.assert_allclose(found.lrs, RATES)  # the last group's


def test_groups_may_share_the_rates():
    def make():
        return compiled(keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1))

    expected = by_hand(make, *rows())
    assert_same_losses(search(make, *rows(), batch_size=BATCH, groups=2), expected)


# Measured on other data


def test_each_point_is_measured_on_validation_data_after_its_step():
    def make():
        return compiled(keras.layers.Dense(4), keras.layers.BatchNormalization(momentum=0.5), keras.layers.Dense(1))

    keras.utils.set_random_seed(5)
    model, expected, other = make(), [], rows(seed=9)
    for rate, (x, y) in zip(RATES, batches(*rows()), strict=True):
        model.optimizer.learning_rate = float(rate)
        model.train_on_batch(x, y)
        expected.append(model.evaluate(*other, verbose=0))
    found = search(make, *rows(), batch_size=BATCH, validation_data=other)
    assert_same_losses(found, expected)


def test_validation_data_may_have_weights_and_be_a_dataset():
    x, y = rows(seed=9)
    weights = np.linspace(0.1, 2, ROWS, dtype="float32")
    weighted = search(compiled, *rows(), batch_size=BATCH, num_it=6, validation_data=(x, y, weights))
    plain = search(compiled, *rows(), batch_size=BATCH, num_it=6, validation_data=(x, y))
    dataset = search(compiled, *rows(), batch_size=BATCH, num_it=6, validation_data=Sequence(x, y))
    assert_same_losses(dataset, plain.raw_losses)
    assert not np.allclose(weighted.raw_losses, plain.raw_losses, rtol=1e-2)


@pytest.mark.parametrize("given", [lambda x, y: (each for each in ((x, y),)), lambda x, y: (x[:0], y[:0])])
def test_validation_data_that_cannot_be_measured_on_each_time_is_an_error(given):
    with pytest.raises(ValueError, match=r"`lr_find` received .*Pass"):
        lr_find(compiled(), *rows(), validation_data=given(*rows()))


# Several searches


def test_the_curve_of_several_searches_is_their_median_and_goes_on_through_the_data():
    keras.utils.set_random_seed(5)
    model = compiled()
    weights = model.get_weights()
    rates = SchedExp(1e-3, 0.5)(np.arange(8) / 8)
    endless = itertools.cycle(list(batches(*rows()))[:6])
    curves = []
    for _ in range(3):
        model.set_weights(weights)
        curves.append([])
        for rate in rates:
            model.optimizer.learning_rate = float(rate)
            model.reset_metrics()
            curves[-1].append(model.train_on_batch(*next(endless)))
    found = search(compiled, *rows(), batch_size=BATCH, num_it=8, repeats=3)
    assert_same_losses(found, np.median(curves, axis=0))
    for curve, expected in zip(found.record.curves, curves, strict=True):
        np.testing.assert_allclose(curve.raw_losses, expected, rtol=1e-5)


def test_several_searches_of_an_optimizer_with_a_state_begin_with_the_same_state():
    def make():
        return compiled(optimizer=keras.optimizers.Adam())

    x, y = rows()
    found = search(make, x, y, batch_size=ROWS, num_it=8, repeats=3)  # each batch is all there is
    for curve in found.record.curves:
        assert curve.raw_losses.tolist() == found.record.curves[0].raw_losses.tolist()


# On several processes

RANKS = """
import json, sys
import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

import keras
from keras_sched import lr_find


def search(number, spoilt):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(number).normal(size=(16, 2)).astype("float32")
    y = 5 + x.sum(1, keepdims=True)
    if spoilt:
        y[8:] = np.nan
    if torch.distributed.is_initialized():
        model = DistributedDataParallel(model)
    arguments = {"batch_size": 4, "num_it": 9, "end_lr": 0.1, "shuffle": False, "show_plot": False, "verbose": 0}
    found = lr_find(model, x, y, suggest_funcs=(), **arguments)
    return found.stopped, found.raw_losses.tolist()


def rank(number, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=number, world_size=2)
    found = search(number, False), search(number, number == 1)
    with open(f"{folder}/{number}.json", "w") as out:
        json.dump(found, out)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(rank, (sys.argv[1],), nprocs=2)
"""


def test_processes_that_train_together_have_the_mean_of_their_losses_and_end_together(backend, run_script, tmp_path):
    if backend != "torch":
        pytest.skip("it is PyTorch's way")
    namespace = {"__name__": "ranks"}
    exec(RANKS, namespace)  # noqa: S102 - the very code that the processes run
    alone = [namespace["search"](number, False)[1] for number in range(2)]
    run_script(RANKS, tmp_path)
    (together, spoilt), others = (json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2))
    assert [together, spoilt] == others
    tolerance = 1e-6 if KERAS < (3, 16) else 1e-2  # from there on Keras averages the gradients as well
    np.testing.assert_allclose(together[1], np.mean(alone, axis=0), rtol=tolerance)
    assert (together[0], spoilt[0], len(spoilt[1])) == ("num_it", "not finite", 2)


@pytest.mark.usefixtures("several_steps")
@pytest.mark.parametrize("callbacks", [[], [{"lr": SchedExp(0.1, 0.01)}]])
def test_a_plain_fit_after_a_search_trains_on_every_batch_of_a_call(callbacks):
    model, other = compiled(steps_per_execution=4), compiled(steps_per_execution=4)
    other.set_weights(model.get_weights())
    lr_find(model, *rows(), num_it=6, show_plot=False, verbose=0, suggest_funcs=())
    for each in (model, other):
        for scheds in (callbacks, []):
            ours = [ParamScheduler(recipe) for recipe in scheds]
            each.fit(*rows(), batch_size=BATCH, shuffle=False, verbose=0, callbacks=ours)
    assert int(model.optimizer.iterations) == int(other.optimizer.iterations) == 12
    np.testing.assert_allclose(model.get_weights()[0], other.get_weights()[0], rtol=1e-6)
