"""What is not installed is said with the command that installs it."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.environments import Checkouts, Lacking, python_of, variables_of
from benchmarks.measuring import start
from benchmarks.pairs import MALLOC, REPOSITORY, Side, WorkerDied
from benchmarks.rows import BREAKOUT, FOUND, ours


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PRUNE_RL_DOPAMINE", raising=False)
    return tmp_path / "prune_rl"


def has(commit):
    command = ["git", "cat-file", "-e", commit]
    return not subprocess.run(command, cwd=REPOSITORY, capture_output=True).returncode


def install(folder):
    folder.mkdir(parents=True)
    (folder / "complete").touch()


def test_ours_runs_in_this_python():
    assert python_of(None) == sys.executable


@pytest.mark.parametrize(
    ("name", "folder", "how"),
    [
        ("dopamine", "dopamine-4.1.2", "bash tests/parity/dopamine_environment.sh"),
        ("torch", "peer-torch", "bash benchmarks/peers/environment.sh torch"),
        ("rejax", "peer-rejax", "bash benchmarks/peers/environment.sh rejax"),
        ("sbx", "peer-sbx", "bash benchmarks/peers/environment.sh sbx"),
    ],
)
def test_a_peer_is_where_its_script_puts_it(cache, name, folder, how):
    assert (REPOSITORY / how.split()[1]).exists()
    with pytest.raises(Lacking, match=f"^{name} is not installed; {how} .* installs it$"):
        python_of(name)
    install(cache / folder)
    assert python_of(name) == str(cache / folder / "bin" / "python")


def test_an_environment_that_was_cut_short_is_none(cache):
    (cache / "peer-torch" / "bin").mkdir(parents=True)
    with pytest.raises(Lacking):
        python_of("torch")


def test_the_parity_tests_may_keep_dopamine_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNE_RL_DOPAMINE", str(tmp_path / "mine"))
    install(tmp_path / "mine")
    assert python_of("dopamine") == str(tmp_path / "mine" / "bin" / "python")


@pytest.mark.skipif(not has(FOUND), reason="git does not have that commit here")
def test_a_checkout_holds_that_commit_and_goes_away():
    with Checkouts() as checkouts:
        folder = checkouts.folder(FOUND)
        assert not (folder / "prune_rl" / "device_loop.py").exists()
        assert (folder / "gin_configs" / "agents" / "dqn.gin").exists()
        assert checkouts.folder(FOUND) == folder
    assert not folder.exists()


def test_a_commit_that_git_does_not_have_is_said():
    with Checkouts() as checkouts, pytest.raises(Lacking, match=r"^no commit 0123456 here; git "):
        checkouts.folder("0123456")


def test_variables_of_a_process(tmp_path):
    with Checkouts() as checkouts:
        plain = variables_of(Side("m", {}), checkouts)
        assert plain["PYTHONPATH"] == str(REPOSITORY)
        assert plain["PYTHONSAFEPATH"] == "1"
        assert not any(name.startswith("MALLOC") for name in plain)
        told = variables_of(Side("m", {}, malloc=True), checkouts)
        assert told == plain | MALLOC
        checkouts._folders["abc"] = tmp_path
        found = variables_of(Side("m", {}, commit="abc"), checkouts)
        assert found["PYTHONPATH"] == f"{tmp_path}{os.pathsep}{REPOSITORY}"


@pytest.mark.skipif(not has(FOUND), reason="git does not have that commit here")
def test_a_side_of_a_commit_runs_the_code_of_that_commit():
    with Checkouts() as checkouts, ExitStack() as stack:
        side = ours(BREAKOUT, what="emulator", commit=FOUND)
        worker = start("found", side, machine.cores()[-1], checkouts)
        stack.callback(worker.close)
        worker.wait_until_ready()  # it has looked at every module of prune_rl
        assert worker.ready["origin"] == str(checkouts.folder(FOUND) / "prune_rl" / "__init__.py")
        assert worker.ready["note"] == "glibc as it is"
        assert worker.turn(10).cpu > 0


@pytest.mark.skipif(not has(FOUND), reason="git does not have that commit here")
@pytest.mark.parametrize("module", ["prune_rl", "prune_rl.trainer", "prune_rl.acting.policy"])
def test_modules_of_a_commit_come_from_its_checkout(module):
    code = f"import {module}, benchmarks; print({module}.__file__); print(benchmarks.__file__)"
    with Checkouts() as checkouts:
        env = os.environ | variables_of(Side("m", {}, commit=FOUND), checkouts)
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
        own, tool = map(Path, found.stdout.split())
        assert own.is_relative_to(checkouts.folder(FOUND))
        assert tool.is_relative_to(REPOSITORY)


def test_a_worker_with_the_code_of_elsewhere_says_so_in_a_line(tmp_path):
    with Checkouts() as checkouts, ExitStack() as stack:
        checkouts._folders["abc"] = tmp_path  # has none; that of this checkout is found
        worker = start("found", ours(BREAKOUT, commit="abc"), machine.cores()[-1], checkouts)
        stack.callback(worker.close)
        expected = rf"ImportError: prune_rl is of .*__init__.py, expected one in {tmp_path}$"
        with pytest.raises(WorkerDied, match=expected):
            worker.wait_until_ready()
