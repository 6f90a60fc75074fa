"""Annealers against fastai's numbers, against formulas worked out again, and through every way of storing them."""

# ruff: noqa: S301 - these pickles are our own
import copy
import itertools
import json
import math
import pickle
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keras import ops

import keras_sched.annealers as all_of_them
from keras_sched.annealers import (
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedNo,
    SchedOneMinusSqrt,
    SchedPoly,
    annealer,
    combine_scheds,
    combined_cos,
    sched_cos,
    sched_exp,
    sched_lin,
    sched_no,
)
from keras_sched.recipes import triangular

FASTAI = json.loads((Path(__file__).parent / "golden" / "annealers.json").read_text(encoding="utf-8"))
POSITIONS = FASTAI["positions"]
RTOL, ATOL = (FASTAI["tolerance"]["annealers"][name] for name in ("rtol", "atol"))
OF_LARGEST = FASTAI["tolerance"]["combine_scheds and combined_cos"]["atol_times_largest_value"]

ANY_ENDS = [SchedLin, SchedCos, SchedOneMinusSqrt, lambda start, end: SchedPoly(start, end, 3)]
ONE_SIGN = [SchedExp, SchedInvSqrt]

few = settings(deadline=None, max_examples=30)  # the machine may be busy, and each is quick
rates = st.floats(1e-12, 1e3)
values = st.floats(-1e6, 1e6)
positions = st.floats(0, 1)


HALF_COSINE = SchedCos(0, 1)


@annealer
def half_sine(start, end, pos):
    """A quarter of a sine, for one float."""
    return start if pos == 0 else start + (end - start) * math.sin(pos * math.pi / 2)


@annealer
def traceable_sine(start, end, pos):
    return start + (end - start) * ops.sin(pos * (math.pi / 2))


@annealer
def bumps(start, end, pos, n=3, shape=(1, 2)):
    return start + (end - start) * abs(math.sin(n * math.pi * pos)) ** shape[1]


@annealer
def inside_another(start, end, pos, inner=HALF_COSINE):
    return start + (end - start) * inner(pos)


def plain(pos):
    return 2 * pos


def of_case(case):
    if "combine_scheds" in case:
        case = case["combine_scheds"]
    if "scheds" in case:
        return combine_scheds(case["pcts"], [of_case(each) for each in case["scheds"]])
    arguments = {name: case[name] for name in ("start", "end", "power") if name in case}
    return getattr(all_of_them, case["class"])(**arguments)


def expected_of(case, like):
    wanted = np.asarray(case["values"])
    return wanted if wanted.ndim == like.ndim else np.broadcast_to(wanted[:, None], like.shape)


def assert_close_to_largest(found, wanted, *, without=()):
    kept = np.delete(np.arange(len(found)), without)
    np.testing.assert_allclose(found[kept], wanted[kept], rtol=0, atol=OF_LARGEST * np.abs(wanted).max())


def tensor(value, dtype="float32"):
    return ops.convert_to_tensor(value, dtype=dtype)


@pytest.fixture
def slope(backend):
    """The derivative of a function of one tensor, by the backend's own differentiation."""

    def slope(function, at):
        if backend == "jax":
            import jax

            return float(jax.grad(function)(at))
        if backend == "tensorflow":
            import tensorflow as tf

            x = tf.constant(at)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return float(tape.gradient(y, x))
        import torch

        x = torch.tensor(at, requires_grad=True)
        function(x).backward()
        return float(x.grad)

    return slope


# Against fastai


def named(cases):
    return [pytest.param(case, id=f"{i}-{case.get('class', '')}") for i, case in enumerate(cases)]


