"""How far a run is, from files that grow under the reader."""

import json

import pytest

from launch.watch import Watch


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "config.gin").write_text(
        "Runner.num_iterations = 4\nRunner.num_seeds = 2\nRunner.training_steps = 100\n"
    )
    return directory


def _row(seed, iteration, phase="train", **more):
    steps = {"clock": "agent_steps", "agent_steps": 100 * (iteration + 1)}
    return json.dumps({"seed": seed, "iteration": iteration, "phase": phase, **steps, **more})


def _add(directory, file, *lines):
    with (directory / file).open("a") as stream:
        stream.write("".join(f"{line}\n" for line in lines))


def test_there_is_nothing_to_see_before_there_is_a_run(tmp_path):
    watch = Watch(tmp_path / "run")
    assert watch.look() is None


def test_before_the_first_iteration_nothing_is_known_but_how_many(run):
    seen = Watch(run).look()
    assert seen == (0, 4, 0, 400, None, None)
    assert seen.seconds_left is seen.seconds is None


def test_each_look_goes_on(run):
    watch = Watch(run)
    _add(run, "metrics.jsonl", *(_row(s, 0, episode_return_mean=1.0 + s) for s in (0, 1)))
    _add(run, "timing.jsonl", *(_row(s, 0, agent_steps_per_second=20.0) for s in (0, 1)))
    assert watch.look() == (1, 4, 100, 400, 20.0, 1.5)
    _add(run, "metrics.jsonl", _row(0, 1, episode_return_mean=5.0))
    assert watch.look()[0] == 1  # the other seed's is not there yet
    _add(run, "metrics.jsonl", _row(1, 1, episode_return_mean=7.0))
    _add(run, "timing.jsonl", *(_row(s, 1, agent_steps_per_second=50.0) for s in (0, 1)))
    seen = watch.look()
    assert seen == (2, 4, 200, 400, 50.0, 6.0)
    assert (seen.seconds_left, seen.seconds) == (4.0, 8.0)


def test_only_what_is_new_is_read(run):
    watch = Watch(run)
    _add(run, "metrics.jsonl", _row(0, 0), _row(1, 0))
    watch.look()
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(" " * len(text))  # were it read again, nothing was there
    assert watch.look().iteration == 1


def test_a_line_that_is_being_written_is_waited_for(run):
    watch, line = Watch(run), _row(1, 0)
    _add(run, "metrics.jsonl", _row(0, 0))
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line[:20])
        file.flush()
        assert watch.look().iteration == 0
        file.write(line[20:] + "\n")
    assert watch.look().iteration == 1


def test_a_file_that_was_cut_back_is_read_again(run):
    watch = Watch(run)
    _add(run, "metrics.jsonl", *(_row(s, i) for i in (0, 1) for s in (0, 1)))
    assert watch.look().iteration == 2
    (run / "metrics.jsonl").write_text(f"{_row(0, 0)}\n{_row(1, 0)}\n")
    assert watch.look().iteration == 1
    _add(run, "metrics.jsonl", *(_row(s, i) for i in (1, 2) for s in (0, 1)))
    assert watch.look().iteration == 3


def test_returns_and_pace_of_data_alone(run):
    watch, clock = Watch(run), {"clock": "gradient_steps", "gradient_steps": 100}
    _add(run, "metrics.jsonl", *(_row(s, 0, **clock) for s in (0, 1)))
    evaluated = {**clock, "episode_return_mean": 3.0}
    _add(run, "metrics.jsonl", *(_row(s, 0, "eval", **evaluated) for s in (0, 1)))
    _add(run, "timing.jsonl", *(_row(s, 0, gradient_steps_per_second=25.0) for s in (0, 1)))
    assert watch.look() == (1, 4, 100, 400, 25.0, 3.0)
