"""What is seen in the pictures: the right lines in the right places, and no window, no leak, nothing twice."""

import sys
import warnings

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from keras_sched import fine_tune, lr_find, minimum, valley
from keras_sched.annealers import SchedCos, SchedExp, SchedLin, SchedNo, combine_scheds, combined_cos
from keras_sched.plot import plot_extrema, plot_hps, plot_lr_find, plot_sched, png

RATES = np.geomspace(1e-6, 10, 40)
LOSSES = np.concatenate([np.full(10, 2.0), np.linspace(2, 0.5, 20), np.geomspace(0.6, 80, 10)])


def xs(line):
    return np.asarray(line.get_xdata()).tolist()


def ys(line):
    return np.asarray(line.get_ydata()).tolist()


def points(line):
    return list(zip(xs(line), ys(line), strict=True))


def of_curve(part):
    return list(zip(RATES[part], LOSSES[part], strict=True))


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_named(ax, name):
    return next(line for line in ax.lines if line.get_label() == name)


# --- a search ---------------------------------------------------------------------------------------------------------


def test_the_curve_is_the_first_line_and_the_skipped_ends_follow_pale():
    ax = plot_lr_find(RATES, LOSSES, skip_start=3, skip_end=4)
    curve, *ends = ax.lines
    assert points(curve) == of_curve(slice(3, -4))
    assert points(ends[0]) == of_curve(slice(0, 4))  # up to the curve's own first point, without a gap
    assert points(ends[1]) == of_curve(slice(-5, None))
    assert all(end.get_alpha() < 0.5 and end.get_color() == curve.get_color() for end in ends)


def test_by_default_the_last_five_points_are_skipped():
    curve, end = plot_lr_find(RATES, LOSSES).lines
    assert points(curve) == of_curve(slice(0, -5))
    assert set(points(end)) >= set(of_curve(slice(-5, None)))


def test_without_skipping_there_is_one_line():
    (curve,) = plot_lr_find(RATES, LOSSES, skip_end=0).lines
    assert points(curve) == of_curve(slice(None))


@pytest.mark.parametrize("length", [0, 1, 3, 5, 6])
def test_a_search_no_longer_than_the_skipped_ends_is_all_pale(length):
    ax = plot_lr_find(RATES[:length], LOSSES[:length], skip_start=2)
    assert len(xs(ax.lines[0])) == 0
    assert {point for line in ax.lines for point in points(line)} == set(of_curve(slice(length)))


def test_the_rate_is_on_a_logarithmic_axis_and_both_axes_are_named():
    ax = plot_lr_find(RATES, LOSSES)
    assert (ax.get_xscale(), ax.get_xlabel(), ax.get_ylabel()) == ("log", "Learning rate", "Loss")


def test_suggestions_by_name_are_marked_and_named():
    ax = plot_lr_find(RATES, LOSSES, suggestions={"valley": (1e-3, 1.5), "steep": (1e-2, 1.0)})
    assert legend(ax) == ["valley", "steep"]
    assert points(line_named(ax, "valley")) == [(1e-3, 1.5)]
    assert points(line_named(ax, "steep")) == [(1e-2, 1.0)]


def test_a_list_of_suggestions_takes_its_names_from_the_names():
    ax = plot_lr_find(RATES, LOSSES, suggestions=[(1e-3, 1.5), None, (1e-2, 1.0)], names=["valley", "slide", "steep"])
    assert legend(ax) == ["valley", "steep"]


def test_suggestions_without_a_name_are_counted():
    assert legend(plot_lr_find(RATES, LOSSES, suggestions=[(1e-3, 1.5), (1e-2, 1.0)])) == [
        "suggestion 1",
        "suggestion 2",
    ]


def test_marks_differ_in_colour_and_in_shape_and_none_has_the_colour_of_the_curve():
    ax = plot_lr_find(RATES, LOSSES, suggestions=[(1e-3, 1.5)] * 6, skip_end=0)
    curve, *marks = ax.lines
    assert len({str(line.get_marker()) for line in marks}) == len({to_rgb(line.get_color()) for line in marks}) == 6
    assert curve.get_color() not in {line.get_color() for line in marks}


