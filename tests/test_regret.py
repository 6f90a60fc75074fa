"""The benchmark of the suggestions: its kept tables are of the kept numbers, and the page tells what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "benchmarks" / "results" / "cpu"


def tables(printed):
    records = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return {record["benchmark"]: record["rows"] for record in records}


@pytest.fixture(scope="module")
def kept():
    return tables((KEPT / "regret.txt").read_text(encoding="utf-8"))


def same(row, other):
    numbers = {name: value for name, value in other.items() if isinstance(value, float)}
    words = {name: value for name, value in other.items() if name not in numbers}
    return {name: row[name] for name in words} == words and {name: row[name] for name in numbers} == pytest.approx(
        numbers, rel=1e-6
    )


def test_the_tables_kept_are_those_of_what_was_measured(kept):
    command = [sys.executable, "-m", "benchmarks.regret", "--read", str(KEPT / "regret.json")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    made = tables(printed)
    assert made.keys() == kept.keys()
    for name, rows in kept.items():
        assert all(same(row, other) for row, other in zip(made[name], rows, strict=True)), name


@pytest.mark.parametrize("half", ["development", "test"])
def test_what_is_suggested_by_default_loses_the_least_of_one_shot_rules(half, kept):
    rows = {row["rate from"]: row for row in kept[f"regret, {half} half"]}
    others = [name for name in rows if name not in {"found.lr", "halfway", "sweep"} and not name.startswith("best of")]
    assert len(others) == 10
    for column in ("median regret", "p90 regret"):
        assert rows["halfway"][column] < min(rows[name][column] for name in others)


def lines_of_the_page(cells):
    """Those of its table that has so many cells in a line."""
    page = (ROOT / "tutorials" / "how_good.md").read_text(encoding="utf-8")
    lines = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines if len(line) == cells][1:]


def test_the_page_tells_the_numbers_of_the_table(kept):
    told = lines_of_the_page(8)
    rows = kept["regret, test half"]
    assert [line[0].strip("`") for line in told] == [row["rate from"] for row in rows]
    for line, row in zip(told, rows, strict=True):
        assert line[1:3] == [f"{row['median regret']:.2f}", f"{row['p90 regret']:.2f}"]
        assert line[4:] == [row["above 2"], row["diverged"], row["no answer"], row["trainings"]]


def test_a_sweep_loses_next_to_nothing_at_the_cost_of_four_trainings(kept):
    rows = {row["rate from"]: row for row in kept["regret, test half"]}
    assert rows["sweep"]["median regret"] <= 1.05
    assert rows["sweep"]["p90 regret"] <= 1.2
    assert float(rows["sweep"]["trainings"]) <= 4


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_page_tells_how_long_a_tuner_takes(place):
    backend = ("jax", "tensorflow", "torch")[place]
    rows = tables((KEPT / f"sweep-{backend}.txt").read_text(encoding="utf-8"))["sweep"]
    ratios = {row["what"]: f"{row['ratio to sweep']:.2g}" for row in rows}
    ways = ("KerasTuner, Hyperband", "KerasTuner, random search", "sweep in one round")
    expected = [" · ".join(ratios[f"small {model}, {way}"] for model in ("MLP", "ConvNet")) for way in ways]
    assert [line[1 + place] for line in lines_of_the_page(4)] == expected


BY_HAND = """
import numpy as np
from benchmarks.regret.regrets import Cell

# untrained 1, so that 0.02 is added to each loss; the best is 0.08 at 0.1
cell = Cell("by hand", "SGD", 3, 1.0, np.array([0.01, 0.1, 1.0]), np.array([0.28, 0.08, 10.0]))
print(round(cell.regret(0.1), 9), round(cell.regret(0.01), 9), round(cell.distance(0.01), 9))
# half-way between two rates of the grid, by their logarithms: between 0.3 and 0.1 lies the root of 0.03
print(round(cell.regret(10**-1.5), 6), round(3**0.5, 6))
print(cell.loss(1e-6) == cell.loss(0.01), cell.loss(1.5))
"""


def test_a_regret_worked_by_hand(run_script):
    printed = run_script(BY_HAND, env={"PYTHONPATH": str(ROOT)})
    assert printed.splitlines()[-3:] == ["1.0 3.0 -1.0", "1.732051 1.732051", "True 10.0"]
