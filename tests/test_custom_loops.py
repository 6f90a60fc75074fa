"""`scheduled(...)` in training loops of one's own: eager, and in steps that the user compiles."""

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from loops import arrays, batch, gradients, jax_gradients, loss_of, net, without_gradients
from oracle import largest_difference, mlp

from keras_sched import OneCycle, SchedCos, SchedLin, SchedNo, scheduled

STEPS = 10
TOLERANCE = 2e-5
ADAM = {"learning_rate": (0.05, 0.005), "beta_1": (0.95, 0.6), "weight_decay": (0.1, 0.01)}
SGD = {"learning_rate": (0.1, 0.01), "momentum": (0.95, 0.5)}

Values = dict[str, np.ndarray]


def adam() -> keras.Optimizer:
    return keras.optimizers.Adam(0.01, weight_decay=0.004)


def sgd(**more: Any) -> keras.Optimizer:
    return keras.optimizers.SGD(0.03, momentum=0.9, **more)


def scheds(ranges: dict[str, tuple[float, float]]) -> dict[str, Any]:
    return {name: SchedCos(*ends) for name, ends in ranges.items()}


def values(ranges: dict[str, tuple[float, float]], steps: int = STEPS) -> Values:
    return {name: SchedCos(*ends)(np.arange(2 * steps) / steps) for name, ends in ranges.items()}


def apply(optimizer: Any, model: keras.Model, step: int) -> None:
    x, y = batch(step)
    found = gradients(model, x, y, optimizer.scale_loss)
    with without_gradients():
        optimizer.apply(found, model.trainable_variables)


def set_by_hand(optimizer: Any, of_all: Values, step: int) -> None:
    for name, of_steps in of_all.items():
        setattr(optimizer, name, float(of_steps[step]))


def by_hand(make: Callable[[], Any], of_all: Values, steps: int = STEPS) -> list[np.ndarray]:
    """The weights after a loop that sets the values by hand."""
    model, optimizer = net(), make()
    for step in range(steps):
        set_by_hand(getattr(optimizer, "inner_optimizer", optimizer), of_all, step)
        apply(optimizer, model, step)
    return model.get_weights()


@pytest.fixture(params=["adam", "sgd"])
def case(request: Any) -> tuple[Callable[[], Any], dict[str, tuple[float, float]]]:
    return {"adam": (adam, ADAM), "sgd": (sgd, SGD)}[request.param]


# Eager loops


def test_a_loop_that_calls_apply(case: Any) -> None:
    make, ranges = case
    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(ranges), steps=STEPS):
        for step in range(STEPS):
            apply(optimizer, model, step)
    assert largest_difference(by_hand(make, values(ranges)), model.get_weights()) < TOLERANCE


def test_a_loop_that_calls_apply_gradients() -> None:
    model, optimizer = net(), adam()
    with scheduled(optimizer, scheds(ADAM), steps=STEPS):
        for step in range(STEPS):
            found = gradients(model, *batch(step))
            with without_gradients():
                optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
    assert largest_difference(by_hand(adam, values(ADAM)), model.get_weights()) < TOLERANCE


LONGER = pytest.mark.filterwarnings("ignore:`scheduled` received `steps=4 and took 7`")


@LONGER
def test_steps_past_the_end_keep_the_value_there() -> None:
    ranges = {"learning_rate": (0.1, 0.03)}
    model, optimizer = net(), sgd()
    with scheduled(optimizer, scheds(ranges), steps=4) as s:
        for step in range(7):
            apply(optimizer, model, step)
    expected = by_hand(sgd, values(ranges, 4), 7)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
    np.testing.assert_allclose(s.hps["learning_rate"], values(ranges, 4)["learning_rate"][:7], rtol=1e-12)


def test_a_loop_that_is_longer_than_its_schedule_is_said() -> None:
    def loop() -> None:
        model, optimizer = net(), sgd()
        with scheduled(optimizer, scheds(SGD), steps=2):
            for step in range(3):
                apply(optimizer, model, step)

    with pytest.warns(UserWarning, match=r"`steps=2 and took 3`; from step 2 on, .* last value. Pass `steps=3`, if"):
        loop()


