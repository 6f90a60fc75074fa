"""Makes what the tutorials keep: the pictures of `which_schedule.md`, and the outputs of the notebooks.

    python tutorials/make.py              everything
    python tutorials/make.py pictures 03  only the pictures, and the notebooks whose names begin with 03

It needs this package with its extras `test` and `jax`: the kept outputs are those of JAX. Each notebook remembers a
digest of the code its outputs came from, and each picture one of the values it shows, so that the tests can tell when
either is stale.

A notebook also gets the line that installs the package, and a badge that opens it in Colab. Both take the repository's
address from `[project.urls]` in pyproject.toml. While none stands there, the line installs the clone that the notebook
is in, and there is no badge: Colab could not find the file.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from keras_sched import (
    flat_cos,
    inverse_sqrt,
    one_cycle,
    plot_sched,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_linear,
    warmup_stable_decay,
)

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
NOTEBOOKS = sorted(HERE.glob("[0-9][0-9]_*.ipynb"))
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT.get("urls", {}).get("Repository")

# What each picture shows: recipes at one highest rate, as `which_schedule.md` has them.
RECIPES = {
    "one_cycle": one_cycle(1e-2),
    "flat_cos": flat_cos(1e-2),
    "warmup_cosine": warmup_cosine(1e-2),
    "warmup_linear": warmup_linear(1e-2),
    "warmup_stable_decay": warmup_stable_decay(1e-2),
    "inverse_sqrt": inverse_sqrt(1e-2, lr_final=1e-2 * 0.05**0.5),
    "sgdr": sgdr(1e-2, n_cycles=3),
    "triangular": triangular(1e-3, 1e-2, n_cycles=4),
    "triangular2": triangular(1e-3, 1e-2, n_cycles=4, mode="triangular2"),
    "exp_range": triangular(1e-3, 1e-2, n_cycles=4, mode="exp_range"),
}


def digest_of_values(*recipes: dict[str, Any]) -> str:
    """A digest of the values of recipes at 101 positions, to five digits."""
    values = [annealer(np.linspace(0, 1, 101)) for recipe in recipes for annealer in recipe.values()]
    return hashlib.sha256(" ".join(f"{value:.5g}" for each in values for value in each).encode()).hexdigest()


def digest_of_code(notebook: dict[str, Any]) -> str:
    """A digest of all code cells of a notebook."""
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


def make_pictures() -> None:
    """Draw every picture of `which_schedule.md`."""
    PICTURES.mkdir(exist_ok=True)
    _save("recipes", _overview(), digest_of_values(*RECIPES.values()), dpi=72)
    for name, recipe in RECIPES.items():
        _save(name, plot_sched(recipe, epochs=7 if name == "sgdr" else 10), digest_of_values(recipe))


def _overview() -> Figure:
    figure, axes = plt.subplots(2, 5, figsize=(12, 3.8), sharex=True, sharey=True, layout="constrained")
    positions = np.linspace(0, 1, 2001)
    for ax, (name, recipe) in zip(axes.flat, RECIPES.items(), strict=True):
        ax.plot(positions, recipe["lr"](positions), color="#0072B2", linewidth=2)
        ax.set_title(name, loc="left", fontsize=10)
        ax.grid(alpha=0.25, linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("position: 0 is the first batch, 1 the end of training", fontsize=10)
    figure.supylabel("lr", fontsize=10)
    return figure


def _save(name: str, figure: Figure, digest: str, dpi: int = 100) -> None:
    figure.savefig(PICTURES / f"{name}.png", dpi=dpi, metadata={"Values": digest, "Software": None})
    plt.close(figure)


CLONE = ", from the clone that this notebook is in"
"""What a notebook says of the line that installs, while that has no address."""


def install_line(repository: str | None) -> str:
    """What the first code cell of a notebook types where the package is missing."""
    return "%pip install -q .." if repository is None else f'%pip install -q "keras-sched @ git+{repository}"'


def badge(repository: str | None, name: str) -> str | None:
    """The Markdown that opens a notebook in Colab; `None` where Colab could not find it."""
    _, _, place = (repository or "").removesuffix(".git").partition("github.com/")
    if not place:
        return None
    colab = "https://colab.research.google.com"
    picture = f"[![Open in Colab]({colab}/assets/colab-badge.svg)]"
    return f"{picture}({colab}/github/{place}/blob/main/tutorials/{name})"


def with_address(notebook: dict[str, Any], name: str, repository: str | None) -> dict[str, Any]:
    """A notebook with its badge and its line that installs, as the repository's address has them."""
    first, *cells = notebook["cells"]
    lines = "".join(first["source"]).split("\n")
    if lines[0].startswith("[![Open in Colab]"):
        lines = lines[2:]
    marked = badge(repository, name)
    text = "\n".join([marked, "", *lines] if marked else lines)
    text = re.sub(f"(where it is missing)({CLONE})?", rf"\1{'' if repository else CLONE}", text)
    first = {**first, "source": text.splitlines(keepends=True)}
    code = next(cell for cell in cells if cell["cell_type"] == "code")
    source = re.sub(r"(?m)^    %pip install .*$", lambda _: f"    {install_line(repository)}", "".join(code["source"]))
    changed = {**code, "source": source.splitlines(keepends=True)}
    return {**notebook, "cells": [first, *(changed if cell is code else cell for cell in cells)]}


# What TensorFlow's C++ says of itself on being imported, in whatever environment has it too.
NOISE = re.compile(r"WARNING: All log messages before absl::InitializeLog|^[IWE]\d{4} .*\.cc:\d+\]")


def make_outputs(path: Path) -> None:
    """Run a notebook in an empty folder, and keep its outputs in it."""
    import nbformat
    from nbclient import NotebookClient

    written = with_address(json.loads(path.read_text(encoding="utf-8")), path.name, REPOSITORY)
    notebook = nbformat.reads(json.dumps(written), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=600, resources=resources, record_timing=False)
        client.execute(env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _joined([output for output in cell.outputs if not _is_noise(output)])
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    kept = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(kept | {"keras_sched": {"code": digest_of_code(notebook)}})
    nbformat.write(notebook, path)


def _joined(outputs: list[Any]) -> list[Any]:
    """Outputs with what was printed in one piece: into how many a kernel cuts it is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _is_noise(output: Any) -> bool:
    if output.get("name") != "stderr":
        return False
    said = [line for line in output["text"].splitlines() if line.strip() and not NOISE.search(line)]
    if said:
        raise RuntimeError("A cell complained:\n" + "\n".join(said))
    return True


if __name__ == "__main__":
    mpl.use("agg")
    wanted = sys.argv[1:]
    if not wanted or "pictures" in wanted:
        make_pictures()
    for notebook_path in NOTEBOOKS:
        if not wanted or notebook_path.name.startswith(tuple(wanted)):
            print(notebook_path.name)
            make_outputs(notebook_path)
