"""Recipes against real runs of fastai, and against the schedules of five other libraries."""

import json
import math
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sched import SGDR, annealers
from keras_sched.annealers import SchedCos, SchedExp, SchedLin, SchedPoly, combine_scheds
from keras_sched.recipes import (
    flat_cos,
    inverse_sqrt,
    one_cycle,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_linear,
    warmup_stable_decay,
)

GOLDEN = Path(__file__).parent / "golden"


def read(name):
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def at(sched, n, steps=None):
    """The values of the first `steps` batches of `n`."""
    return sched(np.arange(n if steps is None else steps) / n)


# Against fastai


def rates_of(case, name):
    given = case["arguments"].get(name, case["learner_lr"])
    if not isinstance(given, dict):
        return given
    low, high = given["slice"]
    others = case["groups"] - 1
    return [high / 10] * others + [high] if low is None else np.geomspace(low, high, others + 1)


def assert_as_fastai(scheds, case, recorded, tolerance):
    n = case["n_epoch"] * case["batches_per_epoch"]
    first = case["arguments"].get("start_epoch", 0) * case["batches_per_epoch"]
    assert sorted(scheds) == sorted(recorded["hps"])
    for name, values in recorded["per_group"].items():
        wanted = np.array(values)
        found = at(scheds[name], n)[first:]
        found = found if found.ndim == 2 else np.broadcast_to(found[:, None], wanted.shape)
        kept = np.delete(np.arange(len(wanted)), case.get("late_restarts", []))
        atol = tolerance["atol_times_largest_value"] * wanted.max(axis=0)
        assert (np.abs(found - wanted)[kept] <= atol).all()


def cases(name):
    return [pytest.param(case, id=case["call"]) for case in read(name)["cases"]]


def options(case, *without):
    return {name: value for name, value in case["arguments"].items() if name not in {"start_epoch", *without}}


@pytest.mark.parametrize("case", cases("one_cycle"))
def test_one_cycle_is_fastais(case):
    scheds = one_cycle(rates_of(case, "lr_max"), **options(case, "lr_max"))
    assert_as_fastai(scheds, case, case, read("one_cycle")["tolerance"])


@pytest.mark.parametrize("case", cases("flat_cos"))
def test_flat_cos_is_fastais(case):
    scheds = flat_cos(rates_of(case, "lr"), **options(case, "lr"))
    assert_as_fastai(scheds, case, case, read("flat_cos")["tolerance"])


@pytest.mark.parametrize("case", [case for case in cases("sgdr") if "per_group" in case.values[0]])
def test_sgdr_is_fastais(case):
    scheds = sgdr(rates_of(case, "lr_max"), **options(case, "lr_max", "cycle_len"))
    assert_as_fastai(scheds, case, case, read("sgdr")["tolerance"])


@pytest.mark.parametrize("case", cases("sgdr"))
def test_every_cycle_of_sgdr_begins_at_its_batch(case):
    top = rates_of(case, "lr_max")
    n = case["n_epoch"] * case["batches_per_epoch"]
    found = at(sgdr(top, **options(case, "lr_max", "cycle_len"))["lr"], n)
    starts = [i for i in range(n) if np.array_equal(found[i], np.broadcast_to(top, found[i].shape))]
    assert starts == case["cycle_starts"]


@pytest.mark.parametrize("case", cases("fine_tune"))
def test_both_phases_of_fine_tuning_are_fastais(case):
    given = {"base_lr": 2e-3, "freeze_epochs": 1, "lr_mult": 100, "pct_start": 0.3, "div": 5.0} | case["arguments"]
    more = {name: given[name] for name in ("moms", "div_final") if name in given}
    base, groups = given["base_lr"], case["groups"]
    frozen = one_cycle([base / 10] * (groups - 1) + [base], pct_start=0.99, **more)
    ends = base / 2 / given["lr_mult"], base / 2
    unfrozen = one_cycle(np.geomspace(*ends, groups), pct_start=given["pct_start"], div=given["div"], **more)
    for scheds, epochs, phase in zip(
        (frozen, unfrozen), (given["freeze_epochs"], given["epochs"]), case["phases"], strict=True
    ):
        assert_as_fastai(scheds, case | {"n_epoch": epochs}, phase, read("fine_tune")["tolerance"])


