"""Lost lives and no-ops: the protocol of Atari 100k."""

import numpy as np
import pytest

from prune_rl.acting.episodes import EpisodeTracker
from prune_rl.environments.atari import create_atari_environment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.stack import FrameStack
from prune_rl.errors import ConfigError

FIRE = 1


def play(environment, num_steps, seed=0):
    """(rewards, game overs, lost lives) of random play that starts every ball."""
    rng, rows = np.random.default_rng(seed), []
    num_actions = environment.action_spec.num_actions
    environment.reset()
    for _ in range(num_steps):
        action = FIRE if rng.random() < 0.2 else int(rng.integers(num_actions))
        _, reward, over = environment.step(action)
        rows.append((reward, over, environment.life_lost))
        if over:
            environment.reset()
    return np.array(rows)


def test_a_game_of_breakout_has_five_lives_of_which_the_last_ends_it():
    environment = create_atari_environment(
        0, "Breakout", sticky_actions=False, terminal_on_life_loss=True
    )
    rows = play(environment, 1_500)
    ends = np.flatnonzero(rows[:, 1])
    assert len(ends) >= 2
    lives = [int(part[:, 2].sum()) for part in np.split(rows, ends + 1)[:-1]]
    assert set(lives) == {4}
    assert not (rows[:, 1].astype(bool) & rows[:, 2].astype(bool)).any()


def test_lives_are_not_looked_at_unless_asked():
    assert not play(create_atari_environment(0, "Breakout"), 600)[:, 2].any()


def test_a_lost_life_restarts_the_stack_but_not_the_episode():
    batch = EnvironmentBatch(
        [create_atari_environment(0, "Breakout", terminal_on_life_loss=True)], 27_000
    )
    stack, tracker = FrameStack(1, batch.observation_spec), EpisodeTracker(1)
    stack.reset(batch.reset())
    lost = 0
    for _ in range(400):
        step = batch.step(np.array([FIRE]))
        if step.life_lost[0]:
            lost += 1
            assert not step.terminated[0]
            np.testing.assert_array_equal(step.frames, step.next_frames)
            assert not tracker.add(step)
        elif step.terminated[0]:
            (episode,) = tracker.add(step)
            assert episode.length > 100
            break
        else:
            assert not tracker.add(step)
    assert lost == 4


def _numbers_of_noops(seed, num_episodes):
    """By the frame that episodes of Ms. Pac-Man start with, which without sticking is known."""
    plain = create_atari_environment(0, "MsPacman", sticky_actions=False)
    frames = [plain.reset()]
    frames += [plain.step(0)[0] for _ in range(40)]
    noops = create_atari_environment(seed, "MsPacman", sticky_actions=False, max_noops=30)
    numbers = []
    for _ in range(num_episodes):
        first = noops.reset()
        matches = [i for i, frame in enumerate(frames) if (frame == first).all()]
        assert matches
        numbers.append(matches[0])
    return numbers


def test_noops_start_an_episode_somewhere_in_the_first_thirty_steps():
    lengths = _numbers_of_noops(0, 25)
    assert max(lengths) < 30
    assert len(set(lengths)) > 8


def test_a_seed_draws_noops_of_its_own_and_not_from_its_sticky_actions():
    """Sticky actions are drawn from RandomState(seed), see test_atari.py."""
    numbers = [_numbers_of_noops(seed, 4) for seed in range(6)]
    assert len(set(map(tuple, numbers))) == 6
    assert numbers[3] == _numbers_of_noops(3, 4)
    first = [own[0] for own in numbers]
    shared = [np.random.RandomState(seed).randint(30) for seed in range(6)]
    assert sum(a == b for a, b in zip(first, shared, strict=True)) < 3


def test_noops_do_not_change_which_actions_stick():
    """Where the number drawn is 0, as for half of the seeds, the game is that without no-ops."""

    def play_of(seed, max_noops):
        game = create_atari_environment(seed, "Breakout", max_noops=max_noops)
        return np.array([game.reset(), *(game.step(t % 4)[0] for t in range(60))])

    assert any((play_of(seed, 0) == play_of(seed, 2)).all() for seed in range(8))


def test_noops_and_lives_resume():
    def make():
        return create_atari_environment(3, "Breakout", terminal_on_life_loss=True, max_noops=30)

    first, second = make(), make()
    play(first, 137, seed=1)
    second.set_state(first.get_state())
    for _ in range(3):
        np.testing.assert_array_equal(first.reset(), second.reset())
        for step in range(120):
            results = [own.step(FIRE if step % 5 == 0 else 2) for own in (first, second)]
            np.testing.assert_array_equal(results[0][0], results[1][0])
            assert results[0][1:] == results[1][1:]
            assert first.life_lost == second.life_lost


@pytest.mark.parametrize(
    ("name", "value"), [("max_noops", -1), ("max_noops", 2.5), ("terminal_on_life_loss", 1)]
)
def test_a_wrong_value_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=f"^create_atari_environment.{name}="):
        create_atari_environment(0, "Pong", **{name: value})
