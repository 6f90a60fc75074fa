"""Keys of a schedule that are not the optimizer's: each trains as it would with the values set by hand, eagerly."""

import contextlib
import functools
import math

import keras
import numpy as np
import oracle
import pytest

from keras_sched import ParamScheduler, SchedCos, SchedLin, SchedNo, scheduled
from keras_sched.annealers import combine_scheds

EPOCHS = 3
BATCHES = EPOCHS * oracle.BATCHES
RISING = SchedLin(0.1, 0.6)
TO_ZERO = combine_scheds([0.25, 0.5, 0.25], [SchedNo(0.0, 0.0), SchedLin(0.5, 0.1), SchedNo(0.0, 0.0)])
TOLERANCE = 2e-5

MODES = {
    "compiled": {},
    "eager": {"run_eagerly": True, "jit_compile": False},
    "uncompiled": {"jit_compile": False},
    "several a call": {"steps_per_execution": 2},
}
if keras.backend.backend() == "torch":
    del MODES["several a call"], MODES["uncompiled"]  # Keras' PyTorch has one batch a call, and compiles nothing
    MODES["compiled"] = {"jit_compile": False}
modes = pytest.mark.parametrize("mode", MODES)


class ByHand(keras.callbacks.Callback):
    """Calls `put(model, value)` before each batch, as one does without a schedule."""

    def __init__(self, put, values):
        super().__init__()
        self.put, self.values, self.batch = put, values, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.put(self.model, float(self.values[self.batch]))
        self.batch += 1


class Noisy(keras.layers.Layer):
    """Multiplies by a variable that does not train, and adds what an attribute says."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.shift = 0.25

    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False, name="scale")

    def call(self, x):
        return x * self.scale + self.shift


class OwnStep(keras.Sequential):
    """A `train_step` of its own, that calls Keras'."""

    def train_step(self, *arguments):
        return super().train_step(*arguments)


