"""The recipes of tutorials/distributed.md train to the weights of one device, on two devices or in two processes."""

import contextlib
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import documents
import numpy as np
import pytest
from oracle import KERAS

from keras_sched import OneCycle

PAGE = Path(__file__).parents[1] / "tutorials" / "distributed.md"
RECIPES = {
    re.match(r"# (\w+)\.py\n", block.code)[1]: block.code
    for block in documents.blocks(PAGE.read_text(encoding="utf-8"))
}
BACKENDS = {
    "data_parallel": "jax",
    "model_parallel": "jax",
    "jax_processes": "jax",
    "mirrored": "tensorflow",
    "workers": "tensorflow",
    "ddp": "torch",
    "ddp_of_keras": "torch",
}
ACROSS_PROCESSES = ["jax_processes", "workers", "ddp", "ddp_of_keras"]
TOLERANCE = 2e-5
TIMEOUT = 240  # seconds; each takes a tenth of it on a machine that has nothing else to do

# Starts the processes of a recipe on this machine, as others would be on theirs; where one dies it ends the others, and
# starts all again, at most so often. One that is aborted after its last line ended well: now and then the coordinator
# of JAX's processes is, as it is taken down.
LAUNCHER = """
    import os, signal, subprocess, sys, time

    path, world, restarts = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ranks = [os.environ | {"RANK": str(rank), "WORLD_SIZE": str(world)} for rank in range(world)]
    for _ in range(1 + restarts):
        processes = [subprocess.Popen([sys.executable, path], env=env) for env in ranks]
        codes = [None]
        while None in codes and not any(codes):
            time.sleep(0.1)
            codes = [process.poll() for process in processes]
            over = [os.path.exists(f"over_{rank}") for rank in range(world)]
            codes = [0 if done and code == -signal.SIGABRT else code for done, code in zip(over, codes)]
        for process in processes:
            process.kill()
            process.wait()
        if not any(codes):
            sys.exit(0)
    sys.exit(1)
"""
COMMANDER = """
    import os, pathlib, subprocess, sys

    path = str(pathlib.Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    subprocess.run(["bash", "-c", sys.argv[1]], env=os.environ | {"PATH": path}, check=True)
"""
COMMANDS = {
    re.search(r"(\w+)\.py", line)[1]: line
    for line in re.findall(r"(?m)^```bash\n(.*)\n```$", PAGE.read_text(encoding="utf-8"))
}
REPORT = """
import os
import numpy as np
from task import BATCH

rank = os.environ.get("RANK", "0")
np.savez(f"weights_{rank}.npz", *globals().get("inner", model).get_weights())
"""
OVER = """
import os

open(f"over_{os.environ.get('RANK', '0')}", "w").close()
"""
# The search beside it: how many batches, why it ended, and the same where the second half of the data has gone bad,
# in the last process alone.
SEARCHES = """
found_batches = [len(found.losses), found.stopped]
world = int(os.environ.get("WORLD_SIZE", "1"))
bad = y.copy()
if int(rank) == world - 1:
    bad[len(y) // 2 :] = np.nan
wide = {"start_lr": 1e-5, "num_it": 12, "batch_size": BATCH // world, "shuffle": False, "show_plot": False}
went_bad = lr_find(model, x, bad, suggest_funcs=(), **wide)
with open(f"said_{rank}", "w") as file:
    print(*found_batches, len(went_bad.losses), went_bad.stopped, sep=", ", file=file)
"""