# Against other libraries: (library, number of its case) -> our schedule, and the steps after which it ends.

ONE_CYCLE = {"div": 25, "div_final": 25e4}
# Each is the `maps_to` of its case.
OURS = {
    ("torch", 0): (one_cycle(0.1, **ONE_CYCLE, pct_start=14 / 49), 49),
    ("torch", 1): (one_cycle(0.1, **ONE_CYCLE, pct_start=14 / 49, three_phase=True), 49),
    ("torch", 2): (one_cycle(0.02, div=10, div_final=1000, pct_start=(0.4 * 50 - 1) / 49, moms=(0.9, 0.8, 0.9)), 49),
    ("torch", 3): (sgdr(0.1, n_cycles=5, cycle_mult=1), 50),
    ("torch", 4): (sgdr(0.1, n_cycles=3, cycle_mult=2), 70),
    ("torch", 5): ({"lr": combine_scheds([1 / 7, 2 / 7, 4 / 7], [SchedCos(0.1, 0.01)] * 3)}, 56),
    ("torch", 6): (triangular(0.01, 0.1, n_cycles=5), 50),
    ("torch", 7): (triangular(0.01, 0.1, n_cycles=5, mode="triangular2"), 50),
    ("torch", 8): (triangular(0.01, 0.1, n_cycles=5, mode="exp_range", gamma=0.95**50), 50),
    ("optax", 0): (one_cycle(0.1, **ONE_CYCLE, pct_start=0.3), 50),
    ("optax", 1): (one_cycle(0.02, div=10, div_final=1000, pct_start=0.4), 50),
    ("optax", 2): (warmup_cosine(0.1, warmup=0.1), 50),
    ("optax", 3): (warmup_cosine(0.3, warmup=0.2, lr_final=0.01), 50),
    ("optax", 4): (sgdr(0.1, n_cycles=3, cycle_mult=2), 70),
    ("optax", 5): (sgdr(0.1, n_cycles=3, cycle_mult=2, cycle_decay=0.5, warmup=0.2), 70),
    ("optax", 6): ({"lr": combine_scheds([0.2, 0.8], [SchedLin(0, 0.1), SchedExp(0.1, 0.001)])}, 50),
    ("optax", 7): ({"lr": lambda pos: SchedPoly(0.001, 0.1, 2)(1 - pos)}, 50),
    ("keras", 0): ({"lr": SchedCos(0.1, 0)}, 50),
    ("keras", 1): ({"lr": combine_scheds([0.1, 0.9], [SchedLin(0, 0.1), SchedCos(0.1, 0.01)])}, 50),
    ("keras", 2): (sgdr(0.1, n_cycles=5, cycle_mult=1), 50),
    ("keras", 3): (sgdr(0.1, n_cycles=3, cycle_mult=2, cycle_decay=0.8), 70),
    ("keras", 4): ({"lr": SchedExp(0.1, 0.001)}, 50),
    ("keras", 5): ({"lr": SchedLin(0.1, 0.001)}, 50),
    ("transformers", 0): (warmup_cosine(0.1, warmup=0.1), 50),
    ("transformers", 1): (warmup_stable_decay(0.1, warmup=0.1, decay=0.2), 50),
    ("transformers", 2): (warmup_stable_decay(0.1, warmup=0.1, decay=0.4, shape=SchedCos), 50),
    # Its warm-up begins at the final rate, not at 0.
    ("transformers", 3): (
        {"lr": combine_scheds([0.2, 0.5, 0.3], [SchedLin(0.01, 0.1), SchedLin(0.1, 0.1), SchedLin(0.1, 0.01)])},
        50,
    ),
    ("transformers", 4): (inverse_sqrt(0.1, warmup=0.1, lr_final=0.1 * math.sqrt(5 / 50)), 50),
    ("transformers", 5): (inverse_sqrt(0.1, warmup=0.2, lr_final=0.1 / math.sqrt(1 + 40 / 20)), 50),
    ("timm", 0): (sgdr(0.1, n_cycles=3, cycle_mult=2, cycle_decay=0.5), 70),
    ("timm", 1): (warmup_cosine(0.1, warmup=0.1, lr_final=0.001), 50),
    ("timm", 2): ({"lr": lambda pos: SchedPoly(0.001, 0.1, 2)(1 - pos)}, 50),
}
OTHERS = read("other_libraries")["libraries"]


