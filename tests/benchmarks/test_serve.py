"""The worker's end of the pipe, driven as the other end drives it."""

import sys

import pytest

from benchmarks.pairs import REPOSITORY, Worker, WorkerDied

_WORKER = """
import os, sys, time
from benchmarks.serve import Loop, serve

def create(settings):
    print("a library says hello")
    os.system("echo so does a child")
    def run(steps):
        end = time.process_time() + settings["busy"] * steps
        while time.process_time() < end:
            pass
        time.sleep(settings["asleep"] * steps)
    return Loop(run, seeds=2, quantum=3, note="a note")

serve(create, ["numpy", "no-such-package"])
"""


@pytest.fixture
def worker():
    command = [sys.executable, "-c", _WORKER, '{"busy": 0.02, "asleep": 0.04}']
    worker = Worker("a", command, {"PYTHONPATH": str(REPOSITORY)})
    worker.wait_until_ready()
    yield worker
    worker.close()


def test_it_says_what_it_is_whatever_libraries_print(worker):
    versions = worker.ready.pop("versions")
    assert worker.ready == {"seeds": 2, "quantum": 3, "note": "a note", "origin": ""}
    assert set(versions) == {"python", "numpy"}


def test_it_measures_cpu_apart_from_waiting(worker):
    turn = worker.turn(5)
    assert 0.01 <= turn.cpu < 0.02  # half of a step's, as there are two seeds
    assert turn.wall >= 0.03
    assert turn.peak_mib > 1


def test_a_failure_is_told_by_its_last_line():
    code = "from benchmarks.serve import serve; serve(lambda settings: settings['lacking'], [])"
    worker = Worker("a", [sys.executable, "-c", code, "{}"], {"PYTHONPATH": str(REPOSITORY)})
    with pytest.raises(WorkerDied, match=r"last it said: KeyError: 'lacking'$"):
        worker.wait_until_ready()
    worker.close()
