"""The worker's end of the pipe; the other one is pairs.py. Standard library only.

A worker is any Python, in any environment, that calls `serve`. It gets one JSON argument, compiles
and warms up, says that it is ready, and from then on runs as many steps as it is told and answers
with the seconds they took.
"""

import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Loop(NamedTuple):
    """What is measured, warm: no compiling and no filling of a replay is left to do.

    Attributes:
        run: makes so many steps and waits for their results.
        seeds: steps are counted of each of so many seeds.
        quantum: `run` is given multiples of this, so that every turn has its share of updates.
        note: what a reader of the results has to know, in a few words.
        origin: the file of the package that is measured; '' where its version says enough.
    """

    run: Callable[[int], None]
    seeds: int = 1
    quantum: int = 1
    note: str = ""
    origin: str = ""


def serve(create: Callable[[Mapping[str, Any]], Loop], packages: Sequence[str]) -> None:
    """Makes a loop of the settings in the argument, then runs it whenever told to.

    Args:
        create: called with the settings.
        packages: whose versions are reported, those that are installed.
    """
    # Answers go where the parent listens; what libraries print goes to the log.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    settings = json.loads(sys.argv[1])
    loop = create(settings)
    ready = {x: getattr(loop, x) for x in ("seeds", "quantum", "note", "origin")}
    print(json.dumps(ready | {"versions": _versions(packages)}), file=answers)
    for line in sys.stdin:
        print(json.dumps(_measured(loop, json.loads(line))), file=answers)


def _measured(loop: Loop, steps: int) -> dict[str, float]:
    wall, cpu = time.perf_counter(), _cpu_seconds()
    loop.run(steps)
    cpu, wall = _cpu_seconds() - cpu, time.perf_counter() - wall
    return {"cpu": cpu, "wall": wall, "peak_mib": peak_mib()}


def _cpu_seconds() -> float:
    """Of all threads, and of children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mib() -> float:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