@pytest.mark.parametrize("case", named(FASTAI["annealers"]))
def test_a_plain_annealer_has_fastais_values(case):
    sched = of_case(case)
    found = np.array([sched(pos) for pos in POSITIONS])
    np.testing.assert_allclose(found, expected_of(case, found), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("case", named(FASTAI["combine_scheds"]))
def test_combined_annealers_have_fastais_values(case):
    found = of_case(case)(np.array(POSITIONS))
    assert_close_to_largest(found, expected_of(case, found), without=case["other_phase_at"])


@pytest.mark.parametrize("case", named(FASTAI["combined_cos"]))
def test_two_cosines_have_fastais_values(case):
    found = combined_cos(case["pct"], case["start"], case["middle"], case["end"])(np.array(POSITIONS))
    assert_close_to_largest(found, np.asarray(case["values"]))


@pytest.mark.parametrize("case", FASTAI["refused"], ids=lambda case: str(case["pcts"]))
def test_shares_that_sum_to_one_but_for_rounding_are_legal(case):
    n = len(case["pcts"])
    sched = combine_scheds(case["pcts"], [SchedLin(k, k + 1) for k in range(n)])
    assert sched(1) == n
    assert sched(0) == 0


# Formulas


@pytest.mark.parametrize(("pos", "wanted"), [(0, 1.0), (1 / 3, 1 / math.sqrt(2)), (2 / 3, 1 / math.sqrt(3)), (1, 0.5)])
def test_the_inverse_square_root_reaches_its_end_at_one(pos, wanted):
    assert SchedInvSqrt(1, 0.5)(pos) == pytest.approx(wanted, rel=1e-12)  # c = 3


@few
@given(rates, rates, positions)
def test_the_inverse_square_root_follows_its_formula(start, end, pos):
    assume(1e-3 < start / end < 1e3)
    c = Fraction(start) ** 2 / Fraction(end) ** 2 - 1
    wanted = start / math.sqrt(1 + c * Fraction(pos))
    assert SchedInvSqrt(start, end)(pos) == pytest.approx(wanted, rel=1e-12)


@few
@given(values, values, positions)
def test_one_minus_the_square_root_follows_its_formula(start, end, pos):
    wanted = end + (start - end) * (1 - math.sqrt(pos))
    assert SchedOneMinusSqrt(start, end)(pos) == pytest.approx(wanted, rel=1e-12, abs=1e-15 * max(abs(start), abs(end)))


@pytest.mark.parametrize(
    ("function", "kind"), [(sched_lin, SchedLin), (sched_cos, SchedCos), (sched_no, SchedNo), (sched_exp, SchedExp)]
)
def test_a_plain_function_is_its_annealer_called(function, kind):
    assert function(0.1, 0.5, 0.3) == kind(0.1, 0.5)(0.3)
    np.testing.assert_array_equal(function((1, 2), 3, [0.1, 0.2]), kind((1, 2), 3)([0.1, 0.2]))


@pytest.mark.parametrize("kind", ANY_ENDS)
@few
@given(start=values, end=values)
def test_both_ends_are_met_exactly(kind, start, end):
    assert (kind(start, end)(0), kind(start, end)(1)) == (start, end)


@pytest.mark.parametrize("kind", ONE_SIGN)
@few
@given(start=rates, end=rates, sign=st.sampled_from([1, -1]))
def test_both_ends_are_met_exactly_where_the_sign_is_one(kind, start, end, sign):
    assert (kind(sign * start, sign * end)(0), kind(sign * start, sign * end)(1)) == (sign * start, sign * end)


@pytest.mark.parametrize("kind", ANY_ENDS + ONE_SIGN)
@few
@given(start=rates, end=rates, pos=positions)
def test_a_value_lies_between_the_ends(kind, start, end, pos):
    low, high = sorted([start, end])
    assert low * (1 - 1e-15) <= kind(start, end)(pos) <= high * (1 + 1e-15)


@pytest.mark.parametrize("kind", [*ANY_ENDS, *ONE_SIGN, SchedNo])
@few
@given(value=rates, pos=positions)
def test_between_equal_ends_nothing_changes(kind, value, pos):
    assert kind(value, value)(pos) == pytest.approx(value, rel=1e-15)


def test_an_exponential_over_the_whole_range_of_floats_does_not_overflow():
    assert SchedExp(1e-300, 1e300)(0.5) == pytest.approx(1, rel=1e-12)
    assert SchedExp(1e-300, 1e300)(0.25) == pytest.approx(1e-150, rel=1e-12)
    assert SchedExp(-1e300, -1e-300)([0, 1]).tolist() == [-1e300, -1e-300]


def test_a_curve_keeps_its_digits_near_its_end():
    assert SchedCos(1, 0)(1 - 2.0**-20) == pytest.approx((math.pi * 2.0**-21) ** 2, rel=1e-9, abs=0)
    assert SchedOneMinusSqrt(1, 0)(1 - 2.0**-26) == pytest.approx(2.0**-27 + 2.0**-55, rel=1e-11, abs=0)


# Positions


@pytest.mark.parametrize("pos", [-0.1, -math.inf, -5, np.float32(-1)])
def test_a_position_before_the_start_is_the_start(pos):
    assert SchedCos(0.1, 0.5)(pos) == 0.1


@pytest.mark.parametrize("pos", [1.0001, math.inf, 7, np.int64(3)])
def test_a_position_past_the_end_is_the_end(pos):
    assert SchedCos(0.1, 0.5)(pos) == 0.5


def test_positions_outside_are_clamped_in_arrays_and_tensors():
    sched = combine_scheds([0.5, 0.5], [SchedLin(1, 2), SchedLin(2, 3)])
    assert sched([-3, 5]).tolist() == [1, 3]
    assert ops.convert_to_numpy(sched(tensor([-3.0, 5.0]))).tolist() == [1, 3]


@pytest.mark.parametrize("pos", [0.25, np.float64(0.25), np.float32(0.25), Fraction(1, 4)])
def test_a_number_gives_a_python_float(pos):
    found = SchedLin(0, 1)(pos)
    assert type(found) is float
    assert found == 0.25


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("sched", [SchedCos(0, 1), combined_cos(0.3, 1, 2, 0), half_sine(0, 1)])
def test_an_array_gives_a_float64_array_of_its_shape(shape, sched):
    found = sched(np.full(shape, 0.7, "float32"))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.full(shape, sched(np.float32(0.7))))


