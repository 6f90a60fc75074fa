"""What all pictures share: where a figure comes from, who closes it, and its colours."""

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_sched.errors import needing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart; shapes and dashes say the same in a grey print.
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"

# A legend that no curve can cross: to the right of the Axes, where the layout makes room.
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0, "frameon": False}

FILE_BACKENDS = frozenset({"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"})
LABEL = "keras_sched"


def new_figure(size: tuple[float, float]) -> "Figure":
    """Make a figure of pyplot's; `size` in inches.

    If pictures only go to files, nobody closes a window, and pyplot would warn after twenty figures: so the figure that
    was made here before is taken off pyplot's list. Who holds it can still use it.
    """
    with needing("matplotlib"):
        import matplotlib as mpl
        from matplotlib import pyplot as plt
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    if mpl.get_backend().lower() in FILE_BACKENDS:
        for number, label in zip(plt.get_fignums(), plt.get_figlabels(), strict=True):
            if label == LABEL:
                plt.close(number)
    figure = plt.figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure.set_label(LABEL)
    return figure


def seen_once(figure: "Figure") -> "Figure":
    """Return the figure; a notebook then shows it once, and not both as the cell's value and as an open figure."""
    import matplotlib as mpl

    if "inline" in mpl.get_backend().lower():
        vars(figure)["_ipython_display_"] = functools.partial(_display_and_close, figure)
    return figure


def _display_and_close(figure: "Figure") -> None:
    from IPython.display import display
    from matplotlib import pyplot as plt

    del vars(figure)["_ipython_display_"]
    display(figure)
    plt.close(figure)


def png(draw: Callable[["Axes"], object], *, size: tuple[float, float] = (6.4, 4.0)) -> bytes:
    """Return as PNG what `draw` puts on an Axes of a figure that pyplot never sees: for a `_repr_png_`."""
    with needing("matplotlib"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=size, layout="constrained", label=LABEL)
    draw(figure.subplots())
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=100)
    return picture.getvalue()


def dress(ax: "Axes") -> None:
    """Give an Axes a light grid, and a frame only on the sides with a scale."""
    ax.grid(alpha=0.25, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
