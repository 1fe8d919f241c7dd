"""--version: of every command, what git itself says of the checkout."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from launch import sweep
from prune_rl import __version__, evaluate, export, report, train, version
from prune_rl.dataset_tool import command

_MAINS = {
    **{"train": train, "report": report, "datasets": command, "sweep": sweep},
    **{"evaluate": evaluate, "export": export},
}


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git folder with one file, which the package takes for its own; returns its git."""
    monkeypatch.setattr(version, "_FILE", tmp_path / "own" / "version.py")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "version.py").write_text("1\n")

    def git(*arguments):
        name = ("-c", "user.name=x", "-c", "user.email=x@example.com")
        command = ["git", "-C", str(tmp_path), *name, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    return git


@pytest.mark.parametrize("name", sorted(_MAINS))
def test_every_command_says_it_and_stops(name, capsys):
    with pytest.raises(SystemExit) as ended:
        _MAINS[name].main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{version.in_words()}\n"


def test_the_commit_is_gits_and_changes_since_are_told(checkout, tmp_path):
    checkout("add", ".")
    checkout("commit", "--quiet", "--message=x")
    commit = checkout("rev-parse", "--short=12", "HEAD")
    (tmp_path / "notes").write_text("not tracked\n")
    assert version.in_words() == f"prune_rl {__version__} (commit {commit})"
    (tmp_path / "own" / "version.py").write_text("2\n")
    assert version.in_words() == f"prune_rl {__version__} (commit {commit}, changed since)"


def test_a_repository_that_the_package_was_installed_below_is_not_its_own(checkout, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    checkout("add", "thesis.tex")
    checkout("commit", "--quiet", "--message=x")
    assert version.in_words() == f"prune_rl {__version__}"


def test_it_is_said_without_git_and_without_jax(tmp_path):
    code = (
        "import sys\nfrom prune_rl import train\n"
        "try:\n    train.main(['--version'])\nexcept SystemExit:\n    pass\n"
        "assert not {'jax', 'numpy', 'gin'} & set(sys.modules)\n"
    )
    root = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={"PATH": str(tmp_path), "PYTHONPATH": root}, capture_output=True, text=True
    )
    assert done.stdout == f"prune_rl {__version__}\n", done.stderr
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
