"""The package is built as ARCHITECTURE.md says: floors, sizes, who knows what, who raises how."""

import inspect
import re
from pathlib import Path

import house
import keras
import pytest

import keras_sched
from keras_sched.step.keras_names import NAMES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "keras_sched"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
FLOORS = {file.strip("`"): int(floor) for floor, file, _ in house.table(PAGE, "Floors")}
PRIVATE_NAMES = [[name.strip("`"), *about] for name, *about in house.table(PAGE, "Private names")]
SOURCES = house.package(PACKAGE)
SEAM = [source for source in SOURCES if source.idea == "step"]
NAMES_FILE = "step/keras_names.py"
BACKEND_FILES = {f"step/{name}.py" for name in ("backend", *house.BACKENDS, "population", "stacked", "travel")}
OWN = house.defined(SOURCES)
THEIRS = house.vocabulary(Path(keras.__file__).parent)
MOST_LINES, MOST_LINES_IN_ALL = 300, 9_050
# Newer features stand in files of their own, which are counted apart.
NEWER = {
    "callbacks/log.py",
    "groups/by_hand.py",
    "recipes/recipe.py",
    "step/again.py",
    "step/objects.py",
    "step/scalar.py",
    "step/stacked.py",
    "step/unknown.py",
    "suggest/halfway.py",
    *(source.path.as_posix() for source in SOURCES if source.idea in {"arguments", "sweeps", "targets"}),
    "plot/sweep.py",
    "step/population.py",
    "step/travel.py",
}
MOST_LINES_OF_THE_SEAM, MOST_PRIVATE_NAMES = 2_600, 28

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path.as_posix())
each_outside_the_seam = pytest.mark.parametrize(
    "source", [source for source in SOURCES if source.idea != "step"], ids=lambda source: source.path.as_posix()
)


# Floors and sizes


def test_every_file_of_the_package_stands_on_a_floor():
    assert {source.unit for source in SOURCES} == set(FLOORS)


def test_imports_go_strictly_down():
    assert house.uphill(SOURCES, FLOORS) == []


@pytest.mark.parametrize("folder", sorted(unit for unit in FLOORS if unit.endswith("/")))
def test_the_files_of_a_folder_do_not_import_in_a_circle(folder):
    assert house.cycles(SOURCES, folder) == []


@pytest.mark.parametrize(
    "line",
    [
        "from .fit import fit_one_cycle",
        "from . import plot",
        "from keras_sched.recipes import one_cycle",
        "from keras_sched import one_cycle",
        "import keras_sched.recipes",
        "def f():\n    from .callbacks import OneCycle",
    ],
)
def test_an_import_that_goes_up_or_sideways_is_found(line):
    assert house.uphill([house.read(line, "errors.py")], FLOORS)


def test_an_import_out_of_a_folder_is_followed_to_where_it_leads():
    down = house.read("from ..errors import wrong_value\nfrom .table import Table", "step/jax.py")
    up = house.read("from ..callbacks import ParamScheduler", "step/jax.py")
    assert house.uphill([down], FLOORS) == []
    assert house.uphill([up], FLOORS)


def test_a_circle_of_imports_is_found():
    circle = [house.read("from . import b", "step/a.py"), house.read("from .a import x", "step/b.py")]
    assert house.cycles([*circle, house.read("", "step/c.py")], "step/") == [".step.a", ".step.b"]


@each_source
def test_a_file_holds_one_idea(source):
    assert source.lines <= MOST_LINES


def test_the_package_can_be_read_in_a_day():
    assert {source.path.as_posix() for source in SOURCES} >= NEWER
    assert sum(source.lines for source in SOURCES if source.path.as_posix() not in NEWER) < MOST_LINES_IN_ALL


def test_the_seam_can_be_read_in_an_hour():
    read = [source for source in SOURCES if source.idea in {"step", "snapshot", "freezing", "loop"}]
    assert {source.unit for source in read} == {"step/", "snapshot.py", "freezing.py", "loop.py"}
    lines = sum(source.lines for source in read if source.path.as_posix() not in NEWER)
    assert lines <= MOST_LINES_OF_THE_SEAM


def test_the_page_about_it_is_one_page():
    assert len(PAGE.splitlines()) <= 110


def test_each_line_of_a_file_counts():
    assert house.read("a\n" * 301).lines > MOST_LINES >= house.read("a\n" * 300).lines


# Who knows what


@each_outside_the_seam
def test_only_the_seam_knows_private_names_of_keras(source):
    assert house.foreign_privates(source, OWN, THEIRS) == {}


def test_the_private_names_that_the_seam_uses_are_those_of_the_one_list():
    users = [source for source in SEAM if source.path.as_posix() != NAMES_FILE]
    assert len(users) == len(SEAM) - 1
    used = {name for source in users for name in house.foreign_privates(source, house.defined(SEAM), THEIRS)}
    assert used == {each.name for each in NAMES}


