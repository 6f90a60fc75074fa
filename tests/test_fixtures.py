"""The fixtures that other tests lean on do what they say, and fail when they should."""

import os
import sys
import time
from pathlib import Path

import pytest


def test_a_script_runs_on_the_backend_of_this_process_and_returns_what_it_printed(run_script, backend):
    assert run_script("import os; print(os.environ['KERAS_BACKEND'])") == f"{backend}\n"


def test_a_script_can_ask_for_another_backend(run_script):
    assert run_script("import os; print(os.environ['KERAS_BACKEND'])", backend="numpy") == "numpy\n"


def test_a_script_is_given_its_arguments_and_environment(run_script):
    printed = run_script("import os, sys; print(sys.argv[1], os.environ['DEVICES'])", 7, env={"DEVICES": "2"})
    assert printed == "7 2\n"


def test_a_script_imports_the_very_package_that_is_tested(run_script):
    import keras_sched

    assert run_script("import keras_sched; print(keras_sched.__file__)").strip() == keras_sched.__file__


def test_a_script_that_raises_fails_the_test_with_its_traceback(run_script):
    with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
        run_script("1 / 0")


def test_a_script_that_exits_with_an_error_fails_the_test(run_script):
    with pytest.raises(pytest.fail.Exception, match="exited with 3"):
        run_script("raise SystemExit(3)")


@pytest.mark.skipif(sys.platform == "win32", reason="a process group is killed by a signal that Windows lacks")
def test_a_script_that_hangs_is_killed_with_the_processes_it_started(run_script, tmp_path):
    hangs = """
        import os, pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path("child").write_text(str(child.pid))
        time.sleep(600)
    """
    with pytest.raises(pytest.fail.Exception, match="ran past 3 s"):
        run_script(hangs, timeout=3)
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 20  # a killed process takes a moment to go
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(pid)


def _alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_reference_numbers_can_be_changed_without_touching_anybody_elses(golden):
    golden("one_cycle")["about"] = "changed"
    assert golden("one_cycle")["about"].startswith("Made by running fastai")


def test_pictures_are_never_shown():
    assert os.environ["MPLBACKEND"] == "Agg"
