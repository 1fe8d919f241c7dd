"""Cells on this machine: as many at once as its cores, its memory and its GPUs carry."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch import machine, tied
from launch.executor import MISTAKE, Job, Standing, State
from launch.prices import Prices
from prune_rl.errors import ConfigError
from prune_rl.price import GIB, in_bytes
from prune_rl.reporting.trainings import RUNNING, read_training

_MEASURE = (sys.executable, "-m", "launch.measure")
_TIED = (sys.executable, "-I", "-S", tied.__file__)
_WAIT_SECONDS = 0.05  # between looks at processes that are ending


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds those of `--backend=local`."""
    add = parser.add_argument_group("--backend=local").add_argument
    text = "trainings at once at most; default: one a core, or as many as the GPUs take"
    add("--workers", type=_count, metavar="N", help=text)
    text = "RAM that each takes; default: measured once for each kind of cell, before its first"
    add("--memory_gib_per_cell", type=_gib, metavar="X", help=text)
    add("--cells_per_gpu", type=_count, default=1, metavar="N", help="at once; default: 1")


def _count(text: str) -> int:
    if int(text) < 1:
        raise ValueError
    return int(text)


def _gib(text: str) -> float:
    if not 0 <= float(text) < float("inf"):
        raise ValueError
    return float(text)


_count.__name__, _gib.__name__ = "number from 1 on", "number of GiB"  # in argparse's messages


def executor(flags: argparse.Namespace) -> "Local":
    """The pool that the flags describe, on what this machine has free now.

    Raises:
        ConfigError: more workers than the GPUs take.
    """
    given = flags.memory_gib_per_cell
    prices = Prices(Path(flags.base_dir), None if given is None else int(given * GIB))
    gpus = [gpu for gpu in machine.gpus() for _ in range(flags.cells_per_gpu)]
    cores = machine.cores()
    if gpus and (flags.workers or 0) > len(gpus):
        found = f"{len(gpus) // flags.cells_per_gpu} GPUs by --cells_per_gpu={flags.cells_per_gpu}"
        most = f"expected {len(gpus)} at most, {found}"
        raise ConfigError(f"--workers={flags.workers}: {most}; make that larger")
    return Local(
        prices=prices,
        cores=cores,
        memory=machine.free_memory(),
        gpus=gpus,
        workers=flags.workers or len(gpus) or len(cores),
    )


@dataclass
class _Process:
    """One that runs: a training, or the measurement of its kind."""

    job: Job
    process: subprocess.Popen[bytes]
    cores: Sequence[int]
    ram_bytes: int
    gpu: str | None = None


