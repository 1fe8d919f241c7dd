"""What becomes of a sweep's jobs: who is run again, when, and who has failed for good."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from launch.executor import MISTAKE, RESUME, Executor, Job, Standing, State
from launch.prices import last_line

_BACKOFF_SECONDS = 10.0  # before the first retry; doubled with each


class Ended(NamedTuple):
    """An attempt that came to its end.

    Attributes:
        job: whose.
        finished: whether all went well.
        problem: in a line, why not.
        again_in: seconds until it is run again; None: never.
        log: file that says more of it, if it is there; None: the job's.
    """

    job: Job
    finished: bool
    problem: str = ""
    again_in: float | None = None
    log: Path | None = None

    @property
    def told(self) -> str:
        """The problem and, if there is one, the log that says more of it."""
        log = self.log or self.job.log
        return f"{self.problem} ({log})" if log.exists() else self.problem


class Attempts:
    """Runs jobs on an executor until each has finished or failed for good.

    Attributes:
        failed: for good, by name.
        standings: of all jobs at the last `look`.
    """

    def __init__(
        self,
        executor: Executor,
        jobs: Sequence[Job],
        *,
        retries: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """retries: of a job, after its first attempt has failed; `now` in seconds."""
        self._executor, self._retries, self._now = executor, retries, now
        self._jobs = {job.name: job for job in jobs}
        self._tries = dict.fromkeys(self._jobs, 0)
        self._again: dict[str, float] = {}  # when
        self._open = set(self._jobs)
        self.failed: dict[str, Ended] = {}
        self.standings: Mapping[str, Standing] = {}

    @property
    def done(self) -> bool:
        """Whether nothing is left to run."""
        return not self._open

    def submit(self) -> None:
        """Hands over all jobs."""
        if self._jobs:
            self._executor.submit(list(self._jobs.values()))

    def look(self) -> list[Ended]:
        """Sees what has ended since the last look, and runs again what is due."""
        ended = self._ended()
        self._run_again()
        return ended

    def _ended(self) -> list[Ended]:
        self.standings, ended = self._executor.poll(), []
        for name, standing in self.standings.items():
            if name not in self._open or name in self._again:
                continue
            if standing.state in (State.FINISHED, State.FAILED, State.LOST):
                ended.append(self._judge(self._jobs[name], standing))
        return ended

    def _judge(self, job: Job, standing: Standing) -> Ended:
        if standing.state is State.FINISHED:
            self._open.discard(job.name)
            return Ended(job, finished=True)
        problem = standing.problem or last_line(job.log) or f"exit code {standing.exit_code}"
        wait = self._wait(job, standing)
        ended = Ended(job, finished=False, problem=problem, again_in=wait, log=standing.log)
        if wait is None:
            self._open.discard(job.name)
            self.failed[job.name] = ended
        else:
            self._again[job.name] = self._now() + wait
        return ended

    def _wait(self, job: Job, standing: Standing) -> float | None:
        """Seconds until it is to be run again; None: it has failed for good."""
        if standing.exit_code == RESUME:
            return 0.0
        tries = self._tries[job.name]
        if standing.exit_code == MISTAKE or tries >= self._retries:
            return None
        self._tries[job.name] += 1
        return float(_BACKOFF_SECONDS * 2**tries)

    def _run_again(self) -> None:
        due = [name for name, when in self._again.items() if when <= self._now()]
        for name in due:
            del self._again[name]
        if due:
            self._executor.submit([self._jobs[name] for name in due])
