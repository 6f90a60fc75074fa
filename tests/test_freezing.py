"""Freezing: what trains at the next fit, and the optimizer of the same configuration that begins then."""

import functools

import keras
import numpy as np
import pytest
from keras import layers, optimizers

from keras_sched import fine_tune, fit_one_cycle
from keras_sched.callbacks import OneCycle
from keras_sched.freezing import freeze, freeze_to, is_frozen, reset_optimizer, unfreeze
from keras_sched.groups import layer_groups

RNG = np.random.default_rng(7)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = RNG.normal(size=(32, 3)).astype("float32")


def build():
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, name="a"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(4, activation="tanh", name="b"),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )


def compiled(optimizer, *, run_eagerly=True):
    """A model that trains op by op, which is quicker for a few batches; the tests of compiled steps ask for those."""
    model = build()
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    return model


def copy_of(model):
    """Another model with the same weights, not compiled."""
    other = build()
    other.set_weights(model.get_weights())
    return other


def fit(model, epochs=1, **arguments):
    return model.fit(X, Y, batch_size=16, epochs=epochs, shuffle=False, verbose=0, **arguments)


def weights(model, *names):
    """{path: value} of the layers of these names, or of all."""
    held = [weight for layer in model.layers if not names or layer.name in names for weight in layer.weights]
    return {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in held}


def moved(before, after):
    """The names of the layers some weight of which is not the same to the bit."""
    return {path.split("/")[-2] for path in before if before[path].tobytes() != after[path].tobytes()}


def assert_same(model, other, atol=0.0):
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=atol)


def recompiled(model, optimizer, *frozen, run_eagerly=True):
    """Keras' own way: flags, and a new compile with a new optimizer."""
    for layer in model.layers:
        layer.trainable = layer.name not in frozen
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    optimizer.build(model.trainable_variables)


def iterations(model):
    return int(model.optimizer.iterations)


def output(model, *, training=False):
    return keras.ops.convert_to_numpy(model(X, training=training))


def training(model):
    return [variable.path.removeprefix("net/") for variable in model.trainable_variables]


def state(model):
    """All that a call which fails must leave alone."""
    return (
        training(model),
        [layer.trainable for layer in model.layers],
        [variable.numpy().tobytes() for variable in model.optimizer.variables],
        [id(variable) for variable in model.optimizer.variables],
        model.train_function,
    )


# What trains


def test_frozen_weights_do_not_move_by_a_bit_and_the_head_does():
    model = compiled(optimizers.AdamW(0.05, weight_decay=0.1), run_eagerly=False)
    fit(model)
    before = weights(model)
    freeze(model)
    fit(model, 2)
    assert moved(before, weights(model)) == {"norm", "head"}


def test_unfrozen_weights_train_again():
    model = compiled(optimizers.AdamW(0.05, weight_decay=0.1), run_eagerly=False)
    freeze(model)
    fit(model)
    before = weights(model)
    unfreeze(model)
    fit(model)
    assert moved(before, weights(model)) == {"a", "norm", "b", "head"}


def test_freezing_before_the_first_fit_needs_no_optimizer_state():
    model = compiled("adam", run_eagerly=False)
    before = weights(model)
    freeze(model)
    fit(model)
    assert moved(before, weights(model)) == {"norm", "head"}


def test_a_model_can_be_frozen_before_it_is_compiled():
    model = build()
    freeze_to(model, 1, groups=3)
    before = weights(model)
    model.compile("adam", "mse", run_eagerly=True)
    fit(model)
    assert moved(before, weights(model)) == {"norm", "b", "head"}


