"""Programs made by pip do what `python -m` does, also with modules of the folder they are in."""

import configparser
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_OWN = """\
import gin

@gin.configurable
def fading(speed=1):
    if speed == 0:
        raise KeyboardInterrupt
    return speed
"""
_MAKE = """\
import sys
from pip._vendor.distlib.scripts import ScriptMaker
maker = ScriptMaker(None, sys.argv[1])
maker.variants = {""}
maker.make_multiple(sys.argv[2:])
"""
_FAILS = "raise KeyboardInterrupt  # as Ctrl-C while gin files are read\n"


def _entries():
    setup = configparser.ConfigParser()
    setup.read(_ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    return dict(line.split(" = ") for line in lines)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder of the programs, written by what pip writes them with."""
    folder = tmp_path_factory.mktemp("bin")
    command = [sys.executable, "-c", _MAKE, folder]
    command += [f"{name} = {entry}" for name, entry in _entries().items()]
    made = subprocess.run(command, capture_output=True, text=True)
    if "No module named 'pip'" in made.stderr:
        pytest.skip("pip is not installed")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A user's folder: a pruning method of their own and gin files that use it."""
    folder = tmp_path_factory.mktemp("scratch")
    (folder / "my_pruning.py").write_text(_OWN)
    (folder / "my_failure.py").write_text(_FAILS)
    (folder / "own.gin").write_text("import my_pruning\nfading.speed = 3\n")
    (folder / "failing.gin").write_text("import my_failure\n")
    return folder


def _run(command, folder, **environment):
    env = {**os.environ, "PYTHONPATH": str(_ROOT), **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--gin_files=own.gin", "--gin_files=suites/atari_2.gin", "--list"], 0, "VideoPinball"),
        (["--gin_files=own.gin", "--gin_bindings=fading.sped=2", "--list"], 2, "'speed'?"),
        (["--gin_files=failing.gin", "--list"], 130, "interrupted"),
    ],
)
def test_a_gin_file_imports_from_the_folder_as_with_python_m(programs, scratch, flags, code, words):
    own = _run([programs / "prune_rl-train", *flags], scratch)
    assert own.returncode == code, own.stderr
    assert words in own.stdout + own.stderr
    module = _run([sys.executable, "-m", "prune_rl.train", *flags], scratch)
    same = [(x.returncode, x.stdout, x.stderr) for x in (own, module)]
    assert same[0] == same[1]


def test_a_safe_path_is_kept(programs, scratch):
    flags = ["--gin_files=own.gin", "--gin_files=suites/atari_2.gin", "--list"]
    done = _run([programs / "prune_rl-train", *flags], scratch, PYTHONSAFEPATH="1")
    assert done.returncode == 2
    assert "cannot import: No module named 'my_pruning'" in done.stderr


@pytest.mark.parametrize("name", ["report", "datasets", "sweep", "train"])
def test_every_program_is_its_command(programs, scratch, name):
    done = _run([programs / f"prune_rl-{name}", "--version"], scratch)
    assert (done.returncode, done.stdout.split()[0]) == (0, "prune_rl"), done.stderr


def test_programs_are_named_after_modules_that_are_there():
    names = ["train", "report", "datasets", "sweep", "evaluate", "export"]
    assert _entries() == {f"prune_rl-{name}": f"prune_rl.scripts:{name}" for name in names}
    for name in names:
        folder = "launch" if name == "sweep" else "prune_rl"
        assert importlib.util.find_spec(f"{folder}.{name}") is not None
