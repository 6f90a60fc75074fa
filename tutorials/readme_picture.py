"""Makes the picture at the top of README.md: a search, and the training that it is for, on scikit-learn's digits.

`python tutorials/readme_picture.py` draws it, and prints the losses that it shows.
"""

from pathlib import Path
from typing import Any

import keras
import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

mpl.use("Agg")

from matplotlib import pyplot as plt

from keras_sched import OneCycle, lr_find, plot_lr_find

EPOCHS, SEEDS = 5, 5
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#767676"


def make_model(seed: int, rate: float) -> keras.Model:
    """The network of the first notebook."""
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(128, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main() -> None:
    """Search and train, draw both, and write `pictures/readme.png`."""
    images, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split((images / 16).astype("float32"), labels, test_size=0.25, random_state=0)
    searches = [lr_find(make_model(seed, 1e-3), x, y, show_plot=False, verbose=0) for seed in range(SEEDS)]
    rates = [found.lr or 1e-3 for found in searches]

    def losses(seed: int, rate: float, callbacks: list[Any]) -> list[float]:
        model = make_model(seed, rate)
        history: Any = model.fit(x, y, epochs=EPOCHS, verbose=0, validation_data=(x_test, y_test), callbacks=callbacks)
        return history.history["val_loss"]

    runs = {
        "Adam's default rate": ([losses(seed, 1e-3, []) for seed in range(SEEDS)], GREY, "s--"),
        "found.lr, constant": ([losses(seed, rates[seed], []) for seed in range(SEEDS)], ORANGE, "^:"),
        "OneCycle(found.lr)": ([losses(seed, 1e-3, [OneCycle(rates[seed])]) for seed in range(SEEDS)], BLUE, "o-"),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    found = searches[0]
    plot_lr_find(found.lrs, found.losses, suggestions={"found.lr": (found.lr, _loss_at(found))}, ax=left)
    left.set_title("lr_find(model, x, y)", fontfamily="monospace", fontsize=10)
    epochs = range(1, EPOCHS + 1)
    for name, (of_seeds, color, style) in runs.items():
        low, middle, high = np.quantile(of_seeds, [0, 0.5, 1], axis=0)
        right.plot(epochs, middle, style, color=color, label=name)
        right.fill_between(epochs, low, high, color=color, alpha=0.15, linewidth=0)
        print(f"{name:20} loss on the test images after each epoch: {middle.round(3).tolist()}")
    right.set(xlabel="epoch", ylabel="loss on the test images", xticks=epochs, yscale="log")
    right.set_title(f"model.fit(x, y, epochs={EPOCHS}, ...)", fontfamily="monospace", fontsize=10)
    right.legend(frameon=False)
    right.spines[["top", "right"]].set_visible(False)
    right.grid(alpha=0.3)
    figure.savefig(Path(__file__).parent / "pictures" / "readme.png", dpi=110)


def _loss_at(found: Any) -> float:
    return float(found.losses[int(np.abs(np.asarray(found.lrs) - found.lr).argmin())])


if __name__ == "__main__":
    main()
