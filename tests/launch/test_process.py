"""A training as a child: its signals, its end, its log, and what it waits for."""

import fcntl
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest

from launch import process
from launch.executor import Job, Standing, State
from launch.process import ROOT, Child, Command, standing
from prune_rl.grid import Cell

from .tiny import text, until

_LISTENS = """
import signal, sys, time
def end(number, frame):
    print("asked by", signal.Signals(number).name, flush=True)
    sys.exit(75)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, end)
print("listens", flush=True)
time.sleep(60)
"""


@pytest.fixture
def command(tmp_path):
    def make(code):
        log = tmp_path / "logs" / "a" / "0.log"
        return Command((sys.executable, "-c", code), tmp_path / "run", log, tmp_path)

    return make


def test_a_command_holds_in_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job(Cell("a/0", ("x.gin",), ()), tmp_path / "g" / "a", tmp_path / "log")
    relative = Job(job.cell, job.directory.relative_to(tmp_path), job.log.relative_to(tmp_path))
    made = Command.of(relative)
    assert (made.directory, made.log, made.folder) == (job.directory, job.log, tmp_path)
    assert made.command == tuple(relative.command)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", 0),
        ("import sys; sys.exit(75)", 75),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
    ],
)
def test_its_exit_code(command, code, expected):
    child = Child(command(code))
    assert [child.wait(), child.ended(), child.ended()] == [expected] * 3
    child.reap()


def test_it_runs_in_the_sweeps_folder_and_imports_what_the_sweep_does(command, tmp_path):
    said = "import os, launch, prune_rl; print(os.getcwd()); print(launch.__file__)"
    child = Child(command(f"{said}; print(prune_rl.__file__)"))
    assert child.wait() == 0
    lines = child.command.log.read_text().splitlines()[1:]
    expected = [tmp_path, ROOT / "launch/__init__.py", ROOT / "prune_rl/__init__.py"]
    assert lines == [str(path) for path in expected]


def test_the_log_is_added_to_and_says_where(command):
    for _ in range(2):
        assert Child(command("print('hello')")).wait() == 0
    lines = command("").log.read_text().splitlines()
    assert lines[1::2] == ["hello"] * 2
    assert all(line.startswith(f"launch: on {os.uname().nodename}, 2") for line in lines[::2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_it_is_asked(command, number):
    child = Child(command(_LISTENS))
    until(lambda: "listens" in text(child.command.log), "listening")
    assert child.ended() is None
    child.ask(number)
    assert child.wait() == 75
    assert child.command.log.read_text().endswith(f"asked by {number.name}\n")


def test_a_handler_may_wait_for_the_child_that_is_being_waited_for(command):
    """As Slurm's warning does; `subprocess` would wait for its own lock there."""
    child, codes = Child(command(_LISTENS)), []

    def handle(number, frame):
        child.ask(signal.SIGTERM)
        codes.append(child.wait())

    before = signal.signal(signal.SIGUSR2, handle)
    try:
        until(lambda: "listens" in text(child.command.log), "listening")
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR2)).start()
        assert child.wait() == 75
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert codes == [75]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_it_is_asked_to_save_when_its_parent_is_killed(command):
    own = command(_LISTENS)
    code = "import pickle, sys; from launch.process import Child; "
    code += "Child(pickle.load(sys.stdin.buffer)).wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE)
    parent.stdin.write(pickle.dumps(own))
    parent.stdin.close()
    until(lambda: "listens" in text(own.log), "listening")
    parent.kill()
    parent.wait()
    until(lambda: "asked by SIGTERM" in text(own.log), "the child's end", 10)


def test_a_command_whose_parent_is_gone_is_not_begun(tmp_path):
    command = [sys.executable, "-m", "launch.tied", "1", "/bin/touch", str(tmp_path / "begun")]
    assert subprocess.run(command, cwd=ROOT).returncode == 75
    assert not (tmp_path / "begun").exists()


def test_a_directory_that_a_dying_process_still_holds_is_waited_for(command):
    own = command("print('begun')")
    own.directory.mkdir()
    with (own.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        released = []

        def release():
            released.append("begun" in own.log.read_text())
            fcntl.flock(held, fcntl.LOCK_UN)

        threading.Timer(1.0, release).start()
        assert Child(own).wait() == 0
    assert released == [False]
    assert own.log.read_text().endswith("begun\n")


def test_but_not_for_ever(command, monkeypatch):
    monkeypatch.setattr(process, "_HELD", 0.5)
    own = command("print('begun')")
    own.directory.mkdir()
    with (own.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        assert Child(own).wait() == 0  # training says who holds it
    assert time.monotonic() - began > 0.5


def test_where_a_job_stands_that_ended(tmp_path):
    log = tmp_path / "log"
    assert standing(3, log) == Standing(State.FAILED, 3, "exit code 3")
    log.write_text("iteration 1/2\nprune_rl.train: --gin_files: none given\n\n")
    assert standing(0, log) == Standing(State.FINISHED, 0)
    assert standing(2, log) == Standing(State.FAILED, 2, "prune_rl.train: --gin_files: none given")
    assert standing(-9, log) == Standing(State.FAILED, -9, "ended by SIGKILL")
