"""The notebooks run, and what is kept in them and in the pictures is what their code gives today."""

import ast
import json
import re
import runpy
from pathlib import Path

import keras
import notebooks
import pytest
from PIL import Image

TUTORIALS = Path(__file__).parents[1] / "tutorials"
PATHS = [
    TUTORIALS / f"{name}.ipynb"
    for name in (
        "01_one_cycle",
        "02_find_a_learning_rate",
        "03_schedule_anything",
        "04_fine_tune",
        "05_resume_and_checkpoints",
    )
]
MOST_BYTES = 60_000  # of a picture in a notebook

EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def takes_a_process(test):
    """On TensorFlow, whose suite is the longest, such a test waits for `-m slow`."""
    return pytest.mark.slow(test) if keras.backend.backend() == "tensorflow" else test


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def make():
    """What `tutorials/make.py` defines."""
    return runpy.run_path(str(TUTORIALS / "make.py"))


# Notebooks


def test_every_notebook_is_tested():
    assert sorted(TUTORIALS.glob("*.ipynb")) == PATHS


@takes_a_process
@EACH
def test_a_notebook_runs_and_shows_what_is_kept_where_that_is_the_same_everywhere(path, run_script):
    code = f"import runpy, sys\nsys.argv[1:] = [{str(path)!r}]\nrunpy.run_module('notebooks', None, '__main__')"
    # Steps this small are done by the time that a second thread has been woken.
    printed = run_script(code, env={"OMP_NUM_THREADS": "1"})
    shown = json.loads(printed.splitlines()[-1])
    marked = [cell for cell in notebooks.code_cells(read(path)) if notebooks.same_everywhere(cell)]
    assert marked
    for cell in marked:
        assert notebooks.words(shown[cell["id"]]) == notebooks.words(notebooks.kept_text(cell)), cell["id"]


@EACH
def test_the_outputs_kept_are_those_of_the_code(path, make):
    notebook = read(path)
    assert notebook["metadata"]["keras_sched"]["code"] == make["digest_of_code"](notebook), (
        f"{path.name} is stale: run `python tutorials/make.py {path.stem}`"
    )


def test_a_notebook_whose_code_has_changed_is_stale(make):
    notebook = read(PATHS[0])
    notebooks.code_cells(notebook)[-1]["source"].append("\n")
    assert notebook["metadata"]["keras_sched"]["code"] != make["digest_of_code"](notebook)


@EACH
def test_every_cell_was_run_in_order_and_nothing_complained(path):
    cells = notebooks.code_cells(read(path))
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert all(output["output_type"] != "error" and output.get("name") != "stderr" for output in outputs)


@EACH
def test_pictures_are_kept_and_small(path):
    pictures = notebooks.kept_pictures(read(path))
    assert pictures
    assert max(map(len, pictures)) < MOST_BYTES


@EACH
def test_nothing_kept_names_a_machine(path):
    for cell in notebooks.code_cells(read(path)):
        assert not re.search(r"(^|[\s'\"(])/\w+/|0x[0-9a-f]{6,}", notebooks.kept_text(cell)), cell["id"]


@EACH
def test_a_notebook_installs_the_package_and_opens_in_colab_by_the_repositorys_address(path, make):
    notebook = read(path)
    assert notebook == make["with_address"](notebook, path.name, make["REPOSITORY"])
    source = "".join(notebooks.code_cells(notebook)[0]["source"])
    assert source.splitlines()[-2:] == [
        'if importlib.util.find_spec("keras_sched") is None:',
        f"    {make['install_line'](make['REPOSITORY'])}",
    ]


def test_an_address_that_comes_changes_and_goes(make):
    with_address, name = make["with_address"], PATHS[0].name
    notebook = with_address(read(PATHS[0]), name, None)
    known = with_address(notebook, name, "https://github.com/someone/keras-sched")
    first, line = "".join(known["cells"][0]["source"]), "".join(notebooks.code_cells(known)[0]["source"])
    assert f"/github/someone/keras-sched/blob/main/tutorials/{name})\n\n# " in first
    assert "where it is missing. A backend" in first
    assert line.endswith('    %pip install -q "keras-sched @ git+https://github.com/someone/keras-sched"')
    moved = with_address(known, name, "https://github.com/other/keras-sched")
    assert "someone" not in "".join(moved["cells"][0]["source"]) + "".join(notebooks.code_cells(moved)[0]["source"])
    assert with_address(moved, name, None) == notebook


