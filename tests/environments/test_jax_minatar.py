"""The twins in JAX against MinAtar itself: the same actions, and the same numbers drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.environments.jax_minatar import TWINS
from prune_rl.environments.minatar import create_minatar_environment

from .original_minatar import Original


def follow_the_ball(env, rng):
    """Catches nearly every ball, and so clears walls."""
    there = env.ball_x + (1 if env.ball_dir in (1, 2) else -1)
    return int(np.sign(env.pos - there)) % 3


def shoot(env, rng):
    """Goes below the nearest aliens and fires, and so clears waves."""
    columns = np.flatnonzero(env.alien_map.any(axis=0))
    ahead = columns[np.abs(columns - env.pos).argmin()] - env.pos
    if ahead == 0:
        return 3 if env.shot_timer == 0 else 0
    return 1 if ahead < 0 else 2


def cross(env, rng):
    return int(rng.choice(3, p=(0.1, 0.8, 0.1)))


def roam(env, rng):
    return int(rng.integers(5))


def dive(env, rng):
    """Fetches divers and brings them up; shoots now and then, turns where it is."""
    if rng.random() < 0.3:
        return int(rng.choice([1, 3, 5, 5]))
    if env.oxygen < 40 or env.diver_count == 6:
        return 2 if env.diver_count else int(rng.choice([1, 3, 4]))
    if not env.divers:
        return 4 if env.sub_y < 4 else int(rng.integers(6))
    x, y = env.divers[0][:2]
    if y != env.sub_y:
        return 4 if y > env.sub_y else 2 if env.sub_y > 1 else 0
    return 3 if x > env.sub_x else 1


def late_hour(env, rng):
    """As after a few surfacings, with some of the crew found."""
    env.ramp_index = int(rng.integers(0, 20))
    env.move_speed = max(2, 5 - env.ramp_index // 2)
    env.e_spawn_speed = 20 - env.ramp_index
    env.e_spawn_timer = min(env.e_spawn_timer, env.e_spawn_speed)
    env.diver_count = int(rng.integers(0, 7))


def few_aliens(env, rng):
    env.alien_map *= rng.random((10, 10)) < 0.2
    env.alien_map[2, 5] = 1
    env.enemy_move_interval = int(rng.integers(6, 13))
    env.ramp_index = 12 - env.enemy_move_interval


BEGINNINGS = {
    "seaquest": late_hour,
    "space_invaders": few_aliens,
}  # what chance would take long to come to
NUM_TICKS = {"asterix": 2000, "space_invaders": 2000}
POLICIES = {
    "asterix": (roam, 3),
    "breakout": (follow_the_ball, 1),
    "freeway": (cross, 1),
    "seaquest": (dive, 2),
    "space_invaders": (shoot, 3),
}


def twin_of(game):
    return create_minatar_environment(0, game).functional()


def numbers_of(twin, keys):
    """(T, draws) of each tick and (T, draws) of the reset after it, as the twin draws them."""
    split = jax.vmap(jax.random.split)(keys)
    counts = (1 + twin._rules.draws, twin._rules.first_draws)
    drawn = [
        jax.vmap(lambda key, n=n: jax.random.uniform(key, (n,)))(split[:, i])
        for i, n in enumerate(counts)
    ]
    return [np.asarray(x) for x in drawn]


def chosen(original, wished, numbers):
    """The wished action unless another lets the episode go on longer."""
    longest = {wished: original.survival(wished, numbers)}
    for action in range(len(original.actions)):
        if max(longest.values()) == len(numbers):
            break
        longest.setdefault(action, original.survival(action, numbers))
    return max(longest, key=longest.get)


def play_the_original(game, twin, keys):
    """(actions, states after a reset, what each tick showed), driven by the twin's numbers."""
    original, rng = Original(game), np.random.default_rng(0)
    policy, depth = POLICIES[game]
    begin = BEGINNINGS.get(game, lambda *_: None)
    ticks, firsts = numbers_of(twin, keys)
    actions, begun, shown, over = [], [], [], True
    for t, first in enumerate(firsts):
        if over:
            original.reset(first)
            begin(original.env, rng)
        begun.append(original.variables())
        action = policy(original.env, rng)
        if t < len(keys) * 2 // 3:
            action = chosen(original, action, ticks[t : t + depth])
        actions.append(action)
        reward, over = original.act(action, ticks[t])
        shown.append((original.variables(), original.frame(), reward, over))
    return np.array(actions), *(
        jax.tree.map(lambda *x: np.stack(x), *own) for own in (begun, shown)
    )


def play_the_twin(twin, keys, actions, begun):
    """What each tick shows; only where an episode starts is the original's state taken over."""

    def tick(carry, x):
        game, over = carry
        action, key, first = x
        game = jax.tree.map(lambda a, b: jnp.where(over, a, b), first, game)
        game, *shown = twin.step(game, action, jax.random.split(key)[0])
        return (game, shown[-1]), (game, *shown)

    start = jax.tree.map(lambda x: x[0], begun), jnp.bool_(True)
    return jax.jit(lambda: jax.lax.scan(tick, start, (actions, keys, begun))[1])()


def keys_of(count, seed=0):
    return jax.random.split(jax.random.PRNGKey(seed), count)


@pytest.mark.parametrize("game", TWINS)
def test_a_twin_plays_as_the_original_where_both_draw_the_same(game):
    twin, keys = twin_of(game), keys_of(NUM_TICKS.get(game, 3000))
    actions, begun, expected = play_the_original(game, twin, keys)
    played = play_the_twin(twin, keys, actions, begun)
    jax.tree.map(np.testing.assert_array_equal, played, expected)
    _, frames, rewards, terminated = played
    assert (frames.dtype, rewards.dtype, terminated.dtype) == (np.uint8, np.float32, bool)


@pytest.mark.parametrize("game", TWINS)
def test_a_twin_starts_as_the_original_and_keeps_the_last_action(game):
    twin, keys, original = twin_of(game), keys_of(200), Original(game)
    steps, resets = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    actions = np.arange(200) % len(original.actions)

    def start(action, step_key, reset_key):
        game, *_ = twin.step(twin.init(reset_key)[0], action, step_key)
        return twin.reset(game, reset_key)

    started = jax.jit(jax.vmap(start))(actions, steps, resets)
    for i, (ticks, firsts) in enumerate(zip(*numbers_of(twin, keys), strict=True)):
        original = Original(game)
        original.reset(firsts)
        original.act(actions[i], ticks)
        original.reset(firsts)
        own = jax.tree.map(lambda x, i=i: x[i], started)
        jax.tree.map(np.testing.assert_array_equal, own, (original.variables(), original.frame()))
    assert len(np.unique(started[0]["last_action"])) == len(original.actions)
