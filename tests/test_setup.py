"""What is installed: every package, and the gin files that a checkout has beside it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_FOLDERS = ("prune_rl", "gin_configs")
_FILES = ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def _files(folder, *patterns):
    found = (path for pattern in patterns for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix() for path in found}


def test_what_is_built_holds_every_file_of_the_tree_and_no_other(tmp_path):
    pytest.importorskip("setuptools")  # pip brings its own for a build, Python from 3.12 on none
    tree, built = tmp_path / "tree", tmp_path / "built"
    for name in _FOLDERS:
        shutil.copytree(_ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in _FILES:
        shutil.copy(_ROOT / name, tree)
    command = [sys.executable, "setup.py", "-q", "build", f"--build-lib={built}"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    package = _files(_ROOT / "prune_rl", "*.py", "py.typed")
    configs = {f"gin_configs/{name}" for name in _files(_ROOT / "gin_configs", "*.gin", "*.md")}
    assert {"py.typed", "networks/torsos/impala.py", "sources/__init__.py"} <= package
    assert {path.name for path in built.iterdir()} == {"prune_rl"}
    assert _files(built / "prune_rl", "*") == package | configs
