"""What each kind of cell takes, and the line of a log that says what went wrong."""

import pytest

from launch.prices import last_line

_THREAD = (
    "Exception in thread Thread-3 (_write):\n"
    "Traceback (most recent call last):\n"
    '  File "threading.py", line 1045, in _bootstrap_inner\n'
    "    self.run()\n"
    "RuntimeError: cannot schedule new futures after shutdown\n"
)
_END = "RuntimeError: cannot schedule new futures after shutdown"
_IGNORED = "Exception ignored in: <function X.__del__ at 0x7f>\n" + _THREAD.partition("\n")[2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("iteration 1/2\n\n", "iteration 1/2"),
        (f"prune_rl.train: disk full\n{_THREAD}", "prune_rl.train: disk full"),
        (f"OSError: it broke\n{_THREAD}{_IGNORED}", "OSError: it broke"),
        (f"{_THREAD}prune_rl.train: disk full\n", "prune_rl.train: disk full"),
        (_THREAD, _END),
        (f"iteration 1/2\n{_THREAD}", _END),
        (f"launch: on a, 10:00\n{_IGNORED}", _END),
    ],
)
def test_the_last_line_is_what_was_said_before_threads_came_down(tmp_path, text, line):
    (tmp_path / "log").write_text(text)
    assert last_line(tmp_path / "log") == line


def test_of_no_log_there_is_none(tmp_path):
    assert last_line(tmp_path / "log") == ""
