"""The rules that are judged: every suggestion of the library, and what one would do without them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.regret.regrets import DEFAULT_RATES, NUM_IT, Rule, Search
from keras_sched import halfway, inflection, min_grad, minimum, slide, steep, valley
from keras_sched.errors import NoSuggestion


def _of(suggest: Callable[..., Any]) -> Rule:
    return lambda search: suggest(*search.seen, NUM_IT)[0]


def by_default(search: Search) -> Any:
    """The `lr` of what `lr_find` returns: of its two suggestions by default, the first that has an answer."""
    try:
        return _of(halfway)(search)
    except NoSuggestion:
        return _of(valley)(search)


def between_minimum_and_steep(search: Search) -> float:
    """The rule of fastai's book: between a tenth of the rate at the lowest loss and the rate of the steepest fall."""
    return float(np.sqrt(_of(minimum)(search) * unguarded_steep(search)))


def random_rate(search: Search) -> float:
    """Any of 1e-5 to 1, each factor of ten alike; the same for a search each time."""
    seed = [search.seed, *search.task.encode(), *search.optimizer.encode()]
    return float(10 ** np.random.default_rng(seed).uniform(-5, 0))


def unguarded_steep(search: Search) -> float:
    """The rate of the steepest fall, wherever it lies: fastai's."""
    rates, losses = search.seen
    return float(rates[(np.diff(losses) / np.diff(np.log(rates))).argmin()])


def around_halfway(count: int, factor: float) -> Rule:
    """So many rates, each so many times the one before, with `halfway` in the middle: the best of them is taken."""
    steps = factor ** (np.arange(count) - (count - 1) / 2)
    return lambda search: [float(rate) for rate in steps * halfway(*search.seen, NUM_IT)[0]]


RULES: dict[str, Rule] = {
    "found.lr": by_default,
    "halfway": _of(halfway),
    "minimum": _of(minimum),
    "slide": _of(slide),
    "valley": _of(valley),
    "steep": _of(steep),
    "min_grad": _of(min_grad),
    "inflection": _of(inflection),
    "steep, unguarded": unguarded_steep,
    "fastai's book": between_minimum_and_steep,
    "best of 3 around halfway, a factor of 3 apart": around_halfway(3, 3.0),
    "best of 5 around halfway, a factor of 2 apart": around_halfway(5, 2.0),
    "best of 5 around halfway, a factor of 3 apart": around_halfway(5, 3.0),
}
WITHOUT_SEARCH: dict[str, Rule] = {
    "default rate": lambda search: DEFAULT_RATES[search.optimizer],
    "random rate": random_rate,
}
