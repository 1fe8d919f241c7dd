"""Signals that ask a run to stop: noted when they come, heeded between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from prune_rl.errors import RunEnded

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
INTERRUPTED = 130  # as a shell has it for SIGINT
_RUN_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command goes on


class Stopped(RunEnded):
    """A run has saved and stopped because a signal asked it to.

    Its exit code is 130 after SIGINT, else 75: "run me again".
    """

    def __init__(self, received: signal.Signals, stands: str) -> None:
        super().__init__(f"{received.name}: {stands}")
        self.received = received

    @property
    def exit_code(self) -> int:
        """See above; not kept, for gin wraps what is raised within a configurable."""
        return INTERRUPTED if self.received == signal.SIGINT else _RUN_AGAIN


class StopSignals:
    """While entered, SIGTERM, SIGINT and SIGUSR1 (Slurm's warning) are only noted.

    A second SIGINT raises `KeyboardInterrupt` at once, for a person who will not wait.

    Attributes:
        received: the first one that came, if any.
        at_once: whether a second SIGINT came.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.at_once = self._interrupted = False
        self._before: dict[signal.Signals, Any] = {}
        self._stands: str | None = None

    def __enter__(self) -> "StopSignals":
        self._before = {number: signal.signal(number, self._note) for number in _ASKING}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def raising(self, stands: str) -> Iterator[None]:
        """Within, a signal raises `Stopped`, which says how it `stands`: for one long step."""
        self._stands = stands
        try:
            yield
        finally:
            self._stands = None

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._stands is not None:
            raise Stopped(signal.Signals(number), self._stands)
        if number == signal.SIGINT and self._interrupted:
            self.at_once = True
            raise KeyboardInterrupt
        self._interrupted |= number == signal.SIGINT
        self.received = self.received or signal.Signals(number)
