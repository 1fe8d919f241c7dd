"""The twins in JAX against MinAtar itself: the same actions, and the same numbers drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.environments.jax_minatar import TWINS
from prune_rl.environments.minatar import create_minatar_environment

from .original_minatar import Original


def follow_the_ball(original, rng):
    """Catches nearly every ball; clears walls."""
    ball, paddle = original.env.ball_x, original.env.pos
    return int(rng.integers(3)) if rng.random() < 0.05 else int(np.sign(paddle - ball)) % 3


POLICIES = {"breakout": follow_the_ball}


def twin_of(game):
    return create_minatar_environment(0, game).functional()


def play_the_original(game, twin, keys, choose):
    """What the package does, driven by the twin's numbers: actions, and what each step showed."""
    original, rng = Original(game), np.random.default_rng(0)
    step_keys, reset_keys = (
        np.asarray(x) for x in jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    )
    draws = jax.vmap(lambda key: jax.random.uniform(key, (1 + twin._rules.draws,)))(step_keys)
    firsts = jax.vmap(lambda key: jax.random.uniform(key, (twin._rules.first_draws,)))(reset_keys)
    draws, firsts = np.asarray(draws), np.asarray(firsts)
    original.reset(firsts[0])
    actions, steps = [], []
    for numbers, first in zip(draws, firsts, strict=True):
        actions.append(choose(original, rng))
        reward, terminated = original.act(actions[-1], numbers)
        steps.append((original.variables(), original.frame(), reward, terminated))
        if terminated:
            original.reset(first)
    return np.array(actions), jax.tree.map(lambda *x: np.stack(x), *steps)


def play_the_twin(twin, keys, actions):
    def tick(game, x):
        action, key = x
        step_key, reset_key = jax.random.split(key)
        game, frame, reward, terminated = twin.step(game, action, step_key)
        new, _ = twin.reset(game, reset_key)
        goes_on = jax.tree.map(lambda a, b: jnp.where(terminated, a, b), new, game)
        return goes_on, (game, frame, reward, terminated)

    game, _ = twin.init(jax.random.split(keys[0])[1])
    return jax.jit(lambda: jax.lax.scan(tick, game, (actions, keys))[1])()


@pytest.mark.parametrize("game", TWINS)
def test_a_twin_plays_as_the_original_where_both_draw_the_same(game):
    twin, keys = twin_of(game), jax.random.split(jax.random.PRNGKey(0), 4000)
    actions, expected = play_the_original(game, twin, keys, POLICIES[game])
    played = play_the_twin(twin, keys, actions)
    jax.tree.map(np.testing.assert_array_equal, played, expected)
    assert played[1].dtype == np.uint8
    assert played[2].dtype == np.float32
    assert 5 < expected[3].sum() < 200  # episodes
