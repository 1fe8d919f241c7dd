"""What commands say last: a line, and an exit code."""

import pytest

from prune_rl.errors import Blamed, ConfigError, RunEnded
from prune_rl.last_words import last_words

_REPORT = "this is a mistake of ours or of your own code: --traceback shows where; please report it"


class _Stopped(RunEnded):
    exit_code = 75


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("--x=1: expected 2"), 2, "--x=1: expected 2"),
        (Blamed("f: it raised 3"), 2, "f: it raised 3 (--traceback shows where)"),
        (KeyboardInterrupt(), 130, "interrupted{}"),
        (RunEnded("the game raised"), 1, "the game raised{}"),
        (_Stopped("the queue stopped it"), 75, "the queue stopped it{}"),
        (OSError("No space left"), 4, "No space left{}"),
        (MemoryError("of 3 GB"), 4, "out of memory (of 3 GB){}"),
        (RuntimeError("RESOURCE_EXHAUSTED: x"), 4, "out of memory (RESOURCE_EXHAUSTED: x){}"),
        (
            ZeroDivisionError("by zero\nindeed"),
            4,
            f"unexpected ZeroDivisionError: by zero; {_REPORT}",
        ),
    ],
)
def test_an_error_ends_in_one_line_and_its_code(error, code, line):
    assert last_words(error, "half was written", failed=4) == (
        line.format("; half was written"),
        code,
    )
    assert last_words(error) == (line.format(""), 1 if code == 4 else code)
