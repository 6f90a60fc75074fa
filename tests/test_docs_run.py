"""What the documentation shows, runs: the examples of every public name, README.md and the tutorials' pages."""

import re
from pathlib import Path
from typing import Any

import documents
import pytest
from test_surface import SIGNATURES

import keras_sched

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "tutorials").glob("*.md"))]
# How many Python blocks each page has. A page that loses its code, or gains some that does not run, must say so here.
BLOCKS = {
    "README.md": {"run": 6},
    "docs/index.md": {"run": 1},
    "docs/reference.md": {},
    "tutorials/custom_loops.md": {"run": 6},
    "tutorials/distributed.md": {"not run": 8},
    "tutorials/from_fastai.md": {"run": 7},
    "tutorials/from_keras.md": {"run": 10},
    "tutorials/from_pytorch_and_hf.md": {"run": 4},
    "tutorials/how_good.md": {"run": 2},
    "tutorials/integrations.md": {"run": 3, "needs": 6},
    "tutorials/which_schedule.md": {"run": 8},
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_python_block_of_a_page_runs(page, backend, run_script):
    assert documents.run_page(page, backend, run_script) == BLOCKS[page.relative_to(ROOT).as_posix()]


def test_the_readme_promises_the_losses_that_its_first_block_ends_with():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = documents.blocks(page)[0].code
    told = [float(number) for number in re.search(r"# above ([\d.]+), and below ([\d.]+)", code).groups()]
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(code, names)  # noqa: S102 - our own page
    found = [names[model].evaluate(names["x"], names["y"], verbose=0) for model in ("plain", "model")]
    assert found[0] > told[0]
    assert found[1] < told[1]


def test_every_page_that_is_counted_is_there():
    assert sorted(BLOCKS) == sorted(page.relative_to(ROOT).as_posix() for page in PAGES)


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_public_name_has_an_example_and_it_runs(name):
    assert documents.run_docstring(name, getattr(keras_sched, name)) > 0


def test_a_block_that_fails_fails_its_page_and_names_the_line(tmp_path, run_script):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```python\nx = 1\n```\n\n```python\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as failure:
        documents.run_page(page, "jax", run_script)
    assert failure.traceback[-1].lineno + 1 == 8


def test_a_block_that_fails_in_its_own_process_fails_its_page(tmp_path, run_script):
    page = tmp_path / "page.md"
    page.write_text("<!-- own process -->\n```python\n1 / 0\n```\n")
    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        documents.run_page(page, "jax", run_script)


def test_blocks_are_counted_by_what_is_done_with_them(tmp_path, run_script):
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nx = 1\n```\n"
        "```bash\nexit 1\n```\n"
        "<!-- only on: torch, tensorflow -->\n```python\n1 / 0\n```\n"
        "<!-- not run: it needs two machines -->\n```python\n1 / 0\n```\n"
        "<!-- needs: optuna -->\n```python\n1 / 0\n```\n"
    )
    assert documents.run_page(page, "jax", run_script) == {"run": 2, "not run": 1, "needs": 1}


@pytest.mark.parametrize("mark", ["not run", "not run:", "needs:", "skip"])
def test_a_block_is_left_out_only_with_a_reason(mark):
    (block,) = documents.blocks(f"<!-- {mark} -->\n```python\nx = 1\n```\n")
    with pytest.raises(ValueError, match="line 2: the comment above a block"):
        _ = block.kind


def test_an_example_that_prints_something_else_fails():
    def example():
        """
        >>> 1 + 1
        3
        """

    with pytest.raises(AssertionError, match="Expected:\n    3\nGot:\n    2"):
        documents.run_docstring("example", example)


def test_the_examples_of_a_class_and_of_its_methods_are_counted_together():
    class Example:
        """
        >>> 1 + 1
        2
        """

        def method(self):
            """
            >>> 2 + 2
            4
            >>> 3 + 3
            6
            """

    assert documents.run_docstring("Example", Example) == 3
