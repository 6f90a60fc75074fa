"""The picture of a sweep: what each candidate came to, one line a round."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_sched.errors import is_number
from keras_sched.plot.canvas import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = (("o", SKY), ("s", ORANGE), ("^", BLUE), ("D", GREEN), ("v", PURPLE))


def plot_sweep(
    rounds: Mapping[str, Sequence[tuple[Any, float]]],
    best: tuple[Any, float] | None,
    argument: str,
    monitor: str,
    *,
    lower_is_better: bool = True,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plot {round: (argument, value) pairs} with the best pair marked; the line of a round joins its best values."""
    axes = new_figure((6.4, 4.0)).subplots() if ax is None else ax
    every = [place for pairs in rounds.values() for place, _ in pairs]
    numbers = all(is_number(place) for place in every)
    if numbers and every and min(every) > 0:
        axes.set_xscale("log")
    places = {str(place): place if numbers else str(place) for place in every}
    for index, (name, pairs) in enumerate(rounds.items()):
        marker, colour = _LOOKS[index % len(_LOOKS)]
        points = sorted(((places[str(place)], value) for place, value in pairs), key=lambda point: point[0])
        pick = min if lower_is_better else max
        line = {x: pick(value for other, value in points if other == x) for x, _ in points}
        axes.plot(list(line), list(line.values()), marker=marker, color=colour, label=name)
        if len(line) < len(points):
            axes.plot(*zip(*points, strict=True), marker=marker, color=colour, linestyle="none", alpha=0.4)
    if best is not None:
        x, y = places[str(best[0])], best[1]
        axes.plot([x], [y], marker="*", color=VERMILLION, markersize=14, linestyle="none", label="best")
    axes.set(xlabel=argument, ylabel=monitor)
    if ax is None:
        dress(axes)
    if rounds:
        axes.legend(frameon=False)
    return axes
