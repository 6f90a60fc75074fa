"""Well-known backbones go through fine-tuning: their groups, their frozen phase and their cycle."""

import keras
import numpy as np
import pytest

from keras_sched import fine_tune, is_frozen, layer_groups

pytestmark = pytest.mark.slow


def check(backbone, shape, classes=3):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(classes, name="head")(pooled))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).normal(size=(8, *shape)).astype("float32")
    y = np.arange(8) % classes
    body, head = layer_groups(model, 2)
    assert backbone in body
    assert model.get_layer("head") in head
    kept: list[np.ndarray] = []
    kernel = next(v for v in backbone.trainable_variables if "kernel" in v.path)
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kept.append(keras.ops.convert_to_numpy(kernel))
    )
    before = keras.ops.convert_to_numpy(kernel).copy()
    history = fine_tune(model, x, y, epochs=1, base_lr=1e-2, batch_size=4, verbose=0, callbacks=[keep])
    assert np.array_equal(kept[0], before)
    assert not np.array_equal(kept[1], before)
    assert not is_frozen(model)
    assert history.hps["lr"].shape == (4, 2)
    assert np.isfinite(history.history["loss"]).all()


def test_mobilenet():
    check(keras.applications.MobileNetV2((32, 32, 3), include_top=False, weights=None), (32, 32, 3))


def test_resnet():
    check(keras.applications.ResNet50(input_shape=(32, 32, 3), include_top=False, weights=None), (32, 32, 3))


def test_a_backbone_of_keras_hub():
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    check(backbone, (16, 16, 3))
