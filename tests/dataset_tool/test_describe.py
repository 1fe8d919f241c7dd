"""What is said and drawn of runs."""

import tracemalloc

import numpy as np
import pytest
from matplotlib.colors import to_hex

from prune_rl.dataset_tool import describe

from .scripted_run import ScriptedRun

_LENGTHS = [4, 6, 10, 20]


@pytest.fixture
def described(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.gz").write_bytes(b"x" * 1500)
    (tmp_path / "b.gz").write_bytes(b"x" * 1000)
    run = ScriptedRun(_LENGTHS, path=tmp_path)
    return describe.describe(run, lambda count: None)


def test_numbers_are_those_of_the_run(described):
    said = describe.as_json(described)
    assert said["transitions"] == said["frames"] == 40
    assert said["bytes_on_disk"] == 2500
    assert said["bytes_of_frames_in_ram"] == 40 * 7056
    assert (said["episodes"], said["terminated"], said["truncated"], said["cut"]) == (4, 4, 0, 0)
    # Quartiles of 4, 6, 10, 20 at places 0, 0.75, 1.5, 2.25 and 3.
    spread = {"mean": 10, "min": 4, "25%": 5.5, "median": 8, "75%": 12.5, "max": 20}
    assert said["lengths"] == said["returns_of_stored_rewards"] == spread
    assert said["actions"] == [20, 20, 0]
    assert said["rewards"] == {"negative": 0, "zero": 0, "positive": 40}
    assert (said["suite"], said["game"], said["run"]) == ("atari", "Pong", 1)
    assert said["protocol"]["stored_rewards"] == "clipped"


def test_lines_say_them_and_that_rewards_are_clipped(described):
    text = "\n".join(describe.lines(described))
    for words in (
        "Pong/1  (atari, dqn_replay)",
        "40: 2.5 kB on disk, 282.2 kB in RAM",
        "4 whole; 4 terminated, 0 truncated; 0 cut, 0 whose beginning is not there",
        "mean 10.00  min 4.00  25% 5.50  median 8.00  75% 12.50  max 20.00",
        "clipped to [-1, 1] unless the protocol says else",
        "0: 50.0%  1: 50.0%  2: 0.0%",
        "stored_rewards clipped",
    ):
        assert words in text


def test_a_run_without_a_whole_episode():
    described = describe.describe(ScriptedRun([5], last_ends=False), lambda count: None)
    said = describe.as_json(described)
    assert said["lengths"]["mean"] is None
    assert (said["episodes"], said["cut"], said["transitions"]) == (0, 1, 5)
    assert said["bytes_on_disk"] is None
    assert "no episode is whole" in "\n".join(describe.lines(described))
    describe.draw([described])


def test_a_running_mean():
    values = np.array([4.0, 6, 10, 20])
    assert describe.running_mean(values, 2).tolist() == [4, 5, 8, 15]
    np.testing.assert_allclose(describe.running_mean(values), [4, 5, 20 / 3, 10])
    assert describe.running_mean(values[:0]).tolist() == []


def test_the_picture_shows_every_episode_of_every_run_where_it_ended():
    runs = [ScriptedRun(_LENGTHS), ScriptedRun([3, 5], number=2)]
    figure = describe.draw([describe.describe(run, lambda count: None) for run in runs])
    returns, lengths = figure.axes
    assert lengths.get_xlabel() == "transitions"
    for axes in (returns, lengths):
        dots, mean, other, _ = axes.lines
        assert dots.get_xdata().tolist() == mean.get_xdata().tolist() == [4, 10, 20, 40]
        assert dots.get_ydata().tolist() == _LENGTHS  # each reward is 1
        np.testing.assert_allclose(mean.get_ydata(), [4, 5, 20 / 3, 10])
        assert other.get_ydata().tolist() == [3, 5]
        assert to_hex(dots.get_color()) == to_hex(mean.get_color()) != to_hex(other.get_color())
    labels = [text.get_text() for text in returns.get_legend().get_texts()]
    assert labels == ["Pong/1", "Pong/2"]


def test_progress_is_told_in_transitions():
    told = []
    describe.describe(ScriptedRun(_LENGTHS), told.append)
    assert told == [4] * 10
    assert describe.num_transitions(ScriptedRun(_LENGTHS)) == 40


def test_one_block_is_in_memory_at_a_time():
    run = ScriptedRun([100] * 40, block_rows=100)  # 28 MB of frames, 0.7 MB a block
    tracemalloc.start()
    describe.describe(run, lambda count: None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6
