"""What is said of runs that are whole, and of others."""

from prune_rl.dataset_tool.verify import verify

from .scripted_run import ScriptedRun


def _verify(runs, problems):
    said, told = [], []
    return verify(runs, problems, said.append, told.append), said, sum(told)


def _read(run, watch):
    """All of it, and nothing is wrong."""
    for length in run.lengths:
        watch(length)
    yield from ()


def test_whole_runs():
    runs = [ScriptedRun([3, 4]), ScriptedRun([2000], number=2)]
    found, said, told = _verify(runs, _read)
    assert said == [
        "Pong/1, dqn_replay: 1 part, at most 7 transitions",
        "Pong/2, dqn_replay: 1 part, at most 2,000 transitions",
        "2 runs, 2 parts, at most 2,007 transitions: whole",
    ]
    assert (found, told) == (0, 2007)


def test_every_problem_is_said_below_its_run():
    wrong = {1: [], 2: ["x.gz: truncated", "y.gz: unequal lengths"]}
    runs = [ScriptedRun([3]), ScriptedRun([2], number=2)]
    found, said, _ = _verify(runs, lambda run, watch: iter(wrong[run.number]))
    assert said[1:] == [
        "Pong/2, dqn_replay: 1 part, at most 2 transitions",
        "  x.gz: truncated",
        "  y.gz: unequal lengths",
        "2 runs, 2 parts, at most 5 transitions: 2 problems",
    ]
    assert found == 2


def test_what_cannot_be_read_is_a_problem_said_once():
    run = ScriptedRun([3])
    run.unreadable = "x.gz: truncated at byte 3"
    for problems in ([], ["x.gz: truncated at byte 3"]):
        found, said, _ = _verify([run], lambda run, watch, own=problems: iter(own))
        assert said[1:] == [
            "  x.gz: truncated at byte 3",
            "1 run, 0 parts, at most 0 transitions: 1 problem",
        ]
        assert found == 1


def test_absent_checkpoints_are_noted_and_are_no_problem():
    runs = [ScriptedRun([3]), ScriptedRun([2], number=2)]
    runs[1].absent = ["no files of checkpoints 2-49"]
    found, said, _ = _verify(runs, _read)
    assert said[1:] == [
        "Pong/2, dqn_replay: 1 part, at most 2 transitions",
        "  note: no files of checkpoints 2-49",
        "2 runs, 2 parts, at most 5 transitions: whole, but 1 run without all checkpoints",
    ]
    assert found == 0
    found, said, _ = _verify(runs, lambda run, watch: iter(["x.gz: truncated"]))
    assert said[-1] == "2 runs, 2 parts, at most 5 transitions: 2 problems"
    assert found == 2
