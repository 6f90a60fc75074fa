"""A learning-rate search of 100 batches beside 100 plain batches, and beside other libraries' searches where installed.

The others (fastai, torch-lr-finder, Lightning) train the same network in PyTorch, on the same data in the same batches.
"""

import argparse
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import keras
import numpy as np

from benchmarks.models import BATCH, data_for, deep_mlp, small_mlp
from benchmarks.side_by_side import interleaved, median_and_spread, ratios, report
from keras_sched import lr_find

NUM_IT = 100


def ours(make: Callable[[], keras.Model]) -> dict[str, Callable[[], float]]:
    """A search, and as many plain batches, of the same model."""
    model = make()
    model.compile("adam", loss="mse")
    x, y = data_for(model, NUM_IT)

    def search() -> None:
        lr_find(model, x, y, num_it=NUM_IT, stop_div=False, end_lr=0.1, show_plot=False, verbose=0, batch_size=BATCH)

    def plain() -> None:
        model.fit(x, y, batch_size=BATCH, verbose=0)

    search()
    plain()
    return {"plain batches": _timed(plain), "keras_sched": _timed(search)}


def peers() -> dict[str, Callable[[], float]]:
    """The searches of other libraries, over a network of PyTorch with the layers of `small_mlp`."""
    if not find_spec("torch"):
        return {}
    found: dict[str, Callable[[], float]] = {}
    for package, name, make in [
        ("torch_lr_finder", "torch-lr-finder", _torch_lr_finder),
        ("fastai", "fastai", _fastai),
        ("lightning", "Lightning", _lightning),
    ]:
        if find_spec(package):
            found[name] = _timed(make())
            found[name]()
    return found


def _timed(run: Callable[[], Any]) -> Callable[[], float]:
    def seconds() -> float:
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
        return time.perf_counter() - began

    return seconds


def _torch_parts() -> Any:
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_num_threads(1)  # of a small network more of them only wait, for each other and for the other backends'
    layers: list[Any] = []
    for width in (16, 32, 32):
        layers += [nn.Linear(width, 32), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(32, 1))
    x, y = data_for(small_mlp(), NUM_IT)
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return network, torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True), nn.MSELoss()


def _torch_lr_finder() -> Callable[[], Any]:
    import torch
    from torch_lr_finder import LRFinder

    network, loader, loss = _torch_parts()

    def run() -> None:
        finder = LRFinder(network, torch.optim.Adam(network.parameters(), lr=1e-7), loss, device="cpu")
        finder.range_test(loader, end_lr=0.1, num_iter=NUM_IT, diverge_th=1e9)
        finder.reset()

    return _quiet(run)


def _fastai() -> Callable[[], Any]:
    from fastai.callback import schedule  # noqa: F401 - adds lr_find to the Learner
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    network, loader, loss = _torch_parts()
    learner = Learner(DataLoaders(loader, loader), network, loss_func=loss)

    def run() -> None:
        with learner.no_bar(), learner.no_logging():
            learner.lr_find(end_lr=0.1, num_it=NUM_IT, stop_div=False, show_plot=False)

    return _quiet(run)


def _lightning() -> Callable[[], Any]:
    import lightning
    import torch
    from lightning.pytorch.tuner import Tuner

    network, loader, loss = _torch_parts()

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network, self.learning_rate = network, 1e-3

        def training_step(self, batch: Any, index: int) -> Any:
            return loss(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=self.learning_rate)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
            trainer = lightning.Trainer(
                accelerator="cpu", max_epochs=1, enable_checkpointing=False, default_root_dir=folder, **quiet
            )
            tuner = Tuner(trainer)
            tuner.lr_find(Module(), loader, max_lr=0.1, num_training=NUM_IT, early_stop_threshold=None)

    return _quiet(run)


def _quiet(run: Callable[[], None]) -> Callable[[], None]:
    """The others print."""
    import contextlib
    import io
    import logging

    def quiet() -> None:
        logging.disable(logging.CRITICAL)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                run()
        finally:
            logging.disable(logging.NOTSET)

    return quiet


def memory() -> tuple[float, float]:
    """Megabytes of a wide model's weights and optimizer state, and of the host memory a search takes at its peak."""
    keras.utils.set_random_seed(0)
    wide = [keras.layers.Dense(1024, activation="relu") for _ in range(4)]
    model = keras.Sequential([keras.Input((16,)), *wide, keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    x, y = data_for(model, 10)
    model.fit(x, y, batch_size=BATCH, verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    state = sum(int(np.prod(variable.shape)) * 4 for variable in variables) / 1e6
    search = {"num_it": 20, "show_plot": False, "verbose": 0, "batch_size": BATCH}
    lr_find(model, x, y, **search)
    tracemalloc.start()
    lr_find(model, x, y, **search)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return state, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    rows: list[list[Any]] = []
    for name, make, others in [("small MLP", small_mlp, peers()), ("deep MLP", deep_mlp, {})]:
        numbers = interleaved({**ours(make), **others}, options.rounds)
        against_plain = ratios(numbers, "plain batches")
        for variant, seconds in numbers.items():
            ratio, low, high = median_and_spread(against_plain[variant])
            rows.append([f"{name}, {variant}", 1e3 * median_and_spread(seconds)[0], ratio, low, high])
    state, peak = memory()
    columns = ["model, search", "ms", "ratio to plain batches", "lower quartile", "upper quartile"]
    report("lr_find", columns, rows, goal="at most 1.15", state_megabytes=state, peak_host_megabytes=peak)


if __name__ == "__main__":
    main()
