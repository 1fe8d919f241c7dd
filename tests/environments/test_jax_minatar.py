"""The twins in JAX against MinAtar itself: the same actions, and the same numbers drawn."""

import functools
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import minatar
import numpy as np
import pytest
from scipy.stats import chi2_contingency

from prune_rl.environments.games import MINATAR
from prune_rl.environments.jax_minatar import TWINS
from prune_rl.environments.minatar import create_minatar_environment
from prune_rl.errors import ConfigError

from . import minatar_policies
from .original_minatar import Original, to_arrays

NUM_TICKS = 2000  # of every call of the compiled play, so that there is one program per game


@functools.cache
def twin_of(game, sticky_actions=True):
    return create_minatar_environment(0, game, sticky_actions=sticky_actions).functional()


def keys_of(count, seed=0):
    return jax.random.split(jax.random.PRNGKey(seed), count)


def numbers_of(twin, keys):
    """(T, draws) of a tick and (T, draws) of a start with each key, as the twin draws them."""
    counts = (1 + twin._rules.draws, twin._rules.first_draws)
    draws = [jax.vmap(lambda key, n=n: jax.random.uniform(key, (n,))) for n in counts]
    return [np.asarray(draw(keys)) for draw in draws]


def chosen(original, wished, numbers):
    """The wished action, or another if the episode goes on for the next ticks only after that."""
    actions = (wished, *range(len(original.actions)))
    return next((action for action in actions if original.goes_on(action, numbers)), wished)


def play_the_original(game, keys, seed):
    """(actions, where episodes start, the states they start in, what ticks show)."""
    original, rng = Original(game), np.random.default_rng(seed)
    policy, begin, careful = minatar_policies.of(game)
    ticks, firsts = numbers_of(twin_of(game), keys)
    actions, starts, begun, shown, over = [], [], [], [], True
    for t, first in enumerate(firsts):
        starts.append(over)
        if over:
            original.reset(first)
            begin(original.env, rng)
        begun.append(original.variables())
        action = policy(original.env, rng)
        is_careful = rng.random() < careful
        actions.append(chosen(original, action, ticks[t : t + 2]) if is_careful else action)
        reward, over = original.act(actions[-1], ticks[t])
        shown.append((original.variables(), original.frame(), reward, over))
    stacked = [jax.tree.map(lambda *x: np.stack(x), *own) for own in (begun, shown)]
    return np.array(actions), np.array(starts), *stacked


@functools.cache
def compiled(game):
    """What ticks show; a state is taken from outside where an episode starts, and nowhere else."""

    def tick(own, x):
        action, starts, begun, key = x
        own = jax.tree.map(lambda a, b: jnp.where(starts, a, b), begun, own)
        own, *shown = twin_of(game).step(own, action, key)
        return own, (own, *shown)

    def play(actions, starts, begun, keys):
        first = jax.tree.map(lambda x: x[0], begun)
        return jax.lax.scan(tick, first, (actions, starts, begun, keys))[1]

    return jax.jit(play)


def compare(game, seed):
    """Returns the variables (T, ...) of an equal play, and where episodes ended."""
    keys = keys_of(NUM_TICKS, seed)
    actions, starts, begun, expected = play_the_original(game, keys, seed)
    played = compiled(game)(actions, starts, begun, keys)
    jax.tree.map(np.testing.assert_array_equal, played, expected)
    assert [x.dtype for x in played[1:]] == [np.uint8, np.float32, bool]
    return expected[0], expected[3]


def test_every_game_has_a_twin():
    assert tuple(TWINS) == MINATAR


@pytest.mark.parametrize("game", MINATAR)
def test_a_twin_plays_as_the_original_where_both_draw_the_same(game):
    variables, over = compare(game, 0)
    for name, extremes in minatar_policies.REACHED[game].items():
        assert (variables[name].min(), variables[name].max()) == extremes, name
    assert over.sum() > 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("game", MINATAR)
def test_a_twin_goes_on_playing_as_the_original(game, seed):
    compare(game, seed)