def test_the_readme_installs_from_the_repository_where_its_address_is_known(make):
    if make["REPOSITORY"] is not None:
        page = (TUTORIALS.parent / "README.md").read_text(encoding="utf-8")
        assert f'"keras-sched[jax] @ git+{make["REPOSITORY"]}"' in page


def test_a_notebook_that_fails_names_the_cell():
    cells = [
        {"cell_type": "code", "id": "first", "metadata": {}, "source": ["x = 1"], "outputs": []},
        {"cell_type": "code", "id": "second", "metadata": {}, "source": ["x\n", "\n", "1 / 0"], "outputs": []},
    ]
    with pytest.raises(ZeroDivisionError) as failure:
        list(notebooks.run({"cells": cells}))
    assert (failure.traceback[-1].path, failure.traceback[-1].lineno) == ("second", 2)


def test_a_cell_shows_what_it_prints_and_the_value_in_which_it_ends():
    source = ["print('a')\n", "%pip install nothing\n", "'b'\n", "1 + 1"]
    cell = {"cell_type": "code", "id": "only", "metadata": {}, "source": source, "outputs": []}
    assert list(notebooks.run({"cells": [cell]})) == [("only", "a\n2\n")]


# Pictures


def test_every_picture_shows_the_values_that_its_recipe_gives(make):
    recipes = make["RECIPES"]
    digests = {name: make["digest_of_values"](recipe) for name, recipe in recipes.items()}
    digests["recipes"] = make["digest_of_values"](*recipes.values())
    for name, digest in digests.items():
        picture = Image.open(TUTORIALS / "pictures" / f"{name}.png")
        assert picture.text["Values"] == digest, f"{name}.png is stale: run `python tutorials/make.py pictures`"


def test_a_picture_of_other_values_is_stale(make):
    recipes = make["RECIPES"]
    assert make["digest_of_values"](recipes["sgdr"]) != make["digest_of_values"](recipes["one_cycle"])


def test_every_picture_is_on_the_page(make):
    page = (TUTORIALS / "which_schedule.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\(pictures/(\w+)\.png\)", page))
    assert shown == {*make["RECIPES"], "recipes"}


# The example in the form that keras.io has


EXAMPLES = sorted((TUTORIALS / "keras_io").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_for_keras_io_has_its_header_and_parts_text_from_code(path):
    code = ast.parse(path.read_text(encoding="utf-8"))
    texts = [each for each in code.body if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)]
    header = ast.get_docstring(code)
    assert header is not None
    said = [line.partition(": ")[0] for line in header.splitlines()]
    assert said[:5] == ["Title", "Author", "Date created", "Last modified", "Description"]
    assert len(texts) > 3


@takes_a_process
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_for_keras_io_runs(path, run_script):
    source = path.read_text(encoding="utf-8")
    assert "test accuracy" in run_script(source, env={"OMP_NUM_THREADS": "1"})


# Tables


FASTAI = [
    "annealer",
    "sched_lin",
    "sched_cos",
    "sched_no",
    "sched_exp",
    "SchedLin",
    "SchedCos",
    "SchedNo",
    "SchedExp",
    "SchedPoly",
    "combine_scheds",
    "combined_cos",
    "ParamScheduler",
    "LRFinder",
    "valley",
    "slide",
    "minimum",
    "steep",
    "SuggestionMethod",
    "fit_one_cycle",
    "fit_flat_cos",
    "fit_sgdr",
    "fine_tune",
    "lr_find",
    "plot_sched",
    "plot_lr_find",
    "freeze",
    "unfreeze",
    "freeze_to",
    "hps",
]


@pytest.mark.parametrize("name", FASTAI)
def test_each_name_of_fastai_has_its_row(name):
    rows = [line for line in (TUTORIALS / "from_fastai.md").read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    assert any(re.search(rf"\b{name}\b", row.split("|")[1]) for row in rows)


@pytest.mark.parametrize("module", [keras.optimizers.schedules, keras.callbacks], ids=["schedules", "callbacks"])
def test_each_schedule_and_callback_of_keras_has_its_row(module):
    page = (TUTORIALS / "from_keras.md").read_text(encoding="utf-8")
    rows = " ".join(line.split("|")[1] for line in page.splitlines() if line[:1] == "|")
    names = [name for name in dir(module) if name[0].isupper()]
    assert [name for name in names if not re.search(rf"\b{name}\b", rows)] == []
