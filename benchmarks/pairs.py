"""Long-lived workers that take turns on one core, and the ratios of the CPU time of their steps.

While one runs, the others wait at their pipes. A round is one turn of each; a ratio is taken within
a round, so that whatever else the machine does meanwhile changes both of its sides.
"""

import json
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
# What `prune_rl.malloc` asks of glibc from inside the process, as environment variables.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_ARENA_MAX": "1",
}


class WorkerDied(Exception):  # noqa: N818
    """A worker ended, or answered what is no answer; the message says which and why, in a line."""


@dataclass(frozen=True)
class Side:
    """A worker that is to be started.

    Attributes:
        module: what is run, as 'benchmarks.workers.ours'.
        settings: what it is told, as JSON can say it.
        environment: of which Python, one of `peers.environments`; None for this one.
        malloc: whether glibc is told by environment variables to keep memory.
        commit: the prune_rl of which commit; None for this checkout.
    """

    module: str
    settings: Mapping[str, Any]
    environment: str | None = None
    malloc: bool = False
    commit: str | None = None


class Turn(NamedTuple):
    """Seconds of a seed's step in one turn, and the most memory so far."""

    cpu: float
    wall: float
    peak_mib: float


class Worker:
    """A process of one side, alive until closed.

    Args:
        name: of the side.
        command: what is run; it calls `serve`.
        env: environment variables, beside those of this process.
        core: what it is pinned to, before it can make threads; None for any.

    Attributes:
        name: of the side.
        ready: what it said of itself, see `serve`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        core: int | None = None,
    ) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # see close
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=None if core is None else partial(_pin, core),
        )
        self.ready: dict[str, Any] = {}

    def wait_until_ready(self) -> None:
        """Returns once it is warm; `WorkerDied` if it never will be."""
        self.ready = self._answer()

    def turn(self, steps: int) -> Turn:
        """Runs so many steps, in seconds per step of one seed."""
        with suppress(BrokenPipeError):  # what it said last is in its log
            print(steps, file=self._process.stdin, flush=True)
        taken, number = self._answer(), steps * self.ready["seeds"]
        return Turn(taken["cpu"] / number, taken["wall"] / number, taken["peak_mib"])

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        try:
            return json.loads(line)
        except ValueError:
            raise WorkerDied(f"{self.name}: {self._last_words(line)}") from None

    def _last_words(self, line: str) -> str:
        if line:
            return f"answered {line.strip()[:200]!r}, no JSON"
        code = self._process.wait()
        self._log.seek(0)
        lines = [own.strip() for own in self._log if own.strip()] or ["nothing"]
        # gin adds lines of its own to what an exception says.
        errors = [own for own in lines if re.match(r"[\w.]+(Error|Exception): ", own)]
        return f"ended with code {code}; last it said: {[*lines, *errors][-1][:300]}"

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(BrokenPipeError):  # a number that nobody read
                stream.close()


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def calibrated(worker: Worker, seconds: float) -> int:
    """Steps of a turn of about that long, a multiple of the worker's quantum."""
    quantum, steps = worker.ready["quantum"], worker.ready["quantum"]
    while True:
        wall = worker.turn(steps).wall * steps * worker.ready["seeds"]
        if wall >= seconds / 4:
            return max(1, round(seconds / wall * steps / quantum)) * quantum
        steps *= 2 if wall <= 0 else max(2, min(16, int(seconds / 2 / wall)))


def rounds(
    workers: Mapping[str, Any], steps: Mapping[str, int], number: int
) -> Iterator[dict[str, Turn]]:
    """So many rounds: one turn of each worker, in their order."""
    for _ in range(number):
        yield {name: worker.turn(steps[name]) for name, worker in workers.items()}


@dataclass(frozen=True)
class Row:
    """A ratio of sums of sides' CPU seconds per seed-step, and what it is to be.

    Attributes:
        name: as --only takes it.
        title: for readers.
        over: weight of each side in the numerator, by name.
        under: likewise in the denominator.
        most: the bar, if it is to be that or less.
        least: the bar, if it is to be that or more.
        default: whether it is measured when nothing was asked for by name.
    """

    name: str
    title: str
    over: Mapping[str, float]
    under: Mapping[str, float]
    most: float | None = None
    least: float | None = None
    default: bool = True

    @property
    def sides(self) -> list[str]:
        """Those that it needs."""
        return [*self.over, *(name for name in self.under if name not in self.over)]

    def ratio(self, turns: Mapping[str, Turn]) -> float:
        """Of one round."""
        return self.seconds(self.over, turns) / self.seconds(self.under, turns)

    @staticmethod
    def seconds(weights: Mapping[str, float], turns: Mapping[str, Turn]) -> float:
        """Weighted CPU seconds of a seed's step in one round."""
        return sum(weight * turns[name].cpu for name, weight in weights.items())

    def held(self, median: float) -> bool | None:
        """Whether it meets its bar; None if there is none."""
        if self.most is not None:
            return median <= self.most
        return None if self.least is None else median >= self.least

    @property
    def bar(self) -> str:
        """In words; '' if there is none."""
        if self.most is not None:
            return f"≤ {self.most:g}"
        return "" if self.least is None else f"≥ {self.least:g}"


def summary(row: Row, measured: Sequence[Mapping[str, Turn]]) -> dict[str, Any]:
    """What the results say of a row, measured in these rounds."""
    ratios = [row.ratio(turns) for turns in measured]
    median = statistics.median(ratios)
    return {
        "name": row.name,
        "title": row.title,
        "over": dict(row.over),
        "under": dict(row.under),
        "median": median,
        "min": min(ratios),
        "max": max(ratios),
        "bar": row.bar,
        "held": row.held(median),
        "ratios": ratios,
    }
