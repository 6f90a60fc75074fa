"""The private names that this library leans on: one list, checked before a feature that needs them begins."""

import functools
from typing import Any, NamedTuple

import keras

from keras_sched.errors import wrong_state
from keras_sched.step.backend import backend


class PrivateName(NamedTuple):
    """A name that Keras, or a backend, keeps to itself."""

    name: str
    owner: str  # one of the kinds of `specimens`, or a module
    what_for: str
    since: str  # the oldest version in which it was seen


# ARCHITECTURE.md has the same table. Tests fail where the two, or the package, differ, and where Keras drops a name.
NAMES = (
    PrivateName("_apply_weight_decay", "optimizer", "called once a parameter group, with its rate and decay", "3.12"),
    PrivateName("_backend_update_step", "optimizer", "called once a parameter group, with its values", "3.12"),
    PrivateName("_clip_gradients", "optimizer", "`clipvalue` as a tensor", "3.12"),
    PrivateName("_compile_loss", "model", "the compiled losses; whether a first fit is to look", "3.12"),
    PrivateName("_flat_losses", "compiled loss", "each output's loss and its weight", "3.12"),
    PrivateName("_flatten_layers", "model", "every layer, and the layers in a layer", "3.12"),
    PrivateName("_fn_kwargs", "loss", "the numbers that a loss calls its function with", "3.12"),
    PrivateName("_get_current_learning_rate", "optimizer", "shows the rate in use to other callbacks", "3.12"),
    PrivateName("_get_state_sharding_spec", "model of JAX", "the sharding of a step's results", "3.12"),
    PrivateName("_get_variable_index", "optimizer", "finds a variable's parameter group", "3.12"),
    PrivateName("_initial_epoch", "model", "where `BackupAndRestore` begins this fit, and every later one", "3.12"),
    PrivateName("_iterations", "optimizer", "the count by which a step finds its row", "3.12"),
    PrivateName("_jax_state_synced", "model of JAX", "whether a dead fit's state is to be written back", "3.12"),
    PrivateName("_learning_rate", "optimizer", "a row's rate takes its place while `apply` runs", "3.12"),
    PrivateName("_model_variables_moving_average", "optimizer", "one group's averages at a time", "3.12"),
    PrivateName("_rng", "TensorFlow's context", "the generator of its operations' seeds", "2.16"),
    PrivateName("_seed", "TensorFlow's context", "the seed of its operations", "2.16"),
    PrivateName("_should_eval", "model", "leaves validation out of a search", "3.12"),
    PrivateName("_trainable_variables", "optimizer", "an optimizer's or a layer's own variables that train", "3.12"),
    PrivateName("_u_product", "Nadam", "multiplied once a step, and not once a group", "3.12"),
    PrivateName("_update_model_variables_moving_average", "optimizer", "called once a parameter group", "3.12"),
    PrivateName("_value", "variable of JAX", "`None` during an epoch; a scheduled variable's, in a step", "3.12"),
    PrivateName("keras.src.backend.common.global_state", "module", "where Keras has its global seed generator", "3.12"),
    PrivateName("keras.src.trainers.data_adapters.data_adapter", "module", "whether batches come stacked", "3.12"),
    PrivateName("tensorflow.python.eager.context", "module", "TensorFlow's context", "2.16"),
    PrivateName("tensorflow.python.ops.stateful_random_ops", "module", "TensorFlow's global generator", "2.16"),
)


@functools.cache
def check_keras() -> None:
    """Raise a `RuntimeError`, once and clearly, where Keras no longer has a name that is needed here."""
    there = specimens()
    needed = [each for each in NAMES if each.owner in there and each.name != "_rng"]  # made when a seed is set
    missing = [each.name for each in needed if not hasattr(there[each.owner], each.name)]
    if missing:
        expected = "scheduled values take the place of the optimizer's own there"
        cure = "Install a Keras that has them, for example `pip install 'keras<=3.15.1'`, or a newer keras_sched."
        raise wrong_state(f"Keras {keras.__version__} without {', '.join(missing)}", expected, cure)


def specimens() -> dict[str, Any]:
    """{kind: an object of it} on this backend. They have names, so that no user's object gets another one."""
    optimizer, nadam = keras.optimizers.SGD(use_ema=True, name="specimen"), keras.optimizers.Nadam(name="specimen")
    for each in (optimizer, nadam):
        each.build([])
    model, loss = keras.Sequential(name="specimen"), keras.losses.MeanSquaredError(name="specimen")
    model.compile(optimizer, loss)
    losses = {"loss": loss, "compiled loss": model._compile_loss}
    return {"optimizer": optimizer, "Nadam": nadam, "model": model, **losses, **backend().private_names()}