def test_without_suggestions_there_is_no_legend():
    assert plot_lr_find(RATES, LOSSES).get_legend() is None


def test_the_descent_fills_the_picture_where_the_loss_exploded_after_it():
    losses = np.concatenate([LOSSES[:30], np.geomspace(1, 1e30, 10)])
    low, high = plot_lr_find(RATES, losses, skip_end=0).get_ylim()
    assert low < LOSSES.min()
    assert high > LOSSES[0]
    assert 1.5 / (high - low) > 1 / 3


def test_noise_that_is_lowest_at_the_start_does_not_hide_the_rest():
    losses = np.concatenate([[0.3, 0.1], LOSSES[2:]])
    low, high = plot_lr_find(RATES, losses).get_ylim()
    assert low < losses.min()
    assert high > losses[2]


def test_a_curve_that_only_rises_is_seen_up_to_its_level_and_one_with_a_nan_is_drawn():
    rising = np.linspace(1, 2, 40)
    low, high = plot_lr_find(RATES, rising, skip_end=0).get_ylim()
    assert low < rising[0] < rising[-1] < high
    assert len(xs(plot_lr_find(RATES, [np.nan, *LOSSES[1:]]).lines[0])) == 35


@pytest.mark.parametrize("loss", [1.0, 1e6])
def test_the_divergence_is_marked_at_its_rate_inside_or_on_the_edge_of_the_picture(loss):
    ax = plot_lr_find(RATES, LOSSES, diverged=(RATES[-1], loss))
    ax.figure.canvas.draw()
    (mark,) = [line for line in ax.lines if str(line.get_label()).startswith("diverged")]
    x, y = mark.get_transform().transform((xs(mark)[0], ys(mark)[0]))
    assert x == pytest.approx(ax.transData.transform((RATES[-1], 1))[0])
    assert ax.bbox.y0 <= y <= ax.bbox.y1 + 1e-6
    assert mark.get_clip_on() is (loss == 1.0)


def test_the_band_reaches_from_the_lowest_to_the_highest_search():
    ax = plot_lr_find(RATES, LOSSES, band=(LOSSES - 0.1, LOSSES + 0.3), skip_end=0)
    (band,) = ax.collections
    edge = np.asarray(band.get_paths()[0].vertices)
    assert (edge[:, 1].min(), edge[:, 1].max()) == pytest.approx((0.4, 80.3))


def test_the_legend_says_what_the_band_is():
    assert legend(plot_lr_find(RATES, LOSSES, band=(LOSSES - 0.1, LOSSES + 0.3))) == ["lowest to highest search"]


def places(ax, *names):
    """Where the marks are, as fractions of the picture's height."""
    ax.figure.canvas.draw()
    lines = [next(line for line in ax.lines if str(line.get_label()).startswith(name)) for name in names]
    seen = [line.get_transform().transform((xs(line)[0], ys(line)[0])) for line in lines]
    return [float(ax.transAxes.inverted().transform(each)[1]) for each in seen]


def test_a_mark_beyond_the_picture_is_on_its_edge_and_the_legend_says_so():
    ax = plot_lr_find(RATES, LOSSES, suggestions={"steep": (RATES[38], LOSSES[38]), "deep": (1e-3, -50.0)})
    assert legend(ax) == ["steep (above the plot)", "deep (below the plot)"]
    assert places(ax, "steep", "deep") == pytest.approx([1, 0])
    assert not any(line_named(ax, name).get_clip_on() for name in legend(ax))


