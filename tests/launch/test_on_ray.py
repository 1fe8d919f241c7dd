"""--backend=ray: its flags, and trainings on a real cluster of two nodes, one of which is lost."""

import _thread
import argparse
import importlib
import importlib.util
import re
import shutil
import signal
import sys
import tempfile
import threading

import psutil
import pytest

from launch import on_ray, sweep
from launch.executor import Standing, State
from launch.process import Command
from prune_rl.errors import ConfigError

from .tiny import grid, job, metrics, text, until

_NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def flags_of(*given):
    parser = argparse.ArgumentParser()
    on_ray.add_flags(parser)
    return parser.parse_args(given)


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        ConfigError, match=r"^--backend=ray: needs Ray: pip install -e '\.\[ray\]'$"
    ):
        on_ray.executor(flags_of())


@pytest.mark.parametrize("name", ["num_cpus", "num_gpus", "memory_gib"])
def test_flags_that_cannot_be(name):
    for value in ("-1", "inf", "nan"):
        with pytest.raises(ConfigError, match=f"^--{name}={value}: expected a number from 0$"):
            on_ray.executor(flags_of(f"--{name}={value}"))


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler])
def test_a_task_that_is_cancelled_saves_whatever_its_process_did_with_sigint(tmp_path, handler):
    """What a shell's & starts ignores SIGINT, and so does all that it starts."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); "
        "print('listens', flush=True); time.sleep(60)"
    )
    own = Command((sys.executable, "-c", code), tmp_path / "run", tmp_path / "log", tmp_path)

    def cancel():
        until(lambda: "listens" in text(own.log), "listening")
        _thread.interrupt_main()  # as Ray does it

    before = signal.signal(signal.SIGINT, handler)
    try:
        threading.Thread(target=cancel).start()
        assert on_ray._train(own) == 75
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


class _Tasks:
    """Stands for Ray: tasks that are cancelled end, but `deaf` ones only by force."""

    def __init__(self, deaf=()):
        self.deaf, self.cancelled, self.waits = set(deaf), [], []

    def cancel(self, future, force=False):
        self.cancelled.append((future, force))
        self.deaf -= {future} if force else set()

    def wait(self, futures, num_returns, timeout=None):
        self.waits.append(timeout)
        ended = [x for x in futures if x not in self.deaf]
        return ended, [x for x in futures if x in self.deaf]


def test_those_that_wait_are_cancelled_first_and_the_deaf_by_force_at_last(monkeypatch, tmp_path):
    ray, jobs = _Tasks(deaf=["a"]), {name: job(tmp_path, name) for name in "abc"}
    executor = object.__new__(on_ray.Ray)
    executor._ray, executor._standings = ray, dict.fromkeys("abc", Standing(State.RUNNING))
    executor._tasks = {name: on_ray._Task(own, name, 0) for name, own in jobs.items()}
    monkeypatch.setattr(executor, "poll", dict)
    executor.cancel()
    assert ray.cancelled == [("c", False), ("b", False), ("a", False), ("a", True)]
    assert ray.waits == [600, None]


@pytest.fixture(scope="module")
def ray():
    """Ray, with its session in a folder of its own, whose name sockets keep short."""
    if importlib.util.find_spec("ray") is None:  # it is imported once its folder is set
        pytest.skip("pip install -e '.[ray]'")
    folder = tempfile.mkdtemp(prefix="ray_", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield importlib.import_module("ray")
    for process in psutil.process_iter(["cmdline"]):  # what a node that did not come up has left
        if any(folder in part for part in process.info["cmdline"] or ()):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("nonsense", r"no cluster of Ray answers \(Invalid address format: nonsense\)"),
        ("127.0.0.1:1", r"nothing answers \(\[Errno \d+\] Connection refused\)"),
    ],
)
def test_there_is_no_cluster(ray, address, why):
    with pytest.raises(ConfigError, match=f"^--address={address}: {why}.*; 'local' starts one on"):
        on_ray.executor(flags_of(f"--address={address}"))


def test_this_machine_is_part_of_no_cluster(ray, monkeypatch):
    """Scripted: there may be one of somebody else's."""

    def init(**given):
        assert given["address"] == "auto"
        raise ConnectionError("Could not find any running Ray instance.\nAnd more.")

    monkeypatch.setattr(ray, "init", init)
    why = "no cluster of Ray answers (Could not find any running Ray instance.); 'local' starts"
    with pytest.raises(ConfigError, match=f"^--address=auto: {re.escape(why)}"):
        on_ray.executor(flags_of())


