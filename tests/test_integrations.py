"""Models and tools of others: the examples of `tutorials/integrations.md`, and what those examples do not show."""

from pathlib import Path

import documents
import keras
import numpy as np
import pytest

from keras_sched import (
    OneCycle,
    ParamScheduler,
    SchedLin,
    fine_tune,
    freeze,
    is_frozen,
    layer_groups,
    lr_find,
    unfreeze,
)

pytestmark = [
    pytest.mark.integrations,
    # KerasHub makes a `tf.data.Dataset` of arrays, and Keras then says that it will not shuffle it.
    pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning"),
    pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning"),  # KerasTuner's
]

PAGE = Path(__file__).parents[1] / "tutorials" / "integrations.md"
BLOCKS = documents.blocks(PAGE.read_text(encoding="utf-8"))
NEEDING = [block for block in BLOCKS if block.kind == "needs"]
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("block", NEEDING, ids=lambda block: block.mark.removeprefix("needs: "))
def test_an_example_runs_after_the_pages_first_block(block, run_script):
    run_script(f"{BLOCKS[0].code}\n{block.code}")


def numbers(model):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in model.variables]


def check_search(model, x, y):
    """A search that trains, names a rate or says why not, and gives every number back."""
    before = numbers(model)
    found = lr_find(model, x, y, num_it=40, batch_size=4, show_plot=False, verbose=0)
    assert len(found.lrs) > 5
    assert np.isfinite(found.losses).all()
    assert all(np.array_equal(one, other) for one, other in zip(before, numbers(model), strict=True))


def check_fine_tune(model, head, x, y):
    """The body stays while it is frozen, moves after that, and each group has a rate of its own."""
    body = [v for v in model.trainable_variables if not any(v is own for own in head.trainable_variables)]
    kernels = [v for v in body if "kernel" in v.path]
    start, kept = [keras.ops.convert_to_numpy(v).copy() for v in kernels], []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append([keras.ops.convert_to_numpy(v).copy() for v in kernels])
    )
    history = fine_tune(model, x, y, epochs=1, base_lr=1e-2, batch_size=4, verbose=0, callbacks=[keep])
    assert all(np.array_equal(one, other) for one, other in zip(start, kept[0], strict=True))
    assert not all(np.array_equal(one, other) for one, other in zip(start, kept[1], strict=True))
    assert history.hps["lr"].shape == (2 * len(y) // 4, 2)
    assert np.isfinite(history.history["loss"]).all()
    assert not is_frozen(model)


# Models


@pytest.fixture
def mobile():
    body = keras.applications.MobileNetV3Small((64, 64, 3), include_top=False, weights=None, pooling="avg")
    model = keras.Sequential([keras.Input((64, 64, 3)), body, keras.layers.Dense(3, name="head")])
    model.compile("adam", LOSS)
    x = np.random.default_rng(0).uniform(0, 255, size=(8, 64, 64, 3)).astype("float32")
    return model, x, np.arange(8) % 3


def test_mobilenet_is_fine_tuned(mobile):
    model, x, y = mobile
    check_fine_tune(model, model.get_layer("head"), x, y)


def test_mobilenet_frozen_trains_its_head_and_as_in_fastai_its_batch_normalization(mobile):
    model, head = mobile[0], mobile[0].get_layer("head")
    everything = len(model.trainable_variables)
    freeze(model)
    train = {v.path for v in model.trainable_variables} - {v.path for v in head.trainable_variables}
    assert len(train) == 68  # as the page says
    assert {path.rsplit("/", 1)[1] for path in train} == {"gamma", "beta"}
    freeze(model, train_bn=False)
    assert {v.path for v in model.trainable_variables} == {v.path for v in head.trainable_variables}
    unfreeze(model)
    assert len(model.trainable_variables) == everything


@pytest.fixture
def bert():
    hub = pytest.importorskip("keras_hub")
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32, "max_sequence_length": 12}
    backbone = hub.models.BertBackbone(vocabulary_size=50, **sizes)
    model = hub.models.BertTextClassifier(backbone=backbone, num_classes=3, preprocessor=None)
    model.compile("adam", LOSS)
    tokens = np.random.default_rng(0).integers(0, 50, size=(8, 12))
    x = {"token_ids": tokens, "segment_ids": np.zeros_like(tokens), "padding_mask": np.ones_like(tokens)}
    return model, x, np.arange(8) % 3


@pytest.mark.filterwarnings("ignore:.*suggests nothing")
@pytest.mark.parametrize("name", ["mobile", "bert"])
def test_a_real_model_is_searched(name, request):
    check_search(*request.getfixturevalue(name))


