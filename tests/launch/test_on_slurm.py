"""The flags, the script and the book-keeping of --backend=slurm; the cluster is scripted."""

import argparse
import json
import os
import pickle
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch import on_slurm
from launch.executor import Standing, State
from launch.on_slurm import Slurm
from launch.process import ROOT
from prune_rl.errors import ConfigError

from .tiny import job

submitit = pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")


def flags_of(base_dir, *given):
    parser = argparse.ArgumentParser()
    parser.add_argument("--base_dir")
    on_slurm.add_flags(parser)
    return parser.parse_args([f"--base_dir={base_dir}", *given])


class Cluster:
    """Numbers what it is given; `states` is what squeue says, `clock` what time it is."""

    job_class = submitit.SlurmJob

    def __init__(self, folder):
        self.folder = folder / "submitit"
        self.arrays, self.states, self.clock, self.refusal = [], {}, 0.0, None

    def submit_array(self, trainings):
        if self.refusal:
            raise submitit.core.utils.FailedJobError(self.refusal)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.arrays.append(trainings)
        ids = [f"{len(self.arrays)}_{i}" for i in range(len(trainings))]
        self.states.update(dict.fromkeys(ids, "PENDING"))
        return [self.job_class(self.folder, own) for own in ids]

    def result(self, number, *outcome):
        (self.folder / f"{number}_0_result.pkl").write_bytes(pickle.dumps(outcome))


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    own = Cluster(tmp_path / "slurm")
    monkeypatch.setattr(on_slurm.time, "monotonic", lambda: own.clock)
    return own


@pytest.fixture
def make(cluster, tmp_path):
    return lambda: Slurm(tmp_path / "slurm", cluster, lambda: cluster.states)


@pytest.fixture
def jobs(tmp_path):
    return [job(tmp_path, f"x{i}/Breakout/0") for i in range(3)]


def states(executor):
    return [standing.state for standing in executor.poll().values()]


def test_the_script(tmp_path, monkeypatch, jobs):
    monkeypatch.chdir(tmp_path)
    given = ("--partition=gpu", "--account=lab", "--time=60", "--gres=gpu:1", "--mem_gib=7.5")
    flags = flags_of("g", *given, "--cpus_per_task=4", "--max_parallel=2", "--warning=300")
    lines = on_slurm.script(flags, jobs).splitlines()
    assert lines[0] == "#!/bin/bash"
    folder = tmp_path / "g/.slurm/submitit"
    for line in (
        "--account=lab",
        "--array=0-2%2",
        f"--chdir={tmp_path}",
        "--cpus-per-task=4",
        "--gres=gpu:1",
        "--mem=7680M",
        "--open-mode=append",
        f"--output={folder}/%A_%a_0_log.out",
        "--partition=gpu",
        "--requeue",
        "--signal=USR1@300",
        "--time=60",
    ):
        assert lines.count(f"#SBATCH {line}") == 1, line
    assert f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}" in lines
    assert "export SUBMITIT_PREEMPT_SIGNAL=USR1" in lines
    command = f"--cpus-per-task 4 {sys.executable} -u -m submitit.core._submit {folder}"
    assert lines[-2 if lines[-1] == "" else -1].endswith(command)
    assert not (tmp_path / "g").exists()


