"""`warmup` and `decay` as numbers of batches, which the callbacks turn into fractions of the fit's length."""

import copy
from itertools import product

import numpy as np
import pytest
from oracle import BATCH, data, fit, mlp

from keras_sched import InverseSqrt, SchedLin, WarmupCosine, WarmupLinear, WarmupStableDecay

EPOCHS = 3  # of 4 batches each


def rates(callback, **arguments):
    """What a fit of 12 batches uses."""
    fit(mlp("sgd"), [callback], EPOCHS, **arguments)
    return callback.hps["lr"]


def assert_rates(callback, expected, **arguments):
    np.testing.assert_allclose(rates(callback, **arguments), expected, rtol=1e-12, atol=1e-15)


def test_the_rate_rises_for_as_many_batches_as_were_asked_for():
    assert_rates(WarmupLinear(4.0, warmup=4), [0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5])


def test_the_rate_decays_for_as_many_batches_as_were_asked_for():
    stable = WarmupStableDecay(4.0, warmup=2, decay=4, shape=SchedLin)
    assert_rates(stable, [0, 2, 4, 4, 4, 4, 4, 4, 4, 3, 2, 1])


def test_a_number_of_batches_and_a_fraction_go_together():
    stable = WarmupStableDecay(4.0, warmup=0.25, decay=np.int64(4), shape=SchedLin)
    assert_rates(stable, [0, 4 / 3, 8 / 3, 4, 4, 4, 4, 4, 4, 3, 2, 1])


def test_one_is_one_batch_and_one_point_nought_is_all_of_training():
    assert rates(WarmupCosine(0.1, warmup=1))[:2].tolist() == [0.0, 0.1]
    assert_rates(WarmupCosine(1.2, warmup=1.0), np.arange(12) / 10)


def test_warmup_may_take_all_batches():
    assert_rates(WarmupLinear(1.2, warmup=12), np.arange(12) / 10)
    assert_rates(WarmupStableDecay(1.2, warmup=8, decay=4, shape=SchedLin), [*np.arange(9) * 0.15, 0.9, 0.6, 0.3])


@pytest.mark.filterwarnings("ignore:.*total_steps=")
def test_batches_are_counted_in_the_length_that_was_given():
    assert_rates(WarmupLinear(4.0, warmup=4, total_steps=8), [0, 1, 2, 3, 4, 3, 2, 1, 0, 0, 0, 0])


def test_a_resumed_fit_counts_from_the_first_batch_of_all():
    assert_rates(WarmupLinear(4.0, warmup=4), [4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5], initial_epoch=1)


def test_the_same_callback_serves_fits_of_two_lengths():
    falling = InverseSqrt(0.4, warmup=4, lr_final=0.1)
    fit(mlp("sgd"), [falling], 2)
    assert falling.hps["lr"][4] == 0.4
    again = copy.deepcopy(falling)
    assert rates(again)[4] == 0.4


@pytest.mark.parametrize(("batches", "total"), list(product([1, 3, 7, 500], [501, 1000, 9973, 10**6])))
def test_the_batch_after_the_warmup_has_the_highest_rate_exactly(batches, total):
    callback = WarmupCosine(0.3, warmup=batches)
    callback._total = total
    sched = callback.recipe(0.3, None)["lr"]
    assert sched(np.array([batches]) / total).tolist() == [0.3]
    assert (sched(np.array([batches - 1, batches + 1]) / total) < 0.3).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: WarmupCosine(0.1, warmup=13),
            "`WarmupCosine` received `warmup=13`; that is longer than the 12 batches of the schedule",
        ),
        (
            lambda: InverseSqrt(0.1, warmup=500, lr_final=0.01),
            "`warmup=500`; that is longer than the 12 batches of the schedule",
        ),
        (
            lambda: WarmupStableDecay(0.1, warmup=8, decay=5),
            "`warmup=8, decay=5`; that is longer than the 12 batches of the schedule",
        ),
        (lambda: WarmupStableDecay(0.1, warmup=0.5, decay=7), "`warmup=0.5, decay=7`; that is longer"),
    ],
)
def test_more_batches_than_the_fit_has_are_an_error_before_the_first(make, message):
    model = mlp("sgd")
    weights = model.get_weights()
    with pytest.raises(ValueError, match=message):
        fit(model, [make()], EPOCHS)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    x, y = data()
    model.fit(x, y, batch_size=BATCH, verbose=0)  # as if no schedule had been there


@pytest.mark.parametrize("warmup", [True, -1, 1.5, 2.0, "3"])
def test_what_is_neither_a_fraction_nor_a_number_of_batches_is_refused_at_once(warmup):
    with pytest.raises(ValueError, match=f"`WarmupLinear` received `warmup={warmup!r}`"):
        WarmupLinear(0.1, warmup=warmup)


def test_its_length_aside_a_warmup_in_batches_can_be_checked_without_a_fit():
    WarmupCosine(0.1, warmup=500).check(mlp("sgd"))
