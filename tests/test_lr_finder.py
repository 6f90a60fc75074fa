"""A search's rates, losses, end and suggestions; what it returns, refuses and shows."""

import copy
import functools
import json
import math
import pickle
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sched import (
    LRFinder,
    NoSuggestion,
    OneCycle,
    SchedExp,
    find_optimal_lr,
    lr_find,
    minimum,
    slide,
    steep,
    valley,
)
from keras_sched.lr_finder.found import search_found
from keras_sched.lr_finder.record import DATA_ENDED, DIVERGED, NOT_FINITE, Record, Recorder, SearchLosses

# Keras 3.15's own, on PyTorch with a new NumPy: `pytest.warns` emits again what it was not to find.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

GOLDEN = json.loads((Path(__file__).parent / "golden" / "lr_find.json").read_text(encoding="utf-8"))
SUGGESTIONS = {"minimum": minimum, "steep": steep, "valley": valley, "slide": slide}
QUIET = {"show_plot": False, "verbose": 0}


def data(count=64):
    x = np.random.default_rng(0).normal(size=(count, 2)).astype("float32")
    return x, (5 + x @ [[1.0], [2.0]]).astype("float32")


def compiled(optimizer="sgd", **arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(optimizer, "mse", **arguments)
    return model


def search(model=None, suggest_funcs=(), **arguments):
    arguments = {"batch_size": 8, "num_it": 20, "end_lr": 0.1, "suggest_funcs": suggest_funcs} | QUIET | arguments
    return lr_find(model or compiled(), *data(), **arguments)


def no_answer(lrs, losses, num_it):
    raise NoSuggestion("there is none")


def of_two(lrs, losses, num_it):
    return lrs[0], (lrs[0], losses[0])


# fastai's numbers


@functools.cache
def golden_search(name):
    case = next(case for case in GOLDEN["cases"] if case["name"] == name)
    layers = [keras.layers.Dense(layer["units"], layer["activation"]) for layer in case["layers"]]
    model = keras.Sequential([keras.Input((case["layers"][0]["inputs"],)), *layers])
    sgd = case["optimizer"].startswith("SGD")
    model.compile(keras.optimizers.SGD() if sgd else keras.optimizers.Adam(epsilon=1e-7), "mse")
    model.set_weights([np.array(weight, "float32") for weight in case["initial_weights"]])
    return case, lr_find(
        model,
        np.array(case["x"], "float32"),
        np.array(case["y"], "float32"),
        batch_size=case["batch_size"],
        shuffle=False,
        suggest_funcs=tuple(SUGGESTIONS.values()),
        **case["arguments"],
        **QUIET,
    )


each_golden = pytest.mark.parametrize("name", [case["name"] for case in GOLDEN["cases"]])


@each_golden
def test_a_search_ends_where_fastais_does(name):
    case, found = golden_search(name)
    if case["first_not_finite"] is None:
        assert (found.stopped, len(found.lrs)) == (case["why_it_ended"], case["batches_run"])
    else:
        assert (found.stopped, len(found.lrs)) == ("not finite", case["first_not_finite"])


@each_golden
def test_a_searchs_rates_and_losses_are_fastais(name):
    case, found = golden_search(name)
    count = len(found.lrs)
    # The room over what an eager loop measured: a compiled step rounds in another order, which a divergence magnifies.
    room = 5 * GOLDEN["tolerance"]["SGD" if case["optimizer"].startswith("SGD") else "Adam"]["raw_losses_rtol"]
    for kind, tolerance in (("lrs", 1e-12), ("raw_losses", room), ("smoothed_losses", room)):
        ours = found.losses if kind == "smoothed_losses" else getattr(found, kind)
        np.testing.assert_allclose(ours, np.array(case[kind][:count], dtype=float), rtol=tolerance)
    early = int(0.8 * count)
    np.testing.assert_allclose(found.raw_losses[:early], np.array(case["raw_losses"][:early], dtype=float), rtol=5e-5)


@each_golden
def test_a_searchs_suggestions_are_fastais(name):
    case, found = golden_search(name)
    if case["first_not_finite"] is not None:
        return  # fastai trains on, and takes other points
    for suggestion, expected in case["suggestions"].items():
        assert getattr(found, suggestion) == pytest.approx(expected["lr"], rel=1e-6)
        assert found.points[suggestion] == pytest.approx(expected["point"], rel=1e-3)


# The end of a search


def recorded(losses, **arguments):
    recorder = Recorder(**{"num_it": 100, "stop_div": True} | arguments)
    for loss in losses:
        recorder.add(loss)
        if recorder.stopped is not None:
            break
    return recorder


def test_losses_are_smoothed_without_the_bias_of_the_beginning():
    recorder = recorded([3.0, 1.0, 2.0])
    mean = 0.02 * 3
    assert recorder.smoothed[0] == pytest.approx(3)
    assert recorder.smoothed[1] == pytest.approx((0.98 * mean + 0.02) / (1 - 0.98**2))
    assert recorder.smoothed[2] == pytest.approx((0.98 * (0.98 * mean + 0.02) + 0.04) / (1 - 0.98**3))


def test_a_search_diverges_above_four_times_its_best_and_keeps_that_batch():
    # After 1 and a, the smoothed loss is (0.98 + a) / 1.98: 4 where a is 6.94.
    assert recorded([1.0, 6.93]).stopped is None
    recorder = recorded([1.0, 6.95, 1.0])
    assert (recorder.stopped, recorder.raw) == ("diverged", [1.0, 6.95])


def test_without_stop_div_a_search_goes_on():
    assert recorded([1.0, 1e9], stop_div=False).stopped is None


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("stop_div", [True, False])
def test_a_loss_that_is_not_finite_ends_a_search_and_is_dropped(loss, stop_div):
    recorder = recorded([1.0, 0.9, loss, 0.8], stop_div=stop_div)
    assert (recorder.stopped, recorder.raw) == ("not finite", [1.0, 0.9])


@pytest.mark.parametrize("falling", [[-1.0, -2.0, -3.0], [2.0, 0.5, -0.5, -4.0], [0.0, 0.0, -1.0]])
def test_a_loss_that_falls_below_zero_does_not_diverge(falling):
    assert recorded(falling).stopped is None


def test_a_loss_below_zero_diverges_by_three_times_its_size():
    # After -1 and a, the smoothed loss is (-0.98 + a) / 1.98: 2 where a is 4.94.
    assert recorded([-1.0, 4.93]).stopped is None
    assert recorded([-1.0, 4.95]).stopped == "diverged"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(1, 40))
