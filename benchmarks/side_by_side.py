"""Measuring side by side in one process: interleaved rounds, medians and their spread, a table and a JSON line."""

import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def interleaved(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call each measure once a round, in an order that turns by one each round; the numbers of each."""
    names = list(measures)
    numbers: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            numbers[name].append(measures[name]())
    return numbers


def ratios(numbers: dict[str, list[float]], base: str) -> dict[str, list[float]]:
    """Each number against the base's of the same round, so that a slow minute of the machine counts for both."""
    return {name: [a / b for a, b in zip(of, numbers[base], strict=True)] for name, of in numbers.items()}


def median_and_spread(numbers: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the quartiles."""
    if len(numbers) < 2:
        return numbers[0], numbers[0], numbers[0]
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return middle, low, high


def machine() -> dict[str, str]:
    """Where the numbers come from."""
    packages = ["keras", "jax", "tensorflow", "tensorflow-cpu", "torch", "numpy", "keras-sched"]
    packages += ["fastai", "torch-lr-finder", "lightning", "optax"]  # beside which we are measured
    found = {name: _version(name) for name in packages}
    return {
        "backend": os.environ.get("KERAS_BACKEND", ""),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        **{name: number for name, number in found.items() if number},
    }


def report(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], **more: Any) -> None:
    """Print one table, and one line of JSON with the same rows."""
    where = machine()
    print(f"\n{name}: {', '.join(f'{key} {value}' for key, value in where.items() if value)}")
    texts = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *texts]) for i in range(len(columns))]
    for line in [list(columns), *texts]:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
    record = {
        "benchmark": name,
        "machine": where,
        "rows": [dict(zip(columns, row, strict=True)) for row in rows],
        **more,
    }
    print(json.dumps(record))
    sys.stdout.flush()


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
