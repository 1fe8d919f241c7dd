"""Rows of seconds: from the second start of a training to its first update."""

import statistics
from typing import NamedTuple

from benchmarks import startup
from benchmarks.results import Results


class Start(NamedTuple):
    """A row; `run` is one of `startup`'s, `most` seconds of CPU time its bar."""

    name: str
    title: str
    run: str
    most: float
    default: bool = True


class Starts(NamedTuple):
    """A group of them."""

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


def measure_starts(group: Starts, rounds: int, results: Results) -> None:
    """Adds the rows of the group to the results; the first start of each is not counted."""
    for row in group.rows:
        seconds = startup.warm_seconds(row.run, rounds)
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
