"""The candidates of a round as tasks of an executor: the results are those of one by one, also where a worker dies."""

import multiprocessing
import os
import pickle
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor

import keras
import pytest
from oracle import BATCH, data, mlp
from runs import alike, plain_steps, same_bits
from workers import Fails, KillsOnce, made

from keras_sched import sweep
from keras_sched.sweeps import workers

QUIET = {"verbose": 0, "show_plot": False, "batch_size": BATCH}
OVER = {"lr_max": [0.01, 1e30, 0.1]}


class Copies(Executor):
    """Runs each task at once, on a pickled copy, in random numbers that are somewhere else."""

    def __init__(self, *, dies=()):
        self.tasks, self.dies = 0, dies

    def submit(self, task, /, *arguments):
        future, self.tasks = Future(), self.tasks + 1
        task, arguments = pickle.loads(pickle.dumps((task, arguments)))  # noqa: S301 - our own
        keras.utils.set_random_seed(99)
        try:
            if self.tasks in self.dies:
                raise MemoryError("the worker")  # noqa: TRY301 - as an executor tells it
            future.set_result(task(*arguments))
        except Exception as error:  # noqa: BLE001 - which the future holds
            future.set_exception(error)
        return future


def with_dropout():
    model = mlp(keras.optimizers.Adam(0.01))
    model = keras.Sequential([*model.layers[:1], keras.layers.Dropout(0.3, seed=1), *model.layers[1:]])
    model.build((None, 4))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def run(model, executor, x=None, **arguments):
    arguments = {"epochs": 2, "over": OVER, "population": False, "validation_split": 0.25} | arguments
    x, y = data() if x is None else (x, None)
    keras.utils.set_random_seed(3)
    return sweep(model, x, y, executor=executor, **QUIET | arguments)


@pytest.mark.parametrize("trained", [False, True], ids=["a model's first fit", "after a fit"])
def test_the_results_are_those_of_one_by_one(trained):
    model, control = with_dropout(), with_dropout()
    for each in (model, control) if trained else ():
        plain_steps(each)
    expected = run(model, None, repeats=2, finalists=2, epochs=10)
    assert alike(run(model, Copies(), repeats=2, finalists=2, epochs=10), expected)
    assert plain_steps(model) == plain_steps(control)
    assert same_bits(model, control)


def test_a_worker_keeps_the_model_for_its_next_candidate(monkeypatch):
    loaded = []
    own = workers.pickle.loads
    monkeypatch.setattr(workers.pickle, "loads", lambda packed: [loaded.append(None), own(packed)][1])
    executor = Copies()
    run(mlp("adam"), executor, epochs=10, finalists=1)
    assert executor.tasks == 4
    assert len(loaded) == 1 + 4, "the executor's own, and one of the task's"


def test_a_worker_that_dies_costs_its_candidate_one_retry():
    model, executor = mlp("adam"), Copies(dies=(2,))
    found = run(model, executor)
    assert executor.tasks == 4
    assert alike(found, run(model, None))


def test_a_candidate_whose_workers_die_twice_is_out():
    found = run(mlp("adam"), Copies(dies=(1, 4)), over={"lr_max": [0.01, 0.03, 0.1]})
    assert [trial.ended for trial in found.trials] == ["worker died", "trained", "trained"]


def test_an_error_of_the_training_itself_is_raised_and_not_tried_again():
    executor = Copies()
    with pytest.raises(RuntimeError, match="on purpose") as caught:
        run(mlp("adam"), executor, callbacks=[Fails()])
    assert "lr_max=0.01" in caught.value.__notes__[0]
    assert executor.tasks == len(OVER["lr_max"])
    assert caught.value.sweep.trials == []


def test_what_does_not_pickle_is_refused_with_a_cure():
    with pytest.raises(TypeError, match=r"cannot be pickled.*a function of a module that makes the data"):
        run(mlp("adam"), Copies(), x=lambda: data())  # noqa: PLW0108 - a lambda it is


def test_a_process_of_a_pool_that_is_killed(tmp_path):
    model, killer = mlp(keras.optimizers.Adam(0.01)), KillsOnce(tmp_path / "killed")
    arguments = {"epochs": 2, "over": {"lr_max": [0.1]}, "validation_split": None}
    expected = run(model, None, x=made, **arguments)
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with pool as executor, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = run(model, executor, x=made, callbacks=[killer], **arguments)
    assert killer.mark.exists()
    assert any("one of its workers has died" in str(warning.message) for warning in caught)
    assert alike(found, expected)


@pytest.mark.integrations
def test_a_cluster_of_two_workers_one_of_which_is_killed_in_mid_round(tmp_path):
    distributed = pytest.importorskip("distributed")
    model, killer = mlp(keras.optimizers.Adam(0.01)), KillsOnce(tmp_path / "killed")
    arguments = {"epochs": 10, "over": {"lr_max": [0.003, 0.01, 0.03, 0.1]}, "finalists": 2}
    expected = run(model, None, **arguments)
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        found = run(model, client.get_executor(), callbacks=[killer], **arguments)
        client.wait_for_workers(2, timeout=120)  # the cluster puts another one in the place of the dead
        pids = client.run(os.getpid)
    assert killer.mark.exists()
    assert len(pids) == 2
    assert alike(found, expected)