def test_a_callback_inside_a_loop_of_the_same_optimizer_is_an_error() -> None:
    model = mlp(sgd())
    before = model.get_weights()
    with scheduled(model.optimizer, scheds(SGD), steps=STEPS):
        with pytest.raises(RuntimeError, match=r"`OneCycle` found an optimizer inside `scheduled`.*Leave that `with`"):
            model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0, callbacks=[OneCycle(0.1)])
        model.optimizer.apply([keras.ops.zeros(each.shape) for each in before], model.trainable_variables)
    assert largest_difference(before, model.get_weights()) == 0


def test_hps_tells_what_was_used_so_far_by_the_names_given() -> None:
    model, optimizer = net(), sgd()
    with scheduled(optimizer, {"lr": SchedLin(0.4, 0.0), "mom": SchedLin(0.9, 0.5)}, steps=4) as s:
        assert s.hps["lr"].shape == (0,)
        for step in range(3):
            apply(optimizer, model, step)
            assert len(s.hps["lr"]) == step + 1
    np.testing.assert_allclose(s.hps["lr"], [0.4, 0.3, 0.2])
    np.testing.assert_allclose(s.hps["mom"], [0.9, 0.8, 0.7])
    apply(optimizer, model, 3)
    assert len(s.hps["lr"]) == 3, "what the optimizer does afterwards is not the loop's"


def test_an_optimizer_that_is_built_already_begins_at_the_first_row() -> None:
    model, optimizer = net(), sgd()
    for step in range(3):
        apply(optimizer, model, step)
    control, by_hand_optimizer = net(), sgd()
    for step in range(3):
        apply(by_hand_optimizer, control, step)
    with scheduled(optimizer, scheds(SGD), steps=STEPS):
        apply(optimizer, model, 3)
    set_by_hand(by_hand_optimizer, values(SGD), 0)
    apply(by_hand_optimizer, control, 3)
    assert largest_difference(control.get_weights(), model.get_weights()) < TOLERANCE


@pytest.mark.parametrize("same", [True, False], ids=["the same one again", "another one"])
def test_a_second_block_begins_anew(same: bool) -> None:
    model, optimizer = net(), sgd()
    s = scheduled(optimizer, scheds(SGD), steps=5)
    with s:
        for step in range(3):
            apply(optimizer, model, step)
    with s if same else scheduled(optimizer, scheds(SGD), steps=5) as second:
        for step in range(3, 6):
            apply(optimizer, model, step)
    fives = values(SGD, 5)
    expected = by_hand(sgd, {name: np.tile(of[:3], 2) for name, of in fives.items()}, 6)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
    np.testing.assert_allclose(second.hps["momentum"], fives["momentum"][:3], rtol=1e-12)


@pytest.mark.parametrize("windowed", [False, True])
def test_a_state_that_is_loaded_inside_the_block_says_which_step_comes(windowed: bool) -> None:
    weight, optimizer = keras.Variable([0.0]), keras.optimizers.SGD(1.0)
    optimizer.build([weight])
    with scheduled(optimizer, {"lr": SchedLin(1.0, 0.0)}, steps=10) as s:
        optimizer.iterations.assign(5)
        for _ in range(2):
            if windowed:
                s.apply(s.window(), [keras.ops.ones(1)], [weight])
            else:
                optimizer.apply([keras.ops.ones(1)], [weight])
    assert float(weight.numpy()[0]) == pytest.approx(-0.9)
    np.testing.assert_allclose(s.hps["lr"][-2:], [0.5, 0.4])


def test_a_second_block_is_resumed_where_its_beginning_is_set_first() -> None:
    weight = keras.Variable([0.0])

    def steps(optimizer: keras.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.apply([keras.ops.ones(1)], [weight])

    def made() -> keras.Optimizer:
        optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
        optimizer.build([weight])
        return optimizer

    whole = made()
    with scheduled(whole, {"lr": SchedNo(1.0, 1.0)}, steps=6):
        steps(whole, 6)
    with scheduled(whole, {"lr": SchedLin(0.4, 0.0)}, steps=4):
        steps(whole, 2)
        state = [np.array(keras.ops.convert_to_numpy(each)) for each in whole.variables]
        at = np.array(keras.ops.convert_to_numpy(weight))
        steps(whole, 2)
    expected = np.array(keras.ops.convert_to_numpy(weight))

    resumed = made()
    weight.assign(at)
    resumed.iterations.assign(6)
    with scheduled(resumed, {"lr": SchedLin(0.4, 0.0)}, steps=4) as s:
        for variable, value in zip(resumed.variables, state, strict=True):
            variable.assign(value)
        steps(resumed, 2)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-6)
    np.testing.assert_allclose(s.hps["lr"], [0.4, 0.3, 0.2, 0.1])


