"""The project's pages, commands and settings agree with each other and with the code."""

import functools
import importlib.util
import itertools
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_ci_runs_the_readmes_test_command_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if not line.startswith(("#", "set", "cd"))]
    assert commands == [line for line in _shell_lines("README.md") if "bin/tox " in line]


def test_the_readmes_other_command_runs_the_main_job():
    assert [line for line in _shell_lines("README.md") if line.endswith("-m keras_sched")]


def _shell_lines(page):
    blocks = re.findall(r"(?ms)^```bash\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"))
    return [line for block in blocks for line in block.splitlines()]


def test_the_version_is_the_same_wherever_it_stands():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"(?m)^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text())
    assert re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text())[0] == version


def test_the_hooks_run_the_tools_that_tox_runs():
    pinned = re.findall(r"(?m)^ruff==.*$", (ROOT / "constraints.txt").read_text())
    hooks = re.findall(r'"(ruff==[^"]+)"', (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(hooks) == set(pinned)


@functools.cache
def _texts():
    """The text of every file that git tracks or would, by path."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    kinds = {"", ".cff", ".ini", ".ipynb", ".md", ".py", ".toml", ".txt", ".yaml", ".yml"}
    files = [ROOT / name for name in names if Path(name).suffix in kinds and name != "LICENSE"]
    return {file: file.read_text(encoding="utf-8") for file in files if file.is_file()}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of the project's files is git's")
@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a place on one machine", r"(?<![\w.:/}\])])/(home|root|work|Users|opt)/"),
        ("an unfinished thought", r"\b([T]ODO|[F]IXME|[X]XX)\b"),
        ("the number of an issue that nobody can look up", r"(?i)(?<!/)\bissues? #?\d+"),
        (
            "where packages come from, which is for the installer to say",
            r"[-]-(extra-)?(index-url|find-links)|registry[=]",
        ),
    ],
)
def test_no_file_holds(what, pattern):
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for file, text in _texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == [], what


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the list of the project's files is git's")
def test_every_link_between_pages_leads_somewhere():
    dead = [
        f"{file.relative_to(ROOT)} -> {target}"
        for file, text in _texts().items()
        if file.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        # The pages of docs/ stand on the site where the repository's root is.
        for folder in [ROOT if file.parent == ROOT / "docs" else file.parent]
        if "://" not in target and not (folder / target).exists() and not (file.parent / target).exists()
    ]
    assert dead == []


def test_the_oldest_versions_that_are_accepted_are_those_that_are_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    accepted = dict(dependency.split(">=") for dependency in project["dependencies"])
    tested = dict(re.findall(r"(?m)^(\w[\w-]*)==(.*)$", (ROOT / "tests" / "oldest.txt").read_text()))
    assert {name: tested[name] for name in accepted} == {name: f"{least}.0" for name, least in accepted.items()}


def test_the_readme_has_the_table_of_the_results_that_are_kept():
    specification = importlib.util.spec_from_file_location("summary", ROOT / "benchmarks" / "summary.py")
    assert specification is not None
    assert specification.loader is not None
    summary = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(summary)
    assert summary.table(ROOT / "benchmarks" / "results" / "cpu") in (ROOT / "README.md").read_text(encoding="utf-8")


REGRETS = ["found.lr", "sweep", "valley", "default rate", "random rate"]


def test_the_readme_tells_how_good_the_suggestion_is_as_its_page_does():
    found = _rows("tutorials/how_good.md", "median regret")
    told = _rows("README.md", "one in ten is above")
    assert len(told) == len(REGRETS)
    for row, name in zip(told, REGRETS, strict=True):
        (full,) = [each for each in found if each[0].strip("`") == name]
        assert row[1:] == [full[1], full[2], full[4]], name


def _rows(page, head):
    """The rows of the table whose head has these words."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    begins = next(number for number, line in enumerate(lines) if line.startswith("|") and head in line) + 2
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[begins:])
    return [row.strip("| ").split(" | ") for row in rows]