@dataclass
class Local:
    """A pool of processes; an `Executor`.

    Every training has a process group of its own and a share of the cores. A kind of cell of which
    nobody knows how much memory it takes is measured first, in a process like a training's: one at
    a time, with an equal share of the memory left to it.

    Attributes:
        prices: what each kind takes.
        cores: numbers of those to use.
        memory: bytes of RAM for all trainings together.
        workers: processes at once, at most.
        gpus: one for each training that may use one at a time; none at all: on the CPU.
    """

    prices: Prices
    cores: Sequence[int]
    memory: int
    workers: int
    gpus: Sequence[str] = ()
    outlives: bool = False
    _waiting: list[Job] = field(default_factory=list)
    _running: dict[str, _Process] = field(default_factory=dict)
    _measuring: _Process | None = None
    _standings: dict[str, Standing] = field(default_factory=dict)

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Executor`; nothing begins before the next `poll`."""
        self._waiting.extend(jobs)
        self._standings |= {job.name: Standing(State.WAITING) for job in jobs}

    def poll(self) -> Mapping[str, Standing]:
        """See `Executor`; begins what there is room for."""
        self._reap()
        for job in list(self._waiting):
            if len(self._processes) >= self.workers or not self._begin(job):
                break
        return dict(self._standings)

    def _begin(self, job: Job) -> bool:
        """Begins a job or what it waits for; False: it and all after it wait for room."""
        if _is_held(job.directory):
            return True
        needed = self.prices.ram_bytes(job.kind)
        if needed is None:
            return self._measure(job)
        if needed > self.memory:
            self._refuse(job, needed)
        elif needed > self._free_memory:
            return False
        else:
            self._train(job, needed)
        return True

    @property
    def _free_memory(self) -> int:
        return self.memory - sum(x.ram_bytes for x in self._processes)

    def _refuse(self, job: Job, needed: int) -> None:
        problem = f"needs {in_bytes(needed)} of RAM, and {in_bytes(self.memory)} are free here"
        advice = "make ReplayBuffer.max_capacity or Grid.seeds_per_cell smaller"
        self._end(job, Standing(State.FAILED, MISTAKE, f"{problem}; {advice}"))

    def _end(self, job: Job, standing: Standing) -> None:
        if job in self._waiting:
            self._waiting.remove(job)
        self._standings[job.name] = standing

    def _measure(self, job: Job) -> bool:
        """As `_begin`; those of known kinds need not wait for one whose turn has not come."""
        share = self.memory // self.workers
        if self._measuring is not None:
            return True
        if share > self._free_memory:
            return False
        out, log = self.prices.file(job.kind), self.prices.log(job.kind)
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [*_MEASURE, str(out), *job.settings]
        self._measuring = self._start(job, command, log, share)
        self._standings[job.name] = Standing(State.MEASURING)
        return True

    def _train(self, job: Job, needed: int) -> None:
        self._waiting.remove(job)
        self._running[job.name] = self._start(job, job.command, job.log, needed)
        self._standings[job.name] = Standing(State.RUNNING)

    def _start(self, job: Job, command: Sequence[str], log: Path, ram_bytes: int) -> _Process:
        cores, gpu = self._share(ram_bytes), self._free_gpu()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [*_TIED, str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environment(gpu),
                start_new_session=True,  # the terminal's Ctrl-C is the sweep's alone
            )
        with contextlib.suppress(AttributeError, OSError):  # not Linux; or it has ended
            os.sched_setaffinity(process.pid, cores)  # before it has threads, which inherit it
        return _Process(job, process, cores, ram_bytes, gpu)

    def _share(self, ram_bytes: int) -> list[int]:
        """The cores of a process: an equal share, of those that fewest others use."""
        fitting = self.memory // ram_bytes if ram_bytes else self.workers
        at_once = min(self.workers, fitting, len(self._processes) + len(self._waiting) + 1)
        used = Counter(core for process in self._processes for core in process.cores)
        least = sorted(self.cores, key=lambda core: used[core])
        return sorted(least[: max(1, len(least) // at_once)])

    @property
    def _processes(self) -> Sequence[_Process]:
        measuring = [] if self._measuring is None else [self._measuring]
        return [*self._running.values(), *measuring]

    def _free_gpu(self) -> str | None:
        used = Counter(process.gpu for process in self._processes)
        return min(self.gpus, key=lambda gpu: used[gpu], default=None)

    def _environment(self, gpu: str | None) -> dict[str, str]:
        own = dict(os.environ)
        if gpu is not None:
            own["CUDA_VISIBLE_DEVICES"] = gpu
            if (beside := self.gpus.count(gpu)) > 1:  # JAX takes three quarters of a GPU by itself
                own.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / beside:.3f}")
        return own

    def _reap(self) -> None:
        for name, own in list(self._running.items()):
            if (code := _exit_code(own)) is not None:
                del self._running[name]
                state = State.FAILED if code else State.FINISHED
                self._end(own.job, Standing(state, code, _killed_by(code)))
        measured = self._measuring
        if measured is not None and (code := _exit_code(measured)) is not None:
            self._measuring = None
            self._take_price(measured.job, code)

    def _take_price(self, job: Job, code: int) -> None:
        if job in self._waiting:  # else it was cancelled
            self._standings[job.name] = Standing(State.WAITING)
        if self.prices.ram_bytes(job.kind) is not None:
            return
        problem = f"measuring what it takes: {_killed_by(code) or self.prices.problem(job.kind)}"
        for one in [x for x in self._waiting if x.kind == job.kind]:
            self._end(one, Standing(State.FAILED, code or 1, problem, self.prices.log(job.kind)))

    def cancel(self) -> None:
        """See `Executor`."""
        for job in list(self._waiting):
            self._end(job, Standing(State.LOST, None, "cancelled"))
        for own in self._processes:
            own.process.send_signal(signal.SIGTERM)  # to the training alone, which saves
        try:
            while self._processes:
                time.sleep(_WAIT_SECONDS)
                self._reap()
        except KeyboardInterrupt:
            for own in self._processes:
                _signal(own, signal.SIGKILL)
                own.process.wait()
            raise


def _is_held(directory: Path) -> bool:
    """Whether a process of this machine trains there: one that an earlier sweep left, or a user."""
    try:
        return read_training(directory).state == RUNNING
    except ConfigError:  # no run yet, or a damaged one, of which the training itself tells
        return False


def _exit_code(own: _Process) -> int | None:
    """As Popen has it; what the process left behind is killed."""
    code = own.process.poll()
    if code is not None:
        _signal(own, signal.SIGKILL)
    return code


def _signal(own: _Process, number: signal.Signals) -> None:
    """To all of its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(own.process.pid, number)


def _killed_by(code: int) -> str:
    if code >= 0:
        return ""
    why = ", most likely for want of memory" if -code == signal.SIGKILL else ""
    return f"killed by {signal.Signals(-code).name}{why}"