def test_the_one_list_is_short_in_order_and_the_one_of_architecture():
    assert len(NAMES) <= MOST_PRIVATE_NAMES
    assert [each.name for each in NAMES] == sorted({each.name for each in NAMES})
    assert [list(each) for each in NAMES] == PRIVATE_NAMES


@pytest.mark.parametrize(
    "line",
    [
        "optimizer._learning_rate",
        "optimizer._learning_rate = 1.0",
        "self.optimizer._iterations",
        "object.__setattr__(optimizer, '_learning_rate', 1.0)",
        "names = ('_learning_rate', 'momentum')",
        "class C:\n    def f(self, optimizer):\n        self._learning_rate = optimizer._learning_rate",
        "operator.attrgetter('model._train_function')",
        "class C(Callback):\n    def f(self):\n        return self._model",
        "class C(Callback):\n    def f(self):\n        return super()._model",
        "from keras.src.backend.common import global_state",
        "from tensorflow.python.eager import context",
        "importlib.import_module('keras.src.backend')",
        "import_module('tensorflow.python.eager.context')",
        "import_module(f'keras.{src}.backend')",
        "keras.src.backend.common",
        "import torch._dynamo",
        "model.evaluate(x, _use_cached_eval_dataset=True)",
        "class C:\n    def _own(self, _value): ...\ndef f(model):\n    model.set(_value=1)",
        "getattr(optimizer, f'_{name}')",
        "getattr(optimizer, f'_{name}_fn')",
        "getattr(optimizer, f'{prefix}_learning_rate')",
        "operator.attrgetter(f'{name}._value')",
        "getattr(optimizer, '_' + name)",
    ],
)
def test_a_private_name_of_another_library_is_found(line):
    source = house.read(line)
    assert house.foreign_privates(source, house.defined([source]), THEIRS)


@pytest.mark.parametrize(
    "line",
    [
        "class C:\n    def f(self):\n        self._mine = 1\n        return self._mine",
        "class C:\n    _mine: int = 1\n    def f(self):\n        return self._mine",
        "class C:\n    def _mine(self): ...\n    def f(self):\n        return self._mine(), C._mine, self.__name__",
        "def _mine(): ...\n_mine()",
        "class C:\n    def __init__(self, other):\n        self._mine = other._mine",
        "setattr(model, '_keras_sched_mine', 1)",
        "put(model, f'_keras_sched_{name}', 1)",
        "logs[f'{name}_{group}'] = logs[name + '_0']",
        "f'{name}._value is none of _ours'",
        "import_module(f'keras_sched.step.{name}')",
        "def f(_mine): ...\nclass C:\n    def g(self):\n        self._mine = dict(_mine=1)",
        "result._replace(a=1)",
        "vars(figure)['_ipython_display_'] = show",
        "def f(x):\n    'Ends _in_ a `_name`.'\n    return f'{x}_{x}', x.__name__",
    ],
)
def test_a_name_of_ones_own_is_not_taken_for_another_librarys(line):
    source = house.read(line)
    assert house.foreign_privates(source, house.defined([source]), THEIRS) == {}


def test_no_class_hides_a_private_name_of_the_keras_class_it_extends():
    hidden = []
    for name in keras_sched.__all__:
        made = getattr(keras_sched, name)
        bases = [base for base in getattr(made, "__mro__", ()) if base.__module__.startswith("keras.")]
        kept = {each for base in bases for each in _privates(base)}
        hidden += [f"{name}.{each}" for each in sorted(_privates(made) & kept if bases else ())]
    assert hidden == []


def _privates(made):
    given = re.findall(r"self\.(_[a-z]\w*)\s*(?::[^=\n]+)?=", inspect.getsource(made))
    return {*given, *(name for name in vars(made) if house.is_private(name))} - {"_abc_impl"}


@each_source
def test_only_the_files_of_the_backends_ask_which_one_is_at_work(source):
    if source.path.as_posix() not in {*BACKEND_FILES, "step/population.py", "backend_choice.py"}:
        assert house.backend_questions(source) == []
        assert house.outside_imports(source, house.BACKENDS) == []


def test_the_files_of_the_backends_are_there():
    assert {source.path.as_posix() for source in SOURCES} >= BACKEND_FILES


@each_source
def test_nobody_looks_at_the_call_stack(source):
    assert house.frames(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "sys._getframe(1)",
        "getattr(sys, '_getframe')(1)",
        "inspect.currentframe()",
        "from inspect import currentframe",
        "inspect.stack()[1]",
        "from inspect import stack",
        "frame.f_back",
        "frame.f_locals['model']",
        "error.__traceback__.tb_frame",
        "traceback.extract_stack()",
    ],
)
def test_a_look_at_the_call_stack_is_found(line):
    assert house.frames(house.read(line))


