"""The commands of the README are run as they stand there, only shorter."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from prune_rl import train

_ROOT = Path(__file__).resolve().parent.parent
_BLOCKS = re.findall(r"```bash\n(.*?)```", (_ROOT / "README.md").read_text(), re.DOTALL)
_COMMANDS = [block.replace("\\\n", " ").strip() for block in _BLOCKS]
_SHORTER = [
    f"--gin_bindings={binding}"
    for binding in (
        "Runner.num_iterations=2",
        "Runner.training_steps=40",
        "Runner.evaluation_steps=0",
        "DQNAgent.min_replay_history=30",
        "DQNAgent.update_period=2",
    )
]


def _run(command: str, folder: Path) -> subprocess.CompletedProcess:
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ
        | {"PATH": python, "VENV": sys.prefix, "RUNS": str(folder / "runs/quickstart")},
        capture_output=True,
        text=True,
    )


def _command_with(word: str) -> str:
    (command,) = [command for command in _COMMANDS if word in command]
    return command


def test_every_command_of_the_readme_is_known_here():
    words = ("quickstart.sh", "run_tests.sh", "networks/impala.gin", "--list", "reporting.curves")
    assert sorted(_COMMANDS) == sorted(_command_with(word) for word in words)


def test_quickstart_and_the_comparison(tmp_path):
    script = _ROOT / "quickstart.sh"
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    command = _command_with("quickstart.sh").replace("quickstart.sh", f"{script} {arguments}")
    done = _run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/quickstart/compare.png").read_bytes().startswith(b"\x89PNG")
    done = _run(_command_with("reporting.curves"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "runs/compare.csv").read_text().splitlines()) == 1 + 2 * 2 * 3


def test_run_tests_runs_pytest():
    done = _run(f"{_command_with('run_tests.sh')} --collect-only tests/test_readme.py", _ROOT)
    assert done.returncode == 0, done.stderr
    assert "test_run_tests_runs_pytest" in done.stdout


def test_atari_command(tmp_path):
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    narrow = "--gin_bindings=ImpalaTorso.width=1"
    done = _run(f"{_command_with('networks/impala.gin')} {arguments} {narrow}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/pong/curve.png").exists()


def test_list_command(tmp_path):
    done = _run(_command_with("--list"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 15


@pytest.mark.parametrize("text", [(_ROOT / "README.md").read_text(), train._EPILOG])
def test_every_gin_file_that_is_named_exists(text):
    names = re.findall(r"\b(?:agents|networks|pruning|suites|experiments)/\w+\.gin", text)
    assert names
    for name in names:
        assert (_ROOT / "gin_configs" / name).is_file(), name
