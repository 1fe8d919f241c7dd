"""Work of many items by a few threads, which a user may stop at any moment."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

_POLL_SECONDS = 0.1
_LAST_SECONDS = 1.0

_T = TypeVar("_T", bound=Hashable)
_R = TypeVar("_R")
Check = Callable[[], None]  # raises where the user asks to stop


def in_threads(
    work: Callable[[_T], _R],
    items: Sequence[_T],
    jobs: int,
    check: Check,
    ended: threading.Event | None = None,
) -> dict[_T, _R]:
    """Item to what `work` makes of it, in their order, by `jobs` threads.

    The first exception is raised, and `check` is asked ten times a second. Then `ended` is set, for
    work that looks at it; work that does not, as it waits for a server, ends with the process.
    """
    todo, ended = deque(items), ended or threading.Event()
    done: queue.SimpleQueue[Callable[[], tuple[_T, _R]]] = queue.SimpleQueue()

    def run() -> None:
        while todo and not ended.is_set():
            try:
                item = todo.popleft()
            except IndexError:  # another thread was quicker
                return
            done.put(_outcome(work, item))

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(jobs, len(items)))]
    try:
        for thread in threads:
            thread.start()
        results = dict(_next(done, check)() for _ in items)
    finally:
        ended.set()
        until = time.monotonic() + _LAST_SECONDS
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))
    return {item: results[item] for item in items}


def _outcome(work: Callable[[_T], _R], item: _T) -> Callable[[], tuple[_T, _R]]:
    """Returns or raises, when called, what the work did."""
    try:
        result = work(item)
    except BaseException as error:
        failure = error

        def fail() -> tuple[_T, _R]:
            raise failure

        return fail
    return lambda: (item, result)


def _next(done: "queue.SimpleQueue[Callable[[], _R]]", check: Check) -> Callable[[], _R]:
    while True:
        check()
        try:
            return done.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
