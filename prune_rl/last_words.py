"""What a command says when it cannot go on: one line, and its exit code."""

import re

from prune_rl.errors import Blamed, ConfigError, RunEnded, first_line
from prune_rl.signals import INTERRUPTED

_OUT_OF_MEMORY = re.compile("RESOURCE_EXHAUSTED|[Oo]ut of memory")
_REPORT = "this is a mistake of ours or of your own code: --traceback shows where; please report it"


def last_words(error: BaseException, then: str = "", *, failed: int = 1) -> tuple[str, int]:
    """The line that a user reads, and the exit code.

    Args:
        error: what ended the command.
        then: what stands after an end that nobody asked for, as "nothing was written".
        failed: the exit code of a failure that has none of its own; `ConfigError` has 2,
            `RunEnded` its own, an interruption 130.
    """
    line, then = first_line(error), f"; {then}" if then else ""
    if isinstance(error, Blamed):
        line += " (--traceback shows where)"
    if isinstance(error, ConfigError):
        return line, 2
    if isinstance(error, RunEnded):
        return f"{line}{then}", error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted{then}", INTERRUPTED
    if is_out_of_memory(error):
        return f"out of memory ({line[:200]}){then}", failed
    if isinstance(error, OSError):
        return f"{line}{then}", failed
    return f"unexpected {type(error).__name__}: {line[:300]}; {_REPORT}", failed


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this machine, or its accelerator, has too little memory for what was asked."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))
