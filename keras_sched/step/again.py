"""TensorFlow from Keras 3.16 on: a step's batch is taken before the step is traced, and a trace may be thrown away."""

from typing import Any

from keras_sched.step.attributes import put, take_away

_TAKE = "get_next_as_optional"


def taken_once(iterator: Any, batches: int) -> None:
    """Let `iterator` give its coming batch as often as it is asked, until `go_on`; not for a call of several."""
    taken: list[Any] = []
    take = getattr(iterator, _TAKE, None)
    if batches > 1 or take is None or _TAKE in vars(iterator):
        return

    def again() -> Any:
        taken.extend([] if taken else [take()])
        return taken[0]

    put(iterator, _TAKE, again)


def go_on(iterator: Any) -> None:
    """Let `iterator` give the next one."""
    if _TAKE in getattr(iterator, "__dict__", ()):
        take_away(iterator, _TAKE)
