"""Pictures of schedules: the values that a recipe will give, and those that a training run was given."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_sched.annealers import Annealer
from keras_sched.arguments import names_checked
from keras_sched.curves import check_scheds
from keras_sched.errors import check_whole, speaking_as, wrong_state, wrong_value
from keras_sched.plot.canvas import BESIDE, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, dress, new_figure, seen_once

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = (
    (BLUE, "-"),
    (VERMILLION, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (ORANGE, (0, (8, 3))),
    (SKY, (0, (5, 1, 1, 1))),
)
MOST_POINTS = 5000  # of a line: more than a picture is wide
MOST_PHASES = 40  # more boundaries than this would hide the curve
DECADES = 4  # below the largest value, on a logarithmic axis: values near 0 would take up all of it
EPOCH_STEPS = [digit * 10**power for power in range(7) for digit in (1, 2, 2.5, 5) if digit * 10**power % 1 == 0]


class Ruler(NamedTuple):
    """The horizontal axis: its unit, and the epochs in one unit (`None` if unknown)."""

    name: str
    epochs: float | None


class Track(NamedTuple):
    """What one Axes shows: values, (N,) or (N, groups), at places on the ruler, and the boundaries of its phases."""

    at: np.ndarray
    values: np.ndarray
    phases: Sequence[float] = ()


@names_checked
def plot_sched(
    scheds: Mapping[str, Any],
    *,
    keys: Iterable[str] | str | None = None,
    figsize: tuple[float, float] | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
) -> "Figure":
    """Plot schedules without a model: any recipe, or whatever `ParamScheduler` takes.

    Args:
        scheds: {hyper-parameter: annealer, or a list of annealers, one per parameter group}.
        keys: the hyper-parameters to plot, of those in `scheds`; `None` is all.
        figsize: width and height in inches; `None` fits the number of plots.
        epochs: how many epochs the schedule lasts, at least 1: they are shown on a second axis.
        steps_per_epoch: how many batches an epoch has, at least 1; with `epochs`, the values are those of each batch.

    Returns:
        A figure with one Axes per hyper-parameter and one line per group; thin upright lines part the phases.

    Raises:
        ValueError: when `scheds` or a list in it is empty, a key is not in it, a list holds an annealer of several
            groups, `epochs` or `steps_per_epoch` is no whole number of at least 1, or `epochs` is missing.
        TypeError: when `scheds` is no mapping, or a schedule cannot be called.
        ImportError: when matplotlib is not installed.

    Example:
        >>> from keras_sched import one_cycle, plot_sched
        >>> figure = plot_sched(one_cycle(lr_max=0.1), epochs=5)
        >>> [ax.get_ylabel() for ax in figure.axes]
        ['lr', 'mom']

    After fastai's `Recorder.plot_sched`.
    """
    annealers = check_scheds(scheds)
    ruler, length = _ruler(epochs, steps_per_epoch)
    tracks = {name: _track(annealers[name], length) for name in _chosen(annealers, keys)}
    return _draw(tracks, ruler, figsize)


@speaking_as("plot_sched")
def plot_hps(
    hps: Mapping[str, np.ndarray],
    *,
    keys: Iterable[str] | str | None = None,
    figsize: tuple[float, float] | None = None,
    steps_per_epoch: int | None = None,
) -> "Figure":
    """Plot recorded values, {hyper-parameter: (N,) or (N, groups), one per batch}, as `plot_sched` plots a recipe."""
    names = _chosen(hps, keys)
    if not all(len(hps[name]) for name in names):
        raise wrong_state("no batch run", "it draws the values used", "Call it after `model.fit`.")
    drawn = {name: _thinned(len(hps[name])) for name in names}
    tracks = {name: Track(at, np.asarray(hps[name])[at]) for name, at in drawn.items()}
    return _draw(tracks, Ruler("batch", None if steps_per_epoch is None else 1 / steps_per_epoch), figsize)


def _chosen(known: Mapping[str, Any], keys: Iterable[str] | str | None) -> list[str]:
    chosen = list(known) if keys is None else [keys] if isinstance(keys, str) else list(keys)
    listed = ", ".join(f"`{name}`" for name in known)
    if not chosen:
        raise wrong_value(f"keys={keys!r}", "that leaves nothing to plot", f"Pass some of {listed}.")
    for name in chosen:
        if name not in known:
            raise wrong_value(f"keys={keys!r}", f"`{name}` is not scheduled", f"Pass some of {listed}.")
    return chosen


def _ruler(epochs: int | None, steps_per_epoch: int | None) -> tuple[Ruler, int | None]:
    """The horizontal axis of a preview, and the number of batches if it is known."""
    if epochs is not None:
        check_whole("epochs", epochs, "how many epochs the schedule lasts", 5)
    if steps_per_epoch is None:
        return Ruler("position", epochs), None
    check_whole("steps_per_epoch", steps_per_epoch, "how many batches an epoch has", 100)
    if epochs is None:
        received, expected = f"steps_per_epoch={steps_per_epoch}", "without `epochs` the length is still unknown"
        raise wrong_value(received, expected, "Pass for example `epochs=5` as well.")
    return Ruler("batch", 1 / steps_per_epoch), epochs * steps_per_epoch


def _track(sched: Any, batches: int | None) -> Track:
    phases = _boundaries(sched)
    if batches is not None:
        at = _thinned(batches)
        return Track(at, _sample(sched, at / batches), [batches * each for each in phases])
    both_sides = [side for each in phases for side in (each - 1e-9, each)]  # where values may jump
    at = np.unique([*np.linspace(0, 1, 1001), *both_sides])
    return Track(at, _sample(sched, at), phases)


def _thinned(batches: int) -> np.ndarray:
    return np.unique(np.linspace(0, batches - 1, min(batches, MOST_POINTS)).astype(np.int64))


def _sample(sched: Annealer | tuple[Annealer, ...], positions: np.ndarray) -> np.ndarray:
    """The values at the positions: (N,) or, with groups, (N, G)."""
    return np.stack([one(positions) for one in sched], axis=-1) if isinstance(sched, tuple) else sched(positions)


def _boundaries(sched: Annealer | tuple[Annealer, ...]) -> list[float]:
    """The positions between the phases of a combined annealer, and of those combined inside it."""
    if isinstance(sched, tuple):
        return sorted({at for each in sched for at in _boundaries(each)})
    return [float(phase.low) for phase in getattr(sched, "phases", ())[1:]]


def _draw(tracks: Mapping[str, Track], ruler: Ruler, figsize: tuple[float, float] | None) -> "Figure":
    columns = min(len(tracks), 2)
    rows = -(-len(tracks) // columns)
    figure = new_figure(figsize or ((6.4, 3.6) if columns == 1 else (10.0, 3.4 * rows)))
    for place, (name, track) in enumerate(tracks.items(), start=1):
        ax = figure.add_subplot(rows, columns, place)
        _draw_lines(ax, track)
        _draw_scales(ax, name, track, ruler)
        if len(track.phases) <= MOST_PHASES:  # in one collection, so that the lines of the Axes are the groups' alone
            ax.vlines(track.phases, 0, 1, transform=ax.get_xaxis_transform(), colors="0.5", linewidth=0.8, alpha=0.6)
    return seen_once(figure)


def _draw_lines(ax: "Axes", track: Track) -> None:
    at, values, _ = track
    if values.ndim == 1:
        ax.plot(at, values, color=BLUE, linewidth=2)
        return
    groups = values.shape[1]
    for group, (colour, dash) in enumerate(_styles(groups)):
        ax.plot(at, values[:, group], color=colour, linestyle=dash, linewidth=2, label=f"group {group}")
    lines = ax.lines if groups <= len(STYLES) else [ax.lines[i] for i in np.linspace(0, groups - 1, 5).astype(int)]
    ax.legend(handles=list(lines), handlelength=3.0, **BESIDE)


def _styles(groups: int) -> Iterable[tuple[Any, Any]]:
    if groups <= len(STYLES):
        return STYLES[:groups]
    import matplotlib as mpl

    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, groups))  # the yellow end is too pale for paper
    return zip(shades, itertools.repeat("-"), strict=False)


def _draw_scales(ax: "Axes", name: str, track: Track, ruler: Ruler) -> None:
    dress(ax)
    ax.set(xlabel=ruler.name, ylabel=name)
    if _log_helps(track.values):
        ax.set_yscale("log")
        _limit_decades(ax, track.values)
    else:
        ax.yaxis.set_major_formatter("{x:g}")
    end = track.at[-1] + 1 if ruler.name == "batch" else 1.0  # the last batch ends where the next one would begin
    ax.set_xlim(-0.03 * end, 1.03 * end)
    if ruler.epochs is not None:
        there, back = partial(np.multiply, ruler.epochs), partial(np.multiply, 1 / ruler.epochs)
        above = ax.secondary_xaxis("top", functions=(there, back))
        above.set_xlabel("epoch")
        above.set_xticks(_epoch_ticks(int(end * ruler.epochs + 1e-6), _width(ax)))


def _log_helps(values: np.ndarray) -> bool:
    """Whether a third of the values would lie on the floor of a linear axis, below a twentieth of the largest.

    They would for an exponential annealer and for groups with very different rates; not for one cycle or a cosine,
    which are usually shown on a linear axis. A few values may be 0, such as the last one.
    """
    positive = values[values > 0]
    if (values < 0).any() or positive.size < 0.95 * values.size or not positive.size:
        return False
    return bool((positive < positive.max() / 20).mean() > 1 / 3)


def _limit_decades(ax: "Axes", values: np.ndarray) -> None:
    """Show `DECADES` below the largest value, and further down only what most of some group needs."""
    groups = values.reshape(len(values), -1).T
    lowest, peak = values[values > 0].min(), values.max()
    most = min(np.quantile(group[group > 0], 0.05) for group in groups if (group > 0).any())
    floor = min(most, peak / 10**DECADES)
    floor = lowest if lowest > floor / 10 else floor  # one decade more is no reason to cut
    margin = (peak / floor) ** 0.04
    ax.set_ylim(floor / margin, peak * margin)


def _width(ax: "Axes") -> float:
    """In inches, as known before the layout."""
    return ax.get_window_extent().width / ax.figure.dpi


def _epoch_ticks(last: int, width: float) -> list[int]:
    """Round numbers of epochs from 0, and the last epoch."""
    most = max(3, min(10, int(2.5 * width)))  # as many as there is room for
    roomy = [int(step) for step in EPOCH_STEPS if last <= step * most]
    step = next((step for step in roomy if last % step == 0 and last >= 3 * step), roomy[0])
    return [*(tick for tick in range(0, last, step) if last - tick >= step / 2), last]