def test_a_record_never_holds_more_than_it_was_given(losses, num_it):
    recorder = recorded(losses, num_it=num_it)
    assert recorder.raw == losses[: len(recorder.raw)]
    assert len(recorder.raw) == len(recorder.smoothed) <= num_it
    assert (recorder.stopped == "num_it") <= (len(recorder.raw) == num_it)


def test_a_search_says_that_it_diverged():
    found = search(end_lr=1e3, num_it=60)
    assert found.stopped == "diverged"
    assert len(found.lrs) < 60
    assert found.losses[-1] > 4 * found.losses.min()


def test_a_search_without_stop_div_goes_on_until_the_loss_is_not_finite():
    found = search(end_lr=1e3, num_it=60, stop_div=False)
    assert found.stopped == "not finite"
    assert np.isfinite(found.raw_losses).all()
    assert found.losses[-1] > 1e6


def test_a_search_whose_first_loss_is_not_finite_has_no_points():
    x, y = data()
    with pytest.warns(UserWarning, match="`valley` suggests nothing: the loss of batch 0 was not finite"):
        found = lr_find(compiled(), x, y * np.float32("nan"), suggest_funcs=valley, **QUIET)
    assert (found.stopped, len(found.lrs), found.valley) == ("not finite", 0, None)
    found.plot()


@pytest.mark.parametrize("num_it", [1, 5, np.int64(3)])
def test_a_search_of_up_to_five_batches_takes_six(num_it):
    found = search(num_it=num_it)
    np.testing.assert_allclose(found.lrs, SchedExp(1e-7, 0.1)(np.arange(6) / 6))


