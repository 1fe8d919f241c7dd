"""`Play` against what `EnvironmentBatch` does with the same scripted game."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.environments.functional import FunctionalStep, Play
from prune_rl.specs import Discrete, ObservationSpec

_SPEC = {"observation_spec": ObservationSpec((1, 1, 3)), "action_spec": Discrete(9)}


class Counting:
    """Ends when actions sum to 10; shows (episode, step, sum), rewards the action / 2."""

    observation_spec, action_spec = _SPEC.values()
    frame_skip, protocol = 3, {"game": "counting"}

    def init(self, key):
        return self._shown(jnp.array([0, 0, 0]))

    def reset(self, game, key):
        return self._shown(jnp.array([game[0] + 1, 0, 0]))

    def step(self, game, action, key):
        game = game + jnp.array([0, 1, action])
        return *self._shown(game), jnp.float32(action / 2), game[2] >= 10

    @staticmethod
    def _shown(game):
        return game, game.astype(jnp.uint8).reshape(1, 1, 3)


class CountingOnHost:
    """The same for a batch."""

    observation_spec, action_spec = _SPEC.values()
    frame_skip, protocol = 3, {"game": "counting"}
    steps_off_gil = life_lost = False

    def __init__(self):
        self._game = [-1, 0, 0]

    def reset(self):
        self._game = [self._game[0] + 1, 0, 0]
        return self._frame()

    def step(self, action):
        self._game[1:] = self._game[1] + 1, self._game[2] + action
        return self._frame(), action / 2, self._game[2] >= 10

    def _frame(self):
        return np.array(self._game, np.uint8).reshape(1, 1, 3)


class Drawing(Counting):
    """Shows bits of its keys."""

    def init(self, key):
        return self._drawn(key)

    def reset(self, game, key):
        return self._drawn(key)

    def step(self, game, action, key):
        return *self._drawn(key), jnp.float32(0), action == 1

    @staticmethod
    def _drawn(key):
        bits = jnp.stack([key[0], key[1], key[0] >> 8])
        return jnp.int32(0), bits.astype(jnp.uint8).reshape(1, 1, 3)


@functools.partial(jax.jit, static_argnums=0)
def played(play, actions, key):
    """(first frame, steps) of T actions in one program."""
    state, first = play.reset(key)
    keys = jax.random.split(key, len(actions))
    return first, jax.lax.scan(lambda state, x: play.step(state, *x), state, (actions, keys))[1]


@pytest.mark.parametrize("longest", [1, 4, 5, 100])
def test_a_play_is_that_of_the_batch(longest):
    """With episodes that end by the game, at their longest, and by both in the same step."""
    actions = np.random.default_rng(0).integers(0, 5, 200).astype(np.int32)
    first, steps = played(Play(Counting(), longest), actions, jax.random.PRNGKey(0))
    batch = EnvironmentBatch([CountingOnHost()], longest)
    np.testing.assert_array_equal(first, batch.reset()[0])
    expected = [batch.step(np.array([action])) for action in actions]
    for name in FunctionalStep._fields:
        theirs = {"next_frame": "next_frames", "frame": "frames", "reward": "rewards"}
        whole = np.concatenate([getattr(step, theirs.get(name, name)) for step in expected])
        ours = getattr(steps, name)
        np.testing.assert_array_equal(ours, whole, name)
        assert ours.dtype == whole.dtype
    assert steps.terminated.any() == (longest > 1)
    assert steps.truncated.any() == (longest < 100)


def test_a_play_says_of_its_game_what_a_batch_says():
    play, batch = Play(Counting(), 7), EnvironmentBatch([CountingOnHost()], 7)
    for name in ("observation_spec", "action_spec", "frame_skip", "protocol"):
        assert getattr(play, name) == getattr(batch, name)


def test_seeds_side_by_side_play_as_each_alone():
    actions = np.random.default_rng(0).integers(0, 5, (3, 50)).astype(np.int32)
    keys, play = jax.random.split(jax.random.PRNGKey(0), 3), Play(Drawing(), 20)
    together = jax.vmap(functools.partial(played, play))(actions, keys)
    alone = [played(play, a, key) for a, key in zip(actions, keys, strict=True)]
    jax.tree.map(lambda x, *xs: np.testing.assert_array_equal(x, xs), together, *alone)


def test_a_step_and_the_start_after_it_draw_apart():
    """Also starts of different steps."""
    _, steps = played(Play(Drawing(), 100), np.ones(20, np.int32), jax.random.PRNGKey(0))
    frames = np.concatenate([steps.next_frame, steps.frame]).reshape(40, 3)
    assert len(np.unique(frames, axis=0)) == 40