# The second process dies in the second epoch: after a batch that it knows the first process to have made too.
DIES = """
import os
import signal

import keras


class Dies(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        die(float(logs["loss"]))


def die(loss):
    if os.environ["RANK"] == "1" and os.path.exists("kept.weights.h5") and not os.path.exists("dead"):
        open("dead", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
"""
# A search, training with the body frozen, and `fine_tune`; `check` is called after each.
FREEZES = """
import numpy as np

from keras_sched import fine_tune, fit_one_cycle, freeze, lr_find, unfreeze

net = globals().get("inner", model)
layers = [[net.get_layer("hidden")], [net.get_layer("head")]]
sizes = {"batch_size": BATCH // world, "shuffle": False}
lr_find(model, x, y, num_it=20, suggest_funcs=(), show_plot=False, **sizes)
check("the search")
freeze(model, groups=layers)
lr_find(model, x, y, num_it=20, suggest_funcs=(), show_plot=False, **sizes)
check("the search with the body frozen")
fit_one_cycle(model, x, y, epochs=1, lr_max=0.1, **sizes)
check("one cycle with the body frozen")
unfreeze(model, groups=layers)
fine_tune(model, x, y, epochs=1, base_lr=0.1, groups=layers, **sizes)
check("fine_tune")
"""
# Ranks may not differ in a bit; they begin with other weights where Keras has to give them those of the first.
CHECKS = """
from task import BATCH


def check(what):
    mine = [*model.get_weights(), *(variable.numpy() for variable in model.optimizer.variables)]
    of_all = [None] * world
    torch.distributed.all_gather_object(of_all, mine)
    assert all((one == other).all() for one, other in zip(*of_all, strict=True)), what


if "inner" not in globals():
    for variable in model.trainable_variables:
        variable.assign(variable + rank)
"""


def only_on(name: str, backend: str) -> None:
    if BACKENDS[name] != backend:
        pytest.skip(f"this recipe is for {BACKENDS[name]}")
    if name == "ddp_of_keras" and KERAS < (3, 16):
        pytest.skip("this Keras does not wrap a model itself")


@pytest.fixture
def run_recipe(tmp_path: Path, run_script: Callable[..., str]) -> Callable[..., str]:
    """Run a recipe with more code after it, in so many processes or by the page's command; what they printed."""

    def run(
        name: str,
        more: str = REPORT,
        *,
        processes: int = 1,
        code: str | None = None,
        restarts: int = 0,
        by_command: bool = False,
    ) -> str:
        (tmp_path / "task.py").write_text(RECIPES["task"], encoding="utf-8")
        path = tmp_path / f"{name}.py"
        ending = "torch.distributed.destroy_process_group()\n"  # the recipe's last line, after what is asked here
        recipe = code or RECIPES[name]
        closes = recipe.endswith(ending)
        path.write_text(recipe.removesuffix(ending) + more + (ending if closes else "") + OVER, encoding="utf-8")
        ports = free_ports(2)
        if by_command:
            command = re.sub(r":123([45])", lambda found: f":{ports[int(found[1]) - 4]}", COMMANDS[name])
            return run_script(COMMANDER, command, timeout=TIMEOUT)
        where = {
            "COORDINATOR": f"127.0.0.1:{ports[0]}",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(ports[0]),
            "WORKERS": ",".join(f"127.0.0.1:{port}" for port in ports[:processes]),
        }
        return run_script(LAUNCHER, path, processes, restarts, env=where, timeout=TIMEOUT)

    return run


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@pytest.fixture
def expected() -> list[np.ndarray]:
    """The weights of the same fit on one device."""
    task: dict[str, Any] = {}
    exec(RECIPES["task"], task)  # noqa: S102 - our own page
    x, y = task["data"]()
    model = task["make_model"]()
    model.fit(x, y, batch_size=task["BATCH"], epochs=2, shuffle=False, verbose=0, callbacks=[OneCycle(0.1)])
    return model.get_weights()


def check_weights(folder: Path, expected: list[np.ndarray], processes: int = 1) -> None:
    for rank in range(processes):
        with np.load(folder / f"weights_{rank}.npz") as kept:
            weights = [kept[name] for name in kept.files]
        differences = [np.abs(one - other).max() for one, other in zip(weights, expected, strict=True)]
        assert max(differences) < TOLERANCE


def said(folder: Path, processes: int = 1) -> list[list[str]]:
    """What each process said, by rank: into files, since what they print may be mixed."""
    return [(folder / f"said_{rank}").read_text().strip().split(", ") for rank in range(processes)]


def test_every_recipe_of_the_page_is_run_here() -> None:
    assert sorted(RECIPES) == sorted([*BACKENDS, "task"])


@pytest.mark.parametrize("name", ["data_parallel", "model_parallel", "mirrored"])
def test_two_devices(name: str, backend: str, run_recipe: Any, tmp_path: Path, expected: list[np.ndarray]) -> None:
    only_on(name, backend)
    run_recipe(name, IS_DISTRIBUTED[name] + REPORT + SEARCHES)
    check_weights(tmp_path, expected)
    assert said(tmp_path)[0][2:] == ["2", "not finite"]


