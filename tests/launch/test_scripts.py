"""The plain shell scripts, run as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch import sweep
from prune_rl.reporting.trainings import FINISHED, find_trainings

_ROOT = Path(sweep.__file__).parents[1]
_SCRIPTS = _ROOT / "launch" / "scripts"
_TINY = (
    "Runner.num_iterations=1",
    "Runner.training_steps=60",
    "Runner.evaluation_steps=0",
    "DQNAgent.min_replay_history=40",
    "ReplayBuffer.batch_size=4",
)


@pytest.fixture
def run(tmp_path):
    """Runs a script in an empty folder."""

    def run_in(name, *arguments, python=sys.executable, **environment):
        own = {"PYTHON": str(python), "PYTHONPATH": str(_ROOT), **environment}
        return subprocess.run(
            [_SCRIPTS / name, *arguments],
            cwd=tmp_path,
            env=os.environ | own,
            capture_output=True,
            text=True,
        )

    return run_in


@pytest.fixture
def python(tmp_path):
    """An interpreter that lists cells as the real one, and of trainings only says what was asked.

    The training of a cell whose name holds `bad` fails.
    """
    path = tmp_path / "python"
    path.write_text(
        f"""#!/bin/bash
case "$*" in
  *--list*) exec {sys.executable} "$@" ;;
  *bad*) echo it broke; exit 1 ;;
esac
echo "$(nproc) $*" >> {tmp_path}/asked
"""
    )
    path.chmod(0o755)
    return path


def _asked(tmp_path):
    lines = (tmp_path / "asked").read_text().splitlines()
    return [line.partition(" ")[::2] for line in lines]


def test_every_cell_of_a_grid_is_trained_seed_0_first(run, python, grid_file, tmp_path):
    flag = "--gin_bindings=a.b={}"
    done = run("train_grid.sh", "GRID.gin", "runs/g", flag, python=python, WORKERS="1")
    assert done.returncode == 0, done.stderr
    names = [f"{x}/{y}/{i}" for i in (0, 1) for x in ("dense", "pruned") for y in _GAMES]
    assert [flags for _, flags in _asked(tmp_path)] == [
        f"-m prune_rl.train --base_dir=runs/g/{x} --gin_files=GRID.gin --cell={x} {flag}"
        for x in names
    ]
    assert done.stdout.splitlines() == [f"{x}: finished" for x in names]


_GAMES = ("breakout", "asterix")


def test_labels_may_have_quotes_and_blanks(run, python, grid_file, tmp_path):
    text = grid_file.read_text().replace("'pruned'", '"it\'s \\\\ pruned"')
    grid_file.write_text(text)
    done = run("train_grid.sh", "GRID.gin", "runs/g", python=python, WORKERS="1")
    assert done.returncode == 0, done.stderr
    (own,) = {flags.partition("--cell=")[2] for _, flags in _asked(tmp_path)[2:3]}
    assert own == "it's \\ pruned/breakout/0"


def test_one_that_fails_is_named_and_the_others_have_their_share_of_the_cores(
    run, python, grid_file, tmp_path
):
    cores = len(os.sched_getaffinity(0))
    grid_file.write_text(grid_file.read_text().replace("'pruned'", "'bad'"))
    done = run("train_grid.sh", "GRID.gin", "runs/g", python=python, WORKERS=str(cores))
    assert done.returncode == 1
    counts = [count for count, _ in _asked(tmp_path)]
    counted_from_0 = os.sched_getaffinity(0) == set(range(cores))  # as the script takes it
    assert counts == ["1" if counted_from_0 else str(cores)] * 4
    failed = "bad/asterix/1: exit code 1: it broke (runs/g/bad/asterix/1.log)"
    assert failed in done.stdout.splitlines()


@pytest.mark.parametrize("name", ["train_grid.sh", "train_game.sh"])
def test_without_arguments_a_script_says_how_it_is_called(run, name):
    done = run(name)
    assert done.returncode == 2
    assert f"launch/scripts/{name} G" in done.stderr
    assert "bin/" not in done.stderr
    assert "set -" not in done.stderr


def test_a_grid_that_cannot_be_read_is_said(run, grid_file):
    done = run("train_grid.sh", "GRIT.gin", "runs/g")
    assert done.returncode != 0
    assert "--gin_files=GRIT.gin: no such file" in done.stderr


def test_a_tiny_grid_is_really_trained(run, grid_file, tmp_path):
    flags = ["GRID.gin", "runs/g", *(f"--gin_bindings={x}" for x in _TINY)]
    text = grid_file.read_text().replace("num_seeds = 2", "num_seeds = 1")
    grid_file.write_text(text.replace("'pruned': ['pruning/magnitude.gin']", ""))
    done = run("train_grid.sh", *flags, WORKERS="2")
    assert done.returncode == 0, done.stdout
    trainings = list(find_trainings([tmp_path / "runs" / "g"]))
    assert [(x.name, x.game, x.state) for x in trainings] == [
        (f"dense/{game}/0", game, FINISHED) for game in sorted(_GAMES)
    ]


@pytest.mark.parametrize("game", ["asterix", "Pong"])
def test_one_game_and_seed_are_trained_with_the_flags_given(run, python, tmp_path, game):
    flags = ["--gin_files=agents/dqn.gin", "--gin_bindings=Runner.seed=9"]
    assert run("train_game.sh", game, "3", "runs", *flags, python=python).returncode == 0
    ((_, asked),) = _asked(tmp_path)
    environment = "create_minatar_environment" if game == "asterix" else "create_atari_environment"
    assert asked == (
        f"-m prune_rl.train --base_dir=runs/{game}/3 {' '.join(flags)} "
        f"--gin_bindings=Runner.create_environment_fn=@{environment} "
        f'--gin_bindings={environment}.game_name="{game}" --gin_bindings=Runner.seed=3'
    )
