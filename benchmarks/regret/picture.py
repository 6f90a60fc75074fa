"""One search with every suggestion, and below it what each rate is worth."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.regret.regrets import cells_of, searches_of
from benchmarks.regret.rules import RULES
from keras_sched import NoSuggestion

SHOWN = ("bands of a photograph, ConvNet", "Adam")
NAMES = ("halfway", "minimum", "slide", "valley", "steep", "min_grad", "inflection")


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw the first search of one task and optimizer."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    every = record["development"] + record["test"]
    measured = next((each for each in every if (each["task"], each["optimizer"]) == SHOWN), every[0])
    search = searches_of(measured)[0]
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6), sharex=True, layout="constrained")
    rates, losses = search.curve
    above.plot(rates, np.minimum(search.raw_losses, 2 * losses[0]), ".", color="lightgrey", label="loss of each batch")
    above.plot(rates, losses, color="black", label="smoothed")
    above.set_title(f"{measured['task']}, {measured['optimizer']}")
    above.set(ylabel="loss of the search", ylim=(0.5 * losses[0], 1.5 * losses[0]))
    for cell in cells_of(measured, np.array(record["rates"])):
        below.plot(cell.rates, cell.losses, marker=".", label=f"{cell.epochs} epochs")
    below.set(xlabel="learning rate", ylabel="validation loss\nafter one cycle", xscale="log", xlim=(1e-7, 10))
    below.set_ylim(0.5 * measured["untrained"], 1.3 * measured["untrained"])
    for number, name in enumerate(NAMES):
        try:
            rate = float(np.min(RULES[name](search)))
        except NoSuggestion:
            continue
        for axes in (above, below):
            label = f"{name} {rate:.1e}" if axes is above else None
            axes.axvline(rate, color=f"C{number + 3}", linestyle=("-", "--", ":")[number % 3], label=label)
    for axes in (above, below):
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=80)
    plt.close(figure)
