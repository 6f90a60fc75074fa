"""`ParamScheduler`: any schedule of any hyper-parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_sched.callbacks.scheduler import Scheduler
from keras_sched.curves import check_scheds, differs_by_group, groups_of


@dataclass(eq=False, repr=False)
class ParamScheduler(Scheduler):
    """Schedule any hyper-parameter of the optimizer, batch by batch, in `model.fit`.

    Batch `i` of `n` trains with `annealer(i / n)`, on every backend and in every mode of Keras; after the fit the
    optimizer is as it was. A batch whose update a loss scale skips takes no value; the next epoch has its own again.
    Two of these compose in one fit, where they schedule different hyper-parameters.

    Args:
        scheds: {name: annealer, or a list of annealers, one per parameter group}. Names are `lr`, `mom` (momentum or
            beta_1), `sqr_mom` (rho or beta_2), `wd`, `eps`, and every numeric attribute of the optimizer by its own
            name. A plain function of the position serves as an annealer. Keys for whatever else the step reads, with
            one annealer each:

            - `"LAYER.ATTRIBUTE"`: a number of the layers whose name or path is like `LAYER`, or else has it in it:
              `"dropout*.rate"`, `"encoder/*.rate"`, `"noise.stddev"`, `"dense_1.kernel_regularizer.l2"`;
            - `"loss.ATTRIBUTE"` of the compiled losses, `"loss.OUTPUT.ATTRIBUTE"` of one: `"loss.label_smoothing"`;
              `"loss_weights.OUTPUT"`, an output's name or position;
            - the name or path of a scalar variable that the model tracks and does not train (Keras' variables cannot
              be keys themselves);
            - `(object, "attribute")`, called `"NAME.attribute"` in `hps` and the logs.

            They hold the batch's value while its `train_step` runs, and their own at any other time. One that the
            step does not read changes nothing: a warning. Where Keras asks in Python whether a value is 0 or 1 (dropout
            draws nothing at 0), the step is compiled for each answer; on several replicas of TensorFlow it is an error.
        optimizer: the optimizer to schedule, or whose steps the other keys go by, where a `train_step` of the model's
            own applies others than the compiled one, for example `model.d_optimizer`. By default the compiled one.
        total_steps: the length of the schedule in batches; `epochs` times the steps an epoch by default. Batches past
            it keep the value at the end.
        steps_per_epoch: batches in an epoch, where `fit` cannot know (a generator).
        groups: the parameter groups: a whole number (`layer_groups(model, n)`), lists of layers or of name patterns
            (regular expressions for a variable's path), or a function of a variable. By default as many as in `scheds`.
        momentum_correction: multiply the momentum by the ratio of two successive rates (Goyal et al. 2017), for SGD
            with momentum: the weights are then PyTorch's and fastai's.

    Raises:
        ValueError: before the first batch, when the optimizer has no such hyper-parameter, a key matches nothing that
            can be scheduled, one is scheduled twice, or the groups do not fit.
        TypeError: when `scheds` is no dictionary of annealers.
        RuntimeError: before the first batch, when the length of an epoch is not known.

    Example:
        >>> import keras, numpy as np
        >>> from keras_sched import ParamScheduler, SchedCos, SchedLin
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(keras.optimizers.Adam(0.01), loss="mse")
        >>> scheduler = ParamScheduler({"lr": SchedCos(0.1, 0.0), "sqr_mom": SchedLin(0.9, 0.99)})
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), batch_size=2, verbose=0, callbacks=[scheduler])
        >>> scheduler.hps["lr"].round(3).tolist()
        [0.1, 0.085, 0.05, 0.015]

    Source: fastai's `ParamScheduler`; momentum correction: "Accurate, Large Minibatch SGD", Goyal et al. 2017.
    """

    scheds: Mapping[str, Any]

    def _settle(self) -> None:
        super()._settle()
        self.scheds = check_scheds(self.scheds)
        groups_of(self.scheds)

    def schedules(self, optimizer: keras.Optimizer, groups: int) -> Mapping[str, Any]:
        """The schedules as given."""
        return self.scheds

    def groups_asked(self) -> tuple[int, str] | None:
        """As many as there are values."""
        several = (f"{name} with several values" for name, one in self.scheds.items() if differs_by_group(one))
        count = groups_of(self.scheds)
        return None if count is None else (count, next(several))
