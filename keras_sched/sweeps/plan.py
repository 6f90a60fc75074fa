"""What a sweep will train: its candidates, and how many of them are trained for how long in each round."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import Parameter, signature
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np

from keras_sched.arguments import check_names
from keras_sched.errors import shown, wrong_type, wrong_value

COUNT, DECADES = 5, 1.0
"""The rates that are tried by default lie around the suggested one: so many, over so many factors of ten.

What the benchmark of the suggestions advises (`python -m benchmarks.regret`).
"""
_LONGER = 10  # times as long as the round before; the same benchmark
_ANY = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
FINALISTS = 3

Candidate = TypeVar("Candidate")


class Round(NamedTuple):
    """How many candidates a round trains, and for how many epochs each."""

    candidates: int
    epochs: int


def rates_around(rate: float) -> list[float]:
    """The rates that are tried by default, rising, with `rate` in the middle."""
    return [float(each) for each in rate * 10 ** (DECADES * np.linspace(-0.5, 0.5, COUNT))]


def rounds_of(candidates: int, finalists: int, rounds: int, epochs: int) -> list[Round]:
    """Successive halving: fewer candidates in each round and longer ones; the last has `finalists` at all `epochs`.

    Rounds that would be as long as the one after them are left out.
    """
    finalists = min(finalists, candidates)
    if finalists == candidates or rounds == 1:
        return [Round(candidates, epochs)]
    left = np.geomspace(candidates, finalists, rounds).round().astype(int)
    lengths = [max(1, round(epochs / _LONGER ** (rounds - 1 - number))) for number in range(rounds)]
    found: dict[int, int] = {}
    for count, length in zip(left.tolist(), lengths, strict=True):
        found.setdefault(length, count)
    return [Round(count, length) for length, count in found.items()]


def bracket(
    around: list[Candidate], left: list[Candidate], ranked: Callable[[], list[Candidate]]
) -> Iterator[list[Candidate]]:
    """Which of the default candidates the last round trains, in turn; `ranked` tells how those before came out.

    The two next to the middle one, then the one beyond the better of them. A short round favours other rates than a
    long one, so it only says which diverge, and are not `left`. The benchmark advises this too.
    """
    low, below, middle, above, high = around
    if len(left) <= FINALISTS or below not in left or above not in left:
        yield left[:FINALISTS]
        return
    yield [below, above]
    beyond = high if ranked()[:1] == [above] else low
    yield [beyond if beyond in left else middle]


def grid(over: Any) -> list[dict[str, Any]]:
    """Every combination of the values of {argument: values}.

    Raises:
        TypeError: when it is no such dictionary.
        ValueError: when there is nothing in it.
    """
    cure = "Pass for example `over={'lr_max': [1e-3, 3e-3, 1e-2], 'wd': [0, 0.01]}`."
    if not isinstance(over, Mapping):
        raise wrong_type(f"over={shown(over)}", "it must be {argument of the recipe: values to try}", cure)
    lists: dict[str, list[Any]] = {}
    for name, values in over.items():
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise wrong_type(f"over={{{name!r}: {shown(values)}}}", "it must be a list of the values to try", cure)
        lists[name] = [value.item() if isinstance(value, np.generic) else value for value in values]
    found = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    if not over or not found:
        raise wrong_value(f"over={shown(over)}", "there is no value to try in it", cure)
    return found


_RATES = ("lr_max", "lr", "learning_rate", "rate", "max_lr", "base_lr")  # of a recipe of one's own


def rates_of(recipe: Any, over: Any = None) -> tuple[str, ...]:
    """The arguments for rates: of this library's recipes (or a `functools.partial`), else by names in `over`."""
    return getattr(getattr(recipe, "func", recipe), "by_group", tuple(name for name in _RATES if name in (over or ())))


def check_recipe(recipe: Any, over: Any) -> None:
    """Raise where `recipe` makes no schedules, or has no arguments of the names in `over`."""
    expected = "it must be what makes a schedule for each candidate: a class, or a function"
    if isinstance(recipe, keras.callbacks.Callback):
        cure = f"Pass the class: `recipe={type(recipe).__name__}`, and its arguments in `over`."
        raise wrong_type(f"recipe={type(recipe).__name__}(...)", f"{expected}, and this is one schedule", cure)
    if not callable(recipe):
        raise wrong_type(f"recipe={shown(recipe)}", expected, "Pass for example `recipe=OneCycle`.")
    name, parameters = getattr(recipe, "__name__", "recipe"), signature(recipe).parameters
    given = over if isinstance(over, Mapping) else dict.fromkeys(rates_of(recipe)[:1] or ("lr_max",))
    if isinstance(over, Mapping):
        check_names(over, parameters, having=f"a name in `over` is an argument of the recipe `{name}`, which has")
    needed = [each.name for each in parameters.values() if each.default is each.empty and each.kind not in _ANY]
    missing = [each for each in needed if each not in given]
    if "model" in missing:
        raise wrong_type(f"recipe={name}", f"{expected}, and this trains", "Pass the callback, as `recipe=OneCycle`.")
    if missing:
        cure = f"Put it in `over`: `{{{missing[0]!r}: [...]}}`; or pass a function of the others that returns one."
        raise wrong_type(f"recipe={name}", f"it cannot be made without {' and '.join(missing)}", cure)
