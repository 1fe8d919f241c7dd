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
    """The wished action, unless another lets the episode go on for more of the next ticks."""
    longest = {wished: original.survival(wished, numbers)}
    for action in range(len(original.actions)):
        if max(longest.values()) == len(numbers):
            break
        longest.setdefault(action, original.survival(action, numbers))
    return max(longest, key=longest.get)


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
    assert over.sum() >= (1 if game in ("breakout", "freeway") else 10)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 11))
@pytest.mark.parametrize("game", MINATAR)
def test_a_twin_goes_on_playing_as_the_original(game, seed):
    compare(game, seed)


@pytest.mark.parametrize("game", MINATAR)
def test_a_twin_starts_as_the_original_and_keeps_the_last_action(game):
    twin, keys, original = twin_of(game), keys_of(100), Original(game)
    actions = np.resize(original.actions, 100)

    @jax.jit
    @jax.vmap
    def start(action, key):
        game = twin.init(key)[0] | {"last_action": action}
        return twin.init(key), twin.reset(game, key)

    first, again = start(jnp.asarray(actions), keys)
    for i, numbers in enumerate(numbers_of(twin, keys)[1]):
        original.reset(numbers)
        frame, variables = original.frame(), original.variables()
        for (own, shown), last in ((first, 0), (again, actions[i])):
            expected = variables | {"last_action": last}
            jax.tree.map(np.testing.assert_array_equal, {k: x[i] for k, x in own.items()}, expected)
            np.testing.assert_array_equal(shown[i], frame)


# Of each game: what may be drawn on a tick, seen in its variables afterwards. An action sticks
# where the last one is not what was asked for.
OUTCOMES = {
    "asterix": lambda own: [tuple(row) for row in own["entities"] if row[0] in (0, 9)],
    "breakout": lambda own: own["pos"],
    "freeway": lambda own: tuple(own["cars"][:2, 3]),
    "seaquest": lambda own: (tuple(own["e_subs"][0, :3]), tuple(own["e_fish"][0, :3])),
    "space_invaders": lambda own: own["pos"],
}


def due(env):
    """Whatever a tick may draw is due."""
    own = {"spawn_timer": 0, "e_spawn_timer": 0, "d_spawn_timer": 0, "move_timer": 0}
    vars(env).update({name: x for name, x in own.items() if name in vars(env)})
    if hasattr(env, "entities"):
        env.entities[2] = [4, 3, True, False]
        env.move_timer = 3
    if hasattr(env, "cars"):
        env.pos = 1


@pytest.mark.parametrize("game", MINATAR)
def test_outcomes_come_as_often_as_the_originals(game):
    theirs, action, last = minatar.Environment(game), 1, 0
    theirs.seed(0)
    begun, expected = [], Counter()
    for _ in range(NUM_TICKS):
        theirs.reset()
        theirs.last_action = last
        due(theirs.env)
        begun.append(to_arrays(theirs))
        theirs.act(theirs.minimal_action_set()[action])
        expected[str(OUTCOMES[game](to_arrays(theirs)))] += 1
    begun = jax.tree.map(lambda *x: np.stack(x), *begun)
    steps = np.full(NUM_TICKS, action), np.full(NUM_TICKS, True)
    own = jax.tree.map(np.asarray, compiled(game)(*steps, begun, keys_of(NUM_TICKS))[0])
    each = ({name: x[i] for name, x in own.items()} for i in range(NUM_TICKS))
    counted = Counter(str(OUTCOMES[game](x)) for x in each)
    outcomes = sorted(expected | counted)
    table = [[counter[outcome] for outcome in outcomes] for counter in (expected, counted)]
    print(game, len(outcomes), chi2_contingency(table).pvalue)
    assert chi2_contingency(table).pvalue > 0.01


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