def test_a_loop_that_should_have_been_resumed_is_said() -> None:
    def loop() -> None:
        model, optimizer = net(), sgd()
        apply(optimizer, model, 0)
        apply(optimizer, model, 1)
        with scheduled(optimizer, scheds(SGD), steps=5):
            for step in range(3):
                apply(optimizer, model, step)

    with pytest.warns(UserWarning, match=r"`steps=5 and took 3`; it began anew, after the 2 steps.*inside the `with`"):
        loop()


@pytest.mark.parametrize("same", [True, False])
def test_a_block_inside_itself_or_another_is_refused_and_the_outer_one_goes_on(same: bool) -> None:
    model, optimizer = net(), sgd()
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        inner = s if same else scheduled(optimizer, {"lr": SchedLin(0.4, 0.0)}, steps=STEPS)
        with pytest.raises(RuntimeError, match="`scheduled` found an optimizer inside `scheduled`"), inner:
            pass
        apply(optimizer, model, 0)
    assert len(s.hps["momentum"]) == 1


class Stopped(Exception):  # noqa: N818 - what stopped is no error of ours
    pass


@pytest.mark.parametrize("kind", [Stopped, KeyboardInterrupt])
def test_an_exception_leaves_the_optimizer_as_it_was(kind: type[BaseException]) -> None:
    model, optimizer = net(), sgd(weight_decay=0.01)
    apply(optimizer, model, 0)
    before = {name: value for name, value in vars(optimizer).items() if not name.startswith("_")}
    s = scheduled(optimizer, {**scheds(SGD), "wd": SchedNo(0.5, 0.5)}, steps=STEPS)

    def stopped() -> None:
        with s:
            apply(optimizer, model, 1)
            raise kind

    with pytest.raises(kind):
        stopped()
    assert {name: value for name, value in vars(optimizer).items() if not name.startswith("_")} == before
    assert float(optimizer.learning_rate) == pytest.approx(0.03)
    assert len(s.hps["momentum"]) == 1


def test_an_update_that_dies_leaves_the_optimizer_as_it_was() -> None:
    model, optimizer = net(), sgd()
    apply(optimizer, model, 0)
    with pytest.raises(ValueError, match="Unknown variable"), scheduled(optimizer, scheds(SGD), steps=STEPS):
        apply(optimizer, net(), 1)
    assert (optimizer.momentum, float(optimizer.learning_rate)) == (0.9, pytest.approx(0.03))
    assert "apply" not in vars(optimizer)


def test_a_plain_loop_afterwards_trains_as_if_there_had_been_none() -> None:
    model, optimizer = net(), sgd()
    with scheduled(optimizer, scheds(SGD), steps=STEPS):
        for step in range(4):
            apply(optimizer, model, step)
    control, other = net(), sgd()
    control.set_weights(model.get_weights())
    other.build(control.trainable_variables)
    other.set_weights([variable.numpy() for variable in optimizer.variables])
    for step in range(4, 7):
        apply(optimizer, model, step)
        apply(other, control, step)
    assert largest_difference(control.get_weights(), model.get_weights()) == 0


