"""What a search found: a named tuple with one learning rate per suggestion, and the curve behind it."""

import base64
import functools
import html
import warnings
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from keyword import iskeyword
from numbers import Real
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keras_sched.arguments import check_takes
from keras_sched.errors import NoSuggestion, advise, speaking_as, wrong_type
from keras_sched.lr_finder.record import DATA_ENDED, Record, SearchLosses
from keras_sched.plot import plot_lr_find, png
from keras_sched.suggest import DEFAULT, UNSEEN, Point, halfway, points_seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SuggestionFunction = Callable[..., Any]
Spread = tuple[float, float]


class Measured:
    """What a search has measured, as attributes."""

    record: Any
    """Everything that was measured: a `Record`."""
    points: Mapping[str, Point | None] = MappingProxyType({})
    """{suggestion: the point (rate, loss) to mark}."""

    @property
    def lrs(self) -> NDArray[np.float64]:
        """The rate of each batch, of several groups the last one's; (N,)."""
        return self.record.lrs

    @property
    def losses(self) -> NDArray[np.float64]:
        """The smoothed loss of each batch; (N,). Of several searches, the median."""
        return self.record.losses

    @property
    def raw_losses(self) -> NDArray[np.float64]:
        """The loss of each batch; (N,). Of several searches, the median."""
        return self.record.raw_losses

    @property
    def stopped(self) -> str:
        """Why it ended: `num_it`, `diverged`, `not finite`, `data ended`, or `interrupted`."""
        return self.record.stopped

    def plot(self, **arguments: Any) -> "Axes":
        """Plot the curve with the suggestions marked, and of several searches the band that they lie in.

        Args:
            arguments: `skip_start`, `skip_end`, `ax`, and what else `plot_lr_find` takes.

        Returns:
            The Axes.
        """
        record = self.record
        shown: dict[str, Any] = {"band": record.band, "diverged": record.diverged}
        if record.band is not None:
            shown["label"] = f"median of {len(record.curves)} searches"
        if "suggestions" not in arguments:
            shown |= {"suggestions": self.points, "names": [self._key(name) for name in self.points]}
        return plot_lr_find(record.lrs, record.losses, **shown | arguments)

    @speaking_as("suggest")
    def suggest(self, *functions: SuggestionFunction) -> "LRFound":
        """Ask suggestion functions for a learning rate.

        Args:
            functions: as `suggest_funcs` of `lr_find`; `halfway` and `valley` where none is given.

        Returns:
            What `lr_find` returns.
        """
        listed = functions[0] if len(functions) == 1 else functions
        return search_found(self.record, check_functions(listed or DEFAULT, ""))

    def _key(self, name: str) -> str:
        """The legend's text: the rate, and where the mark is, if that is elsewhere."""
        lr, point = getattr(self, name), self.points[name]
        if lr is None or point is None:
            return name
        return f"{name} {lr:.1e}" + ("" if np.isclose(lr, point[0]) else f", marked at {point[0]:.1e}")


