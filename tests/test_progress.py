"""What is said of how far something is, off a terminal."""

import io
import os
import pty
import subprocess
import sys

import pytest

from prune_rl import progress
from prune_rl.progress import Bar, in_bytes, in_numbers


def test_sizes_in_words():
    given = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 7_056_000: "7.1 MB", 352.8e9: "352.8 GB"}
    assert {count: in_bytes(count) for count in given} == given
    assert in_numbers(1234567) == "1,234,567"


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_pace_and_time_left_now_and_then(clock):
    """100 of 1,000 kB were there before: they do not count for the pace."""
    stream = io.StringIO()
    with Bar("fetching", 1_000_000, done=100_000, stream=stream) as bar:
        bar.advance(50_000)
        clock[0] += 29
        bar.advance(50_000)
        assert stream.getvalue() == ""
        clock[0] += 1
        bar.advance(200_000)
        bar.advance(1)
    line = "fetching  400.0 kB of 1.0 MB  10.0 kB/s  40%  ETA 0:01:00\n"
    assert stream.getvalue() == line


def test_nothing_came_yet(clock):
    stream = io.StringIO()
    bar = Bar("reading", 10, words=in_numbers, stream=stream)
    clock[0] += 30
    bar.advance(0)
    assert stream.getvalue() == "reading  0 of 10  0/s  0%  ETA ?\n"


def test_a_user_who_asks_to_stop_is_heard():
    def check():
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        Bar("reading", 10, check=check, stream=io.StringIO()).advance(1)


def test_what_is_printed_while_a_bar_is_on_a_terminal_goes_where_it_was_sent(tmp_path):
    """As of `verify data > report.txt`, whose bar is on the terminal."""
    own, other = pty.openpty()
    code = (
        "from prune_rl.progress import Bar\n"
        "with Bar('reading', 10) as bar:\n"
        "    bar.advance(5)\n"
        "    print('Pong/1: whole')\n"
    )
    with (tmp_path / "report.txt").open("w") as report:
        subprocess.run([sys.executable, "-c", code], stdout=report, stderr=other, check=True)
    os.close(other)
    assert (tmp_path / "report.txt").read_text() == "Pong/1: whole\n"
    assert b"reading" in os.read(own, 10_000)
    os.close(own)
