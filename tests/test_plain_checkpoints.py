"""What is saved in the middle of a scheduled fit is what plain Keras saves, with the compiled hyper-parameters."""

import json
import zipfile

import keras
import numpy as np
from oracle import fit, mlp
from runs import Bench, state

from keras_sched import OneCycle, ParamScheduler, SchedLin

RATE, BETA, DECAY, EPSILON = 0.01, 0.9, 0.02, 1e-7

LOAD = """
    import json, pathlib, sys, warnings

    class Blocked:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "keras_sched":
                raise ModuleNotFoundError("blocked", name=name)

    sys.meta_path.insert(0, Blocked())
    import keras
    import numpy as np

    try:
        import keras_sched
    except ModuleNotFoundError:
        pass
    else:
        sys.exit("keras_sched could be imported")

    def held(model):
        variables = [*model.weights, *model.optimizer.variables]
        return [np.asarray(keras.ops.convert_to_numpy(v)).astype("float64").ravel().tolist() for v in variables]

    found = {}
    for path in sys.argv[2:]:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if path.endswith(".keras"):
                model = keras.models.load_model(path)
            else:
                kind = pathlib.Path(path).relative_to(sys.argv[1]).parts[0]
                model = keras.models.load_model(f"{sys.argv[1]}/{kind}/untrained.keras")
                model.load_weights(path)
        optimizer = model.optimizer
        found[path] = {
            "state": held(model),
            "learning_rate": float(keras.ops.convert_to_numpy(optimizer.learning_rate)),
            "config": optimizer.get_config(),
        }
        x = np.ones((8, 4), "float32")
        model.fit(x, x[:, :1], verbose=0)
    print("JSON" + json.dumps(found))
"""


class Saves(keras.callbacks.Callback):
    """Saves the model, whole and its weights, in one of Keras' hooks, and notes what it held then."""

    def __init__(self, folder, hook, at):
        super().__init__()
        self.folder, self.hook, self.at = folder, hook, at
        self.saved = {}
        setattr(self, hook, self._save)

    def _save(self, index, logs=None):
        if index != self.at:
            return
        for ending in ("keras", "weights.h5"):
            path = str(self.folder / f"{self.hook}_{index}.{ending}")
            (self.model.save if ending == "keras" else self.model.save_weights)(path)
            self.saved[path] = _numbers(self.model)


def _numbers(model):
    return [np.asarray(values).astype("float64").ravel().tolist() for values in state(model)]


def adam():
    return keras.optimizers.Adam(RATE, beta_1=BETA, weight_decay=DECAY, epsilon=EPSILON)


def everything():
    return [OneCycle(0.1, wd=0.3), ParamScheduler({"eps": SchedLin(1e-3, 1e-5)})]


def scaled():
    return keras.optimizers.LossScaleOptimizer(adam(), initial_scale=4.0)


def from_every_hook(folder):
    """Saved by a user's callbacks before and after ours; {path: what the model held then}."""
    saves = [
        Saves(folder, "on_train_batch_begin", 2),
        Saves(folder, "on_train_batch_end", 1),
        Saves(folder, "on_epoch_begin", 1),
        Saves(folder, "on_epoch_end", 1),
    ]
    fit(mlp(adam()), [*saves[::2], *everything(), *saves[1::2]], 3)
    return {path: numbers for each in saves for path, numbers in each.saved.items()}


def by_kerass_own_callbacks(folder):
    """Saved by ModelCheckpoint and BackupAndRestore; the paths."""
    checkpoint = keras.callbacks.ModelCheckpoint
    callbacks = [
        checkpoint(folder / "before_{epoch}.keras"),
        *everything(),
        checkpoint(folder / "after_{epoch}.weights.h5", save_weights_only=True),
        checkpoint(folder / "batches_{epoch}_{batch}.keras", save_freq=3),
        keras.callbacks.BackupAndRestore(str(folder / "backup"), save_freq=2, delete_checkpoint=False),
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=100.0),
    ]
    fit(mlp(adam()), callbacks, 3)
    return sorted(str(path) for path in [*folder.glob("*.keras"), *folder.glob("**/*.h5")])


def test_what_is_saved_in_mid_fit_loads_where_keras_sched_cannot_be_imported(tmp_path, run_script):
    for name, optimizer in (("plain", adam), ("scaled", scaled)):
        (tmp_path / name).mkdir()
        Bench(optimizer()).model.save(tmp_path / name / "untrained.keras")  # for weights to be loaded into
    held = from_every_hook(tmp_path / "plain")
    in_steps = Saves(tmp_path / "scaled", "on_train_batch_end", 1)
    fit(mlp(scaled()), [*everything(), in_steps], 2)
    held |= in_steps.saved
    (tmp_path / "plain" / "own").mkdir()
    own = by_kerass_own_callbacks(tmp_path / "plain" / "own")
    assert len(held) == 10
    assert len(own) >= 3 + 3 + 3 + 1

    found = json.loads(run_script(LOAD, tmp_path, *held, *own).rpartition("JSON")[2])

    for path, numbers in held.items():
        assert found[path]["state"] == numbers, f"{path} does not have the state in which it was saved"
    for path in [*held, *own]:
        assert found[path]["learning_rate"] == np.float32(RATE)
        check_config(found[path]["config"])
        if path.endswith(".keras"):
            check_config(in_the_zip(path))
    counted = {_iterations(found[path]["state"]) for path in own}
    assert {4, 8, 12} <= counted, "the optimizer's count of batches, at each epoch's end"


def check_config(config):
    """Every hyper-parameter as it was compiled."""
    config = config["inner_optimizer"]["config"] if "inner_optimizer" in config else config
    assert config["learning_rate"] == np.float32(RATE)
    assert [config[name] for name in ("beta_1", "weight_decay", "epsilon")] == [BETA, DECAY, EPSILON]


def in_the_zip(path):
    """The optimizer's configuration as the file has it."""
    with zipfile.ZipFile(path) as file:
        return json.loads(file.read("config.json"))["compile_config"]["optimizer"]["config"]


def _iterations(numbers):
    return next(int(values[0]) for values in numbers[4:] if len(values) == 1)


def test_a_saved_model_goes_on_as_the_one_that_saved_it(tmp_path):
    model = mlp(adam())
    saves = Saves(tmp_path, "on_epoch_end", 1)
    fit(model, [*everything(), saves], 2)
    loaded = keras.models.load_model(tmp_path / "on_epoch_end_1.keras")
    fit(model, [], 1)
    fit(loaded, [], 1)
    assert _numbers(model) == _numbers(loaded)
