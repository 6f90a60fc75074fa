"""Schedules for every hyper-parameter of every Keras optimizer, and a learning-rate finder, on every backend."""

# Before Keras is imported, which the imports below do.
from keras_sched.backend_choice import choose_backend

choose_backend()

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_sched.annealers import (
    SchedCos,
    SchedExp,
    SchedInvSqrt,
    SchedLin,
    SchedNo,
    SchedOneMinusSqrt,
    SchedPoly,
    annealer,
    combine_scheds,
    combined_cos,
    sched_cos,
    sched_exp,
    sched_lin,
    sched_no,
)
from keras_sched.callbacks import (
    SGDR,
    FlatCos,
    InverseSqrt,
    LogHyperParameters,
    OneCycle,
    ParamScheduler,
    Triangular,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
)
from keras_sched.errors import NoSuggestion, no_attribute
from keras_sched.groups import layer_groups
from keras_sched.loop import scheduled
from keras_sched.recipes import (
    flat_cos,
    inverse_sqrt,
    one_cycle,
    sgdr,
    triangular,
    warmup_cosine,
    warmup_linear,
    warmup_stable_decay,
)
from keras_sched.schedule import AnnealedSchedule

__all__ = [
    "AnnealedSchedule",
    "FlatCos",
    "InverseSqrt",
    "LRFinder",
    "LogHyperParameters",
    "NoSuggestion",
    "OneCycle",
    "ParamScheduler",
    "SGDR",
    "SchedCos",
    "SchedExp",
    "SchedInvSqrt",
    "SchedLin",
    "SchedNo",
    "SchedOneMinusSqrt",
    "SchedPoly",
    "Sweep",
    "Triangular",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
    "annealer",
    "combine_scheds",
    "combined_cos",
    "find_optimal_lr",
    "fine_tune",
    "fit_flat_cos",
    "fit_one_cycle",
    "fit_sgdr",
    "flat_cos",
    "freeze",
    "freeze_to",
    "halfway",
    "inflection",
    "inverse_sqrt",
    "is_frozen",
    "layer_groups",
    "lr_find",
    "min_grad",
    "minimum",
    "one_cycle",
    "plot_lr_find",
    "plot_sched",
    "sched_cos",
    "sched_exp",
    "sched_lin",
    "sched_no",
    "scheduled",
    "sgdr",
    "slide",
    "steep",
    "sweep",
    "triangular",
    "unfreeze",
    "valley",
    "warmup_cosine",
    "warmup_linear",
    "warmup_stable_decay",
]

# The rest is imported when it is asked for: `import keras_sched` is half as long without it.
_LATER = {
    "LRFinder": "lr_finder",
    "Sweep": "sweeps",
    "find_optimal_lr": "optimal_lr",
    "fine_tune": "fine_tuning",
    "fit_flat_cos": "fit",
    "fit_one_cycle": "fit",
    "fit_sgdr": "fit",
    "freeze": "freezing",
    "freeze_to": "freezing",
    "halfway": "suggest",
    "inflection": "suggest",
    "is_frozen": "freezing",
    "lr_find": "lr_finder",
    "min_grad": "suggest",
    "minimum": "suggest",
    "plot_lr_find": "plot",
    "plot_sched": "plot",
    "slide": "suggest",
    "steep": "suggest",
    "sweep": "sweeps",
    "unfreeze": "freezing",
    "valley": "suggest",
}

if TYPE_CHECKING:
    from keras_sched.fine_tuning import fine_tune
    from keras_sched.fit import fit_flat_cos, fit_one_cycle, fit_sgdr
    from keras_sched.freezing import freeze, freeze_to, is_frozen, unfreeze
    from keras_sched.lr_finder import LRFinder, lr_find
    from keras_sched.optimal_lr import find_optimal_lr
    from keras_sched.plot import plot_lr_find, plot_sched
    from keras_sched.suggest import halfway, inflection, min_grad, minimum, slide, steep, valley
    from keras_sched.sweeps import Sweep, sweep

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """What is imported later; its modules; and the version, which takes long to look up."""
        if name in _LATER:
            value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        elif name in _LATER.values():
            value = import_module(f"{__name__}.{name}")
        elif name == "__version__":
            value = _version()
        else:
            raise no_attribute(__name__, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER, *_LATER.values()})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("keras-sched")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"
