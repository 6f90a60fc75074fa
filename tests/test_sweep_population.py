"""A population: the candidates of a round side by side in one compiled step of JAX, with the results of one by one."""

import keras
import pytest
from oracle import BATCH, data, fit, mlp
from runs import alike, changes, face, plain_steps, same_bits

from keras_sched import ParamScheduler, SchedCos, SchedLin, sweep

QUIET = {"verbose": 0, "show_plot": False, "batch_size": BATCH}
RATES = {"lr_max": [0.003, 0.01, 0.03, 0.1]}


@pytest.fixture(autouse=True)
def on_jax(request, backend):
    if backend != "jax" and "elsewhere" not in request.node.name:
        pytest.skip("a population is JAX'")


def model_of(optimizer, **arguments):
    keras.utils.set_random_seed(7)
    # Without a bias before the normalization: it has no gradient but rounding errors, of which Adam makes whole steps.
    first = [keras.layers.Dense(6, use_bias=False), keras.layers.BatchNormalization()]
    model = keras.Sequential([keras.Input((4,)), *first, keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", metrics=["mae"], **arguments)
    return model


def both(model, **arguments):
    """The sweep one by one, and side by side."""
    found = []
    for population in (False, True):
        keras.utils.set_random_seed(3)
        found.append(sweep(model, *data(), population=population, **QUIET | arguments))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        {"epochs": 10, "over": RATES, "finalists": 2, "validation_data": data(1)},
        {"epochs": 2, "over": RATES, "monitor": "val_mae", "validation_split": 0.25},
        {"epochs": 12, "over": {"lr_max": [0.01, 1e30, 0.1], "moms": [None, (0.9, 0.8, 0.9)]}, "rounds": 1},
        {"epochs": 20, "over": RATES, "rounds": 1},
        {"epochs": 2, "over": {"lr_max": [(0.01, 0.1), (0.1, 0.01)]}, "groups": 2, "repeats": 2},
    ],
    ids=[
        "rounds",
        "another monitor",
        "the last tenth, and one that is lost",
        "the last two epochs",
        "groups and repeats",
    ],
)
def test_its_results_are_those_of_one_by_one(arguments):
    one, other = both(model_of(keras.optimizers.AdamW(0.01)), **arguments)
    assert alike(one, other, 1e-4)
    assert len({trial.values for trial in other.trials if trial.round == 1}) > 1


def test_several_batches_a_call():
    assert alike(
        *both(model_of(keras.optimizers.SGD(0.01, momentum=0.9), steps_per_execution=3), epochs=2, over=RATES),
        tolerance=1e-4,
    )


def test_a_round_is_one_fit():
    model, fits = mlp(keras.optimizers.Adam(0.01)), []
    own = model.fit
    model.fit = lambda *args, **kwargs: [fits.append(kwargs["epochs"]), own(*args, **kwargs)][1]
    sweep(model, *data(), epochs=10, over=RATES, finalists=2, population=True, **QUIET)
    assert fits == [1, 10]


def test_it_leaves_no_trace():
    model, control = (mlp(keras.optimizers.Adam(0.01)) for _ in range(2))
    for each in (model, control):
        plain_steps(each)
        each.evaluate(*data(), verbose=0)
    before, tested = face(model.optimizer), model.test_function
    sweep(model, *data(), epochs=2, over=RATES, population=True, validation_data=data(1), **QUIET)
    assert changes(before, face(model.optimizer)) == set()
    assert model.test_function is tested
    assert plain_steps(model) == plain_steps(control)
    assert same_bits(model, control)


@pytest.mark.parametrize(("alone", "together", "fits"), [(1.0, 3.9, 1), (1.0, 4.1, 1 + 4)])
def test_auto_takes_the_way_that_a_few_batches_show_to_be_faster(alone, together, fits, monkeypatch):
    from keras_sched.step import population

    seconds = iter([alone, together])
    monkeypatch.setattr(population, "_seconds", lambda run, state: next(seconds))
    model, run = mlp(keras.optimizers.Adam(0.01)), []
    own = model.fit
    model.fit = lambda *args, **kwargs: [run.append(None), own(*args, **kwargs)][1]
    keras.utils.set_random_seed(3)
    measured = sweep(model, *data(), epochs=1, over=RATES, **QUIET)
    assert len(run) == fits
    keras.utils.set_random_seed(3)
    assert alike(measured, sweep(model, *data(), epochs=1, over=RATES, population=False, **QUIET), 1e-4)


def test_what_is_measured_is_time():
    from keras_sched.step import population

    assert population._seconds(lambda state: population.time.sleep(0.02), ()) == pytest.approx(0.02, abs=0.02)


def with_dropouts(lr, rate):
    return ParamScheduler(
        {"lr": SchedCos(lr, 0.0), "dropout*.rate": SchedLin(rate, 0.1), "loss_weights.0": SchedLin(1.0, 1 + rate)}
    )


def test_keys_beside_the_optimizers_have_a_row_for_each_member_too():
    over = {"lr": [0.01, 0.1], "rate": [0.2, 0.5]}
    one, other = both(model_of(keras.optimizers.Adam(0.01)), epochs=2, over=over, recipe=with_dropouts)
    assert alike(one, other, 1e-4)
    assert len({trial.value for trial in one.trials[:4]}) == 4


def different(kind):
    return ParamScheduler({"lr": SchedCos(0.1, 0.0)} | ({"sqr_mom": SchedCos(0.9, 0.99)} if kind else {}))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"callbacks": [keras.callbacks.Callback()]}, "callbacks, which look at one model"),
        ({"recipe": different, "over": {"kind": [0, 1]}}, "do not schedule the same hyper-parameters"),
        ({"recipe": with_dropouts, "over": {"lr": [0.1], "rate": [0.0, 0.1]}}, "only some that reach 0 or 1"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_so_is_an_error_or_is_trained_one_by_one(arguments, says):
    model = model_of(keras.optimizers.Adam(0.01))
    with pytest.raises(RuntimeError, match=says):
        sweep(model, *data(), epochs=1, population=True, **{"over": RATES} | arguments, **QUIET)
    found = sweep(model, *data(), epochs=1, **{"over": RATES} | arguments, **QUIET)
    assert all(trial.ended == "trained" for trial in found.trials)


def test_a_step_that_is_not_compiled_is_refused():
    model = mlp(keras.optimizers.Adam(0.01), run_eagerly=True)
    with pytest.raises(RuntimeError, match="a model that is not compiled"):
        sweep(model, *data(), epochs=1, over=RATES, population=True, **QUIET)


def test_elsewhere_a_population_is_refused(backend):
    if backend == "jax":
        pytest.skip("it is JAX'")
    with pytest.raises(RuntimeError, match=f"the backend {backend}; .* Leave `population=True` out"):
        sweep(mlp(keras.optimizers.Adam(0.01)), *data(), epochs=1, over=RATES, population=True, **QUIET)


def test_each_number_of_members_is_compiled_once():
    calls = []

    class Counted(keras.layers.Layer):
        def call(self, inputs):
            calls.append(None)
            return inputs

    model = keras.Sequential([keras.Input((4,)), Counted(), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    fit(model, [], 1)  # a model's first fit looks at a batch
    over = {"lr_max": [0.01, 0.03, 0.1]}
    sweep(model, *data(), epochs=1, over=over, population=True, **QUIET)
    before = len(calls)
    sweep(model, *data(), epochs=2, over={"lr_max": [0.2, 0.1, 0.05]}, population=True, rounds=1, **QUIET)
    assert len(calls) == before