def test_of_marks_in_one_place_each_is_a_ring_around_the_next_and_the_others_stay_as_they_are():
    at, near, far = (RATES[20], LOSSES[20]), (RATES[20] * 1.01, LOSSES[20]), (RATES[14], LOSSES[14])
    ax = plot_lr_find(RATES, LOSSES, suggestions={"a": at, "far": far, "b": at, "c": near})
    marks = {name: line_named(ax, name) for name in ("a", "b", "c", "far")}
    sizes = {name: line.get_markersize() for name, line in marks.items()}
    assert sizes["a"] > sizes["b"] > sizes["c"] == sizes["far"]
    assert [marks[name].get_markerfacecolor() == "none" for name in marks] == [True, True, False, False]
    keys = ax.get_legend().legend_handles
    assert max(key.get_markersize() for key in keys) == sizes["c"]


def test_many_names_stand_beside_a_figure_made_wider_once():
    many = dict.fromkeys("abcdef", (RATES[20], LOSSES[20]))
    few, ax = plot_lr_find(RATES, LOSSES, suggestions={"a": (1e-3, 1.5)}), plot_lr_find(RATES, LOSSES, suggestions=many)
    width = ax.figure.get_figwidth()
    assert width > few.figure.get_figwidth()
    plot_lr_find(RATES, LOSSES, suggestions=many, ax=ax)
    assert ax.figure.get_figwidth() == width
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 > ax.bbox.x1
    assert ax.get_legend().get_window_extent().x1 <= ax.figure.bbox.x1


def test_the_figure_of_others_keeps_its_size():
    figure, ax = plt.subplots(figsize=(5, 3))
    plot_lr_find(RATES, LOSSES, suggestions=dict.fromkeys("abcdef", (1e-3, 1.5)), ax=ax)
    assert figure.get_size_inches().tolist() == [5, 3]


def test_on_empty_axes_of_others_the_descent_fills_the_picture_as_on_its_own():
    _, (empty, limited) = plt.subplots(1, 2)
    limited.set_ylim(0, 77)
    assert plot_lr_find(RATES, LOSSES, ax=empty).get_ylim() == plot_lr_find(RATES, LOSSES).get_ylim()
    assert plot_lr_find(RATES, LOSSES, ax=limited).get_ylim() == (0, 77)


def test_other_arguments_style_the_curve_and_its_ends_under_their_short_names_too():
    ax = plot_lr_find(RATES, LOSSES, c="black", lw=5, label="mine")
    assert [(line.get_color(), line.get_linewidth()) for line in ax.lines] == [("black", 5)] * 2
    assert legend(ax) == ["mine"]


def test_the_axes_given_are_drawn_on_and_returned_with_what_they_had():
    _, (first, second) = plt.subplots(1, 2)
    first.plot([1e-3, 1], [5, 9])
    first.set_ylim(0, 77)
    assert plot_lr_find(RATES, LOSSES, ax=first) is first
    assert len(first.lines) == 3
    assert first.get_ylim() == (0, 77)
    assert not second.lines
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"losses": LOSSES[:-1]}, r"`lrs of shape \(40,\), losses of shape \(39,\)`"),
        ({"band": (LOSSES, LOSSES[1:])}, "Pass one loss for each rate"),
        ({"suggestions": [(1e-3, 1.5)], "names": ["a", "b"]}, "2 names for 1 suggestions"),
        ({"skip_end": -1}, "`skip_end=-1`"),
        ({"skip_start": 1.5}, "`skip_start=1.5`"),
    ],
)
def test_what_does_not_fit_together_is_an_error_and_opens_no_figure(arguments, hint):
    with pytest.raises(ValueError, match=hint):
        plot_lr_find(**{"lrs": RATES, "losses": LOSSES} | arguments)
    assert plt.get_fignums() == []