def test_a_list_counts_as_an_array():
    assert SchedLin(0, 4)([0, 0.25, 1]).tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    "sched", [SchedCos((1, 2, 3), 0), combine_scheds([0.5, 0.5], [SchedLin(0, 1), SchedCos((1, 2, 3), 0)])]
)
def test_groups_are_a_last_axis(sched):
    assert sched(0.3).shape == (3,)
    assert sched(np.zeros((2, 4))).shape == (2, 4, 3)
    assert sched(tensor(np.zeros((2, 4)))).shape == (2, 4, 3)
    assert sched.groups == 3


@pytest.mark.parametrize("kind", [SchedLin, SchedCos, SchedNo, SchedExp, half_sine])
def test_each_group_has_the_values_of_its_own_numbers(kind):
    pos = np.linspace(0, 1, 5)
    together = kind([0.1, 0.2, 0.3], [1, 2, 3])(pos)
    for g, (start, end) in enumerate([(0.1, 1), (0.2, 2), (0.3, 3)]):
        np.testing.assert_array_equal(together[:, g], kind(start, end)(pos))


def test_a_single_end_goes_to_every_group():
    assert SchedLin(0, [1, 2])(0.5).tolist() == [0.5, 1]


def test_positions_in_any_order_have_the_values_they_have_in_order():
    sched = combine_scheds([0.2, 0.3, 0.5], [SchedLin(0, 1), SchedCos(5, 3), half_sine(7, 8)])
    pos = np.random.default_rng(0).permutation(101) / 100
    np.testing.assert_array_equal(sched(pos), [sched(each) for each in pos])


# Tensors


TENSOR_CASES = [
    SchedLin(0.1, 1),
    SchedCos((0.1, 0.2), 0.5),
    SchedNo((1, 2), 0),
    SchedExp(1e-7, 10),
    SchedPoly((1, 2), 3, 0.5),
    SchedInvSqrt(1, 0.1),
    SchedOneMinusSqrt(1, 0.1),
    traceable_sine(0, (1, 2)),
    combined_cos(0.25, 0.04, 1, 1e-5),
    combine_scheds(
        [0.3, 0.7], [SchedLin(0, 1), combine_scheds([0.5, 0.5], [traceable_sine(0, 1), SchedCos([1, 2], 0)])]
    ),
    triangular(0.1, 0.2, n_cycles=3, mode="triangular2")["lr"],
]


@pytest.mark.parametrize("sched", TENSOR_CASES, ids=repr)
def test_a_tensor_gives_the_same_values_eager_and_compiled(sched, compiled):
    pos = np.arange(9) / 8 * 0.99
    wanted = sched(pos)
    for function in (sched, compiled(sched)):
        found = function(tensor(pos))
        assert ops.is_tensor(found)
        assert found.shape == wanted.shape
        found = np.asarray(ops.convert_to_numpy(found))
        np.testing.assert_allclose(found, wanted, rtol=5e-6, atol=3e-7 * np.abs(wanted).max())