def test_two_optimizers_with_schedules_of_their_own_as_in_a_gan() -> None:
    of_one, of_other = {"learning_rate": (0.1, 0.01)}, {"learning_rate": (0.002, 0.05), "beta_1": (0.5, 0.9)}

    def play(step_both: Callable[[int, Any, Any], Any], one: Any, other: Any) -> list[np.ndarray]:
        generator, critic = net(1), net(2)
        for step in range(STEPS):
            step_both(step, one, other)
            apply(one, generator, step)
            if step % 2:  # the critic trains half as often
                apply(other, critic, step)
        return [*generator.get_weights(), *critic.get_weights()]

    def hand(step: int, one: Any, other: Any) -> None:
        set_by_hand(one, values(of_one), step)
        set_by_hand(other, values(of_other, 5), step // 2)

    expected = play(hand, sgd(), adam())
    one, other = sgd(), adam()
    with scheduled(one, scheds(of_one), steps=STEPS), scheduled(other, scheds(of_other), steps=5) as s:
        weights = play(lambda *_: None, one, other)
    assert largest_difference(expected, weights) < TOLERANCE
    assert len(s.hps["beta_1"]) == 5


def test_accumulated_gradients() -> None:
    def make() -> keras.Optimizer:
        return sgd(gradient_accumulation_steps=3)

    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(SGD), steps=STEPS):
        for step in range(STEPS):
            apply(optimizer, model, step)
    assert largest_difference(by_hand(make, values(SGD)), model.get_weights()) < TOLERANCE


def with_an_infinite_gradient(at: int, optimizer: Any, model: keras.Model, step: int) -> None:
    """One step of a loop, its gradients infinite at one of them."""
    x, y = batch(step)
    found = gradients(model, x, y, optimizer.scale_loss)
    if step == at:
        found = [each * np.float32(np.inf) for each in found]
    with without_gradients():
        optimizer.apply(found, model.trainable_variables)


def test_a_step_which_a_loss_scale_skips_takes_no_row() -> None:
    def make() -> Any:
        return keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=16.0)

    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        for step in range(STEPS):
            with_an_infinite_gradient(3, optimizer, model, step)
    control, by_hand_optimizer = net(), make()
    for step, row in enumerate([0, 1, 2, 3, 3, 4, 5, 6, 7, 8]):
        set_by_hand(by_hand_optimizer.inner_optimizer, values(SGD), row)
        with_an_infinite_gradient(3, by_hand_optimizer, control, step)
    assert int(optimizer.iterations) == STEPS - 1
    assert largest_difference(control.get_weights(), model.get_weights()) < TOLERANCE
    assert len(s.hps["momentum"]) == STEPS - 1
    assert {"apply", "stateless_apply"}.isdisjoint(vars(optimizer))


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has it since 3.15")
def test_every_optimizer_inside_a_multi_optimizer() -> None:
    def make() -> tuple[Any, Any, Any]:
        one, other = adam(), sgd()
        inner = keras.optimizers.OptimizerMap(other, {".*body/.*": one})
        return keras.optimizers.MultiOptimizer(inner), one, other

    rates = {"learning_rate": (0.1, 0.01)}
    model, (optimizer, one, other) = net(), make()
    with scheduled(optimizer, scheds(rates), steps=STEPS) as s:
        for step in range(STEPS):
            apply(optimizer, model, step)
    control, (whole, first, second) = net(), make()
    for step in range(STEPS):
        for part in (first, second):
            set_by_hand(part, values(rates), step)
        apply(whole, control, step)
    assert largest_difference(control.get_weights(), model.get_weights()) < TOLERANCE
    np.testing.assert_allclose(s.hps["learning_rate"], values(rates)["learning_rate"][:STEPS], rtol=1e-12)
    assert (float(one.learning_rate), float(other.learning_rate)) == pytest.approx((0.01, 0.03))


# Steps that the user compiles


def compiled_step(model: keras.Model, optimizer: Any, s: Any, **how: Any) -> Callable[[Any, int], None]:
    """`step(window, number)`, compiled as a user of the backend would."""
    makers = {"jax": _jitted, "tensorflow": _tf_function, "torch": _torch_compiled}
    return makers[keras.backend.backend()](model, optimizer, s, **how)


def _jitted(model: keras.Model, optimizer: Any, s: Any, update: Any = None) -> Callable[[Any, int], None]:
    import jax

    update = update or s.stateless_apply

    @jax.jit
    def step(window: Any, trainable: Any, of_optimizer: Any, x: Any, y: Any) -> Any:
        found = jax_gradients(model, trainable, x, y, _scale(optimizer, of_optimizer))
        return update(window, of_optimizer, found, trainable)

    optimizer.build(model.trainable_variables)

    def run(window: Any, number: int) -> None:
        state = [v.value for v in model.trainable_variables], [v.value for v in optimizer.variables]
        for variables, new in zip(
            (model.trainable_variables, optimizer.variables), step(window, *state, *batch(number)), strict=True
        ):
            for variable, value in zip(variables, new, strict=True):
                variable.assign(value)

    return run