def test_the_extrema_of_two_curves_are_marked_each_on_its_own_axis():
    curves = {"loss": LOSSES, "gradient": np.gradient(LOSSES)}
    left = plot_extrema(RATES, curves, {"loss": np.array([29]), "gradient": np.array([3, 15, 20, 30])})
    right = next(ax for ax in left.figure.axes if ax is not left)
    for ax, name, at in ((left, "loss", [29]), (right, "gradient", [3, 15, 20, 30])):
        assert points(line_named(ax, name)) == list(zip(RATES, curves[name], strict=True))
        assert points(line_named(ax, "its minima")) == [(RATES[i], curves[name][i]) for i in at]
        assert ax.get_xscale() == "log"
    assert [text.get_text() for text in right.texts] == ["1", "2", "3"]
    assert [text.xy[0] for text in right.texts] == [RATES[30], RATES[20], RATES[15]]


def test_a_picture_for_a_notebook_is_a_png_that_pyplot_never_sees():
    picture = png(lambda ax: plot_lr_find(RATES, LOSSES, ax=ax))
    assert picture.startswith(b"\x89PNG")
    assert plt.get_fignums() == []


@pytest.fixture
def fitting():
    keras.utils.set_random_seed(0)
    body = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    model = keras.Sequential([body, keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    return model, np.random.default_rng(0).normal(size=(24, 3)).astype("float32"), np.ones((24, 1), "float32")


def test_the_legend_of_a_search_tells_each_rate_and_of_several_what_line_and_band_are(fitting):
    found = lr_find(*fitting, repeats=3, num_it=40, suggest_funcs=(valley, minimum), verbose=0, show_plot=False)
    line, band, first, second, *_ = legend(found.plot())
    assert (line, band) == ("median of 3 searches", "lowest to highest search")
    assert first == f"valley {found.valley:.1e}"
    assert second.startswith(f"minimum {found.minimum:.1e}, marked at {10 * found.minimum:.1e}")
    assert "mine" in legend(found.plot(suggestions={"mine": (found.valley, found.points["valley"][1])}))


def test_a_history_of_fine_tune_has_the_epochs_of_both_phases(fitting):
    history = fine_tune(*fitting, epochs=4, freeze_epochs=2, batch_size=8, verbose=0)
    ticks = [ax.child_axes[0].get_xticks().tolist() for ax in history.plot_sched().axes]
    assert ticks == [[0, 1, 2, 3, 4, 5, 6]] * 2


# --- schedules --------------------------------------------------------------------------------------------------------

CYCLE = {"lr": combined_cos(0.25, 0.004, 0.1, 1e-6), "mom": combined_cos(0.25, 0.95, 0.85, 0.95)}


def phases_of(ax):
    return sorted(segment[0][0] for collection in ax.collections for segment in collection.get_segments())


def test_each_hyper_parameter_has_one_axes_with_its_name_and_its_values():
    figure = plot_sched(CYCLE)
    assert [ax.get_ylabel() for ax in figure.axes] == ["lr", "mom"]
    for ax, sched in zip(figure.axes, CYCLE.values(), strict=True):
        (line,) = ax.lines
        assert ys(line) == sched(np.asarray(xs(line))).tolist()
        assert (xs(line)[0], xs(line)[-1]) == (0, 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_there_are_as_many_axes_as_hyper_parameters_and_no_more(count):
    assert len(plot_sched({f"h{i}": SchedLin(0, 1) for i in range(count)}, epochs=3).axes) == count


def test_keys_choose_and_order_the_plots():
    assert [ax.get_ylabel() for ax in plot_sched(CYCLE, keys=["mom", "lr"]).axes] == ["mom", "lr"]
    assert [ax.get_ylabel() for ax in plot_sched(CYCLE, keys="mom").axes] == ["mom"]


@pytest.mark.parametrize("sched", [[SchedLin(0, 1), SchedLin(0, 2)], SchedLin([0, 0], [1, 2])], ids=["list", "values"])
def test_each_group_has_a_line_and_a_name(sched):
    (ax,) = plot_sched({"lr": sched}).axes
    assert [ys(line)[-1] for line in ax.lines] == [1, 2]
    assert legend(ax) == ["group 0", "group 1"]
    assert len({line.get_linestyle() for line in ax.lines}) == 2


def test_of_many_groups_the_legend_names_a_few():
    (ax,) = plot_sched({"lr": SchedLin([0] * 24, list(range(24)))}).axes
    assert len(ax.lines) == len({to_rgb(line.get_color()) for line in ax.lines}) == 24
    assert legend(ax) == ["group 0", "group 5", "group 11", "group 17", "group 23"]


def test_epochs_are_a_second_axis_above():
    (ax,) = plot_sched({"lr": SchedLin(0, 1)}, epochs=7).axes
    ax.set_xlim(0, 1)
    ax.figure.canvas.draw()
    (above,) = ax.child_axes
    assert above.get_xlabel() == "epoch"
    assert above.get_xlim() == pytest.approx((0, 7))


def test_with_epochs_and_steps_the_values_are_those_of_each_batch():
    (ax,) = plot_sched({"lr": SchedLin(0, 1)}, epochs=2, steps_per_epoch=5).axes
    assert ax.get_xlabel() == "batch"
    assert xs(ax.lines[0]) == list(range(10))
    assert ys(ax.lines[0]) == pytest.approx(np.arange(10) / 10)
    ax.set_xlim(0, 10)
    ax.figure.canvas.draw()
    assert ax.child_axes[0].get_xlim() == pytest.approx((0, 2))


@pytest.mark.parametrize(
    ("epochs", "ticks"),
    [
        (1, [0, 1]),
        (7, [0, 1, 2, 3, 4, 5, 6, 7]),
        (13, [0, 2, 4, 6, 8, 10, 12, 13]),
        (30, [0, 5, 10, 15, 20, 25, 30]),
        (91, [0, 10, 20, 30, 40, 50, 60, 70, 80, 91]),
        (100, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]),
    ],
)
def test_the_ticks_of_the_epochs_are_round_and_the_last_epoch_is_one_that_is_seen(epochs, ticks):
    (ax,) = plot_sched({"lr": SchedLin(0, 1)}, epochs=epochs, steps_per_epoch=3).axes
    ax.figure.canvas.draw()
    (above,) = ax.child_axes
    assert above.get_xticks().tolist() == ticks
    assert above.get_xlim()[0] < 0 < epochs < above.get_xlim()[1]


def test_in_a_small_picture_the_epochs_have_fewer_ticks():
    (ax,) = plot_sched({"lr": SchedLin(0, 1)}, epochs=100, figsize=(3, 2)).axes
    assert ax.child_axes[0].get_xticks().tolist() == [0, 20, 40, 60, 80, 100]


def test_a_history_that_ended_inside_an_epoch_has_the_whole_epochs_before():
    (ax,) = plot_hps({"lr": np.arange(8.0)}, steps_per_epoch=3).axes
    assert ax.child_axes[0].get_xticks().tolist() == [0, 1, 2]


def test_without_epochs_there_is_no_second_axis():
    assert plot_sched(CYCLE).axes[0].child_axes == []


def test_phases_are_parted_by_upright_lines_also_inside_a_phase_and_in_batches():
    inner = combine_scheds([0.5, 0.5], [SchedLin(0, 1), SchedLin(1, 0)])
    outer = combine_scheds([0.2, 0.0, 0.8], [SchedNo(0, 0), SchedNo(5, 5), inner])
    assert phases_of(plot_sched({"lr": outer}).axes[0]) == pytest.approx([0.2, 0.6])
    assert phases_of(plot_sched({"lr": outer}, epochs=10, steps_per_epoch=10).axes[0]) == pytest.approx([20, 60])
    assert phases_of(plot_sched({"lr": SchedLin(0, 1)}).axes[0]) == []


def test_both_sides_of_a_jump_are_drawn_where_it_is():
    jump = combine_scheds([1 / 3, 2 / 3], [SchedCos(1, 0), SchedCos(1, 0)])
    (line,) = plot_sched({"lr": jump}).axes[0].lines
    x, y = np.asarray(xs(line)), np.asarray(ys(line))
    last = np.flatnonzero(x < 1 / 3)[-1]
    assert x[last + 1] - x[last] < 1e-8
    assert (y[last], y[last + 1]) == pytest.approx((0, 1), abs=1e-9)


@pytest.mark.parametrize(
    ("sched", "scale"),
    [
        (SchedExp(1e-7, 10), "log"),
        (SchedExp(1e-3, 1e-1), "log"),
        (CYCLE["lr"], "linear"),
        (SchedCos(0.1, 0), "linear"),
        (SchedExp(0.1, 0.05), "linear"),
        (SchedNo(0.1, 0.1), "linear"),
        (SchedLin(0, -1), "linear"),
        (combined_cos(0.25, [4e-5, 4e-3], [1e-3, 1e-1], [1e-8, 1e-6]), "log"),
    ],
)
def test_the_values_are_on_a_logarithmic_axis_where_a_linear_one_would_hide_them(sched, scale):
    assert plot_sched({"lr": sched}).axes[0].get_yscale() == scale


def test_a_logarithmic_axis_shows_four_decades_of_an_annealing_and_all_of_an_exponential_sweep():
    cycles = combine_scheds([0.2, 0.8], [SchedCos([1e-4, 1e-2], [0, 0])] * 2)
    (ax,) = plot_sched({"lr": cycles}).axes
    low, high = ax.get_ylim()
    assert ax.get_yscale() == "log"
    assert high == pytest.approx(1e-2, rel=0.6)
    assert high > 1e-2
    assert 1e-7 < low <= 1e-6
    low, high = plot_sched({"lr": SchedExp(1e-7, 10)}).axes[0].get_ylim()
    assert low < 1e-7
    assert high > 10


def test_of_groups_far_apart_the_lowest_is_seen():
    (ax,) = plot_sched({"lr": [SchedNo(1e-9, 1e-9), SchedNo(1, 1)]}).axes
    assert ax.get_ylim()[0] < 1e-9


def test_the_names_of_the_groups_stand_beside_the_curves():
    for ax in plot_sched({"lr": SchedLin([0, 0], [1, 2]), "mom": SchedLin([0, 0], [1, 2])}, epochs=3).axes:
        ax.figure.canvas.draw()
        box = ax.get_legend().get_window_extent()
        assert ax.bbox.x1 < box.x0
        assert box.x1 <= ax.figure.bbox.x1


def test_a_plain_function_of_one_number_is_a_schedule():
    def steps(pos):
        return 1.0 if pos < 0.5 else 0.1  # no array could be compared so

    (line,) = plot_sched({"lr": steps}).axes[0].lines
    assert (ys(line)[0], ys(line)[-1]) == (1.0, 0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"keys": ["lr", "wd"]}, ValueError, "`wd` is not scheduled. Pass some of `lr`, `mom`"),
        ({"keys": []}, ValueError, "nothing to plot"),
        ({"scheds": {}}, ValueError, "one_cycle"),
        ({"scheds": SchedLin(0, 1)}, TypeError, "SchedCos"),
        ({"scheds": {"lr": []}}, ValueError, r"`lr=\[\]`; it has no annealer"),
        ({"scheds": {"lr": [SchedLin([0, 0], [1, 2]), SchedLin(0, 1)]}}, ValueError, "one value at a time"),
        ({"scheds": {"lr": 0.1}}, TypeError, "`lr=0.1`; it must be an annealer"),
        ({"scheds": {"lr": "cosine"}}, TypeError, "SchedCos"),
        ({"steps_per_epoch": 10}, ValueError, "Pass for example `epochs=5`"),
        ({"epochs": 0}, ValueError, "`epochs=0`"),
        ({"epochs": 2, "steps_per_epoch": 1.5}, ValueError, "`steps_per_epoch=1.5`"),
    ],
)
def test_what_cannot_be_plotted_is_an_error_that_says_what_to_type(arguments, error, hint):
    with pytest.raises(error, match=hint):
        plot_sched(**{"scheds": CYCLE} | arguments)
    assert plt.get_fignums() == []