def test_the_script_of_one_job_and_of_more_than_an_array_holds(tmp_path, jobs):
    flags = flags_of(tmp_path)
    assert "--array" not in on_slurm.script(flags, jobs[:1])
    assert "#SBATCH --array=0-999%256\n" in on_slurm.script(flags, jobs * 400)
    for absent in ("--partition", "--account", "--gres", "--mem"):
        assert absent not in on_slurm.script(flags, jobs)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--time=3"], "--time=3: expected 4 minutes at least with --warning=120"),
        (["--time=10", "--warning=600"], "--time=10: expected 12 minutes at least"),
        (["--warning=0"], "--warning=0: expected a whole number from 1"),
        (["--cpus_per_task=0"], "--cpus_per_task=0: expected a whole number from 1"),
        (["--max_parallel=-1"], "--max_parallel=-1: expected a whole number from 1"),
        (["--mem_gib=0"], "--mem_gib=0: expected a number above 0"),
        (["--mem_gib=inf"], "--mem_gib=inf: expected a number above 0"),
        (["--mem_gib=nan"], "--mem_gib=nan: expected a number above 0"),
    ],
)
def test_flags_that_cannot_be(tmp_path, jobs, given, message):
    with pytest.raises(ConfigError) as caught:
        on_slurm.script(flags_of(tmp_path, *given), jobs)
    assert str(caught.value).startswith(message)


def test_without_submitit_or_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"^--backend=slurm: sbatch is not on PATH; is this a m"):
        on_slurm.executor(flags_of(tmp_path))
    monkeypatch.setitem(sys.modules, "submitit", None)
    expected = r"^--backend=slurm: needs submitit: pip install -e '\.\[slurm\]'$"
    with pytest.raises(ConfigError, match=expected):
        on_slurm.script(flags_of(tmp_path), [])


def test_one_array_for_each_thousand(cluster, make, tmp_path):
    many = [job(tmp_path, f"{i}") for i in range(1_001)]
    executor = make()
    executor.submit(many)
    assert [len(array) for array in cluster.arrays] == [1_000, 1]
    assert [x.command.directory.name for x in cluster.arrays[0][:3]] == ["0", "1", "2"]
    assert list(executor.poll()) == [own.name for own in many]


def test_where_jobs_stand(cluster, make, jobs):
    executor = make()
    executor.submit(jobs)
    assert states(executor) == [State.WAITING] * 3
    cluster.clock += 10
    cluster.states = {"1_0": "RUNNING", "1_1": "COMPLETING", "1_2": "REQUEUED"}
    assert states(executor) == [State.RUNNING, State.RUNNING, State.WAITING]
    cluster.result("1_0", "success", 0)
    cluster.result("1_1", "success", 75)
    cluster.result("1_2", "error", "Traceback:\n ...\nOSError: no space\n")
    jobs[1].log.parent.mkdir(parents=True)
    jobs[1].log.write_text("prune_rl.train: SIGTERM: saved\n")
    assert list(executor.poll().values()) == [
        Standing(State.FINISHED, 0),
        Standing(State.FAILED, 75, "prune_rl.train: SIGTERM: saved"),
        Standing(State.FAILED, None, "the job raised OSError: no space"),
    ]


def test_the_queue_is_asked_every_few_seconds(cluster, jobs, tmp_path):
    asked = []
    executor = Slurm(tmp_path, cluster, lambda: asked.append(1) or cluster.states)
    executor.submit(jobs)
    for seconds in (0, 2, 2, 2, 2):
        cluster.clock += seconds
        executor.poll()
    assert len(asked) == 2


def test_a_job_without_a_result_is_lost_once_none_can_come_any_more(cluster, make, jobs):
    """Over NFS, a file may be seen a minute after it was written."""
    executor = make()
    executor.submit(jobs)
    cluster.states = {"1_0": "CANCELLED", "1_1": "NODE_FAIL"}
    assert states(executor) == [State.LOST, State.WAITING, State.WAITING]
    cluster.clock += 59
    assert states(executor) == [State.LOST, State.WAITING, State.WAITING]
    cluster.result("1_2", "success", 0)
    cluster.clock += 6
    assert states(executor) == [State.LOST, State.LOST, State.FINISHED]
    problems = [standing.problem for standing in executor.poll().values()]
    assert problems[0].startswith("Slurm job 1_0: CANCELLED; see /")
    assert problems[1].startswith("Slurm job 1_1: NODE_FAIL; see /")
    assert Path(problems[1].partition("see ")[2]).name == "1_1_0_log.err"


