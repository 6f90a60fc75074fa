"""The numbers of Keras' own layers and losses: each trains as it would with the values set by hand, eagerly."""

from inspect import signature

import keras
import numpy as np
import oracle
import pytest
from keras import layers, losses
from test_targets import ByHand, needs_smoothing_to_be_traced

from keras_sched import ParamScheduler, SchedLin

SCHED = SchedLin(0.1, 0.5)
EPOCHS, BATCH = 2, 8
TOLERANCE = 2e-5
X = np.random.default_rng(0).normal(size=(4 * BATCH, 4, 4, 2)).astype("float32")
AS_NUMBERS = {"GaussianDropout": {"jax", "tensorflow"}, "LeakyReLU": {"tensorflow"}}  # what Keras makes of a value

LAYERS = [
    (layers.AlphaDropout, {"rate": 0.3, "seed": 1}, ["rate"]),
    (layers.BatchNormalization, {}, ["momentum", "epsilon"]),
    (
        layers.Conv2D,
        {"filters": 2, "kernel_size": 2, "kernel_regularizer": keras.regularizers.L1L2(0.1, 0.1)},
        ["kernel_regularizer.l1"],
    ),
    (layers.Conv2D, {"filters": 2, "kernel_size": 2, "bias_regularizer": "l1"}, ["bias_regularizer.l1"]),
    (layers.Dense, {"units": 3, "kernel_constraint": keras.constraints.MaxNorm(2.0)}, ["kernel_constraint.max_value"]),
    (layers.Dense, {"units": 3, "activity_regularizer": "l2"}, ["activity_regularizer.l2"]),
    (layers.Dropout, {"rate": 0.3, "seed": 1}, ["rate"]),
    (layers.ELU, {"alpha": 0.7}, ["alpha"]),
    (layers.GaussianDropout, {"rate": 0.3, "seed": 1}, ["rate"]),
    (layers.GaussianNoise, {"stddev": 0.3, "seed": 1}, ["stddev"]),
    (layers.GroupNormalization, {"groups": 2}, ["epsilon"]),
    (layers.LayerNormalization, {}, ["epsilon"]),
    (layers.LeakyReLU, {"negative_slope": 0.3}, ["negative_slope"]),
    (layers.ReLU, {"max_value": 6.0, "negative_slope": 0.3, "threshold": 0.1}, ["max_value", "negative_slope"]),
    (layers.Rescaling, {"scale": 0.3, "offset": 0.1}, ["scale", "offset"]),
    (layers.RMSNormalization, {}, ["epsilon"]),
    (layers.SpatialDropout2D, {"rate": 0.3, "seed": 1}, ["rate"]),
]

LOSSES = [
    (losses.BinaryCrossentropy, {"label_smoothing": 0.2}),
    (losses.BinaryFocalCrossentropy, {"alpha": 0.3, "gamma": 2.5, "apply_class_balancing": True}),
    (losses.CategoricalCrossentropy, {"label_smoothing": 0.2}),
    (losses.CategoricalFocalCrossentropy, {"alpha": 0.3, "gamma": 2.5}),
    (losses.CategoricalGeneralizedCrossEntropy, {"q": 0.4}),
    (losses.Circle, {"gamma": 2.0, "margin": 0.4}),
    (losses.Huber, {"delta": 0.7}),
    (losses.Tversky, {"alpha": 0.3, "beta": 0.6}),
]
if "label_smoothing" in signature(losses.SparseCategoricalCrossentropy).parameters:  # from Keras 3.16 on
    LOSSES.append((losses.SparseCategoricalCrossentropy, {"label_smoothing": 0.2}))
    LOSSES.append((losses.SparseCategoricalFocalCrossentropy, {"alpha": 0.3, "gamma": 2.5}))


def trained(make, by_hand=None, scheds=None):
    """The weights of a model: scheduled, or run eagerly with the values set by hand."""
    keras.utils.set_random_seed(3)
    model, y = make()
    callback = ByHand(by_hand, [SCHED(i / (4 * EPOCHS)) for i in range(4 * EPOCHS)]) if by_hand else None
    callback = callback or ParamScheduler(scheds)
    model.run_eagerly = by_hand is not None
    model.fit(X, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[callback])
    return model.get_weights()


@pytest.mark.parametrize(
    ("kind", "arguments", "key"),
    [
        pytest.param(kind, arguments, key, id=f"{kind.__name__}.{key}")
        for kind, arguments, keys in LAYERS
        for key in keys
    ],
)
def test_a_number_of_a_layer(kind, arguments, key, backend):
    *through, name = key.split(".")

    def make():
        model = keras.Sequential([keras.Input(X.shape[1:]), layers.Dense(4), kind(name="one", **arguments)])
        model.add(layers.Flatten())
        model.add(layers.Dense(1))
        model.compile(keras.optimizers.SGD(0.01), "mse")
        return model, X[:, 0, 0, :1]

    def put(model, value):
        thing = model.get_layer("one")
        for each in through:
            thing = getattr(thing, each)
        setattr(thing, name, value)

    if backend in AS_NUMBERS.get(kind.__name__, ()):
        with pytest.raises(RuntimeError, match="turns into a Python number"):
            trained(make, scheds={f"one.{key}": SCHED})
        return
    expected = trained(make, put)
    assert oracle.largest_difference(trained(make, scheds={f"one.{key}": SCHED}), expected) < TOLERANCE
    assert oracle.largest_difference(trained(make, lambda *_: None), expected) > 1e-4


@pytest.mark.parametrize(
    ("kind", "arguments", "name"),
    [
        pytest.param(kind, arguments, name, id=f"{kind.__name__}.{name}")
        for kind, arguments in LOSSES
        for name, value in arguments.items()
        if isinstance(value, float)
    ],
)
def test_a_number_of_a_loss(kind, arguments, name):
    classes = np.arange(len(X)) % 3
    several = any(each in kind.__name__ for each in ("Categorical", "Circle"))
    by_class = kind in (losses.CategoricalGeneralizedCrossEntropy, losses.Circle) or kind.__name__.startswith("Sparse")
    labels = classes if by_class else np.eye(3)[classes]
    activation = layers.UnitNormalization() if kind is losses.Circle else "softmax" if several else "sigmoid"

    def make():
        model = keras.Sequential([keras.Input(X.shape[1:]), layers.Flatten()])
        model.add(layers.Dense(3 if several else 1, activation))
        model.compile(keras.optimizers.SGD(0.05), kind(**arguments))
        return model, labels if several else (X[:, 0, 0, :1] > 0).astype("float32")

    def put(model, value):
        setattr(model.loss, name, value)
        if name in getattr(model.loss, "_fn_kwargs", {}):
            model.loss._fn_kwargs[name] = value

    if name == "label_smoothing":
        needs_smoothing_to_be_traced()
    expected = trained(make, put)
    assert oracle.largest_difference(trained(make, scheds={f"loss.{name}": SCHED}), expected) < TOLERANCE
    assert oracle.largest_difference(trained(make, lambda *_: None), expected) > 1e-4


def test_every_loss_that_has_a_number_is_here():
    kinds = [kind for kind in vars(losses).values() if isinstance(kind, type) and issubclass(kind, losses.Loss)]
    having = {
        kind for kind in kinds if any(type(each.default) is float for each in signature(kind).parameters.values())
    }
    assert having - {kind for kind, _ in LOSSES} == set()