# What is refused, before a weight moves


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_it": 0}, ValueError, r"`lr_find` received `num_it=0`; .* a whole number of at least 1"),
        ({"num_it": -5}, ValueError, "num_it=-5"),
        ({"num_it": 10.0}, ValueError, "num_it=10.0"),
        ({"num_it": "100"}, ValueError, "num_it='100'"),
        ({"num_it": None}, ValueError, "num_it=None"),
        ({"num_it": True}, ValueError, "num_it=True"),
        ({"start_lr": 1, "end_lr": 0.1}, ValueError, "from a low rate to a high one. Pass"),
        ({"start_lr": 0.1, "end_lr": 0.1}, ValueError, "start_lr=0.1, end_lr=0.1"),
        ({"start_lr": 0}, ValueError, "start_lr=0.*above 0"),
        ({"start_lr": -1e-3}, ValueError, "start_lr=-0.001"),
        ({"end_lr": math.inf}, ValueError, "end_lr=inf"),
        ({"start_lr": math.nan}, ValueError, "start_lr=nan"),
        ({"start_lr": "1e-7"}, ValueError, "start_lr='1e-7'"),
        ({"start_lr": [1e-3, 1e-2], "end_lr": [1e-2, 1e-2]}, ValueError, "from a low rate to a high one"),
        ({"start_lr": [1e-3, 1e-2], "end_lr": [1, 1, 1]}, ValueError, "3 rates where there are 2"),
        ({"repeats": 0}, ValueError, "repeats=0"),
        ({"wd": -1}, ValueError, "wd=-1"),
        ({"suggest_funcs": 3}, TypeError, r"suggest_funcs=3.*the function itself.*`suggest_funcs=\(valley, steep\)`"),
        ({"suggest_funcs": "valley"}, TypeError, "suggest_funcs='valley'"),
        ({"suggest_funcs": (valley, "steep")}, TypeError, "suggest_funcs="),
        ({"cache_dir": "no/such/folder"}, ValueError, "no such folder"),
        ({"groups": 7}, ValueError, "groups=7"),
    ],
)
def test_a_wrong_argument_is_an_error_before_a_weight_moves(arguments, error, message):
    model = compiled()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        search(model, **arguments)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("arguments", [{"num_it": 2.5}, {"start_lr": 1, "end_lr": 1}, {"end_lr": -1}])
def test_a_finder_refuses_its_arguments_when_it_is_made(arguments):
    with pytest.raises(ValueError, match="`LRFinder` received"):
        LRFinder(**arguments)


def test_a_model_that_is_not_compiled_is_an_error_that_says_how():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(RuntimeError, match=r"`lr_find` found .* not compiled; .*`model.compile\("):
        lr_find(model, *data())


@pytest.mark.parametrize("model", [None, "model", object()])
def test_what_is_no_model_is_an_error(model):
    with pytest.raises(TypeError, match="`lr_find` received"):
        lr_find(model, *data())


# The result


def test_the_result_has_a_field_a_suggestion():
    lr_min, lr_valley = found = search(suggest_funcs=(minimum, valley), num_it=40)
    assert (found.minimum, found.valley) == (lr_min, lr_valley) == tuple(found)
    assert found._fields == ("minimum", "valley")
    assert found._asdict() == {"minimum": lr_min, "valley": lr_valley}  # pyright: ignore[reportOptionalCall]
    lrs, losses = found.lrs[4:-5], found.losses[4:-5]
    assert lr_valley == valley(lrs, losses, 40)[0]


def test_halfway_is_what_is_suggested_and_valley_beside_it():
    found = lr_find(compiled(), *data(), batch_size=8, **QUIET)
    assert found._fields == ("halfway", "valley")
    assert found.lr == found.halfway
    assert 1e-4 < found.valley < found.halfway < 1


