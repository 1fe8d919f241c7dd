"""Plain lines without a terminal, a bar on one."""

import io

import pytest

from prune_rl.progress import clock as as_clock
from prune_rl.recording import progress
from prune_rl.recording.progress import RunProgress, say_finished


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def _show(stream, mean_return=3.5):
    shown = RunProgress(
        clock="agent_steps", total_steps=1000, done_steps=0, num_iterations=4, stream=stream
    )
    with shown:
        assert not shown.due()
        shown.show(250, iteration=0, phase="train", mean_return=mean_return, sparsity=0.5)
    return stream.getvalue()


def test_plain_line_says_where_the_run_stands():
    line = _show(io.StringIO())
    assert line.startswith("iteration 1/4 train")
    for word in ("agent steps/s", "return 3.50", "sparsity 0.500", "25%", "ETA 0:00:0"):
        assert word in line
    assert line.count("\n") == 1


def test_an_evaluation_after_the_last_iteration_is_none_of_another():
    stream = io.StringIO()
    with RunProgress(
        clock="gradient_steps", total_steps=4, done_steps=0, num_iterations=2, stream=stream
    ) as shown:
        shown.show(4, iteration=2, phase="eval", mean_return=None, sparsity=0.0)
    assert stream.getvalue().startswith("iteration 2/2 eval")


@pytest.fixture
def clock(monkeypatch):
    """What `time.monotonic` says, in seconds; the test moves it."""
    now = [1_000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left_are_those_of_this_start(clock):
    """A resumed run, 200 of 1,000 steps done before: 300 steps in 20 s leave 500, 33 s."""
    stream = io.StringIO()
    shown = RunProgress(
        clock="agent_steps", total_steps=1000, done_steps=200, num_iterations=4, stream=stream
    )
    clock[0] += 20
    shown.show(500, iteration=2, phase="eval", mean_return=-1.239, sparsity=0.9504)
    assert stream.getvalue() == (
        "iteration 3/4 eval  15 agent steps/s  return -1.24  sparsity 0.950  50%  ETA 0:00:33\n"
    )


def test_what_is_told_of_an_earlier_iteration_takes_nothing_back(clock):
    """An evaluation that was played beside the training of the next one."""
    stream = io.StringIO()
    shown = RunProgress(
        clock="gradient_steps", total_steps=1000, done_steps=200, num_iterations=4, stream=stream
    )
    clock[0] += 20
    shown.show(500, iteration=1, phase="train", mean_return=None, sparsity=0.5)
    shown.show(100, iteration=0, phase="eval", mean_return=2.0, sparsity=0.25)
    first, second = stream.getvalue().splitlines()
    assert second == (
        "iteration 1/4 eval  15 gradient steps/s  return 2.00  sparsity 0.250  50%  ETA 0:00:33"
    )
    assert first.endswith("50%  ETA 0:00:33")


def test_steps_are_those_of_the_runs_clock(clock):
    stream = io.StringIO()
    shown = RunProgress(
        clock="gradient_steps", total_steps=100, done_steps=0, num_iterations=1, stream=stream
    )
    clock[0] += 2
    shown.show(50, iteration=0, phase="train", mean_return=None, sparsity=0.0)
    assert "  25 gradient steps/s  " in stream.getvalue()


@pytest.mark.parametrize(("stream", "period"), [(io.StringIO(), 30), (_Terminal(), 2)])
def test_news_are_due_once_a_period(clock, stream, period):
    shown = RunProgress(
        clock="agent_steps", total_steps=10, done_steps=0, num_iterations=1, stream=stream
    )
    for _ in range(2):
        clock[0] += period - 0.5
        assert not shown.due()
        clock[0] += 0.5
        assert shown.due()
        shown.show(5, iteration=0, phase="train", mean_return=None, sparsity=0.0)


def test_a_finished_run_is_said_to_be_one(capsys, tmp_path):
    say_finished(tmp_path, 20)
    said = f"{tmp_path} is finished (20 of 20 iterations); nothing to do\n"
    assert capsys.readouterr() == ("", said)


def test_no_finished_episode_is_shown_as_such():
    assert "return -" in _show(io.StringIO(), mean_return=None)


def test_terminal_gets_a_bar():
    assert "25%" in _show(_Terminal())
    assert "━" in _show(_Terminal())


def test_clock():
    assert as_clock(3 * 3600 + 61.4) == "3:01:01"
