"""Shows a sweep: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from launch.attempts import Ended
from launch.executor import Job, Standing, State
from launch.watch import Progress, Watch
from prune_rl.progress import clock

_REFRESH_SECONDS = 1.0
_PLAIN_SECONDS = 30.0
_NEWEST = 5  # cells that ended, shown below those that run
_FRAME = 7  # lines of the table that are no running cell's


class _Seen(NamedTuple):
    """A running cell as it was seen last: when it last went on, and how far it was then.

    `to_do` is the share of its training that was left when it began.
    """

    began: float
    went_on: float
    progress: Progress | None
    to_do: float = 1.0


class Board:
    """The table of a sweep; a context manager. Times are seconds of `time.monotonic`.

    Only what runs is read from disk: of a thousand cells that wait or have ended, the counts are
    shown, and the newest that ended.
    """

    def __init__(
        self, title: str, jobs: Sequence[Job], *, skipped: int, stream: TextIO | None = None
    ) -> None:
        """skipped: cells that had finished before; `jobs` are the others; stream: else stderr."""
        stream = stream or sys.stderr
        self._title, self._jobs, self._skipped = title, {job.name: job for job in jobs}, skipped
        self._stream, self._on_terminal = stream, stream.isatty()
        self._console = Console(file=stream, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)
        self._period = _REFRESH_SECONDS if self._on_terminal else _PLAIN_SECONDS
        self._began = time.monotonic()
        self._next = self._began if self._on_terminal else self._began + self._period
        self._watches: dict[str, Watch] = {}
        self._running: dict[str, _Seen] = {}
        self._took: dict[str, list[float]] = {}  # seconds of cells that have ended, by kind
        self._rates: dict[str, list[float]] = {}  # likewise, of those that run, at their rate
        self._newest: deque[tuple[Ended, str, Progress | None]] = deque(maxlen=_NEWEST)
        self._failed: set[str] = set()  # for good
        self._standings: Mapping[str, Standing] = {}

    def __enter__(self) -> "Board":
        if self._on_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._on_terminal:
            self._live.update(self._table(time.monotonic()), refresh=True)
            self._live.stop()

    def show(self, standings: Mapping[str, Standing], ended: Sequence[Ended]) -> None:
        """Takes in how the jobs stand and which have just ended; shows it when it is time."""
        now = time.monotonic()
        self._standings = standings
        for one in ended:
            self._end(one, now)
        running = [name for name, own in standings.items() if own.state is State.RUNNING]
        before = self._running
        self._running = {name: before.get(name) or self._first(name, now) for name in running}
        if now >= self._next:
            self._next = now + self._period
            self._look(now)
            if self._on_terminal:
                self._live.update(self._table(now), refresh=True)
            else:
                self._say(self._totals(now))

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def _end(self, one: Ended, now: float) -> None:
        name = one.job.name
        progress = self._watch(name).look()
        self._watches.pop(name, None)
        if not one.finished and one.again_in is None:
            self._failed.add(name)
        seen = self._running.pop(name, None)
        took = clock(now - seen.began) if seen else ""
        if one.finished and seen and seen.to_do == 1.0:
            self._took.setdefault(one.job.kind, []).append(now - seen.began)
        self._newest.appendleft((one, took, progress))
        if not self._on_terminal:
            self._say(f"{name}: {_became(one)}{f' after {took}' * bool(took)}{_returned(progress)}")
            if not one.finished:
                self._say(f"      {one.problem}")

    def _first(self, name: str, now: float) -> _Seen:
        """One that has just begun, or goes on where an earlier attempt saved."""
        progress = self._watch(name).look()
        done = 0.0 if progress is None else progress.steps / max(progress.num_steps, 1)
        return _Seen(now, now, None, 1.0 - done)

    def _watch(self, name: str) -> Watch:
        return self._watches.setdefault(name, Watch(self._jobs[name].directory))

    def _look(self, now: float) -> None:
        """At what every running cell has written since the last look."""
        for name, seen in self._running.items():
            progress = self._watch(name).look()
            if seen.progress != progress:
                self._running[name] = seen._replace(went_on=now, progress=progress)
            if progress is not None and progress.seconds:
                self._rates.setdefault(self._jobs[name].kind, []).append(progress.seconds)

    def _left(self, name: str, now: float) -> float | None:
        """Seconds that a running cell will yet take; None if nobody knows.

        Its rate leaves out start-up, diagnostics and saving: cells of its kind that have ended tell
        of them.
        """
        seen, kind, lefts = self._running[name], self._jobs[name].kind, []
        if seen.progress is not None and seen.progress.seconds_left is not None:
            lefts.append(seen.progress.seconds_left - (now - seen.went_on))
        cost = self._cost(name) if kind in self._took or not lefts else None
        if cost is not None:
            lefts.append(cost * seen.to_do - (now - seen.began))
        return max([*lefts, 0.0]) if lefts else None

    def _cost(self, name: str) -> float | None:
        """Seconds of such a cell: as those of its kind took, at their rate, else as others."""
        kind, others = self._jobs[name].kind, {**self._rates, **self._took}.values()
        own = self._took.get(kind) or self._rates.get(kind)
        costs = own[-100:] if own else [x for some in others for x in some[-1:]]
        return sum(costs) / len(costs) if costs else None

    def _eta(self, now: float) -> str:
        """Of all that is left, at as many cells at once as run now."""
        running = [self._left(name, now) for name in self._running]
        waiting = [self._cost(name) for name in self._waiting]
        known = [x for x in running + waiting if x is not None]
        if not running or len(known) < len(running) + len(waiting):
            return "?"
        at_once = sum(known) / len(running)
        return clock(max([at_once, *(x for x in running if x is not None)]))

    @property
    def _waiting(self) -> list[str]:
        """Cells that are yet to run, those to be tried again too."""
        ended = {*self._failed, *self._running}
        states = {name: own.state for name, own in self._standings.items() if name not in ended}
        return [x for x, own in states.items() if own not in (State.RUNNING, State.FINISHED)]

    def _totals(self, now: float) -> str:
        counts = Counter(own.state for own in self._standings.values())
        finished = self._skipped + counts[State.FINISHED]
        words = [
            f"{finished:,} of {self._skipped + len(self._jobs):,} finished",
            f"{counts[State.RUNNING]:,} running",
            f"{len(self._waiting):,} to go",
        ]
        if measuring := counts[State.MEASURING]:
            words.append(f"{measuring:,} being measured")
        if self._failed:
            words.append(f"{len(self._failed):,} failed")
        words.append(f"after {clock(now - self._began)}")
        return f"{self._title}: {', '.join(words)}  ETA {self._eta(now)}"

    def _table(self, now: float) -> Group:
        table = Table()
        table.add_column("cell", overflow="fold")
        table.add_column("state")
        for name in ("iteration", "steps/s", "ETA", "return"):
            table.add_column(name, justify="right")
        room = max(self._console.size.height - _FRAME - len(self._newest), 1)
        for name in list(self._running)[:room]:
            left, progress = self._left(name, now), self._running[name].progress
            eta = "?" if left is None else clock(left)
            table.add_row(escape(name), "running", *_numbers(progress, eta))
        for name, own in self._standings.items():
            if own.state is State.MEASURING:
                table.add_row(escape(name), "measuring", *_numbers(None, "-"))
        if len(self._running) > room:
            table.add_row(f"… and {len(self._running) - room:,} more", "running")
        for one, took, progress in self._newest:
            spent = f"took {took}" if took else "-"
            table.add_row(escape(one.job.name), _became(one), *_numbers(progress, spent))
        return Group(Text(self._totals(now), no_wrap=True, overflow="ellipsis"), table)


def _became(one: Ended) -> str:
    if one.finished:
        return "finished"
    if one.again_in is None:
        return "failed"
    return f"failed, again in {one.again_in:.0f} s" if one.again_in else "saved, goes on"


def _returned(progress: Progress | None) -> str:
    value = None if progress is None else progress.episode_return
    return "" if value is None else f"  return {value:.2f}"


def _numbers(progress: Progress | None, eta: str) -> tuple[str, str, str, str]:
    """Iteration, steps/s, ETA and return of a row."""
    if progress is None:
        return "-", "-", eta, "-"
    rate = "-" if progress.rate is None else f"{progress.rate:,.0f}"
    value = "-" if progress.episode_return is None else f"{progress.episode_return:.2f}"
    return f"{progress.iteration}/{progress.num_iterations}", rate, eta, value
