"""A run that is begun twice, lacks what it wrote, cannot write, or whose game fails."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from prune_rl import train
from prune_rl.acting.evaluation import Evaluation
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.trainer import Trainer

from .again import at
from .ends import left, snapshot, stands

_EXPERIMENT = "--gin_files=experiments/minatar_breakout.gin"


@pytest.fixture
def stopped(dqn, tmp_path, capfd):
    """A run stopped after 120 of 150 steps; the checkpoint before is that of step 100."""
    with at(Trainer, "step", 120, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert dqn(tmp_path / "run") == 75
    capfd.readouterr()
    return tmp_path / "run"


def _train_command(base_dir):
    return [sys.executable, "-m", "prune_rl.train", f"--base_dir={base_dir}", _EXPERIMENT]


def _wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_one_process_runs_in_a_directory(tmp_path, capsys):
    """Of two that begin at once one runs; it ends with the signal that it is sent, and not before.

    The other says whose directory it is, and is the same as one that comes later. Killed, the
    first leaves nothing that keeps others out.
    """
    run = tmp_path / "run"
    pipes = {"stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(_train_command(run), **pipes) for _ in range(2)]
    deadline = time.monotonic() + 120
    while all(own.poll() is None for own in both) and time.monotonic() < deadline:
        time.sleep(0.02)
    (loser,) = [own for own in both if own.poll() is not None]
    (winner,) = [own for own in both if own is not loser]
    _, err = loser.communicate()
    assert loser.returncode == 2
    holder = f"process {winner.pid} on {os.uname().nodename}"
    refused = [f"prune_rl.train: --base_dir={run}: {holder} is running it; let it end"]
    starting = [f"prune_rl.train: --base_dir={run}: a process that has just started is running it"]
    assert err.splitlines() in (refused, [f"{starting[0]}; let it end"])
    _wait_for(run / "checkpoints" / "0", winner)
    assert train.main(_train_command(run)[3:]) == 2
    assert capsys.readouterr().err.splitlines() == refused
    assert (run / "lock").read_text() == holder
    winner.kill()
    winner.wait()
    third = subprocess.Popen(_train_command(run), **pipes)
    deadline = time.monotonic() + 120
    while (run / "lock").read_text() != holder.replace(str(winner.pid), str(third.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    third.send_signal(signal.SIGTERM)
    _, err = third.communicate(timeout=120)
    assert third.returncode == 75
    assert err.splitlines()[-1].startswith("prune_rl.train: SIGTERM: saved after ")


def assert_refused(dqn, run, said, capfd):
    before = snapshot(run)
    capfd.readouterr()
    assert dqn(run) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.train: --base_dir={run}: {said}"), line
    assert snapshot(run) == before


@pytest.mark.parametrize("kept", [True, False])
def test_logs_without_checkpoints_are_never_begun_anew(stopped, dqn, capfd, kept):
    shutil.rmtree(stopped / "checkpoints")
    if kept:
        (stopped / "checkpoints").mkdir()
    assert_refused(dqn, stopped, "holds logs but no checkpoint, so it cannot go on", capfd)


def _cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


_LESS = {
    "a line short": lambda path, size: _cut(path, size - 3),
    "empty": lambda path, size: _cut(path, 0),
    "gone": lambda path, size: path.unlink(),
    "zeros": lambda path, size: path.write_bytes(bytes(size)),
    "rubbish inside": lambda path, size: path.write_bytes(b"\xff" + path.read_bytes()[1:]),
}


@pytest.mark.parametrize("name", ["metrics.jsonl", "episodes.csv"])
@pytest.mark.parametrize("less", _LESS)
def test_logs_that_hold_less_than_a_checkpoint_knows(stopped, dqn, whole, capfd, name, less):
    """metrics.jsonl has grown since the older checkpoint by nothing, episodes.csv by a few rows."""
    path = stopped / name
    _LESS[less](path, path.stat().st_size)
    newest_too_short = f"checkpoint 3 is damaged ({name}: "
    if less == "a line short" and name == "episodes.csv":
        assert dqn(stopped) == 0
        said = capfd.readouterr().err.splitlines()
        assert said[0].startswith(f"{stopped}: {newest_too_short}")
        assert said[0].endswith("; going on from 2")
        assert left(stopped) == left(whole)
        assert b"\0" not in path.read_bytes()
    else:
        assert_refused(dqn, stopped, newest_too_short, capfd)


def test_what_was_logged_after_the_checkpoint_is_logged_again(stopped, dqn, whole):
    for name in ("metrics.jsonl", "episodes.csv"):
        with (stopped / name).open("ab") as file:
            file.write(b'{"half a li\0')
    assert dqn(stopped) == 0
    assert left(stopped) == left(whole)
    assert b"\0" not in (stopped / "metrics.jsonl").read_bytes()


_SPOILT = {
    "an empty provenance": ("provenance.json", b"", "provenance.json is not a list of starts"),
    "a number as provenance": ("provenance.json", b"3", "provenance.json is not a list of starts"),
    "a binary config": ("config.gin", b"\xff\x00\xfe", "config.gin is not text"),
    "an empty config": ("config.gin", b"", "config.gin is empty"),
    "no config": ("config.gin", None, "holds metrics.jsonl but no config.gin"),
    "a folder as config": ("config.gin", "folder", "config.gin is no file"),
    "a folder as provenance": ("provenance.json", "folder", "provenance.json is no file"),
    "a folder as a log": ("episodes.csv", "folder", "episodes.csv is no file"),
    "a folder as a picture": ("curve.png", "folder", "curve.png is no file"),
    "a file as TensorBoard": ("tensorboard", b"", "tensorboard is no folder"),
    "a file as a seed's": ("tensorboard/seed_1", b"", "tensorboard/seed_1 is no folder"),
    "a file as checkpoints": ("checkpoints", b"", "checkpoints is no folder"),
    "a file as rows": ("checkpoints/rows", b"", "checkpoints/rows is no folder"),
}


@pytest.mark.parametrize("case", _SPOILT)
def test_what_is_not_a_runs_own_is_refused(stopped, dqn, capfd, case):
    name, data, said = _SPOILT[case]
    path = stopped / name
    if path.exists():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    assert_refused(dqn, stopped, said, capfd)


def test_settings_that_are_gone_are_not_written_anew_beside_a_checkpoint(stopped, dqn, capfd):
    for name in ("config.gin", "metrics.jsonl", "episodes.csv"):
        (stopped / name).unlink()
    assert_refused(dqn, stopped, "holds checkpoints but no config.gin", capfd)


@pytest.mark.parametrize("place", ["file/run", "/proc/run", "/proc/self/run"])
def test_a_directory_that_cannot_be_made(tmp_path, dqn, capfd, place):
    (tmp_path / "file").write_text("precious")
    base_dir = tmp_path / place
    assert dqn(base_dir) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.train: --base_dir={base_dir}: ")
    assert not base_dir.exists()
    assert snapshot(tmp_path) == {"file": b"precious"}


@pytest.mark.parametrize("method", ["step", "reset"])
@pytest.mark.parametrize("count", [5, 8, 131, 170, 331])
def test_a_game_that_raises_costs_nothing(tmp_path, dqn, whole, capfd, method, count):
    """In training, in evaluation, and where an evaluation begins; the step is finished later."""

    def fail():
        raise OSError("the emulator\nhas crashed")

    run = tmp_path / "run"
    count = count if method == "step" else count % 23
    with at(MinAtarEnvironment, method, count, fail):
        assert dqn(run) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    raised = "prune_rl.train: the game of seed axis index "
    assert said.startswith(raised)
    assert " raised OSError: the emulator; saved after " in said
    assert dqn(run) == 0
    assert left(run) == left(whole)


def test_an_evaluation_whose_games_cannot_begin(tmp_path, monkeypatch, dqn, whole, capfd):
    def fail(self):
        raise RuntimeError("no display")

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        broken = at(
            Evaluation, "start", 2, lambda: patch.setattr(MinAtarEnvironment, "reset", fail)
        )
        with broken:
            assert dqn(run) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert "index 0 raised RuntimeError: no display; saved after 100 agent steps" in said
    assert stands(run)["trained"]
    assert dqn(run) == 0
    assert left(run) == left(whole)


_WRITES_FOR_EVER = """
import sys, time
from prune_rl import train
from prune_rl.recording import tensor_files

write = tensor_files.write_bytes

def slow(root, name, data):
    if root.name == "1.part":
        print("writing", flush=True)
        time.sleep(600)
    return write(root, name, data)

tensor_files.write_bytes = slow
train.leave(train.main(sys.argv[1:]))
"""


def test_a_second_interrupt_does_not_wait_for_what_is_being_written(tmp_path):
    flags = _train_command(tmp_path / "run")[3:]
    often = "--gin_bindings=Runner.checkpoint_minutes=0.001"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", _WRITES_FOR_EVER, *flags, often], **pipes)
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None  # it waits for the checkpoint
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert (
        err.splitlines()[-1]
        == "prune_rl.train: interrupted; the same command resumes from the last checkpoint"
    )
    assert {x.name for x in (tmp_path / "run" / "checkpoints").iterdir()} >= {"0", "1.part"}