def test_the_rate_is_the_first_suggestion_that_is_one():
    found = search(suggest_funcs=(minimum, valley), num_it=40)
    assert found.lr == found.minimum
    with pytest.warns(UserWarning, match="^there is none `lr` is what `minimum` suggests.$"):
        found = search(suggest_funcs=(no_answer, minimum), num_it=40)
    assert (found[0], found.lr) == (None, found.minimum)
    with pytest.warns(UserWarning, match="^there is none$"):
        assert search(suggest_funcs=(minimum, no_answer), num_it=40).lr == found.lr


def test_without_a_suggestion_there_is_no_rate():
    assert search(suggest_funcs=()).lr is None
    with pytest.warns(UserWarning, match="there is none"):
        assert search(suggest_funcs=no_answer).lr is None


def test_a_suggestion_called_lr_does_not_hide_the_rate():
    def lr(*_):
        return 0.25

    found = search(suggest_funcs=(minimum, lr), num_it=40)
    assert found._fields == ("minimum", "lr_2")
    assert (found.lr, found.lr_2) == (found.minimum, 0.25)


class Mine:
    def __call__(self, lrs, losses, num_it):
        return of_two(lrs, losses, num_it)


def _hidden(lrs, losses, num_it):
    return of_two(lrs, losses, num_it)


def plot(lrs, losses, num_it):
    return of_two(lrs, losses, num_it)


def count(lrs, losses, num_it):
    return of_two(lrs, losses, num_it)


FURTHER = functools.partial(slide, lr_diff=5)


@pytest.mark.parametrize(
    ("functions", "names"),
    [
        (of_two, ("of_two",)),
        ([of_two], ("of_two",)),
        ((), ()),
        (None, ()),
        (lambda lrs, losses, num_it: of_two(lrs, losses, num_it), ("suggestion",)),  # noqa: PLW0108
        ((of_two, of_two, of_two), ("of_two", "of_two_2", "of_two_3")),
        ((lambda *a: of_two(*a), lambda *a: of_two(*a)), ("suggestion", "suggestion_2")),  # noqa: PLW0108
        ((FURTHER, slide), ("slide", "slide_2")),
        (functools.partial(functools.partial(of_two)), ("of_two",)),
        (Mine(), ("Mine",)),
        (_hidden, ("hidden",)),
        (plot, ("plot_2",)),
        (count, ("count",)),
        ((f for f in (of_two, count)), ("of_two", "count")),
    ],
)
def test_fields_are_called_as_the_functions(functions, names):
    assert search(suggest_funcs=functions, num_it=40)._fields == names


def test_a_function_with_settings_gives_what_they_ask_for():
    found = search(suggest_funcs=(functools.partial(slide, adjust_value=0.5), slide), num_it=40)
    assert found.slide == pytest.approx(found.slide_2 / 2)


def test_no_suggestion_warns_with_the_reason_and_leaves_none():
    with pytest.warns(UserWarning, match="there is none"):
        found = search(suggest_funcs=(no_answer, of_two))
    assert found.no_answer is None
    assert found.of_two == found.lrs[2]


def test_an_error_in_a_function_is_the_users_own():
    def fails(lrs, losses, num_it):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        search(suggest_funcs=fails)


def test_a_function_may_give_a_rate_alone():
    assert search(suggest_funcs=lambda *_: np.float32(0.5)).suggestion == 0.5


@pytest.mark.parametrize("answer", [None, "0.1", (1.0,), (1.0, 2.0), (1.0, (2.0, "y"))])
def test_a_function_that_gives_something_else_is_an_error_that_says_what(answer):
    with pytest.raises(TypeError, match=r"a suggestion is a rate and the point to mark"):
        search(suggest_funcs=lambda *_: answer)


@pytest.mark.parametrize("duplicate", [lambda found: pickle.loads(pickle.dumps(found)), copy.copy, copy.deepcopy])  # noqa: S301
def test_the_result_can_be_stored_and_copied(duplicate):
    found = search(suggest_funcs=(minimum, of_two), num_it=40)
    other = duplicate(found)
    assert other == found
    assert other.minimum == found.minimum
    assert type(other).__name__ == "LRFound"
    for name in ("lrs", "losses", "raw_losses"):
        assert np.array_equal(getattr(other, name), getattr(found, name))
    assert (other.stopped, other.points, other.spread) == (found.stopped, found.points, found.spread)
    other.plot()


