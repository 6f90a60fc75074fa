"""What every recipe returns: a dictionary that says what it is where it is taken for a callback."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from keras_sched.annealers.base import Annealer
from keras_sched.arguments import names_checked
from keras_sched.errors import NoCallback

P = ParamSpec("P")


class Recipe(NoCallback, dict[str, Annealer]):
    """{hyper-parameter: annealer}."""


def recipe(function: Callable[P, dict[str, Annealer]]) -> Callable[P, dict[str, Annealer]]:
    """A public function that returns a recipe."""
    checked = names_checked(function)

    @wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> dict[str, Annealer]:
        return Recipe(checked(*args, **kwargs))

    return made