@pytest.mark.parametrize(
    ("n", "still"), [(0, set()), (1, {"a"}), (2, {"a", "b"}), (-1, {"a", "b"}), (-2, {"a"}), (-3, set())]
)
def test_the_first_n_groups_are_frozen_and_a_negative_n_counts_from_the_end(n, still):
    model = compiled("sgd")
    before = weights(model)
    freeze_to(model, n, groups=3)
    fit(model)
    assert {"a", "b", "head"} - moved(before, weights(model)) == still


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own, where NumPy is new
def test_all_groups_can_be_frozen_with_a_warning():
    model = compiled("sgd")
    with pytest.warns(UserWarning, match=r"`freeze_to` has frozen the whole of `net`"):
        freeze_to(model, 2, train_bn=False)
    assert model.trainable_variables == []
    for train in (fit_one_cycle, fine_tune):
        with pytest.raises(RuntimeError, match=r"the model `net`, of which no variable trains; .* `unfreeze\(model\)`"):
            train(model, X, np.zeros((len(X), 1)), epochs=1, verbose=0)
    unfreeze(model)
    assert len(model.trainable_variables) == 8


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_freezing_of_none_of_the_default_groups_is_said():
    model = compiled("sgd")
    with pytest.warns(UserWarning, match=r"`freeze_to` froze nothing of 2 groups: ask for `groups=3`"):
        freeze_to(model, -2)
    freeze_to(model, -2, groups=2)  # asked for
    assert len(model.trainable_variables) == 8


def test_a_gradual_unfreezing_goes_on_with_the_groups_of_the_first_call():
    model = build()
    freeze_to(model, -1, groups=3)
    freeze_to(model, -2)
    assert training(model) == ["norm/gamma", "norm/beta", "b/kernel", "b/bias", "head/kernel", "head/bias"]


def test_patterns_freeze_single_variables_of_a_layer():
    model = compiled("sgd")
    freeze(model, groups=[["/a/", "b/kernel"], ["norm", "b/bias", "head"]])
    before = weights(model)
    fit(model)
    after = weights(model)
    assert moved({"net/b/kernel": before["net/b/kernel"]}, after) == set()
    assert moved({"net/b/bias": before["net/b/bias"]}, after) == {"b"}


def test_a_function_of_a_variable_freezes_and_unfreezes():
    def group(variable):
        return {"a": 0, "norm": 0, "b": 1, "head": 2}[variable.path.split("/")[1]]

    model = build()
    freeze_to(model, 2, groups=group, train_bn=False)
    assert training(model) == ["head/kernel", "head/bias"]
    freeze_to(model, 1, groups=group, train_bn=False)
    assert training(model) == ["b/kernel", "b/bias", "head/kernel", "head/bias"]
    freeze_to(model, 0, groups=group)
    assert len(training(model)) == 8


def test_lists_of_layers_freeze():
    model = build()
    freeze_to(model, 1, groups=layer_groups(model, 3))
    assert "a/kernel" not in training(model)
    assert "b/kernel" in training(model)


def test_unfreezing_trains_also_what_was_frozen_by_hand():
    model = build()
    for layer in model.layers:
        layer.trainable = False
    unfreeze(model)
    assert len(training(model)) == 8
    model.get_layer("a").trainable = False
    freeze(model, groups=[["norm", "/b/"], ["head"]])
    with pytest.warns(UserWarning, match=r"what was frozen by hand trains again: `net/a/kernel`, `net/a/bias`\. Set"):
        unfreeze(model)
    assert len(training(model)) == 8


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_what_was_frozen_by_hand_is_named_before_it_trains():
    model = compiled("adam")
    freeze(model)
    model.get_layer("b").trainable = False  # frozen already: nothing was frozen by hand
    model.get_layer("head").trainable = False
    optimizer = model.optimizer
    with pytest.raises(UserWarning, match=r"`freeze_to` .* what was frozen by hand trains again: `net/head/kernel`"):
        freeze_to(model, -1)  # warnings are errors in these tests
    assert not any("head" in name for name in training(model))
    assert model.optimizer is optimizer
    model.get_layer("head").trainable = True
    unfreeze(model)
    model.get_layer("a").trainable = False
    unfreeze(model)  # nothing was frozen but this: it is meant
    assert len(training(model)) == 8
    for layer in model.layers[:-1]:
        layer.trainable = False
    freeze(model, train_bn=False)  # which finds nothing to freeze
    with pytest.warns(UserWarning, match="what was frozen by hand trains again: `net/a/kernel`"):
        unfreeze(model)
    assert len(training(model)) == 8


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_batch_norms_frozen_by_hand_are_named_by_the_first_freeze_too():
    model = compiled("adam")
    model.get_layer("norm").trainable = False
    model.get_layer("a").trainable = False
    with pytest.raises(
        UserWarning, match=r"`freeze` .*trains again: `net/norm/gamma`, `net/norm/beta`\. Pass `train_bn=F"
    ):
        freeze(model)
    assert not any("norm" in name for name in training(model))
    freeze(model, train_bn=False)
    assert not any("norm" in name for name in training(model))
    with pytest.warns(UserWarning, match=r"`net/a/kernel`, .*`net/norm/gamma`.* Set `layer.trainable = False`"):
        unfreeze(model)


