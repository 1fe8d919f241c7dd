"""Evaluations that stop and go on; what they play, and for how long, is in tests/wiring."""

from types import SimpleNamespace

import numpy as np
import pytest

from prune_rl.acting.episodes import EpisodeTracker
from prune_rl.acting.evaluation import Evaluation
from prune_rl.environments.batch import EnvironmentBatch, EnvironmentFailed, Step
from prune_rl.environments.minatar import MinAtarEnvironment
from prune_rl.state import flatten, unflatten


class ScriptedPolicy:
    """Actions that depend on parameters, keys and all of the observations; keys count calls."""

    def __init__(self):
        self.calls = 0

    def exploit(self, params, keys, observations):
        self.calls += 1
        words = np.asarray(keys)
        seen = observations.reshape(len(words), -1).astype(np.int64)
        seen = (seen * np.arange(1, seen.shape[1] + 1)).sum(axis=1)
        return (seen + words.sum(axis=1).astype(np.int64) * params) % 3, words + np.uint32([1, 1])


class FlakyGame(MinAtarEnvironment):
    """Raises once, before its step of that number."""

    def __init__(self, seed, fails_at=None):
        super().__init__(seed, "breakout", sticky_actions=True)
        self.steps, self.fails_at = 0, fails_at

    def step(self, action):
        if self.steps == self.fails_at:
            self.fails_at = None
            raise OSError("unplugged")
        self.steps += 1
        return super().step(action)


def _evaluation(seeds=(1, 2, 3), keys=((5, 6), (7, 8), (9, 1)), fails_at=(), **enough):
    fails_at = [*fails_at, *[None] * len(seeds)]
    games = [FlakyGame(*x) for x in zip(seeds, fails_at, strict=False)]
    return Evaluation(
        ScriptedPolicy(),
        EnvironmentBatch(games, max_steps_per_episode=13),
        params=4,
        keys=np.array(keys, np.uint32),
        **enough,
    )


def _rest(evaluation):
    rows = []
    while not evaluation.done:
        rows.append(evaluation.step())
    return rows


def _restored(states, **enough):
    other = _evaluation(seeds=(11, 12, 13), keys=((0, 0),) * 3, **enough)
    arrays = [{name: np.array(x) for name, x in flatten(state).items()} for state in states]
    other.set_state([unflatten(own) for own in arrays])
    return other


ENOUGH = [{"num_steps": 25}, {"num_episodes": 4}, {"num_steps": 9, "num_episodes": 2}]


@pytest.mark.parametrize("enough", ENOUGH)
def test_one_that_stops_after_any_step_goes_on_to_the_bit(enough):
    whole = _evaluation(**enough)
    whole.start()
    expected = _rest(whole)
    assert len({x.length for episodes in expected for x in episodes}) > 1
    for stop in range(len(expected)):
        first = _evaluation(**enough)
        first.start()
        played = [first.step() for _ in range(stop)]
        states = first.get_state()
        assert played + _rest(_restored(states, **enough)) == expected
        assert played + _rest(first) == expected


def test_a_restored_one_does_not_start_its_games_anew():
    first = _evaluation(num_steps=9)
    first.start()
    states, resets = first.get_state(), []
    other = _evaluation(num_steps=9)
    other._environments.reset = lambda: resets.append(1)
    other.set_state(states)
    other.step()
    assert not resets


def test_one_that_is_done_is_done_when_restored():
    first = _evaluation(num_steps=9)
    first.start()
    _rest(first)
    assert _restored(first.get_state(), num_steps=9).done


@pytest.mark.parametrize("through_a_state", [False, True])
def test_one_whose_game_raises_goes_on_as_if_it_had_not(through_a_state):
    whole, flaky = (_evaluation(fails_at=x, num_episodes=3) for x in ((), (4, 4, 17)))
    for own in (whole, flaky):
        own.start()
    rows, raised = [], 0
    while not flaky.done:
        try:
            rows.append(flaky.step())
        except EnvironmentFailed:
            raised += 1
            assert raised < 4
            assert all("actions" in state for state in flaky.get_state())
            if through_a_state:
                flaky = _restored(flaky.get_state(), num_episodes=3)
    expected = _rest(whole)
    assert rows == expected
    assert raised == (1 if through_a_state else 2)  # two games raise at once
    if not through_a_state:
        assert flaky._policy.calls == len(expected)
    assert all("actions" not in state for state in flaky.get_state())


def test_it_closes_its_games():
    closed = []
    spec = FlakyGame(0).observation_spec
    games = SimpleNamespace(observation_spec=spec, close=lambda: closed.append(1))
    Evaluation(ScriptedPolicy(), games, params=0, keys=np.zeros((2, 2), np.uint32)).close()
    assert closed == [1]


def test_returns_and_lengths_so_far_are_those_of_each_seed():
    flags = {name: np.array([False, True, False]) for name in ("terminated", "truncated")}
    flags["truncated"] = flags["life_lost"] = np.zeros(3, bool)
    tracker, rewards = EpisodeTracker(3), np.float32([0.5, 2, -1])
    frames = np.zeros((3, 1))
    for _ in range(2):
        tracker.add(Step(frames, frames, rewards, **flags))
    states = tracker.get_state()
    assert states == [
        {"return": 1.0, "length": 2},
        {"return": 0.0, "length": 0},
        {"return": -2.0, "length": 2},
    ]
    dtypes = {(state["return"].dtype.name, state["length"].dtype.name) for state in states}
    assert dtypes == {("float64", "int64")}
    other = EpisodeTracker(3)
    other.set_state(states)
    assert other.add(Step(frames, frames, rewards, **flags)) == [(1, 2.0, 1, True)]
    assert other.get_state()[2] == {"return": -3.0, "length": 3}
