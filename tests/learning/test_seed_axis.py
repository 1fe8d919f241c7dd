"""The seed axis: strategies agree, and no seed knows how many others there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.seed_axis import (
    STRATEGIES,
    Separate,
    default_strategy,
    laid_out,
    map_seeds,
    split_seeds,
    where_mapped,
)
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.specs import Discrete, ObservationSpec

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

SHAPE = (1, 10, 10, 4)
TINY_SHAPE = (2, 3, 3, 1)


def assert_trees_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def assert_trees_close(actual, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), actual, expected
    )


def seeds_of(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def train(learner, seeds, batches, observations):
    """Three updates and an action; everything that has a seed axis, stacked, on the host."""
    state = learner.init(seeds)
    for batch in batches:
        state, metrics, _ = learner.update(state, batch)
    actions, keys = learner.act(state.params, state.keys, observations, 0.5)
    network = stacked(state, learner.state_axes).networks["q"]
    inner = network.opt_state.inner_state
    return jax.device_get((network.params, inner, *map(stacked, (metrics, actions, keys))))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_shared_and_own_arrays(strategy):
    """NumPy by hand: axes None in and out, an empty subtree, a scalar shared by all seeds."""

    def function(own, shared):
        return {"sum": own["x"] + shared, "none": None}, shared + 1

    over_seeds = map_seeds(function, ({"x": 0, "none": 0}, None), (0, None))
    x = np.arange(6.0).reshape(3, 2)
    own = laid_out([{"x": row, "none": None} for row in x], 0, strategy)
    result, count = over_seeds(own, 5)
    assert isinstance(result, Separate) == isinstance(count, Separate) == (strategy == "unroll")
    result = stacked(result)
    np.testing.assert_array_equal(result["sum"], x + 5)
    assert result["none"] is None
    counts = count.trees if strategy == "unroll" else [count]
    assert [(int(own), own.shape) for own in counts] == [(6, ())] * len(counts)


def test_unrolled_results_are_the_same_bits_for_any_number_of_seeds(make_learner, make_batch):
    learner = make_learner("unroll", torso=MinAtarTorso(), shape=SHAPE)
    batches = [make_batch(2, seed, SHAPE) for seed in range(3)]
    observations = batches[0].s_tm1[:, 0]
    together = train(learner, [5, 6], batches, observations)
    for i in range(2):
        own = [jax.tree.map(lambda field, i=i: field[i : i + 1], batch) for batch in batches]
        alone = train(learner, [5 + i], own, observations[i : i + 1])
        assert_trees_equal(seeds_of(together, slice(i, i + 1)), alone)


def test_vmapped_results_hardly_depend_on_the_number_of_seeds(make_learner, make_batch):
    learner = make_learner("vmap", torso=MinAtarTorso(), shape=SHAPE)
    batches = [make_batch(2, seed, SHAPE) for seed in range(3)]
    observations = batches[0].s_tm1[:, 0]
    *together, actions, keys = train(learner, [5, 6], batches, observations)
    own = [jax.tree.map(lambda field: field[1:2], batch) for batch in batches]
    *alone, action, key = train(learner, [6], own, observations[1:2])
    np.testing.assert_array_equal([actions[1:2], keys[1:2, 0]], [action, key[:, 0]])
    assert_trees_close([seeds_of(tree, slice(1, 2)) for tree in together], alone)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_weights_and_keys_at_the_start_do_not_depend_on_the_number_of_seeds(make_learner, strategy):
    learner = make_learner(strategy)
    of_both = (learner.init([1, 2, 3]), learner.init([2]))
    together, alone = (stacked(own, learner.state_axes) for own in of_both)
    for name in ("params", "target_params"):
        second = seeds_of(getattr(together.networks["q"], name), slice(1, 2))
        assert_trees_equal(second, getattr(alone.networks["q"], name))
    np.testing.assert_array_equal(together.keys[1:2], alone.keys)


def test_strategies_agree(make_learner, make_batch):
    batches = [make_batch(2, seed, SHAPE) for seed in range(3)]
    results = [
        train(
            make_learner(s, torso=MinAtarTorso(), shape=SHAPE),
            [0, 1],
            batches,
            batches[0].s_t[:, 0],
        )
        for s in STRATEGIES
    ]
    assert_trees_close(*results)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_one_seed_sees_nothing_of_another(make_learner, make_batch, strategy):
    learner = make_learner(strategy)
    batch, other = make_batch(3, seed=0), make_batch(3, seed=1)
    mixed = jax.tree.map(lambda a, b: np.stack([a[0], b[1], a[2]]), batch, other)
    results = [
        jax.device_get(stacked(learner.update(learner.init([0, 1, 2]), b)[0].params))
        for b in (batch, mixed)
    ]
    assert_trees_equal(seeds_of(results[0], [0, 2]), seeds_of(results[1], [0, 2]))
    changed = jax.tree.map(lambda a, b: (a[1] != b[1]).any(), *results)
    assert all(jax.tree.leaves(changed))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_compiles_twice(make_learner, make_batch, strategy):
    """For either way that seeds may lie, one program of each, whatever the step and the number."""
    learner, compiled = make_learner(strategy), []
    state, observations = learner.init([0, 1]), np.zeros((2, *TINY_SHAPE), np.uint8)
    for step in range(3):
        state, *_ = learner.update(learner.sync_target(state), make_batch(2, step))
        _, keys = learner.act(state.params, state.keys, observations, 0.1 * step)
        state = state.replace(keys=keys)
        functions = (learner.act, learner.update, learner.sync_target)
        compiled.append([[own._cache_size() for own in x.programs] for x in functions])
    assert compiled == [[[1, 0] if strategy == "unroll" else [0, 1]] * 3] * 3


@pytest.mark.parametrize("torso", ["NatureTorso", "ImpalaTorso", "MinAtarTorso", "TheirTorso"])
@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
def test_seeds_are_unrolled_where_that_was_measured_to_be_faster(backend, torso):
    """The two large networks on a CPU (python -m benchmarks), and one seed anywhere."""
    large = torso in ("NatureTorso", "ImpalaTorso")
    several = "unroll" if backend == "cpu" and large else "vmap"
    found = [default_strategy(backend, torso, num_seeds) for num_seeds in (1, 2, 5)]
    assert found == ["unroll", several, several]


@pytest.mark.parametrize("kind", [DQNAgent, RainbowAgent])
@pytest.mark.parametrize(
    ("torso", "asked", "of_one", "of_two"),
    [
        (MinAtarTorso(), "auto", "unroll", "vmap"),
        (NatureTorso(), "auto", "unroll", "unroll"),
        (MinAtarTorso(), "unroll", "unroll", "unroll"),
        (NatureTorso(), "vmap", "vmap", "vmap"),
    ],
)
def test_a_learner_maps_seeds_as_it_was_asked_to(monkeypatch, kind, torso, asked, of_one, of_two):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    agent = kind(torso=torso, seed_strategy=asked)
    optimizers = create_optimizers(agent.networks, 10, 10)
    learner = agent.learner(ObservationSpec((10, 10, 4)), Discrete(3), optimizers)
    assert [learner.strategy(1), learner.strategy(2)] == [of_one, of_two]


def test_a_shared_count_stays_unbatched_under_vmap():
    """So a condition on it stays a branch, of which only one side is computed."""

    def function(x, count):
        return jax.lax.cond(count > 3, jnp.sin, jnp.cos, x), count + 1

    over_seeds = map_seeds(function, (0, None), (0, None))
    assert "cond" in str(jax.make_jaxpr(over_seeds)(jnp.ones(2), 0))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_choice_by_seed_leaves_what_seeds_share_to_the_other(strategy):
    axes = {"own": 0, "shared": None, "none": 0}

    def choose(condition, one, other):
        return where_mapped(condition, one, other, axes)

    one = {"own": np.array([[1, 2], [3, 4]]), "shared": np.array(5), "none": None}
    other = {"own": np.array([[10, 20], [30, 40]]), "shared": np.array(50), "none": None}
    over_seeds = map_seeds(choose, (0, axes, axes), axes)
    lying = [laid_out(split_seeds(tree, axes), axes, strategy) for tree in (one, other)]
    chosen = stacked(over_seeds(np.array([True, False]), *lying), axes)
    assert chosen["own"].tolist() == [[1, 2], [30, 40]]
    assert (int(chosen["shared"]), chosen["none"]) == (50, None)