def test_a_model_of_one_layer_can_be_unfrozen():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    model.layers[0].trainable = False
    unfreeze(model)
    assert len(model.trainable_variables) == 2


def test_what_is_in_no_group_stays_as_it_is():
    model = build()
    for name in ("a", "norm"):
        model.get_layer(name).trainable = False
    for call in (freeze, unfreeze, functools.partial(freeze_to, n=0)):
        call(model, groups=[["/b/"], ["head"]])
        assert [model.get_layer(name).trainable for name in ("a", "norm", "head")] == [False, False, True]
        assert training(model)[-2:] == ["head/kernel", "head/bias"]
        assert not any(path.startswith(("a/", "norm/")) for path in training(model))


# BatchNorm


def test_batchnorm_in_frozen_groups_goes_on_training():
    model = compiled(optimizers.SGD(0.1))
    before = weights(model, "norm")
    freeze(model)
    fit(model)
    after = weights(model, "norm")
    assert [path for path in before if np.array_equal(before[path], after[path])] == []


def test_batchnorm_is_frozen_with_train_bn_false_its_statistics_too():
    model = compiled(optimizers.SGD(0.1))
    before = weights(model)
    freeze(model, train_bn=False)
    fit(model)
    assert moved(before, weights(model)) == {"head"}


def test_frozen_batchnorm_uses_its_moving_statistics():
    model = build()
    freeze(model, train_bn=False)
    np.testing.assert_array_equal(output(model, training=True), output(model, training=False))
    freeze(model)
    assert not np.allclose(output(model, training=True), output(model, training=False))


def test_batchnorm_in_a_group_that_trains_trains_whatever_train_bn_says():
    model = build()
    freeze_to(model, 1, groups=[["/a/"], ["norm", "/b/", "head"]], train_bn=False)
    assert "norm/gamma" in training(model)


@pytest.mark.parametrize("train_bn", [True, False])
def test_batchnorm_without_weights_of_its_own_is_frozen_or_not_like_any_other(train_bn):
    norm = layers.BatchNormalization(center=False, scale=False, name="norm")
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4), norm, layers.Dense(3)])
    model.compile("sgd", "mse", run_eagerly=True)
    freeze(model, train_bn=train_bn)
    before = norm.moving_mean.numpy()
    fit(model)
    assert np.array_equal(before, norm.moving_mean.numpy()) is not train_bn


# Deep models