def test_the_result_reads_as_a_named_tuple():
    found = search(suggest_funcs=minimum, num_it=40)
    assert repr(found) == f"LRFound(minimum={found.minimum!r}, stopped={found.stopped!r})"
    assert repr(search(suggest_funcs=(), num_it=40)) == f"LRFound(stopped={found.stopped!r})"


def test_a_rate_of_the_result_can_be_replaced():
    found = search(suggest_funcs=(minimum, of_two), num_it=40)
    other = found._replace(minimum=0.5)
    assert (other.minimum, other[1], other.stopped) == (0.5, found[1], found.stopped)
    assert other.record is found.record
    with pytest.raises(TypeError, match="unexpected keyword argument 'least'"):
        found._replace(least=0.5)


def test_the_result_is_what_find_optimal_lr_takes(capsys):
    assert find_optimal_lr(search(end_lr=1, num_it=60, stop_div=False)) > 0
    assert "first choice" in capsys.readouterr().out


def test_the_spread_of_a_suggestion_is_that_of_the_searches_one_by_one():
    found = search(suggest_funcs=(minimum, valley), num_it=40, end_lr=1, repeats=3)
    each = [minimum(found.lrs[4:-5], curve.losses[: len(found.lrs)][4:-5], 40)[0] for curve in found.record.curves]
    assert len(each) == 3
    assert found.spread["minimum"] == (min(each), max(each))
    assert found.spread["valley"][0] <= found.spread["valley"][1]


def test_one_search_has_no_spread():
    assert search(suggest_funcs=minimum, num_it=40).spread == {"minimum": None}


# What is shown


def test_the_plot_marks_the_suggestions_and_the_divergence():
    found = search(suggest_funcs=(minimum, valley), num_it=60, end_lr=1e3)
    ax = found.plot()
    minimal, lowest, middle = found.minimum, found.points["minimum"][0], found.valley
    told = [f"minimum {minimal:.1e}, marked at {lowest:.1e}", f"valley {middle:.1e}", "diverged"]
    assert [text.get_text().removesuffix(" (above the plot)") for text in ax.get_legend().get_texts()] == told
    assert ax.get_xscale() == "log"
    assert found.plot(ax=ax, skip_end=0, color="k") is ax


def test_the_plot_of_several_searches_has_a_band():
    assert len(search(repeats=3).plot().collections) == 1
    assert len(search().plot().collections) == 0


@pytest.mark.parametrize("show", [True, False])
def test_the_plot_is_shown_where_it_is_asked_for(show):
    from matplotlib import pyplot as plt

    search(show_plot=show)
    assert len(plt.get_fignums()) == int(show)


@pytest.mark.filterwarnings("ignore:`halfway` suggests nothing")
def test_what_was_found_can_be_asked_again():
    found = search(num_it=40)
    assert found.suggest(of_two) == search(suggest_funcs=of_two, num_it=40)
    assert found.suggest()._fields == ("halfway", "valley")
    with pytest.warns(UserWarning, match="there is none"):
        assert pickle.loads(pickle.dumps(found)).suggest(no_answer).lr is None  # noqa: S301 - our own


def test_a_notebook_shows_a_table_and_the_curve():
    with pytest.warns(UserWarning, match="there is none"):
        found = search(suggest_funcs=(minimum, no_answer), num_it=40, repeats=2)
    html = found._repr_html_()
    assert f"<th>minimum</th><td>{found.minimum:.2e}" in html
    assert "<th>no_answer</th><td>no suggestion</td>" in html
    assert "data:image/png;base64" in html
    assert found._repr_png_().startswith(b"\x89PNG")


def test_the_progress_bar_shows_the_rate_and_the_loss(capsys):
    found = search(verbose=1, num_it=10)
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("LRFound(")
    assert "10/10" in printed
    assert re.search(rf"lr: {found.lrs[-1]:.4f} - loss: {found.losses[-1]:.4f}", printed)
    assert "all 10 batches were run" in printed


