"""What a command says when it cannot go on: one line, and its exit code."""

from prune_rl.errors import ConfigError, RunEnded, first_line
from prune_rl.signals import INTERRUPTED


def last_words(error: BaseException, written: str) -> tuple[str, int]:
    """The line that a user reads, and the exit code: 1, 2 of `ConfigError`, 130 interrupted.

    written: what became of the files that were asked for, as "nothing was written".
    """
    line = first_line(error)
    if isinstance(error, ConfigError):
        return line, 2
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {written}", INTERRUPTED
    if isinstance(error, RunEnded | OSError | MemoryError):
        return f"{line}; {written}", 1
    what = f"unexpected {type(error).__name__}: {line[:300]}"
    return f"{what}; --traceback shows where; please report it", 1
