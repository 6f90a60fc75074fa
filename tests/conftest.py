"""What every test has: a fixed seed, no figure left open, reference numbers, and fresh processes to run scripts in."""

import copy
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
from oracle import KERAS

HERE = Path(__file__).parent

if keras.backend.backend() == "jax":  # what one test compiled is there for the next
    import jax

    COMPILED = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    jax.config.update("jax_compilation_cache_dir", COMPILED.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def figures_closed():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(autouse=True, scope="module")
def kept_objects_are_not_looked_through_again():
    """TensorFlow keeps each function that it traced; looking through all of them takes a minute in the end."""
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(scope="session")
def backend() -> str:
    """The backend the whole process runs on."""
    return keras.backend.backend()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what plain Keras 3.12 cannot do on TensorFlow: its Muon fails, and its dropout at a rate of 1."""
    cannot = ("[Muon]", "[muon]", "test_a_value_of_one_too") if KERAS < (3, 13) else ()
    for item in items if keras.backend.backend() == "tensorflow" else []:
        if item.name.endswith(cannot):
            item.add_marker(pytest.mark.skip(reason="this Keras itself fails there on TensorFlow"))


@pytest.fixture
def several_steps(backend: str) -> None:
    """For `steps_per_execution`, which Keras has on PyTorch from 3.16 on."""
    if backend == "torch" and KERAS < (3, 16):
        pytest.skip("this Keras has no such mode on PyTorch")


@functools.cache
def _golden(name):
    return json.loads((HERE / "golden" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def golden():
    """`golden("one_cycle")` is the content of `tests/golden/one_cycle.json`, the caller's own to change."""
    return lambda name: copy.deepcopy(_golden(name))


@pytest.fixture
def run_script(tmp_path):
    """`run_script(source)` runs Python source in a fresh process and returns what it printed.

    The process starts in the test's own empty folder, on this process' backend or the one given, and imports what
    this one does. Where it exits with an error, or runs past `timeout` seconds, the test fails with its stderr.
    """

    def run(source, *arguments, backend=None, env=None, timeout=300):
        script = tmp_path / f"script_{len(list(tmp_path.glob('script_*.py')))}.py"
        script.write_text(textwrap.dedent(source), encoding="utf-8")
        child = subprocess.Popen(
            [sys.executable, str(script), *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ
            | {"KERAS_BACKEND": backend or keras.backend.backend(), "PYTHONPATH": os.pathsep.join(sys.path)}
            | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            printed, complaints = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # with the processes it started itself
            _, complaints = child.communicate()
            pytest.fail(f"The script ran past {timeout} s.\n{complaints}")
        if child.returncode:
            pytest.fail(f"The script exited with {child.returncode}.\n{printed}\n{complaints}")
        return printed

    return run


@pytest.fixture
def compiled(backend):
    """Compiles a callable as a user would, with no escape to Python."""
    if backend == "jax":
        import jax

        return jax.jit
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function
    if KERAS < (3, 15):
        pytest.skip("what this Keras calls in `convert_to_tensor` cannot be traced by `torch.compile`")
    import torch

    torch._dynamo.reset()
    return functools.partial(torch.compile, backend="eager", fullgraph=True)
