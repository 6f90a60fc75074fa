"""How much is lost at the rate that a suggestion names: `python -m benchmarks.regret`, about fifteen minutes on a core.

Every task is trained for one cycle with every optimizer and length, from several seeds, at every rate of a grid; that
says what each rate is worth. Beside it `lr_find` searches, from several seeds too, and each suggestion names a rate.
Its regret is (loss + f) / (best loss + f), of validation losses, where f is 2% of the untrained loss.

Rules are chosen on the development half of the tasks, and judged on the test half. JAX only.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.regret.picture import draw
from benchmarks.regret.regrets import COLUMNS, tell
from benchmarks.regret.rules import RULES, WITHOUT_SEARCH
from benchmarks.regret.sweeps import swept
from benchmarks.regret.tasks import DEVELOPMENT, OPTIMIZERS, TEST
from benchmarks.side_by_side import report

HALVES = {"development": DEVELOPMENT, "test": TEST}
RATES = 10.0 ** np.arange(-5, 1.01, 0.25)
SEEDS = 5


def measure_all(tasks: int | None, seeds: int, rates: np.ndarray, keep: Path | None) -> dict[str, Any]:
    """Every task with every optimizer, or the first few tasks of each half."""
    from benchmarks.regret.curves import measure  # needs JAX

    record: dict[str, Any] = {"rates": [float(f"{rate:.5g}") for rate in rates], **{half: [] for half in HALVES}}
    for half, listed in HALVES.items():
        for task in listed[:tasks]:
            began = time.perf_counter()
            record[half] += [measure(task, optimizer, rates, seeds) for optimizer in OPTIMIZERS]
            print(f"{time.perf_counter() - began:6.1f} s  {task.name}", file=sys.stderr, flush=True)
            if keep is not None:
                keep.write_text(_lines(record), encoding="utf-8")
    return record


def print_tables(record: dict[str, Any]) -> None:
    """One table a half."""
    rates = np.array(record["rates"])
    for half in HALVES:
        named = {name: tell(rule, record[half], rates) for name, rule in RULES.items()}
        named["sweep"] = tell(RULES["found.lr"], record[half], rates, sweeps=swept)
        named |= {name: tell(rule, record[half], rates, searches=False) for name, rule in WITHOUT_SEARCH.items()}
        tasks = len({measured["task"] for measured in record[half]})
        cells = len(next(iter(named.values())).regrets)
        rows = [[name, *told.row()] for name, told in named.items()]
        report(f"regret, {half} half", COLUMNS, rows, tasks=tasks, suggestions_judged=cells)
        report(f"regret of halfway by task, {half} half", ["task", "median", "worst"], by_task(record[half], rates))


def by_task(all_measured: list[dict[str, Any]], rates: np.ndarray) -> list[list[Any]]:
    """The median and the worst regret of `halfway`, of each task."""
    rows: list[list[Any]] = []
    for task in dict.fromkeys(measured["task"] for measured in all_measured):
        of_task = [measured for measured in all_measured if measured["task"] == task]
        regrets = tell(RULES["halfway"], of_task, rates).regrets
        rows.append([task, float(np.median(regrets)), max(regrets)])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two tasks of each half, three seeds: two minutes")
    parser.add_argument("--keep", type=Path, help="a file for what was measured, as JSON")
    parser.add_argument("--read", type=Path, help="a file that --keep wrote: its tables, without measuring again")
    parser.add_argument(
        "--picture", type=Path, help="a file for the picture of one search and what its rates are worth"
    )
    options = parser.parse_args()
    if options.read is not None:
        record = json.loads(options.read.read_text(encoding="utf-8"))
    else:
        quick = (2, 3, RATES[::2]) if options.quick else (None, SEEDS, RATES)
        record = measure_all(*quick, options.keep)
    print_tables(record)
    if options.picture is not None:
        draw(record, options.picture)


def _lines(record: dict[str, Any]) -> str:
    """JSON with one line for each task and optimizer."""
    halves = [
        f'"{half}": [\n' + ",\n".join(json.dumps(each, separators=(",", ":")) for each in record[half]) + "\n]"
        for half in HALVES
    ]
    return "{" + ",\n".join([f'"rates": {json.dumps(record["rates"])}', *halves]) + "}\n"


if __name__ == "__main__":
    main()
