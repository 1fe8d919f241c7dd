"""What a job of Slurm does, by submitit's local and debug executors, which need no Slurm."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from launch.executor import State
from launch.process import ROOT, Command, standing
from launch.slurm_job import Training

from .tiny import job, metrics, text, until

submitit = pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")


@pytest.fixture
def local(tmp_path, monkeypatch):
    """An executor of processes on this machine."""
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    executor = submitit.LocalExecutor(tmp_path / "submitit", max_num_timeout=9)
    executor.update_parameters(timeout_min=5)
    yield executor
    for process in psutil.Process().children(recursive=True):
        process.kill()


def ask(theirs, number):
    """Sends a signal to the process that submitit runs a job in, as Slurm would."""
    (process,) = psutil.Process(theirs._process.pid).children()
    process.send_signal(number)


def scripted(folder, code):
    """A job's training, by a few lines in its place."""
    return Training(Command((sys.executable, "-c", code), folder / "run", folder / "log", folder))


def test_a_training_of_the_debug_executor(tmp_path):
    own = job(tmp_path, "a/Breakout/0")
    before = signal.getsignal(signal.SIGTERM)
    theirs = submitit.DebugExecutor(tmp_path).submit(Training(Command.of(own)))
    assert theirs.result() == 0
    assert len(metrics(own)) == 4
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_that_cannot_be(tmp_path):
    own = job(tmp_path, "a/Breakout/0", "DQNAgent.gamma=2")
    code = submitit.DebugExecutor(tmp_path).submit(Training(Command.of(own))).result()
    stands = standing(code, own.log)
    assert (stands.state, stands.exit_code) == (State.FAILED, 2)
    assert stands.problem.startswith("prune_rl.train: DQNAgent.gamma=2: expected")


def test_a_warned_training_saves_is_requeued_and_ends_as_the_one_that_was_not(tmp_path, local):
    whole, warned = (job(tmp_path, name, num_iterations=15) for name in ("whole", "warned"))
    first, second = local.submit_array([Training(Command.of(own)) for own in (whole, warned)])
    until(lambda: len(metrics(warned)) > 3, "the second iteration")
    ask(second, signal.SIGUSR1)
    assert [first.result(), second.result()] == [0, 0]
    said = warned.log.read_text()
    assert said.count("prune_rl.train: SIGUSR1: saved after ") == 1
    assert said.count(f"{warned.directory}: going on after ") == 1
    assert "going on after" not in whole.log.read_text()
    assert metrics(warned) == metrics(whole)


_ENDS = """
import signal, sys, time
signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit({code}))
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(75))
print("begun", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_one_that_ends_as_it_is_warned_is_not_requeued(tmp_path, local, code):
    theirs = local.submit(scripted(tmp_path, _ENDS.format(code=code)))
    until(lambda: "begun" in text(tmp_path / "log"), "a begin")
    ask(theirs, signal.SIGUSR1)
    assert theirs.result() == code
    assert (tmp_path / "log").read_text().count("begun") == 1


def test_one_that_is_warned_before_it_listens_is_requeued(tmp_path, local):
    code = "import os, time; print('begun', flush=True); "
    code += "os.path.exists('warned') or time.sleep(60)"
    theirs = local.submit(scripted(tmp_path, code))
    until(lambda: "begun" in text(tmp_path / "log"), "a begin")
    (tmp_path / "warned").touch()
    ask(theirs, signal.SIGUSR1)
    assert theirs.result() == 0
    assert (tmp_path / "log").read_text().count("begun") == 2


def test_one_that_is_cancelled_saves(tmp_path, local):
    theirs = local.submit(scripted(tmp_path, _ENDS.format(code=3)))
    until(lambda: "begun" in text(tmp_path / "log"), "a begin")
    ask(theirs, signal.SIGTERM)
    assert theirs.result() == 75


def test_one_that_is_warned_before_it_begins_is_requeued_as_it_is(tmp_path):
    own = scripted(tmp_path, "")
    assert own.checkpoint().function.command == own.command


@pytest.mark.parametrize(
    ("code", "expected"), [(-15, SystemExit), (1, subprocess.CalledProcessError)]
)
def test_requeueing_may_end_scontrol_before_it_says_so(tmp_path, code, expected):
    """Which is no failure of the job: it would be reported while the job goes on."""

    def requeue(number, frame):
        own._child.ask(signal.SIGKILL)
        raise subprocess.CalledProcessError(code, ["scontrol", "requeue", "1"])

    own, before = scripted(tmp_path, _ENDS.format(code=3)), signal.signal(signal.SIGUSR1, requeue)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    try:
        with pytest.raises(expected):
            own()
    finally:
        signal.signal(signal.SIGUSR1, before)
