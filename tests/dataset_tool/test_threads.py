"""Work by a few threads: all of it, in order, until something is wrong."""

import threading
import time

import pytest

from prune_rl.dataset_tool.threads import in_threads


def _never():
    return None


def test_all_is_done_and_in_order():
    def work(i):
        time.sleep(0.001 * (10 - i))
        return i * i

    found = in_threads(work, list(range(10)), 3, _never)
    assert list(found.items()) == [(i, i * i) for i in range(10)]
    assert in_threads(work, [], 3, _never) == {}


def test_so_many_at_a_time():
    running, most, lock = [0], [0], threading.Lock()

    def work(i):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.02)
        with lock:
            running[0] -= 1

    in_threads(work, list(range(8)), 2, _never)
    assert most[0] == 2


def test_the_first_exception_ends_it():
    done, ended = [], threading.Event()

    def work(i):
        if i == 2:
            raise ValueError("two")
        if i > 2:
            ended.wait(5)
        done.append(i)

    with pytest.raises(ValueError, match="two"):
        in_threads(work, list(range(100)), 2, _never, ended)
    assert ended.is_set()
    assert len(done) < 10


def test_who_is_asked_to_stop_does_not_wait_for_a_server():
    began = time.monotonic()

    def check():
        if time.monotonic() > began + 0.1:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        in_threads(lambda i: time.sleep(20), [1, 2], 2, check)
    assert time.monotonic() - began < 10