@pytest.mark.parametrize(
    ("library", "i"), [(name, i) for name, each in OTHERS.items() for i in range(len(each["cases"]))]
)
def test_a_recipe_gives_the_schedule_of_another_library(library, i):
    scheds, n = OURS[library, i]
    case = OTHERS[library]["cases"][i]
    for ours, theirs in {"lr": "lr", "mom": "momentum"}.items():
        if theirs not in case:
            continue
        wanted = np.array(case[theirs])
        atol = 1e-7 * wanted.max() if library == "keras" else 0.0
        kept = np.delete(np.arange(len(wanted)), case.get("near_jump", []))
        np.testing.assert_allclose(at(scheds[ours], n, len(wanted))[kept], wanted[kept], rtol=1e-5, atol=atol)


def test_a_linear_decay_of_transformers_is_ours_but_for_its_warmup():
    wanted = OTHERS["transformers"]["cases"][3]["lr"]
    found = at(warmup_stable_decay(0.1, warmup=0.2, decay=0.3, lr_final=0.01, shape=SchedLin)["lr"], 50)
    np.testing.assert_allclose(found[10:], wanted[10:], rtol=1e-12)


# Each recipe's own corners


def test_one_cycle_without_momentum_has_none():
    assert list(one_cycle(0.1, moms=None)) == ["lr"]
    assert list(one_cycle(0.1, moms=None, three_phase=True)) == ["lr"]


def test_three_phases_fall_back_to_the_start_and_then_to_the_end():
    scheds = one_cycle(1.0, div=10, div_final=100, pct_start=0.25, three_phase=True, moms=(0.9, 0.8, 0.7))
    np.testing.assert_allclose(scheds["lr"]([0, 0.25, 0.5, 1]), [0.1, 1, 0.1, 0.01], rtol=1e-12)
    np.testing.assert_allclose(scheds["mom"]([0, 0.25, 0.5, 0.8, 1]), [0.9, 0.8, 0.7, 0.7, 0.7], rtol=1e-12)


@pytest.mark.parametrize(("pct_start", "wanted"), [(0, [1, 0.505, 0.01]), (1, [0.1, 0.55, 1]), (0.5, [0.1, 1, 0.01])])
def test_one_cycle_may_be_all_fall_or_all_rise(pct_start, wanted):
    found = one_cycle(1.0, div=10, div_final=100, pct_start=pct_start)["lr"]([0, 0.5, 1])
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_flat_cos_may_be_all_flat_or_all_cosine():
    assert flat_cos(1.0, pct_start=1)["lr"]([0, 0.5, 1]).tolist() == [1, 1, 1]
    np.testing.assert_allclose(flat_cos(1.0, pct_start=0, div_final=2)["lr"]([0, 0.5, 1]), [1, 0.75, 0.5])


def test_a_warmup_of_no_length_is_left_out():
    assert warmup_cosine(0.1, warmup=0)["lr"](0) == 0.1
    assert warmup_linear(0.1, warmup=0)["lr"](0) == 0.1
    assert warmup_stable_decay(0.1, warmup=0)["lr"](0) == 0.1
    assert inverse_sqrt(0.1, warmup=0, lr_final=0.05)["lr"](0) == 0.1


def test_a_warmup_of_the_whole_length_only_rises():
    for scheds in (warmup_cosine(1.0, warmup=1.0), inverse_sqrt(1.0, warmup=1.0, lr_final=0.5)):
        assert scheds["lr"]([0, 0.5, 1]).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(("warmup", "decay"), [(0.9, 0.1), (0.7, 0.3), (0.3, 0.7), (0, 1.0), (1.0, 0), (0.1, 0.9)])
def test_a_warmup_and_a_decay_may_take_all_of_training(warmup, decay):
    found = warmup_stable_decay(1.0, warmup=warmup, decay=decay, shape=SchedLin)["lr"](warmup)
    assert found == 1


