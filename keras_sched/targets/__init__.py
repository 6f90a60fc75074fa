"""From a schedule's key to what it stands for beside the optimizer: attributes of layers and losses, variables."""

from keras_sched.targets.keys import check_values, columns_of, targets_of
from keras_sched.targets.optimizers import check_optimizer
