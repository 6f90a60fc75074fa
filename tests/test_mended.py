"""What went wrong without a word in rare places, each as a user would meet it."""

import copy
import gc
import pickle
import types
import weakref

import keras
import numpy as np
import pytest
from oracle import BATCH, BATCHES, SetByHand, data, fit, largest_difference, mlp
from runs import Dies, face, same_bits

from keras_sched import (
    SGDR,
    LRFinder,
    OneCycle,
    ParamScheduler,
    SchedCos,
    SchedLin,
    SchedNo,
    fine_tune,
    fit_one_cycle,
    fit_sgdr,
    lr_find,
    minimum,
    scheduled,
    sweep,
)
from keras_sched.freezing import reset_optimizer
from keras_sched.step.again import go_on, taken_once
from keras_sched.table import Table

TOLERANCE = 2e-5
N = 3 * BATCHES
CURVE = SchedCos(0.1, 0.01)


def rates(count=N, first=0):
    return CURVE(np.arange(first, count) / count)


def sgd():
    return keras.optimizers.SGD(0.05)


# Schedules and their rows


def test_a_schedule_beside_that_of_fine_tune_goes_on_in_the_second_phase():
    beside = ParamScheduler({"wd": SchedLin(0.0, 0.1)})
    model = mlp(keras.optimizers.AdamW(0.01))
    x, y = data()
    fine_tune(model, x, y, epochs=3, freeze_epochs=1, callbacks=[beside], batch_size=BATCH, verbose=0)
    assert beside.hps["wd"][0] == pytest.approx(0.025)
    assert len(beside.hps["wd"]) == 3 * BATCHES


@pytest.mark.parametrize("kind", ["compiled", "eager"])
def test_two_updates_in_a_batch_take_the_batchs_row(kind, backend):
    class Twice(keras.Sequential):
        def train_step(self, *arguments):
            if backend != "jax":
                super().train_step(*arguments)
                return super().train_step(*arguments)
            state, batch = arguments
            _, state = super().train_step(state, batch)
            return super().train_step(state, batch)

    def run(by_hand):
        keras.utils.set_random_seed(3)
        model = Twice([keras.Input((4,)), keras.layers.Dense(1)])
        eagerly = by_hand or kind == "eager"
        model.compile(sgd(), loss="mse", run_eagerly=eagerly, jit_compile=False if eagerly else "auto")
        callback = SetByHand({"learning_rate": rates()}) if by_hand else ParamScheduler({"lr": CURVE})
        fit(model, [callback])
        return model.get_weights(), callback

    (ours, callback), (by_hand, _) = run(by_hand=False), run(by_hand=True)
    assert largest_difference(ours, by_hand) < TOLERANCE
    np.testing.assert_allclose(callback.hps["lr"], rates())


