"""MinAtar against the package itself, driven by hand with the same seed."""

import minatar
import numpy as np
import pytest

from prune_rl.environments.games import MINATAR
from prune_rl.environments.minatar import create_minatar_environment
from prune_rl.errors import ConfigError


@pytest.mark.parametrize("game", MINATAR)
def test_play_is_that_of_the_package(game):
    ours = create_minatar_environment(3, game)
    theirs = minatar.Environment(game, sticky_action_prob=0.1)
    theirs.seed(3)
    theirs.reset()
    actions = theirs.minimal_action_set()
    np.testing.assert_array_equal(ours.reset(), 255 * theirs.state().astype(np.uint8))
    rng, over, steps = np.random.default_rng(0), False, 0
    while not over and steps < 500:
        action = int(rng.integers(len(actions)))
        frame, reward, over = ours.step(action)
        expected_reward, expected_over = theirs.act(actions[action])
        np.testing.assert_array_equal(frame, 255 * theirs.state().astype(np.uint8))
        assert (reward, over) == (expected_reward, expected_over)
        steps += 1
    assert frame.dtype == np.uint8
    assert frame.shape == ours.observation_spec.frame_shape


def test_a_tenth_of_the_actions_stick_and_can_be_turned_off():
    positions = {}
    for sticky in (True, False):
        moved = 0
        for seed in range(300):
            environment = create_minatar_environment(seed, "breakout", sticky_actions=sticky)
            start = environment.reset()
            # Action 1 is left; a stuck one repeats the no-op before it.
            moved += int((environment.step(1)[0][9, :, 0] != start[9, :, 0]).any())
        positions[sticky] = moved
    assert positions[False] == 300
    assert 250 <= positions[True] <= 288


def test_seeds_play_games_of_their_own():
    """Where the ball of Breakout starts, and which actions stick, under the same actions."""
    plays = []
    for seed in range(8):
        game = create_minatar_environment(seed, "breakout")
        plays.append([game.reset(), *(game.step(1 + t % 2)[0] for t in range(12))])
    assert len(np.unique(np.array(plays).reshape(8, -1), axis=0)) > 4


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        ("Breakout", "did you mean 'breakout'?"),
        ("SpaceInvaders", "did you mean 'space_invaders'?"),
        (None, "create_minatar_environment.game_name: not set"),
    ],
)
def test_an_unknown_game_names_the_binding_and_the_nearest(game, expected):
    with pytest.raises(ConfigError) as caught:
        create_minatar_environment(0, game)
    assert expected in str(caught.value)
