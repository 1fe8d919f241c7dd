"""S environments together: streams, truncation, automatic reset, and exact restoring."""

import numpy as np
import pytest

from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.batch import EnvironmentBatch

GAMES = ("Breakout", "breakout")


def _play(batch, actions):
    steps = [batch.step(row) for row in actions]
    return [np.stack(values) for values in zip(*steps, strict=True)]


@pytest.mark.parametrize("game", GAMES)
def test_a_seed_does_not_depend_on_its_neighbours(make_batch, random_actions, game):
    seeds = [11, 12, 13]
    together = make_batch(game, seeds, max_steps=60)
    actions = random_actions(together, seeds, 150)
    first = together.reset()
    played = _play(together, actions)
    for i, seed in enumerate(seeds):
        alone = make_batch(game, [seed], max_steps=60)
        np.testing.assert_array_equal(alone.reset()[0], first[i])
        for a, b in zip(_play(alone, actions[:, i : i + 1]), played, strict=True):
            np.testing.assert_array_equal(a[:, 0], b[:, i])
    assert (played[0][:, 0] != played[0][:, 1]).any()


@pytest.mark.parametrize("game", GAMES)
def test_restored_environments_go_on_to_the_bit(make_batch, random_actions, game):
    seeds = [1, 2]
    original = make_batch(game, seeds, max_steps=80)
    actions = random_actions(original, seeds, 260)
    original.reset()
    _play(original, actions[:70])
    state = original.get_state()
    expected = _play(original, actions[70:])
    assert expected[3].any() or expected[4].any()
    restored = make_batch(game, [8, 9], max_steps=80)
    restored.reset()
    restored.set_state(state)
    for a, b in zip(_play(restored, actions[70:]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_episode_is_cut_at_its_longest_length_and_a_new_one_starts(make_batch):
    batch = make_batch("Breakout", [3], max_steps=5)
    batch.reset()
    steps = [batch.step(np.array([1])) for _ in range(11)]
    assert [bool(step.truncated[0]) for step in steps] == 2 * ([False] * 4 + [True]) + [False]
    assert not any(step.terminated[0] for step in steps)
    for step in steps:
        # The last frame of the old episode and the first of the new one are both there.
        assert (step.next_frames != step.frames).any() == bool(step.truncated[0])


def test_a_game_that_ends_is_terminated_not_truncated(make_batch, random_actions):
    batch = make_batch("breakout", [3, 4])
    batch.reset()
    *_, terminated, truncated, _ = _play(batch, random_actions(batch, [3, 4], 400))
    assert terminated.sum(axis=0).min() > 3
    assert not truncated.any()


def test_terminal_at_the_last_allowed_step_is_terminal(make_batch):
    probe = make_batch("breakout", [0])
    probe.reset()
    length = 1
    while not probe.step(np.array([0])).terminated[0]:
        length += 1
    batch = make_batch("breakout", [0], max_steps=length)
    batch.reset()
    steps = [batch.step(np.array([0])) for _ in range(length)]
    assert steps[-1].terminated[0]
    assert not steps[-1].truncated[0]


def test_rewards_are_raw(random_actions):
    batch = EnvironmentBatch([create_atari_environment(0, "Qbert")], 27_000)
    batch.reset()
    rewards = _play(batch, random_actions(batch, [0], 300))[2]
    assert rewards.max() >= 25
    assert rewards.dtype == np.float32