@pytest.mark.parametrize("sched", [SchedCos(0.1, 0.5), SchedExp(0.1, 0.5), combined_cos(0.5, 0.1, 0.2, 0.5)])
def test_a_tensor_meets_both_ends_exactly(sched):
    assert ops.convert_to_numpy(sched(tensor([0.0, 1.0]))).tolist() == [np.float32(0.1), np.float32(0.5)]


@pytest.mark.parametrize(("dtype", "wanted"), [("float16", "float16"), ("bfloat16", "bfloat16"), ("int32", "float32")])
def test_a_tensor_keeps_its_dtype_where_that_is_a_float(dtype, wanted):
    found = combined_cos(0.5, 1, 2, 3)(ops.cast(tensor([0.0, 1.0]), dtype))
    assert keras.backend.standardize_dtype(found.dtype) == wanted
    assert ops.convert_to_numpy(ops.cast(found, "float32")).tolist() == [1, 3]


def test_half_precision_positions_are_computed_in_full():
    sched = combined_cos(0.3, 0.1, 1.7, 0.3)
    pos = [0.125, 0.25, 0.375, 0.625, 0.75, 0.875]  # bfloat16 has these exactly
    found = ops.cast(sched(tensor(pos, "bfloat16")), "float32")
    nearest = ops.cast(tensor(sched(pos), "bfloat16"), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(nearest))


def test_a_variable_counts_as_a_tensor():
    assert float(SchedLin(0, 2)(keras.Variable(0.5, trainable=False))) == 1


def test_a_boundary_of_a_tensor_belongs_to_the_next_phase(compiled):
    sched = combine_scheds([0.1] * 10, [SchedNo(k, k) for k in range(10)])
    step = compiled(lambda i: sched(ops.divide(ops.cast(i, "float32"), 1000.0)))
    found = np.asarray(ops.convert_to_numpy(step(tensor(np.arange(1001), "int32"))))
    assert found.tolist() == [*(i // 100 for i in range(1000)), 9]


@pytest.mark.parametrize("n", [7 * k for k in range(2, 30)])
def test_a_boundary_is_met_also_by_a_float32_one_rounding_below(n):
    rounded = np.arange(n, dtype="float32") * np.float32(1 / n)
    found = ops.convert_to_numpy(phases([1 / 7] * 7)(tensor(rounded)))
    assert found.tolist() == [7 * i // n for i in range(n)]


@annealer
def steep_at_its_end(start, end, pos):
    return start + (end - start) * ops.sqrt(1 - pos)


@pytest.mark.parametrize("pos", [0.5, 0.75])
def test_an_infinite_slope_in_another_phase_spoils_no_gradient(slope, pos):
    sched = combine_scheds([0.5, 0.5], [steep_at_its_end(0, 1), SchedPoly(0, 1, 2)])
    assert slope(sched, pos) == pytest.approx(8 * (pos - 0.5), abs=1e-5)


def test_a_nan_in_a_tensor_stays_one():
    found = np.asarray(ops.convert_to_numpy(combined_cos(0.5, 1, 2, 3)(tensor([math.nan]))))
    assert np.isnan(found).all()


# Phases


def phases(pcts):
    return combine_scheds(pcts, [SchedNo(k, k) for k in range(len(pcts))])


def phases_of_batches(lengths):
    return [k for k, length in enumerate(lengths) for _ in range(length)]


@pytest.mark.parametrize("n", [7, 10, 20, 30, 49, 77, 100, 360, 1000, 1797])
@few
@given(data=st.data())
def test_each_batch_trains_in_the_phase_that_whole_numbers_say(n, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=8)))
    lengths = [high - low for low, high in itertools.pairwise([0, *cuts, n])]
    sched = phases([length / n for length in lengths])
    wanted = phases_of_batches(lengths)
    assert sched(np.arange(n) / n).tolist() == wanted
    assert [sched(cut / n) for cut in cuts if cut < n] == [wanted[cut] for cut in cuts if cut < n]


@pytest.mark.parametrize("n", range(2, 60))
def test_the_same_holds_for_equal_phases(n):
    sched = phases([1 / n] * n)
    assert [sched(i / n) for i in range(n + 1)] == [*range(n), n - 1]


@pytest.mark.parametrize("pcts", [[0.7, 0.2, 0.1], [0.1] * 10, [1 / 6] * 6, [1 / 7, 2 / 7, 4 / 7], [0.01] * 100])
def test_the_floating_sum_of_the_shares_is_a_boundary_too(pcts):
    sched = combine_scheds(pcts, [SchedOneMinusSqrt(k + 2, 0) for k in range(len(pcts))])
    for k, boundary in enumerate(itertools.accumulate(pcts[:-1]), start=1):
        assert sched(boundary) == k + 2


@pytest.mark.parametrize("gap", [1e-12, 1e-6, 0.01])
def test_just_before_a_boundary_the_phase_before_goes_on(gap):
    assert phases([0.5, 0.5])(0.5 - gap) == 0


def test_boundaries_of_phases_within_phases_are_exact_too():
    inner = phases([1 / 7, 2 / 7, 4 / 7])
    sched = combine_scheds([0.3, 0.7], [SchedNo(9, 9), combine_scheds([0.7, 0.3], [inner, SchedNo(8, 8)])])
    # Of 1000 batches: 300, then 0.7 * 0.7 of them as 70 + 140 + 280, then 210.
    found = sched(np.arange(1000) / 1000)
    assert found.tolist() == [9] * 300 + [0] * 70 + [1] * 140 + [2] * 280 + [8] * 210


@few
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), positions)
def test_a_nested_phase_has_the_values_it_has_alone(lengths, pos):
    pcts = np.array(lengths) / sum(lengths)
    inner = combine_scheds(pcts, [SchedLin(k, 1 - k) for k in range(len(pcts))])
    outer = combine_scheds([0.5, 0.5], [SchedNo(0, 0), inner])
    at_a_jump = np.isclose(pos, np.cumsum(pcts), atol=1e-9).any()
    assume(not at_a_jump)
    assert outer(0.5 + pos / 2) == pytest.approx(inner(pos), abs=1e-9)