def test_the_decay_has_any_shape_that_makes_an_annealer():
    found = warmup_stable_decay(1.0, warmup=0, decay=1.0, shape=partial(SchedPoly, power=2))["lr"]
    assert found([0.5, 1]).tolist() == [0.75, 0]


def test_sgdr_warms_up_in_each_cycle():
    found = sgdr(1.0, n_cycles=2, cycle_mult=1, cycle_decay=0.5, warmup=0.5)["lr"]
    np.testing.assert_allclose(found([0, 0.125, 0.25, 0.375, 0.5, 0.75, 1]), [0, 0.5, 1, 0.5, 0, 0.5, 0], atol=1e-15)


def test_a_cycle_that_only_warms_up_ends_at_its_peak():
    assert sgdr(1.0, n_cycles=2, cycle_mult=1, warmup=1.0)["lr"]([0, 0.25, 0.5, 1]).tolist() == [0, 0.5, 0, 1]


@pytest.mark.parametrize(
    ("n_cycles", "cycle_len", "cycle_mult", "epochs"),
    [
        (3, 1, 2, 7),
        (3, 2, 1, 6),
        (1, 5, 2, 5),
        (30, 1, 3, (3**30 - 1) // 2),
        (2, 1, 1.5, 3),
        (2, 2, 1.5, 5),
        (2, 10, 1.1, 21),  # in floating point 21.000000000000004
        (2, 3, 5 / 3, 8),
        (3, 9, 1 / 3, 13),
        (3, 10, 1.05, 32),
    ],
)
def test_the_epochs_of_all_cycles_are_exact_and_rounded_up(n_cycles, cycle_len, cycle_mult, epochs):
    assert SGDR(n_cycles, cycle_len, cycle_mult=cycle_mult).epochs == epochs


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 30))
def test_cycles_restart_at_whole_batches(n_cycles, cycle_mult, batches):
    lengths = [batches * cycle_mult**k for k in range(n_cycles)]
    found = at(sgdr(1.0, n_cycles=n_cycles, cycle_mult=cycle_mult, cycle_decay=0.5)["lr"], sum(lengths))
    starts = np.cumsum([0, *lengths[:-1]])
    assert found[starts].tolist() == [0.5**k for k in range(n_cycles)]


def test_triangles_reach_their_ends_exactly():
    assert triangular(0.1, 0.7, n_cycles=3)["lr"]([0, 1 / 6, 1 / 2, 1]).tolist() == [0.1, 0.7, 0.7, 0.1]


def test_the_last_triangle_is_cut_off_where_training_ends():
    found = triangular(0.0, 1.0, n_cycles=1.5, mode="triangular2")["lr"]([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1])
    np.testing.assert_allclose(found, [0, 0.5, 1, 0.5, 0, 0.25, 0.5], atol=1e-15)
    assert triangular(0.0, 1.0, n_cycles=0.25)["lr"]([0, 0.5, 1]).tolist() == [0, 0.25, 0.5]


def test_a_linear_warmup_rises_to_the_top_and_falls_to_the_final_rate():
    found = warmup_linear(1.0, warmup=0.2, lr_final=0.1)["lr"]
    np.testing.assert_allclose(found([0, 0.1, 0.2, 0.6, 1]), [0, 0.5, 1, 0.55, 0.1], rtol=1e-12)


def test_the_height_of_triangles_halves_or_falls_exponentially():
    halved = triangular(0, 1, n_cycles=3, mode="triangular2")["lr"]
    np.testing.assert_allclose(halved([1 / 6, 3 / 6, 5 / 6]), [1, 0.5, 0.25], rtol=1e-12)
    falling = triangular(1, 2, n_cycles=2, mode="exp_range", gamma=0.01)["lr"]
    np.testing.assert_allclose(falling([0.25, 0.5, 0.75]), [1 + 0.01**0.25, 1, 1 + 0.01**0.75], rtol=1e-12)


