"""Groups of layers from input to output, and the variables of each group."""

from itertools import chain

import keras
import numpy as np
import pytest
from keras import layers

from keras_sched.errors import speaking_as
from keras_sched.groups import divide_variables, layer_groups, resolve_groups


def group_indices(model, groups):
    """The group of each of `model.trainable_variables`, from 0."""
    index = {id(each): number for number, group in enumerate(resolve_groups(model, groups)) for each in group}
    return [index[id(variable)] for variable in model.trainable_variables]


def names(groups):
    return [[layer.name for layer in group] for group in groups]


def paths(groups):
    return [[variable.path for variable in group] for group in groups]


def dense(*given, units=3):
    return [layers.Dense(units, name=name) for name in given]


def mlp(*given):
    return keras.Sequential([keras.Input((3,)), *dense(*given)], name="mlp")


def conv_body(name="body"):
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, name="conv_1"),
            layers.BatchNormalization(name="norm_1"),
            layers.Activation("relu", name="relu_1"),
            layers.Conv2D(2, 3, name="conv_2"),
            layers.BatchNormalization(name="norm_2"),
        ],
        name=name,
    )


def with_body(body):
    """Input, a layer without weights, a nested backbone, and a head of three layers."""
    inputs = keras.Input((6, 6, 1))
    features = body(layers.Rescaling(2.0, name="scale")(inputs))
    pooled = layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.Model(inputs, layers.Dense(2, name="out")(layers.Dropout(0.1, name="drop")(pooled)))