class LRFound(Measured):
    """What `lr_find` returns: a named tuple with one field per suggestion, a learning rate or `None`.

    The rest are attributes. It pickles, and a notebook shows it as a table with its plot.
    """

    if TYPE_CHECKING:
        _fields: tuple[str, ...]

        def __getattr__(self, name: str) -> float | None: ...
        def __iter__(self) -> Any: ...
        def __len__(self) -> int: ...
        def __getitem__(self, index: int) -> float | None: ...

    spread: dict[str, Spread | None]
    """{suggestion: the lowest and the highest rate that single searches suggest}; `None` if there are not two."""

    @property
    def lr(self) -> float | None:
        """The learning rate: the first suggestion that is a rate, else `None`."""
        return next((rate for rate in self if rate is not None), None)

    def __repr__(self) -> str:
        rates = [f"{name}={getattr(self, name)!r}" for name in self._fields]
        return f"LRFound({', '.join([*rates, f'stopped={self.stopped!r}'])})"

    def _replace(self, **rates: float | None) -> "LRFound":
        return _found(self._fields, dict(zip(self._fields, self, strict=True)) | rates, vars(self))

    @speaking_as("lr_find")
    def _repr_png_(self) -> bytes:
        return png(lambda ax: self.plot(ax=ax))

    def _repr_html_(self) -> str:
        told = {name: _shown((getattr(self, name), self.spread[name])) for name in self._fields}
        rows = "".join(f"<tr><th>{name}</th><td>{rate}</td></tr>" for name, rate in told.items())
        picture = base64.b64encode(self._repr_png_()).decode()
        return (
            f"<table>{rows}</table><p>{html.escape(self.record.why)}</p>"
            f'<img alt="loss over learning rate" src="data:image/png;base64,{picture}">'
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _found, (self._fields, dict(zip(self._fields, self, strict=True)), vars(self))


def search_found(record: Record, functions: Sequence[SuggestionFunction]) -> LRFound:
    """Call the functions; if one suggests nothing, warn with its reason, and have `None` for it."""
    short = record.too_short
    too_far = 30 if halfway in functions else 101  # in the usual range of rates: 27 batches, or 19
    rates: dict[str, float | None] = {}
    points: dict[str, Point | None] = {}
    spread: dict[str, Spread | None] = {}
    reasons: dict[str, list[str]] = {}
    for name, function in zip(field_names(functions), functions, strict=True):
        try:
            rates[name], points[name] = _ask(function, record.lrs, record.losses, record.num_it)
        except NoSuggestion as reason:
            reasons.setdefault(short or str(reason), []).append(f"`{name}`")
            rates[name] = points[name] = None
        spread[name] = _spread(function, record)
    rise = record.lrs[-1] / record.lrs[-1 - UNSEEN] if len(record.lrs) > UNSEEN else 0.0
    if record.stopped == DATA_ENDED and (any(rates.values()) or (functions and short is None)):
        meaning = "it did not reach the higher rates, so a suggestion may be far too low"
        cure = "Pass a smaller `num_it=`, or `dataset.repeat()` (with `LRFinder` more epochs, and no `EarlyStopping`)."
        advise(f"data that ended after {len(record.lrs)} of {record.num_it} batches", meaning, cure)
    elif functions and rise > too_far:
        hidden = f"suggestions do not see the last {UNSEEN} of them, where the rate rises to {rise:.0f} times as much"
        cure = "Pass `num_it=100`, or a smaller range of rates."
        advise(f"a search of {record.num_it} batches", f"{hidden}, so one may be far too low", cure)
    named = [name for name, rate in rates.items() if rate is not None]
    instead = f" `lr` is what `{named[0]}` suggests." if named and named[0] != next(iter(rates)) else ""
    for reason, whose in reasons.items():
        verb = "suggests" if len(whose) == 1 else "suggest"
        told = reason if short is None else f"{' and '.join(whose)} {verb} nothing: {reason}"
        warnings.warn(told + instead, UserWarning, stacklevel=4)  # past `speaking_as`
    return _found(tuple(rates), rates, {"record": record, "points": points, "spread": spread})


def check_functions(functions: Any, name: str = "suggest_funcs=") -> tuple[SuggestionFunction, ...]:
    """The suggestion functions as a tuple: one, several or none of them; raise where one cannot be called."""
    if functions is None:
        return ()
    listed: Any = (functions,) if callable(functions) else functions
    listed = tuple(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else (listed,)
    for function in listed:
        if not callable(function):
            cure = f"Pass the function itself: `from keras_sched import valley`, `{name}(valley, steep)`."
            raise wrong_type(f"{name}{functions!r}", "it must be a suggestion function, or several", cure)
        check_takes(function, 3, name, "Write it as `def mine(lrs, losses, num_it)`.")
    return listed


def field_names(functions: Sequence[SuggestionFunction]) -> list[str]:
    """One name per function, its own if it has one; of two with the same name, the second gets `_2`, and so on."""
    names: list[str] = []
    for function in functions:
        name = _name(function)
        others = (name if count == 1 else f"{name}_{count}" for count in range(1, len(names) + 3))
        names.append(next(each for each in others if each not in names and each not in _TAKEN))
    return names


def _name(function: SuggestionFunction) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = str(getattr(function, "__name__", type(function).__name__)).strip("_")
    return name if name.isidentifier() and not iskeyword(name) else "suggestion"


def _ask(function: SuggestionFunction, lrs: Any, losses: Any, num_it: int) -> tuple[float, Point | None]:
    answer = function(*points_seen(lrs, losses, num_it), num_it)
    if isinstance(answer, Real):  # a rate alone: there is no point to mark
        return float(answer), None
    try:
        lr, (x, y) = answer
        return float(lr), (float(x), float(y))
    except (TypeError, ValueError) as error:
        expected = "a suggestion is a rate and the point to mark, `(lr, (x, y))`"
        cure = "Return that, or raise `NoSuggestion` with the reason."
        raise wrong_type(f"{answer!r} from `{_name(function)}`", expected, cure) from error


def _spread(function: SuggestionFunction, record: Record) -> Spread | None:
    if len(record.curves) == 1:
        return None
    rates = [rate for curve in record.curves if (rate := _rate_of(function, curve, record)) is not None]
    return (min(rates), max(rates)) if len(rates) > 1 else None


def _rate_of(function: SuggestionFunction, curve: SearchLosses, record: Record) -> float | None:
    points = min(len(curve.losses), len(record.lrs))
    try:
        return _ask(function, record.lrs[:points], curve.losses[:points], record.num_it)[0]
    except NoSuggestion:
        return None


def _shown(told: tuple[float | None, Spread | None]) -> str:
    rate, spread = told
    if rate is None:
        return "no suggestion"
    return f"{rate:.2e}" if spread is None else f"{rate:.2e} ({spread[0]:.2e} to {spread[1]:.2e})"


@functools.cache
def _kind(names: tuple[str, ...]) -> Any:
    fields = namedtuple("LRFound", names)  # noqa: PYI024 - the fields are the user's functions
    return type("LRFound", (LRFound, fields), {"__doc__": LRFound.__doc__})


def _found(names: tuple[str, ...], rates: dict[str, float | None], measured: dict[str, Any]) -> LRFound:
    found = _kind(names)(**rates)
    vars(found).update(measured)
    return found


_TAKEN = frozenset({*dir(LRFound), "record", "spread"})  # what a suggestion cannot be called
