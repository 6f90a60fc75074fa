"""The code that stands in the documentation: the Python blocks of a Markdown page, the examples of a docstring."""

import doctest
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FENCE = re.compile(r"(?ms)^(?:<!-- (?P<mark>[^\n]*?) -->\n+)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$")


@dataclass(frozen=True)
class Block:
    """One Python block: its code, the line it starts on, and what the comment above it says of running it."""

    code: str
    line: int
    mark: str

    @property
    def kind(self) -> str:
        """'run', 'own process', 'needs' or 'not run'; `only on: jax` has a block run on that backend alone.

        A block that needs packages which the suite has not is run where they are: by the tests marked `integrations`.
        """
        if self.mark.startswith("only on: ") or not self.mark:
            return "run"
        kind, _, reason = self.mark.partition(":")
        known = kind == "own process" or (kind in {"not run", "needs"} and reason.strip())
        if not known:
            expected = "`not run: why`, `needs: package`, `own process` or `only on: jax`"
            raise ValueError(f"line {self.line}: the comment above a block is {expected}, not `{self.mark}`")
        return kind

    def runs_on(self, backend: str) -> bool:
        """Whether the block is for this backend."""
        head, _, backends = self.mark.partition("only on: ")
        return bool(head) or not backends or backend in backends.replace(",", " ").split()


def blocks(page: str) -> list[Block]:
    """The Python blocks of a page, in order."""
    return [
        Block(found["code"], page.count("\n", 0, found.start("code")), found["mark"] or "")
        for found in FENCE.finditer(page)
        if found["language"] in {"python", "py"}
    ]


def run_page(path: Path, backend: str, run_script: Any) -> dict[str, int]:
    """Run a page's blocks one after the other in one namespace; how many there were of each kind.

    A block in a process of its own sees nothing of the others. Blocks for other backends count as run.
    """
    namespace = {"__name__": "__main__"}
    counts: dict[str, int] = {}
    for block in blocks(path.read_text(encoding="utf-8")):
        counts[block.kind] = counts.get(block.kind, 0) + 1
        if block.kind == "own process":
            run_script(block.code)
        elif block.kind == "run" and block.runs_on(backend):
            # The blank lines in front make a traceback name the page's own line.
            exec(compile("\n" * block.line + block.code, str(path), "exec"), namespace)  # noqa: S102 - our own pages
    return counts


def run_docstring(name: str, thing: object) -> int:
    """Run the examples of an object and of its methods, each docstring in its own namespace; how many there were.

    Raises:
        AssertionError: an example printed something else than it says; the message is doctest's report.
    """
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    said: list[str] = []
    count = 0
    for test in doctest.DocTestFinder(exclude_empty=True).find(thing, name, globs={"__name__": "__main__"}):
        count += len(test.examples)
        runner.run(test, out=said.append)
    if runner.failures:
        raise AssertionError("".join(said))
    return count