def test_a_text_classifier_of_keras_hub_is_divided_at_its_backbone_and_fine_tuned(bert):
    model, x, y = bert
    body, _ = layer_groups(model)
    assert model.backbone in body
    check_fine_tune(model, model.get_layer("logits"), x, y)


def test_a_dropout_of_keras_hub_is_scheduled_by_a_pattern(bert):
    model, x, y = bert
    scheduler = ParamScheduler({"classifier_dropout.rate": SchedLin(0.1, 0.0)})
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[scheduler])
    assert scheduler.hps["classifier_dropout.rate"].tolist() == [0.1, 0.05]


def test_the_tables_of_keras_rs_train_at_the_scheduled_rate():
    # Where there is no TPU the model's optimizer trains them, in place of those in their configurations.
    rs = pytest.importorskip("keras_rs")
    ids, y = np.arange(32) % 10, np.ones((32, 1), "float32")

    def trained(embedding, x, name):
        keras.utils.set_random_seed(0)
        inside = keras.Input((), batch_size=8, dtype="int32", name="id")
        model = keras.Model({"id": inside}, keras.layers.Dense(1)(embedding(inside)))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        (table,) = [v for v in model.trainable_variables if "embeddings" in v.path]
        table.assign(np.linspace(-1, 1, 40).reshape(10, 4))
        cycle = OneCycle(0.5)
        model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[cycle])
        assert len(cycle.hps["lr"]) == 8, name
        return keras.ops.convert_to_numpy(table)

    config = rs.layers.TableConfig("items", vocabulary_size=10, embedding_dim=4, optimizer=keras.optimizers.SGD(3.0))
    feature = rs.layers.FeatureConfig("id", config, input_shape=(8,), output_shape=(8, 4))
    distributed = rs.layers.DistributedEmbedding({"id": feature})
    theirs = trained(lambda inside: distributed({"id": inside})["id"], {"id": ids}, "KerasRS")
    plain = trained(keras.layers.Embedding(10, 4), {"id": ids}, "Keras")
    np.testing.assert_allclose(theirs, plain, atol=1e-6)
    assert np.abs(theirs - np.linspace(-1, 1, 40).reshape(10, 4)).max() > 0.01


# Tools


def make_classifier(X, y):  # noqa: N803 - the names that scikit-learn has
    hidden = keras.layers.Dense(8, activation="relu")
    model = keras.Sequential([keras.Input(X.shape[1:]), hidden, keras.layers.Dense(y.shape[1], activation="softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model


def test_one_callback_serves_each_fold_of_scikit_learns_cross_validation():
    from sklearn.datasets import load_iris
    from sklearn.model_selection import cross_val_score

    x, y = load_iris(return_X_y=True)
    estimator = keras.wrappers.SKLearnClassifier(make_classifier)
    lengths = []
    cycle = OneCycle(0.05)
    look = keras.callbacks.LambdaCallback(on_train_end=lambda logs: lengths.append(len(cycle.hps["lr"])))
    params = {"epochs": 4, "batch_size": 10, "verbose": 0, "callbacks": [cycle, look]}
    scores = cross_val_score(estimator, x, y, cv=3, params=params)
    assert lengths == [40, 40, 40]
    assert scores.mean() > 0.6


def test_keras_tuner_copies_callbacks_and_each_trial_runs_its_own_cycle(tmp_path):
    tuner_of = pytest.importorskip("keras_tuner")
    x, y = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), np.ones((32, 1), "float32")
    rates = []

    def build(hp):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(hp.Int("width", 2, 8)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-1, sampling="log")), "mse")
        return model

    cycle = OneCycle(pct_start=0.5)  # up to the rate of each trial's model
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"]))
    tuner = tuner_of.RandomSearch(build, "loss", max_trials=3, directory=tmp_path, seed=0)
    tuner.search(x, y, epochs=2, batch_size=8, verbose=0, callbacks=[cycle, look])
    found = [trial.hyperparameters.get("lr") for trial in tuner.oracle.get_best_trials(3)]
    peak_and_end = np.reshape(rates, (3, 2))[:, 0]  # the last batch of the first epoch is one before the peak
    expected = [lr / 25 + (lr - lr / 25) * (1 - np.cos(np.pi * 0.75)) / 2 for lr in found]
    np.testing.assert_allclose(sorted(peak_and_end), sorted(expected), rtol=1e-5)
    assert repr(cycle) == repr(OneCycle(pct_start=0.5))