def _scale(optimizer: Any, state: Any) -> Callable[[Any], Any]:
    """The optimizer's scaling of a loss, by a state that is in no variable."""

    def scale(loss: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, state, strict=True))):
            return optimizer.scale_loss(loss)

    return scale


def _tf_function(
    model: keras.Model, optimizer: Any, s: Any, update: Any = None, **how: Any
) -> Callable[[Any, int], None]:
    import tensorflow as tf

    update = update or s.apply

    @tf.function(**how)
    def step(window: Any, x: Any, y: Any) -> None:
        found = gradients(model, x, y, optimizer.scale_loss)
        update(window, found, model.trainable_variables)

    return lambda window, number: step(window, *map(tf.constant, batch(number)))


def _torch_compiled(
    model: keras.Model, optimizer: Any, s: Any, update: Any = None, backend: str = "eager"
) -> Callable[[Any, int], None]:
    import torch

    update = update or s.apply
    optimizer.build(model.trainable_variables)

    def step(window: Any, x: Any, y: Any) -> None:
        for variable in model.trainable_variables:
            variable.value.grad = None
        optimizer.scale_loss(loss_of(model, x, y)).backward()
        with torch.no_grad():
            update(window, [v.value.grad for v in model.trainable_variables], model.trainable_variables)

    compiled = torch.compile(step, backend=backend)
    return lambda window, number: compiled(window, *map(torch.as_tensor, batch(number)))


def own(updates: Any) -> Callable[..., Any]:
    """How an optimizer, or a `scheduled` one, updates in a compiled step of the backend."""
    return updates.stateless_apply if keras.backend.backend() == "jax" else updates.apply


@pytest.fixture
def keeps_constants(backend: str) -> None:
    """For what may go wrong where a compiled step keeps the values of the time it was compiled."""
    if backend == "torch":
        pytest.skip("on PyTorch a compiled step leaves its graph for the update")


def test_a_compiled_step_with_a_window(case: Any) -> None:
    make, ranges = case
    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(ranges), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(STEPS):
            step(s.window(), number)
        assert len(s.hps["learning_rate"]) == STEPS
    assert largest_difference(by_hand(make, values(ranges)), model.get_weights()) < TOLERANCE


def test_a_compiled_step_is_compiled_once_and_serves_the_next_block(keeps_constants: None) -> None:
    model, optimizer = net(), sgd()
    optimizer.build(model.trainable_variables)  # else TensorFlow traces twice, the first time to make the variables
    traced = []
    first = scheduled(optimizer, scheds(SGD), steps=5)

    def update(*arguments: Any) -> Any:
        traced.append(1)
        return own(first)(*arguments)

    with first:
        step = compiled_step(model, optimizer, first, update=update)
        for number in range(3):
            step(first.window(), number)
    with first:
        for number in range(3, 6):
            step(first.window(), number)
    fives = values(SGD, 5)
    expected = by_hand(sgd, {name: np.tile(of[:3], 2) for name, of in fives.items()}, 6)
    assert largest_difference(expected, model.get_weights()) < TOLERANCE
    assert len(traced) == 1


@LONGER
def test_a_compiled_step_past_the_end_keeps_the_value_there() -> None:
    model, optimizer = net(), sgd()
    with scheduled(optimizer, scheds(SGD), steps=4) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(7):
            step(s.window(), number)
    assert largest_difference(by_hand(sgd, values(SGD, 4), 7), model.get_weights()) < TOLERANCE


def test_a_compiled_step_without_a_window_is_refused(keeps_constants: None) -> None:
    model, optimizer = net(), sgd()
    optimizer.build(model.trainable_variables)
    before = model.get_weights()

    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s, update=lambda _, *arguments: own(optimizer)(*arguments))
        with pytest.raises(RuntimeError, match=r"`scheduled` found a compiled step .* `s.window\(\)`"):
            step(s.window(), 0)
    assert largest_difference(before, model.get_weights()) == 0
    assert "apply" not in vars(optimizer)