# That two devices were at work, and with `ModelParallel` each on half of a weight and of the optimizer's state for it.
IS_DISTRIBUTED = {
    "data_parallel": """
assert len(model.trainable_variables[0].value.sharding.device_set) == 2
""",
    "model_parallel": """
kernels = [model.get_layer("hidden").kernel.value, model.optimizer.variables[2].value]
assert [each.addressable_shards[0].data.shape for each in kernels] == [(8, 8), (8, 8)]
""",
    "mirrored": """
assert strategy.num_replicas_in_sync == 2
""",
}


@pytest.mark.parametrize("name", ["jax_processes", "ddp", "ddp_of_keras"])
def test_two_processes(name: str, backend: str, run_recipe: Any, tmp_path: Path, expected: list[np.ndarray]) -> None:
    only_on(name, backend)
    run_recipe(name, REPORT + SEARCHES, processes=2)
    check_weights(tmp_path, expected, 2)
    first, second = said(tmp_path, 2)
    assert first == second, "every process stops at the same batch"
    assert first[2:] == ["2", "not finite"], "also where the loss of one of them is bad"


def test_two_workers_of_tensorflow(backend: str, run_recipe: Any, tmp_path: Path, expected: list[np.ndarray]) -> None:
    only_on("workers", backend)
    run_recipe("workers", processes=2)
    check_weights(tmp_path, expected, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddp", "ddp_of_keras"])
def test_freezing_in_two_processes(name: str, backend: str, run_recipe: Any, tmp_path: Path) -> None:
    only_on(name, backend)
    if name == "ddp" and KERAS >= (3, 16):
        pytest.skip("this Keras wraps the model too, which would have to be told of what does not train")
    beginning, _ = RECIPES[name].split("found = lr_find")
    beginning = beginning.replace(
        "DistributedDataParallel(model)", "DistributedDataParallel(model, find_unused_parameters=True)"
    )
    run_recipe(name, CHECKS + FREEZES + REPORT, processes=2, code=beginning)
    one: dict[str, Any] = {"world": 1, "check": print}
    exec(RECIPES["task"], one)  # noqa: S102 - our own page
    one["model"], (one["x"], one["y"]) = one["make_model"](), one["data"]()
    exec(FREEZES, one)  # noqa: S102 - our own
    check_weights(tmp_path, one["model"].get_weights(), 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACROSS_PROCESSES)
def test_the_pages_command(name: str, backend: str, run_recipe: Any, tmp_path: Path, expected: Any) -> None:
    only_on(name, backend)
    run_recipe(name, by_command=True)
    check_weights(tmp_path, expected, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACROSS_PROCESSES)
def test_a_process_that_is_killed(name: str, backend: str, run_recipe: Any, tmp_path: Path, expected: Any) -> None:
    only_on(name, backend)
    (tmp_path / "dies.py").write_text(DIES, encoding="utf-8")
    recipe = RECIPES[name].replace("\nfrom task", "\nfrom dies import Dies, die\nfrom task")
    recipe = recipe.replace("Keep()]", "Keep(), Dies()]")
    recipe = recipe.replace("loss = step(s.window(), batch)", "die(float(step(s.window(), batch)))")
    recipe = recipe.replace("in range(resume(model), 2)", "in range(first := resume(model), 2)")
    resumed = f"assert first == 1\n{REPORT}"
    run_recipe(name, resumed, code=recipe, processes=2, restarts=1)
    assert (tmp_path / "dead").exists()
    check_weights(tmp_path, expected, 2)


def test_a_plain_fit_with_two_workers_of_tensorflow_fails_in_keras_itself(
    backend: str, run_recipe: Any, tmp_path: Path
) -> None:
    # When this fails, Keras has learnt it: the page then has to say so, and to show a `fit`.
    only_on("workers", backend)
    recipe = RECIPES["workers"].split("def share(context)")[0]
    plain = """
try:
    data = tf.data.Dataset.from_tensor_slices(tuple(part(0, 1))).batch(BATCH)
    model.fit(data, epochs=1, verbose=0)
except ValueError as error:
    with open(f"said_{os.environ['RANK']}", "w") as file:
        file.write("failed" if "PerReplica" in str(error) else str(error))
"""
    run_recipe("workers", plain, processes=2, code=recipe)
    assert said(tmp_path, 2) == [["failed"], ["failed"]]