@pytest.fixture(scope="module")
def cluster(ray):
    """Two nodes of one CPU each; a machine with much to do gets a second try."""
    from ray.cluster_utils import Cluster

    for last in (False, True):
        made = Cluster()
        try:
            nodes = [made.add_node(**_NODE) for _ in range(2)]
            made.wait_for_nodes()
        except Exception:
            made.shutdown()
            if last:
                raise
            continue
        yield made, nodes[1]
        ray.shutdown()
        made.shutdown()
        return


@pytest.fixture(scope="module")
def executor(cluster):
    before = signal.getsignal(signal.SIGTERM)
    made = on_ray.executor(flags_of(f"--address={cluster[0].address}"))
    assert signal.getsignal(signal.SIGTERM) == before
    return made


def state(executor, own):
    return executor.poll()[own.name].state


def test_cells_finish_though_a_node_is_lost_under_one(executor, cluster, tmp_path):
    cells = [job(tmp_path, f"{name}/Breakout/0", num_iterations=20) for name in "ab"]
    short = job(tmp_path, "short")
    executor.submit([*cells, short])
    assert {x.state for x in executor.poll().values()} == {State.WAITING}
    until(lambda: all(len(metrics(own)) > 3 for own in cells), "both in the second iteration")
    assert [state(executor, own) for own in (*cells, short)] == [
        State.RUNNING,
        State.RUNNING,
        State.WAITING,
    ]
    cluster[0].remove_node(cluster[1], allow_graceful=False)
    finished = Standing(State.FINISHED, 0)
    until(lambda: set(executor.poll().values()) == {finished}, "all", 180)
    assert sorted(text(own.log).count("launch: on ") for own in cells) == [1, 2]
    assert sorted(text(own.log).count(f"{own.directory}: going on after ") for own in cells) == [
        0,
        1,
    ]
    assert metrics(cells[0]) == metrics(cells[1])
    assert metrics(cells[0])[:4] == metrics(short)


def test_one_that_cannot_be_and_one_that_raises(executor, tmp_path):
    wrong, raises = job(tmp_path, "wrong", "DQNAgent.gamma=2"), job(tmp_path, "raises")
    raises.log.parent.write_text("where a folder should be")
    executor.submit([raises])
    until(lambda: state(executor, raises) == State.FAILED, "being told")
    assert "the task raised FileExistsError(" in executor.poll()["raises"].problem
    raises.log.parent.unlink()
    executor.submit([wrong])
    until(lambda: state(executor, wrong) == State.FAILED, "being told")
    stands = executor.poll()["wrong"]
    assert stands.exit_code == 2
    assert stands.problem.startswith("prune_rl.train: DQNAgent.gamma=2: expected")


def test_a_sweep(executor, cluster, tmp_path, capsys, monkeypatch):
    """By its command; this process is connected, and cannot be twice."""
    monkeypatch.setattr(on_ray, "_connect", lambda ray, address: None)
    command = ["--backend=ray", f"--gin_files={grid(tmp_path)}", f"--base_dir={tmp_path / 'g'}"]
    command.append("--cells=*/breakout/0")
    assert sweep.main([*command, f"--address={cluster[0].address}"]) == 0
    assert capsys.readouterr().err.endswith("2 of 2 cells have finished\n")
    assert len(list((tmp_path / "g").rglob("metrics.jsonl"))) == 2


def test_cancelled_trainings_save(ray, executor, tmp_path):
    """One for each node that is left and one more; none would end by itself within hours."""
    nodes = sum(node["Alive"] for node in ray.nodes())
    jobs = [job(tmp_path, str(i), num_iterations=100_000) for i in range(nodes + 1)]
    executor.submit(jobs)
    until(lambda: sum(len(metrics(own)) > 1 for own in jobs) == nodes, "trainings", 300)
    (waiting,) = (own for own in jobs if not metrics(own))
    executor.cancel()
    stands = executor.poll()
    for own in jobs:
        if own is not waiting:
            assert stands[own.name].exit_code == 75
            assert stands[own.name].problem.startswith("prune_rl.train: SIGTERM: saved after ")
    assert stands[waiting.name].state == State.LOST
    assert not waiting.directory.exists()
    executor.cancel()  # there is nothing to cancel any more


def test_what_no_node_has_is_said(executor, cluster, capsys, tmp_path):
    own = job(tmp_path, "large")
    large = on_ray.Ray({"num_cpus": 0.5, "num_gpus": 3, "memory": 2**40})
    large.submit([own])
    expected = "--backend=ray: no node has num_cpus=0.5, num_gpus=3, memory=1.09951e+12 yet; "
    assert capsys.readouterr().err == f"{expected}cells wait for one\n"
    assert large.poll()["large"].state == State.WAITING
    large.cancel()
    assert large.poll()["large"].state == State.LOST