def test_the_progress_bar_says_why_it_ends_before(capsys):
    search(verbose=2, num_it=60, end_lr=1e3)
    assert "exceeded four times its best" in capsys.readouterr().out


def test_verbose_zero_prints_nothing(capsys):
    search(verbose=0)
    assert capsys.readouterr().out == ""


# LRFinder in a fit of one's own


def fit(*callbacks, model=None, **arguments):
    arguments = {"batch_size": 8, "epochs": 10, "verbose": 0, "shuffle": False} | arguments
    return (model or compiled()).fit(*data(), callbacks=list(callbacks), **arguments)


def test_a_finder_measures_what_lr_find_does():
    finder = LRFinder(1e-4, 1e3, 60)
    fit(finder)
    found = search(start_lr=1e-4, end_lr=1e3, num_it=60, shuffle=False, suggest_funcs=minimum)
    for name in ("lrs", "losses", "raw_losses"):
        assert np.array_equal(getattr(finder, name), getattr(found, name))
    assert finder.stopped == found.stopped == "diverged"
    assert finder.suggest(minimum) == found


def test_a_finder_suggests_by_halfway_and_valley_unless_asked_for_others():
    finder = LRFinder(end_lr=1)
    fit(finder, epochs=15)
    assert finder.suggest()._fields == ("halfway", "valley")
    assert finder.suggest(minimum, valley)._fields == ("minimum", "valley")


def test_a_finder_plots():
    finder = LRFinder(1e-4, 10, 30)
    fit(finder)
    ax = finder.plot(skip_end=0)
    assert len(ax.lines[0].get_xdata()) == len(finder.lrs)


@pytest.mark.parametrize("what", ["lrs", "losses", "raw_losses", "stopped", "hps"])
def test_a_finder_that_was_in_no_fit_says_so(what):
    with pytest.raises(RuntimeError, match="callbacks="):
        getattr(LRFinder(), what)


def test_a_finder_can_be_used_again():
    finder = LRFinder(1e-4, 0.1, 10)
    fit(finder)
    first = finder.losses
    fit(finder)
    assert np.array_equal(finder.losses, first)


def test_a_fit_with_a_finder_ends_when_the_search_does():
    class Batches(keras.callbacks.Callback):
        count = 0

        def on_train_batch_end(self, batch, logs=None):
            self.count += 1

    batches = Batches()
    fit(LRFinder(num_it=10), batches, epochs=1000)
    assert batches.count == 10


def test_a_fit_that_ends_before_the_search_says_so():
    finder = LRFinder(num_it=100)
    fit(finder, epochs=3)
    assert (finder.stopped, len(finder.lrs)) == ("data ended", 24)
    np.testing.assert_allclose(finder.lrs, SchedExp(1e-7, 10)(np.arange(24) / 100))
    with pytest.warns(UserWarning, match=r"after 24 of 100.*may be far too low.*with `LRFinder` more epochs"):
        assert finder.suggest(of_two).of_two == finder.lrs[10]  # they do not see the first tenth


def test_a_fit_with_a_finder_has_no_validation_and_the_next_one_has():
    class Evaluates(keras.callbacks.Callback):
        count = 0

        def on_test_begin(self, logs=None):
            self.count += 1

    model, evaluates = compiled(), Evaluates()
    history = fit(LRFinder(num_it=10), evaluates, model=model, validation_data=data())
    assert (evaluates.count, list(history.history), history.epoch) == (0, ["loss"], [0, 1])
    fit(evaluates, model=model, validation_data=data(), epochs=2)
    assert evaluates.count == 2


def test_other_callbacks_go_on_in_a_fit_with_a_finder_and_what_they_write_leaves_no_trace(tmp_path):
    alone, beside, model = LRFinder(1e-3, 0.1, 20), LRFinder(1e-3, 0.1, 20), compiled()
    before = model.get_weights()
    fit(alone)
    fit(
        beside,
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.weights.h5"), save_weights_only=True),
        keras.callbacks.BackupAndRestore(str(tmp_path / "backup"), save_freq=3),
        keras.callbacks.LearningRateScheduler(lambda epoch: 1.0 / (epoch + 1)),
        keras.callbacks.TerminateOnNaN(),
        model=model,
    )
    assert sorted(file.name for file in tmp_path.glob("*.h5")) == [f"{epoch}.weights.h5" for epoch in (1, 2, 3)]
    assert np.array_equal(alone.raw_losses, beside.raw_losses)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.01)
    assert fit(model=model, epochs=2).epoch == [0, 1]


