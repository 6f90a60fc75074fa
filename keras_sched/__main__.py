"""The main job: a small convolutional network on real images, with the rate that was found, beside a constant one."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from keras_sched.backend_choice import PACKAGES, installed_backends


class Run(NamedTuple):
    """One training run, as a row of the table."""

    name: str
    rate: str
    accuracy: float
    seconds: float


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
            "Trains a small convolutional network on scikit-learn's digits (1,797 images): finds a learning rate, "
            "trains one cycle at it, and as long at Adam's constant default rate; prints both test accuracies and "
            "writes lr_find.png and schedule.png."
        ),
    )
    parser.add_argument("--backend", choices=list(PACKAGES), help="default: KERAS_BACKEND, or one that is installed")
    parser.add_argument("--epochs", type=_positive, default=5, help="epochs of each run (default: 5)")
    parser.add_argument("--out", default=".", help="the folder for the pictures (default: this one)")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is a whole number of at least 1, not {text!r}; type for example 5")
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

    from keras_sched import fit_one_cycle, lr_find

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
    searched = time.perf_counter() - began
    rate = found.lr if found.lr is not None else 1e-3
    drawn: Any = found.plot().figure
    drawn.savefig(out / "lr_find.png", dpi=150, bbox_inches="tight")

    print(f"\none cycle at {rate:.2e}")
    began = time.perf_counter()
    history: Any = fit_one_cycle(model, x, y, epochs=epochs, lr_max=rate, **shown)
    cycle = Run("one cycle", f"{rate:.2e}", _accuracy(model, test), time.perf_counter() - began)
    history.plot_sched().savefig(out / "schedule.png", dpi=150, bbox_inches="tight")

    print("\nconstant, at Adam's default")
    model = network()
    began = time.perf_counter()
    model.fit(x, y, epochs=epochs, **shown)
    constant = Run("constant rate", "1.00e-03", _accuracy(model, test), time.perf_counter() - began)

    _print_table(found, searched, [cycle, constant], epochs)
    print(f"\nWritten: {out / 'lr_find.png'}, {out / 'schedule.png'}")
    return 0


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
    x, x_test, y, y_test = split
    return (x, y), (x_test, y_test)


def network() -> Any:
    """A small convolutional network, compiled, the same at each call."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),  # few steps: the default would still be near where it began
            layers.Activation("relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.Activation("relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def _accuracy(model: Any, test: Any) -> float:
    return float(model.evaluate(*test, verbose=0, return_dict=True)["accuracy"])


def _print_table(found: Any, searched: float, runs: list[Run], epochs: int) -> None:
    import keras

    suggestion = "none" if found.lr is None else f"{found.lr:.2e}"
    print(f"\nbackend {keras.backend.backend()}, suggested rate {suggestion}, found in {searched:.1f} s")
    print(f"{'':<16}{'rate':>10}{'epochs':>8}{'test accuracy':>15}{'seconds':>9}")
    for run in runs:
        print(f"{run.name:<16}{run.rate:>10}{epochs:>8}{run.accuracy:>15.1%}{run.seconds:>9.1f}")
    print("Seconds include compiling; one cycle uses the step that lr_find compiled.")


if __name__ == "__main__":
    sys.exit(main())