@pytest.mark.parametrize("game", MINATAR)
def test_a_twin_starts_as_the_original_and_keeps_the_last_action(game):
    twin, keys, original = twin_of(game), keys_of(100), Original(game)
    before = {"last_action": np.resize(original.actions, 100).astype(np.int32)}
    started, frames = jax.jit(jax.vmap(twin.reset))(before, keys)
    for i, numbers in enumerate(numbers_of(twin, keys)[1]):
        original.reset(numbers)
        expected = original.variables() | {"last_action": before["last_action"][i]}
        assert set(started) == set(expected)
        for name, x in started.items():
            np.testing.assert_array_equal(x[i], expected[name], name)
        np.testing.assert_array_equal(frames[i], original.frame())


def test_the_first_episode_starts_after_no_action():
    twin, key = twin_of("breakout"), jax.random.PRNGKey(4)
    first, again = twin.init(key), twin.reset({"last_action": jnp.int32(3)}, key)
    assert first[0].pop("last_action") == 0
    del again[0]["last_action"]
    jax.tree.map(np.testing.assert_array_equal, first, again)


# Of each game: draws of a tick as its variables show them afterwards, each on its own.
OUTCOMES = {
    "asterix": lambda own: ([tuple(x) for x in own["entities"] if x[0] in (0, 9)], own["player_x"]),
    "breakout": lambda own: (own["pos"],),
    "freeway": lambda own: (tuple(own["cars"][:2, 3]), tuple(own["cars"][6:, 3])),
    "seaquest": lambda own: (
        (tuple(own["e_subs"][0, :3]), tuple(own["e_fish"][0, :3])),
        tuple(own["divers"][0, :3]),
        own["sub_x"],
    ),
    "space_invaders": lambda own: (own["pos"],),
}


def make_due(env):
    """Whatever a tick may draw is due."""
    timers = ("spawn_timer", "e_spawn_timer", "d_spawn_timer", "move_timer")
    vars(env).update({name: 0 for name in timers if name in vars(env)})
    if hasattr(env, "entities"):
        env.entities[2], env.move_timer = [4, 3, True, False], 3
    if hasattr(env, "cars"):
        env.pos = 1


@pytest.mark.parametrize("game", MINATAR)
def test_outcomes_come_as_often_as_the_originals(game):
    """Its last action was none, the action is its first that moves the player."""
    theirs = minatar.Environment(game)
    theirs.seed(0)
    begun, theirs_after = [], []
    for _ in range(NUM_TICKS):
        theirs.reset()
        theirs.last_action = 0
        make_due(theirs.env)
        begun.append(to_arrays(theirs))
        theirs.act(theirs.minimal_action_set()[1])
        theirs_after.append(to_arrays(theirs))
    begun = jax.tree.map(lambda *x: np.stack(x), *begun)
    always = np.full(NUM_TICKS, 1), np.full(NUM_TICKS, True)
    ours = jax.tree.map(np.asarray, compiled(game)(*always, begun, keys_of(NUM_TICKS, 1))[0])
    ours_after = [{name: x[i] for name, x in ours.items()} for i in range(NUM_TICKS)]
    both = [list(zip(*map(OUTCOMES[game], own), strict=True)) for own in (theirs_after, ours_after)]
    for their_draws, our_draws in zip(*both, strict=True):
        counts = [Counter(map(str, draws)) for draws in (their_draws, our_draws)]
        outcomes = sorted(counts[0] | counts[1])
        assert len(outcomes) > 1
        table = [[count[outcome] for outcome in outcomes] for count in counts]
        assert chi2_contingency(table).pvalue > 0.01, table


def test_without_sticky_actions_none_sticks():
    twin = twin_of("breakout", sticky_actions=False)
    game = twin.init(jax.random.PRNGKey(0))[0]
    steps = jax.jit(jax.vmap(lambda key: twin.step(game, jnp.int32(1), key)[0]))(keys_of(200))
    assert (np.asarray(steps["pos"]) == game["pos"] - 1).all()


def test_a_twin_says_what_it_plays_and_by_what():
    host = create_minatar_environment(0, "breakout")
    twin = host.functional()
    assert twin.protocol == host.protocol | {"implementation": "pgx 2.6.0"}
    assert (twin.observation_spec, twin.action_spec) == (host.observation_spec, host.action_spec)


def test_without_pgx_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pgx", None)
    with pytest.raises(ConfigError, match=r"needs pgx: pip install 'prune_rl\[device\]'$"):
        create_minatar_environment(0, "breakout").functional()
