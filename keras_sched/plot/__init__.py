"""Every picture: what a search found, what a schedule does. Only this folder imports matplotlib, when it draws.

Nothing opens a window by itself. A new figure is pyplot's own, so that a notebook shows it and `plt.savefig` finds it.
"""

from keras_sched.plot.canvas import png
from keras_sched.plot.schedules import plot_hps, plot_sched
from keras_sched.plot.search import plot_extrema, plot_lr_find
from keras_sched.plot.sweep import plot_sweep
