"""Makes the picture at the top of README.md: a search, and the cycle that follows it, on scikit-learn's digits."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from keras_sched import lr_find, one_cycle, plot_lr_find
from keras_sched.__main__ import digits, network


def main() -> None:
    """Search, draw both, and write `pictures/readme.png`."""
    (x, y), _ = digits()
    found = lr_find(network(), x, y, batch_size=32, show_plot=False, verbose=0)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 2.9), layout="constrained")
    plot_lr_find(found.lrs, found.losses, suggestions={"halfway": (found.halfway, _loss_at(found))}, ax=left)
    left.set_title("lr_find(model, x, y)", fontfamily="monospace", fontsize=10)
    batches = [i / 500 for i in range(501)]
    for axes, (name, annealer) in zip((middle, right), one_cycle(found.halfway).items(), strict=True):
        axes.plot(
            [500 * position for position in batches],
            [annealer(position) for position in batches],
            color="#0072B2",
            lw=2,
        )
        axes.set(xlabel="batch", ylabel={"lr": "learning rate", "mom": "momentum, or beta_1"}[name])
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    middle.set_title("callbacks=[OneCycle(found.lr)]", fontfamily="monospace", fontsize=10)
    figure.savefig(Path(__file__).parent / "pictures" / "readme.png", dpi=110)


def _loss_at(found: object) -> float:
    lrs, losses = list(found.lrs), list(found.losses)
    return losses[min(range(len(lrs)), key=lambda i: abs(lrs[i] - found.halfway))]


if __name__ == "__main__":
    main()