def test_a_phase_of_no_length_is_skipped():
    sched = phases([0, 0.5, 0, 0.5, 0])
    assert sched([0, 0.5, 1]).tolist() == [1, 3, 3]


def test_position_one_has_the_end_of_the_last_phase():
    sched = combine_scheds([1 / 3, 1 / 3, 1 / 3], [SchedCos(1, 2), SchedCos(2, 3), SchedCos(3, 0.7)])
    assert sched(1) == 0.7


def test_a_single_phase_is_the_annealer_itself():
    pos = np.linspace(0, 1, 11)
    np.testing.assert_array_equal(combine_scheds([1], [SchedCos(1, 0)])(pos), SchedCos(1, 0)(pos))


def test_shares_that_are_a_millionth_off_are_scaled():
    assert phases([0.3333335, 0.3333335, 0.3333335])([1 / 3, 2 / 3, 1]).tolist() == [1, 2, 2]


def test_phases_with_and_without_groups_go_together():
    sched = combine_scheds([0.5, 0.5], [SchedLin(0, 1), SchedLin([1, 2], 0)])
    assert sched([0.25, 0.5]).tolist() == [[0.5, 0.5], [1, 2]]
    assert sched(0.25).tolist() == [0.5, 0.5]


def test_groups_are_there_also_where_only_a_skipped_phase_has_them():
    assert combine_scheds([0, 1], [SchedLin([1, 2], 0), SchedLin(0, 1)])(0.5).tolist() == [0.5, 0.5]


def test_a_plain_function_can_be_a_phase():
    sched = combine_scheds([0.5, 0.5], [plain, SchedNo(5, 5)])
    assert sched([0.25, 0.5]).tolist() == [1, 5]
    assert ops.convert_to_numpy(sched(tensor([0.25, 0.5]))).tolist() == [1, 5]


# An annealer of one's own


def test_a_function_for_one_float_is_an_annealer():
    assert half_sine(1, 3)(1 / 3) == pytest.approx(2, rel=1e-12)
    np.testing.assert_allclose(half_sine(1, 3)(np.array([[0, 1 / 3], [1, 2]])), [[1, 2], [3, 3]], rtol=1e-12)


def test_the_function_sees_python_floats_only():
    seen = []

    @annealer
    def watching(start, end, pos):
        seen.append((start, end, pos))
        return pos

    watching(1, (2, 3))(np.array([0.5, 2], "float32"))
    assert sorted(seen) == [(1.0, 2.0, 0.5), (1.0, 2.0, 1.0), (1.0, 3.0, 0.5), (1.0, 3.0, 1.0)]
    assert {type(number) for call in seen for number in call} == {float}


