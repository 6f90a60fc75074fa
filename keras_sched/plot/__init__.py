"""Every picture: what a search found, what a schedule does. Alone in importing matplotlib, and only where it draws.

Nothing is shown by force. A new figure is pyplot's own, so that a notebook shows it and `plt.savefig` finds it.
"""

from keras_sched.plot.canvas import png
from keras_sched.plot.schedules import plot_hps, plot_sched
from keras_sched.plot.search import plot_extrema, plot_lr_find

__all__ = ["plot_extrema", "plot_hps", "plot_lr_find", "plot_sched", "png"]
