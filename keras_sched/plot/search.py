"""Pictures of a search for a learning rate."""

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_sched.errors import check_whole, speaking_as, wrong_value
from keras_sched.plot.canvas import BESIDE, BLUE, GREEN, LABEL, ORANGE, PURPLE, SKY, VERMILLION, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point = tuple[float, float]

MARKERS = (("o", VERMILLION), ("s", GREEN), ("^", PURPLE), ("D", ORANGE), ("v", SKY), ("h", "0.5"))
MARK: dict[str, Any] = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 3}
RING: dict[str, Any] = MARK | {"markerfacecolor": "none", "markeredgewidth": 1.6}
SIZE, RING_GROWS = 8.0, 5.0  # in points
MOST_INSIDE = 3  # names in a legend that finds room inside the picture


@speaking_as("plot_lr_find")
def plot_lr_find(
    lrs: Any,
    losses: Any,
    *,
    skip_start: int = 0,
    skip_end: int = 5,
    suggestions: Mapping[str, Point | None] | Iterable[Point | None] | None = None,
    names: Iterable[str] | None = None,
    ax: "Axes | None" = None,
    band: tuple[Any, Any] | None = None,
    diverged: Point | None = None,
    **plot_arguments: Any,
) -> "Axes":
    """Plot the loss over the learning rate of a search, on a logarithmic axis, with the suggestions marked.

    Args:
        lrs: the rates tried; shape (N,).
        losses: the loss at each; shape (N,).
        skip_start: how many points at the start are shown pale, 0 or more.
        skip_end: how many points at the end are shown pale, 0 or more.
        suggestions: the points to mark, (rate, loss) points in a list or by name; a `None` among them is left out.
        names: the names of the suggestions, one each, if they are a list.
        ax: the Axes to draw on; `None` makes a new figure.
        band: the lowest and the highest loss of several searches; two of shape (N,). The legend names it so.
        diverged: the point (rate, loss) at which the search diverged.
        **plot_arguments: what else `Axes.plot` takes, for the curve (`color`, `label`, ...).

    Returns:
        The Axes. The curve is its first line; the skipped ends and the marks follow as further lines. Losses
        far above the descent are cut off, unless the Axes had data or limits before; a mark up there is put on the
        edge, and the legend says so.

    Raises:
        ValueError: when `lrs` and `losses` (or `band`) differ in length, or `names` and `suggestions` do.
        ImportError: when matplotlib is not installed.

    Example:
        >>> from keras_sched import plot_lr_find
        >>> rates, losses = [1e-4, 1e-3, 1e-2, 1e-1], [2.3, 2.0, 1.1, 9.0]
        >>> ax = plot_lr_find(rates, losses, skip_end=1, suggestions={"mine": (1e-3, 2.0)})
        >>> ax.get_xscale(), ax.lines[0].get_ydata().tolist()
        ('log', [2.3, 2.0, 1.1])

    After fastai's `Recorder.plot_lr_find`.
    """
    rates, values = _curve(lrs, losses)
    shown = _shown(len(rates), skip_start, skip_end)
    marks = _named_points(suggestions, names)
    low, high = (values if band is None else _curve(lrs, edge)[1] for edge in (band or (None, None)))
    axes = new_figure((6.4, 4.0)).subplots() if ax is None else ax
    ours = not axes.has_data() and axes.get_autoscaley_on()
    colour = _draw_curve(axes, rates, values, shown, plot_arguments)
    if band is not None:
        look = {"color": colour, "alpha": 0.2, "linewidth": 0, "label": "lowest to highest search"}
        axes.fill_between(rates[shown], low[shown], high[shown], **look)
    axes.set(xscale="log", xlabel="Learning rate", ylabel="Loss")
    if ax is None:
        dress(axes)
    if ours:
        _set_view(axes, low, high[shown])
    _draw_marks(axes, marks, diverged)
    _draw_legend(axes)
    return axes