def test_the_class_has_the_name_and_the_words_of_its_function():
    assert half_sine.__name__ == "half_sine"
    assert half_sine.__doc__ == "A quarter of a sine, for one float."
    assert half_sine.__module__ == __name__
    assert isinstance(half_sine(0, 1), half_sine)


def test_a_body_of_keras_ops_works_for_numbers_and_arrays():
    assert type(traceable_sine(0, 1)(1.0)) is float
    found = traceable_sine(0, 2)(np.array([[1 / 3], [1]]))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[1], [2]], rtol=1e-6)


def test_further_parameters_are_arguments_of_the_annealer():
    assert bumps(0, 1, n=1)(0.5) == pytest.approx(1)
    assert bumps(0, 1, 1, (1, 4))(0.25) == pytest.approx(0.25)
    assert bumps(0, 1) == bumps(0, 1, n=3)
    assert bumps(0, 1) != bumps(0, 1, n=2)


def test_an_error_in_the_function_is_its_own():
    @annealer
    def broken(start, end, pos):
        return start + None

    with pytest.raises(TypeError, match=r"unsupported operand type\(s\) for \+: 'float' and 'NoneType'"):
        broken(0, 1)([0.1, 0.2])


def test_a_body_that_cannot_be_compiled_says_how_to_write_it(compiled, backend):
    if backend == "torch":
        pytest.skip("torch compiles around what it cannot trace: there every function runs in a compiled step")
    if backend == "tensorflow":  # AutoGraph makes a new error of each, without its notes; Keras compiles without it
        import tensorflow as tf

        compiled = partial(tf.function, autograph=False)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the backend's own error, whose kind is its own affair
        compiled(half_sine(0, 1))(tensor(0.5))
    assert "half_sine" in caught.value.__notes__[0]
    assert "keras.ops" in caught.value.__notes__[0]


def test_making_a_function_anew_replaces_the_one_of_its_name():
    def make(factor):
        @annealer
        def twice_made(start, end, pos):
            return factor * pos

        return twice_made

    first, second = make(1), make(2)
    assert first(0, 1)(0.5) == 0.5
    assert through_json(second(0, 1))(0.5) == 1
    assert through_json(first(0, 1)) == second(0, 1)
    assert pickle.loads(pickle.dumps(first(0, 1))) == second(0, 1)


def test_a_function_called_like_an_annealer_of_the_library_does_not_take_its_place():
    @annealer
    def SchedCos(start, end, pos):
        return 7.0

    assert SchedCos(0, 1)(0.5) == 7
    assert through_json(all_of_them.SchedCos(0, 1))(1) == 1
    assert through_json(SchedCos(0, 1))(1) == 7


# Stored and found again


def through_json(sched):
    described = json.dumps(keras.saving.serialize_keras_object(sched))
    return keras.saving.deserialize_keras_object(json.loads(described))


NESTED = combine_scheds([0.3, 0.7], [half_sine(0, 1), combine_scheds([0.5, 0.5], [SchedCos([1, 2], 0), bumps(0, 1)])])
STORED = [
    *TENSOR_CASES,
    SchedExp((0.1, 0.2), (0.3, 0.4)),
    half_sine(0, 1),
    bumps(0, (1, 2), n=5),
    inside_another(0, 1, SchedLin(1, 2)),
    NESTED,
]


@pytest.mark.parametrize("sched", STORED, ids=repr)
@pytest.mark.parametrize(
    "through",
    [
        lambda sched: pickle.loads(pickle.dumps(sched)),
        lambda sched: type(sched).from_config(sched.get_config()),
        lambda sched: eval(repr(sched), {**vars(all_of_them), "triangular": triangular, **globals()}),  # noqa: S307
        through_json,
        copy.deepcopy,
    ],
    ids=["pickle", "config", "repr", "json", "deepcopy"],
)
def test_an_annealer_comes_back_as_it_was(sched, through):
    again = through(sched)
    assert type(again) is type(sched)
    assert again == sched
    assert hash(again) == hash(sched)
    np.testing.assert_array_equal(again(POSITIONS), sched(POSITIONS))


