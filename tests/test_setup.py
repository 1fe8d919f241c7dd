"""What is installed: every package, the gin files beside it; versions that tests were run with."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_FOLDERS = ("prune_rl", "launch", "gin_configs")
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
    package = _files(_ROOT / "prune_rl", "*.py", "py.typed", "html/*", "*.csv")
    configs = {f"gin_configs/{name}" for name in _files(_ROOT / "gin_configs", "*.gin", "*.md")}
    assert {
        "py.typed",
        "reporting/data/paper.csv",
        "reporting/html/page.js",
        "networks/torsos/impala.py",
        "sources/__init__.py",
    } <= package
    assert {path.name for path in built.iterdir()} == {"prune_rl", "launch"}
    assert _files(built / "launch", "*") == _files(_ROOT / "launch", "*.py")
    assert _files(built / "prune_rl", "*") == package | configs


def test_the_constraints_name_a_version_of_every_requirement_that_is_new_enough():
    setup = configparser.ConfigParser()
    setup.read(_ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    wanted = setup["options"]["install_requires"] + extras["test"] + extras["fast_gzip"]
    lines = (_ROOT / "constraints.txt").read_text().splitlines()
    chosen = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    requirements = re.findall(r"^([\w-]+)[>=]=([\d.]+)$", wanted, re.MULTILINE)
    assert len(requirements) == len(wanted.split()) > 15
    for name, least in requirements:
        assert _numbers(chosen[name.lower()]) >= _numbers(least), name


@pytest.mark.parametrize("extra", ["rlu", "device", "mujoco", "d4rl"])
def test_the_tests_are_run_with_what_can_be_left_out(extra):
    setup = configparser.ConfigParser()
    setup.read(_ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    assert set(extras[extra].split()) <= set(extras["test"].split())


def _numbers(version):
    return tuple(map(int, version.split(".")))