def test_recorded_values_are_plotted_batch_by_batch_with_groups_and_epochs():
    figure = plot_hps({"lr": np.arange(12.0).reshape(6, 2), "mom": np.linspace(0, 1, 6)}, steps_per_epoch=3)
    first, second = figure.axes
    assert [ys(line) for line in first.lines] == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9, 11]]
    assert xs(second.lines[0]) == [0, 1, 2, 3, 4, 5]
    first.set_xlim(0, 6)
    figure.canvas.draw()
    assert first.child_axes[0].get_xlim() == pytest.approx((0, 2))


def test_of_a_long_run_no_more_points_are_drawn_than_are_seen():
    (line,) = plot_hps({"lr": np.arange(1e6)}).axes[0].lines
    x, y = xs(line), ys(line)
    assert len(x) <= 5000
    assert (x[0], x[-1]) == (0, 999_999)
    assert x == y


def test_hyper_parameters_recorded_over_different_numbers_of_batches_each_have_their_own():
    figure = plot_hps({"lr": np.arange(8.0), "mom": np.arange(5.0)})
    assert [len(xs(ax.lines[0])) for ax in figure.axes] == [8, 5]


def test_nothing_recorded_is_an_error_that_says_to_fit_first():
    with pytest.raises(RuntimeError, match=r"Call it after `model.fit`"):
        plot_hps({"lr": np.empty(0)})