RECIPES = {
    "one_cycle": one_cycle,
    "three phases": partial(one_cycle, three_phase=True),
    "flat_cos": flat_cos,
    "sgdr": partial(sgdr, n_cycles=3, cycle_decay=0.5, warmup=0.1),
    "warmup_stable_decay": warmup_stable_decay,
    "warmup_cosine": warmup_cosine,
    "warmup_linear": partial(warmup_linear, lr_final=1e-3),
    "inverse_sqrt": partial(inverse_sqrt, lr_final=1e-3),
    "triangular": partial(triangular, 1e-3, n_cycles=3, mode="triangular2"),
    "half a triangle more": partial(triangular, 1e-3, n_cycles=3.5),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_each_group_has_the_schedule_of_its_own_rate(recipe):
    together = at(recipe([0.1, 0.3, 1])["lr"], 20)
    for g, rate in enumerate([0.1, 0.3, 1]):
        np.testing.assert_array_equal(together[:, g], at(recipe(rate)["lr"], 20))


@pytest.mark.parametrize("rates", [[0.1, 0.2], (0.1, 0.2), np.array([0.1, 0.2], "float32")])
def test_rates_are_any_sequence_of_numbers(rates):
    assert one_cycle(rates)["lr"](0.25).tolist() == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_comes_back_from_json_and_from_its_own_words(recipe):
    for sched in recipe([0.1, 0.3]).values():
        described = json.loads(json.dumps(keras.saving.serialize_keras_object(sched)))
        assert keras.saving.deserialize_keras_object(described) == sched
        assert eval(repr(sched), {**vars(annealers), "triangular": triangular}) == sched  # noqa: S307


# Wrong uses


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: one_cycle(0.1, pct_start=30), r"`one_cycle` received `pct_start=30`;.*rising.*For 30% pass .*=0.3"),
        (lambda: one_cycle(0.1, pct_start=0.6, three_phase=True), r"`pct_start=0.6`.*at most 0.5"),
        (lambda: one_cycle(0), r"`one_cycle` received `lr_max=0`; it must be a learning rate above 0"),
        (lambda: one_cycle(-0.1), r"`lr_max=-0.1`"),
        (lambda: one_cycle([0.1, 0]), r"`lr_max=\[0.1, 0\]`"),
        (lambda: one_cycle("0.1"), r"`one_cycle` received `lr_max='0.1'`"),
        (lambda: one_cycle(None), r"`one_cycle` received `lr_max=None`"),
        (lambda: one_cycle(math.nan), r"`one_cycle` received `lr_max=nan`"),
        (lambda: one_cycle(slice(1e-4, 1e-2)), r"`lr_max=slice\(.*how many parameter groups.*one number per group"),
        (lambda: one_cycle(0.1, div=0), r"`one_cycle` received `div=0`"),
        (lambda: one_cycle(0.1, div_final=-1), r"`one_cycle` received `div_final=-1`"),
        (lambda: one_cycle(0.1, moms=0.9), r"`moms=0.9`.*`moms=\(0.95, 0.85, 0.95\)`"),
        (lambda: one_cycle(0.1, moms=(0.95, 0.85)), r"`moms=\(0.95, 0.85\)`"),
        (lambda: one_cycle(0.1, moms=(0.95, 0.85, 1)), r"`moms=\(0.95, 0.85, 1\)`.*below 1"),
        (lambda: one_cycle(0.1, moms=(0.95, 0.85, "1"), three_phase=True), r"`moms=\(0.95, 0.85, '1'\)`"),
        (lambda: flat_cos(0), r"`flat_cos` received `lr=0`"),
        (lambda: flat_cos(0.1, pct_start=-0.1), r"`flat_cos` received `pct_start=-0.1`"),
        (lambda: flat_cos(0.1, div_final=math.inf), r"`flat_cos` received `div_final=inf`"),
        (lambda: sgdr(0.1, n_cycles=0), r"`sgdr` received `n_cycles=0`.*whole number of at least 1"),
        (lambda: sgdr(0.1, n_cycles=2.5), r"`sgdr` received `n_cycles=2.5`"),
        (lambda: sgdr(0.1, n_cycles=2, cycle_mult=0), r"`sgdr` received `cycle_mult=0`"),
        (lambda: sgdr(0.1, n_cycles=2, cycle_decay=-1), r"`sgdr` received `cycle_decay=-1`"),
        (lambda: sgdr(0.1, n_cycles=2, warmup=5), r"`sgdr` received `warmup=5`.*, `SGDR\(warmup=5\)`"),
        (lambda: SGDR(2, 1.5), r"`SGDR` received `cycle_len=1.5`"),
        (lambda: SGDR(0, 1), r"`SGDR` received `n_cycles=0`"),
        (lambda: warmup_cosine(0.1, warmup=500), r"`warmup_cosine` .*`warmup=500`.*, `WarmupCosine\(warmup=500\)`"),
        (lambda: warmup_linear(0.1, warmup=1), r"`warmup_linear` .*`warmup=1`.*, `WarmupLinear\(warmup=1\)`"),
        (lambda: warmup_linear(0.1, warmup=1.5), r"`warmup_linear` received `warmup=1.5`.*between 0 and 1"),
        (lambda: warmup_linear(0.1, warmup=True), r"`warmup_linear` received `warmup=True`.*between 0 and 1"),
        (lambda: inverse_sqrt(0.1, warmup=9, lr_final=0.01), r"`inverse_sqrt` .*, `InverseSqrt\(warmup=9\)`"),
        (lambda: warmup_cosine(0.1, lr_final=-1), r"`warmup_cosine` received `lr_final=-1`.*at least 0"),
        (lambda: warmup_cosine([0.1, 0.2], lr_final=[1, 2, 3]), r"`warmup_cosine` received `lr_max=.*one length"),
        (lambda: inverse_sqrt(0.1, lr_final=0), r"`inverse_sqrt` received `lr_final=0`.*above 0"),
        (lambda: warmup_stable_decay(0.1, decay=20), r"received `decay=20`.*`WarmupStableDecay\(decay=20\)`"),
        (lambda: warmup_stable_decay(0.1, decay=20.0), r"`warmup_stable_decay` received `decay=20.0`.*`decay=0.2`"),
        (lambda: warmup_stable_decay(0.1, warmup=0.5, decay=0.6), r"`warmup=0.5, decay=0.6`.*at most 1.*`decay=0.5`"),
        (lambda: warmup_stable_decay(0.1, shape="cos"), r"`shape='cos'`.*`shape=SchedCos`"),
        (lambda: warmup_stable_decay(0.1, shape=SchedCos(1, 0)), r"`shape=SchedCos\(.*makes an annealer"),
        (lambda: warmup_stable_decay(0.1, shape=np.add), r"made np.float64\(0.1\)|makes an annealer"),
        (lambda: warmup_stable_decay(0.1, shape=SchedPoly), r"`shape=SchedPoly`; .* `partial\(SchedPoly, power=2\)`"),
        (lambda: warmup_stable_decay(0.1, shape=lambda pos: pos), r"`shape=<function .* of a start and an end"),
        (lambda: triangular(0.2, 0.1, n_cycles=1), r"`lr_min=0.2, lr_max=0.1`.*lower rate first"),
        (lambda: triangular(-0.2, 0.1, n_cycles=1), r"`triangular` received `lr_min=-0.2`"),
        (lambda: triangular(0.1, 0.2, n_cycles=0), r"`triangular` received `n_cycles=0`.*above 0"),
        (lambda: triangular(0.1, 0.2, n_cycles=math.inf), r"`triangular` received `n_cycles=inf`"),
        (lambda: triangular(0.1, 0.2, n_cycles=1, mode="square"), r"`mode='square'`.*`mode='exp_range'`"),
        (lambda: triangular(0.1, 0.2, n_cycles=1, gamma=0), r"`triangular` received `gamma=0`"),
        (lambda: triangular(0.1, 0.2, n_cycles=1, gamma=1.5), r"`triangular` received `gamma=1.5`"),
        (lambda: triangular([0.1, 0.2], [1, 2, 3], n_cycles=1), r"`triangular` received `lr_min=.*one length"),
    ],
)
def test_a_wrong_use_says_what_came_and_what_to_pass(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message):
        wrong()


def test_a_shape_that_cannot_reach_the_end_says_where_it_was_wanted():
    with pytest.raises(ValueError, match="SchedExp") as caught:
        warmup_stable_decay(0.1, shape=SchedExp)
    assert caught.value.__notes__ == ["... while `warmup_stable_decay` made its decay from 0.1 to 0.0 with `shape`"]