def make(kind=keras.Sequential, loss=None, optimizer=None, **compile_arguments):
    keras.utils.set_random_seed(7)
    model = kind(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="tanh", name="body", kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.Dropout(0.3, seed=5, name="drop_1"),
            keras.layers.BatchNormalization(momentum=0.9, name="norm"),
            keras.layers.Dropout(0.2, seed=6, name="drop_2"),
            keras.layers.GaussianNoise(0.1, seed=7, name="noise"),
            Noisy(name="noisy"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(
        optimizer or keras.optimizers.SGD(0.05, momentum=0.9), loss or keras.losses.Huber(0.7), **compile_arguments
    )
    return model


def at(path):
    layer, _, attribute = path.partition(".")

    def put(model, value):
        thing = model.get_layer(layer)
        for name in attribute.split(".")[:-1]:
            thing = getattr(thing, name)
        name = attribute.rpartition(".")[2]
        if isinstance(getattr(thing, name), keras.Variable):
            getattr(thing, name).assign(value)
        else:
            setattr(thing, name, value)

    return put


def both_drops(model, value):
    for name in ("drop_1", "drop_2"):
        model.get_layer(name).rate = value


def loss_argument(name):
    def put(model, value):
        model.loss._fn_kwargs[name] = value

    return put


KEYS = {
    "drop_*.rate": both_drops,
    "noise.stddev": at("noise.stddev"),
    "norm.momentum": at("norm.momentum"),
    "noisy.shift": at("noisy.shift"),
    "noisy.scale": at("noisy.scale"),
    "body.kernel_regularizer.l2": at("body.kernel_regularizer.l2"),
    "loss.delta": loss_argument("delta"),
}


def weights(model):
    """Its numbers, its seeds too, but not what the schedule is of."""
    return [np.asarray(v.numpy(), "float64") for v in model.variables if v.name != "scale"]


@functools.cache
def by_hand(build, put, sched, fit=oracle.fit):
    """The weights of an eager run, of a model that `build` makes: trained once for all tests that compare with it."""
    model = build(run_eagerly=True, jit_compile=False)
    callback = ByHand(put, [sched(i / BATCHES) for i in range(BATCHES)])
    with oracle.uncompiled():
        fit(model, [callback], EPOCHS)
    return weights(model)


@modes
@pytest.mark.parametrize("key", KEYS)
def test_a_value_is_in_its_place_in_each_batch(key, mode):
    expected = by_hand(make, KEYS[key], RISING)
    model = make(**MODES[mode])
    scheduler = ParamScheduler({key: RISING})
    history = oracle.fit(model, [scheduler], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    np.testing.assert_allclose(scheduler.hps[key], [RISING(i / BATCHES) for i in range(BATCHES)])
    assert history.history[key][-1] == pytest.approx(RISING(1 - 1 / BATCHES))


@modes
@pytest.mark.parametrize("key", ["drop_*.rate", "noise.stddev", "body.kernel_regularizer.l2"])
def test_a_value_of_zero_trains_as_that_value_would(key, mode):
    expected = by_hand(make, KEYS[key], TO_ZERO)
    model = make(**MODES[mode])
    oracle.fit(model, [ParamScheduler({key: TO_ZERO})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Keras drops everything on PyTorch
def test_a_value_of_one_too():
    ending = combine_scheds([0.5, 0.5], [SchedLin(0.2, 0.8), SchedNo(1.0, 1.0)])
    expected = by_hand(make, KEYS["drop_*.rate"], ending)
    if any(np.isnan(each).any() for each in expected):
        pytest.skip("this Keras' own dropout has no gradient at a rate of 1")
    model = make()
    oracle.fit(model, [ParamScheduler({"drop_*.rate": ending})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


@modes
def test_a_train_step_of_ones_own_reads_them_too(mode):
    expected = by_hand(make, both_drops, TO_ZERO)
    model = make(OwnStep, **MODES[mode])
    oracle.fit(model, [ParamScheduler({"drop_*.rate": TO_ZERO})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


def drops_and_rate(model, value):
    both_drops(model, value)
    model.optimizer.learning_rate = SchedCos(0.1, 0.01)((value - 0.1) / 0.5)


@modes
def test_beside_the_optimizers_own(mode):
    rate = SchedCos(0.1, 0.01)
    expected = by_hand(make, drops_and_rate, RISING)
    model = make(**MODES[mode])
    scheduler = ParamScheduler({"lr": rate, "drop_*.rate": RISING, "mom": SchedNo(0.9, 0.9)})
    oracle.fit(model, [scheduler], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    assert list(scheduler.hps) == ["lr", "drop_*.rate", "mom"]


def test_in_mixed_precision():
    bfloat16 = functools.partial(make)  # not the oracle that is trained in float32

    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        expected = by_hand(bfloat16, both_drops, TO_ZERO)
        model = make()
        oracle.fit(model, [ParamScheduler({"drop_*.rate": TO_ZERO})], EPOCHS)
        own, plain = weights(model), make()
        oracle.fit(plain, [], EPOCHS)
    finally:
        keras.config.set_dtype_policy("float32")
    # bfloat16 rounds otherwise where XLA fuses: near, and nearer by far than a run without the schedule.
    assert oracle.largest_difference(own, expected) < 0.05
    assert [seed.tolist() for seed in own if seed.shape == (2,)] == [
        seed.tolist() for seed in expected if seed.shape == (2,)
    ]


# Losses, their weights, variables and pairs


class TwoHeads(keras.Model):
    """Two outputs, and a weight of one's own in the loss, which the model tracks and does not train."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.heads = [keras.layers.Dense(2, activation="softmax", name=name) for name in ("first", "second")]
        self.kl = keras.Variable(0.5, trainable=False, name="kl")
        self.untracked = Weight()

    def call(self, x):
        return [head(x) for head in self.heads]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + self.kl * keras.ops.mean(keras.ops.square(y_pred[0])) * self.untracked.weight


class Weight:
    """Holds a number; Keras does not know of it."""

    def __init__(self):
        self.weight = 1.0


def two_heads(losses=None, weights=(1.0, 0.5), **compile_arguments):
    keras.utils.set_random_seed(3)
    inside = keras.Input((4,))
    outputs = [keras.layers.Dense(2, activation="softmax", name=name)(inside) for name in ("first", "second")]
    model = keras.Model(inside, outputs)
    losses = losses or [keras.losses.CategoricalCrossentropy(label_smoothing=0.05), "categorical_crossentropy"]
    model.compile("adam", losses, loss_weights=list(weights), **compile_arguments)
    return model


def subclassed(**compile_arguments):
    keras.utils.set_random_seed(3)
    model = TwoHeads()
    model(np.zeros((1, 4), "float32"))
    model.compile("adam", ["categorical_crossentropy"] * 2, **compile_arguments)
    return model


def fit_two(model, callbacks, epochs=EPOCHS, **arguments):
    x, y = oracle.data()
    labels = keras.utils.to_categorical(y[:, 0] > 0, 2)
    return model.fit(
        x, [labels, 1 - labels], batch_size=oracle.BATCH, epochs=epochs, shuffle=False, verbose=0,
        callbacks=callbacks, **arguments,
    )  # fmt: skip


def loss_weight(place):
    def put(model, value):
        flat = model._compile_loss._flat_losses
        if flat is None:  # TensorFlow builds in its first step
            model._compile_loss._user_loss_weights[place] = value
        else:
            flat[place] = flat[place]._replace(loss_weights=value)

    return put


def smoothing(*places):
    def put(model, value):
        for place in places:
            model.loss[place]._fn_kwargs["label_smoothing"] = value

    return put


def objects():
    return [keras.losses.CategoricalCrossentropy(label_smoothing=0.05) for _ in range(2)]


both_smoothings = smoothing(0, 1)


def two_objects(**compile_arguments):
    return two_heads(objects(), **compile_arguments)


OUTPUTS = {
    "loss.label_smoothing": both_smoothings,
    "loss.second.label_smoothing": smoothing(1),
    "loss.0.label_smoothing": smoothing(0),
    "loss_weights.second": loss_weight(1),
    "loss_weights.0": loss_weight(0),
}


@pytest.mark.parametrize(
    ("mode", "sched"), [("compiled", RISING), ("compiled", TO_ZERO), ("eager", RISING)], ids=["", "to 0", "eager"]
)
@pytest.mark.parametrize("key", OUTPUTS)
def test_the_losses_of_several_outputs(key, mode, sched):
    put = OUTPUTS[key]
    if mode == "compiled" and key.endswith("smoothing"):
        needs_smoothing_to_be_traced()
    expected = by_hand(two_objects, put, sched, fit_two)
    model = two_objects(**MODES[mode])
    fit_two(model, [ParamScheduler({key: sched})])
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


def keras_asks_of_smoothing():
    """Whether Keras asks for a Python number, to check it, as its nightly of 3.16 does."""
    try:
        keras.losses.categorical_crossentropy(np.eye(2), np.eye(2), label_smoothing=2.0)
    except ValueError:
        return keras.backend.backend() != "torch"
    return False


def needs_smoothing_to_be_traced():
    if keras_asks_of_smoothing():
        pytest.skip("this Keras asks for a Python number, to check it")


def test_a_smoothing_of_which_keras_asks_a_python_number_is_refused(backend):
    if not keras_asks_of_smoothing():
        pytest.skip("here Keras does not ask, or nothing is compiled")
    with pytest.raises(RuntimeError, match=r"turns into a Python number.*run_eagerly=True"):
        fit_two(two_heads(objects()), [ParamScheduler({"loss.label_smoothing": RISING})])


def test_a_loss_that_was_compiled_by_its_name():
    needs_smoothing_to_be_traced()
    expected = by_hand(two_objects, both_smoothings, TO_ZERO, fit_two)
    model = two_heads(["categorical_crossentropy"] * 2)
    fit_two(model, [ParamScheduler({"loss.label_smoothing": TO_ZERO})])
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


def put_kl(model, value):
    model.kl.assign(value)


def put_weight(model, value):
    model.untracked.weight = value


@modes
def test_a_variable_by_its_name(mode):
    expected = by_hand(subclassed, put_kl, TO_ZERO, fit_two)
    model = subclassed(**MODES[mode])
    scheduler = ParamScheduler({"kl": TO_ZERO})
    history = fit_two(model, [scheduler])
    pairs = [(v, e) for v, e in zip(weights(model), expected, strict=True) if v is not model.kl]
    kept = [number for number, variable in enumerate(model.variables) if variable is not model.kl]
    assert oracle.largest_difference([pairs[i][0] for i in kept], [pairs[i][1] for i in kept]) < TOLERANCE
    assert float(model.kl.numpy()) == 0.5
    assert history.history["kl"] == pytest.approx([TO_ZERO(i / BATCHES) for i in (3, 7, 11)])


@modes
@pytest.mark.parametrize(("attribute", "put"), [("weight", put_weight), ("kl", put_kl)])
def test_a_pair_of_an_object_and_its_attribute(attribute, put, mode):
    expected = by_hand(subclassed, put, RISING, fit_two)
    model = subclassed(**MODES[mode])
    thing = model if attribute == "kl" else model.untracked
    scheduler = ParamScheduler({(thing, attribute): RISING})
    fit_two(model, [scheduler])
    kept = [number for number, variable in enumerate(model.variables) if variable is not model.kl]
    own = weights(model)
    assert oracle.largest_difference([own[i] for i in kept], [expected[i] for i in kept]) < TOLERANCE
    assert list(scheduler.hps) == [f"{model.name if attribute == 'kl' else 'Weight'}.{attribute}"]
    assert scheduler.plot_sched() is not None


# Nothing is left, and nobody else sees it


def own_values(model):
    drops = [model.get_layer(name).rate for name in ("drop_1", "drop_2")]
    noisy = model.get_layer("noisy")
    return [*drops, noisy.shift, noisy.scale.numpy().item(), model.loss._fn_kwargs["delta"]]


EVERY = {"drop_*.rate": TO_ZERO, "noisy.shift": RISING, "noisy.scale": RISING, "loss.delta": RISING}


class Looks(keras.callbacks.Callback):
    """What others see between two batches."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(own_values(self.model)[:3])


@pytest.mark.parametrize("mode", ["compiled", "eager"])
def test_between_two_batches_and_after_the_fit_each_has_its_own_value(mode):
    model = make(**MODES[mode])
    before, looks = own_values(model), Looks()
    oracle.fit(model, [ParamScheduler(EVERY), looks], EPOCHS)
    assert own_values(model) == before
    assert looks.seen == [before[:3]] * BATCHES


def test_a_file_saved_in_the_middle_holds_each_own_value(tmp_path):
    model = make()
    before = own_values(model)
    path = tmp_path / "middle.keras"
    saving = keras.callbacks.ModelCheckpoint(path, save_freq=6)
    oracle.fit(model, [ParamScheduler(EVERY), saving], EPOCHS)
    loaded = keras.models.load_model(path, custom_objects={"Noisy": Noisy})
    assert own_values(loaded)[:4] == before[:4]  # the last one Keras does not save


def test_validation_sees_each_own_value():
    x, y = oracle.data()
    one, other = make(), make()
    scheduled_fit = oracle.fit(one, [ParamScheduler({"loss.delta": SchedNo(0.1, 0.1)})], 1, validation_data=(x, y))
    assert scheduled_fit.history["val_loss"][0] == pytest.approx(one.evaluate(x, y, verbose=0), rel=1e-4)
    assert own_values(one) == own_values(other)


class Dies(keras.layers.Layer):
    """Raises in its n-th call of training."""

    calls = 0

    def call(self, x, training=False):
        if training:
            Dies.calls += 1
            if Dies.calls >= 3:
                raise KeyboardInterrupt
        return x


@pytest.mark.parametrize("mode", ["eager"])
def test_a_step_that_dies_leaves_each_its_own_value(mode):
    Dies.calls = 0
    keras.utils.set_random_seed(1)
    drop = keras.layers.Dropout(0.3, name="drop")
    model = keras.Sequential([keras.Input((4,)), drop, Noisy(name="noisy"), Dies(), keras.layers.Dense(1)])
    model.compile("sgd", keras.losses.Huber(0.7), **MODES[mode])
    with contextlib.suppress(KeyboardInterrupt):
        oracle.fit(model, [ParamScheduler(dict.fromkeys(("drop.rate", "noisy.scale", "loss.delta"), RISING))])
    assert Dies.calls >= 3
    assert (drop.rate, model.loss._fn_kwargs["delta"]) == (0.3, 0.7)
    assert float(model.get_layer("noisy").scale.numpy()) == 1.0


def test_a_second_fit_compiles_nothing_and_takes_its_own_values():
    model = make()
    oracle.fit(model, [ParamScheduler({"drop_*.rate": RISING})], 1)
    steps = len(vars(model).get("_keras_sched_steps", []))
    oracle.fit(model, [ParamScheduler({"drop_*.rate": SchedLin(0.2, 0.3)})], 1)
    assert len(vars(model).get("_keras_sched_steps", [])) == steps


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, on PyTorch
def test_a_name_that_several_layers_have_in_theirs_is_said():
    model = make()
    with pytest.warns(UserWarning, match=r"`'drop'`; no layer is called so, .* drop_1, drop_2: all .*`\*drop\*`"):
        oracle.fit(model, [ParamScheduler({"drop.rate": TO_ZERO})])


# Errors


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("dropout.rate", "drop_1"),
        ("drop_1.rat", "rate"),
        ("dropuot.rate", r"`rate` is of drop_1, drop_2\. The layers are"),
        ("head.units", "whole number"),
        ("head.activation", "is no number that can be scheduled"),
        ("body.kernel_regularizer.l3", "l2"),
        ("loss.gamma", "delta"),
        ("loss.other.delta", "Pass `loss.0.delta`."),
        ("loss_weights.other", "Pass `loss_weights.0`."),
        ("moving_mean", "shape"),
        ("zero.rate", "made with 0"),
        ("rate", "no variable has that name. Did you mean `drop_1.rate` or `drop_2.rate`\\?"),
        ("shift", "Did you mean `noisy.shift`\\?"),
        ("dropout", "Did you mean `drop_1.rate` or `drop_2.rate`\\?"),
        ("drop_2", "Did you mean `drop_2.rate`\\?"),
        ("delta", "Did you mean `loss.delta`\\?"),
        ("loss_weights", "Did you mean `loss_weights.0`\\?"),
        ("scales", "Did you mean `scale`\\?"),
        ("loss.label_smoothing", r"for example `keras.losses.\w+\(label_smoothing=...\)`"),
        ("loss_weight.head", "Did you mean `loss_weights.head`\\?"),
        ("beta_2", "SGD has no such hyper-parameter. Pass one"),
    ],
)
def test_what_cannot_be_scheduled_is_said_before_the_first_batch(key, says):
    model = make()
    if key.startswith("zero"):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.0, name="zero"), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    before = weights(model)
    with pytest.raises(ValueError, match=says):
        oracle.fit(model, [ParamScheduler({key: RISING})])
    assert oracle.largest_difference(before, weights(model)) == 0


@pytest.mark.parametrize(("layer", "says"), [(0, "Did you mean `"), (-1, r"for example `self\.rat = 0\.5`")])
def test_an_attribute_that_an_object_lacks_is_said_so(layer, says):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1, name="head")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"`rat` of `.*` is not there; .*{says}"):
        oracle.fit(model, [ParamScheduler({(model.layers[layer], "rat"): RISING})])


@pytest.mark.parametrize("key", ["kl_share", "vae.kl_share"])
def test_a_models_own_attribute_is_named_with_the_model(key):
    model = make()
    model.kl_share = 1.0
    with pytest.raises(ValueError, match=r"`\(model, 'kl_share'\)`"):
        oracle.fit(model, [ParamScheduler({key: RISING})])


def test_an_output_without_what_is_scheduled_of_it():
    with pytest.raises(ValueError, match=r"Did you mean `loss_weights\.second`"):
        fit_two(two_heads(), [ParamScheduler({"second": RISING})])


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout"])
@pytest.mark.parametrize(
    ("sched", "says"),
    [
        (SchedLin(5.0, 0.0), "a rate of dropout lies between 0 and 1, and .* at batch 0. For 5% pass 0.05"),
        (SchedLin(0.0, -0.5), "lies between 0 and 1, and .* at batch 1. Pass for example"),
    ],
)
def test_a_rate_of_dropout_out_of_its_range(kind, sched, says):
    dropout = getattr(keras.layers, kind)(0.5, name="drop")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Reshape((2, 2)), dropout, keras.layers.Flatten()])
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    before = weights(model)
    with pytest.raises(ValueError, match=f"^`ParamScheduler` received `drop.rate=.*{says}"):
        oracle.fit(model, [ParamScheduler({"drop.rate": sched})], EPOCHS)
    assert oracle.largest_difference(before, weights(model)) == 0


def test_a_rate_of_dropout_of_one_is_in_its_range():
    ParamScheduler({"drop_*.rate": SchedNo(1.0, 1.0)}).check(make())


def test_a_variable_that_trains_or_is_not_the_models():
    scaled = Noisy(name="scaled")
    model = keras.Sequential([keras.Input((4,)), scaled, keras.layers.Dense(1)])
    scaled.scale.trainable = True
    model.compile("sgd", "mse")
    holder = Weight()
    holder.weight = keras.Variable(1.0, trainable=False)
    with pytest.raises(ValueError, match="trains"):
        oracle.fit(model, [ParamScheduler({"scale": RISING})])
    with pytest.raises(ValueError, match="does not track"):
        oracle.fit(model, [ParamScheduler({(holder, "weight"): RISING})])


def test_two_schedules_of_one_target():
    model = make()
    with pytest.raises(ValueError, match="both"):
        oracle.fit(model, [ParamScheduler({"drop_*.rate": RISING, "drop_1.rate": RISING})])
    with pytest.raises(ValueError, match="another callback"):
        oracle.fit(model, [ParamScheduler({"drop_*.rate": RISING}), ParamScheduler({"drop_1.rate": RISING})])


def test_several_values_for_one_target():
    with pytest.raises(ValueError, match="parameter groups"):
        oracle.fit(make(), [ParamScheduler({"drop_*.rate": [RISING, RISING]})])


@pytest.mark.parametrize("key", ["drop.rate", ("a", "b")])
def test_a_loop_of_ones_own_refuses_them(key):
    with pytest.raises(ValueError, match="ParamScheduler"):
        scheduled(keras.optimizers.SGD(), {key: RISING}, steps=3)


class AsksMore(keras.layers.Layer):
    """Asks a question to which only the value has the answer."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.limit = 0.5

    def call(self, x):
        return x if self.limit > 0.3 else x * int(self.limit)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="values are Python numbers there, and any question is")
def test_another_question_of_a_compiled_step_is_an_error():
    model = keras.Sequential([keras.Input((4,)), AsksMore(name="asks"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match="compares with"):
        oracle.fit(model, [ParamScheduler({"asks.limit": RISING})])
    assert model.get_layer("asks").limit == 0.5


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="it is an attribute of TensorFlow's operation")
def test_a_value_that_a_function_compiled_by_jax_takes():
    def leaky(**compile_arguments):
        keras.utils.set_random_seed(3)
        layers = [keras.Input((4,)), keras.layers.LeakyReLU(0.3, name="leaky"), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse", **compile_arguments)
        return model

    expected = by_hand(leaky, at("leaky.negative_slope"), RISING)
    model = leaky()
    oracle.fit(model, [ParamScheduler({"leaky.negative_slope": RISING})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


def test_with_accumulated_gradients():
    def accumulating(**compile_arguments):
        return make(optimizer=keras.optimizers.SGD(0.05, gradient_accumulation_steps=2), **compile_arguments)

    expected = by_hand(accumulating, both_drops, TO_ZERO)
    model = accumulating()
    oracle.fit(model, [ParamScheduler({"lr": SchedNo(0.05, 0.05), "drop_*.rate": TO_ZERO})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE


ON_TWO_DEVICES = """
    import contextlib, keras, numpy as np

    scope = contextlib.nullcontext()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        one, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(one, two)
        scope = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()

    import oracle
    from test_targets import EPOCHS, RISING, Noisy
    from keras_sched import ParamScheduler

    def train():
        keras.utils.set_random_seed(7)
        dense = keras.layers.Dense(8, "tanh", name="body", kernel_regularizer=keras.regularizers.L2(0.01))
        model = keras.Sequential([keras.Input((4,)), dense, Noisy(name="noisy"), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), keras.losses.Huber(0.7))
        keys = ("noisy.scale", "noisy.shift", "loss.delta", "body.kernel_regularizer.l2")
        oracle.fit(model, [ParamScheduler(dict.fromkeys(keys, RISING))], EPOCHS)
        assert model.layers[1].get_weights()[0] == 1.0
        return model

    alone = train()
    if keras.backend.backend() == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices()))
    with scope:
        both = train()
    if keras.backend.backend() == "jax":
        assert len(both.trainable_variables[0].value.sharding.device_set) == 2
    print(oracle.largest_difference(alone.get_weights(), both.get_weights()))
"""


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="there each process has one device")
def test_on_two_devices_as_on_one(run_script):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    assert float(run_script(ON_TWO_DEVICES, env=flags).splitlines()[-1]) < TOLERANCE


# Layers inside layers


def nested(kind):
    """A model with a Dropout `drop` and a GaussianNoise inside `encoder`."""
    inside = [keras.layers.Dense(8, name="first"), keras.layers.Dropout(0.3, name="drop", seed=1)]
    inside += [keras.layers.GaussianNoise(0.1, seed=2)]
    encoder = keras.Sequential(inside, name="encoder")
    if kind == "functional":
        start = x = keras.Input((4,))
        for layer in inside:
            x = layer(x)
        encoder = keras.Model(start, x, name="encoder")
    if kind == "subclassed":

        class Outer(keras.Model):
            def __init__(self):
                super().__init__()
                self.encoder, self.head = encoder, keras.layers.Dense(1)

            def call(self, x, training=None):
                return self.head(self.encoder(x, training=training))

        model = Outer()
        model(np.zeros((1, 4), np.float32))
    else:
        model = keras.Sequential([keras.Input((4,)), encoder, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), loss="mse")
    return model


@pytest.mark.parametrize("kind", ["functional", "sequential", "subclassed"])
def test_a_path_finds_the_layers_inside_a_layer(kind):
    def run(key):
        keras.utils.set_random_seed(5)
        model = nested(kind)
        ours = ParamScheduler({key: SchedLin(0.1, 0.6)})
        oracle.fit(model, [ours])
        return model.get_weights(), ours.hps[key]

    by_path, values = run("encoder/*.rate")
    by_name, _ = run("drop.rate")
    assert oracle.largest_difference(by_path, by_name) == 0
    np.testing.assert_allclose(values, SchedLin(0.1, 0.6)(np.arange(BATCHES) / BATCHES))


def test_a_pattern_that_no_name_is_like_is_looked_for_in_them_as_in_groups():
    model = nested("sequential")
    ours = ParamScheduler({"noise.stddev": SchedLin(0.1, 0.2), "^encoder/dr.rate": SchedLin(0.1, 0.2)})
    oracle.fit(model, [ours])
    assert set(ours.hps) == {"noise.stddev", "^encoder/dr.rate"}


def test_an_optimizers_rate_is_told_to_go_by_its_name():
    model = make()
    model.second = keras.optimizers.Adam(0.01)
    with pytest.raises(ValueError, match=r"adam\w*.learning_rate`; it is an optimizer's. Pass .* and `optimizer=`"):
        oracle.fit(model, [ParamScheduler({(model.second, "learning_rate"): RISING})], EPOCHS)


@pytest.mark.parametrize("key", ["lstm.dropout", "lstm.cell.dropout"])
def test_an_attribute_that_a_recurrent_layer_has_in_its_cell(key):
    def trained(dropout, callbacks=()):
        keras.utils.set_random_seed(3)
        lstm = keras.layers.LSTM(3, dropout=dropout, seed=5, name="lstm")
        model = keras.Sequential([keras.Input((4, 2)), lstm, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x = np.random.default_rng(0).normal(size=(8, 4, 2))
        model.fit(x, x[:, 0, :1], batch_size=4, shuffle=False, verbose=0, callbacks=[*callbacks])
        return weights(model)

    found = trained(0.5, [ParamScheduler({key: SchedNo(0.2, 0.2)})])
    assert oracle.largest_difference(found, trained(0.2)) < TOLERANCE
    assert oracle.largest_difference(found, trained(0.5)) > TOLERANCE


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("att.dropout", "`dropout` of `att` is no number .* Did you mean `att/\\*.rate`"),
        ("att.rate", "`att` has no attribute `rate`; .* Did you mean `att/\\*.rate`"),
        (
            "dense.l2",
            "what can be scheduled there: `dense.kernel_regularizer.l2`. Did you mean `dense.kernel_regularizer.l2`",
        ),
        ("dense._hidden", "`_hidden` of `dense` is private"),
    ],
)
def test_what_was_meant_of_a_layer_is_a_key(key, says):
    inputs = keras.Input((4, 2))
    attended = keras.layers.MultiHeadAttention(2, 4, dropout=0.2, name="att")(inputs, inputs)
    dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.1), name="dense")
    model = keras.Model(inputs, dense(attended))
    dense._hidden = 2.0
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=says):
        model.fit(np.ones((4, 4, 2)), np.ones((4, 4, 1)), verbose=0, callbacks=[ParamScheduler({key: RISING})])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
def test_a_name_that_keras_gave_one_of_several_layers_is_a_warning():
    keras.utils.clear_session()  # the names begin anew
    layers = [keras.layers.Dropout(0.5), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile("sgd", "mse")
    assert [layers[0].name, layers[2].name] == ["dropout", "dropout_1"]
    x = np.ones((4, 3), "float32")
    with pytest.warns(UserWarning, match=r"dropout_1 is not scheduled. Type `dropout\*` for all, or name the layers"):
        model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"dropout.rate": SchedLin(0.5, 0.0)})])
    model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"dropout_1.rate": SchedLin(0.5, 0.0)})])


def test_an_output_that_was_meant_is_called_by_its_name():
    with pytest.raises(ValueError, match=r"Did you mean `loss_weights\.first` or `loss_weights.second`"):
        fit_two(two_heads({"first": "mse", "second": "mse"}), [ParamScheduler({"loss_weights": SchedLin(0.0, 1.0)})])


class Copies(keras.layers.Layer):
    """Reads `p` when it is made."""

    def __init__(self, p, **arguments):
        super().__init__(**arguments)
        self.p = p
        self.drop = keras.layers.Dropout(p, name="inside")

    def call(self, inputs, *, training=False):
        return self.drop(inputs, training=training)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.parametrize("mode", [{}, {"run_eagerly": True}], ids=str)
def test_an_attribute_that_the_step_does_not_read_is_a_warning(mode):
    model = keras.Sequential([keras.Input((3,)), Copies(0.5, name="block"), keras.layers.Dense(2)])
    model.compile("sgd", "mse", **mode)
    x = np.ones((4, 3), "float32")
    fit = {"verbose": 0, "shuffle": False}
    said = r"`'block.p'`; the step did not read it.* made of it, for example `block/\*.rate`"
    with pytest.warns(UserWarning, match=said):
        model.fit(x, x[:, :2], callbacks=[ParamScheduler({"block.p": SchedLin(0.5, 0.0)})], **fit)
    assert "p" not in vars(Copies)
    assert model.layers[0].p == 0.5
    model.fit(x, x[:, :2], callbacks=[ParamScheduler({"block/*.rate": SchedLin(0.5, 0.0)})], **fit)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.parametrize(
    ("layer", "name", "says"),
    [
        (
            keras.layers.ActivityRegularization(0.1, 0.1, name="one"),
            "l2",
            r"made of it.*`one\.activity_regularizer\.l2`",
        ),
        (keras.layers.ReLU(negative_slope=0.1, name="one"), "unread", r"Let the step read `unread` of that ReLU"),
    ],
)
def test_the_hint_for_what_no_step_reads_names_what_exists(layer, name, says):
    layer.unread = 0.1
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    with pytest.warns(UserWarning, match=says):
        model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({f"one.{name}": SchedLin(0.5, 0.1)})])


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("body.kernel_regularizer.l1", {"kernel_regularizer": keras.regularizers.L1(0.1)}),
        ("body.activity_regularizer.l1", {"activity_regularizer": "l1"}),
        ("body.kernel_regularizer.factor", {"kernel_regularizer": keras.regularizers.OrthogonalRegularizer(0.1)}),
    ],
)
@pytest.mark.parametrize("mode", ["compiled", "eager"])
def test_a_number_that_keras_keeps_as_a_tensor(key, arguments, mode):
    def made(**compile_arguments):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="body", **arguments)])
        model.add(keras.layers.Dense(1))
        model.compile("sgd", "mse", **compile_arguments)
        return model

    expected = by_hand(made, at(key), RISING)
    model = made(**MODES[mode])
    _, regularizer, attribute = key.split(".")
    before = getattr(getattr(model.layers[0], regularizer), attribute)
    oracle.fit(model, [ParamScheduler({key: RISING})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    assert getattr(getattr(model.layers[0], regularizer), attribute) is before


@pytest.mark.parametrize(("value", "wrong"), [(np.ones(2, "float32"), "no number"), (np.int32(1), "no number")])
def test_another_tensor_is_no_number(value, wrong):
    model = make()
    model.get_layer("body").weight = keras.ops.convert_to_tensor(value)
    with pytest.raises(ValueError, match=wrong):
        oracle.fit(model, [ParamScheduler({"body.weight": RISING})])


def test_a_layer_that_draws_by_a_generator_of_another_name_is_not_said_to_lack_one():
    turned = keras.layers.RandomRotation(0.1, fill_value=0.0, seed=1, name="turned")
    model = keras.Sequential([keras.Input((4, 4, 1)), turned, keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ParamScheduler({"turned.fill_value": RISING}).check(model)


class Gaussian(keras.layers.Layer):
    """Makes a Python number of a value, or of what it makes of it, as Keras' own GaussianDropout does."""

    def __init__(self, of, **arguments):
        super().__init__(**arguments)
        self.rate = 0.3
        self.of = of

    def call(self, inputs):
        return inputs * self.of(self.rate)


def to_numbers():
    layers = keras.layers.GaussianDropout(0.3, seed=1, name="one"), Gaussian(float, name="one")
    return [*layers, Gaussian(lambda rate: math.sqrt(rate / (1 - rate)), name="one")]


@pytest.mark.parametrize("which", range(3), ids=["Keras' own", "plain", "computed"])
def test_a_layer_that_makes_a_python_number_of_it(which):
    def made(**compile_arguments):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((4,)), to_numbers()[which], keras.layers.Dense(1)])
        model.compile("sgd", "mse", **compile_arguments)
        return model

    expected = by_hand(made, at("one.rate"), RISING)
    model = made(run_eagerly=True)
    oracle.fit(model, [ParamScheduler({"one.rate": RISING})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
    if keras.backend.backend() != "torch":
        model = made()
        before = weights(model)
        with pytest.raises(RuntimeError, match=r"turns into a Python number(.|\n)*run_eagerly=True"):
            oracle.fit(model, [ParamScheduler({"one.rate": RISING})], EPOCHS)
        assert oracle.largest_difference(weights(model), before) == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
def test_an_object_of_a_class_that_cannot_be_looked_into():
    held = functools.partial(int)
    held.kl = 0.5

    class Reads(keras.layers.Layer):
        def call(self, inputs):
            return inputs * held.kl

    model = keras.Sequential([keras.Input((3,)), Reads(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    ours = ParamScheduler({(held, "kl"): SchedLin(0.5, 0.0)})
    model.fit(x, x[:, :2], verbose=0, callbacks=[ours])
    assert ours.hps["partial.kl"].tolist() == [0.5]
    assert held.kl == 0.5


class CopiesToo(Copies):
    """Inherits what it reads from a class that is watched as well."""


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.parametrize("kinds", [(Copies, CopiesToo), (CopiesToo, Copies)])
def test_neither_of_two_classes_hides_the_other(kinds):
    blocks = [kind(0.5, name=f"block_{i}") for i, kind in enumerate(kinds)]
    model = keras.Sequential([keras.Input((3,)), *blocks, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    with pytest.warns(UserWarning, match=r"`'block_\*.p'`; the step did not read it"):
        model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"block_*.p": SchedLin(0.5, 0.0)})])
    assert not {"p"} & {*vars(Copies), *vars(CopiesToo)}


class ByNumPy(keras.layers.Layer):
    def __init__(self, of, **arguments):
        super().__init__(**arguments)
        self.t = 2.0
        self.of = of

    def call(self, inputs):
        return inputs * self.of(self.t)


def by_numpy(of):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), ByNumPy(of, name="scale"), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")  # PyTorch's, of an array
@pytest.mark.parametrize(
    "of",
    [
        lambda t: np.float64(3) * t,
        lambda t: t - np.float32(1),
        lambda t: np.float32(4) / t,
        lambda t: np.float64(1) - t,
        lambda t: t ** np.int64(2),
        lambda t: np.array([1, 2, 3], "float32") - t,
        lambda t: t - np.array([1, 2, 3], "float32"),
        lambda t: 2 * t if np.float64(0) < t else 3 * t,
        lambda t: 2 * t if t == np.float64(0) else 3 * t,
        lambda t: 2 * t if np.float64(1) >= t else 3 * t,
    ],
)
def test_numbers_of_numpy_calculate_with_a_value(of):
    x = np.ones((4, 3), "float32")
    model, expected = by_numpy(of), by_numpy(of)
    expected.layers[0].t = 0.5
    model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"scale.t": SchedNo(0.5, 0.5)})])
    expected.fit(x, x[:, :2], verbose=0)
    assert oracle.largest_difference(weights(model), weights(expected)) < TOLERANCE


