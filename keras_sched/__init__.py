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
from keras_sched.arguments import schedule_meant
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

# In the order of the reference.
__all__ = ["ParamScheduler", "OneCycle", "FlatCos", "SGDR", "WarmupStableDecay", "WarmupCosine", "WarmupLinear"]
__all__ += ["InverseSqrt", "Triangular", "LogHyperParameters"]
__all__ += ["fit_one_cycle", "fit_flat_cos", "fit_sgdr", "fine_tune"]
__all__ += ["lr_find", "LRFinder", "find_optimal_lr", "plot_lr_find", "sweep", "Sweep"]
__all__ += ["halfway", "valley", "slide", "minimum", "steep", "min_grad", "inflection", "NoSuggestion"]
__all__ += ["one_cycle", "flat_cos", "sgdr", "warmup_stable_decay", "warmup_cosine", "warmup_linear", "inverse_sqrt"]
__all__ += ["triangular", "plot_sched"]
__all__ += ["SchedLin", "SchedCos", "SchedNo", "SchedExp", "SchedPoly", "SchedInvSqrt", "SchedOneMinusSqrt"]
__all__ += ["combine_scheds", "combined_cos", "annealer", "sched_lin", "sched_cos", "sched_no", "sched_exp"]
__all__ += ["layer_groups", "freeze_to", "freeze", "unfreeze", "is_frozen"]
__all__ += ["AnnealedSchedule", "scheduled"]

# {module: what is imported of it when it is asked for}: `import keras_sched` is half as long without it.
_LATER = {
    "fine_tuning": ("fine_tune",),
    "fit": ("fit_flat_cos", "fit_one_cycle", "fit_sgdr"),
    "freezing": ("freeze", "freeze_to", "is_frozen", "unfreeze"),
    "lr_finder": ("LRFinder", "lr_find"),
    "optimal_lr": ("find_optimal_lr",),
    "plot": ("plot_lr_find", "plot_sched"),
    "sweeps": ("Sweep", "sweep"),
    "suggest": ("DEFAULT", "halfway", "inflection", "min_grad", "minimum", "slide", "steep", "valley"),
}

if TYPE_CHECKING:
    from keras_sched.fine_tuning import fine_tune
    from keras_sched.fit import fit_flat_cos, fit_one_cycle, fit_sgdr
    from keras_sched.freezing import freeze, freeze_to, is_frozen, unfreeze
    from keras_sched.lr_finder import LRFinder, lr_find
    from keras_sched.optimal_lr import find_optimal_lr
    from keras_sched.plot import plot_lr_find, plot_sched
    from keras_sched.suggest import DEFAULT as DEFAULT
    from keras_sched.suggest import halfway, inflection, min_grad, minimum, slide, steep, valley
    from keras_sched.sweeps import Sweep, sweep

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        """What is imported later; its modules; and the version, which takes long to look up."""
        module = next((module for module, names in _LATER.items() if name in {module, *names}), None)
        if module is not None:
            value = import_module(f"{__name__}.{module}")
            value = value if name == module else getattr(value, name)
        elif name == "__version__":
            value = _version()
        else:
            raise no_attribute(f"module {__name__!r}", name, schedule_meant(name, __all__))
        return globals().setdefault(name, value)

    def __dir__() -> list[str]:
        return __all__


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("keras-sched")
    except PackageNotFoundError:  # a source tree that is not installed
        return "0+unknown"