def _curve(lrs: Any, losses: Any) -> tuple[np.ndarray, np.ndarray]:
    rates, values = np.asarray(lrs, np.float64), np.asarray(losses, np.float64)
    if rates.ndim != 1 or rates.shape != values.shape:
        received = f"lrs of shape {rates.shape}, losses of shape {values.shape}"
        raise wrong_value(received, "a curve is two lists of one length", "Pass one loss for each rate.")
    return rates, values


def _shown(points: int, skip_start: int, skip_end: int) -> slice:
    for name, skipped, side in (("skip_start", skip_start, "start"), ("skip_end", skip_end, "end")):
        check_whole(name, skipped, f"how many points at the {side} are shown pale", 5, least=0)
    start = min(skip_start, points)
    return slice(start, max(start, points - skip_end))


def _named_points(suggestions: Any, names: Iterable[str] | None) -> list[tuple[str, Point]]:
    if isinstance(suggestions, Mapping):
        points, names = list(suggestions.values()), list(suggestions if names is None else names)
    else:
        points = [] if suggestions is None else list(suggestions)
        names = [f"suggestion {i + 1}" for i in range(len(points))] if names is None else list(names)
    if len(names) != len(points):
        received = f"{len(names)} names for {len(points)} suggestions"
        raise wrong_value(received, "each has one", "Pass `names` as long, or {name: (rate, loss)}.")
    return [(name, point) for name, point in zip(names, points, strict=True) if point is not None]


def _draw_curve(ax: "Axes", rates: np.ndarray, values: np.ndarray, shown: slice, arguments: dict[str, Any]) -> Any:
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    style = {"color": BLUE, "linewidth": 2} | normalize_kwargs(arguments, Line2D)
    (line,) = ax.plot(rates[shown], values[shown], **style)
    ends = slice(0, shown.start + 1), slice(max(shown.stop - 1, 0), None)  # each joins the curve
    for end, skipped in zip(ends, (shown.start, len(rates) - shown.stop), strict=True):
        if skipped > 0:
            ax.plot(rates[end], values[end], color=line.get_color(), linewidth=line.get_linewidth(), alpha=0.3)
    return line.get_color()


def _draw_marks(ax: "Axes", marks: list[tuple[str, Point]], diverged: Point | None) -> None:
    """Mark the points; of several in one place, each is a ring around the next."""
    looks = [look for look, _ in zip(itertools.cycle(MARKERS), marks, strict=False)]
    if diverged is not None:
        marks, looks = [*marks, ("diverged", diverged)], [*looks, ("X", "0.45")]
    bottom, top = ax.get_ylim()
    placed = [(x, min(max(y, bottom), top)) for _, (x, y) in marks]
    around = _rings(ax, placed)
    for (name, (x, y)), (marker, colour), (_, inside), rings in zip(marks, looks, placed, around, strict=True):
        beyond = "" if inside == y else " (above the plot)" if y > top else " (below the plot)"
        edge = {"transform": ax.get_xaxis_transform(), "clip_on": False} if beyond else {}
        style = (RING | {"markeredgecolor": colour} if rings else MARK) | edge
        at = inside if not beyond else float(y > top)
        size = SIZE + RING_GROWS * rings
        ax.plot([x], [at], marker=marker, color=colour, label=name + beyond, markersize=size, **style)


def _rings(ax: "Axes", points: list[Point]) -> list[int]:
    """For each mark, how many of those drawn after it would hide it."""
    if not points:
        return []
    ax.get_xlim()  # settles the scale that `transData` has
    seen = ax.transData.transform(points) * 72 / ax.figure.dpi
    apart = np.hypot(*(seen[:, None] - seen[None]).transpose(2, 0, 1))
    return np.triu(apart < 0.7 * SIZE, k=1).sum(axis=1).tolist()


