"""README's table, of those that `python -m benchmarks --out FOLDER` has kept: `python -m benchmarks.summary FOLDER`."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
MODELS = ("small MLP", "deep MLP", "small ConvNet")
PEERS = ("fastai", "torch-lr-finder", "Lightning")


def read(folder: Path, name: str, backend: str) -> dict[str, Any]:
    """What one benchmark told on one backend."""
    lines = (folder / f"{name}-{backend}.txt").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[-1])


def rows_of(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{what the row is about: the row}."""
    return {str(next(iter(row.values()))): row for row in record["rows"]}


def step(variant: str) -> Callable[[Path, str], str]:
    """The ratios of one variant's steps to those of plain `fit`, of each model."""

    def cell(folder: Path, backend: str) -> str:
        rows = rows_of(read(folder, "step_overhead", backend))
        return " · ".join(f"{rows[f'{model}, {variant}']['ratio to plain']:.2f}" for model in MODELS)

    return cell


def traces(folder: Path, backend: str) -> str:
    """How often the steps of a search and three scheduled fits were traced."""
    if backend == "torch":
        return "nothing is compiled"
    rows = rows_of(read(folder, "compiles", backend))
    return str(sum(row["calls in Python"] for name, row in rows.items() if "plain" not in name))


def search(folder: Path, backend: str) -> str:
    """The ratios of a search to as many plain batches, of each model."""
    rows = rows_of(read(folder, "lr_find", backend))
    ratios = (rows[f"{model}, keras_sched"]["ratio to plain batches"] for model in MODELS[:2])
    return " · ".join(f"{ratio:.2f}" for ratio in ratios)


def milliseconds(folder: Path, backend: str) -> str:
    """A search of the small model."""
    return f"{rows_of(read(folder, 'lr_find', backend))['small MLP, keras_sched']['ms']:.0f} ms"


def peers(folder: Path) -> str:
    """The others' searches of the same network, in the process of the backend that is named first."""
    rows = rows_of(read(folder, "lr_find", next(iter(BACKENDS))))
    found = {peer: rows.get(f"small MLP, {peer}") for peer in PEERS}
    return ", ".join(f"{peer} {row['ms']:.0f}" for peer, row in found.items() if row is not None)


def table(folder: Path) -> str:
    """The table, in Markdown."""
    lines: dict[str, Callable[[Path, str], str]] = {
        "a step of `OneCycle` (small MLP · 60 layers · ConvNet)": step("OneCycle"),
        "a step with the callback people write by hand": step("by hand"),
        "traces of `lr_find` and three scheduled fits together": traces,
        "`lr_find` against as many plain batches (small MLP · 60 layers)": search,
        f"`lr_find`, 100 batches of the small MLP (in ms: {peers(folder)})": milliseconds,
    }
    heads = [" ", *BACKENDS.values()]
    body = [[name, *(cell(folder, backend) for backend in BACKENDS)] for name, cell in lines.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *body])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(table(parser.parse_args().folder))


if __name__ == "__main__":
    main()
