"""What a search may pass to `fit`, and for how long, by the kind of its data."""

import types
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import keras

from keras_sched.errors import check_data_given, wrong_value

# By name, so that no library is imported to recognise what does not come from it.
_SHUFFLED_ALREADY = {
    "DatasetV2": "tensorflow",
    "DistributedDataset": "tensorflow",
    "DistributedDatasetsFromFunction": "tensorflow",
    "DataLoader": "",  # PyTorch's, and Grain's
    "IterDataset": "grain",
    "MapDataset": "grain",
}


def is_generator(x: Any) -> bool:
    """Whether there is one pass through the data, which a `fit` takes up where the last one left it."""
    return isinstance(x, types.GeneratorType)


def check_data(x: Any) -> Any:
    """Refuse `None`, and data without a batch, as far as it can be known; give back the data, nothing missing."""
    check_data_given(x)
    if is_generator(x):
        first = list(islice(x, 1))
        if not first:
            raise _no_data("a generator that has ended")
        return _chain(first, x)
    if _is_empty(x):
        raise _no_data(f"{type(x).__name__} of length 0")
    return x


def check_repeatable(x: Any) -> None:
    """Refuse validation data that has no batch, or that can be read only once."""
    if is_generator(x):
        expected = "it is read after each batch, and a generator can be read once"
        raise wrong_value("validation_data=<generator>", expected, "Pass arrays, or a dataset that can be read again.")
    check_data(x)


def check_ran(batches: int) -> None:
    """Refuse data which, as the fit has found, had no batch."""
    if not batches:
        raise _no_data("data without a batch")


def can_shuffle(x: Any) -> bool:
    """Whether `fit` takes `shuffle` for such data."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is not None
    kinds = type(x).__mro__
    known = (kind.__module__.startswith(_SHUFFLED_ALREADY.get(kind.__name__, "nowhere")) for kind in kinds)
    return not is_generator(x) and not any(known)


def enough(x: Any, batches: int) -> tuple[Any, int]:
    """The data and the epochs for so many batches. Of a generator, no thread that reads ahead takes more than that."""
    return (_chain(islice(x, batches)), 1) if is_generator(x) else (x, batches)


def _no_data(received: str) -> ValueError:
    return wrong_value(received, "the search needs data to train on", "Pass at least one batch.")


def _is_empty(x: Any) -> bool:
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches == 0
    cardinality = getattr(x, "cardinality", None)
    if cardinality is not None:
        count = cast(Any, cardinality() if callable(cardinality) else cardinality)
        return int(count) == 0
    if hasattr(x, "__len__") and not isinstance(x, dict | list | tuple):
        return _length(x) == 0
    return any(_length(part) == 0 for part in keras.tree.flatten(x))


def _length(part: Any) -> int | None:
    try:
        return len(part)
    except TypeError:  # a scalar, or data that does not know
        return None


def _chain(*parts: Any) -> Iterator[Any]:
    """`itertools.chain` as a generator, which is what Keras knows."""
    for part in parts:
        yield from part
