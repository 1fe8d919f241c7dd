"""One group: its workers started, its rounds run, its rows added to the results."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import NamedTuple

from benchmarks.environments import Checkouts, Lacking, python_of, variables_of
from benchmarks.pairs import Row, Side, Worker, WorkerDied, calibrated, rounds
from benchmarks.results import Results
from benchmarks.rows import Group, sides_of

Missing = dict[str, Exception]  # why a side is not there, by its name


class Settings(NamedTuple):
    """How to measure.

    Attributes:
        rounds: turns of each side.
        seconds: of a turn, about.
        core: that every worker is pinned to.
    """

    rounds: int
    seconds: float
    core: int


def measure(group: Group, settings: Settings, checkouts: Checkouts, results: Results) -> None:
    """Adds the rows of a group to the results, or why they are missing."""
    with ExitStack() as stack:
        workers, missing = _started(group, settings.core, checkouts, stack)
        ready = _ready(workers, missing)
        rows = _measurable(group, missing, results)
        ready = {name: ready[name] for name in sides_of(rows)}
        if not rows:
            return
        try:
            steps = {name: calibrated(own, settings.seconds) for name, own in ready.items()}
            measured = list(rounds(ready, steps, settings.rounds))
        except WorkerDied as error:
            results.leave_out([row.name for row in rows], str(error), failed=True)
        else:
            results.add(group.name, rows, ready, steps, measured)


def _started(
    group: Group, core: int, checkouts: Checkouts, stack: ExitStack
) -> tuple[dict[str, Worker], Missing]:
    workers, missing = {}, Missing()
    for name in sides_of(group.rows):
        try:
            workers[name] = start(name, group.sides[name], core, checkouts)
            stack.callback(workers[name].close)
        except Lacking as error:
            missing[name] = error
    return workers, missing


def start(name: str, side: Side, core: int, checkouts: Checkouts) -> Worker:
    """A process of that side, still warming up.

    Raises:
        Lacking: what it needs is not installed.
    """
    command = [python_of(side.environment), "-m", side.module, json.dumps(dict(side.settings))]
    return Worker(name, command, variables_of(side, checkouts), core)


def _ready(workers: Mapping[str, Worker], missing: Missing) -> dict[str, Worker]:
    """Those that came up; the others are added to what is missing."""
    ready = {}
    for name, worker in workers.items():
        try:
            worker.wait_until_ready()
            ready[name] = worker
        except WorkerDied as error:
            missing[name] = error
    return ready


def _measurable(group: Group, missing: Missing, results: Results) -> list[Row]:
    """The rows all of whose sides are there; of the others, the results say why not."""
    rows = []
    for row in group.rows:
        reasons = [missing[name] for name in row.sides if name in missing]
        if reasons:
            failed = any(isinstance(reason, WorkerDied) for reason in reasons)
            results.leave_out([row.name], str(reasons[0]), failed=failed)
        else:
            rows.append(row)
    return rows
