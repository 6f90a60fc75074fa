"""The house's rules, as functions from source to the places that break them. `test_house.py` applies them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BACKENDS = frozenset({"jax", "tensorflow", "torch"})
ERRORS = "errors"
# Public in spite of the underscore: namedtuple's own, and how a notebook asks for a picture (`_repr_png_`).
NOT_PRIVATE = re.compile(r"_asdict|_fields|_make|_replace|_(repr|ipython)_\w+_")
# What leads to the frames of the call stack, and so to what another function has in its variables.
FRAMES = frozenset({"_current_frames", "_getframe", "currentframe", "f_back", "f_globals", "f_locals", "tb_frame"})
FRAME_CALLS = re.compile(r"(inspect\.(stack|trace|getouterframes|getinnerframes)|traceback\.(extract|walk)_stack)$")
PRIVATE_MODULE = re.compile(r"(keras\.src|tensorflow\.python)(\.|$)")


@dataclass(frozen=True)
class Source:
    """One file of the package: its path below the package, its unit (file or folder in the floors' table), its tree."""

    path: Path
    unit: str
    tree: ast.Module
    lines: int

    @property
    def idea(self) -> str:
        """What the file or folder is named after."""
        return self.unit.removesuffix("/").removesuffix(".py")

    @property
    def parts(self) -> tuple[str, ...]:
        """The dotted name of the package that relative imports of this file start from."""
        return self.path.parent.parts


def read(text: str, path: str = "thing.py") -> Source:
    """A source from its text."""
    where = Path(path)
    unit = f"{where.parts[0]}/" if len(where.parts) > 1 else where.name
    return Source(where, unit, ast.parse(text), text.count("\n"))


def package(folder: Path) -> list[Source]:
    """Every file of the package."""
    return [
        read(file.read_text(encoding="utf-8"), file.relative_to(folder).as_posix())
        for file in sorted(folder.rglob("*.py"))
    ]


def table(page: str, title: str) -> list[list[str]]:
    """The rows of the table below the heading `## title` of a Markdown page, without the table's own heading."""
    section = re.split(r"(?m)^## ", page.split(f"\n## {title}\n", 1)[1])[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def imports(source: Source) -> Iterator[tuple[ast.stmt, str, bool]]:
    """(statement, dotted name, whether it runs with the file) of each name imported; the package's own begin with '.'.

    An import below `if TYPE_CHECKING:` never runs.
    """
    for node, lazy in _walk(source.tree, lazy=False):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node, _own(name.name), not lazy
        elif isinstance(node, ast.ImportFrom):
            up = source.parts[: len(source.parts) - node.level + 1] if node.level else ()
            start = "." * bool(node.level) + ".".join((*up, *(node.module or "").split(".")))
            for name in node.names:
                yield node, _own(f"{start}.{name.name}".replace("..", ".")), not lazy


def _own(name: str) -> str:
    return re.sub(r"^keras_sched\b\.?", ".", name)


def _walk(tree: ast.AST, *, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside = inside or (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"))
        yield node, inside
        yield from _walk(node, lazy=inside)


def uphill(sources: list[Source], floors: dict[str, int]) -> list[str]:
    """Imports that do not go strictly down, and cycles within a folder."""
    found = []
    for source in sources:
        for node, name, _ in imports(source):
            unit = _unit(name, floors)
            if unit is None or (unit == source.unit and unit.endswith("/")):
                continue
            if floors[unit] >= floors.get(source.unit, 0):
                found.append(f"{source.path}:{node.lineno} imports {name}, which is not below it")
    return found


def _unit(name: str, floors: dict[str, int]) -> str | None:
    if not name.startswith("."):
        return None
    first = name.strip(".").split(".")[0]
    return next((unit for unit in (f"{first}.py", f"{first}/") if unit in floors), "__init__.py")


def cycles(sources: list[Source], folder: str) -> list[str]:
    """The files of one folder that import each other in a circle."""
    stem = folder.rstrip("/")
    files = {f".{stem}.{source.path.stem}": source for source in sources if source.unit == folder}
    below = {
        name: {other for _, wanted, _ in imports(source) for other in files if f"{wanted}.".startswith(f"{other}.")}
        for name, source in files.items()
    }
    while free := [name for name, needs in below.items() if not needs & below.keys()]:
        for name in free:
            del below[name]
    return sorted(below)


def outside_imports(source: Source, libraries: frozenset[str], *, eager_only: bool = False) -> list[str]:
    """Imports of these libraries; with `eager_only` those alone that run with the file.

    For the type checker alone (`if TYPE_CHECKING:`) anything may be imported anywhere.
    """
    checked = {
        node
        for block in ast.walk(source.tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    return [
        f"{source.path}:{node.lineno} imports {name}"
        for node, name, eager in imports(source)
        if name.split(".")[0] in libraries and node not in checked and (eager or not eager_only)
    ]


def is_private(name: str) -> bool:
    """`_name`, but not `_`, `__name__` or `_2`."""
    return bool(re.fullmatch(r"_[A-Za-z]\w*", name)) and not NOT_PRIVATE.fullmatch(name)


def defined(sources: list[Source]) -> frozenset[str]:
    """The private names that the package makes itself: functions, classes, class bodies, and what `self` is given."""
    names: set[str] = set()
    for node in (node for source in sources for node in ast.walk(source.tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            names.add(node.attr)
    return frozenset(filter(is_private, names))


def _is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        return True
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


def vocabulary(folder: Path) -> frozenset[str]:
    """Every private name that stands in the sources of a library."""
    texts = (file.read_text(encoding="utf-8") for file in folder.rglob("*.py"))
    return frozenset(name for text in texts for name in re.findall(r"\b_[A-Za-z]\w*", text))


def foreign_privates(source: Source, own: frozenset[str], theirs: frozenset[str]) -> dict[str, int]:
    """Private names of other libraries that a file uses, and the first line of each.

    A name that this package makes is `own`, but on anything except `self` and the file's own classes it may be the
    other library's all the same, if that has one (`theirs`). What `self` never was given is inherited. A private name
    in a string is there to be looked up; what the package hangs on others' objects begins with `_keras_sched`. So are
    one that an f-string or a sum puts together, and a keyword that a call hands over. `keras.src`, `tensorflow.python`
    and modules that begin with an underscore are private as a whole, imported or spelled in a string.
    """
    mine = frozenset(
        {"self", "cls", "super()", *(each.name for each in ast.walk(source.tree) if isinstance(each, ast.ClassDef))}
    )
    found: dict[str, int] = {}
    for node in ast.walk(source.tree):
        for name in _privates_of(node, mine, own, theirs):
            found.setdefault(name, getattr(node, "lineno", 0))
    for node, name, _ in imports(source):
        if PRIVATE_MODULE.match(name) or (name[0] != "." and any(map(is_private, name.split(".")))):
            found.setdefault(name, node.lineno)
    return found


def _privates_of(node: ast.AST, mine: frozenset[str], own: frozenset[str], theirs: frozenset[str]) -> list[str]:
    """The private names of other libraries that one node of the tree spells."""
    match node:
        case ast.Attribute():
            known = own if ast.unparse(node.value) in mine else own - theirs
            module = [ast.unparse(node)] if PRIVATE_MODULE.fullmatch(ast.unparse(node)) else []
            return module + [node.attr] * (is_private(node.attr) and node.attr not in known)
        case ast.Call():
            keywords = [keyword.arg for keyword in node.keywords if keyword.arg]
            return [name for name in keywords if is_private(name) and name not in own - theirs]
        case ast.Constant(value=str(text)) if re.fullmatch(r"[A-Za-z_][\w.]*", text):
            return [name for name in _looked_up(text) if name not in own]
        case ast.JoinedStr() | ast.BinOp():
            return _glued(node, theirs)
    return []


def _looked_up(text: str) -> list[str]:
    """The private names, or the private module, that an identifier or a path of them in a string spells."""
    if PRIVATE_MODULE.match(text):
        return [text]
    return [name for name in text.split(".") if is_private(name) and not name.startswith("_keras_sched")]


def _glued(node: ast.JoinedStr | ast.BinOp, theirs: frozenset[str]) -> list[str]:
    """The strings that make a private name, or a path to one, of what they are put together with.

    That is one which begins with an underscore, or with a library's name and a dot; or a part that is a private name of
    theirs as it stands. Text, which has spaces, is none.
    """
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
    else:
        parts = [side.value if isinstance(side, ast.Constant) else None for side in (node.left, node.right)]
    texts = [part for part in parts if isinstance(part, str)]
    if not all(re.fullmatch(r"[\w.]+", text) for text in texts):
        return []
    first = parts[0] if isinstance(parts[0], str) else ""
    found = [first] if re.match(r"_(?!_|keras_sched)|(keras|tensorflow)\.", first) else []
    return found + [text for text in texts if text != first and (text in theirs or re.search(r"\._", text))]


def frames(source: Source) -> list[str]:
    """Looks at the call stack."""
    found = []
    for node in ast.walk(source.tree):
        names = [node.attr, ast.unparse(node)] if isinstance(node, ast.Attribute) else []
        names += [str(node.value)] if isinstance(node, ast.Constant) else []
        if any(name in FRAMES or FRAME_CALLS.match(name) for name in names):
            found.append(f"{source.path}:{node.lineno} looks at the call stack")
    for node, name, _ in imports(source):
        if name.split(".")[-1] in FRAMES or FRAME_CALLS.match(name):
            found.append(f"{source.path}:{node.lineno} imports {name}")
    return found


def swallowed(source: Source) -> list[str]:
    """Asserts, bare excepts, handlers that do nothing, and broad ones that do not raise again."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Assert):
            found.append(f"{source.path}:{node.lineno} asserts")
        if isinstance(node, ast.ExceptHandler):
            kinds = "" if node.type is None else ast.unparse(node.type)
            empty = all(isinstance(each, ast.Pass | ast.Continue | ast.Expr) for each in node.body) and not any(
                isinstance(each, ast.Call) for part in node.body for each in ast.walk(part)
            )
            broad = node.type is None or re.search(r"\b(Base)?Exception\b", kinds)
            if node.type is None or empty:
                found.append(f"{source.path}:{node.lineno} swallows {kinds or 'everything'}")
            elif broad and not any(isinstance(each, ast.Raise) for part in node.body for each in ast.walk(part)):
                found.append(f"{source.path}:{node.lineno} catches {kinds} and does not raise again")
        if isinstance(node, ast.With) and re.search(r"\bsuppress\((\)|.*Exception\b)", ast.unparse(node.items[0])):
            found.append(f"{source.path}:{node.lineno} suppresses everything")
    return found


def own_words(source: Source) -> list[str]:
    """Errors that are raised without a function of errors.py having worded them.

    A class of the file's own that is raised as it is, without a word, is a signal to another function of it.
    """
    nodes = list(ast.walk(source.tree))
    signals = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    worded = {
        ERRORS,
        "SystemExit",
        "argparse",
        *(node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name),
    }
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[-1] == ERRORS:
            worded |= {name.asname or name.name for name in node.names}
    for node in nodes:  # a choice between two of them: `wrong = wrong_type if ... else wrong_value`
        choice = node.value if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp) else None
        if choice and {_head(choice.body), _head(choice.orelse)} <= worded:
            worded |= {ast.unparse(target) for target in node.targets}
    makers = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    while new := [maker.name for maker in makers if maker.name not in worded and _makes(maker, worded)]:
        worded |= {*new}
    return [
        f"{source.path}:{node.lineno} raises {ast.unparse(node.exc)[:60]} in words of its own"
        for node in nodes
        if isinstance(node, ast.Raise)
        and node.exc
        and _head(node.exc) not in worded
        and ast.unparse(node.exc) not in signals
    ]


def _makes(function: ast.FunctionDef, worded: set[str]) -> bool:
    """Whether all that a function returns was worded by errors.py."""
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return bool(returned) and all(isinstance(value, ast.Call) and _head(value) in worded for value in returned)


def _head(raised: ast.expr) -> str:
    """What is raised goes by its first name, or by the method's where it is one of `self`."""
    name = ast.unparse(raised.func if isinstance(raised, ast.Call) else raised)
    return re.sub(r"^(self|cls)\.", "", name).split(".")[0]


def backend_questions(source: Source) -> list[str]:
    """Comparisons, matches and look-ups by a backend's name, and calls that tell it, but for those that show it."""
    found = []
    texts = [node for node in ast.walk(source.tree) if isinstance(node, ast.JoinedStr)]
    shown = {part for text in texts for part in ast.walk(text)}
    for node in ast.walk(source.tree):
        asked: list[ast.expr | None] = []
        tells = isinstance(node, ast.Call) and re.fullmatch(r"keras\.(backend|config)\.backend", ast.unparse(node.func))
        if tells and node not in shown:
            found.append(f"{source.path}:{node.lineno} asks for the backend")
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Dict):
            asked = [*node.keys]
        names = [each for part in asked if part for each in ast.walk(part) if isinstance(each, ast.Constant)]
        if any(isinstance(name.value, str) and name.value in BACKENDS for name in names):
            found.append(f"{source.path}:{node.lineno} asks for the backend")
    return found
