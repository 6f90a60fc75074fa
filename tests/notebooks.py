"""The code of a notebook as plain Python, and what is kept of the outputs that it had."""

import ast
import base64
import contextlib
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAGIC = re.compile(r"(?m)^(\s*)%.*$")

Cell = dict[str, Any]


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The code cells of a notebook, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Run the code cells one after the other as a kernel would; yields each one's id and the text that it shows."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for cell in code_cells(notebook):
        code = ast.parse(MAGIC.sub(r"\1pass", "".join(cell["source"])), cell["id"])
        last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, cell["id"], "exec"), namespace)  # noqa: S102 - our own notebooks
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), namespace)  # noqa: S307 - the same
                if value is not None:
                    print(repr(value))  # noqa: T201 - a kernel shows the value in which a cell ends
        yield cell["id"], printed.getvalue()


def same_everywhere(cell: Cell) -> bool:
    """Whether the author marked the cell: its text does not depend on the backend, nor on the machine."""
    return cell["metadata"].get("keras_sched", {}).get("same_everywhere", False)


def kept_text(cell: Cell) -> str:
    """The text among a cell's outputs: what it printed, and the value in which it ends."""
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join("".join(text) for text in shown)


def kept_pictures(notebook: dict[str, Any]) -> list[bytes]:
    """The PNG files among a notebook's outputs."""
    data = [output.get("data", {}) for cell in code_cells(notebook) for output in cell["outputs"]]
    return [base64.b64decode("".join(each["image/png"])) for each in data if "image/png" in each]


def words(text: str) -> str:
    """A text without its spaces: a kernel breaks long values into lines."""
    return "".join(text.split())


if __name__ == "__main__":
    shown_by_cell = dict(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    print(json.dumps(shown_by_cell))  # noqa: T201 - for the process that asked