def test_a_compiled_step_under_a_loss_scale() -> None:
    def make() -> Any:
        return keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=16.0)

    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(STEPS):
            step(s.window(), number)
    assert largest_difference(by_hand(make, values(SGD)), model.get_weights()) < TOLERANCE


def test_a_compiled_step_with_accumulated_gradients() -> None:
    def make() -> keras.Optimizer:
        return sgd(gradient_accumulation_steps=3)

    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(STEPS):
            step(s.window(), number)
    assert largest_difference(by_hand(make, values(SGD)), model.get_weights()) < TOLERANCE


def test_a_compiled_step_with_parameter_groups() -> None:
    rates = {"lr": [SchedCos(0.1, 0.01), SchedCos(0.002, 0.05)], "mom": SchedCos(0.95, 0.5)}
    (model, optimizer), (eager, other) = (net(), sgd()), (net(), sgd())
    with scheduled(other, rates, steps=STEPS, groups=[["body"], ["head"]]):
        for number in range(STEPS):
            apply(other, eager, number)
    with scheduled(optimizer, rates, steps=STEPS, groups=[["body"], ["head"]]) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(STEPS):
            step(s.window(), number)
    assert largest_difference(eager.get_weights(), model.get_weights()) < TOLERANCE


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="Keras has it since 3.15")
def test_a_compiled_step_of_a_multi_optimizer() -> None:
    def make() -> Any:
        inner = keras.optimizers.OptimizerMap(sgd(), {".*body/.*": adam()})
        return keras.optimizers.MultiOptimizer(inner)

    rates = {"learning_rate": (0.1, 0.01)}
    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(rates), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s)
        for number in range(STEPS):
            step(s.window(), number)
    eager, other = net(), make()
    with scheduled(other, scheds(rates), steps=STEPS):
        for number in range(STEPS):
            apply(other, eager, number)
    assert largest_difference(eager.get_weights(), model.get_weights()) < TOLERANCE


def test_a_window_from_outside_the_step_is_refused(keeps_constants: None) -> None:
    model, optimizer = net(), sgd()
    s = scheduled(optimizer, scheds(SGD), steps=STEPS)

    with s:
        step = compiled_step(model, optimizer, s, update=lambda _, *arguments: own(s)(s.window(), *arguments))
        with pytest.raises(RuntimeError, match=r"`scheduled` found a compiled step that makes its own window"):
            step(None, 0)
        from_outside = s.window()
        with pytest.raises(RuntimeError, match=r"`scheduled` found a compiled step that makes its own window"):
            step(None, 0)
        step = compiled_step(model, optimizer, s, update=lambda _, *arguments: own(s)(from_outside, *arguments))
        with pytest.raises(RuntimeError, match=r"has its window from outside.* make `s.window"):
            step(None, 0)


def test_a_compiled_step_without_a_window_is_refused_on_pytorch_or_runs_uncompiled(backend: str) -> None:
    if backend != "torch":
        pytest.skip("elsewhere it is always refused")
    model, optimizer = net(), sgd()
    done = 0
    with contextlib.suppress(RuntimeError), scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s, update=lambda _, *arguments: optimizer.apply(*arguments))
        for number in range(STEPS):
            step(None, number)
            done += 1
    assert len(s.hps["momentum"]) == done
    assert largest_difference(by_hand(sgd, values(SGD), done), model.get_weights()) < TOLERANCE


def test_a_window_serves_an_eager_loop_too(case: Any) -> None:
    make, ranges = case
    model, optimizer = net(), make()
    with scheduled(optimizer, scheds(ranges), steps=STEPS) as s:
        for step in range(STEPS):
            found = gradients(model, *batch(step))
            with without_gradients():
                s.apply(s.window(), found, model.trainable_variables)
        assert len(s.hps["learning_rate"]) == STEPS
    assert largest_difference(by_hand(make, values(ranges)), model.get_weights()) < TOLERANCE


def test_a_block_inside_a_compiled_step_is_refused(backend: str) -> None:
    if backend != "tensorflow":
        pytest.skip("elsewhere nothing tells the block, and the update in it is refused")
    import tensorflow as tf

    @tf.function
    def step() -> None:
        with scheduled(sgd(), scheds(SGD), steps=STEPS):
            pass

    with pytest.raises(RuntimeError, match=r"inside a compiled step"):
        step()


