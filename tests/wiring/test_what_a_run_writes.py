"""episodes.csv and metrics.jsonl against what the scripted games and the updates gave."""

import csv
import json
import re

import jax
import numpy as np
import pytest

from .scripted_game import STEP_SECONDS


@pytest.fixture(params=["dqn_run", "rainbow_run"])
def run(request):
    return request.getfixturevalue(request.param)


def _episodes(run, steps):
    """(agent steps, seed, return, length, end) of the training episodes, in order of their ends."""
    found = []
    for seed, own in zip((5, 6), run.played(), strict=True):
        length, total = 0, 0.0
        for t, x in enumerate(own, start=1):
            length, total = length + 1, total + x.reward
            if x.over or x.truncated:
                end = "terminated" if x.over else "truncated"
                found.append((t, seed, total, length, end))
                length, total = 0, 0.0
    return sorted(own for own in found if own[0] in steps)


def _metrics(run, phase):
    rows = [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["phase"] == phase]


def test_episodes_are_those_of_the_games_with_raw_returns(run):
    with (run.directory / "episodes.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "train"]
    written = [
        (
            int(row["agent_steps"]),
            int(row["seed"]),
            float(row["episode_return"]),
            int(row["episode_length"]),
            row["ended"],
        )
        for row in rows
    ]
    assert sorted(written) == _episodes(run, range(100))
    assert {own[4] for own in written} == {"terminated", "truncated"}


@pytest.mark.parametrize("iteration", [0, 1])
def test_an_iteration_sums_up_its_own_episodes(dqn_run, iteration):
    rows = _metrics(dqn_run, "train")[2 * iteration : 2 * iteration + 2]
    own = _episodes(dqn_run, range(30 * iteration + 1, 30 * iteration + 31))
    assert [row["seed"] for row in rows] == [5, 6]
    for row in rows:
        mine = [x for x in own if x[1] == row["seed"]]
        assert row["num_episodes"] == len(mine) > 3
        assert row["episode_return_mean"] == pytest.approx(np.mean([x[2] for x in mine]))
        assert row["episode_length_mean"] == pytest.approx(np.mean([x[3] for x in mine]))
        assert np.median([x[2] for x in mine]) != pytest.approx(np.mean([x[2] for x in mine]))


def test_counters_and_units(dqn_run):
    for iteration in range(2):
        for phase in ("train", "eval"):
            for row in _metrics(dqn_run, phase)[2 * iteration : 2 * iteration + 2]:
                assert row["iteration"] == iteration
                assert row["agent_steps"] == 30 * (iteration + 1)
                assert row["frames"] == 5 * 30 * (iteration + 1)
                assert row["gradient_steps"] == (10, 25)[iteration]


def test_epsilon_is_that_of_the_iterations_end(dqn_run, rainbow_run):
    after_22_of_40_steps = 1 - 0.9 * 22 / 40
    expected = [after_22_of_40_steps] * 2 + [0.1] * 2
    assert [row["epsilon"] for row in _metrics(dqn_run, "train")] == pytest.approx(expected)
    assert {row["epsilon"] for row in _metrics(rainbow_run, "train")} == {0.0}  # noisy


@pytest.mark.parametrize("name", ["loss", "grad_norm", "q_mean"])
def test_losses_are_means_over_every_tenth_update_of_the_seed(dqn_run, name):
    updates = [event.returned[1][name] for event in dqn_run.of("update")]
    assert len(updates) == 25
    kept = {0: [updates[0]], 1: [updates[10], updates[20]]}
    rows = _metrics(dqn_run, "train")
    for iteration, values in kept.items():
        for place, row in enumerate(rows[2 * iteration : 2 * iteration + 2]):
            expected = np.mean([value[place] for value in values])
            assert row[name] == pytest.approx(expected, rel=1e-6)
    assert updates[10][0] != updates[10][1]
    assert updates[10][0] != updates[20][0]


def test_evaluation_rows_hold_no_losses(dqn_run):
    assert all("loss" not in row and "epsilon" not in row for row in _metrics(dqn_run, "eval"))
    assert len(_metrics(dqn_run, "eval")) == 4


def test_sparsity_is_counted_from_each_seeds_own_weights(dqn_run):
    """An unread layer holds as many zeros as chance gave the seed; nothing else is zero."""
    params = dqn_run.of("init")[0].returned.networks["q"].params["params"]
    layers = {
        "torso/Dense_0": params["torso"]["Dense_0"]["kernel"],
        "torso/Dense_1": params["torso"]["Dense_1"]["kernel"],
        "head": params["head"]["kernel"],
    }
    zeros = [int((layers["torso/Dense_1"][place] == 0).sum()) for place in (0, 1)]
    assert zeros[0] != zeros[1]
    size = sum(kernel[0].size for kernel in layers.values())
    for phase in ("train", "eval"):
        for row, own in zip(_metrics(dqn_run, phase)[:2], zeros, strict=True):
            assert row["sparsity"] == pytest.approx(own / size)
            expected = dict.fromkeys(layers, 0.0) | {"torso/Dense_1": own / 36}
            assert row["sparsity_by_layer"] == pytest.approx(expected)


def test_measurements_are_of_each_seeds_weights_after_the_iterations_that_ask_for_them(dqn_run):
    """Every second iteration: after the last of 25 updates, none copies the target later."""
    params = dqn_run.of("update")[-1].returned[0].networks["q"].params
    squares = sum((leaf.reshape(2, -1) ** 2).sum(axis=1) for leaf in jax.tree.leaves(params))
    rows = _metrics(dqn_run, "diagnostics")
    assert [(row["iteration"], row["seed"]) for row in rows] == [(1, 5), (1, 6)]
    assert [row["parameter_norm"] for row in rows] == pytest.approx(np.sqrt(squares))
    assert rows[0]["parameter_norm"] != pytest.approx(rows[1]["parameter_norm"])
    (path,) = (dqn_run.directory / "diagnostics").iterdir()
    assert path.name == "gradient_covariance_0001.npz"
    with np.load(path) as stored:
        assert stored["matrix"].shape == (2, 3, 3)
        assert (stored["seeds"].tolist(), int(stored["agent_steps"])) == ([5, 6], 60)
        for row, matrix in zip(rows, stored["matrix"], strict=True):
            others = np.abs(matrix[~np.eye(3, dtype=bool)]).mean()
            assert row["gradient_correlation"] == pytest.approx(others, rel=1e-5)


def test_nothing_is_measured_before_the_first_update(resumed_run):
    first, _ = resumed_run
    assert [row["gradient_steps"] for row in _metrics(first, "train")] == [0] * 4
    assert not _metrics(first, "diagnostics")


def test_speed_is_that_of_the_iterations_training(dqn_run, rainbow_run):
    for run in (dqn_run, rainbow_run):
        lines = (run.directory / "timing.jsonl").read_text().splitlines()
        speeds = [json.loads(line)["agent_steps_per_second"] for line in lines]
        assert speeds == pytest.approx([1 / STEP_SECONDS] * 4, rel=0.1)


_LINE = re.compile(
    r"iteration (\d)/\d (train|eval)  .* agent steps/s  return (\S+)  sparsity (\S+)  (\d+)%  "
    r"ETA (\d+):(\d\d):(\d\d)"
)


def _said(run):
    """(iteration, phase, return, sparsity, percentage, seconds left) of every line."""
    for line in run.said:
        iteration, phase, returned, sparsity, share, *clock = _LINE.fullmatch(line).groups()
        hours, minutes, seconds = map(int, clock)
        left = 3600 * hours + 60 * minutes + seconds
        yield int(iteration), phase, returned, sparsity, int(share), left


def test_progress_is_that_of_the_whole_run_and_of_the_iterations_episodes(dqn_run):
    """By the clock every step is worth a line; evaluation, of 7 steps, takes time as well."""
    lines = list(_said(dqn_run))
    steps = [t for i in range(2) for t in [*range(30 * i + 1, 30 * i + 31), *[30 * i + 30] * 9]]
    assert len(lines) == len(steps) == 2 * (30 + 1 + 7 + 1)
    zeros = np.mean([row["sparsity"] for row in _metrics(dqn_run, "train")[:2]])
    for t, (iteration, phase, returned, sparsity, share, left) in zip(steps, lines, strict=True):
        assert iteration == 1 + (t > 30)
        assert float(sparsity) == pytest.approx(zeros, abs=5e-4)
        assert share == pytest.approx(100 * t / 60, abs=0.51)
        if phase == "eval":
            continue
        first = 30 * (iteration - 1) + 1
        own = [x[2] for x in _episodes(dqn_run, range(first, t + 1))]
        assert returned == (f"{np.mean(own):.2f}" if own else "-")
        per_step = STEP_SECONDS * (t + 7 * (t > 30)) / t
        assert left == pytest.approx((60 - t) * per_step, rel=0.1)


def test_progress_shows_the_newest_hundred_episodes(resumed_run):
    first, _ = resumed_run
    returns = [x[2] for x in _episodes(first, range(1, 301))]
    assert len(returns) > 120
    newest, oldest = (f"{np.mean(own):.2f}" for own in (returns[-100:], returns[:100]))
    assert [line[2] for line in _said(first)][-1] == newest != oldest


def test_time_left_is_told_from_this_start_alone(resumed_run):
    first, second = resumed_run
    assert len(first.said) == 301
    for t, line in zip([*range(301, 601), 600], _said(second), strict=True):
        assert line[0] == 2
        assert line[5] == pytest.approx((600 - t) * STEP_SECONDS, rel=0.1)


def test_a_resumed_runs_events_are_kept_beside_the_earlier_ones(resumed_run):
    """TensorBoard forgets what a file's start event says is to be made again: 301 and later."""
    first, _ = resumed_run
    for seed in (5, 6):
        files = {path.name for path in (first.directory / "tensorboard" / f"seed_{seed}").iterdir()}
        assert {name.rpartition(".")[2] for name in files} == {"from_0", "from_300"}


def test_every_start_leaves_its_protocol(resumed_run):
    first, _ = resumed_run
    starts = json.loads((first.directory / "provenance.json").read_text())
    assert len(starts) == 2
    for start in starts:
        assert start["protocol"] == {"suite": "scripted", "max_steps_per_episode": 7}