def _draw_legend(ax: "Axes") -> None:
    """A legend: inside the plot for a few names, beside it in a wider figure for many."""
    from matplotlib.legend_handler import HandlerLine2D
    from matplotlib.lines import Line2D

    names = ax.get_legend_handles_labels()[1]
    if not names:
        return
    place: dict[str, Any] = {"edgecolor": "0.85", "framealpha": 0.9}
    if len(names) > MOST_INSIDE:
        place = BESIDE if _made_room(ax, 0.4 + 0.08 * max(map(len, names))) else place | {"fontsize": "small"}
    ax.legend(handler_map={Line2D: HandlerLine2D(update_func=_key)}, **place)


def _made_room(ax: "Axes", inches: float) -> bool:
    """Make the figure wider, once, if it was made here; return whether it was."""
    figure: Any = ax.figure
    if figure.get_label() != LABEL or figure.axes != [ax]:
        return False
    if ax.get_legend() is None:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width + inches, height)
    return True


def _key(key: Any, line: Any) -> None:
    """A mark in the legend: as it is drawn, but the rings no larger than the rest."""
    key.update_from(line)
    key.set_markersize(min(line.get_markersize(), SIZE))


def _set_view(ax: "Axes", low: np.ndarray, high: np.ndarray, *, outliers: float = 0.0) -> None:
    """Set the limits to the descent: cut off what rises far above its start, and the share `outliers`."""
    if not len(high) or not np.isfinite([*low, *high]).all():
        return
    bottom, top = np.quantile(low, outliers), np.quantile(high, 1 - outliers)
    start = np.quantile(high[: high.argmin() + 1], 1 - outliers)
    # If noise puts the lowest point at the very start, the level of most points says where the descent began.
    top = min(top, max(start, 2 * np.median(high) - bottom))
    margin = (0.06 + 4 * outliers) * (top - bottom)
    if margin > 0:
        ax.set_ylim(bottom - margin, top + margin)


def plot_extrema(
    lrs: np.ndarray,
    curves: Mapping[str, np.ndarray],
    minima: Mapping[str, np.ndarray],
    maxima: Mapping[str, np.ndarray] | None = None,
) -> "Axes":
    """Draw two curves, the loss first, over the rate, each on an axis of its own, with the extrema (indices) marked.

    The three rightmost minima of each are numbered from the right. Returns the left Axes; the right one is its twin.
    """
    left = new_figure((7.2, 4.4)).subplots()
    keys = []
    for ax, (name, values), colour in zip((left, left.twinx()), curves.items(), (BLUE, VERMILLION), strict=True):
        ax.plot(lrs, values, color=colour, linewidth=1.8, linestyle="-" if ax is left else "--", label=name)
        for kind, found, marker in (("minima", minima, "v"), ("maxima", maxima or {}, "^")):
            if name in found:
                at = found[name]
                ax.plot(lrs[at], values[at], marker=marker, color=colour, label=f"its {kind}", markersize=8, **MARK)
        _number_choices(ax, lrs, values, minima[name], colour)
        _set_view(ax, values, values, outliers=0.03)
        ax.set_ylabel(name, color=colour)
        ax.spines["top"].set_visible(False)
        keys.append(ax.get_legend_handles_labels()[0])
    left.set(xscale="log", xlabel="Learning rate")
    left.grid(axis="x", alpha=0.25)
    rows = [key for column in zip(*keys, strict=True) for key in column]  # legends are filled column by column
    left.figure.legend(handles=rows, loc="outside upper center", ncols=len(keys[0]), frameon=False)
    return left


def _number_choices(ax: "Axes", lrs: np.ndarray, values: np.ndarray, minima: np.ndarray, colour: str) -> None:
    for rank, index in enumerate(minima[:-4:-1], start=1):
        place = {"xytext": (0, -17), "textcoords": "offset points", "ha": "center", "color": colour}
        ax.annotate(str(rank), (lrs[index], values[index]), annotation_clip=True, **place)
