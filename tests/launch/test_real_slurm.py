"""Trainings on a real Slurm of one node, with the daemons of Debian's packages."""

import argparse
import itertools
import os
import subprocess
import time

import psutil
import pytest

from launch import on_slurm, sweep
from launch.executor import State
from prune_rl.errors import ConfigError

from . import private_slurm
from .tiny import grid, job, metrics, text, until

pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")
pytestmark = pytest.mark.skipif(bool(private_slurm.missing()), reason=private_slurm.missing())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One for all tests; a machine with much to do gets a second try."""
    with pytest.MonkeyPatch.context() as patch:
        for last in (False, True):
            running = private_slurm.running(tmp_path_factory.mktemp("slurm"))
            try:
                patch.setenv("SLURM_CONF", str(running.__enter__()))
            except (AssertionError, subprocess.SubprocessError):
                if last:
                    raise
                continue
            yield
            running.__exit__(None, None, None)
            return


@pytest.fixture
def make(tmp_path, cluster):
    """An executor, as of `launch.sweep --backend=slurm` with these flags."""

    def make_it(*given):
        parser = argparse.ArgumentParser()
        parser.add_argument("--base_dir")
        on_slurm.add_flags(parser)
        return on_slurm.executor(parser.parse_args([f"--base_dir={tmp_path}", *given]))

    yield make_it
    subprocess.run(["scancel", f"--user={os.getuid()}"])


def stands(executor, own):
    return executor.poll()[own.name]


def ended(executor):
    live = (State.WAITING, State.RUNNING)
    return all(standing.state not in live for standing in executor.poll().values())


def number(own, folder):
    """The id of a job, as kept for later sweeps."""
    submitted = text(folder / ".slurm/jobs.jsonl").splitlines()
    return next(x.split('"')[-2] for x in reversed(submitted) if f'"{own.name}"' in x)


def release(own_id):
    """Starts a requeued job now: Slurm would let it wait for two minutes."""

    def is_requeued():
        shown = ["scontrol", "--oneliner", "show", "job", own_id]
        said = subprocess.run(shown, capture_output=True, text=True).stdout
        return "JobState=PENDING" in said and "Restarts=0" not in said

    until(is_requeued, "requeueing")
    time.sleep(2)  # in the same second, the node takes it for the one that it has just ended
    subprocess.run(["scontrol", "update", f"JobId={own_id}", "StartTime=now"], check=True)


def runs(process, own_id):
    """Whether it is what submitit runs a job in."""
    try:
        environment = process.environ()
        own = [environment.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK")]
        command = process.cmdline()
        return own == own_id.split("_") and command[2:4] == ["-m", "submitit.core._submit"]
    except psutil.Error:
        return False


def test_an_array_of_cells(make, tmp_path):
    cells = [job(tmp_path, f"{name}/Breakout/0") for name in "ab"]
    executor = make("--cpus_per_task=1", "--mem_gib=0.9", "--time=30", "--max_parallel=2")
    executor.submit(cells)
    ids = [number(own, tmp_path) for own in cells]
    assert [own.partition("_")[2] for own in ids] == ["0", "1"]
    until(lambda: ended(executor), "both")
    assert {x.exit_code for x in executor.poll().values()} == {0}
    assert len(metrics(cells[0])) == 4
    assert metrics(cells[0]) == metrics(cells[1])
    for own in cells:
        assert text(own.log).startswith("launch: on ")
        assert "iteration 2/2 eval" in text(own.log)
    (script,) = (tmp_path / ".slurm/submitit").glob("[0-9]*_submission.sh")
    parser = argparse.ArgumentParser()
    on_slurm.add_flags(parser)
    flags = parser.parse_args(["--mem_gib=0.9", "--time=30", "--max_parallel=2"])
    flags.base_dir = tmp_path
    assert script.read_text() == on_slurm.script(flags, cells)


def test_a_warned_job_saves_is_requeued_and_loses_nothing(make, tmp_path):
    whole, warned = (job(tmp_path, name, num_iterations=20) for name in ("whole", "warned"))
    executor = make()
    executor.submit([whole, warned])
    until(lambda: len(metrics(warned)) > 3, "the second iteration")
    own_id = number(warned, tmp_path)
    subprocess.run(["scancel", "--signal=USR1", own_id], check=True)
    release(own_id)
    until(lambda: ended(executor), "both")
    assert {x.exit_code for x in executor.poll().values()} == {0}
    assert text(warned.log).count("prune_rl.train: SIGUSR1: saved after ") == 1
    assert text(warned.log).count(f"{warned.directory}: going on after ") == 1
    assert metrics(warned) == metrics(whole)


def test_a_later_sweep_finds_its_jobs_and_cancelling_them_saves(make, tmp_path):
    cells = [job(tmp_path, f"{name}/Breakout/0", num_iterations=900) for name in "abc"]
    make("--max_parallel=2").submit(cells)
    executor = make("--max_parallel=2")
    executor.submit(cells)
    assert len(text(tmp_path / ".slurm/jobs.jsonl").splitlines()) == 3
    until(lambda: all(len(metrics(own)) > 1 for own in cells[:2]), "two that train")
    executor.cancel()
    states = [stands(executor, own) for own in cells]
    assert [x.state for x in states] == [State.FAILED, State.FAILED, State.LOST]
    for own, standing in zip(cells[:2], states[:2], strict=True):
        assert standing.exit_code == 75
        assert standing.problem.startswith("prune_rl.train: SIGTERM: saved after ")
        assert own.directory.exists()
    assert not cells[2].directory.exists()
    queue = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True)
    assert queue.stdout == ""


def test_one_that_is_killed_and_one_that_cannot_be(make, tmp_path, monkeypatch):
    monkeypatch.setattr(on_slurm, "_LATE", 5.0)
    killed, wrong = job(tmp_path, "a", num_iterations=900), job(tmp_path, "b", "DQNAgent.gamma=2")
    executor = make()
    executor.submit([killed, wrong])
    until(lambda: len(metrics(killed)) > 1, "a training")
    for process in psutil.process_iter():
        if runs(process, number(killed, tmp_path)):
            process.kill()
    until(lambda: stands(executor, wrong).state == State.FAILED, "a failure")
    assert stands(executor, wrong).exit_code == 2
    assert stands(executor, wrong).problem.startswith("prune_rl.train: DQNAgent.gamma=2: ")
    executor.submit([wrong])
    assert stands(executor, wrong).state in (State.WAITING, State.RUNNING)
    until(lambda: ended(executor), "being given up")
    assert stands(executor, killed).state == State.LOST
    assert f"Slurm job {number(killed, tmp_path)}: FAILED; see " in stands(executor, killed).problem


def test_a_sweep(cluster, tmp_path, capsys):
    """Whose cells finish, and are not submitted again."""
    command = ["--backend=slurm", f"--gin_files={grid(tmp_path)}", f"--base_dir={tmp_path / 'g'}"]
    command.append("--cells=*/breakout/0")
    assert sweep.main(command) == 0
    assert capsys.readouterr().err.endswith("2 of 2 cells have finished\n")
    runs = sorted(path.parent for path in (tmp_path / "g").rglob("metrics.jsonl"))
    assert [str(x.relative_to(tmp_path / "g")) for x in runs] == [
        f"{arm}/breakout/0" for arm in ("dense", "pruned")
    ]
    kept = text(tmp_path / "g/.slurm/jobs.jsonl")
    assert len(kept.splitlines()) == 2
    assert sweep.main(command) == 0
    assert text(tmp_path / "g/.slurm/jobs.jsonl") == kept


def test_what_slurm_refuses(make, tmp_path):
    cells = [job(tmp_path, name) for name in "ab"]
    with pytest.raises(ConfigError, match=r"^--partition: sbatch refuses: .*partition.*: none$"):
        make("--partition=none").submit(cells)
    with pytest.raises(ConfigError, match=r"^--(gres|cpus_per_task): sbatch refuses: "):
        make("--gres=gpu:8").submit(cells)
    assert not (tmp_path / ".slurm/jobs.jsonl").exists()


@pytest.mark.nightly
def test_a_job_that_hits_its_time_limit_is_requeued_and_loses_nothing(make, tmp_path):
    """Minutes: Slurm's limits are whole ones, and it may warn one early."""
    own = job(tmp_path, "limited", "Runner.training_steps=1_000", num_iterations=180)
    executor = make("--time=2", "--warning=20")
    executor.submit([own])
    began = time.monotonic()
    until(lambda: "SIGUSR1: saved" in text(own.log), "the warning", 150)
    assert time.monotonic() - began > 30
    release(number(own, tmp_path))
    for count in itertools.count(2):
        until(lambda n=count: ended(executor) or text(own.log).count("saved") == n, "more", 150)
        if ended(executor):
            break
        release(number(own, tmp_path))
    assert stands(executor, own).exit_code == 0
    assert text(own.log).count(f"{own.directory}: going on after ") == count - 1
    whole = job(tmp_path, "whole", *own.cell.gin_bindings[-1:], num_iterations=180)
    subprocess.run(whole.command, check=True, capture_output=True)
    assert metrics(own) == metrics(whole)
