"""A model's layers, from input to output, divided into groups."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import keras

from keras_sched.arguments import names_checked
from keras_sched.errors import check_whole, wrong_state, wrong_type, wrong_value

_BACKBONE_SHARE = 0.1  # a nested model smaller than this share of the largest one is not a backbone


def _layer_classes(*names: str) -> tuple[type[keras.Layer], ...]:
    return tuple(getattr(keras.layers, name) for name in names if hasattr(keras.layers, name))


# A normalization goes with the layer before it, so that no boundary comes between a convolution and its BatchNorm.
_NORMALIZATIONS = _layer_classes(
    "BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "RMSNormalization"
)
_FLATTENING = _layer_classes(
    "Flatten", *(f"Global{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3))
)


@names_checked
def layer_groups(model: keras.Model, n: int = 2) -> list[list[keras.Layer]]:
    """Divide a model's layers into `n` groups, from input to output.

    The last group is the head, where the model has one: what comes after its backbone (`model.backbone`, or the last
    large nested model), or else from the last `Flatten` or global pooling on. The others divide what is before it, and
    a model without a head is divided as a whole, so that each has the same number of layers with weights, or one more
    in the earlier groups. Layers without weights, and normalizations, go with the layer before them.

    Args:
        model: a built Keras model. The layers of a subclassed model come in the order in which it was given them.
        n: the number of groups, from 1 to the number of layers with weights (normalizations aside).

    Returns:
        `n` lists of layers. A nested model that lies in one group as a whole stands for its layers; a layer that is
        used more than once is in the first group that uses it. Input layers are left out.

    Raises:
        ValueError: when the model cannot be divided into so many groups; the message says into how many it can.
        RuntimeError: when the model is not built.

    Example:
        >>> import keras
        >>> from keras_sched import layer_groups
        >>> backbone = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(4)], name="body")
        >>> head = keras.layers.Dense(2, name="head")
        >>> model = keras.Sequential([backbone, keras.layers.Dropout(0.1, name="dropout"), head])
        >>> [[layer.name for layer in group] for group in layer_groups(model)]
        [['body'], ['dropout', 'head']]

    The cut between body and head is fastai's, whose learners fine-tune in the same groups.
    """
    return split_layers(model, check_whole("n", n, "the number of groups", 2), "n")


def check_built(model: Any) -> None:
    """Raise unless `model` is a Keras model that has its weights."""
    if not isinstance(model, keras.Model):
        raise wrong_type(f"model={model!r}", "it is no Keras model", "Pass a `keras.Model`.")
    if not model.built or not model.weights:
        cure = "Build it first: call it on a batch, or `model.build((None, ...))`."
        raise wrong_state(f"the model `{model.name}` without weights", "groups are made of the layers' weights", cure)


def most_groups(model: keras.Model) -> int:
    """Into how many groups the layers of a model can be divided."""
    return sum(_anchors(_leaves(model)))


def unique(things: Iterable[Any]) -> list[Any]:
    """The things, each once, where it came first."""
    return list({id(thing): thing for thing in things}.values())


def split_layers(model: keras.Model, n: int, name: str, asking: str | None = None) -> list[list[keras.Layer]]:
    """`layer_groups`; errors name the argument `name`, or `asking`, from which the number of groups follows."""
    check_built(model)
    leaves = _leaves(model)
    largest = most_groups(model)
    if n > largest:
        own = "; it has weights of its own, outside its layers" if leaves == [model] else ""
        layers = f"{'layer' if largest == 1 else 'layers'} with weights to divide, normalizations aside"
        has = f"`{model.name}` has {largest} {layers}{own}"
        most = f"at most `{name}={largest}`"
        if asking is not None:
            has, most = f"that is {n} parameter groups, and {has}", "one value" if largest == 1 else f"{largest} values"
        lists = "" if name == "n" and asking is None else ", or `groups=` as lists of name patterns"
        raise wrong_value(asking or f"{name}={n}", has, f"Pass {most}{lists}.")
    start = _head_start(model, leaves)
    body, head = leaves[:start], leaves[start:]
    in_head = max(1, n - sum(_anchors(body))) if body else n
    parts = [*_divide(body, n - in_head), *_divide(head, in_head)] if n > 1 else [leaves]
    return [_collapse(model, {id(leaf) for leaf in part}, set()) for part in parts]


def _leaves(model: keras.Layer) -> list[keras.Layer]:
    """The layers that a boundary may come between: nested models are taken apart, other layers are not."""
    if not _is_divisible(model):
        return [model]
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return unique(leaf for layer in layers for leaf in _leaves(layer))


def _is_divisible(layer: keras.Layer) -> bool:
    """Whether a layer is a model whose weights are all its layers'."""
    if not isinstance(layer, keras.Model) or not layer.layers:
        return False
    below = {id(weight) for inner in layer.layers for weight in inner.weights}
    return all(id(weight) in below for weight in layer.weights)