def test_a_made_class_of_a_functions_own_comes_back_too():
    @annealer
    def local(start, end, pos):
        return start + pos

    sched = combine_scheds([1], [local(1, 2)])
    assert pickle.loads(pickle.dumps(sched)) == through_json(sched) == sched


@annealer
def of_a_cell(start, end, pos):
    return start


def test_an_annealer_made_before_its_notebooks_cell_ran_again_comes_back_as_a_new_one(monkeypatch):
    old = of_a_cell(1, 2)

    def again(start, end, pos):
        return end

    again.__name__ = again.__qualname__ = "of_a_cell"
    monkeypatch.setattr(sys.modules[__name__], "of_a_cell", annealer(again))
    assert old(0.5) == 1
    assert pickle.loads(pickle.dumps(old))(0.5) == 2


def test_a_made_class_is_found_by_its_module_in_another_process(run_script, tmp_path, monkeypatch):
    source = "from keras_sched.annealers import annealer\n\n@annealer\ndef mine(start, end, pos):\n    return 5.0\n"
    (tmp_path / "my_annealers.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import my_annealers  # pyright: ignore[reportMissingImports] - it was written just now

    (tmp_path / "kept").write_bytes(pickle.dumps(my_annealers.mine(0, 1)))
    sys.modules.pop("my_annealers")
    assert run_script("import pickle; print(pickle.load(open('kept', 'rb'))(0.5))").split()[-1] == "5.0"


def test_annealers_of_different_arguments_or_kinds_differ():
    assert SchedCos(0, 1) == SchedCos(0.0, np.float32(1))
    assert SchedLin([1, 2], 0) == SchedLin(np.array([1, 2]), 0)
    assert len({SchedCos(0, 1), SchedCos(0, 2), SchedLin(0, 1), SchedCos((0, 0), 1)}) == 4


def test_an_annealer_does_not_change():
    with pytest.raises(AttributeError):
        SchedCos(0, 1).start = 2


def test_a_plain_function_says_that_it_cannot_be_saved():
    with pytest.raises(TypeError, match=r"`plain`.*cannot be saved.*@keras_sched.annealer"):
        keras.saving.serialize_keras_object(combine_scheds([1], [plain]))


# Wrong uses


def of_three(start, pos):
    return start * pos


def with_need(start, end, pos, power):
    return start


def with_name_taken(start, end, pos, groups=1):
    return start


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: SchedCos("0.1", 0), r"`SchedCos` received `start='0.1'`; it must be a number"),
        (lambda: SchedCos(0, None), r"`SchedCos` received `end=None`"),
        (lambda: SchedCos(0, [True]), r"received `end=\[True\]`"),
        (lambda: SchedCos(0, []), r"received `end=\[\]`"),
        (lambda: SchedCos(0, [1, "2"]), r"received `end=\[1, '2'\]`"),
        (lambda: SchedCos(0, [[1, 2]]), r"received `end=\[\[1, 2\]\]`"),
        (lambda: SchedCos(0, [1, [2]]), r"received `end=\[1, \[2\]\]`"),
        (lambda: SchedCos(math.nan, 1), r"received `start=nan`; .*finite"),
        (lambda: SchedCos(1, [1, math.inf]), r"received `end=\[1, inf\]`; .*finite"),
        (lambda: SchedCos([1, 2], [1, 2, 3]), r"`start=\(1.0, 2.0\), end=\(1.0, 2.0, 3.0\)`; .*one length.*Pass 3"),
        (lambda: half_sine([1, 2], [1, 2, 3]), r"`half_sine` received `start=.*one length"),
        (lambda: half_sine(0, "1"), r"`half_sine` received `end='1'`"),
        (lambda: SchedExp(0.1, 0), r"`SchedExp` received `start=0.1, end=0.0`; SchedExp needs both ends non-zero"),
        (lambda: SchedExp(-1, 1), r"`SchedExp` received .*one sign"),
        (lambda: SchedExp([1, 1], [1, 0]), r"`SchedExp` received .*non-zero"),
        (lambda: SchedInvSqrt(1, 0), r"`SchedInvSqrt` received `start=1.0, end=0.0`"),
        (lambda: SchedPoly(0, 1, 0), r"`SchedPoly` received `power=0`.*above 0.*`power=2`"),
        (lambda: SchedPoly(0, 1, "2"), r"`SchedPoly` received `power='2'`"),
        (lambda: SchedCos(0, 1)("0.5"), r"`SchedCos` received `pos='0.5'`; a position is a number from 0 to 1"),
        (lambda: SchedCos(0, 1)(None), r"received `pos=None`"),
        (lambda: SchedCos(0, 1)([0, [1]]), r"received `pos=\[0, \[1\]\]`"),
        (lambda: SchedNo(0, 1)(math.nan), r"received `pos=nan`.*i/n"),
        (lambda: SchedCos(0, 1)([0, math.nan]), r"received `pos=\[0, nan\]`"),
        (lambda: combine_scheds([0.5], [plain, plain]), r"received `1 pcts and 2 scheds`"),
        (lambda: combine_scheds([], []), r"`pcts=\[\]`.*sum to 0"),
        (lambda: combine_scheds([0.5, 0.4], [plain, plain]), r"`pcts=\[0.5, 0.4\]`.*sum to 0.9"),
        (lambda: combine_scheds([30, 70], [plain, plain]), r"sum to 100. Pass `\[p / 100 for p in pcts\]`"),
        (lambda: combine_scheds([0.5, 0.500002], [plain, plain]), r"sum to 1"),
        (lambda: combine_scheds([1.5, -0.5], [plain, plain]), r"`pcts=\[1.5, -0.5\]`.*at least 0"),
        (lambda: combine_scheds([math.nan, 1], [plain, plain]), r"`pcts=\[nan, 1\]`"),
        (lambda: combine_scheds(["0.5", "0.5"], [plain, plain]), r"`pcts=\['0.5', '0.5'\]`"),
        (lambda: combine_scheds([1], [0.1]), r"`combine_scheds` received `scheds\[0\]=0.1`; it must be an annealer"),
        (lambda: combine_scheds([1], [SchedCos]), r"`scheds\[0\]=SchedCos`.*SchedCos\(0.1, 0\)"),
        (
            lambda: combine_scheds([1], [keras.optimizers.schedules.CosineDecay(0.1, 9)]),
            r"received `scheds\[0\]=CosineDecay\(...\)`",
        ),
        (lambda: combine_scheds([0.5, 0.5], [SchedLin([1, 2], 0), SchedLin([1, 2, 3], 0)]), r"one number of .*groups"),
        (lambda: combined_cos(25, 0, 1, 0), r"`combined_cos` received `pct=25`.*`pct=0.25`"),
        (lambda: annealer(lambda start, end, pos: pos), r"`annealer` received `<function .*has a name"),
        (lambda: annealer(SchedCos), r"`annealer` received"),
        (lambda: annealer(of_three), r"`annealer` received `of_three\(start, pos\)`.*def of_three\(start, end, pos\):"),
        (lambda: annealer(with_need), r"received `with_need\(.*defaults"),
        (lambda: annealer(with_name_taken), r"`with_name_taken\(..., groups=1\)`.*another name"),
        (lambda: combine_scheds([1], [lambda pos: None])(0.5), r"received `None from its function`.*a number"),
        (lambda: combine_scheds([1], [lambda pos: [1, 2]])(0.5), r"received `\[1, 2\] from its function`"),
        (lambda: combine_scheds([1], [lambda pos: None])(tensor(0.5)), r"received `None from its function`"),
    ],
)
def test_a_wrong_use_says_what_came_and_what_to_pass(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrong()


def test_a_pickle_of_a_class_that_was_not_made_here_says_so():
    @annealer
    def forgotten(start, end, pos):
        return pos

    kept = pickle.dumps(forgotten(0, 1))
    with pytest.raises(ValueError, match=r"forgotte2.*no annealer of that name.*@annealer"):
        pickle.loads(kept.replace(b"forgotten", b"forgotte2"))


def test_one_traced_function_serves_one_annealer_after_another(compiled, backend):
    positions = keras.ops.linspace(0.0, 1.0, 5)

    def traced(annealer):
        return compiled(lambda pos: annealer(pos))  # noqa: PLW0108 - the same code, whatever it calls

    for end in (0.7, 0.8, [0.1, 0.2]):
        annealer = SchedCos(0.1, end)
        found = keras.ops.convert_to_numpy(traced(annealer)(positions))
        np.testing.assert_allclose(found, annealer(np.linspace(0, 1, 5)), rtol=1e-5)
