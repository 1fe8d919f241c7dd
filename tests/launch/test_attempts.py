"""Who is run again, when, and who has failed for good: on an executor that is told what happens."""

import pytest

from launch.attempts import Attempts
from launch.executor import Standing, State

_CRASHED = Standing(State.FAILED, 1, "it broke")
_SAVED = Standing(State.FAILED, 75)
_MISTAKEN = Standing(State.FAILED, 2, "other settings")
_LOST = Standing(State.LOST, None, "its node is gone")
_FINISHED = Standing(State.FINISHED, 0)


class Told:
    """An executor; every look takes the next standing of each job that is submitted."""

    def __init__(self, **script):
        self.script, self.submitted, self.standings = script, [], {}

    def submit(self, jobs):
        self.submitted.append([job.name for job in jobs])
        self.standings |= {job.name: self.script[job.name].pop(0) for job in jobs}

    def poll(self):
        return dict(self.standings)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def sweep(make_job):
    def make(retries=2, **script):
        told, clock = Told(**script), Clock()
        jobs = [make_job(name) for name in script]
        attempts = Attempts(told, jobs, retries=retries, now=clock)
        attempts.submit()
        return attempts, told, clock

    return make


def test_all_are_handed_over_at_once_and_nothing_is_run_again_that_finished(sweep):
    attempts, told, _ = sweep(a=[_FINISHED], b=[_FINISHED])
    assert [(x.job.name, x.finished) for x in attempts.look()] == [("a", True), ("b", True)]
    assert attempts.done
    assert not attempts.failed
    assert attempts.look() == []
    assert told.submitted == [["a", "b"]]


def test_nothing_is_said_of_what_runs_or_waits(sweep):
    attempts, _, _ = sweep(a=[Standing(State.RUNNING)], b=[Standing(State.WAITING)])
    assert attempts.look() == []
    assert not attempts.done


@pytest.mark.parametrize("broken", [_CRASHED, _LOST])
def test_a_broken_one_is_tried_again_ever_later_then_has_failed(sweep, broken):
    attempts, told, clock = sweep(a=[broken] * 3)
    for wait in (10, 20):
        (ended,) = attempts.look()
        assert (ended.finished, ended.again_in) == (False, wait)
        count = len(told.submitted)
        clock.now += wait - 0.5
        assert attempts.look() == []
        assert len(told.submitted) == count
        clock.now += 1
        attempts.look()
        assert len(told.submitted) == count + 1
    (ended,) = attempts.look()
    assert ended.again_in is None
    assert attempts.done
    assert attempts.failed["a"].problem == broken.problem
    assert told.submitted == [["a"]] * 3


def test_one_that_saved_is_run_again_at_once_and_not_counted(sweep):
    attempts, told, _ = sweep(retries=0, a=[_SAVED] * 5 + [_FINISHED])
    for count in range(2, 7):
        (ended,) = attempts.look()
        assert ended.again_in == 0
        assert len(told.submitted) == count
    (ended,) = attempts.look()
    assert ended.finished
    assert attempts.done
    assert not attempts.failed


def test_a_mistake_is_never_tried_again(sweep):
    attempts, told, _ = sweep(a=[_MISTAKEN], b=[_FINISHED])
    attempts.look()
    assert attempts.done
    assert list(attempts.failed) == ["a"]
    assert told.submitted == [["a", "b"]]


def test_what_no_backend_tells_is_read_from_the_log(sweep, make_job):
    log = make_job("a").log
    log.parent.mkdir(parents=True)
    log.write_text("iteration 1/2\nprune_rl.train: the disk is full\n\n")
    attempts, _, _ = sweep(retries=0, a=[Standing(State.FAILED, 1)], b=[Standing(State.FAILED, 7)])
    problems = {x.job.name: x.problem for x in attempts.look()}
    assert problems == {"a": "prune_rl.train: the disk is full", "b": "exit code 7"}


def test_nothing_to_run_is_done(sweep):
    attempts, told, _ = sweep()
    assert attempts.done
    assert told.submitted == []
