"""The inflection points of a search: which rate or range they give, what is printed and what is drawn."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_sched.errors import NoSuggestion
from keras_sched.optimal_lr import find_optimal_lr

SEARCHES = json.loads((Path(__file__).parent / "golden" / "lr_find.json").read_text())["cases"]

# The gradient is [-.5, -.5, -1.5, -1.5, -.25, -.25, -1.25, -1, .75, 1.5]: with noise=1 its minima are 0 (level
# with its only neighbour), 2, 3 and 6. Those of the loss are 4 (level with the next), 7 and 8.
RATES = np.geomspace(1e-7, 1e2, 10)
LOSSES = [9.0, 8.5, 8.0, 5.5, 5.0, 5.0, 4.5, 2.5, 2.5, 4.0]


def search(lrs=RATES, losses=LOSSES):
    return SimpleNamespace(lrs=lrs, losses=losses)


def model_with(*, frozen):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.layers[0].trainable = not frozen
    return model


def minima(values, noise):
    """Return the indices of the points that nothing within `noise` undercuts."""
    return [i for i, value in enumerate(values) if value <= min(values[max(0, i - noise) : i + noise + 1])]


def printed_choices(printed):
    """Return {choice: [rates]} from the printed table."""
    return {
        line.split(" choice")[0]: [float(number) for number in re.findall(r"\d\.\d+e[-+]\d+", line)]
        for line in printed.splitlines()
        if re.match(r"(first|second|third) choice", line)
    }


# --- the rate ---------------------------------------------------------------------------------------------------------


def test_one_rate_is_the_rightmost_minimum_of_the_gradient():
    assert find_optimal_lr(search(), noise=1) == RATES[6]


def test_a_model_that_is_not_frozen_gets_the_range_from_the_second_to_the_first_choice():
    assert find_optimal_lr(search(), model_with(frozen=False), noise=1) == (RATES[3], RATES[6])


def test_a_frozen_model_gets_one_rate():
    assert find_optimal_lr(search(), model_with(frozen=True), noise=1) == RATES[6]


@pytest.mark.parametrize("noise", [1, 3, 5])
@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in SEARCHES])
def test_the_choices_of_real_searches_are_the_three_rightmost_minima(case, noise, capsys):
    losses = np.array([float(loss) for loss in case["smoothed_losses"]])[: case["first_not_finite"]]
    lrs = case["lrs"][: len(losses)]
    by_gradient = [lrs[i] for i in minima(np.gradient(losses).tolist(), noise)[::-1][:3]]
    by_loss = [lrs[i] for i in minima(losses.tolist(), noise)[::-1][:3]]
    assert find_optimal_lr(search(lrs, losses), noise=noise) == by_gradient[0]
    table = printed_choices(capsys.readouterr().out)
    assert [rates[0] for rates in table.values()] == pytest.approx(by_gradient, rel=1e-3)
    assert [rates[1] for rates in table.values()] == pytest.approx(by_loss, rel=1e-3)


def test_the_result_is_python_floats():
    assert repr(find_optimal_lr(search([1e-3, 1e-2, 1e-1, 1.0], [3, 2, 1.5, 1.4]))) == "0.001"


# --- what is printed --------------------------------------------------------------------------------------------------


def test_choices_are_printed_as_far_as_there_are_minima(capsys):
    find_optimal_lr(search(), noise=1)
    assert printed_choices(capsys.readouterr().out) == {
        "first": pytest.approx([RATES[6], RATES[8]], rel=1e-3),  # the loss is lowest at 7 and 8 alike
        "second": pytest.approx([RATES[3], RATES[7]], rel=1e-3),
        "third": pytest.approx([RATES[2], RATES[4]], rel=1e-3),
    }


def test_where_there_are_fewer_minima_fewer_choices_are_printed(capsys):
    find_optimal_lr(search(), noise=9)
    table = printed_choices(capsys.readouterr().out)
    assert table["first"] == pytest.approx([RATES[3], RATES[8]], rel=1e-3)
    assert list(table) == ["first", "second"]


def test_beside_one_rate_a_tenth_of_the_first_choice_of_the_loss_is_printed(capsys):
    find_optimal_lr(search(), noise=1)
    assert f"{RATES[6]:.4e} (a tenth of the loss' first choice is {RATES[8] / 10:.4e})" in capsys.readouterr().out


def test_a_first_choice_in_the_rise_is_said_to_be_one(capsys):
    bump = [9, 8, 6, 4, 3, 2.5, 3, 5, 5.5, 9, 14]
    assert find_optimal_lr(search(np.geomspace(1e-7, 1, 11), bump), noise=1) == pytest.approx(
        np.geomspace(1e-7, 1, 11)[7]
    )
    assert "already rises" in capsys.readouterr().out
    find_optimal_lr(search(), noise=1)
    assert "already rises" not in capsys.readouterr().out


@pytest.mark.parametrize(("side", "rows"), [("head", range(50)), ("tail", range(46, 96))])
def test_fifty_rows_of_the_table_are_printed_on_request(side, rows, capsys):
    case = SEARCHES[0]
    find_optimal_lr(search(case["lrs"], case["smoothed_losses"]), show_df=side)
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["loss", "loss_grad", "lrs", "min_loss", "max_loss", "min_grad", "max_grad"]
    assert [int(line.split()[0]) for line in lines[:50]] == list(rows)
    assert float(lines[0].split()[1]) == pytest.approx(case["smoothed_losses"][rows[0]], rel=1e-4)
    assert "choice" in lines[51]


def test_the_table_holds_extrema_in_their_rows_and_nothing_elsewhere(capsys):
    find_optimal_lr(search(), noise=1, show_df="head")
    rows = [line.split()[4:] for line in capsys.readouterr().out.splitlines()[1:11]]
    assert [i for i, (low, *_) in enumerate(rows) if low != "NaN"] == [4, 7, 8]
    assert [i for i, (_, high, *_) in enumerate(rows) if high != "NaN"] == [0, 5, 9]
    assert [i for i, (_, _, low, _) in enumerate(rows) if low != "NaN"] == [0, 2, 3, 6]
    assert [i for i, (*_, high) in enumerate(rows) if high != "NaN"] == [0, 1, 4, 5, 9]


def test_without_pandas_the_table_is_an_error_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"needs pandas, which is not installed\. Type `pip install pandas`"):
        find_optimal_lr(search(), show_df="head")
    assert find_optimal_lr(search(), noise=1) == RATES[6]


# --- what is drawn ----------------------------------------------------------------------------------------------------


def drawn(**arguments):
    find_optimal_lr(search(), noise=1, **arguments)
    return [{line.get_label(): np.asarray(line.get_xdata()).tolist() for line in ax.lines} for ax in plt.gcf().axes]


def test_loss_and_gradient_are_drawn_on_two_axes_with_their_minima():
    loss, gradient = drawn()
    assert loss == {"loss": RATES.tolist(), "its minima": RATES[[4, 7, 8]].tolist()}
    assert gradient == {"gradient": RATES.tolist(), "its minima": RATES[[0, 2, 3, 6]].tolist()}


def test_maxima_are_drawn_on_request():
    loss, gradient = drawn(show_min_values=True)
    assert loss["its maxima"] == RATES[[0, 5, 9]].tolist()
    assert gradient["its maxima"] == RATES[[0, 1, 4, 5, 9]].tolist()


# --- no answer --------------------------------------------------------------------------------------------------------

N = 40
NO_ANSWER = {
    "flat": (np.full(N, 0.7), "flat"),
    "rising": (np.linspace(1, 3, N), "only rises"),
    "rising ever faster": (np.geomspace(1, 3, N), "only rises"),
    "a straight line": (np.linspace(3, 1, N), "straight line"),
    "not finite": ([*np.linspace(3, 1, N - 1), np.nan], "not finite"),
    "too short": ([2.0, 1.0], "2 points"),
}


@pytest.mark.parametrize(("losses", "reason"), NO_ANSWER.values(), ids=NO_ANSWER)
def test_a_curve_without_a_minimum_is_no_suggestion_with_the_reason(losses, reason):
    with pytest.raises(NoSuggestion, match=reason):
        find_optimal_lr(search(np.geomspace(1e-7, 1, len(losses)), losses))


def test_a_range_out_of_a_single_minimum_is_no_suggestion_but_one_rate_is():
    losses = [2.0, 1.9, 1.5, 0.8, 0.6, 0.7, 1.5, 4.0]
    single = search(np.geomspace(1e-6, 10, 8), losses)
    assert find_optimal_lr(single) == pytest.approx(1e-4)
    with pytest.raises(NoSuggestion, match=r"single minimum, at 1\.0000e-04, and a range needs two.* without `model`"):
        find_optimal_lr(single, model_with(frozen=False))


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        ({"noise": 0}, ValueError, "`noise=0`"),
        ({"show_df": "middle"}, ValueError, "`show_df='head'`, `show_df='tail'`"),
        ({"result": 1e-3}, TypeError, r"Pass what `lr_find\(model, x, y\)` returns"),
    ],
)
def test_a_wrong_use_is_an_error_that_says_what_to_pass(arguments, error, hint):
    with pytest.raises(error, match=hint):
        find_optimal_lr(**{"result": search()} | arguments)
