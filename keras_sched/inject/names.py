"""The private Keras names that this library leans on, and the check that they are there."""

import functools

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
    "_trainable_variables": "the variables that the groups divide",
    "_update_model_variables_moving_average": "called once a parameter group, with that group's `ema_momentum`",
}
MODEL_NAMES = {
    "_get_state_sharding_spec": "the sharding of the step's results under a distribution (JAX)",
    "_initial_epoch": "where `BackupAndRestore` makes a fit begin",
    "_loss_tracker": "tells one `compile` from another, and is given each batch's own loss",
    "_make_function": "wraps a step as Keras does (JAX, TensorFlow)",
}

OTHER_NAMES = {
    "_model_variables_moving_average": "an optimizer's averages, one group's at a time",
    "_u_product": "Nadam's product of momenta, advanced once a step and not once a group",
    "_value": "a variable's own value: `None` while JAX has it in flight",
}


@functools.cache
def check_keras() -> None:
    """Raise, once and clearly, where this Keras has no longer a name that a scheduled step needs."""
    backend = keras.backend.backend()
    if backend not in ("jax", "tensorflow", "torch"):
        raise wrong_state(
            "keras_sched",
            f"the backend `{backend}`",
            "a schedule needs a backend that trains",
            "Set KERAS_BACKEND to jax, tensorflow or torch before Keras is imported.",
        )
    optimizer = keras.optimizers.SGD()
    missing = sorted(name for name in OPTIMIZER_NAMES if not hasattr(optimizer, name))
    if backend != "torch" and not hasattr(keras.Model, "_make_function"):
        missing.append("_make_function")
    if missing:
        raise wrong_state(
            "keras_sched",
            f"Keras {keras.__version__} without {', '.join(missing)}",
            "it puts scheduled values in the place of the optimizer's own there",
            "Install a Keras that has them, for example `pip install 'keras<=3.15.1'`, or a newer keras_sched.",
        )
