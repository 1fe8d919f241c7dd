"""Workers whose steps take as long as a test says."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.pairs import Worker

_SCRIPT = """
import json, sys
ready, turns = json.loads(sys.argv[1]), json.loads(sys.argv[2])
print("a line for the log", file=sys.stderr)
print(json.dumps(ready), flush=True)
for cpu, line in zip(turns, sys.stdin):
    with open(sys.argv[3], "a") as log:
        log.write(f"{sys.argv[4]} {line}")
    if cpu is None:
        sys.exit("ValueError: the bottom fell out")
    answer = {"cpu": cpu, "wall": 2 * cpu, "peak_mib": 100 * cpu}
    print(json.dumps(answer) if cpu >= 0 else "Segmentation fault", flush=True)
"""


@pytest.fixture
def turns_taken(tmp_path: Path) -> Path:
    """'name steps' of every turn, in the order in which they began."""
    return tmp_path / "turns"


@pytest.fixture
def worker_of(turns_taken: Path) -> Iterator[Callable[..., Worker]]:
    """Makes a worker that reports these CPU seconds, one a turn; None dies, -1 babbles."""
    workers = []

    def create(name, *seconds, seeds=1, quantum=1):
        ready = {"seeds": seeds, "quantum": quantum, "note": "", "versions": {}}
        arguments = [json.dumps(ready), json.dumps(seconds), str(turns_taken), name]
        workers.append(Worker(name, [sys.executable, "-c", _SCRIPT, *arguments], {}))
        workers[-1].wait_until_ready()
        return workers[-1]

    yield create
    for worker in workers:
        worker.close()