def test_nothing_is_lost_while_the_queue_does_not_answer(cluster, make, jobs):
    executor = make()
    executor.submit(jobs)
    cluster.states = {}
    executor.poll()
    cluster.states = None
    for _ in range(100):
        cluster.clock += 10
        assert states(executor) == [State.WAITING] * 3
    cluster.states = dict.fromkeys(("1_0", "1_1", "1_2"), "RUNNING")
    cluster.clock += 10
    assert states(executor) == [State.RUNNING] * 3


def test_a_later_sweep_finds_the_jobs_that_have_not_ended(cluster, make, jobs, tmp_path):
    make().submit(jobs)
    kept = (tmp_path / "slurm/jobs.jsonl").read_text().splitlines()
    assert json.loads(kept[1]) == {"name": "x1/Breakout/0", "job": "1_1"}
    cluster.states = {"1_0": "RUNNING", "1_1": "COMPLETING", "1_2": "FAILED"}
    cluster.result("1_1", "success", 1)
    executor = make()
    executor.submit(jobs)
    assert [[x.command.directory for x in array] for array in cluster.arrays[1:]] == [
        [own.directory for own in jobs[1:]]
    ]
    assert states(executor) == [State.RUNNING, State.WAITING, State.WAITING]
    cluster.result("1_0", "success", 0)
    cluster.states = {}
    make().submit(jobs)  # all have left the queue: the sweep knows which are to be run again
    assert [len(array) for array in cluster.arrays] == [3, 2, 3]


def test_an_interrupt_waits_until_the_ids_are_kept(cluster, make, jobs, tmp_path, monkeypatch):
    submit_array = cluster.submit_array

    def interrupted(trainings):
        made = submit_array(trainings)
        os.kill(os.getpid(), signal.SIGINT)
        masked = (
            "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
        )
        told = subprocess.run([sys.executable, "-S", "-c", masked], capture_output=True, text=True)
        assert told.stdout == "True\n"  # so for sbatch, which a terminal interrupts too
        return made

    monkeypatch.setattr(cluster, "submit_array", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make().submit(jobs)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len((tmp_path / "slurm/jobs.jsonl").read_text().splitlines()) == 3
    make().submit(jobs)
    assert len(cluster.arrays) == 1


def test_a_job_that_failed_is_submitted_again(cluster, make, jobs):
    executor = make()
    executor.submit(jobs[:1])
    cluster.states = {"1_0": "COMPLETING"}
    cluster.result("1_0", "success", 1)
    assert states(executor) == [State.FAILED]
    executor.submit(jobs[:1])
    assert len(cluster.arrays) == 2
    assert states(executor) == [State.WAITING]


def test_jobs_may_not_be_submitted_twice_because_squeue_is_silent(cluster, make, jobs):
    make().submit(jobs)
    cluster.states = None
    with pytest.raises(ConfigError, match=r"^--backend=slurm: squeue does not answer, and /"):
        make().submit(jobs)
    assert len(cluster.arrays) == 1


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ("sbatch: error: invalid partition specified: x", "--partition: sbatch refuses: invalid"),
        (
            "sbatch: error: Batch job submission failed: Invalid account or account/partition "
            "combination specified",
            "--account: sbatch refuses: Batch job submission failed: Invalid account",
        ),
        ("sbatch: error: Invalid generic resource (gres) specification", "--gres: sbatch refuses"),
        ("sbatch: error: Memory specification can not be satisfied", "--mem_gib: sbatch"),
        ("sbatch: error: CPU count per node can not be satisfied", "--cpus_per_task: sbatch"),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit", "--backend=slurm: sbatch refuses: QOS"),
    ],
)
def test_what_sbatch_refuses(cluster, make, jobs, refusal, message):
    cluster.refusal = refusal
    with pytest.raises(ConfigError) as caught:
        make().submit(jobs)
    assert str(caught.value).startswith(message)
