"""`fine_tune` uses fastai's numbers, and is two fits that read as one."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_sched import OneCycle, fine_tune, freeze, is_frozen, layer_groups, unfreeze


def model_of(groups: int, optimizer: Any = "adam") -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(3, activation="tanh", name=f"dense_{i}") for i in range(groups)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(optimizer, loss="mse")
    return model


def data(batches: int, batch_size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batches * batch_size, 2)).astype("float32")
    return x, rng.normal(size=(len(x), 3)).astype("float32")


@pytest.mark.parametrize("number", range(3))
def test_both_phases_use_the_values_that_fastai_uses(golden, number):
    case = golden("fine_tune")["cases"][number]
    arguments = dict(case["arguments"])
    arguments = {name: tuple(value) if isinstance(value, list) else value for name, value in arguments.items()}
    model = model_of(case["groups"], keras.optimizers.SGD(0.01, momentum=0.9))
    x, y = data(case["batches_per_epoch"])
    history = fine_tune(model, x, y, groups=case["groups"], batch_size=4, verbose=0, **arguments)
    rates = np.concatenate([phase["per_group"]["lr"] for phase in case["phases"]])
    momenta = np.concatenate([phase["hps"]["mom"] for phase in case["phases"]])
    assert history.hps["lr"].shape == rates.shape
    np.testing.assert_allclose(history.hps["lr"], rates, rtol=0, atol=1e-6 * rates.max(axis=0).min())
    np.testing.assert_allclose(history.hps["mom"], momenta, rtol=0, atol=1e-6)


def test_the_frozen_phase_leaves_the_body_alone_and_the_other_trains_it():
    x, y = data(4)
    seen: list[list[np.ndarray]] = []
    model = model_of(2)
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    before = model.get_weights()
    fine_tune(model, x, y, epochs=1, freeze_epochs=2, batch_size=4, verbose=0, callbacks=[record], shuffle=False)
    assert all(np.array_equal(a, b) for a, b in zip(before[:2], seen[1][:2], strict=True))
    assert not np.array_equal(before[2], seen[0][2])
    assert not np.array_equal(seen[1][0], seen[2][0])
    assert not is_frozen(model)


def test_history_values_and_epochs_hold_both_phases_one_after_the_other():
    x, y = data(4)
    history = fine_tune(model_of(2), x, y, epochs=2, freeze_epochs=1, batch_size=4, verbose=0, validation_data=(x, y))
    assert history.epoch == [0, 1, 2]
    assert {len(values) for values in history.history.values()} == {3}
    assert {"loss", "val_loss", "learning_rate", "learning_rate_0", "learning_rate_1", "beta_1"} <= set(history.history)
    assert history.hps["lr"].shape == (12, 2)
    assert history.hps["mom"].shape == (12,)
    assert len(history.plot_sched().axes) >= 2
    np.testing.assert_allclose(history.history["learning_rate"], history.hps["lr"][[3, 7, 11], 1])


@pytest.mark.parametrize("begin", [1, 2, 3])
def test_the_first_epoch_is_counted_over_both_phases(begin):
    x, y = data(4)
    whole = fine_tune(model_of(2), x, y, epochs=2, freeze_epochs=2, batch_size=4, verbose=0)
    rest = fine_tune(model_of(2), x, y, epochs=2, freeze_epochs=2, batch_size=4, verbose=0, initial_epoch=begin)
    assert rest.epoch == list(range(begin, 4))
    np.testing.assert_array_equal(rest.hps["lr"], whole.hps["lr"][4 * begin :])


def test_a_logger_of_csv_keeps_the_rows_of_both_phases(tmp_path):
    x, y = data(4)
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fine_tune(model_of(2), x, y, epochs=2, batch_size=4, verbose=0, callbacks=[logger])
    rows = (tmp_path / "log.csv").read_text().split()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
    assert not logger.append


def test_rates_of_its_own_take_the_place_of_those_made_of_the_base_rate():
    x, y = data(4)
    history = fine_tune(model_of(2), x, y, epochs=1, lr_max=[0.01, 0.02], div=2, batch_size=4, verbose=0)
    np.testing.assert_allclose(history.hps["lr"][4], [0.005, 0.01])


def test_without_a_frozen_phase_it_is_one_cycle():
    x, y = data(4)
    history = fine_tune(model_of(2), x, y, epochs=2, freeze_epochs=0, base_lr=0.02, batch_size=4, verbose=0)
    model = model_of(2)
    cycle = OneCycle(slice(0.01 / 100, 0.01), pct_start=0.3, div=5.0)
    model.fit(x, y, epochs=2, batch_size=4, verbose=0, callbacks=[cycle])
    np.testing.assert_array_equal(history.hps["lr"], cycle.hps["lr"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "`fine_tune` received `epochs=0`"),
        ({"freeze_epochs": -1}, "`fine_tune` received `freeze_epochs=-1`"),
        ({"base_lr": 0}, "`fine_tune` received `base_lr=0`"),
        ({"lr_mult": -3}, "`fine_tune` received `lr_mult=-3`"),
        ({"pct_start": 30}, "pct_start=0.3"),
        ({"groups": 9}, "groups=9"),
        ({"lr_max": [1, 2, 3]}, "groups"),
    ],
)
def test_a_wrong_use_is_an_error_that_changes_nothing(wrong, said):
    x, y = data(4)
    model = model_of(2)
    model.fit(x, y, batch_size=4, verbose=0)
    before = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]
    with pytest.raises((ValueError, TypeError)) as error:
        fine_tune(model, x, y, batch_size=4, verbose=0, **{"epochs": 1, **wrong})
    assert said in str(error.value)
    after = [variable.numpy() for variable in [*model.variables, *model.optimizer.variables]]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(layer.trainable for group in layer_groups(model, 2) for layer in group)


# What was frozen before


def with_parts_frozen_by_hand() -> keras.Model:
    """An Embedding and a BatchNormalization in the body, and a layer of the head, that do not train."""
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Embedding(5, 4, name="words"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, name="body"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(4, name="prior"),
        keras.layers.Dense(3, name="head"),
    ]
    model = keras.Sequential([keras.Input((2,), dtype="int32"), *layers])
    model.compile("adam", loss="mse")
    for name in ("words", "norm", "prior"):
        model.get_layer(name).trainable = False
    return model


GROUPS = [["words", "body", "norm"], ["prior", "head"]]


def words() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 5, size=(16, 2)), rng.normal(size=(16, 3)).astype("float32")


def test_what_was_frozen_by_hand_stays_frozen_in_both_phases():
    model = with_parts_frozen_by_hand()
    before = [variable.numpy() for variable in model.variables]
    fine_tune(model, *words(), epochs=1, groups=GROUPS, base_lr=0.1, batch_size=4, verbose=0)
    changed = [one for one, old in zip(model.variables, before, strict=True) if (one.numpy() != old).any()]
    trained = {variable.path.split("/")[-2] for variable in changed}
    assert trained & {"words", "norm", "prior", "body", "head"} == {"body", "head"}
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == ["body", "head"]


def test_after_it_the_groups_are_those_that_were_asked_for():
    model = with_parts_frozen_by_hand()
    fine_tune(model, *words(), epochs=1, groups=GROUPS, batch_size=4, verbose=0)
    for layer in model.layers:  # `model.trainable = True` reaches them only where it was False before, on TensorFlow
        layer.trainable = True
    freeze(model)
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == ["norm", "prior", "head"]


def test_a_run_that_died_in_the_frozen_phase_leaves_nothing_frozen_for_the_next():
    x, y = data(4)
    model = model_of(2)

    def die(batch, logs):
        raise KeyboardInterrupt

    dies = keras.callbacks.LambdaCallback(on_train_batch_end=die)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(model, x, y, epochs=1, batch_size=4, verbose=0, callbacks=[dies])
    assert is_frozen(model)
    fine_tune(model, x, y, epochs=1, batch_size=4, verbose=0)
    assert len(model.trainable_variables) == 4


def test_batch_normalization_that_trains_in_a_frozen_body_is_told_of_too(recwarn):
    x, y = data(4)
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), norm, keras.layers.Dense(3, name="head")])
    model.compile("adam", loss="mse")
    freeze(model)
    before = [each.numpy() for each in norm.trainable_weights]
    named = ", ".join(f"`{each.path}`" for each in [*model.get_layer("head").weights, *norm.trainable_weights])
    fine_tune(model, x, y, epochs=1, batch_size=4, verbose=0)
    said = [str(each.message) for each in recwarn if each.category is UserWarning]
    assert len(said) == 1
    assert f"stays frozen: {named} alone will train" in said[0]
    assert not any(np.array_equal(each.numpy(), old) for each, old in zip(norm.trainable_weights, before, strict=True))


def test_a_body_that_was_frozen_before_is_said_to_stay_so(recwarn):
    x, y = data(4)
    model = model_of(2)
    freeze(model)
    before = model.get_weights()[0]
    fine_tune(model, x, y, epochs=1, batch_size=4, verbose=0)
    said = [str(each.message) for each in recwarn if each.category is UserWarning]
    assert len(said) == 1
    head = ", ".join(f"`{variable.path}`" for variable in model.trainable_variables)
    assert f"stays frozen: {head} alone will train. Call `unfreeze(model)` first" in said[0]
    assert is_frozen(model)
    assert np.array_equal(model.get_weights()[0], before)
    unfreeze(model)
    fine_tune(model, x, y, epochs=1, batch_size=4, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)
