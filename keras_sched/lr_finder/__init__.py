"""The learning-rate finder: `lr_find`, and `LRFinder` for a `fit` of one's own."""

from keras_sched.lr_finder.callback import LRFinder
from keras_sched.lr_finder.find import lr_find
from keras_sched.lr_finder.found import LRFound
