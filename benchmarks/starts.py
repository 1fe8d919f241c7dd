"""Rows of seconds: from the second start of a training to its first update."""

import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks import startup
from benchmarks.results import Results

_ROUNDS = 3  # starts that count, after one that fills the cache


class Start(NamedTuple):
    """A row; `run` is one of `startup`'s, `most` seconds of CPU time its bar."""

    name: str
    title: str
    run: str
    most: float
    default: bool = True


class Starts(NamedTuple):
    """A group of them; see `rows.Group`."""

    name: str
    rows: list[Start]


def starts() -> Starts:
    """All of them."""
    title = "second start to the first update, seconds of CPU time, Pong, {}"
    rows = [
        Start("startup/nature", title.format("Nature CNN"), "Pong, Nature", 5.0),
        Start("startup/impala", title.format("Impala x1"), "Pong, Impala", 8.0),
    ]
    return Starts("startup", rows)


def measure_starts(group: Starts, results: Results) -> None:
    """Adds the rows of the group to the results."""
    for row in group.rows:
        seconds = _seconds(row.run)
        median = statistics.median(seconds)
        results.add_row(
            {
                "name": row.name,
                "title": row.title,
                "unit": " s",
                "median": median,
                "min": min(seconds),
                "max": max(seconds),
                "bar": f"≤ {row.most:g} s",
                "held": median <= row.most,
                "ratios": seconds,
            }
        )


def _seconds(run: str) -> list[float]:
    """CPU seconds until the first update, of every start that counts."""
    with TemporaryDirectory() as folder:
        found = [startup.start(run, Path(folder)) for _ in range(1 + _ROUNDS)]
    return [marks["first update"]["cpu"] for marks in found[1:]]
