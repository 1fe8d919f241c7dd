"""The pool of this machine, with trainings that do what they are told."""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest

from launch import local
from launch.executor import MISTAKE, State
from launch.local import Local
from launch.prices import Prices
from prune_rl.errors import ConfigError

_GIB = 2**30
_CORES = sorted(os.sched_getaffinity(0))


@pytest.fixture
def pool(tmp_path):
    pools = []

    def make(ram_bytes=_GIB, **settings):
        settings = {"cores": _CORES, "memory": 100 * _GIB, "workers": 2, **settings}
        pools.append(Local(prices=Prices(tmp_path / "runs", ram_bytes), **settings))
        return pools[-1]

    yield make
    for one in pools:
        for process in one._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.process.pid, signal.SIGKILL)
            process.process.wait()


@pytest.fixture
def run_all(until):
    def run(one, *jobs):
        one.submit(jobs)
        until(lambda: _ended(one))
        return one.poll()

    return run


def _ended(one):
    time.sleep(0.01)
    open_states = (State.WAITING, State.MEASURING, State.RUNNING)
    return not any(x.state in open_states for x in one.poll().values())


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_all_are_trained_in_their_directories_and_say_so_in_their_logs(
    pool, run_all, scripted, make_job
):
    jobs = [make_job("x/game/0"), make_job("x/game/1")]
    scripted.tell({"x/game/1": ["crash"]})
    one, other = run_all(pool(), *jobs).values()
    assert (one.state, one.exit_code) == (State.FINISHED, 0)
    assert (other.state, other.exit_code) == (State.FAILED, 1)
    assert (jobs[0].directory / "metrics.jsonl").exists()
    assert jobs[1].log.read_text().endswith("OSError: it broke\n")


def test_no_more_at_once_than_workers_and_the_first_first(pool, scripted, make_job, until):
    scripted.tell({"*": ["finish when told"]})
    one = pool(workers=2)
    one.submit([make_job(str(i)) for i in range(4)])
    one.poll()
    until(lambda: len(scripted.journal("ready")) == 2)
    for _ in range(5):
        states = [x.state for x in one.poll().values()]
    assert states == [State.RUNNING] * 2 + [State.WAITING] * 2
    assert sorted(scripted.cells("began")) == ["0", "1"]
    scripted.go()
    until(lambda: _ended(one))
    assert len(scripted.cells("began")) == 4


def test_each_has_its_share_of_the_cores(pool, run_all, scripted, make_job):
    if len(_CORES) < 2:
        pytest.skip("one core only")
    run_all(pool(workers=2), make_job("a"), make_job("b"))
    shares = [tuple(x["cores"]) for x in scripted.journal("began")]
    half = len(_CORES) // 2
    assert [len(x) for x in shares] == [half, half]
    assert not set(shares[0]) & set(shares[1])


def test_one_alone_has_all_cores(pool, run_all, scripted, make_job):
    run_all(pool(workers=8), make_job("a"))
    assert [x["cores"] for x in scripted.journal("began")] == [_CORES]


def test_where_memory_carries_fewer_they_share_the_cores(pool, make_job, monkeypatch):
    one = pool(ram_bytes=30 * _GIB, cores=list(range(12)), workers=12)
    one._waiting.extend(make_job(str(i)) for i in range(12))
    assert len(one._share(30 * _GIB)) == 4  # three fit
    assert len(one._share(8 * _GIB)) == 1  # all of them
    assert len(one._share(99 * _GIB)) == 12


def test_memory_bounds_what_runs_at_once(pool, scripted, make_job, until):
    scripted.tell({"*": ["finish when told"]})
    one = pool(ram_bytes=40 * _GIB, workers=4)
    one.submit([make_job(str(i)) for i in range(3)])
    one.poll()
    until(lambda: len(scripted.journal("ready")) == 2)
    assert [x.state.value for x in one.poll().values()] == ["running", "running", "waiting"]
    scripted.go()
    until(lambda: _ended(one))
    assert len(scripted.cells("ended")) == 3


