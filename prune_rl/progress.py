"""How far something long is: a bar on a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_REFRESH_SECONDS = 0.2
_PLAIN_SECONDS = 30.0
_STEPS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def in_bytes(count: float) -> str:
    """'1.2 GB'; powers of 1,000."""
    step, unit = next(((step, unit) for step, unit in _STEPS if abs(count) >= step), (1, "B"))
    return f"{count / step:,.1f} {unit}" if step > 1 else f"{count:,.0f} B"


def in_numbers(count: float) -> str:
    """'1,200'."""
    return f"{count:,.0f}"


def terminal_bar(stream: TextIO) -> Progress:
    """A bar with what is going on, its share and its ETA; shows nothing where no terminal is."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        disable=not stream.isatty(),
        redirect_stdout=False,  # what is printed meanwhile goes where the user sent it
        redirect_stderr=False,
    )


def clock(seconds: float) -> str:
    """'1:02:03'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class Bar:
    """Progress of many threads towards a total; a context manager."""

    def __init__(
        self,
        what: str,
        total: int,
        *,
        done: int = 0,
        words: Callable[[float], str] = in_bytes,
        check: Callable[[], None] = lambda: None,
        stream: TextIO | None = None,
    ) -> None:
        """`done` of `total` were there before; `check` raises where the user asks to stop."""
        stream = stream or sys.stderr
        self._what, self._total, self._words, self._check = what, total, words, check
        self._first = self._done = done
        self._lock, self._stream, self._on_terminal = threading.Lock(), stream, stream.isatty()
        self._period = _REFRESH_SECONDS if self._on_terminal else _PLAIN_SECONDS
        self._began = time.monotonic()
        self._next = self._began + self._period
        self._bar = terminal_bar(stream)
        self._task = self._bar.add_task(what, total=total, completed=done)

    def advance(self, count: int) -> None:
        """So much more is done, or less; raises what `check` raises."""
        self._check()
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now >= self._next:
                self._next = now + self._period
                self._show(now)

    def _show(self, now: float) -> None:
        rate = max(self._done - self._first, 0) / max(now - self._began, 1e-9)
        text = f"{self._what}  {self._words(self._done)} of {self._words(self._total)}"
        text += f"  {self._words(rate)}/s"
        if self._on_terminal:
            self._bar.update(self._task, completed=self._done, description=text)
            return
        share = self._done / max(self._total, 1)
        left = clock((self._total - self._done) / rate) if rate > 0 else "?"
        print(f"{text}  {share:.0%}  ETA {left}", file=self._stream, flush=True)

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
