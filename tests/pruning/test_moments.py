import jax
import jax.numpy as jnp
import optax

from prune_rl.pruning.moments import map_moments

_PARAMS = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}


def test_moments_of_any_chain_are_found_and_counts_are_not():
    optimizer = optax.chain(
        optax.add_decayed_weights(0.1), optax.adam(optax.linear_schedule(1, 0, 5)), optax.trace(0.9)
    )
    state = optimizer.init(_PARAMS)
    seen = []

    def mark(tree):
        seen.append(tree)
        return jax.tree.map(lambda leaf: leaf + 2, tree)

    marked = map_moments(mark, state, _PARAMS)
    assert len(seen) == 3  # mu, nu and the trace
    assert jax.tree.structure(marked) == jax.tree.structure(state)
    adam, trace = marked[1][0], marked[2]
    for moment in (adam.mu, adam.nu, trace.trace):
        assert all((leaf == 2).all() for leaf in jax.tree.leaves(moment))
    assert adam.count == 0
    assert marked[1][1].count == 0


def test_moments_of_stacked_members_are_found():
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), _PARAMS)
    state = jax.vmap(optax.adam(0.1).init)(stacked)
    marked = map_moments(lambda tree: jax.tree.map(lambda leaf: leaf + 2, tree), state, stacked)
    assert (marked[0].mu["kernel"] == 2).all()
    assert (marked[0].nu["bias"] == 2).all()
    assert marked[0].count.tolist() == [0, 0]