def test_one_that_does_not_fit_at_all_is_told_so_in_a_line(pool, run_all, scripted, make_job):
    (standing,) = run_all(pool(ram_bytes=200 * _GIB), make_job("a")).values()
    assert (standing.state, standing.exit_code) == (State.FAILED, MISTAKE)
    assert standing.problem == (
        "needs 200.00 GiB of RAM, and 100.00 GiB are free here; "
        "make ReplayBuffer.max_capacity or Grid.seeds_per_cell smaller"
    )
    assert scripted.journal() == []


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Measurements that find 60 GiB, fail where there is `fail`, wait while there is `slow`.

    Gives what was measured.
    """
    program, seen = tmp_path / "measure.py", tmp_path / "measured"
    program.write_text(
        "import json, os, pathlib, sys, time\n"
        f"with open({str(seen)!r}, 'a') as file: file.write(sys.argv[2] + chr(10))\n"
        f"while os.path.exists({str(tmp_path / 'slow')!r}): time.sleep(0.01)\n"
        f"if os.path.exists({str(tmp_path / 'fail')!r}): sys.exit('no such game')\n"
        "pathlib.Path(sys.argv[1]).write_text(json.dumps({'ram_bytes': 60 * 2**30}))\n"
    )
    monkeypatch.setattr(local, "_MEASURE", (sys.executable, "-S", str(program)))
    return lambda: seen.read_text().split() if seen.exists() else []


def test_a_kind_is_measured_once_before_its_first_and_kept(
    pool, run_all, scripted, make_job, measured, tmp_path
):
    jobs = [make_job(f"{kind}{i}", kind) for i in range(2) for kind in "ab"]
    run_all(pool(ram_bytes=None), *jobs)
    assert sorted(measured()) == ["--cell=a0", "--cell=b0"]
    assert len(scripted.journal("ended")) == 4
    began = scripted.journal("began")
    ended = [x["at"] for x in scripted.journal("ended")]
    assert all(ended[i] <= began[i + 1]["at"] for i in range(3))  # 60 GiB each: one at a time
    run_all(pool(ram_bytes=None), make_job("a2", "a"))
    assert len(measured()) == 2
    kept = json.loads((tmp_path / "runs" / ".prices" / "a.json").read_text())
    assert kept == {"ram_bytes": 60 * _GIB}


def test_kinds_are_measured_one_at_a_time_and_said_to_be(
    pool, scripted, make_job, measured, tmp_path, until
):
    (tmp_path / "slow").touch()
    one = pool(ram_bytes=None, workers=4)
    one.submit([make_job(name, name) for name in "abc"])
    one.poll()
    until(measured)
    for _ in range(5):
        states = [x.state for x in one.poll().values()]
    assert states == [State.MEASURING, State.WAITING, State.WAITING]
    assert measured() == ["--cell=a"]
    (tmp_path / "slow").unlink()
    until(lambda: _ended(one))
    assert measured() == ["--cell=a", "--cell=b", "--cell=c"]
    assert len(scripted.cells("ended")) == 3


def test_what_is_measured_may_take_the_share_of_a_training(
    pool, scripted, make_job, measured, tmp_path, until
):
    """100 GiB for four: 25 for what is measured, so that 60 are free and then 15."""
    scripted.tell({"*": ["finish when told"]})
    (tmp_path / "slow").touch()
    one = pool(ram_bytes=None, workers=4)
    one.prices._measured = {"known": 60 * _GIB, "small": 20 * _GIB}
    one.submit([make_job("k0", "known"), make_job("a", "new"), make_job("s", "small")])
    one.poll()
    until(measured)
    assert [x.state.value for x in one.poll().values()] == ["running", "measuring", "waiting"]

    other = pool(ram_bytes=None, workers=4)
    other.prices._measured = {"known": 80 * _GIB}
    other.submit([make_job("k1", "known"), make_job("b", "newer")])
    other.poll()
    assert [x.state.value for x in other.poll().values()] == ["running", "waiting"]
    assert measured() == ["--cell=a"]
    (tmp_path / "slow").unlink()
    scripted.go()
    until(lambda: _ended(one) and _ended(other))
    assert measured() == ["--cell=a", "--cell=b"]


def test_a_measurement_is_cancelled_too(pool, scripted, make_job, measured, tmp_path, until):
    (tmp_path / "slow").touch()
    one = pool(ram_bytes=None)
    one.submit([make_job("a")])
    one.poll()
    until(measured)
    one.cancel()
    assert [x.state for x in one.poll().values()] == [State.LOST]
    assert not one._processes


def test_a_kind_that_cannot_be_measured_fails_with_its_last_line(
    pool, run_all, scripted, make_job, measured, tmp_path
):
    (tmp_path / "fail").touch()
    standings = run_all(pool(ram_bytes=None), make_job("a"), make_job("b"))
    assert {x.problem for x in standings.values()} == {"measuring what it takes: no such game"}
    assert {x.exit_code for x in standings.values()} == {1}
    (log,) = {x.log for x in standings.values()}
    assert log.read_text() == "no such game\n"
    assert measured() == ["--cell=a"]
    assert scripted.journal() == []


def _executor(tmp_path, *flags):
    parser = argparse.ArgumentParser()
    parser.add_argument("--base_dir", default=str(tmp_path))
    local.add_flags(parser)
    return local.executor(parser.parse_args(flags))


@pytest.mark.parametrize(
    ("gpus", "flags", "workers"),
    [
        ([], [], 3),
        ([], ["--workers=7"], 7),
        (["0", "1"], [], 2),
        (["0", "1"], ["--cells_per_gpu=4"], 8),
        (["0", "1"], ["--cells_per_gpu=4", "--workers=5"], 5),
    ],
)
def test_as_many_at_once_as_asked_for_or_as_there_are(tmp_path, monkeypatch, gpus, flags, workers):
    monkeypatch.setattr(local.machine, "gpus", lambda: gpus)
    monkeypatch.setattr(local.machine, "cores", lambda: [0, 1, 2])
    assert _executor(tmp_path, *flags).workers == workers


def test_more_at_once_than_the_gpus_take_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(local.machine, "gpus", lambda: ["0", "1"])
    with pytest.raises(ConfigError) as raised:
        _executor(tmp_path, "--workers=8", "--cells_per_gpu=3")
    assert str(raised.value) == (
        "--workers=8: expected 6 at most, 2 GPUs by --cells_per_gpu=3; make that larger"
    )


def test_every_gpu_has_as_many_as_it_takes(pool, scripted, make_job, until, monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    scripted.tell({"*": ["finish when told"]})
    one = pool(workers=4, gpus=["3", "3", "GPU-5", "GPU-5"])
    one.submit([make_job(str(i)) for i in range(4)])
    one.poll()
    until(lambda: len(scripted.journal("ready")) == 4)
    began = scripted.journal("began")
    assert sorted(x["gpu"] for x in began) == ["3", "3", "GPU-5", "GPU-5"]
    assert {x["share"] for x in began} == {"0.450"}
    scripted.go()
    until(lambda: _ended(one))


def test_without_gpus_nothing_is_said_of_them(pool, run_all, scripted, make_job, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    run_all(pool(), make_job("a"))
    (began,) = scripted.journal("began")
    assert (began["gpu"], began["share"]) == (None, None)


def test_one_that_was_killed_says_by_what(pool, run_all, scripted, make_job):
    scripted.tell({"a": ["killed"]})
    (standing,) = run_all(pool(), make_job("a")).values()
    assert standing.exit_code == -signal.SIGKILL
    assert standing.problem == "killed by SIGKILL, most likely for want of memory"


def test_what_a_training_leaves_behind_is_killed(pool, run_all, scripted, make_job, until):
    scripted.tell({"a": ["leave a child"]})
    (standing,) = run_all(pool(), make_job("a")).values()
    assert standing.state is State.FINISHED
    (child,) = scripted.journal("child")
    until(lambda: not _alive(child["pid"]))


def test_a_directory_that_another_process_trains_in_is_waited_for(pool, scripted, make_job, until):
    scripted.tell({"a": ["hold", "finish"]})
    job = make_job("a")
    job.directory.mkdir(parents=True)
    holder = subprocess.Popen(job.command)
    until(lambda: scripted.journal("ready"))
    one = pool()
    one.submit([job, make_job("b")])
    until(lambda: one.poll()["b"].state is State.FINISHED)
    assert one.poll()["a"].state is State.WAITING
    scripted.go()
    holder.wait()
    until(lambda: _ended(one))
    assert one.poll()["a"].state is State.FINISHED


def test_cancelled_they_save_and_end_and_none_begins(pool, scripted, make_job, until):
    scripted.tell({"*": ["finish when told"]})
    one = pool()
    one.submit([make_job(str(i)) for i in range(3)])
    one.poll()
    until(lambda: len(scripted.journal("ready")) == 2)
    one.cancel()
    assert sorted(scripted.cells("saved")) == ["0", "1"]
    standings = one.poll()
    assert [x.exit_code for x in standings.values()] == [75, 75, None]
    assert standings["2"].state is State.LOST
    assert len(scripted.cells("began")) == 2


def test_who_does_not_wait_for_them_kills_them(pool, scripted, make_job, until, monkeypatch):
    scripted.tell({"a": ["deaf"]})
    one = pool()
    one.submit([make_job("a")])
    one.poll()
    until(lambda: scripted.journal("ready"))
    (began,) = scripted.journal("began")

    def interrupt(seconds):  # the second Ctrl-C, of which StopSignals makes this
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "time", types.SimpleNamespace(sleep=interrupt))
    with pytest.raises(KeyboardInterrupt):
        one.cancel()
    until(lambda: not _alive(began["pid"]))
    until(lambda: not _group(began["pid"]))


def _group(leader):
    """Living processes of a group."""
    found = subprocess.run(["pgrep", "-g", str(leader)], capture_output=True, text=True)
    return [pid for pid in found.stdout.split() if _alive(pid)]
