"""Turns, ratios, and what is said of workers that are no more."""

import os
import sys

import pytest

from benchmarks.pairs import Row, Turn, Worker, WorkerDied, calibrated, rounds, summary


def turns_of(**cpu):
    return {name: Turn(seconds, 99.0, 0.0) for name, seconds in cpu.items()}


def test_workers_take_turns_one_after_another(worker_of, turns_taken):
    workers = {"a": worker_of("a", 1, 1, 1), "b": worker_of("b", 1, 1, 1)}
    assert len(list(rounds(workers, {"a": 8, "b": 12}, 3))) == 3
    assert turns_taken.read_text().splitlines() == ["a 8", "b 12"] * 3


def test_seconds_are_those_of_a_step_of_one_seed(worker_of):
    turn = worker_of("a", 6.0, seeds=5).turn(4)
    assert turn == pytest.approx((0.3, 0.6, 600.0))


def test_rounds_yield_what_each_worker_reported(worker_of):
    workers = {"a": worker_of("a", 2.0, 4.0), "b": worker_of("b", 1.0, 1.0)}
    found = [(x["a"].cpu, x["b"].cpu) for x in rounds(workers, {"a": 2, "b": 1}, 2)]
    assert found == [(1.0, 1.0), (2.0, 1.0)]


def test_a_turn_is_about_as_long_as_asked(worker_of):
    # A step takes a quarter of a second of wall time: the first turn is long enough to tell.
    assert calibrated(worker_of("a", 0.5, quantum=4), 1.0) == 4
    assert calibrated(worker_of("b", 0.5, quantum=4), 3.0) == 12
    assert calibrated(worker_of("c", 0.5, quantum=4), 0.1) == 4


def test_short_turns_grow_until_they_tell(worker_of, turns_taken):
    assert calibrated(worker_of("a", 0.001, 0.01, 0.2, quantum=1), 1.0) > 100
    assert [int(line.split()[1]) for line in turns_taken.read_text().splitlines()] == [1, 16, 256]


def test_a_ratio_is_of_weighted_sums():
    row = Row("x", "", {"whole": 1.0}, {"update": 0.25, "act": 1.0})
    assert row.ratio(turns_of(whole=6.0, update=8.0, act=1.0)) == 2.0
    assert row.sides == ["whole", "update", "act"]


def test_a_side_on_both_sides_is_measured_once():
    row = Row("x", "", {"held": 0.9, "dense": 1.0}, {"dense": 1.0})
    assert row.sides == ["held", "dense"]


def test_a_summary_takes_ratios_within_rounds():
    # The medians of each side alone would give 2.0.
    measured = [turns_of(a=2, b=4), turns_of(a=2, b=1), turns_of(a=9, b=3), turns_of(a=2, b=1)]
    found = summary(Row("x", "a title", {"a": 1.0}, {"b": 1.0}, most=2.0), measured)
    assert found["ratios"] == [0.5, 2.0, 3.0, 2.0]
    assert (found["median"], found["min"], found["max"]) == (2.0, 0.5, 3.0)
    assert (found["bar"], found["held"]) == ("≤ 2", True)


@pytest.mark.parametrize(
    ("bars", "median", "held", "words"),
    [
        ({"most": 1.03}, 1.0301, False, "≤ 1.03"),
        ({"least": 3.0}, 2.99, False, "≥ 3"),
        ({"least": 3.0}, 3.0, True, "≥ 3"),
        ({}, 7.0, None, ""),
    ],
)
def test_a_bar_is_held_or_missed(bars, median, held, words):
    row = Row("x", "", {"a": 1.0}, {"b": 1.0}, **bars)
    assert (row.held(median), row.bar) == (held, words)


def test_a_worker_that_dies_in_a_turn_gives_one_line(worker_of):
    worker = worker_of("Dopamine", 1.0, None)
    worker.turn(1)
    with pytest.raises(WorkerDied) as error:
        worker.turn(1)
    words = "Dopamine: ended with code 1; last it said: ValueError: the bottom fell out"
    assert str(error.value) == words


def test_a_worker_that_is_gone_before_its_turn_gives_the_same_line(worker_of):
    worker = worker_of("Dopamine")  # it had no turn to give, and left
    worker._process.wait()
    with pytest.raises(WorkerDied, match=r"^Dopamine: ended with code 0; last .* for the log$"):
        worker.turn(1)


def test_a_worker_that_cannot_start_gives_one_line():
    worker = Worker("ours", [sys.executable, "-c", "import no_such_module"], {})
    with pytest.raises(WorkerDied, match=r"^ours: ended with code 1; .*: No module named 'no_such"):
        worker.wait_until_ready()
    worker.close()


def test_lines_that_gin_adds_hide_no_error():
    code = "raise ValueError('the bottom fell out\\n  In call to configurable')"
    worker = Worker("ours", [sys.executable, "-c", code], {})
    with pytest.raises(WorkerDied, match=r"last it said: ValueError: the bottom fell out$"):
        worker.wait_until_ready()
    worker.close()


def test_an_answer_that_is_none_is_quoted(worker_of):
    with pytest.raises(WorkerDied, match=r"^a: answered 'Segmentation fault', no JSON$"):
        worker_of("a", -1).turn(1)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone pins")
def test_a_worker_is_pinned_before_it_begins():
    core = max(os.sched_getaffinity(0))
    script = "import json, os; print(json.dumps(sorted(os.sched_getaffinity(0))))"
    worker = Worker("a", [sys.executable, "-c", script], {}, core)
    worker.wait_until_ready()
    assert worker.ready == [core]
    worker.close()
    assert len(os.sched_getaffinity(0)) >= 1
