"""Plain lines without a terminal, a bar on one."""

import io

from prune_rl.progress import RunProgress, _clock


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _show(stream, mean_return=3.5):
    progress = RunProgress(total_steps=1000, done_steps=0, num_iterations=4, stream=stream)
    with progress:
        assert not progress.due()
        progress.show(250, iteration=0, phase="train", mean_return=mean_return, sparsity=0.5)
    return stream.getvalue()


def test_plain_line_says_where_the_run_stands():
    line = _show(io.StringIO())
    assert line.startswith("iteration 1/4 train")
    for word in ("agent steps/s", "return 3.50", "sparsity 0.500", "25%", "ETA 0:00:0"):
        assert word in line
    assert line.count("\n") == 1


def test_no_finished_episode_is_shown_as_such():
    assert "return -" in _show(io.StringIO(), mean_return=None)


def test_terminal_gets_a_bar():
    assert "25%" in _show(_Terminal())
    assert "━" in _show(_Terminal())


def test_clock():
    assert _clock(3 * 3600 + 61.4) == "3:01:01"