def test_an_update_that_is_made_in_some_batches_only_is_an_error(backend):
    if backend != "torch":
        pytest.skip("a step that is compiled makes the same updates in each batch")

    class Sometimes(keras.Sequential):
        calls = 0

        def train_step(self, batch):
            Sometimes.calls += 1
            if Sometimes.calls % 2:
                super().train_step(batch)
            return super().train_step(batch)

    model = Sometimes([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(sgd(), loss="mse")
    with pytest.raises(RuntimeError, match="updates in 4 batches; a schedule has one row a batch"):
        fit(model, [OneCycle(0.1)])


def test_more_batches_in_a_call_than_a_window_has_rows(monkeypatch, backend):
    if backend == "torch":
        pytest.skip("Keras runs one batch a call there")
    monkeypatch.setattr(Table, "window_rows", 5)
    model = mlp(sgd(), steps_per_execution=8)
    ours = ParamScheduler({"lr": CURVE})
    x, y = data()
    model.fit(x, y, batch_size=2, epochs=3, shuffle=False, verbose=0, callbacks=[ours])
    plain = mlp(sgd(), run_eagerly=True, jit_compile=False)
    by_hand = SetByHand({"learning_rate": CURVE(np.arange(48) / 48)})
    plain.fit(x, y, batch_size=2, epochs=3, shuffle=False, verbose=0, callbacks=[by_hand])
    assert largest_difference(model.get_weights(), plain.get_weights()) < TOLERANCE


def test_a_count_from_before_the_window_finds_its_row(backend):
    """A checkpoint of the first epoch, loaded in the middle of a resumed one: the row follows the count."""
    if backend == "torch":
        pytest.skip("rows are counted on the host there")
    model = mlp(sgd())
    first = [keras.ops.convert_to_numpy(variable).copy() for variable in model.optimizer.variables]

    class Load(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                self.weights = [np.array(value) for value in self.model.get_weights()]
                for variable, value in zip(self.model.optimizer.variables, first, strict=True):
                    variable.assign(value)
            if batch == 2:
                self.after = [np.array(value) for value in self.model.get_weights()]

    load = Load()
    schedule = ParamScheduler({"lr": SchedLin(0.1, 0.0)})
    model.optimizer.iterations.assign(2 * BATCHES)
    fit(model, [schedule, load], initial_epoch=2)
    x, y = data()
    batch = slice(2 * BATCH, 3 * BATCH)
    plain = mlp(keras.optimizers.SGD(0.1))  # row 0: the count was set back to 0
    plain.set_weights(load.weights)
    plain.train_on_batch(x[batch], y[batch])
    assert largest_difference(load.after, plain.get_weights()) < TOLERANCE


# Optimizers


class Own(keras.Sequential):
    """A model whose step applies an optimizer of its own, and reads an attribute."""

    factor = 1.0

    def train_step(self, *arguments):
        _ = self.factor
        compiled, self.optimizer = self.optimizer, self.own
        try:
            return super().train_step(*arguments)
        finally:
            self.optimizer = compiled


class OnJax(keras.Sequential):
    """It makes its updates by hand, as a `train_step` on JAX may, and applies no optimizer."""

    def train_step(self, state, data):
        import jax

        trainable, rest, of_optimizer, metrics = state

        def loss(trainable):
            y, _ = self.stateless_call(trainable, rest, data[0])
            return ((y - data[1]) ** 2).mean()

        value, grads = jax.value_and_grad(loss)(trainable)
        trainable = [each - 0.02 * grad for each, grad in zip(trainable, grads, strict=True)]
        return {"loss": value}, (trainable, rest, of_optimizer, metrics)


@pytest.fixture
def own(backend):
    if backend == "jax":
        pytest.skip("the state of an optimizer of one's own travels there as the model's step makes it travel")
    keras.utils.set_random_seed(3)
    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(sgd(), loss="mse")
    model.own = keras.optimizers.SGD(0.02, name="mine")
    model.own.build(model.trainable_variables)
    return model


def test_an_optimizer_that_a_compiled_step_does_not_apply_is_an_error_before_the_first_batch(backend):
    keras.utils.set_random_seed(3)
    model = (
        OnJax([keras.Input((4,)), keras.layers.Dense(1)])
        if backend == "jax"
        else Own([keras.Input((4,)), keras.layers.Dense(1)])
    )
    model.compile(loss="mse")
    model.own = keras.optimizers.SGD(0.02)
    model.own.build(model.trainable_variables)
    before, batches = model.get_weights(), []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    said = r"`OneCycle` found the optimizer `\w+` without one update.*optimizers: `model.own`\..*`optimizer=model.own`"
    with pytest.raises(RuntimeError, match=said):
        fit(model, [OneCycle(0.1), count])
    assert batches == []
    assert int(model.own.iterations.numpy()) == (1 if backend == "torch" else 0)
    assert (largest_difference(before, model.get_weights()) == 0) == (backend != "torch")
    fit(model, [])


def test_an_optimizer_that_never_steps_is_an_error_which_names_those_that_do(own):
    with pytest.raises(RuntimeError, match=r"`(sgd|SGD)\w*` without one update.*`model.own`.*`optimizer=model.own`"):
        fit(own, [OneCycle(0.1)])
    assert "train_function" not in vars(own) or own.train_function is not None


def test_a_key_that_is_no_optimizers_goes_by_the_steps_of_the_one_that_is_named(own):
    own.factor = 1.0
    with pytest.raises(RuntimeError, match=r"a schedule goes by its optimizer's steps; .*`optimizer=model.own`"):
        fit(own, [ParamScheduler({(own, "factor"): SchedLin(0, 4)})])
    named = ParamScheduler({(own, "factor"): SchedLin(0, 4)}, optimizer=own.own)
    fit(own, [named])
    (used,) = named.hps.values()
    assert (np.diff(used) > 0).all()


def test_a_search_with_an_optimizer_that_never_steps_is_an_error_at_once(own):
    before = own.get_weights()
    with pytest.raises(RuntimeError, match=r"`lr_find` found the optimizer .* without one update"):
        lr_find(own, *data(), num_it=20, batch_size=BATCH, show_plot=False, verbose=0)
    assert largest_difference(before, own.get_weights()) == 0


def test_an_optimizer_of_ones_own_is_scheduled(own):
    schedule = ParamScheduler({"lr": CURVE}, optimizer=own.own)
    fit(own, [schedule])
    expected = mlp_of_one_layer()
    fit(expected, [SetByHand({"learning_rate": rates()})])
    assert largest_difference(own.get_weights(), expected.get_weights()) < TOLERANCE
    np.testing.assert_allclose(schedule.hps["lr"], rates())


def mlp_of_one_layer():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(sgd(), loss="mse", run_eagerly=True, jit_compile=False)
    return model


def test_a_number_put_on_an_optimizer_is_no_hyper_parameter():
    model = mlp(sgd())
    model.optimizer.klw = 0.0
    with pytest.raises(ValueError, match=r"'klw'.*SGD has no such hyper-parameter"):
        fit(model, [ParamScheduler({"klw": SchedLin(0, 1)})])


def test_a_train_function_made_anew_on_demand_sees_what_was_changed():
    model = mlp(keras.optimizers.Adam(0.01))
    fit(model, [ParamScheduler({"lr": CURVE})])
    start = [np.array(weights) for weights in model.get_weights()]
    state = [keras.ops.convert_to_numpy(variable).copy() for variable in model.optimizer.variables]
    model.optimizer.beta_2 = 0.5
    model.make_train_function(force=True)
    fit(model, [ParamScheduler({"lr": CURVE})])
    other = mlp(keras.optimizers.Adam(0.01, beta_2=0.5))
    other.optimizer.build(other.trainable_variables)
    other.set_weights(start)
    for variable, value in zip(other.optimizer.variables, state, strict=True):
        variable.assign(value)
    fit(other, [ParamScheduler({"lr": CURVE})])
    assert largest_difference(model.get_weights(), other.get_weights()) < TOLERANCE


def test_a_train_function_made_anew_in_the_middle_of_an_epoch_goes_on_with_its_rows():
    def trained(batch):
        model = mlp(keras.optimizers.Adam(0.01))
        anew = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda number, logs: number == batch and model.make_train_function(force=True)
        )
        scheduler = ParamScheduler({"lr": CURVE})
        fit(model, [scheduler, anew])
        return model.get_weights(), scheduler.hps["lr"]

    weights, rates = trained(1)
    unbroken, all_rates = trained(None)
    assert largest_difference(weights, unbroken) < TOLERANCE
    assert rates.tolist() == all_rates.tolist()


def test_a_train_function_of_the_models_own_is_used_or_refused(backend):
    class Counting(keras.Sequential):
        made = 0

        def make_train_function(self, force=False):
            if self.train_function is None or force:
                Counting.made += 1
            return super().make_train_function(force)

    model = Counting([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(sgd(), loss="mse")
    if backend == "jax":
        with pytest.raises(RuntimeError, match="`make_train_function` of Counting's own"):
            fit(model, [OneCycle(0.1)])
        return
    fit(model, [OneCycle(0.1)])
    assert Counting.made == (2 if backend == "tensorflow" else 1)


# Searches


def test_data_that_dies_in_a_search_leave_averaged_weights_as_they_were():
    def batches():
        x, y = data()
        for _ in range(3):
            yield x[:BATCH], y[:BATCH]
        raise RuntimeError("on purpose")

    model = mlp(keras.optimizers.Adam(0.01, use_ema=True))
    before = model.get_weights()
    with pytest.raises(Exception, match="on purpose"):
        model.fit(batches(), steps_per_epoch=8, shuffle=False, verbose=0, callbacks=[LRFinder(num_it=20)])
    model.make_train_function()  # as the next `fit` does first, which on PyTorch is what mends it
    assert largest_difference(before, model.get_weights()) == 0
    plain = mlp(keras.optimizers.Adam(0.01, use_ema=True))
    plain.optimizer.build(plain.trainable_variables)
    for each in (model, plain):
        fit(each, [], 1)
    assert largest_difference(model.get_weights(), plain.get_weights()) < TOLERANCE


@keras.saving.register_keras_serializable("tests")
class KeepsAll(keras.metrics.Mean):
    """Counts over all epochs."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.all = self.add_weight(name="all", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.all.assign_add(1.0)
        super().update_state(y_pred)

    def reset_state(self):
        self.total.assign(0.0)
        self.count.assign(0.0)


def test_a_metric_that_keeps_a_variable_when_it_is_reset():
    model = mlp(sgd(), metrics=[KeepsAll(name="keeps")])
    found = lr_find(model, *data(), num_it=12, batch_size=BATCH, show_plot=False, verbose=0, suggest_funcs=None)
    expected = lr_find(mlp(sgd()), *data(), num_it=12, batch_size=BATCH, show_plot=False, verbose=0, suggest_funcs=None)
    assert len(found.raw_losses) == len(expected.raw_losses)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_a_search_whose_data_ended_says_that_the_rates_above_are_not_known():
    def batches():
        x, y = data()
        for _ in range(25):
            yield x[:BATCH], y[:BATCH]

    with pytest.warns(UserWarning, match="ended after 25 of 100 batches`; it did not reach the higher rates"):
        found = lr_find(mlp(sgd()), batches(), show_plot=False, verbose=0, suggest_funcs=lambda *_: (1e-3, (1e-3, 1.0)))
    assert found.stopped == "data ended"


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras 3.15's own, on PyTorch
def test_a_search_that_is_too_short_for_every_suggestion_says_so_once():
    x, y = data()
    with pytest.warns(UserWarning, match="too short") as said:
        found = lr_find(mlp(sgd()), ((x[:BATCH], y[:BATCH]) for _ in range(8)), show_plot=False, verbose=0)
    (reason,) = (str(each.message) for each in said if each.category is UserWarning)
    assert found == (None, None)
    assert reason.startswith("`halfway` and `valley` suggest nothing: ")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
@pytest.mark.parametrize("num_it", [20, 25])
def test_a_search_in_which_halfway_takes_noise_for_a_descent_is_a_warning(num_it):
    with pytest.warns(UserWarning, match=rf"a search of {num_it} batches.*may be far too low. Pass `num_it=100`"):
        lr_find(mlp(sgd()), *data(), num_it=num_it, batch_size=BATCH, show_plot=False, verbose=0)


@pytest.mark.parametrize("search", [lambda **of: lr_find(mlp(sgd()), *data(), **of), LRFinder])
def test_a_factor_of_divergence_is_not_taken_for_true(search):
    with pytest.raises(TypeError, match=r"`stop_div=5`; it is whether the search ends .* must be True or False"):
        search(stop_div=5)


def test_a_suggestion_function_of_two_arguments_is_refused_before_the_search():
    with pytest.raises(
        TypeError, match=r"it is called with 3 arguments. Write it as `def mine\(lrs, losses, num_it\)`"
    ):
        lr_find(mlp(sgd()), *data(), suggest_funcs=lambda lrs, losses: (lrs[0], (lrs[0], losses[0])))


def test_a_splitter_of_fastai_is_told_from_a_function_of_a_variable():
    def splitter(model):
        return [model.layers[:1], model.layers[1:]]

    with pytest.raises(TypeError, match=r"`groups=splitter`; .* pass `groups=splitter\(model\)`"):
        fit_one_cycle(mlp(sgd()), *data(), epochs=1, lr_max=slice(1e-4, 1e-2), groups=splitter, verbose=0)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        fit_one_cycle(mlp(sgd()), *data(), epochs=1, lr_max=[1.0, 1.0], groups=lambda v: v.shape.missing, verbose=0)


@pytest.mark.parametrize("call", [fit_one_cycle, fine_tune, lr_find], ids=lambda call: call.__name__)
def test_no_data_at_all_is_told_in_our_words(call):
    arguments = {} if call is lr_find else {"epochs": 1}
    with pytest.raises(TypeError, match=f"`{call.__name__}` received `x=None`; there is no data to train on"):
        call(mlp(sgd()), None, **arguments)


# Callbacks as values


def test_a_pickled_one_cycle_leaves_the_default_momentum_out_as_a_fresh_one_does():
    model = mlp(sgd())
    ours = pickle.loads(pickle.dumps(OneCycle(0.1)))  # noqa: S301 - our own
    fit(model, [ours])
    assert set(ours.hps) == {"lr"}


@pytest.mark.parametrize("how", [copy.deepcopy, lambda used: pickle.loads(pickle.dumps(used))], ids=["copy", "pickle"])  # noqa: S301
@pytest.mark.parametrize("kind", ["callback", "finder", "history"])
def test_what_was_used_is_a_value_too(kind, how):
    model = mlp(keras.optimizers.Adam(0.01))
    x, y = data()
    if kind == "history":
        used = fit_one_cycle(model, x, y, epochs=2, lr_max=0.1, batch_size=BATCH, verbose=0)
    else:
        used = OneCycle(0.1) if kind == "callback" else LRFinder(num_it=8)
        fit(model, [used], 2)
    made = how(used)
    if kind == "finder":
        assert (made.losses == used.losses).all()
    else:
        assert set(made.hps) == {"lr", "mom"}
        assert all((made.hps[name] == used.hps[name]).all() for name in made.hps)
    if kind != "history":
        assert made.model is None
        fit(mlp(keras.optimizers.Adam(0.01)), [made], 2)


def test_a_callback_shows_its_arguments():
    assert repr(OneCycle(0.1, pct_start=0.3)) == "OneCycle(0.1, pct_start=0.3)"
    assert repr(ParamScheduler({"lr": SchedNo(1.0, 1.0)})).startswith("ParamScheduler({'lr': SchedNo(")


# Endings


def test_a_helper_that_dies_cleans_up_at_once():
    model = mlp(keras.optimizers.Adam(0.01))
    model.optimizer.build(model.trainable_variables)
    before = face(model.optimizer)
    with pytest.raises(RuntimeError, match="on purpose"):
        fit_one_cycle(model, *data(), epochs=3, callbacks=[Dies("on_epoch_end", RuntimeError("on purpose"))], verbose=0)
    assert face(model.optimizer) == before
    assert "make_train_function" not in vars(model)


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_write_at_the_first_epoch_of_a_resumed_fit_is_heard_in_either_order(ours_first):
    model = mlp(keras.optimizers.Adam(0.01))
    fit(model, [ParamScheduler({"lr": CURVE})], 2)
    halves = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch == 2 else rate)
    ours = ParamScheduler({"lr": CURVE}, total_steps=N)
    fit(model, [ours, halves] if ours_first else [halves, ours], initial_epoch=2)
    np.testing.assert_allclose(ours.hps["lr"], rates()[2 * BATCHES :] / 2, rtol=1e-6)


def test_a_stateless_loop_says_where_its_steps_are_counted(backend):
    if backend != "jax":
        pytest.skip("elsewhere the state is in the variables")
    import jax

    weight, optimizer = keras.Variable([1.0]), keras.optimizers.SGD(0.5)
    optimizer.build([weight])
    with scheduled(optimizer, {"lr": SchedLin(0.4, 0.0)}, steps=4) as s:
        step = jax.jit(lambda window, state, values: s.stateless_apply(window, state, [jax.numpy.ones(1)], values))
        values, state = [weight.value], [v.value for v in optimizer.variables]
        for _ in range(2):
            values, state = step(s.window(), state, values)
        with pytest.warns(UserWarning, match="counted no step.*v.assign"):
            assert len(s.hps["lr"]) == 0
        for variable, value in zip(optimizer.variables, state, strict=True):
            variable.assign(value)
        np.testing.assert_allclose(s.hps["lr"], [0.4, 0.3])


class Killed(BaseException):
    """Stands for a process that is killed: no hook of an ending is called."""


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3], ids="epoch {}".format)
def test_fine_tune_goes_on_where_it_was_killed(tmp_path, killed_at):
    x, y = data()

    def run(model, *more):
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        arguments = {"epochs": 3, "freeze_epochs": 2, "batch_size": BATCH, "shuffle": False, "verbose": 0}
        return fine_tune(model, x, y, callbacks=[backup, *more], **arguments)

    whole = mlp(keras.optimizers.Adam(0.01))
    run(whole)
    with pytest.raises(Killed):
        run(mlp(keras.optimizers.Adam(0.01)), Kills(killed_at))
    again = mlp(keras.optimizers.Adam(0.01))
    history = run(again)
    assert same_bits(whole, again)
    assert history.epoch[-1] == 4


class Kills(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = self.now = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch + 1 and batch == 1:
            raise Killed


def test_an_iterator_gives_its_batch_again_until_it_is_to_go_on():
    class Iterator:
        numbers = iter(range(9))

        def get_next_as_optional(self):
            return next(self.numbers)

    iterator = Iterator()
    taken_once(iterator, 1)
    taken_once(iterator, 1)
    assert [iterator.get_next_as_optional() for _ in range(3)] == [0, 0, 0]
    go_on(iterator)
    go_on(iterator)
    assert [iterator.get_next_as_optional() for _ in range(2)] == [1, 2]
    taken_once(iterator, 2)  # one call takes several
    assert [iterator.get_next_as_optional() for _ in range(2)] == [3, 4]
    go_on(number for number in range(2))


# After a fit that died in somebody's hook


def died(model, hook="on_epoch_end"):
    with pytest.raises(KeyboardInterrupt):
        fit(model, [OneCycle(0.1), Dies(hook, KeyboardInterrupt())])
    return model


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_train_batch_end"])
def test_a_rate_that_is_set_after_a_death_is_the_next_fits(moment):
    model, other = died(mlp(sgd()), moment), mlp(sgd())
    other.set_weights(model.get_weights())
    for each in (model, other):
        each.optimizer.learning_rate = 0.02
        fit(each, [])
    assert largest_difference(model.get_weights(), other.get_weights()) == 0
    assert float(model.optimizer.learning_rate) == pytest.approx(0.02)
    again = died(mlp(sgd()), moment)
    again.optimizer.learning_rate = 0.02
    ours = OneCycle()
    fit(again, [ours])
    assert ours.hps["lr"].max() == pytest.approx(0.02, rel=0.05)


def test_a_loop_after_a_death_takes_its_own_values():
    model = died(mlp(sgd()))
    weights, before = model.trainable_variables, [np.array(weight) for weight in model.get_weights()]
    with scheduled(model.optimizer, {"lr": SchedLin(0.4, 0.0)}, steps=4):
        for _ in range(4):
            model.optimizer.apply([keras.ops.ones(weight.shape) for weight in weights], weights)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(then - now, 1.0, rtol=1e-5)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)


def test_a_model_whose_fit_died_is_let_go():
    gone = []
    for _ in range(3):
        model = died(mlp(sgd()))
        gone.append(weakref.ref(model))
        del model
    gc.collect()
    assert [each() for each in gone] == [None] * 3


def test_a_train_function_of_the_models_own_is_there_after_a_fit():
    model = mlp(sgd())
    model.make_train_function = own = types.MethodType(type(model).make_train_function, model)
    fit(model, [OneCycle(0.1)])
    assert vars(model)["make_train_function"] is own
    assert vars(died(model))["make_train_function"].__self__ is not model
    fit(model, [])
    assert vars(model)["make_train_function"] is own


# State that an optimizer does not track


@pytest.mark.parametrize("fitted", [False, True])
def test_a_search_gives_back_what_a_loss_scale_does_not_track(fitted):
    def make():
        model = mlp(keras.optimizers.LossScaleOptimizer(keras.optimizers.Nadam(0.01), initial_scale=8.0))
        if fitted:
            fit(model, [])
        return model

    model, other = make(), make()
    lr_find(model, *data(), batch_size=BATCH, show_plot=False, verbose=0, suggest_funcs=minimum)
    for each in (model, other):
        fit(each, [])
    assert same_bits(model, other)


def test_an_optimizer_that_begins_again_does_so_inside_a_loss_scale():
    def make():
        return mlp(keras.optimizers.LossScaleOptimizer(keras.optimizers.Nadam(0.01), initial_scale=8.0))

    model, other = make(), make()
    fit(model, [])
    other.set_weights(model.get_weights())
    reset_optimizer(model)
    for each in (model, other):
        fit(each, [])
    assert same_bits(model, other)


# Lengths and values


def test_a_warmup_in_batches_is_that_of_each_cycle():
    ours = SGDR(2, 1, 0.1, warmup=2)
    fit(mlp(sgd()), [ours])
    sizes = [BATCHES, 2 * BATCHES]
    falls = [0.05 * (1 + np.cos(np.pi * np.arange(size - 2) / (size - 2))) for size in sizes]
    np.testing.assert_allclose(ours.hps["lr"], np.concatenate([[0, 0.05], falls[0], [0, 0.05], falls[1]]), atol=1e-9)
    x, y = data()
    arguments = {"n_cycles": 2, "cycle_len": 1, "lr_max": 0.1, "batch_size": BATCH, "verbose": 0}
    np.testing.assert_allclose(fit_sgdr(mlp(sgd()), x, y, warmup=2, **arguments).hps["lr"], ours.hps["lr"])
    with pytest.raises(ValueError, match=f"`warmup=99`; that is longer than a cycle of {BATCHES} batches"):
        fit_sgdr(mlp(sgd()), x, y, warmup=99, **arguments)


def test_a_momentum_that_is_corrected_and_not_scheduled_is_shown():
    ours = ParamScheduler({"lr": CURVE}, momentum_correction=True)
    history = fit(mlp(keras.optimizers.SGD(0.05, momentum=0.9)), [ours])
    expected = 0.9 * np.append(1.0, rates()[1:] / rates()[:-1])
    np.testing.assert_allclose(ours.hps["mom"], expected)
    assert history.history["momentum"][-1] == pytest.approx(expected[-1])


def test_a_rate_of_0_after_the_schedule_is_refused_where_it_is_divided_by():
    ours = ParamScheduler({"lr": SchedLin(0.1, 0.0)}, total_steps=BATCHES, momentum_correction=True)
    with (
        pytest.warns(UserWarning, match="all train at the schedule's last value"),
        pytest.raises(ValueError, match=f"which is 0 at batch {BATCHES}"),
    ):
        fit(mlp(keras.optimizers.SGD(0.05, momentum=0.9)), [ours])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15, on PyTorch
def test_a_search_of_few_batches_says_what_it_does_not_see():
    x, y = data()
    with pytest.warns(UserWarning, match="do not see the last 5 of them, where the rate rises to [0-9]+ times as much"):
        lr_find(mlp(sgd()), x, y, num_it=12, batch_size=BATCH, show_plot=False, verbose=0)


# Wrong uses that trained


def test_an_annealer_is_no_function_of_the_epoch():
    with pytest.raises(ValueError, match=r"`2 arguments`; an annealer takes one, .* the place of Keras'"):
        fit(mlp(sgd()), [keras.callbacks.LearningRateScheduler(SchedLin(0.1, 0.0))])


def test_a_loop_whose_steps_another_optimizer_makes_is_warned_of():
    weight, optimizer, other = keras.Variable([1.0]), sgd(), sgd()
    with (
        pytest.warns(UserWarning, match="a loop without a step of its optimizer`; nothing took a value"),
        scheduled(optimizer, {"lr": SchedLin(0.4, 0.0)}, steps=1),
    ):
        other.apply([keras.ops.ones(1)], [weight])


def test_a_recipe_that_needs_more_than_a_rate_says_so():
    x, y = data()
    with pytest.raises(TypeError, match=r"`recipe=SGDR`; it cannot be made without n_cycles and cycle_len\. Put"):
        sweep(mlp(sgd()), x, y, epochs=3, recipe=SGDR, over={"lr_max": [0.1, 0.2]}, verbose=0, show_plot=False)


def test_a_model_that_keras_calls_built_without_a_variable_trains():
    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(5), keras.layers.Dense(1)

        def call(self, x):
            return self.second(self.first(x))

    model = Plain()
    model.compile("sgd", loss="mse")
    with pytest.warns(UserWarning, match="the layer does not have a `build"):
        model.build((None, 4))
    x, y = data()
    assert len(fit_one_cycle(model, x, y, epochs=1, lr_max=0.1, batch_size=BATCH, verbose=0).hps["lr"]) == BATCHES


@pytest.mark.parametrize("policy", ["bfloat16", "float16", "float64"])
def test_clipping_by_value_in_one_precision(policy, backend):
    if policy == "float64" and backend == "jax":
        pytest.skip("JAX has no float64 unless it is asked for before all else")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        fit(mlp(keras.optimizers.SGD(0.05)), [ParamScheduler({"clipvalue": SchedLin(0.1, 0.01)})])
    finally:
        keras.config.set_dtype_policy(before)


def test_the_history_of_a_helper_prints_and_lets_go_of_the_model():
    model = mlp(sgd())
    history = fit_one_cycle(model, *data(), epochs=2, lr_max=0.1, batch_size=BATCH, verbose=0)
    assert repr(history) == "History(epochs=2, history=['learning_rate', 'loss'], hps=['lr'])"
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(history.hps["lr"]) == 2 * BATCHES
