"""What a scheduled step costs: OneCycle beside plain `fit`, Keras' own schedule and the callback people write by hand.

A model with dropout has schedules of other keys than the optimizer's too: its dropouts' rate and its loss' weight.

Each variant trains its own copy of the model; the epochs of all are interleaved, and each round gives one ratio.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras

from benchmarks.models import BATCH, MODELS, data_for, dropout_mlp
from benchmarks.side_by_side import interleaved, median_and_spread, ratios, report
from keras_sched import OneCycle, ParamScheduler, SchedCos, SchedLin, one_cycle


class ByHand(keras.callbacks.Callback):
    """Sets the rate and Adam's beta_1 before each batch, from a table made beforehand."""

    def __init__(self, total: int) -> None:
        super().__init__()
        scheds = one_cycle(1e-3)
        self.rates = [scheds["lr"](i / total) for i in range(total)]
        self.betas = [scheds["mom"](i / total) for i in range(total)]
        self.step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set both."""
        self.model.optimizer.learning_rate = self.rates[self.step]
        self.model.optimizer.beta_1 = self.betas[self.step]
        self.step += 1


class SecondEpoch(keras.callbacks.Callback):
    """Times the second of two epochs: the first has what is done once a fit."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stop it."""
        self.seconds = time.perf_counter() - self.began


def batches_in(seconds: float, make: Callable[[], keras.Model]) -> int:
    """How many plain batches take about so long, in tens: from 20 to 1,000."""
    model = make()
    model.compile("adam", loss="mse")
    x, y = data_for(model, 20)
    timer = SecondEpoch()
    model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[timer])
    return 10 * min(max(round(2 * seconds / timer.seconds), 2), 100)


def measure(
    make: Callable[[], keras.Model], batches: int, rate: Any, callbacks: Callable[[], list[Any]]
) -> Callable[[], float]:
    """A measure of one variant's seconds a step, warm."""
    model = make()
    model.compile(keras.optimizers.Adam(rate), loss="mse", loss_weights=[1.0])
    x, y = data_for(model, batches)

    def seconds_a_step() -> float:
        timer = SecondEpoch()
        # The timer stands first: its clock starts before the others' hooks of an epoch, and stops before them too.
        model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[timer, *callbacks()])
        return timer.seconds / batches

    seconds_a_step()
    return seconds_a_step


def variants(make: Callable[[], keras.Model], batches: int) -> dict[str, Callable[[], float]]:
    """{variant: its measure}, of schedules of the optimizer."""
    total = 2 * batches
    cosine = keras.optimizers.schedules.CosineDecay(1e-3, total)
    return {
        "plain fit": measure(make, batches, 1e-3, list),
        "OneCycle": measure(make, batches, 1e-3, lambda: [OneCycle(1e-3)]),
        "CosineDecay": measure(make, batches, cosine, list),
        "by hand": measure(make, batches, 1e-3, lambda: [ByHand(total)]),
    }


def other_keys(make: Callable[[], keras.Model], batches: int) -> dict[str, Callable[[], float]]:
    """{variant: its measure}, of schedules of what stands beside the optimizer."""
    keys = {"dropout*.rate": SchedLin(0.5, 0.1), "loss_weights.0": SchedCos(1.0, 0.5)}
    return {
        "plain fit": measure(make, batches, 1e-3, list),
        "OneCycle": measure(make, batches, 1e-3, lambda: [OneCycle(1e-3)]),
        "dropout and loss weight": measure(make, batches, 1e-3, lambda: [ParamScheduler(keys)]),
        "one cycle, dropout and loss weight": measure(
            make, batches, 1e-3, lambda: [ParamScheduler({**one_cycle(1e-3), **keys})]
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.1, help="of an epoch, about")
    of_each = {name: (make, variants) for name, make in MODELS.items()}
    of_each["MLP with Dropout"] = (dropout_mlp, other_keys)
    parser.add_argument("--model", action="append", choices=of_each, help="may be given more than once; all by default")
    options = parser.parse_args()
    rows: list[list[Any]] = []
    for name in options.model or of_each:
        make, measures = of_each[name]
        batches = batches_in(options.seconds, make)
        numbers = interleaved(measures(make, batches), options.rounds)
        against_plain = ratios(numbers, "plain fit")
        for variant, seconds in numbers.items():
            ratio, low, high = median_and_spread(against_plain[variant])
            rows.append([f"{name}, {variant}", batches, 1e3 * median_and_spread(seconds)[0], ratio, low, high])
    columns = ["model, variant", "batches an epoch", "ms a step", "ratio to plain", "lower quartile", "upper quartile"]
    report("step_overhead", columns, rows, goal="OneCycle at most 1.02, and below by hand")


if __name__ == "__main__":
    main()
