"""From a search's curve (rates, losses) to a learning rate.

Each suggestion is `f(lrs, losses, num_it, **settings) -> (lr, (x, y))`: the rate, and the point of the curve to mark.
They are called on the points that `points_seen` leaves of a search, and raise nothing but `NoSuggestion` for a curve.
"""

from keras_sched.suggest.curve import BETA, LEAST_POINTS, UNSEEN, Curve, Point, Suggestion, checked_curve, points_seen
from keras_sched.suggest.fastai import extrema, falling_gradient, inflection, min_grad, minimum, slide, steep, valley
from keras_sched.suggest.halfway import halfway

DEFAULT = (halfway, valley)
"""What a search is asked for where nobody says: the best by `benchmarks/regret`, then fastai's."""