def test_a_callback_that_ends_the_fit_ends_the_search_with_it():
    class Ends(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    finder, model = LRFinder(1e-3, 0.1, 20), compiled()
    before = model.get_weights()
    fit(finder, Ends(), model=model)
    with pytest.warns(UserWarning, match="after 8 of 20 batches"):
        finder.suggest(of_two)
    assert len(finder.losses) == 8
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_log_file_has_a_line_for_each_epoch_of_a_search(tmp_path):
    file = tmp_path / "log.csv"
    fit(LRFinder(1e-7, 1e-5, num_it=10), keras.callbacks.CSVLogger(str(file)))
    lines = file.read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "0", "1"]


@pytest.mark.parametrize("first", [True, False])
def test_callbacks_of_ones_own_are_told_of_the_batches_and_of_the_epochs(first):
    class Notes(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.told = []

        def on_train_begin(self, logs=None):
            self.told.append("begin")

        def on_train_batch_end(self, batch, logs=None):
            self.told.append((batch, sorted(logs)))

        def on_epoch_end(self, epoch, logs=None):
            self.told.append((f"epoch {epoch}", sorted(logs)))

        def on_train_end(self, logs=None):
            self.told.append("end")

    notes, finder = Notes(), LRFinder(num_it=6)
    fit(*([notes, finder] if first else [finder, notes]))
    assert notes.told == ["begin", *((batch, ["loss"]) for batch in range(6)), ("epoch 0", ["loss"]), "end"]


def test_what_others_write_to_the_rate_does_not_change_the_search():
    class Writes(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.model.optimizer.learning_rate = 5.0

    plain, beside = LRFinder(1e-4, 0.1, 20), LRFinder(1e-4, 0.1, 20)
    model = compiled()
    fit(plain)
    fit(beside, Writes(), model=model)
    assert np.array_equal(plain.raw_losses, beside.raw_losses)
    np.testing.assert_allclose(beside.hps["lr"], plain.lrs)
    assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) == pytest.approx(0.01)


def test_a_finder_beside_a_schedule_of_the_rate_is_an_error():
    with pytest.raises(ValueError, match="scheduled by another callback"):
        fit(LRFinder(), OneCycle(0.1))


def test_a_finder_in_a_fit_has_the_fits_progress_bar(capsys):
    fit(LRFinder(1e-4, 0.1, 10), verbose=1)
    printed = capsys.readouterr().out
    assert [f"Epoch {epoch}/10" in printed for epoch in (1, 2, 3)] == [True, True, False]
    assert "10/10" not in printed


# What a search that came to nothing says


@pytest.mark.parametrize(
    ("count", "stopped", "said"),
    [
        (0, NOT_FINITE, r"the loss of batch 0 was not finite.* Look for the reason in the data"),
        (12, DATA_ENDED, r"had no more data, after 12 of 100 batches.* more batches"),
        (3, DIVERGED, r"exceeded four times its best.* lower `start_lr`"),
    ],
)
def test_a_search_of_too_few_points_says_why_it_ended(count, stopped, said):
    losses = np.linspace(1, 0.5, count)
    record = Record.of([SearchLosses(losses, losses, stopped)], lambda positions: 1e-7 * 1e8**positions, 100)
    with pytest.warns(UserWarning, match=".") as told:
        found = search_found(record, (valley,))
    assert found == (None,)
    assert [each for each in told if re.search(said, str(each.message))]


def test_a_search_that_never_had_a_finite_loss_says_that_it_is_over(capsys):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="not finite"):
        lr_find(model, np.full((16, 2), np.nan), np.zeros((16, 1)), batch_size=4, verbose=1, show_plot=True)
    assert "The search is over: the loss of batch 0 was not finite" in capsys.readouterr().out
