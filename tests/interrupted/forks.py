"""Runs in processes of their own that start at once, and are killed where they are told to be.

The process that this module runs in has imported everything and started nothing of JAX; it forks
for every line of JSON that it reads, and answers with one.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """`code`: the exit code, or minus the signal; `counts`: of the events, unless it was killed."""

    code: int
    counts: dict[str, int]
    err: str


class Forks:
    """Starts processes from one that has imported everything."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.interrupted.forks"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=_ROOT, text=True, **pipes)

    def run(
        self, base_dir: Path, flags: Sequence[str], at: str = "", count: int = 0, delay: float = 0
    ) -> Ended:
        """`prune_rl.train` to its end, or until it is killed at the `count`-th event `at`.

        Events: a "step" or "play" of the trainer, an "evaluation" step, a "learn", a row of the
        "log", a change of a "file", a "part" that is restored. It is killed so many seconds later.
        """
        err = base_dir.with_name(f"{base_dir.name}.err")
        own = {
            "flags": [f"--base_dir={base_dir}", *flags],
            "at": at,
            "count": count,
            "delay": delay,
        }
        print(json.dumps(own | {"err": str(err)}), file=self._process.stdin, flush=True)
        return Ended(*json.loads(self._process.stdout.readline()), err.read_text())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    _import_all()
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    for line in sys.stdin:
        asked = json.loads(line)
        counts, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(counts)
            _run(told, **asked)
        os.close(told)
        with os.fdopen(counts) as pipe:
            said = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, json.loads(said or "{}")]), flush=True)


def _import_all() -> None:
    import prune_rl.train  # noqa: F401
    from prune_rl import configuration, experiment  # noqa: F401
    from prune_rl.reporting import curves, figures  # noqa: F401


def _run(told: int, flags: Sequence[str], at: str, count: int, delay: float, err: str) -> None:
    from prune_rl import train

    descriptor = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 2)
    counted: Counter[str] = Counter()

    def happens(event: str) -> None:
        counted[event] += 1
        if event == at and counted[event] == count:
            _kill_later(delay)

    _watch(happens, next(x.partition("=")[2] for x in flags if x.startswith("--base_dir=")))
    code = 70
    with contextlib.suppress(BaseException):
        code = train.main(flags)
    os.write(told, json.dumps(counted).encode())
    os._exit(code)


def _kill_later(delay: float) -> None:
    own = os.getpid(), signal.SIGKILL
    if delay:
        threading.Timer(delay, os.kill, own).start()
    else:
        os.kill(*own)


def _watch(happens: Callable[[str], None], base_dir: str) -> None:
    from prune_rl import runner
    from prune_rl.acting.evaluation import Evaluation
    from prune_rl.recording.logs import RunLog
    from prune_rl.replay.buffer import ReplayBuffer
    from prune_rl.trainer import Trainer

    def before(owner: Any, name: str, event: str) -> None:
        inner = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            happens(event)
            return inner(*args, **kwargs)

        setattr(owner, name, watched)

    runner._REHEARSAL_SECONDS = 0.1
    before(Trainer, "step", "step")
    before(Trainer, "play", "play")  # of a rehearsal, too
    before(Trainer, "learn", "learn")
    before(Evaluation, "step", "evaluation")
    before(RunLog, "metrics", "log")
    before(Trainer, "set_state", "part")
    before(ReplayBuffer, "set_state", "part")
    before(runner, "rehearse", "rehearsal")

    def audit(event: str, args: tuple[Any, ...]) -> None:
        changes = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
        writes = event == "open" and set("wa") & set(str(args[1]))
        if (changes or writes) and str(args[0]).startswith(base_dir):
            happens("file")

    sys.addaudithook(audit)


@contextlib.contextmanager
def started() -> Iterator[Forks]:
    forks = Forks()
    try:
        yield forks
    finally:
        forks.close()


if __name__ == "__main__":
    main()
