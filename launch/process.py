"""A training as the child of a process that a cluster starts somewhere: it gets signals, it is
tied to its parent, and what its exit code means."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from launch import tied
from launch.executor import Job, Standing, State
from launch.prices import last_line

ROOT = Path(__file__).resolve().parents[1]  # where `launch` and `prune_rl` are imported from
_TIED = (sys.executable, "-I", "-S", tied.__file__)
_PERIOD = 0.2  # seconds between looks at a child
_HELD = 300.0  # seconds to wait for a directory: NFS keeps a dead machine's lock for minutes


class Command(NamedTuple):
    """What is run, for any machine that sees the same files.

    Attributes:
        command: its program and arguments.
        directory: of the run; the file `lock` in it is waited for.
        log: that what it prints is added to.
        folder: in which it runs, the sweep's: gin files are named relative to it.
    """

    command: tuple[str, ...]
    directory: Path
    log: Path
    folder: Path

    @classmethod
    def of(cls, job: Job) -> "Command":
        """That of a job, with paths that hold in every folder."""
        folder = Path.cwd()
        return cls(tuple(job.command), folder / job.directory, folder / job.log, folder)


class Child:
    """A `Command` that runs here.

    It is never reaped before `reap`, so that a signal's handler that interrupts any of this may ask
    for itself: `subprocess` would wait for its own lock there, for ever.
    """

    def __init__(self, command: Command) -> None:
        """Starts it, once no process that is ending holds its directory any more."""
        self.command = command
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab", buffering=0) as log:
            log.write(f"launch: on {socket.gethostname()}, {time.strftime('%F %T')}\n".encode())
            _await_lock(command.directory)
            self._process = subprocess.Popen(
                [*_TIED, str(os.getpid()), *command.command],
                cwd=command.folder,
                env={**os.environ, "PYTHONPATH": python_path()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ended(self) -> int | None:
        """Its exit code, -N if signal N ended it; None while it runs."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self._process.pid, options)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def ask(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        os.kill(self._process.pid, number)

    def wait(self) -> int:
        """Its exit code, as `ended`, when it has."""
        while (code := self.ended()) is None:
            time.sleep(_PERIOD)
        return code

    def reap(self) -> None:
        """Takes it from the list of processes, once it has ended."""
        self._process.wait()


def python_path() -> str:
    """For PYTHONPATH, so that a job imports what the sweep did."""
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def _await_lock(directory: Path) -> None:
    """Waits while another process holds the run; after minutes, training says who does."""
    until = time.monotonic() + _HELD
    while time.monotonic() < until:
        try:
            with (directory / "lock").open("r+") as file:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(1)
        except OSError:  # none yet, or for training to speak of
            return None
    return None


def standing(code: int, log: Path) -> Standing:
    """Where a job stands whose training ended with `code`, as `Child.ended` has it."""
    if code == 0:
        return Standing(State.FINISHED, 0)
    ended_by = f"ended by {signal.Signals(-code).name}" if code < 0 else ""
    return Standing(State.FAILED, code, ended_by or last_line(log) or f"exit code {code}")
