"""Parameter groups: a model's layers and variables, divided for learning rates and for freezing."""

from keras_sched.groups.by_hand import tell_of_frozen_by_hand
from keras_sched.groups.layers import check_built, layer_groups, most_groups
from keras_sched.groups.variables import Groups, divide_variables, paths, resolve_groups