def test_a_stack_of_ones_own_and_a_signature_are_no_look_at_the_call_stack():
    text = "with ExitStack() as stack:\n    stack.enter_context(x)\nops.stack(y), inspect.signature(f), self.stack()"
    assert house.frames(house.read(text)) == []


@pytest.mark.parametrize(
    "line",
    [
        "if keras.backend.backend() == 'jax': ...",
        "kind = keras.backend.backend()",
        "STEPS[keras.config.backend()]",
        "if backend not in ('tensorflow', 'torch'): ...",
        "match backend:\n    case 'torch': ...",
        "steps = {'jax': 1, 'torch': 2}[backend]",
    ],
)
def test_a_question_for_the_backend_is_found(line):
    assert house.backend_questions(house.read(line))


def test_to_show_the_name_of_the_backend_is_no_question():
    assert house.backend_questions(house.read("print(f'Keras on {keras.backend.backend()}')")) == []


@each_source
def test_matplotlib_scipy_and_pandas_are_imported_where_they_are_used(source):
    assert house.outside_imports(source, frozenset({"matplotlib", "pandas", "scipy"}), eager_only=True) == []


@pytest.mark.parametrize("source", [s for s in SOURCES if s.idea != "plot"], ids=lambda s: s.path.as_posix())
def test_only_plot_draws(source):
    assert house.outside_imports(source, frozenset({"matplotlib"})) == []


@pytest.mark.parametrize("source", [s for s in SOURCES if FLOORS.get(s.unit, 9) < 3], ids=lambda s: s.path.as_posix())
def test_below_floor_three_keras_is_touched_by_annealers_alone(source):
    if source.idea != "annealers":
        assert house.outside_imports(source, frozenset({"keras"})) == []


def test_an_import_within_a_function_is_lazy_and_one_for_the_type_checker_is_none():
    source = house.read(
        "if TYPE_CHECKING:\n    import matplotlib\ndef f():\n    import scipy.stats\nimport pandas as pd\n"
    )
    libraries = frozenset({"matplotlib", "pandas", "scipy"})
    assert house.outside_imports(source, libraries) == ["thing.py:4 imports scipy.stats", "thing.py:5 imports pandas"]
    assert house.outside_imports(source, libraries, eager_only=True) == ["thing.py:5 imports pandas"]


def test_importing_the_package_brings_nothing_that_keras_has_not_brought(run_script):
    printed = run_script("""
        import sys
        import keras, numpy
        before = set(sys.modules)
        import keras_sched
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before} & {"matplotlib", "pandas", "scipy"}))
    """)
    assert printed.split() == []


# Errors


@each_source
def test_nothing_is_swallowed(source):
    assert house.swallowed(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "assert x",
        "try: f()\nexcept: g()",
        "try: f()\nexcept ValueError: pass",
        "try: f()\nexcept ValueError: ...",
        "for x in y:\n    try: f()\n    except ValueError: continue",
        "try: f()\nexcept Exception: g()",
        "try: f()\nexcept (OSError, BaseException) as e: g(e)",
        "with contextlib.suppress(Exception): f()",
    ],
)
def test_an_error_that_is_swallowed_is_found(line):
    assert house.swallowed(house.read(line))


@pytest.mark.parametrize(
    "line", ["try: f()\nexcept ValueError: g()", "try: f()\nexcept BaseException:\n    g()\n    raise"]
)
def test_an_error_that_is_dealt_with_is_no_offence(line):
    assert house.swallowed(house.read(line)) == []


@pytest.mark.parametrize("source", [s for s in SOURCES if s.idea != "errors"], ids=lambda s: s.path.as_posix())
def test_every_error_is_worded_by_errors_py(source):
    assert house.own_words(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "raise ValueError('no')",
        "raise TypeError",
        "raise make(x)",
        "def make(x):\n    return ValueError(x)\nraise make(1)",
        "def f():\n    raise LookupError",
        "class WrongError(Exception): ...\nraise WrongError('no')",
    ],
)
def test_an_error_in_words_of_its_own_is_found(line):
    assert house.own_words(house.read(line))


def test_an_error_from_errors_py_one_that_was_caught_and_an_exit_are_no_offence():
    text = """
from .errors import NoSuggestion, wrong_type, wrong_value
try:
    f()
except OSError as error:
    raise wrong_value("f", "x", "y", "z") from error
except KeyError as error:
    raise error
except ValueError:
    raise
def _unknown(name):
    return _wrong(name)
def _wrong(name):
    return wrong_value("f", name, "y", "z")
raise _unknown("x")
raise self._unknown("x")
wrong = wrong_type if x else wrong_value
raise wrong("f", "x", "y", "z")
raise NoSuggestion("flat")
raise SystemExit(2)
class AgainError(Exception):
    "Caught in this file."
raise AgainError
"""
    assert house.own_words(house.read(text)) == []
