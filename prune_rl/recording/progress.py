"""Tells a person how a run is going: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from pathlib import Path
from typing import TextIO

from prune_rl.progress import clock, terminal_bar
from prune_rl.recording.metrics import CLOCKS

_REFRESH_SECONDS = 2.0
_PLAIN_SECONDS = 30.0


class RunProgress:
    """Progress of one run in steps of its clock; a context manager.

    Ask `due()` at every step, and call `show` when it says so: nothing is computed between.
    """

    def __init__(
        self,
        *,
        clock: str,
        total_steps: int,
        done_steps: int,
        num_iterations: int,
        stream: TextIO | None = None,
    ) -> None:
        """clock: a key of `metrics.CLOCKS`; stream: where to write, by default sys.stderr now."""
        stream = stream or sys.stderr
        self._unit, self._total, self._num_iterations = CLOCKS[clock], total_steps, num_iterations
        self._first, self._started = done_steps, time.monotonic()
        self._done = done_steps  # what is shown may lie before it: an evaluation's iteration
        self._stream, self._on_terminal = stream, stream.isatty()
        self._period = _REFRESH_SECONDS if self._on_terminal else _PLAIN_SECONDS
        self._next = self._started + self._period
        self._bar = terminal_bar(stream)
        self._task = self._bar.add_task("starting", total=total_steps, completed=done_steps)

    def due(self) -> bool:
        """Whether enough seconds have passed to show something new."""
        return time.monotonic() >= self._next

    def show(
        self, steps: int, *, iteration: int, phase: str, mean_return: float | None, sparsity: float
    ) -> None:
        """Shows where the run stands; `mean_return` is None while no episode has ended."""
        now = time.monotonic()
        self._next, self._done = now + self._period, max(self._done, steps)
        rate = (self._done - self._first) / max(now - self._started, 1e-9)
        at = min(iteration + 1, self._num_iterations)  # its last evaluation may go on after it
        returned = "-" if mean_return is None else f"{mean_return:.2f}"
        text = (
            f"iteration {at}/{self._num_iterations} {phase}  "
            f"{rate:,.0f} {self._unit}/s  return {returned}  sparsity {sparsity:.3f}"
        )
        if self._on_terminal:
            self._bar.update(self._task, completed=self._done, description=text)
        else:
            eta = clock((self._total - self._done) / rate) if rate > 0 else "?"
            share = self._done / self._total
            print(f"{text}  {share:.0%}  ETA {eta}", file=self._stream, flush=True)

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()


def say_finished(directory: Path, num_iterations: int) -> None:
    """Says that a run which was asked for again has all its iterations."""
    done = f"({num_iterations} of {num_iterations} iterations)"
    print(f"{directory} is finished {done}; nothing to do", file=sys.stderr, flush=True)


def say_diverged(seed: int, gradient_step: int) -> None:
    """Says that a seed's loss or weights are no longer finite, and since when."""
    print(
        f"seed {seed} diverged: loss or weights are not finite since gradient step "
        f"{gradient_step:,}; it is frozen",
        file=sys.stderr,
        flush=True,
    )


def say_goes_on(directory: Path, *, clock: str, steps: int) -> None:
    """Says that a run is taken up, and where: what it had done since is done again."""
    print(f"{directory}: going on after {steps:,} {CLOCKS[clock]}", file=sys.stderr, flush=True)