class Block(layers.Layer):
    """A layer of layers, with a weight of its own."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.inner = layers.Dense(4)
        self.norm = layers.BatchNormalization(name="block_norm")

    def build(self, input_shape):
        self.token = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="token")
        self.inner.build(input_shape)
        self.norm.build((None, 4))

    def call(self, x, training=False):
        return self.norm(self.inner(x * self.token), training=training)


def deep():
    """A backbone of a layer of layers, and a head."""
    body = keras.Sequential([keras.Input((6,)), Block(name="block"), layers.Dense(4, name="last")], name="body")
    model = keras.Sequential([keras.Input((6,)), body, layers.Dropout(0.5), layers.Dense(3, name="head")])
    model.compile("adam", "mse", run_eagerly=True)
    return model, body, body.get_layer("block")


def test_batchnorm_deep_in_a_frozen_backbone_trains_and_nothing_else_does():
    model, body, block = deep()
    before = weights(body)
    freeze(model)
    assert is_frozen(model)
    fit(model)
    assert moved(before, weights(body)) == {"block_norm"}
    assert [v is w for v, w in zip(body.trainable_variables, block.norm.trainable_variables, strict=True)] == [True] * 2


def test_the_flags_of_layers_say_what_trains_in_them():
    model, body, block = deep()
    freeze(model)
    flags = [layer.trainable for layer in (model, body, block, block.norm, block.inner, body.get_layer("last"))]
    assert flags == [True, True, True, True, False, False]
    freeze(model, train_bn=False)
    assert [layer.trainable for layer in (model, body, block, block.norm, block.inner)] == [True, *[False] * 4]
    unfreeze(model)
    assert all(layer.trainable for layer in (model, body, block, block.norm, block.inner, body.get_layer("last")))
    assert len(model.trainable_variables) == 9


def test_a_layer_that_is_used_twice_is_frozen_once_for_all():
    shared = layers.Dense(6, name="shared")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(3, name="head")(shared(shared(inputs))))
    model.compile("adam", "mse", run_eagerly=True)
    freeze(model)
    before = weights(model)
    fit(model)
    assert moved(before, weights(model)) == {"head"}


def test_a_subclassed_model_is_frozen():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.body = layers.Dense(4, name="body")
            self.head = layers.Dense(3, name="head")

        def call(self, x):
            return self.head(self.body(x))

    model = Net()
    model.compile("adam", "mse", run_eagerly=True)
    fit(model)
    before = weights(model)
    freeze(model)
    fit(model)
    assert moved(before, weights(model)) == {"head"}


# The optimizer begins again


@keras.saving.register_keras_serializable("test_freezing")
def by_path(variable):
    """The optimizer of a variable: a function that can be made again from its name."""
    return optimizers.SGD(0.1) if "head" in variable.path else optimizers.Nadam(0.01)


def every_optimizer():
    made = {
        "sgd": lambda: optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
        "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
        "nadam": lambda: optimizers.Nadam(0.01),
        "adafactor": lambda: optimizers.Adafactor(0.01),
        "ftrl": lambda: optimizers.Ftrl(0.01),
        "accumulation": lambda: optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3),
        "ema": lambda: optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9),
        "loss scale": lambda: optimizers.LossScaleOptimizer(optimizers.SGD(0.1, momentum=0.9), initial_scale=1024.0),
        "schedule": lambda: optimizers.SGD(optimizers.schedules.CosineDecay(0.05, 20)),
    }
    if hasattr(optimizers, "Muon"):
        made["muon"] = lambda: optimizers.Muon(0.01)
    if hasattr(optimizers, "ScheduleFreeAdamW"):
        made["schedule free"] = lambda: optimizers.ScheduleFreeAdamW(0.01)
    if hasattr(optimizers, "MultiOptimizer"):
        made["multi"] = lambda: optimizers.MultiOptimizer(by_path)
    return made


of_every_optimizer = pytest.mark.parametrize("make", every_optimizer().values(), ids=every_optimizer().keys())


def pair(make):
    """Two models that have trained alike, without a compiled step but where that is the slower way (conditions)."""
    optimizer = make()
    eager = not (isinstance(optimizer, optimizers.LossScaleOptimizer) or optimizer.gradient_accumulation_steps)
    model = compiled(make(), run_eagerly=eager)
    control = copy_of(model)
    control.compile(make(), "mse", run_eagerly=eager)
    for each in (model, control):
        each.optimizer.build(each.trainable_variables)
        fit(each)
    return model, control


@of_every_optimizer
def test_after_freezing_it_trains_as_a_new_compile_with_a_new_optimizer_does(make):
    model, control = pair(make)
    freeze(model)
    recompiled(control, make(), "a", "b", run_eagerly=control.run_eagerly)
    fit(model)
    fit(control)
    assert_same(model, control)
    assert [v.shape for v in model.optimizer.variables[:3]] == [v.shape for v in control.optimizer.variables[:3]]


def test_compiled_steps_follow_as_well():
    model = compiled(optimizers.Adam(0.01), run_eagerly=False)
    control = copy_of(model)
    for call, frozen in ((unfreeze, ()), (freeze, ("a", "b")), (unfreeze, ())):
        call(model)
        recompiled(control, optimizers.Adam(0.01), *frozen, run_eagerly=False)
        fit(model)
        fit(control)
        assert_same(model, control)


def wrapped(optimizer):
    return optimizers.LossScaleOptimizer(optimizer, initial_scale=1.0)


@pytest.mark.parametrize("around", [lambda optimizer: optimizer, wrapped], ids=["alone", "in a loss scale"])
def test_the_new_optimizer_has_all_that_was_set_on_the_old_one(around):
    optimizer = optimizers.AdamW(0.01, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = compiled(around(optimizer), run_eagerly=around is not wrapped)
    fit(model)
    control = copy_of(model)
    optimizer.learning_rate, optimizer.weight_decay, optimizer.beta_1 = 0.03, 0.2, 0.8
    freeze(model)

    other = optimizers.AdamW(0.03, weight_decay=0.2, beta_1=0.8)
    other.exclude_from_weight_decay(var_names=["bias"])
    recompiled(control, around(other), "a", "b", run_eagerly=model.run_eagerly)
    fit(model)
    fit(control)
    assert_same(model, control)


def test_the_new_optimizer_takes_the_old_ones_place_and_leaves_it_as_it_is():
    optimizer = optimizers.Adam(0.01)
    model = compiled(optimizer)
    fit(model)
    kept = [(variable.path, variable.numpy()) for variable in optimizer.variables]
    freeze(model)
    assert model.optimizer is not optimizer
    assert type(model.optimizer) is type(optimizer)
    assert iterations(model) == 0
    fit(model)
    for variable, (path, value) in zip(optimizer.variables, kept, strict=True):
        assert variable.path == path
        np.testing.assert_array_equal(variable.numpy(), value)


class Dictionary(optimizers.SGD):
    """An optimizer without a configuration, that keeps its slots in a dictionary."""

    def build(self, variables):
        if not self.built:
            super().build(variables)
            self.extra = {v.path: self.add_variable_from_reference(v, "extra") for v in variables}

    def get_config(self):
        raise NotImplementedError


class Curious(optimizers.SGD):
    """An optimizer whose configuration lacks an argument that has no default."""

    def __init__(self, rate, extra):
        super().__init__(rate)


WITHOUT_A_CONFIGURATION = {
    "no get_config": lambda: Dictionary(0.1, momentum=0.9),
    "an argument that the configuration lacks": lambda: Curious(0.1, extra=1),
}
if hasattr(optimizers, "MultiOptimizer"):
    WITHOUT_A_CONFIGURATION["a lambda"] = lambda: optimizers.MultiOptimizer(lambda variable: optimizers.SGD(0.1))


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("call", [freeze, reset_optimizer])
@pytest.mark.parametrize("make", WITHOUT_A_CONFIGURATION.values(), ids=WITHOUT_A_CONFIGURATION.keys())
def test_an_optimizer_that_cannot_be_made_from_its_configuration_is_an_error_before_anything_changes(make, call):
    model = compiled(make())
    fit(model)
    before, optimizer = state(model), model.optimizer
    kind = type(optimizer).__name__
    with pytest.raises(RuntimeError, match=rf"`{call.__name__}` found a {kind} that cannot be made.*compile the model"):
        call(model)
    assert state(model) == before
    assert model.optimizer is optimizer


def test_the_optimizer_is_let_alone_where_the_same_variables_train():
    model = compiled("adam")
    fit(model)
    before = state(model)
    unfreeze(model)
    freeze_to(model, 0, groups=3)
    assert state(model) == before


def test_flags_set_by_hand_take_effect_with_the_next_call():
    model = compiled("adam", run_eagerly=False)
    fit(model)
    model.get_layer("a").trainable = False
    freeze_to(model, 0, groups=[["norm", "/b/"], ["head"]])
    before = weights(model)
    fit(model)
    assert moved(before, weights(model)) == {"norm", "b", "head"}


def test_evaluate_and_predict_use_the_right_weights_after_freezing():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="a"), layers.Dense(6, name="b")])
    model.compile("adam", "mse")
    data = (X, X)
    for n, groups in ((1, [["a/"], ["b/"]]), (1, [["b/"], ["a/"]]), (0, None)):
        freeze_to(model, n, groups=groups)
        model.fit(*data, verbose=0)
        expected = output(model)
        np.testing.assert_allclose(model.predict(X, verbose=0), expected, atol=1e-6)
        np.testing.assert_allclose(model.evaluate(*data, verbose=0), np.mean((expected - X) ** 2), rtol=1e-4)


def test_a_callback_may_unfreeze_between_two_epochs_of_a_plain_fit():
    class Unfreeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                seen.append(moved(before, weights(self.model)))
                unfreeze(self.model)

    seen = []
    model = compiled("adam", run_eagerly=False)
    freeze(model)
    before = weights(model)
    fit(model, 2, callbacks=[Unfreeze()])
    assert seen == [{"norm", "head"}]
    assert moved(before, weights(model)) == {"a", "norm", "b", "head"}


def test_freezing_in_the_middle_of_a_scheduled_fit_ends_the_schedule_and_the_next_hook_says_so():
    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                freeze(self.model)

    model = compiled("adam", run_eagerly=False)
    compiled_rate = float(model.optimizer.learning_rate)
    message = "`OneCycle` found a schedule that has ended before its fit.*freeze.*in a fit of its own"
    with pytest.raises(RuntimeError, match=message):
        fit(model, 3, callbacks=[Freeze(), OneCycle(0.01)])
    assert float(model.optimizer.learning_rate) == pytest.approx(compiled_rate)
    plain = optimizers.Adam()
    plain.build(model.trainable_variables)
    assert vars(model.optimizer).keys() == vars(plain).keys()
    before = weights(model)
    fit(model)
    assert moved(before, weights(model)) == {"norm", "head"}


def test_scheduled_fits_before_and_after_see_the_new_optimizer_state():
    model = compiled(optimizers.Adam(0.01), run_eagerly=False)
    control = copy_of(model)
    for call, frozen in ((unfreeze, ()), (freeze, ("a", "b")), (unfreeze, ()), (freeze, ("a", "b"))):
        call(model)
        recompiled(control, optimizers.Adam(0.01), *frozen, run_eagerly=False)
        fit(model, callbacks=[OneCycle(0.02)])
        fit(control, callbacks=[OneCycle(0.02)])
        assert_same(model, control, atol=1e-7)


def test_a_frozen_model_is_saved_with_its_state_as_plain_keras_saves_it(tmp_path):
    model = compiled("nadam", run_eagerly=False)
    fit(model)
    freeze(model)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(model)
    fit(loaded)
    assert [v.path.split("/")[-2:] for v in loaded.trainable_variables] == [
        v.path.split("/")[-2:] for v in model.trainable_variables
    ]
    assert_same(model, loaded)


# reset_optimizer


@of_every_optimizer
def test_a_reset_optimizer_trains_as_a_new_one(make):
    model, control = pair(make)
    reset_optimizer(model)
    recompiled(control, make(), run_eagerly=control.run_eagerly)
    fit(model)
    fit(control)
    assert_same(model, control)


def test_a_reset_keeps_the_rate_the_variables_and_so_the_compiled_step():
    model = compiled(optimizers.Adam(0.01), run_eagerly=False)
    fit(model)
    model.optimizer.learning_rate = 0.5
    before = model.optimizer, [id(variable) for variable in model.optimizer.variables], model.train_function
    reset_optimizer(model)
    assert (model.optimizer, [id(v) for v in model.optimizer.variables], model.train_function) == before
    assert iterations(model) == 0
    assert float(model.optimizer.learning_rate) == 0.5


def test_a_loss_scale_begins_again_where_the_optimizer_does():
    optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(0.1), initial_scale=4.0, dynamic_growth_steps=2)
    model = compiled(optimizer, run_eagerly=False)
    for call in (reset_optimizer, freeze):
        fit(model)
        assert float(model.optimizer.dynamic_scale) == 8.0
        call(model)
        assert float(model.optimizer.dynamic_scale) == 4.0


def test_a_reset_of_an_optimizer_that_is_not_built_sets_its_count():
    model = compiled("adam")
    model.optimizer.iterations.assign(5)
    reset_optimizer(model)
    assert iterations(model) == 0


def test_a_reset_follows_flags_set_by_hand():
    model = compiled("adam")
    fit(model)
    model.get_layer("a").trainable = False
    reset_optimizer(model)
    before = weights(model)
    fit(model)
    assert moved(before, weights(model)) == {"norm", "b", "head"}


def test_only_a_compiled_model_has_an_optimizer_to_reset():
    with pytest.raises(RuntimeError, match=r"`reset_optimizer` found the model `net` without an optimizer.*compile"):
        reset_optimizer(build())


# is_frozen


def test_a_model_is_frozen_when_the_group_before_the_last_trains_nothing():
    model = build()
    assert not is_frozen(model)
    freeze(model, groups=3)
    assert is_frozen(model)
    freeze_to(model, 1)
    assert not is_frozen(model)
    assert is_frozen(model, groups=[["/a/"], ["norm", "/b/", "head"]])
    unfreeze(model)
    assert not is_frozen(model)


def test_a_model_frozen_by_keras_own_flag_is_frozen():
    model, body, _ = deep()
    assert not is_frozen(model)
    body.trainable = False
    assert is_frozen(model)


def test_a_model_of_one_layer_or_group_is_not_frozen():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    assert not is_frozen(model)
    assert not is_frozen(build(), groups=1)


# Wrong uses change nothing

WRONG = {
    "n above": (lambda m: freeze_to(m, 3), ValueError, r"`freeze_to` received `n=3`.*there are 2 groups.*from -2 to 2"),
    "n below": (lambda m: freeze_to(m, -3), ValueError, r"`freeze_to` received `n=-3`"),
    "n a fraction": (lambda m: freeze_to(m, 0.5), ValueError, r"`freeze_to` received `n=0.5`"),
    "n a boolean": (lambda m: freeze_to(m, n=True), ValueError, r"`freeze_to` received `n=True`"),
    "n none": (lambda m: freeze_to(m, None), ValueError, r"`freeze_to` received `n=None`"),
    "too many groups": (lambda m: freeze(m, groups=9), ValueError, r"`freeze` received `groups=9`.*`groups=3`"),
    "uncovered": (lambda m: freeze(m, groups=[["/a/"], ["head"]]), ValueError, r"no group has `net/norm/gamma`"),
    "doubled": (lambda m: freeze(m, groups=[["."], ["head"]]), ValueError, r"both have `net/head/kernel`"),
    "no match": (lambda m: unfreeze(m, groups=[["."], ["tail"]]), ValueError, r"`unfreeze` .*matches no variable"),
    "stranger": (lambda m: is_frozen(m, [[layers.Dense(2)], ["."]]), ValueError, r"`is_frozen` .*is not in the model"),
    "no groups": (lambda m: freeze(m, groups="head"), TypeError, r"`freeze` received `groups='head'`"),
    "own error": (lambda m: freeze(m, groups=lambda v: {}[v.path]), KeyError, r"net/a/kernel"),
}


@pytest.mark.parametrize(("call", "kind", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_use_is_told_and_changes_nothing(call, kind, message):
    model = compiled("adam")
    fit(model)
    before = state(model)
    with pytest.raises(kind, match=message):
        call(model)
    assert state(model) == before
    freeze(model)  # by two groups, not by those of the call that failed
    assert training(model)[-2:] == ["head/kernel", "head/bias"]


@pytest.mark.parametrize("call", [freeze, unfreeze, is_frozen, lambda model: freeze_to(model, 1)])
def test_a_model_without_weights_is_told_to_be_built(call):
    with pytest.raises(RuntimeError, match="Build it first"):
        call(keras.Sequential([layers.Dense(2)]))


# Distributed


@pytest.mark.slow
def test_under_a_mirrored_strategy_the_new_optimizer_is_mirrored_too(run_script, backend):
    if backend != "tensorflow":
        pytest.skip("a strategy is TensorFlow's")
    printed = run_script("""
        import keras, numpy as np, tensorflow as tf
        from keras_sched.freezing import freeze, unfreeze
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
        def run(strategy):
            keras.utils.set_random_seed(0)
            with strategy.scope():
                layers = [keras.Input((4,)), *(keras.layers.Dense(4, name=name) for name in "ab")]
                model = keras.Sequential(layers)
                inner = keras.optimizers.Nadam(0.01)
                model.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
            for call in (unfreeze, freeze, unfreeze, freeze):
                call(model)
                model.fit(x, x, batch_size=8, verbose=0, shuffle=False)
            return model.get_weights()
        two = run(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
        one = run(tf.distribute.get_strategy())
        print(max(abs(a - b).max() for a, b in zip(one, two)))
    """)
    assert float(printed.split()[-1]) < 1e-5