class Tower(keras.Model):
    """A subclassed model: its layers are attributes, one of them in a list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stem = layers.Dense(3, name="stem")
        self.blocks = dense("block_1", "block_2")
        self.out = layers.Dense(2, name="out")

    def call(self, x):
        for layer in (self.stem, *self.blocks, self.out):
            x = layer(x)
        return x


def tower():
    model = Tower()
    model(np.zeros((1, 3), "float32"))
    return model


# Layers


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, [["a", "b", "c", "d", "e"]]),
        (2, [["a", "b", "c"], ["d", "e"]]),
        (3, [["a", "b"], ["c", "d"], ["e"]]),
        (5, [["a"], ["b"], ["c"], ["d"], ["e"]]),
    ],
)
def test_layers_in_a_row_are_divided_evenly_with_the_larger_groups_first(n, expected):
    assert names(layer_groups(mlp(*"abcde"), n)) == expected


def test_the_groups_hold_the_models_own_layers():
    model = mlp(*"ab")
    assert [group[0] for group in layer_groups(model)] == model.layers


def test_a_nested_backbone_is_one_group_and_the_head_the_other():
    assert names(layer_groups(with_body(conv_body()))) == [["scale", "body"], ["pool", "drop", "out"]]


def test_more_groups_divide_the_backbone_and_leave_the_head_whole():
    expected = [["scale", "conv_1", "norm_1", "relu_1"], ["conv_2", "norm_2"], ["pool", "drop", "out"]]
    assert names(layer_groups(with_body(conv_body()), 3)) == expected


def test_more_groups_than_the_backbone_has_layers_divide_the_head_too():
    body = keras.Sequential([keras.Input((3,)), *dense("b")], name="body")
    model = keras.Sequential([body, *dense("x", "y", "z")])
    assert names(layer_groups(model, 3)) == [["body"], ["x", "y"], ["z"]]


def test_the_model_of_all_layers_stands_for_them_where_one_group_has_them_all():
    outer = keras.Sequential([keras.Input((3,)), mlp(*"ab")])
    assert names(layer_groups(outer, 1)) == [["mlp"]]


def test_a_model_that_only_wraps_another_is_divided_as_that_one():
    inner = with_body(conv_body())
    outer = keras.Sequential([keras.Input((6, 6, 1)), inner])
    assert names(layer_groups(outer)) == names(layer_groups(inner))


def test_of_several_nested_models_the_body_ends_after_the_last_large_one():
    inputs = [keras.Input((3,)), keras.Input((3,))]
    joined = layers.Concatenate(name="join")(
        [
            keras.Sequential([keras.Input((3,)), layers.Dense(20)], name="left")(inputs[0]),
            keras.Sequential([keras.Input((3,)), layers.Dense(18)], name="right")(inputs[1]),
        ]
    )
    hidden = layers.Dense(50, name="hidden")(joined)
    body, head = names(layer_groups(keras.Model(inputs, layers.Dense(1, name="out")(hidden))))
    assert ({"left", "right"} <= set(body), head) == (True, ["join", "hidden", "out"])


def test_a_nested_model_much_smaller_than_the_backbone_belongs_to_the_head():
    body = keras.Sequential([keras.Input((3,)), layers.Dense(30), layers.Dense(30)], name="body")
    neck = keras.Sequential([keras.Input((30,)), layers.Dense(2)], name="neck")
    assert names(layer_groups(keras.Sequential([body, neck, *dense("out")]))) == [["body"], ["neck", "out"]]


def test_the_backbone_that_a_model_names_is_the_body():
    class Task(keras.Model):
        def __init__(self):
            body, neck = mlp(*"ab"), keras.Sequential([keras.Input((3,)), *dense("n")], name="neck")
            inputs = keras.Input((3,))
            super().__init__(inputs, layers.Dense(2, name="out")(neck(body(inputs))))
            self.backbone = body

    assert names(layer_groups(Task())) == [["mlp"], ["neck", "out"]]


def test_a_named_backbone_is_found_also_where_its_layers_are_the_models_own():
    body = mlp(*"ab")

    class Task(keras.Model):
        @property
        def backbone(self):
            return body

    hidden = layers.Dense(3, name="hidden")(body.outputs[0])
    assert names(layer_groups(Task(body.inputs, layers.Dense(2, name="out")(hidden)))) == [
        ["a", "b"],
        ["hidden", "out"],
    ]


@pytest.mark.parametrize("flatten", [layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
def test_the_head_of_a_flat_network_begins_where_the_image_ends(flatten):
    convolutions = [layers.Conv2D(2, 3, name=f"conv_{i}") for i in range(3)]
    model = keras.Sequential([keras.Input((9, 9, 1)), *convolutions, flatten(name="flat"), *dense("x", "y")])
    assert names(layer_groups(model)) == [["conv_0", "conv_1", "conv_2"], ["flat", "x", "y"]]


def test_a_pooling_in_the_middle_of_an_image_network_ends_nothing():
    inputs = keras.Input((6, 6, 2))
    gate = layers.Dense(2, name="gate")(layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(inputs))
    features = layers.Conv2D(2, 3, name="conv_1")(layers.Multiply(name="gated")([inputs, gate]))
    model = keras.Model(inputs, layers.Conv2D(2, 3, name="conv_2")(features))
    assert names(layer_groups(model)) == [["squeeze", "gate", "gated", "conv_1"], ["conv_2"]]


def test_a_flatten_before_all_weights_begins_no_head():
    model = keras.Sequential([keras.Input((2, 2)), layers.Flatten(name="flat"), *dense("a", "b")])
    assert names(layer_groups(model)) == [["flat", "a"], ["b"]]


def test_layers_without_weights_and_normalizations_go_with_the_layer_before_them():
    row = [layers.Dropout(0.1, name="drop"), *dense("a"), layers.LayerNormalization(name="norm"), *dense("b")]
    model = keras.Sequential([keras.Input((3,)), *row, layers.Activation("relu", name="relu")])
    assert names(layer_groups(model)) == [["drop", "a", "norm"], ["b", "relu"]]


def test_a_model_of_normalizations_alone_is_divided_by_them():
    row = [layers.LayerNormalization(name=name) for name in "ab"]
    assert names(layer_groups(keras.Sequential([keras.Input((3,)), *row]))) == [["a"], ["b"]]


def test_the_layers_of_a_subclassed_model_come_in_the_order_it_was_given_them():
    assert names(layer_groups(tower(), 3)) == [["stem", "block_1"], ["block_2"], ["out"]]


def test_a_shared_layer_is_in_the_first_group_that_uses_it():
    shared, middle, last = dense("shared", "middle", "last")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, last(shared(middle(shared(inputs)))))
    found = names(layer_groups(model, 3))
    assert sorted(chain(*found)) == ["last", "middle", "shared"]
    assert found[0] == ["shared"]


def test_a_layer_that_two_nested_models_share_is_named_once():
    shared, a, b, out = dense("shared", "a", "b", "out")
    left = keras.Sequential([keras.Input((3,)), shared, a], name="left")
    right = keras.Sequential([keras.Input((3,)), shared, b], name="right")
    inputs = keras.Input((3,))
    groups = layer_groups(keras.Model(inputs, out(right(left(inputs)))), 3)
    assert names(groups) == [["left"], ["b"], ["out"]]


def test_groups_are_the_same_when_layers_are_frozen():
    model = with_body(conv_body())
    before = names(layer_groups(model, 3))
    model.trainable = False
    assert names(layer_groups(model, 3)) == before


def test_a_nested_model_with_weights_of_its_own_is_not_taken_apart():
    class Body(keras.Model):
        def __init__(self):
            super().__init__(name="body")
            self.inner = dense("x", "y")

        def build(self, shape):
            self.token = self.add_weight(shape=(3,), name="token")
            for layer in self.inner:
                layer.build((None, 3))

        def call(self, x):
            return self.inner[1](self.inner[0](x + self.token))

    model = keras.Sequential([keras.Input((3,)), Body(), *dense("p", "q")])
    assert names(layer_groups(model)) == [["body"], ["p", "q"]]
    with pytest.raises(ValueError, match="Pass at most `n=3`"):
        layer_groups(model, 4)
    with pytest.raises(ValueError, match=r"weights of its own, outside its layers. Pass at most `n=1`"):
        layer_groups(model.layers[0], 2)


@pytest.mark.parametrize("n", [0, -1, 1.0, True, "2", None])
def test_the_number_of_groups_is_a_whole_number(n):
    with pytest.raises(ValueError, match=r"`layer_groups` received `n="):
        layer_groups(mlp(*"ab"), n)


def test_too_many_groups_are_an_error_that_says_the_largest_number():
    with pytest.raises(ValueError, match=r"received `n=4`; `mlp` has 3 layers with weights.*Pass at most `n=3`"):
        layer_groups(mlp(*"abc"), 4)


@pytest.mark.parametrize("make", [lambda: keras.Sequential([layers.Dense(2)]), Tower])
def test_a_model_that_is_not_built_says_how_to_build_it(make):
    with pytest.raises(RuntimeError, match=r"Build it first: call it on a batch"):
        layer_groups(make())


def test_what_is_no_model_has_no_groups():
    with pytest.raises(TypeError, match=r"Pass a `keras\.Model`"):
        layer_groups(layers.Dense(2))


@pytest.mark.slow
def test_mobilenet_is_divided_into_body_and_head_and_into_many_groups():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=3)
    body, head = layer_groups(model)
    assert [type(layer).__name__ for layer in head] == ["GlobalAveragePooling2D", "Dense"]
    assert body[0].name == "Conv1"
    for n in (3, 24):
        indices = group_indices(model, n)
        assert indices == sorted(indices)
        assert set(indices) == set(range(n))


# Variables


@pytest.mark.parametrize("make", [lambda: mlp(*"abc"), lambda: with_body(conv_body()), tower])
def test_every_variable_that_trains_is_in_exactly_one_group(make):
    model = make()
    for n in (1, 2, 3):
        found = [id(variable) for variable in chain(*resolve_groups(model, n))]
        assert len(set(found)) == len(found)
        assert {id(variable) for variable in model.trainable_variables} <= set(found)


def test_indices_are_those_of_the_trainable_variables_in_their_order():
    assert group_indices(mlp(*"abc"), 2) == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "groups",
    [
        [["/a/", "/b/kernel"], ["/b/bias", "/c/"]],
        (("a/", "b/k"), ("b/b", "c/")),
        lambda variable: 0 if "/a/" in variable.path or "b/kernel" in variable.path else 1,
        lambda variable: np.int64("/c/" in variable.path or "b/bias" in variable.path),
    ],
    ids=["patterns", "tuples", "function", "numpy"],
)
def test_patterns_and_functions_divide_also_the_variables_of_one_layer(groups):
    assert group_indices(mlp(*"abc"), groups) == [0, 0, 0, 1, 1, 1]


def test_lists_of_layers_take_the_variables_of_the_layers():
    model = with_body(conv_body())
    assert group_indices(model, [[model.get_layer("out")], [model.get_layer("body")]]) == [1] * 8 + [0] * 2
    assert group_indices(model, layer_groups(model, 3)) == group_indices(model, 3)


def test_a_group_may_name_layers_and_patterns_and_a_single_one_needs_no_list():
    model = mlp(*"abc")
    assert group_indices(model, [model.layers[0], "/b/", ["/c/kernel", "/c/bias"]]) == [0, 0, 1, 1, 2, 2]


def test_a_layer_without_weights_does_no_harm_in_a_group():
    model = with_body(conv_body())
    body, head = layer_groups(model)
    assert any(not layer.weights for layer in head)
    assert group_indices(model, [body, head]) == group_indices(model, 2)


def test_a_group_whose_variables_are_all_frozen_keeps_its_number():
    model = mlp(*"abc")
    model.layers[0].trainable = False
    for groups in (3, [["/a/"], ["/b/"], ["/c/"]], layer_groups(model, 3), lambda v: "abc".index(v.path.split("/")[1])):
        assert group_indices(model, groups) == [1, 1, 2, 2]
        assert len(resolve_groups(model, groups)) == 3


def test_frozen_variables_are_in_their_group_and_need_none():
    model = mlp(*"abc")
    model.layers[0].trainable = False
    assert paths(resolve_groups(model, 3))[0] == ["mlp/a/kernel", "mlp/a/bias"]
    assert group_indices(model, [["/b/"], ["/c/"]]) == [0, 0, 1, 1]


def test_weights_tied_between_two_groups_are_the_first_groups():
    class Tied(layers.Layer):
        def __init__(self, other):
            super().__init__(name="tied")
            self.kernel = other.kernel
            self.scale = self.add_weight(shape=(3,), name="scale")

        def call(self, x):
            return keras.ops.matmul(x, keras.ops.transpose(self.kernel)) * self.scale

    first = layers.Dense(3, name="first")
    first.build((None, 3))
    model = keras.Sequential([keras.Input((3,)), first, Tied(first)])
    assert group_indices(model, 2) == [0, 0, 1]


def missing(model, groups):
    with speaking_as("OneCycle"), pytest.raises(ValueError, match="no group has") as caught:
        resolve_groups(model, groups)
    return str(caught.value)


def test_variables_in_no_group_are_named_with_a_pattern_to_add():
    message = missing(mlp(*"abcdef"), [["/a/"], ["/b/kernel"]])
    assert message.startswith("`OneCycle` received `groups=[['/a/'], ['/b/kernel']]`")
    assert "`mlp/b/bias`, `mlp/c/kernel`, `mlp/c/bias`, `mlp/d/kernel`, `mlp/d/bias` and 4 more" in message
    assert r"for example as the pattern `'^mlp/b/'`" in message


def test_layers_that_are_left_out_are_named_by_their_variables():
    model = mlp(*"abc")
    assert "`mlp/b/kernel`, `mlp/b/bias`, and" in missing(model, [[model.layers[0]], [model.layers[2]]])


@pytest.mark.parametrize("groups", [[["a/"], ["a/kernel", "b/"]], [["/a/", "/b/"], ["b/bias"], ["/a/"]]])
def test_variables_in_two_groups_are_named_with_both(groups):
    with pytest.raises(ValueError, match=r"groups 0 and [12] both have `mlp/a/kernel`.*one group only"):
        resolve_groups(mlp(*"ab"), groups)


def test_a_layer_in_two_groups_is_an_error_also_where_it_is_nested():
    model = with_body(conv_body())
    inner = model.get_layer("body").layers[0]
    with pytest.raises(ValueError, match="groups 0 and 1 both have `body/conv_1/kernel`"):
        resolve_groups(model, [["body"], [inner, "out"]])


def test_a_pattern_that_matches_nothing_is_named_with_what_there_is():
    with pytest.raises(ValueError, match=r"'/z/'.*in group 1 that pattern matches no variable.*`mlp/a/kernel`"):
        resolve_groups(mlp(*"ab"), [["a", "b"], ["/z/"]])


def test_a_pattern_is_a_regular_expression():
    with pytest.raises(ValueError, match="that is no regular expression"):
        resolve_groups(mlp(*"ab"), [["("], ["b"]])


@pytest.mark.parametrize("make", [lambda: layers.Dense(2), lambda: layers.Dropout(0.5), lambda: mlp("other")])
def test_a_layer_that_is_not_in_the_model_is_an_error(make):
    stranger = make()
    with pytest.raises(ValueError, match=rf"`{stranger.name}` of group 0 is not in the model.*layer_groups\(model"):
        resolve_groups(mlp(*"ab"), [[stranger], ["/a/", "/b/"]])


@pytest.mark.parametrize("index", [-1, 0.5, None, "a", True])
def test_a_function_returns_an_index(index):
    with pytest.raises(ValueError, match=rf"for `mlp/a/kernel` it returned {index!r}"):
        resolve_groups(mlp("a"), lambda _: index)


def test_an_error_in_the_users_function_is_the_users():
    with pytest.raises(KeyError, match="mlp/a/kernel"):
        resolve_groups(mlp("a"), lambda variable: {}[variable.path])


def test_a_function_is_asked_about_variables_that_train_and_no_others():
    asked = []
    model = with_body(conv_body())
    resolve_groups(model, lambda variable: asked.append(variable.path) or 0)
    assert asked == [variable.path for variable in model.trainable_variables]


@pytest.mark.parametrize("groups", ["body", [], {}, 1.5, [[]], [["a"], []], [["a"], 1], [["a"], [1]], {"a": ["b"]}])
def test_what_is_no_grouping_says_what_one_is(groups):
    with pytest.raises(TypeError, match=r"Pass for example `groups="):
        resolve_groups(mlp(*"ab"), groups)


@pytest.mark.parametrize(
    ("groups", "reason"), [(0, "of at least 1"), (True, "of at least 1"), (3, "at most `groups=2`")]
)
def test_a_number_of_groups_that_cannot_be_is_an_error(groups, reason):
    with speaking_as("FlatCos"), pytest.raises(ValueError, match=rf"`FlatCos` received `groups={groups}`.*{reason}"):
        group_indices(mlp(*"ab"), groups)


# Without a model


def test_an_optimizers_variables_are_divided_without_a_model():
    model = mlp(*"ab")
    for groups in ([["/a/"], ["/b/"]], layer_groups(model), lambda variable: int("/b/" in variable.path)):
        found = divide_variables(model.trainable_variables, groups)
        assert paths(found) == [["mlp/a/kernel", "mlp/a/bias"], ["mlp/b/kernel", "mlp/b/bias"]]
    assert len(divide_variables(model.trainable_variables, 1)[0]) == 4


def test_without_a_model_a_number_of_groups_is_an_error_that_says_what_to_pass():
    with (
        speaking_as("scheduled"),
        pytest.raises(ValueError, match=r"`scheduled` received `groups=2`.*layer_groups\(model, 2\)"),
    ):
        divide_variables(mlp(*"ab").trainable_variables, 2)
    with pytest.raises(ValueError, match="no group has `mlp/b/kernel`"):
        divide_variables(mlp(*"ab").trainable_variables, [["/a/"]])