def test_a_step_compiled_with_the_usual_compiler_of_pytorch(backend: str) -> None:
    if backend != "torch":
        pytest.skip("`torch.compile` is PyTorch's")
    model, optimizer = net(), sgd()
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s, backend="inductor")
        for number in range(STEPS):
            step(s.window(), number)
    assert largest_difference(by_hand(sgd, values(SGD)), model.get_weights()) < TOLERANCE


def test_a_window_is_of_no_use_outside_the_block() -> None:
    s = scheduled(sgd(), scheds(SGD), steps=STEPS)
    with pytest.raises(RuntimeError, match="inside `with`"):
        s.window()
    with pytest.raises(RuntimeError, match="inside `with`"):
        s.apply((), [], [])
    with pytest.warns(UserWarning, match="nothing was scheduled"):
        del s


def test_a_window_that_was_left_out_is_asked_for() -> None:
    model, optimizer = net(), sgd()
    before, grads = model.get_weights(), [keras.ops.ones(each.shape) for each in model.trainable_variables]
    state = [each.value for each in optimizer.variables]
    weights = [each.value for each in model.trainable_variables]
    with contextlib.suppress(KeyError), scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        for wrong in ((grads, model.trainable_variables), (s.window()[0], grads), (None, grads), ((), grads)):
            with pytest.raises(
                TypeError, match=r"no window as the first .*`s\.apply\(window, grads, .*`s\.window\(\)`"
            ):
                s.apply(*wrong)
        said = (
            r"no window as the first .*`s\.stateless_apply\(window, optimizer_variables, grads, trainable_variables\)`"
        )
        with pytest.raises(TypeError, match=said):
            s.stateless_apply(state, grads, weights)
        with pytest.raises(TypeError, match=r"no `trainable_variables` for `s\.stateless_apply`"):
            s.stateless_apply(s.window(), state, grads)
        raise KeyError  # so that the loop need not make a step
    assert int(optimizer.iterations.numpy()) == 0
    assert largest_difference(before, model.get_weights()) == 0


def test_a_window_that_a_compiled_step_leaves_out_is_asked_for(backend: str) -> None:
    model, optimizer = net(), sgd()
    with contextlib.suppress(KeyError), scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        update = s.stateless_apply if backend == "jax" else s.apply
        step = compiled_step(model, optimizer, s, update=lambda _, *rest: update(*rest))
        with pytest.raises(TypeError, match="no window as the first"):
            step(s.window(), 0)
        raise KeyError


def test_a_loop_that_could_not_begin_is_told_of_once() -> None:
    taken = sgd()
    with contextlib.suppress(KeyError), scheduled(taken, scheds(SGD), steps=STEPS):
        second = scheduled(taken, scheds(SGD), steps=STEPS)
        with pytest.raises(RuntimeError, match="an optimizer inside `scheduled`"), second:
            pass
        del second  # which warns of nothing
        raise KeyError  # so that the loop need not make a step


def test_a_step_compiled_by_xla_on_tensorflow(backend: str) -> None:
    if backend != "tensorflow":
        pytest.skip("`tf.function(jit_compile=True)` is TensorFlow's")
    model, optimizer = net(), sgd()
    optimizer.build(model.trainable_variables)
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        step = compiled_step(model, optimizer, s, jit_compile=True)
        for number in range(STEPS):
            step(s.window(), number)
    assert largest_difference(by_hand(sgd, values(SGD)), model.get_weights()) < TOLERANCE


def functional(s: Any, model: keras.Model, optimizer: Any, state: Any, steps: range, *, jitted: bool) -> Any:
    """A loop on JAX whose state is in no variable: gradients at step 3 are infinite."""
    import jax

    window = s.window(state[1]) if jitted else None
    update = s.stateless_apply if jitted else lambda _, *a: optimizer.stateless_apply(*a)

    def step(window: Any, state: Any, x: Any, y: Any, factor: Any) -> Any:
        trainable, of_optimizer = state
        found = jax_gradients(model, trainable, x, y, _scale(optimizer, of_optimizer))
        return update(window, of_optimizer, [each * factor for each in found], trainable)

    step = jax.jit(step) if jitted else step
    for number in steps:
        state = step(window, state, *batch(number), np.float32(np.inf if number == 3 else 1.0))
    return state


