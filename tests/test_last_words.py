"""What commands say last: a line, and an exit code."""

import pytest

from prune_rl.errors import ConfigError, RunEnded
from prune_rl.last_words import last_words


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("--x=1: expected 2"), 2, "--x=1: expected 2"),
        (KeyboardInterrupt(), 130, "interrupted; half was written"),
        (RunEnded("the game raised"), 1, "the game raised; half was written"),
        (OSError("No space left"), 1, "No space left; half was written"),
        (MemoryError(), 1, "MemoryError; half was written"),
        (
            ZeroDivisionError("by zero\nindeed"),
            1,
            "unexpected ZeroDivisionError: by zero; --traceback shows where; please report it",
        ),
    ],
)
def test_an_error_ends_in_one_line_and_its_code(error, code, line):
    assert last_words(error, "half was written") == (line, code)
