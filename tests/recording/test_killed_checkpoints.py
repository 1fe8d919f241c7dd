"""A process that is killed while it saves leaves the newest checkpoint or the one before."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from prune_rl.recording.checkpoints import Checkpointer

from . import growing
from .growing import Game

_ROOT = Path(__file__).resolve().parents[2]


def _command(task, root):
    return [sys.executable, "-m", "tests.recording.killed", task, str(root)]


def test_killed_before_any_of_its_file_operations(tmp_path):
    done = subprocess.run(
        _command("each", tmp_path), cwd=_ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [count for count, _ in lines] == list(range(1, len(lines) + 1))
    restored = [saved for _, saved in lines]
    assert len(restored) > 20
    assert restored == sorted(restored)  # from one operation on it is the new one
    assert set(restored) == {4, 5}
    assert restored.count(5) >= 4  # sweeping comes after


def test_killed_at_random_again_and_again(tmp_path, capfd):
    rng, newest, kills = random.Random(), -1, 0
    while kills < 10 or (newest < 1 and kills < 100):  # a busy machine may save nothing for long
        kills += 1
        process = subprocess.Popen(
            _command("loop", tmp_path / "run"), cwd=_ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.02 * (9 + kills)))
        os.kill(process.pid, signal.SIGKILL)
        told, _ = process.communicate(timeout=60)
        newest = max([newest, *(int(line) for line in told.split())])
        game = growing.restored(Checkpointer(tmp_path / "run"), Game((40, 25)))
        if newest >= 0:
            # One that has its name may not have been told of yet.
            assert game.cursors()[1] in (5 * (newest + 1) - 1, 5 * (newest + 2) - 1)
            newest = (game.cursors()[1] + 1) // 5 - 1
    assert newest > 0
    assert not capfd.readouterr().err