def test_a_function_of_numpy_is_answered_with_that_of_keras(backend):
    if backend == "torch":
        pytest.skip("nothing is compiled there")
    x = np.ones((4, 3), "float32")
    with pytest.raises(RuntimeError, match=r"in `numpy.sqrt`.* Take `keras.ops.sqrt` there"):
        by_numpy(np.sqrt).fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"scale.t": SchedLin(0.5, 1.0)})])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the others compile once for all values")
def test_a_step_that_pytorch_would_compile_for_each_value_is_a_warning(monkeypatch):
    import torch

    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, name="drop"), keras.layers.Dense(2)])
    model.compile("sgd", "mse", jit_compile=True)
    x = np.ones((4, 3), "float32")
    with pytest.warns(
        UserWarning, match="'drop.rate' with jit_compile=True`; PyTorch compiles the step again for each"
    ):
        model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"drop.rate": SchedLin(0.5, 0.0)})])
    model.fit(x, x[:, :2], verbose=0, callbacks=[ParamScheduler({"lr": SchedLin(0.5, 0.0)})])


@pytest.mark.parametrize(
    ("made", "sched", "says"),
    [
        (
            {},
            RISING,
            r"a \w+Cell made with 0 never drops any\. Make the layer with another, for example `recurrent_dropout=",
        ),
        (
            {"dropout": 0.2, "recurrent_dropout": 0.1},
            SchedLin(0.5, 0.0),
            "beside `dropout` it may not be 0, .* at batch",
        ),
    ],
)
@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU])
def test_a_recurrent_dropout_that_keras_cannot_follow_is_refused(kind, made, sched, says):
    model = keras.Sequential([keras.Input((4, 2)), kind(3, name="rnn", **made), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ours = ParamScheduler({"rnn.recurrent_dropout": sched})
    with pytest.raises(ValueError, match=says):
        model.fit(np.ones((4, 4, 2)), np.ones((4, 1)), verbose=0, callbacks=[ours])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.parametrize("made", [{"recurrent_dropout": 0.1}, {"dropout": 0.2, "recurrent_dropout": 0.1}], ids=str)
def test_a_recurrent_dropout_that_fades_out(made):
    def build(**compile_arguments):
        keras.utils.set_random_seed(7)
        rnn = keras.layers.LSTM(3, seed=5, name="rnn", **made)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Reshape((2, 2)), rnn, keras.layers.Dense(1)])
        model.compile("sgd", "mse", **compile_arguments)
        return model

    fading = SchedLin(0.5, 1e-6)
    expected = by_hand(build, at("rnn.cell.recurrent_dropout"), fading)
    model = build()
    oracle.fit(model, [ParamScheduler({"rnn.recurrent_dropout": fading})], EPOCHS)
    assert oracle.largest_difference(weights(model), expected) < TOLERANCE
