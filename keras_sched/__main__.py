"""The main job: a small convolutional network on real images, one cycle at the rate found, beside constant ones."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from keras_sched.backend_choice import PACKAGES, installed_backends

SEEDS = 3
CONSTANTS = (1e-3, 2e-3, 4e-3, 8e-3)
"""The rates of the runs at a constant one. The first is Adam's default."""
GOAL = 0.98


class Runs(NamedTuple):
    """The runs from several seeds at one rate, as a row of the table."""

    name: str
    rate: float
    losses: list[float]
    accuracies: list[float]
    epochs: list[int | None]
    """How many it took to reach `GOAL`; `None` where it did not."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.backend is not None and options.backend != os.environ.get("KERAS_BACKEND"):
        return _start_anew(options)
    return _train(options.epochs, Path(options.out))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m keras_sched",
        description=(
            "Trains a small convolutional network on scikit-learn's digits (1,797 images): finds a learning rate, and "
            "trains one cycle at it, from three seeds; beside it constant rates, Adam's default and the best of four. "
            "Prints losses and accuracies on test images, and writes lr_find.png and schedule.png."
        ),
    )
    parser.add_argument("--backend", choices=list(PACKAGES), help="default: KERAS_BACKEND, or one that is installed")
    parser.add_argument("--epochs", type=_positive, default=3, help="epochs of the cycle (default: 3)")
    parser.add_argument("--out", default=".", help="the folder for the pictures (default: this one)")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it must be a whole number of at least 1, not {text!r}; type for example 5")
    return int(text)


def _start_anew(options: argparse.Namespace) -> int:
    """Run in another process: Keras is imported already, and takes its backend from the environment at import."""
    if options.backend not in installed_backends():
        print(
            f"The backend {options.backend} is not installed; installed: {', '.join(installed_backends())}. "
            f"Type: pip install {PACKAGES[options.backend]}",
            file=sys.stderr,
        )
        return 2
    command = [sys.executable, "-m", "keras_sched", "--epochs", str(options.epochs), "--out", options.out]
    return subprocess.run(command, env={**os.environ, "KERAS_BACKEND": options.backend}, check=False).returncode  # noqa: S603 - our own module, with our own arguments


def _train(epochs: int, out: Path) -> int:
    import keras

    from keras_sched import OneCycle, ParamScheduler, SchedNo, lr_find

    data = digits()
    if data is None:
        print("The digits come with scikit-learn. Type: pip install scikit-learn", file=sys.stderr)
        return 2
    (x, y), test = data
    out.mkdir(parents=True, exist_ok=True)
    shown: dict[str, Any] = {"batch_size": 32, "verbose": 1 if sys.stdout.isatty() else 2}
    print(f"Keras {keras.__version__} on {keras.backend.backend()}: {len(x)} images to train, {len(test[0])} to test")

    model = network()
    print("\nlr_find")
    began = time.perf_counter()
    found = lr_find(model, x, y, **shown)
    rate = found.lr if found.lr is not None else CONSTANTS[0]
    drawn: Any = found.plot().figure
    drawn.savefig(out / "lr_find.png", dpi=150, bbox_inches="tight")
    searched = time.perf_counter() - began

    print(f"\none cycle at {rate:.2e}, and constant rates for twice as long, from {SEEDS} seeds each")
    began = time.perf_counter()
    bench = _Bench(model, (x, y), test, epochs)
    cycle = bench.runs("one cycle", rate, OneCycle(rate), epochs)
    bench.history.plot_sched().savefig(out / "schedule.png", dpi=150, bbox_inches="tight")
    constant = [
        bench.runs("constant", each, ParamScheduler({"lr": SchedNo(each, each)}), 2 * epochs) for each in CONSTANTS
    ]
    default, best = constant[0], min(constant, key=lambda runs: sum(runs.losses))
    rows = [cycle, default._replace(name="Adam's default"), best._replace(name="best constant")]
    _print_table(rows, epochs)
    print(f"lr_find took {searched:.1f} s, all that followed {time.perf_counter() - began:.1f} s.")
    print(f"\nWritten: {out / 'lr_find.png'}, {out / 'schedule.png'}")
    return 0


class _Bench:
    """Trains one model again and again: what was compiled for the search serves every run."""

    def __init__(self, model: Any, data: Any, test: Any, epochs: int) -> None:
        self.model, self.data, self.test, self.epochs = model, data, test, epochs
        self.starts = [network(seed).get_weights() for seed in range(SEEDS)]
        self.history: Any = None

    def runs(self, name: str, rate: float, schedule: Any, epochs: int) -> Runs:
        """Train from each seed; losses and accuracies are those after `self.epochs` of them."""
        import keras

        from keras_sched.fit import History
        from keras_sched.snapshot import Snapshot

        losses, accuracies, needed = [], [], []
        for seed, start in enumerate(self.starts):
            with Snapshot(self.model) as snapshot:
                snapshot.take()
                self.model.set_weights(start)
                keras.utils.set_random_seed(seed)
                arguments = {"batch_size": 32, "verbose": 0, "validation_data": self.test}
                x, y = self.data
                self.model.fit(x, y, epochs=epochs, callbacks=[schedule, history := History()], **arguments)
                history.hps, self.history = schedule.hps, history
            logged = self.history.history
            losses.append(logged["val_loss"][self.epochs - 1])
            accuracies.append(logged["val_accuracy"][self.epochs - 1])
            reached = (number for number, one in enumerate(logged["val_accuracy"], start=1) if one >= GOAL)
            needed.append(next(reached, None))
        print(f"{name:<16}{rate:>10.2e}{_mean(losses):>18}")
        return Runs(name, rate, losses, accuracies, needed)


def digits() -> Any:
    """Training and test images, float32 (N, 8, 8, 1) in [0, 1], and their labels; `None` without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError:
        return None
    digits: Any = load_digits()
    images = (digits.images[..., None] / 16.0).astype("float32")
    split = train_test_split(images, digits.target, test_size=0.25, random_state=0, stratify=digits.target)
    return tuple(split[::2]), tuple(split[1::2])


def network(seed: int = 0) -> Any:
    """A small convolutional network, compiled, with the weights of a seed."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((8, 8, 1))])
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        model.add(layers.Conv2D(filters, 3, strides, padding="same", use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))  # few steps: the default would still be near its start
        model.add(layers.Activation("relu"))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def _print_table(rows: list[Runs], epochs: int) -> None:
    import keras

    print(f"\nbackend {keras.backend.backend()}: mean and spread of {SEEDS} seeds, on the test images")
    after = f"after {epochs} epoch{'s' * (epochs > 1)}"
    print(f"{'':<16}{'rate':>10}{'loss ' + after:>24}{'accuracy':>10}{f'epochs to {GOAL:.0%}':>16}")
    for row in rows:
        accuracy = sum(row.accuracies) / SEEDS
        print(f"{row.name:<16}{row.rate:>10.2e}{_mean(row.losses):>24}{accuracy:>10.1%}{_needed(row):>16}")


def _mean(numbers: list[float]) -> str:
    return f"{statistics.mean(numbers):.3f} ± {statistics.stdev(numbers):.3f}"


def _needed(row: Runs) -> str:
    """The mean of the epochs to the goal, or how many seeds have not reached it in all of theirs."""
    reached = [each for each in row.epochs if each is not None]
    missed = len(row.epochs) - len(reached)
    return f"{missed} of {len(row.epochs)} did not" if missed else f"{statistics.mean(reached):.1f}"


if __name__ == "__main__":
    sys.exit(main())