def test_the_size_is_the_one_asked_for():
    assert plot_sched(CYCLE, figsize=(3, 2)).get_size_inches().tolist() == [3, 2]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_nothing_is_shown_and_many_plots_leave_one_figure_open_and_no_warning(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a window was opened"))
    mine = plt.figure()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = [plot_lr_find(RATES, LOSSES).figure if i % 2 else plot_sched(CYCLE) for i in range(30)]
    assert mine.number in plt.get_fignums()
    assert len(plt.get_fignums()) == 2
    assert plt.gcf() is made[-1]


def test_a_figure_that_pyplot_has_let_go_can_still_be_saved(tmp_path):
    first = plot_sched(CYCLE)
    plot_sched(CYCLE)
    first.savefig(tmp_path / "schedule.png")
    assert (tmp_path / "schedule.png").stat().st_size > 5000


@pytest.mark.parametrize("draw", [lambda: plot_lr_find(RATES, LOSSES), lambda: plot_sched(CYCLE), lambda: png(print)])
def test_without_matplotlib_the_error_says_how_to_install_it(draw, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib, which is not installed\. Type `pip install matplotlib`"):
        draw()


def test_in_a_notebook_each_figure_is_seen_once_whether_or_not_it_is_the_value_of_its_cell(run_script):
    printed = run_script("""
        from IPython.core.interactiveshell import InteractiveShell
        from IPython.utils.capture import capture_output

        InteractiveShell.enable_gui = lambda self, gui=None: None  # inline has no event loop
        shell = InteractiveShell.instance()
        shell.run_line_magic("matplotlib", "inline")
        shell.run_cell("from keras_sched.plot import plot_hps, plot_lr_find")
        values = []
        shell.displayhook.write_format_data = lambda data, metadata=None: values.append(data)
        for cell in (
            "plot_hps({'lr': [1, 2, 3]})",
            "kept = plot_hps({'lr': [1, 2, 3]})",
            "plot_lr_find([1, 2, 3], [3, 2, 1])",
            "kept",
            "plot_hps({'lr': [1, 2]}); plot_hps({'lr': [1, 2]})",
        ):
            with capture_output() as seen:
                shell.run_cell(cell, store_history=True).raise_error()
            print(sum("image/png" in each for each in [output.data for output in seen.outputs] + values), end=" ")
            values.clear()
    """)
    assert printed.split() == ["1", "1", "1", "1", "2"]
