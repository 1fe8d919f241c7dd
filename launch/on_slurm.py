"""The cells of a grid as jobs of Slurm, through submitit: arrays, warnings, requeueing."""

import argparse
import contextlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from launch import slurm_flags
from launch.executor import Job, Standing, State
from launch.process import Command, standing
from launch.slurm_job import Training
from prune_rl.errors import ConfigError, first_line

if TYPE_CHECKING:
    import submitit

Queue = Callable[[], Mapping[str, str] | None]

_FOLDER = ".slurm"  # below --base_dir
_ARRAY = 1_000  # jobs: Slurm's default MaxArraySize allows no index above
_REQUEUES = 100_000  # as many as it takes
_FRESH = 5.0  # seconds for which the queue is not asked again
_LATE = 60.0  # seconds by which a result may come after its job: NFS caches what is not there
_ASKED_AGAIN, _PATIENCE = 5.0, 600.0  # seconds between asking to save; until it is ended unsaved
_WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
_RUNNING = {"RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"}
_LIVE = (State.WAITING, State.RUNNING)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds those of `--backend=slurm`."""
    slurm_flags.add_flags(parser)


def _submitter(flags: argparse.Namespace) -> "submitit.SlurmExecutor":
    try:
        import submitit
    except ImportError as error:
        needs = "needs submitit: pip install -e '.[slurm]'"
        raise ConfigError(f"--backend=slurm: {needs}") from error

    class Anywhere(submitit.SlurmExecutor):  # which asks for srun only to print a script, too
        @classmethod
        def affinity(cls) -> int:
            return 1

    made = Anywhere(_folder(flags) / "submitit", max_num_timeout=_REQUEUES)
    made.update_parameters(**slurm_flags.parameters(flags))
    return made


def _folder(flags: argparse.Namespace) -> Path:
    return Path(flags.base_dir).absolute() / _FOLDER


def script(flags: argparse.Namespace, jobs: Sequence[Job]) -> str:
    """The script that sbatch would be given for these jobs, or the first thousand; needs no Slurm.

    Raises:
        ConfigError: submitit is missing, or a flag is wrong.
    """
    made = _submitter(flags)
    if len(jobs) > 1:
        made.parameters["map_count"] = min(len(jobs), _ARRAY)
    return made._make_submission_file_text(made._submitit_command_str, "")


def executor(flags: argparse.Namespace) -> "Slurm":
    """That of the cluster of this machine.

    Raises:
        ConfigError: submitit is missing, Slurm is not here, or a flag is wrong.
    """
    made = _submitter(flags)
    for program in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(program) is None:
            missing = f"{program} is not on PATH; is this a machine of a Slurm cluster?"
            raise ConfigError(f"--backend=slurm: {missing}")
    return Slurm(_folder(flags), made)


def ask_queue() -> dict[str, str] | None:
    """Slurm's state of every job of this user, by id; None if Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
    done = subprocess.run([*command, "--format=%i|%T"], capture_output=True, text=True)
    if done.returncode:
        return None
    return dict(line.split("|") for line in done.stdout.split())


class _Handed(NamedTuple):
    job: Job
    theirs: Any  # submitit's