@pytest.mark.parametrize("jitted", [True, False], ids=["jitted", "eager"])
def test_a_loop_that_keeps_the_state_outside_the_variables(backend: str, jitted: bool) -> None:
    if backend != "jax":
        pytest.skip("`stateless_apply` is for JAX")

    def make() -> Any:
        return keras.optimizers.LossScaleOptimizer(sgd(), initial_scale=1.0)

    model, optimizer = net(), make()
    optimizer.build(model.trainable_variables)
    state = [v.value for v in model.trainable_variables], [v.value for v in optimizer.variables]
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:
        state = functional(s, model, optimizer, state, range(6), jitted=jitted)
        if not jitted:
            assert len(s.hps["momentum"]) == 5, "one of the six was skipped"
    with s:  # begins anew, though the optimizer's own variables know of no step
        trainable, _ = functional(s, model, optimizer, state, range(6, 9), jitted=jitted)
    control, by_hand_optimizer = net(), make()
    for step, row in enumerate([0, 1, 2, 3, 3, 4, 0, 1, 2]):
        set_by_hand(by_hand_optimizer.inner_optimizer, values(SGD), row)
        with_an_infinite_gradient(3, by_hand_optimizer, control, step)
    assert largest_difference(control.get_weights(), arrays(trainable)) < TOLERANCE


def test_a_loop_compiled_whole_with_scan(backend: str) -> None:
    if backend != "jax":
        pytest.skip("`lax.scan` is JAX'")
    import jax

    model, optimizer = net(), sgd()
    optimizer.build(model.trainable_variables)
    state = [v.value for v in model.trainable_variables], [v.value for v in optimizer.variables]
    xs, ys = (np.stack(of) for of in zip(*map(batch, range(STEPS)), strict=True))
    with scheduled(optimizer, scheds(SGD), steps=STEPS) as s:

        @jax.jit
        def whole(window: Any, state: Any) -> Any:
            def step(state: Any, pair: Any) -> Any:
                found = jax_gradients(model, state[0], *pair, lambda loss: loss)
                return s.stateless_apply(window, state[1], found, state[0]), None

            return jax.lax.scan(step, state, (xs, ys))[0]

        trainable, _ = whole(s.window(), state)
    assert largest_difference(by_hand(sgd, values(SGD)), arrays(trainable)) < TOLERANCE


# What no step received


def plain_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def test_a_step_that_was_compiled_before_is_an_error_and_no_value_is_told(backend):
    if backend == "torch":
        pytest.skip("nothing is compiled: there `fit` takes the values")
    model, data = plain_model(), np.ones((8, 3), "float32")
    model.fit(data, data[:, :1], verbose=0)
    loop = scheduled(model.optimizer, {"lr": SchedLin(0.5, 0.1)}, steps=4)
    with pytest.raises(RuntimeError, match=r"took none of its values.*ParamScheduler"), loop:
        model.fit(data, data[:, :1], verbose=0)
    assert loop.hps["lr"].size == 0
    model.fit(data, data[:, :1], verbose=0)


def test_a_first_fit_in_a_loop_ends_with_the_error_that_says_what_to_do(backend):
    if backend == "torch":
        pytest.skip("nothing is compiled: there `fit` takes the values")
    model, data = plain_model(), np.ones((8, 3), "float32")
    loop = scheduled(model.optimizer, {"lr": SchedLin(0.5, 0.1)}, steps=4)
    method = {"jax": "stateless_apply"}.get(backend, "apply")
    said = rf"compiled step that calls the optimizer itself.*ParamScheduler.*argument, for `s.{method}\(window"
    with pytest.raises(RuntimeError, match=said), loop:
        model.fit(data, data[:, :1], verbose=0)


def test_a_loop_that_was_never_entered_has_used_nothing():
    loop = scheduled(keras.optimizers.SGD(), {"lr": SchedLin(0.5, 0.1)}, steps=4)
    with pytest.raises(RuntimeError, match="found no loop yet"):
        _ = loop.hps
    with pytest.warns(UserWarning, match="`no with`; nothing was scheduled"):
        del loop