def _anchors(leaves: Sequence[keras.Layer]) -> list[bool]:
    """For each layer, whether it counts as one; the others go with the one before them."""
    counted = [bool(leaf.weights) and not isinstance(leaf, _NORMALIZATIONS) for leaf in leaves]
    return counted if any(counted) else [bool(leaf.weights) for leaf in leaves]


def _divide(leaves: list[keras.Layer], n: int) -> list[list[keras.Layer]]:
    """Cut `leaves` into `n` runs with the same number of anchors, or one more in the earlier runs."""
    if n == 0:
        return []
    starts = [place for place, anchor in enumerate(_anchors(leaves)) if anchor]
    small, more = divmod(len(starts), n)
    cuts = [starts[count] for count in accumulate(small + (part < more) for part in range(n - 1))]
    return [leaves[first:last] for first, last in zip([0, *cuts], [*cuts, len(leaves)], strict=True)]


def _head_start(model: keras.Model, leaves: list[keras.Layer]) -> int:
    """The index of the first layer of the head, or 0 if the model has none."""
    anchors = _anchors(leaves)
    core = _core(model)

    def cut(place: int) -> int:
        return place if any(anchors[:place]) and any(anchors[place:]) else 0

    def end(part: keras.Layer) -> int:
        inside = {id(leaf) for leaf in _leaves(part)}
        return cut(max((place + 1 for place, leaf in enumerate(leaves) if id(leaf) in inside), default=0))

    backbone = getattr(core, "backbone", None)
    if isinstance(backbone, keras.Layer) and end(backbone):
        return end(backbone)
    nested = [part for part in core.layers if isinstance(part, keras.Model) and part.weights and end(part)]
    if nested:
        least = _BACKBONE_SHARE * max(part.count_params() for part in nested)
        return max(end(part) for part in nested if part.count_params() >= least)
    if any(len(output.shape) > 2 for output in getattr(core, "outputs", None) or []):
        return 0  # what follows a pooling goes back to an image or a sequence: the pooling is a gate, not the end
    return max((cut(place) for place, leaf in enumerate(leaves) if isinstance(leaf, _FLATTENING)), default=0)


def _core(model: keras.Model) -> keras.Model:
    """The model itself, or the one nested model that has all its weights."""
    weighted = [layer for layer in model.layers if layer.weights]
    alone = len(weighted) == 1 and isinstance(weighted[0], keras.Model) and _is_divisible(model)
    return _core(weighted[0]) if alone else model


def _collapse(model: keras.Layer, wanted: set[int], done: set[int]) -> list[keras.Layer]:
    """The leaves whose ids are `wanted`, with a nested model in place of its leaves where it holds no others."""
    if not _is_divisible(model):
        return [model]
    found: list[keras.Layer] = []
    for layer in model.layers:
        inside = {id(leaf) for leaf in _leaves(layer)} - done
        if isinstance(layer, keras.layers.InputLayer) or not inside & wanted:
            continue
        found += [layer] if inside <= wanted else _collapse(layer, wanted, done)
        done |= inside & wanted
    return found
