"""Atari against ale-py's own vector environment and against a plain loop, pixel by pixel."""

import cv2
import numpy as np
import pytest
from ale_py import ALEInterface, LoggerMode, roms
from ale_py.vector_env import AtariVectorEnv

from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.games import ATARI_60, atari_roms
from prune_rl.errors import ConfigError

ALEInterface.setLoggerMode(LoggerMode.Error)


def _plain_game(rom, seed):
    """Machado et al. 2018 written straight down, ALE's own sticky actions; starts over at an end.

    Yields (pixels, reward, over) for each action, and the first pixels of an episode for None.
    """
    ale = ALEInterface()
    ale.setInt("random_seed", seed)
    ale.setFloat("repeat_action_probability", 0.25)
    ale.loadROM(roms.get_rom_path(rom))
    actions = ale.getMinimalActionSet()
    while True:
        ale.reset_game()
        older, newer = ale.getScreenGrayscale(), np.zeros(ale.getScreenDims(), np.uint8)
        reward, over = 0.0, False
        while not over:
            action = yield _area_resize(np.maximum(older, newer)), reward, over
            reward = 0.0
            for tick in range(4):
                reward += ale.act(actions[action])
                if tick == 2:
                    older = ale.getScreenGrayscale()
                if tick == 3:
                    newer = ale.getScreenGrayscale()
                over = ale.game_over()
                if over:
                    break
        yield _area_resize(np.maximum(older, newer)), reward, over


def _area_resize(pixels):
    return cv2.resize(pixels, (84, 84), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize(("game", "num_episodes"), [("Breakout", 4), ("Pong", 1), ("Qbert", 2)])
def test_whole_episodes_are_those_of_a_plain_loop(game, num_episodes):
    ours = create_atari_environment(3, game)
    theirs = _plain_game(atari_roms()[game], 3)
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(num_episodes):
        np.testing.assert_array_equal(ours.reset()[..., 0], next(theirs)[0])
        over = False
        while not over:
            action = int(rng.integers(ours.action_spec.num_actions))
            frame, reward, over = ours.step(action)
            expected, expected_reward, expected_over = theirs.send(action)
            np.testing.assert_array_equal(frame[..., 0], expected)
            assert (reward, over) == (expected_reward, expected_over)
            total += abs(reward)
    assert total > 0


@pytest.mark.parametrize("game", ["Breakout", "Pong", "Qbert"])
def test_play_restored_at_any_step_is_the_play_it_left(game):
    """ALE's own state lacks the action that may stick and, in Qbert, a half-drawn frame."""
    ours, restored = create_atari_environment(5, game), create_atari_environment(6, game)
    ours.reset()
    rng = np.random.default_rng(2)
    for _ in range(60):
        restored.reset()  # or it would still hold what the state lacks
        restored.set_state(ours.get_state())
        for action in rng.integers(ours.action_spec.num_actions, size=4).tolist():
            frame, reward, over = ours.step(action)
            again, reward_again, over_again = restored.step(action)
            np.testing.assert_array_equal(frame, again)
            assert (reward, over) == (reward_again, over_again)
            if over:
                np.testing.assert_array_equal(ours.reset(), restored.reset())


@pytest.mark.parametrize("game", ["Pong", "Seaquest"])
def test_pixels_and_rewards_are_those_of_the_vector_environment(game):
    vector = AtariVectorEnv(
        atari_roms()[game],
        num_envs=1,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        repeat_action_probability=0.25,
    )
    stack, _ = vector.reset(seed=np.array([7]))
    ours = create_atari_environment(7, game)
    np.testing.assert_array_equal(ours.reset()[..., 0], stack[0, -1])
    rng = np.random.default_rng(1)
    for _ in range(400):
        action = int(rng.integers(ours.action_spec.num_actions))
        stack, rewards, terminated, _, _ = vector.step(np.array([action]))
        frame, reward, over = ours.step(action)
        np.testing.assert_array_equal(frame[..., 0], stack[0, -1])
        assert (reward, over) == (rewards[0], terminated[0])
        if over:
            break
    vector.close()


def test_a_lost_life_does_not_end_an_episode():
    environment = create_atari_environment(0, "Breakout")
    environment.reset()
    lives, over = {environment._ale.lives()}, False
    rng = np.random.default_rng(0)
    while not over:
        _, _, over = environment.step(int(rng.integers(environment.action_spec.num_actions)))
        lives.add(environment._ale.lives())
    assert lives == {0, 1, 2, 3, 4, 5}


def test_a_quarter_of_the_actions_stick():
    """The same actions end alike whatever the seed, unless some of them stick."""
    runs = []
    for seed, sticky in [(1, True), (2, True), (1, False), (2, False)]:
        environment = create_atari_environment(seed, "Pong", sticky_actions=sticky)
        environment.reset()
        for t in range(120):
            frame, _, _ = environment.step(t % environment.action_spec.num_actions)
        runs.append(frame)
        assert environment.protocol["sticky_action_probability"] == (0.25 if sticky else 0.0)
    assert (runs[0] != runs[1]).any()
    np.testing.assert_array_equal(runs[2], runs[3])


def test_every_game_of_the_60_loads_with_its_minimal_actions():
    for game in ATARI_60:
        environment = create_atari_environment(0, game)
        assert 3 <= environment.action_spec.num_actions <= 18
    assert create_atari_environment(0, "Pong").action_spec.num_actions == 6
    assert create_atari_environment(0, "Breakout").action_spec.num_actions == 4


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        ("Pongg", "did you mean 'Pong'?"),
        ("ms_pacman", "did you mean 'MsPacman'?"),
        (None, "create_atari_environment.game_name: not set"),
        (3, "create_atari_environment.game_name=3"),
    ],
)
def test_an_unknown_game_names_the_binding_and_the_nearest(game, expected):
    with pytest.raises(ConfigError) as caught:
        create_atari_environment(0, game)
    assert expected in str(caught.value)


def test_sticky_actions_is_a_boolean():
    with pytest.raises(ConfigError, match="sticky_actions"):
        create_atari_environment(0, "Pong", sticky_actions=0.25)
