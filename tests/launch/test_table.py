"""What a person sees of a sweep, on a terminal and elsewhere."""

import io
import json
import re

import pytest

from launch import table
from launch.attempts import Ended
from launch.executor import Standing, State
from launch.table import Board

_WAITING, _RUNNING = Standing(State.WAITING), Standing(State.RUNNING)
_FINISHED = Standing(State.FINISHED, 0)


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 1_000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(table, "time", clock)
    return clock


@pytest.fixture
def size(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setenv("TERM", "xterm")


def _write(job, iterations, rate=50.0, value=5.0):
    """A run of 4 iterations of 100 agent steps."""
    job.directory.mkdir(parents=True, exist_ok=True)
    text = "Runner.num_iterations = 4\nRunner.training_steps = 100\n"
    (job.directory / "config.gin").write_text(text)
    rows = [
        {"seed": 0, "iteration": i, "phase": "train", "agent_steps": 100 * (i + 1)}
        for i in range(iterations)
    ]
    for name, more in (
        ("metrics", {"episode_return_mean": value}),
        ("timing", {"agent_steps_per_second": rate}),
    ):
        lines = [json.dumps(row | more) + "\n" for row in rows]
        (job.directory / f"{name}.jsonl").write_text("".join(lines))


def _last_table(stream):
    """Lines of the table as it was drawn last, without what steers the terminal."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    return text[text.rindex("runs/g:") :].splitlines()


def test_elsewhere_a_line_comes_every_half_minute_and_when_one_ends(clock, make_job):
    jobs, stream = [make_job("a"), make_job("b")], io.StringIO()
    _write(jobs[0], 2)
    with Board("runs/g", jobs, skipped=3, stream=stream) as board:
        for _ in range(70):
            board.show({"a": _RUNNING, "b": _WAITING}, [])
            clock.now += 1
        _write(jobs[0], 4, value=7.5)
        board.show({"a": _FINISHED, "b": _RUNNING}, [Ended(jobs[0], finished=True)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    # Of a 200 of 400 steps at 50 a second are left, of b all.
    assert lines[0] == ("runs/g: 3 of 5 finished, 1 running, 1 to go, after 0:00:30  ETA 0:00:12")
    assert "after 0:01:00" in lines[1]
    assert lines[2] == "a: finished after 0:01:10  return 7.50"


def test_the_eta_shares_what_waits_among_those_that_run(clock, make_job):
    jobs, stream = [make_job(str(i), kind="x" if i < 4 else "y") for i in range(8)], io.StringIO()
    _write(jobs[0], 1, rate=10.0)  # 40 s in all, 30 left
    _write(jobs[4], 3, rate=20.0)  # 20 s in all, 5 left
    states = {job.name: _WAITING for job in jobs} | {"0": _RUNNING, "4": _RUNNING}
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        clock.now += 31
        board.show(states, [])
    # 30 + 5 of those two, 3 * 40 + 3 * 20 of the rest, two at once.
    assert stream.getvalue().endswith("6 to go, after 0:00:31  ETA 0:01:48\n")


def test_the_eta_counts_what_cells_of_the_kind_really_took(clock, make_job):
    """Start-up and diagnostics, too, which the rate leaves out."""
    jobs, stream = [make_job(str(i)) for i in range(3)], io.StringIO()
    states = {job.name: _WAITING for job in jobs}
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        board.show(states | {"0": _RUNNING}, [])
        _write(jobs[0], 4, rate=100.0)  # 4 s at that rate
        clock.now += 20
        states |= {"0": _FINISHED, "1": _RUNNING}
        board.show(states, [Ended(jobs[0], finished=True)])
        _write(jobs[1], 2, rate=100.0)
        clock.now += 11
        board.show(states, [])
    # 20 - 11 of what runs, 20 of what waits.
    assert stream.getvalue().endswith("1 to go, after 0:00:31  ETA 0:00:29\n")


def test_the_eta_of_one_that_goes_on_is_of_what_was_left(clock, make_job):
    jobs, stream = [make_job(str(i)) for i in range(2)], io.StringIO()
    states = {"0": _RUNNING, "1": _WAITING}
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        board.show(states, [])
        _write(jobs[0], 4, rate=100.0)
        _write(jobs[1], 3, rate=100.0)  # by an earlier sweep
        clock.now += 40
        states = {"0": _FINISHED, "1": _RUNNING}
        board.show(states, [Ended(jobs[0], finished=True)])
        clock.now += 6
        board._next = clock.now
        board.show(states, [])
        clock.now += 30
        board.show(states, [Ended(jobs[1], finished=True)])
    # A quarter of 40, 6 of them over; and it tells nothing of what a whole one takes.
    assert "ETA 0:00:04" in stream.getvalue()
    assert board._took == {"kind": [40.0]}


def test_nobody_knows_before_an_iteration_has_ended(clock, make_job):
    job, stream = make_job("a"), io.StringIO()
    with Board("runs/g", [job], skipped=0, stream=stream) as board:
        clock.now += 31
        board.show({"a": _RUNNING}, [])
    assert stream.getvalue().endswith("ETA ?\n")


def test_what_failed_says_why_and_what_becomes_of_it(clock, make_job):
    jobs, stream = [make_job(name) for name in "abc"], io.StringIO()
    failed = Standing(State.FAILED, 1)
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        ended = [
            Ended(jobs[0], finished=False, problem="it broke", again_in=10.0),
            Ended(jobs[1], finished=False, problem="saved after 5", again_in=0.0),
            Ended(jobs[2], finished=False, problem="a mistake"),
        ]
        board.show(dict.fromkeys("abc", failed), ended)
        clock.now += 31
        board.show(dict.fromkeys("abc", failed), [])
    assert stream.getvalue().splitlines() == [
        "a: failed, again in 10 s",
        "      it broke",
        "b: saved, goes on",
        "      saved after 5",
        "c: failed",
        "      a mistake",
        "runs/g: 0 of 3 finished, 0 running, 2 to go, 1 failed, after 0:00:31  ETA ?",
    ]


_MEASURING = Standing(State.MEASURING)


def test_what_is_measured_is_said(clock, make_job, size):
    jobs, plain, terminal = [make_job("a"), make_job("b")], io.StringIO(), Terminal()
    for stream in (plain, terminal):
        with Board("runs/g", jobs, skipped=0, stream=stream) as board:
            clock.now += 31
            board.show({"a": _MEASURING, "b": _WAITING}, [])
    line = "runs/g: 0 of 2 finished, 0 running, 2 to go, 1 being measured, after 0:00:31  ETA ?"
    assert plain.getvalue() == f"{line}\n"
    (row,) = [line for line in _last_table(terminal) if "measuring" in line]
    assert [x.strip() for x in re.split("[│┃|]", row)[1:3]] == ["a", "measuring"]


def test_on_a_terminal_there_is_a_row_for_each_that_runs(clock, make_job, size):
    jobs, stream = [make_job("arm/[game]/0"), make_job("b")], Terminal()
    _write(jobs[0], 2)
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        board.show({jobs[0].name: _RUNNING, "b": _WAITING}, [])
        clock.now += 2
        board.show({jobs[0].name: _RUNNING, "b": _WAITING}, [])
    lines = _last_table(stream)
    assert lines[0].startswith("runs/g: 0 of 2 finished, 1 running, 1 to go, after 0:00:02  ETA")
    (row,) = [line for line in lines if "arm" in line]
    cells = [x.strip() for x in re.split("[│┃|]", row)[1:-1]]
    assert cells == ["arm/[game]/0", "running", "2/4", "50", "0:00:02", "5.00"]
    assert not any(re.search(r"\bb\b", line) for line in lines)


def test_a_thousand_cells_do_not_flood_a_terminal(clock, make_job, size):
    jobs, stream = [make_job(f"cell{i}") for i in range(1_500)], Terminal()
    with Board("runs/g", jobs, skipped=0, stream=stream) as board:
        states = {job.name: _FINISHED for job in jobs[:700]}
        states |= {job.name: _RUNNING for job in jobs[700:760]}
        states |= {job.name: _WAITING for job in jobs[760:]}
        board.show(states, [Ended(job, finished=True) for job in jobs[:700]])
        clock.now += 2
        board.show(states, [])
    lines = _last_table(stream)
    assert lines[0].startswith("runs/g: 700 of 1,500 finished, 60 running, 740 to go")
    assert len(lines) <= 30
    assert any("more" in line and "…" in line for line in lines)
    assert any("cell699 " in line for line in lines)
    assert not any("cell100 " in line for line in lines)


def test_only_what_runs_is_read(clock, make_job, size, monkeypatch):
    looked = []
    monkeypatch.setattr(table.Watch, "look", lambda self: looked.append(self._directory.name))
    jobs = [make_job(f"cell{i}") for i in range(100)]
    with Board("runs/g", jobs, skipped=0, stream=Terminal()) as board:
        states = {job.name: _WAITING for job in jobs} | {"cell7": _RUNNING}
        for _ in range(3):
            clock.now += 2
            board.show(states, [])
    assert set(looked) == {"cell7"}
