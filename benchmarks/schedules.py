"""Making the table of a million steps, and reading a rate off a long curve, beside others' ways where installed."""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks.side_by_side import interleaved, median_and_spread, report
from keras_sched import one_cycle, valley

STEPS = 1_000_000


def ours() -> float:
    """The rate and momentum of one cycle, a row a step."""
    began = time.perf_counter()
    positions = np.arange(STEPS) / STEPS
    for annealer in one_cycle(1e-2).values():
        annealer(positions)
    return time.perf_counter() - began


def stepped_fastai() -> float:
    """The annealers of fastai, called once a step; a hundredth of the steps, times a hundred."""
    from fastai.callback.schedule import combined_cos

    scheds = [combined_cos(0.25, 4e-4, 1e-2, 1e-7), combined_cos(0.25, 0.95, 0.85, 0.95)]
    began = time.perf_counter()
    for step in range(STEPS // 100):
        for sched in scheds:
            sched(step / STEPS)
    return 100 * (time.perf_counter() - began)


def stepped_torch() -> float:
    """The OneCycleLR of torch, stepped; a hundredth of the steps, times a hundred."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    optimizer.step()
    began = time.perf_counter()
    for _ in range(STEPS // 100):
        schedule.step()
    return 100 * (time.perf_counter() - began)


def mapped_optax() -> float:
    """The one-cycle schedule of optax under `vmap`, compiled beforehand."""
    import jax
    import optax

    steps = jax.numpy.arange(STEPS)
    table = jax.jit(jax.vmap(optax.cosine_onecycle_schedule(STEPS, 1e-2)))
    table(steps).block_until_ready()
    began = time.perf_counter()
    table(steps).block_until_ready()
    return time.perf_counter() - began


def searched(points: int) -> Callable[[], float]:
    """`valley` on a curve of so many points."""
    rates = np.logspace(-7, 1, points)
    noise = np.random.default_rng(0).normal(scale=0.01, size=points)
    losses = 2 - 1.5 / (1 + np.exp(-4 * (np.log10(rates) + 3))) + np.maximum(np.log10(rates) + 0.5, 0) ** 2 + noise

    def seconds() -> float:
        began = time.perf_counter()
        valley(rates, losses, points)
        return time.perf_counter() - began

    return seconds


def searched_by_fastai(points: int) -> Callable[[], float]:
    """The `valley` of fastai on such a curve; its cost is quadratic in the points."""
    import torch
    from fastai.callback.schedule import valley as theirs

    rates = torch.logspace(-7, 1, points)
    losses = 2 - 1.5 * torch.sigmoid(4 * (rates.log10() + 3)) + 0.01 * torch.randn(points)

    def seconds() -> float:
        began = time.perf_counter()
        theirs(rates, losses, points)
        return time.perf_counter() - began

    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    measures: dict[str, Callable[[], float]] = {"one_cycle, 1e6 steps: keras_sched": ours}
    if find_spec("optax"):
        measures["cosine_onecycle (rate alone), 1e6 steps: optax, vmap"] = mapped_optax
    if find_spec("torch"):
        measures["OneCycleLR, 1e6 steps: torch, stepped"] = stepped_torch
    if find_spec("fastai"):
        measures["combined_cos, 1e6 steps: fastai, stepped"] = stepped_fastai
        measures["valley, 2,000 points: fastai"] = searched_by_fastai(2_000)
    measures["valley, 2,000 points: keras_sched"] = searched(2_000)
    measures["valley, 100,000 points: keras_sched"] = searched(100_000)
    numbers = interleaved(measures, options.rounds)
    rows: list[list[Any]] = [[name, *median_and_spread(seconds)] for name, seconds in numbers.items()]
    report("schedules", ["what", "seconds", "lower quartile", "upper quartile"], rows)


if __name__ == "__main__":
    main()
