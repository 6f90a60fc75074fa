"""An installed backend, where nobody has chosen one and the one that Keras would take is missing."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {"jax": "jax", "tensorflow": "tensorflow", "torch": "torch"}


def choose_backend() -> None:
    """Set `KERAS_BACKEND` where `import keras` would fail for want of the backend it is configured for.

    Where the variable is set, Keras is imported already, or the configured backend is there, nothing changes.
    """
    if "KERAS_BACKEND" in os.environ or "keras" in sys.modules or _installed(_configured()):
        return
    found = next((backend for backend in PACKAGES if _installed(backend)), None)
    if found is not None:
        os.environ["KERAS_BACKEND"] = found


def installed_backends() -> list[str]:
    """The backends that train and are installed here."""
    return [backend for backend in PACKAGES if _installed(backend)]


def _configured() -> str:
    """The backend in Keras' own file, or the one that is its default."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        return str(json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError):  # Keras takes its default there too
        return "tensorflow"


def _installed(backend: str) -> bool:
    return find_spec(PACKAGES.get(backend, backend)) is not None
