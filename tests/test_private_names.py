"""A private name that Keras has dropped is a clear error, before anything else goes wrong."""

from pathlib import Path

import keras
import pytest
from house import table
from oracle import fit, mlp

from keras_sched import OneCycle, SchedNo, scheduled
from keras_sched.inject import names

ARCHITECTURE = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
TABLES = {name: made for name, made in vars(names).items() if name.endswith("_NAMES")}
ALL = sorted({each for made in TABLES.values() for each in made})


@pytest.fixture(autouse=True)
def checked_anew():
    names.check_keras.cache_clear()
    yield
    names.check_keras.cache_clear()


class Without:
    """An object that has lost one attribute."""

    def __init__(self, thing, name):
        self._thing = thing
        self._name = name

    def __getattr__(self, name):
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._thing, name)


def needed_here(backend):
    return {name for needed, _ in names.specimens(backend) for name in needed}


def test_every_name_is_there_in_this_keras(backend):
    names.check_keras()
    assert {"_iterations", "_loss_tracker"} <= needed_here(backend) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_name_that_keras_has_dropped_is_named_with_the_version_and_a_cure(name, monkeypatch, backend):
    if name not in needed_here(backend):
        pytest.skip(f"{name} is not used on this backend")
    there = list(names.specimens(backend))
    monkeypatch.setattr(names, "specimens", lambda backend: [(each, Without(thing, name)) for each, thing in there])
    with pytest.raises(RuntimeError, match=f"Keras {keras.__version__} without {name};.*Install a Keras"):
        names.check_keras()


@pytest.mark.parametrize(
    "name",
    [name for name in names.OPTIMIZER_NAMES if hasattr(keras.optimizers.Optimizer, name)],
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


def test_a_backend_that_does_not_train_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "openvino")
    with pytest.raises(RuntimeError, match=r"the backend `openvino`.*Set KERAS_BACKEND"):
        names.check_keras()


def test_the_check_gives_no_other_name_to_what_a_user_makes_next():
    keras.backend.clear_session()
    names.check_keras()
    assert keras.optimizers.SGD().name == "sgd"
    assert keras.Sequential().name == "sequential"


def test_architecture_says_what_each_name_is_for():
    page = {row[0].strip("`"): row[1] for row in table(ARCHITECTURE, "Private names")}
    for made in TABLES.values():
        for name, what_for in made.items():
            assert what_for in page[name]