class Slurm:
    """Jobs that go on without the sweep; a later one on the same folder finds those that do.

    What Slurm tells is asked of `squeue`, which works without accounting, and the exit codes of
    trainings come as results, by files. A job that hits its time limit saves and is requeued.

    Attributes:
        outlives: True.
    """

    outlives = True

    def __init__(self, folder: Path, submitter: Any, queue: Queue = ask_queue) -> None:
        """`folder` keeps the jobs' ids and what submitit writes; `submitter` is of submitit."""
        self._submitter, self._queue = submitter, queue
        self._kept = folder / "jobs.jsonl"
        self._jobs: dict[str, _Handed] = {}
        self._standings: dict[str, Standing] = {}
        self._seen: Mapping[str, str] = {}
        self._asked = self._answered = float("-inf")
        self._gone: dict[str, float] = {}  # since when, of those that left no result

    def submit(self, jobs: Sequence[Job]) -> None:
        """As of `Executor`: one array for each thousand jobs, but those still in the queue."""
        kept = self._live(job.name for job in jobs)
        for job in jobs:
            if job.name in kept:
                self._take(job, kept[job.name])
        new = [job for job in jobs if job.name not in kept]
        for first in range(0, len(new), _ARRAY):
            own = new[first : first + _ARRAY]
            trainings = [Training(Command.of(job)) for job in own]
            with _uninterrupted():  # or jobs would run of which nobody keeps the ids
                for job, theirs in zip(own, self._submit(trainings), strict=True):
                    self._take(job, theirs)
                self._keep(own)
        self._asked = float("-inf")

    def _take(self, job: Job, theirs: Any) -> None:
        self._jobs[job.name] = _Handed(job, theirs)
        self._standings[job.name] = Standing(State.WAITING)
        self._gone.pop(job.name, None)

    def _submit(self, trainings: list[Training]) -> list[Any]:
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            with contextlib.redirect_stderr(io.StringIO()):  # the error says it again
                return self._submitter.submit_array(trainings)
        except (FailedJobError, FailedSubmissionError) as error:
            line = first_line(error).removeprefix("sbatch: ").removeprefix("error: ")
            blamed = slurm_flags.blamed(str(error))
            raise ConfigError(f"{blamed}: sbatch refuses: {line}") from error

    def _keep(self, jobs: Sequence[Job]) -> None:
        lines = [
            json.dumps({"name": x.name, "job": self._jobs[x.name].theirs.job_id}) for x in jobs
        ]
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        with self._kept.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def _live(self, names: Iterable[str]) -> dict[str, Any]:
        """Submitit's job of each name that an earlier sweep, or this one, has in the queue."""
        if not self._kept.exists():
            return {}
        ids = {own["name"]: own["job"] for own in map(json.loads, self._kept.open())}
        states = self._queue()
        if states is None:
            why = f"squeue does not answer, and {self._kept} names jobs that may still run"
            raise ConfigError(f"--backend=slurm: {why}; try again when it does")
        live = {x: ids[x] for x in names if states.get(ids.get(x, "")) in _WAITING | _RUNNING}
        kind, folder = self._submitter.job_class, self._submitter.folder
        theirs = {name: kind(folder, own) for name, own in live.items()}
        return {name: x for name, x in theirs.items() if not x.paths.result_pickle.exists()}

    def poll(self) -> Mapping[str, Standing]:
        """As of `Executor`; the queue is asked every few seconds."""
        self._look()
        for name, (job, theirs) in self._jobs.items():
            if self._standings[name].state in _LIVE:
                self._standings[name] = self._standing(job, theirs)
        return dict(self._standings)

    def _look(self) -> None:
        if time.monotonic() - self._asked < _FRESH:
            return
        self._asked = time.monotonic()
        states = self._queue()
        if states is not None:
            self._seen, self._answered = states, self._asked

    def _standing(self, job: Job, theirs: Any) -> Standing:
        if theirs.paths.result_pickle.exists():
            return _of_result(theirs.paths.result_pickle, job.log)
        state = self._seen.get(theirs.job_id, "")
        if state in _WAITING | _RUNNING:
            self._gone.pop(job.name, None)
            return Standing(State.WAITING if state in _WAITING else State.RUNNING)
        since = self._gone.setdefault(job.name, time.monotonic())
        if state != "CANCELLED" and self._answered < since + _LATE:
            return self._standings[job.name]
        why = f"Slurm job {theirs.job_id}: {state or 'no longer known'}; see {theirs.paths.stderr}"
        return Standing(State.LOST, None, why)

    def cancel(self) -> None:
        """As of `Executor`; who has not saved after ten minutes is ended without."""
        began = time.monotonic()
        while left := self._left():
            _ask_to_end(left, saved=time.monotonic() - began < _PATIENCE)
            time.sleep(_ASKED_AGAIN)

    def _left(self) -> list[str]:
        """The ids of the jobs that have not ended."""
        self._asked = float("-inf")
        states = self.poll()
        return [self._jobs[x].theirs.job_id for x in states if states[x].state in _LIVE]


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Within, Ctrl-C waits, and what this process starts, as sbatch, does not get it."""
    came: list[int] = []  # by way of any thread; only this one can block it
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _ask_to_end(ids: Sequence[str], *, saved: bool) -> None:
    """Again and again, for a job that has just been requeued, or does not listen yet."""
    subprocess.run(["scancel", "--quiet", "--state=PENDING", *ids])
    how = ["--signal=TERM", "--state=RUNNING"] if saved else []
    subprocess.run(["scancel", "--quiet", *how, *ids])


def _of_result(file: Path, log: Path) -> Standing:
    """What submitit wrote at a job's end: an exit code, or a traceback."""
    outcome, value = pickle.loads(file.read_bytes())
    if outcome == "success":
        return standing(value, log)
    last = str(value).strip().rpartition("\n")[2]
    return Standing(State.FAILED, None, f"the job raised {last}")
