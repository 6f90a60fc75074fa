"""The private Keras names that this library leans on, and the check that they are there."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_sched.errors import wrong_state

# name -> what it is used for. ARCHITECTURE.md lists the same names; a test fails when Keras drops one.
OPTIMIZER_NAMES = {
    "_apply_weight_decay": "called once a parameter group, with that group's rate and decay",
    "_backend_apply_gradients": "tells which variables the gradients to be clipped belong to",
    "_backend_update_step": "called once a parameter group, with that group's values",
    "_clip_gradients": "`clipvalue` as a tensor, and clipping by group",
    "_get_current_learning_rate": "shows the rate in use to other callbacks",
    "_get_variable_index": "a variable's parameter group",
    "_iterations": "the count that a row of the table is looked up with",
    "_learning_rate": "a row's rate stands in for it while `apply` runs",
    "_model_variables_moving_average": "an optimizer's averages, one group's at a time",
    "_trainable_variables": "the variables that the groups divide",
    "_update_model_variables_moving_average": "called once a parameter group, with that group's `ema_momentum`",
}
NADAM_NAMES = {"_u_product": "Nadam's product of momenta, advanced once a step and not once a group"}
MODEL_NAMES = {
    "_get_metrics_result_or_logs": "how Keras turns a step's logs into those of the epoch",
    "_initial_epoch": "where `BackupAndRestore` makes a fit begin",
    "_loss_tracker": "tells one `compile` from another",
}
COMPILED_MODEL_NAMES = {"_make_function": "wraps a step as Keras does (JAX, TensorFlow)"}
JAX_MODEL_NAMES = {"_get_state_sharding_spec": "the sharding of the step's results under a distribution (JAX)"}
JAX_VARIABLE_NAMES = {"_value": "a variable's own value: `None` while JAX has it in flight"}


@functools.cache
def check_keras() -> None:
    """Raise, once and clearly, where this Keras has no longer a name that a scheduled step needs."""
    backend = keras.backend.backend()
    if backend not in ("jax", "tensorflow", "torch"):
        raise wrong_state(
            f"the backend `{backend}`",
            "a schedule needs a backend that trains",
            "Set KERAS_BACKEND to jax, tensorflow or torch before Keras is imported.",
        )
    missing = sorted(name for names, thing in specimens(backend) for name in names if not hasattr(thing, name))
    if missing:
        raise wrong_state(
            f"Keras {keras.__version__} without {', '.join(missing)}",
            "it puts scheduled values in the place of the optimizer's own there",
            "Install a Keras that has them, for example `pip install 'keras<=3.15.1'`, or a newer keras_sched.",
        )


def specimens(backend: str) -> Iterator[tuple[Mapping[str, str], Any]]:
    """(names, what must have them) on this backend. They are named, so that no user's object gets another name."""
    optimizer = keras.optimizers.SGD(use_ema=True, name="specimen")
    optimizer.build([])
    yield OPTIMIZER_NAMES, optimizer
    nadam = keras.optimizers.Nadam(name="specimen")
    nadam.build([])
    yield NADAM_NAMES, nadam
    model = keras.Sequential(name="specimen")
    yield MODEL_NAMES, model
    if backend != "torch":
        yield COMPILED_MODEL_NAMES, model
    if backend == "jax":
        yield JAX_MODEL_NAMES, model
        yield JAX_VARIABLE_NAMES, optimizer.variables[0]
