"""Suggestions against the numbers of fastai, against plain oracles, and on curves that have no answer."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_sched.errors import NoSuggestion
from keras_sched.lr_finder.record import Recorder
from keras_sched.suggest import (
    DEFAULT,
    checked_curve,
    halfway,
    inflection,
    min_grad,
    minimum,
    points_seen,
    slide,
    steep,
    valley,
)
from keras_sched.suggest.halfway import smoothed_anew

GOLDEN = Path(__file__).parent / "golden"
FASTAI = json.loads((GOLDEN / "suggestions.json").read_text())
SEARCHES = json.loads((GOLDEN / "lr_find.json").read_text())
RTOL = FASTAI["tolerance"]["rtol"]
OF_FASTAI = {"valley": valley, "slide": slide, "minimum": minimum, "steep": steep}
ALL = [halfway, valley, slide, minimum, steep, min_grad, inflection]


def named(cases):
    return [pytest.param(case, id=case["name"]) for case in cases]


def numbers(values):
    return [float(value) for value in values]  # "nan" and "inf" are written as words


def assert_same(found, expected):
    lr, point = found
    assert (lr, *point) == pytest.approx((expected["lr"], *expected["point"]), rel=RTOL)


def rates(n):
    return np.geomspace(1e-7, 10, n)


# --- fastai's numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_FASTAI)
@pytest.mark.parametrize("case", named(FASTAI["cases"]))
def test_the_rate_and_the_point_are_those_of_fastai(case, name):
    assert_same(OF_FASTAI[name](case["lrs"], case["losses"], case["num_it"]), case["suggestions"][name])


@pytest.mark.parametrize("case", named(FASTAI["cases"]))
def test_slide_with_other_settings_gives_what_fastai_gives(case):
    assert len(case["slide_with"]) == 4
    for other in case["slide_with"]:
        assert_same(slide(case["lrs"], case["losses"], case["num_it"], **other["arguments"]), other)


@pytest.mark.parametrize("name", OF_FASTAI)
@pytest.mark.parametrize("case", named([case for case in SEARCHES["cases"] if case["first_not_finite"] is None]))
def test_the_points_seen_of_a_whole_search_give_the_rates_of_fastai(case, name):
    seen = points_seen(case["lrs"], case["smoothed_losses"], case["num_it"])
    assert_same(OF_FASTAI[name](*seen, case["num_it"]), case["suggestions"][name])


def test_suggestions_see_neither_the_first_tenth_nor_the_last_five_points():
    lrs, losses = points_seen(list(range(25)), list(range(100, 125)), 40)
    assert lrs == list(range(4, 20))
    assert losses == list(range(104, 120))


# --- where fastai misleads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suggest", ALL)
@pytest.mark.parametrize("name", ["only rises", "constant"])
def test_a_curve_that_never_falls_has_no_rate(name, suggest):
    case = next(case for case in FASTAI["odd"] if case["name"] == name)
    with pytest.raises(NoSuggestion, match="only rises" if name == "only rises" else "flat"):
        suggest(case["lrs"], case["losses"], case["num_it"])


@pytest.mark.parametrize("suggest", [valley, minimum, steep, min_grad, inflection])
def test_after_a_single_drop_no_rate_beyond_it_is_suggested(suggest):
    case = next(case for case in FASTAI["odd"] if case["name"] == "drops once, then rises")
    lr, (x, _) = suggest(case["lrs"], case["losses"], case["num_it"])
    assert lr <= x <= case["lrs"][1]


def test_slide_says_that_fifteen_points_are_too_few_for_its_interval():
    with pytest.raises(NoSuggestion, match="15 points, and at least 16"):
        slide(rates(15), np.linspace(2, 1, 15), 100)
    assert slide(rates(16), np.linspace(2, 1, 16), 100)[0] == pytest.approx(1e-7)


# --- half-way down ----------------------------------------------------------------------------------------------------


def searched(raw_losses):
    """Return the points seen of a search that had these losses."""
    recorder = Recorder(len(raw_losses), stop_div=False)
    for loss in raw_losses:
        recorder.add(loss)
    return points_seen(rates(len(raw_losses)), recorder.curve().losses, len(raw_losses))


def test_what_is_suggested_by_default_is_halfway_then_valley():
    assert (halfway, valley) == DEFAULT


def test_halfway_is_the_first_rate_at_which_half_of_the_fall_is_done():
    # from 9 down to 1: half-way is 5, and the fourth point is the first that is not above it
    assert halfway(rates(8), [9, 9, 8, 5, 3, 1, 4, 20], 8) == (rates(8)[3], (rates(8)[3], 5.0))


def test_halfway_measures_the_fall_from_the_highest_loss_before_the_lowest():
    # from 9 down to 1, whatever the first loss is, and whatever comes after the lowest
    assert halfway(rates(9), [6, 7, 9, 8, 4, 2, 1, 3, 50], 9)[1] == (rates(9)[4], 4.0)


def test_halfway_takes_the_last_time_that_half_of_the_fall_is_done():
    losses = [9, 8, 4, 6, 7, 8, 4.5, 3, 1, 2]
    assert halfway(rates(10), losses, 10)[1] == (rates(10)[6], 4.5)


def test_halfway_of_a_straight_descent_is_its_middle():
    losses = np.arange(100, 15, -1)
    assert halfway(rates(85), losses, 100)[1] == (rates(85)[42], 58.0)


@pytest.mark.parametrize("seed", range(5))
def test_halfway_of_a_smoothed_descent_has_most_of_the_fall_behind_it(seed):
    places = np.arange(100)
    loss = 1 + 1 / (1 + np.exp((places - 60) / 4)) + np.where(places > 85, np.exp((places - 85) / 3) - 1, 0)
    noisy = loss + np.random.default_rng(seed).normal(0, 0.02, 100)
    lr, _ = halfway(*searched(noisy), 100)
    assert 1 < loss[rates(100).searchsorted(lr)] < 1.25


@pytest.mark.parametrize("seed", range(5))
def test_halfway_of_a_search_that_diverges_without_a_descent_is_a_hundredth_of_its_end(seed):
    noise = np.random.default_rng(seed).normal(0, 0.1, 100)
    lrs, losses = searched(2.3 + noise + np.exp((np.arange(100) - 85) / 3))
    lr, point = halfway(lrs, losses, 100)
    assert lr == pytest.approx(lrs[-1] / 100, rel=0.1)
    assert point == (lr, losses[list(lrs).index(lr)])


@pytest.mark.parametrize("seed", range(5))
def test_halfway_has_no_rate_where_there_is_nothing_but_noise(seed):
    raw = 2.3 + np.random.default_rng(seed).normal(0, 0.1, 100)
    with pytest.raises(NoSuggestion, match="neither falls nor rises by more than its noise"):
        halfway(*searched(raw), 100)


@pytest.mark.parametrize("num_it", [60, 100, 300])
def test_the_losses_of_the_batches_come_back_out_of_the_smoothed_ones(num_it):
    raw = np.random.default_rng(0).uniform(1, 2, num_it)
    raw_losses, _ = smoothed_anew(checked_curve("a test", *searched(raw)), num_it)
    first = num_it // 10
    # the first loss seen stands for the batches before it
    assert raw_losses[0] == searched(raw)[1][0]
    assert raw_losses[1:] == pytest.approx(raw[first + 1 : -5], rel=1e-9)


def test_the_losses_of_a_search_of_a_hundred_batches_are_smoothed_as_they_were():
    lrs, losses = searched(np.random.default_rng(0).uniform(1, 2, 100))
    assert np.array_equal(smoothed_anew(checked_curve("a test", lrs, losses), 100)[1], losses)


@pytest.mark.parametrize("num_it", [50, 200, 400])
def test_halfway_hardly_depends_on_the_length_of_the_search(num_it):
    def found(batches):
        loss = 1 + 1 / (1 + np.exp((np.linspace(0, 100, batches) - 60) / 4))
        return halfway(*searched(loss), batches)[0]

    assert found(num_it) == pytest.approx(found(100), rel=0.5)


# --- bumps ------------------------------------------------------------------------------------------------------------

RISE = [1.2, 1.5, 3.0]
DESCENT = 1 + 1 / (1 + np.exp(np.arange(-15, 15) / 3))  # from 2 to 1, the steepest in the middle


@pytest.mark.parametrize("suggest", [steep, min_grad, inflection])
def test_the_steepest_point_of_a_descent_is_suggested(suggest):
    lr, _ = suggest(rates(33), [*DESCENT, *RISE], 33)
    assert rates(33)[13] <= lr <= rates(33)[17]


@pytest.mark.parametrize("suggest", [steep, min_grad])
def test_a_bump_before_the_descent_that_is_steeper_than_it_is_no_suggestion(suggest):
    losses = [2.0, 1.88, 2.0, *DESCENT, *RISE]  # a step of 0.12, where the descent of 1 has none above 0.09
    with pytest.raises(NoSuggestion, match=r"at 1\.0e-07, lies on a bump") as caught:
        suggest(rates(len(losses)), losses, len(losses))
    assert "`repeats=3`" in str(caught.value)


def test_an_inflection_in_the_rise_is_no_suggestion():
    losses = [*DESCENT, 1.2, 1.5, 1.49, 1.48, 2.5, 4.0, 9.0, 20.0]
    with pytest.raises(NoSuggestion, match="past the lowest loss"):
        inflection(rates(len(losses)), losses, len(losses))


# --- oracles ----------------------------------------------------------------------------------------------------------


def oracle_valley(losses):
    """Return the index that the quadratic search for the longest descent leads to, or None where it is negative."""
    lengths = [1] * len(losses)
    for i, loss in enumerate(losses):
        lengths[i] = 1 + max((lengths[j] for j in range(i) if losses[j] > loss), default=0)
    end = max(range(len(losses)), key=lambda i: (lengths[i], -i))
    start = end - lengths[end]
    third = lengths[end] / 3
    index = start + math.floor(third) + math.floor(third / 2)
    return index if index >= 0 else None


ties = st.lists(st.integers(0, 6), min_size=4, max_size=60)
curves = ties | st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=60)


def answer(suggest, losses, **settings):
    """Return the index of the point that is marked, or None where there is no suggestion."""
    lrs = rates(len(losses))
    try:
        _, (x, y) = suggest(lrs, losses, len(losses), **settings)
    except NoSuggestion:
        return None
    index = int(np.abs(np.log(lrs / x)).argmin())
    assert (x, y) == (lrs[index], losses[index])
    return index


@settings(max_examples=500, deadline=None)
@given(curves)
def test_valley_chooses_among_ties_as_the_quadratic_search_does(losses):
    found, expected = answer(valley, losses), oracle_valley(losses)
    if found is not None:
        assert found == (0 if expected is None else expected)


def oracle_slide(losses, lr_diff, thresh):
    """Return the index at which the interval stops, slid left a point at a time."""
    gradient = gradient_of(losses)
    right = len(losses) - 1
    found = right - lr_diff
    while right - lr_diff >= 0 and abs(gradient[right] - gradient[right - lr_diff]) > thresh:
        found = right - lr_diff
        right -= 1
    return found


@settings(max_examples=300, deadline=None)
@given(ties, st.integers(1, 12), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_slide_stops_where_the_interval_slid_point_by_point_stops(losses, lr_diff, thresh):
    lrs = rates(len(losses))
    try:
        lr, _ = slide(lrs, losses, len(losses), lr_diff=lr_diff, thresh=thresh)
    except NoSuggestion:
        return
    assert lr == lrs[oracle_slide(losses, lr_diff, thresh)]


def test_valley_marks_the_middle_of_a_descent_of_a_hundred_thousand_points():
    n = 99_999
    losses = np.concatenate([np.linspace(3, 2, n, endpoint=False), np.linspace(2, 9, 50)])
    _, (x, _) = valley(rates(n + 50), losses, n + 50)
    # the descent is points 0 to n (2 is its last), so it is n + 1 long and counted from -1
    assert x == rates(n + 50)[-1 + (n + 1) // 3 + (n + 1) // 6]


def gradient_of(losses):
    inner = [(after - before) / 2 for before, after in zip(losses, losses[2:], strict=False)]
    return [losses[1] - losses[0], *inner, losses[-1] - losses[-2]]


@settings(max_examples=300, deadline=None)
@given(curves)
def test_min_grad_marks_the_first_of_the_most_negative_gradients(losses):
    gradient = gradient_of(losses)
    found = answer(min_grad, losses)
    if found is not None:
        assert gradient[found] == pytest.approx(min(gradient), rel=1e-12, abs=1e-12)
        assert gradient[found] < 0


@settings(max_examples=300, deadline=None)
@given(ties, st.integers(1, 5))
def test_inflection_marks_the_rightmost_point_that_no_neighbour_within_the_noise_undercuts(losses, noise):
    gradient = gradient_of(losses)
    minima = [i for i, value in enumerate(gradient) if value == min(gradient[max(0, i - noise) : i + noise + 1])]
    found = answer(inflection, losses, noise=noise)
    if found is not None:
        assert found == minima[-1]


def test_steep_weighs_a_fall_by_the_factor_between_its_rates():
    # falls of 1 over a factor of 10, of 2 over 1000, of 1.5 over 10
    lr, point = steep([1e-6, 1e-5, 1e-2, 1e-1, 1.0], [9, 8, 6, 4.5, 7], 5)
    assert (lr, point) == (1e-2, (1e-2, 6.0))


# --- whatever the curve -----------------------------------------------------------------------------------------------

any_float = st.floats(allow_nan=True, allow_infinity=True)
odd_curves = st.lists(st.tuples(any_float, any_float), max_size=40)


def good_rates_with(losses):
    lrs = st.lists(st.floats(1e-12, 1e3), min_size=4, max_size=40, unique=True).map(sorted)
    return lrs.flatmap(lambda lrs: st.tuples(st.just(lrs), st.lists(losses, min_size=len(lrs), max_size=len(lrs))))


def reason_or_answer(suggest, lrs, losses):
    try:
        return None, suggest(lrs, losses, 100)
    except NoSuggestion as reason:
        return str(reason), None


def assert_inside_or_refused(suggest, lrs, losses):
    reason, found = reason_or_answer(suggest, lrs, losses)
    if found is None:
        assert f"`{suggest.__name__}` suggests nothing: " in reason
        return
    lr, (x, y) = found
    assert type(lr) is type(x) is type(y) is float
    assert lrs[0] <= x <= lrs[-1]
    assert min(losses) <= y <= max(losses)
    assert lr == (x / 10 if suggest is minimum else x)


@pytest.mark.parametrize("suggest", ALL)
@settings(max_examples=200, deadline=None)
@given(good_rates_with(any_float))
@example((list(range(1, 21)), [0.0] * 18 + [4.5e306, 0.0]))
@example(([0.125 * 2**i for i in range(20)], [1.7e308] * 20))
@example(([0.125 * 2**i for i in range(20)], [1.7e308] * 10 + [-1.7e308] * 10))
def test_any_losses_give_a_point_inside_the_range_searched_or_no_suggestion(suggest, curve):
    assert_inside_or_refused(suggest, *curve)


@pytest.mark.parametrize("suggest", ALL)
@settings(max_examples=200, deadline=None)
@given(good_rates_with(st.floats(0, 9)))
def test_plain_losses_give_a_point_inside_the_range_searched_or_no_suggestion(suggest, curve):
    assert_inside_or_refused(suggest, *curve)


@pytest.mark.parametrize("suggest", ALL)
@settings(max_examples=200, deadline=None)
@given(odd_curves)
def test_any_pairs_of_numbers_give_a_point_inside_or_no_suggestion(suggest, pairs):
    assert_inside_or_refused(suggest, [lr for lr, _ in pairs], [loss for _, loss in pairs])


class OnAnotherDevice:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("not here")


BAD = {
    "tensors that cannot be read": (OnAnotherDevice(), OnAnotherDevice(), "cannot be read as numbers .not here."),
    "empty": ([], [], "0 points"),
    "three points": ([1e-3, 1e-2, 1e-1], [3, 2, 1], "3 points"),
    "flat": (rates(30), [0.7] * 30, "flat"),
    "flat but for rounding": (rates(30), np.float32(0.7) + np.float32(1e-7) * (np.arange(30) % 2), "flat"),
    "rising": (rates(30), np.linspace(1, 9, 30), "only rises"),
    "rising in steps": (rates(30), np.arange(30) // 3, "only rises"),
    "a NaN": (rates(30), [2.0] * 5 + [math.nan] + [1.0] * 24, "not finite; the first that is not is at point 5"),
    "an infinity": (rates(30), [*np.linspace(2, 1, 29), math.inf], "not finite; the first that is not is at point 29"),
    "more than a float64": (rates(30), [1e308] * 15 + [-1e308] * 15, "not finite, for it spans"),
    "fewer losses": (rates(30), [1.0] * 29, "30 rates and 29 losses"),
    "falling rates": (rates(30)[::-1], np.linspace(2, 1, 30), "above 0 and increasing"),
    "equal rates": ([1e-3] * 30, np.linspace(2, 1, 30), "above 0 and increasing"),
    "a rate of zero": ([0.0, *rates(29)], np.linspace(2, 1, 30), "above 0 and increasing"),
    "an infinite rate": ([*rates(29), math.inf], np.linspace(2, 1, 30), "all finite"),
    "a rate a group": (np.ones((30, 2)), np.linspace(2, 1, 30), r"shape \(30, 2\)"),
    "a number": (1e-3, 2.0, r"shape \(\)"),
    "words": (rates(2), ["high", "low"], "cannot be read as numbers"),
    "nothing": (None, None, "suggests nothing"),
    "ragged": ([[1.0], [1.0, 2.0]], [1.0, 2.0], "cannot be read as numbers"),
}


@pytest.mark.parametrize("suggest", ALL)
@pytest.mark.parametrize(("lrs", "losses", "reason"), BAD.values(), ids=BAD)
def test_a_bad_curve_is_no_suggestion_with_the_reason_and_what_to_do(lrs, losses, reason, suggest):
    with pytest.raises(NoSuggestion, match=reason) as caught:
        suggest(lrs, losses, 100)
    assert str(caught.value).startswith(f"`{suggest.__name__}` suggests nothing: ")
    assert str(caught.value).split(". ")[-1].startswith(("Pass", "Search"))


def test_a_straight_descent_has_no_inflection():
    with pytest.raises(NoSuggestion, match="straight line"):
        inflection(rates(30), np.linspace(3, 2, 30, dtype=np.float32), 30)


@pytest.mark.parametrize("suggest", [min_grad, inflection])
def test_a_curve_that_dips_but_falls_over_no_two_steps_only_rises(suggest):
    losses = [0, 1, 0.9, 2, 1.9, 3, 2.9, 4]
    with pytest.raises(NoSuggestion, match="only rises"):
        suggest(rates(8), losses, 8)


@pytest.mark.parametrize(
    ("suggest", "setting", "hint"),
    [
        (slide, {"lr_diff": 0}, "`lr_diff=0`; it is .* at least 1"),
        (slide, {"lr_diff": -1}, "`lr_diff=-1`"),
        (slide, {"lr_diff": 2.5}, "`lr_diff=2.5`"),
        (slide, {"thresh": -0.1}, "`thresh=-0.1`; it is .* at least 0"),
        (slide, {"thresh": math.nan}, "`thresh=nan`"),
        (slide, {"thresh": "low"}, "`thresh='low'`"),
        (slide, {"adjust_value": 0}, "`adjust_value=0`; it is .* above 0"),
        (inflection, {"noise": 0}, "`noise=0`; it is .* at least 1"),
    ],
)
def test_a_setting_out_of_its_range_is_an_error_of_its_own(suggest, setting, hint):
    with pytest.raises(ValueError, match=hint) as caught:
        suggest(rates(40), np.linspace(3, 2, 40), 40, **setting)
    assert not isinstance(caught.value, NoSuggestion)


@pytest.mark.parametrize("read", [list, np.asarray, keras.ops.convert_to_tensor], ids=["lists", "arrays", "tensors"])
@pytest.mark.parametrize("suggest", ALL)
def test_a_curve_may_be_lists_arrays_or_tensors(suggest, read):
    case = FASTAI["cases"][0]
    found = suggest(read(case["lrs"]), read(case["losses"]), case["num_it"])
    expected = suggest(case["lrs"], case["losses"], case["num_it"])
    assert (found[0], *found[1]) == pytest.approx((expected[0], *expected[1]), rel=1e-6)
