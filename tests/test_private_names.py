"""A private name that Keras has dropped is a clear error, before anything else goes wrong."""

import keras
import pytest
from oracle import fit, mlp

from keras_sched import OneCycle, SchedNo, scheduled
from keras_sched.step import keras_names
from keras_sched.step.keras_names import NAMES

# TensorFlow makes `_rng` when a seed is set.
ATTRIBUTES = [each for each in NAMES if each.owner != "module" and each.name != "_rng"]
each_attribute = pytest.mark.parametrize("each", ATTRIBUTES, ids=lambda each: f"{each.owner}: {each.name}")


@pytest.fixture(autouse=True)
def checked_anew():
    keras_names.check_keras.cache_clear()
    yield
    keras_names.check_keras.cache_clear()


class Without:
    """An object that has lost one attribute."""

    def __init__(self, thing, name):
        self._thing = thing
        self._name = name

    def __getattr__(self, name):
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._thing, name)


def test_every_name_is_there_in_this_keras(backend):
    keras_names.check_keras()
    owners = {each.owner for each in ATTRIBUTES}
    assert {"optimizer", "Nadam", "model"} <= set(keras_names.specimens()) <= owners
    assert all(each.name.isidentifier() and each.what_for and each.since for each in ATTRIBUTES)


@each_attribute
def test_a_name_that_keras_has_dropped_is_named_with_the_version_and_a_cure(each, monkeypatch):
    there = keras_names.specimens()
    if each.owner not in there:
        pytest.skip(f"{each.name} is not used on this backend")
    lacking = there | {each.owner: Without(there[each.owner], each.name)}
    monkeypatch.setattr(keras_names, "specimens", lambda: lacking)
    with pytest.raises(RuntimeError, match=f"Keras {keras.__version__} without {each.name};.*Install a Keras"):
        keras_names.check_keras()


@pytest.mark.parametrize(
    "name",
    [each.name for each in NAMES if each.owner == "optimizer" and hasattr(keras.optimizers.Optimizer, each.name)],
)
def test_a_method_that_is_gone_stops_a_fit_and_a_loop_before_they_begin(name, monkeypatch):
    model = mlp(keras.optimizers.SGD(0.01))
    before = model.get_weights()
    for kind in type(model.optimizer).__mro__:  # PyTorch has optimizers of its own
        if name in vars(kind):
            monkeypatch.delattr(kind, name)
    with pytest.raises(RuntimeError, match=f"without {name};"):
        fit(model, [OneCycle(0.1)], 1)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    with pytest.raises(RuntimeError, match=f"without {name};"):
        scheduled(model.optimizer, {"lr": SchedNo(0.1, 0.1)}, steps=2)


def test_the_check_gives_no_other_name_to_what_a_user_makes_next():
    keras.backend.clear_session()
    keras_names.check_keras()
    assert keras.optimizers.SGD().name.lower() == "sgd"
    assert keras.Sequential().name == "sequential"
