"""
Title: Scheduled dropout
Author: The keras-sched maintainers
Date created: 2026/11/21
Last modified: 2026/11/21
Description: Dropout that fades out, or comes in late, with rates that the compiled step reads.
Accelerator: None
"""

"""
## Introduction

A `Dropout` layer has one rate for all of training. Two papers change it while training goes on:

- *Curriculum dropout* ([Morerio et al., 2017](https://arxiv.org/abs/1703.06229)) begins without dropout and
  lets the rate grow, since a young network has little to overfit with.
- *Early dropout* ([Liu et al., 2023](https://arxiv.org/abs/2303.01500)) does the opposite, for networks that
  underfit: dropout at the beginning, none later.

A callback that sets `layer.rate` does neither. The rate is a constant of the step that JAX or TensorFlow has
compiled: the callback writes, and the step goes on with the first value.

`ParamScheduler` of the package `keras-sched` makes the rate an argument of the step. Each batch trains with its
own rate, nothing is compiled again, and after the fit each layer has the rate that it was made with.

## Setup
"""

import keras
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_sched import ParamScheduler, SchedCos, SchedLin, SchedNo, combine_scheds, one_cycle

"""
## Data and model

The digits of scikit-learn, 8 by 8 pixels. Three hundred of them are for training, so that
there is something to overfit.
"""

images, labels = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(
    (images / 16).astype("float32"), labels, train_size=300, random_state=0, stratify=labels
)


def make_model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.5, name="dropout_1"),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.5, name="dropout_2"),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


"""
## A schedule for every dropout

A schedule is a value for each position of training, from 0 to 1. `SchedLin(0.5, 0.0)` falls from 0.5 to 0 in a
straight line, and `combine_scheds` puts several schedules one after the other. The key is a pattern:
`"dropout*.rate"` is the `rate` of every layer whose name begins with `dropout`.
"""

schedules = {
    "constant": None,
    "early": combine_scheds([0.5, 0.5], [SchedLin(0.5, 0.0), SchedNo(0.0, 0.0)]),
    "curriculum": SchedCos(0.0, 0.5),
}

"""
## Train

The three runs begin with the same weights and see the same batches.
"""

EPOCHS = 15

for name, schedule in schedules.items():
    model = make_model()
    callbacks = [] if schedule is None else [ParamScheduler({"dropout*.rate": schedule})]
    model.fit(x_train, y_train, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=callbacks)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"{name:10}: test loss {loss:.3f}, test accuracy {accuracy:.3f}")

"""
Evaluation uses no dropout, so the three compare. This is one run of each on few images: it shows how to schedule a
rate, not which schedule is best.

## Together with the learning rate

The same dictionary takes the hyperparameters of the optimizer. `one_cycle` gives such a dictionary, with the learning
rate and the momentum of one cycle.
"""

model = make_model()
scheduler = ParamScheduler({**one_cycle(1e-2), "dropout*.rate": schedules["early"]})
history = model.fit(x_train, y_train, epochs=EPOCHS, batch_size=32, verbose=0, callbacks=[scheduler])
loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"one cycle and early dropout: test loss {loss:.3f}, test accuracy {accuracy:.3f}")

"""
## What each batch used

The callback keeps one value a batch, and `plot_sched` draws them. The `History` has the last value of each epoch,
beside the loss. After the fit, each layer has its own rate again.
"""

scheduler.plot_sched(figsize=(8.5, 4.6))

print("dropout of the first and the last batch:", scheduler.hps["dropout*.rate"][[0, -1]])
print("dropout at the end of each epoch:", [round(rate, 2) for rate in history.history["dropout*.rate"]])
print("dropout of the layer after the fit:", model.get_layer("dropout_1").rate)

"""
## Conclusion

Any number that the training step reads can be scheduled in this way: the `stddev` of `GaussianNoise`
(`"noise.stddev"`), the weight of an output's loss (`"loss_weights.OUTPUT"`), label smoothing
(`"loss.label_smoothing"`), a regularizer (`"dense.kernel_regularizer.l2"`).

One thing to know: a layer made with a rate of 0 has no dropout to schedule, and Keras leaves its random numbers out.
Make it with the highest rate that it will have.
"""
