"""What a job of Slurm does: trains, saves when it is warned, and goes on once it is requeued."""

import signal
import subprocess
import sys
from types import FrameType
from typing import TYPE_CHECKING

from launch.executor import RESUME
from launch.process import Child, Command

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class Training:
    """What a job does, called by submitit; `checkpoint` is called when Slurm's warning comes."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self._child: Child | None = None

    def __call__(self) -> int:
        """Trains; returns the exit code, as `Child.ended` has it."""
        before = signal.signal(signal.SIGTERM, self._pass_on)  # of scancel, or preemption
        try:
            self._child = Child(self.command)
            return self._child.wait()
        except _Over as over:
            return over.code
        except subprocess.CalledProcessError as error:  # of submitit, which requeues in a handler
            if error.returncode < 0:  # the job is requeued: Slurm ends all of it, scontrol too
                sys.exit(error.returncode)
            raise
        finally:
            signal.signal(signal.SIGTERM, before)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._child is None:
            raise _Over(RESUME)
        self._child.ask(signal.Signals(number))

    def checkpoint(self) -> "DelayedSubmission":
        """What the job is to do once it is requeued, when its training has saved.

        Comes as a signal's handler, in the middle of `__call__`; leaves that if the training has
        come to its own end.
        """
        from submitit.helpers import DelayedSubmission

        if self._child is not None:
            self._child.ask(signal.SIGUSR1)
            code = self._child.wait()
            if code not in (RESUME, -signal.SIGUSR1):  # or before it listened: nothing is lost
                raise _Over(code)
        return DelayedSubmission(Training(self.command))


class _Over(BaseException):
    """Nothing is to be requeued."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code
