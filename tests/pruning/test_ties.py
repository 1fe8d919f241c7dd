"""A pruned weight of a noisy layer loses its noise; its mask is ranked by the weight alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.distributions import erk
from prune_rl.pruning.ties import tie, untie

pytestmark = pytest.mark.usefixtures("quick_compiling")


def params():
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    noisy = {
        "kernel": jax.random.normal(keys[0], (12, 10)),
        "kernel_sigma": 1 + jax.random.normal(keys[1], (12, 10)) ** 2,
        "bias": jnp.ones(10),
        "bias_sigma": jnp.ones(10),
    }
    return {"params": {"noisy": noisy, "plain": {"kernel": jax.random.normal(keys[2], (10, 7))}}}


@pytest.mark.parametrize(
    "method", ["magnitude", "global_magnitude", "random", "snip", "magnitude_ste", "rigl", "set"]
)
def test_weight_and_noise_share_one_mask_under_every_method(method):
    optimizer = create_updater_from_config(10, method, sparsity=0.8, update_freq=2).wrap(
        optax.sgd(0.01)
    )
    weights, update = params(), jax.jit(optimizer.update)
    state = optimizer.init(weights)
    for step in range(10):
        grads = jax.tree.map(lambda leaf, step=step: jnp.cos(leaf * (step + 1)), weights)
        updates, state = update(grads, state, weights)
        weights = optax.apply_updates(weights, updates)
        masks = state.masks["params"]["noisy"]
        np.testing.assert_array_equal(masks["kernel"], masks["kernel_sigma"])
    noisy = weights["params"]["noisy"]
    pruned = np.asarray(noisy["kernel"]) == 0
    assert pruned.mean() > 0.5
    assert (np.asarray(noisy["kernel_sigma"])[pruned] == 0).all()
    if method in ("magnitude", "random", "snip", "global_magnitude"):
        assert (np.asarray(noisy["kernel_sigma"])[~pruned] != 0).all()


def test_noise_does_not_change_what_is_pruned():
    """The same kernels without sigmas get the same masks."""
    with_noise, without = params(), params()
    for name in ("kernel_sigma", "bias_sigma"):
        del without["params"]["noisy"][name]
    assert erk(with_noise, 0.8)["params"]["noisy"]["kernel_sigma"] is None
    kernels = []
    for tree in (with_noise, without):
        optimizer = create_updater_from_config(2, "magnitude", sparsity=0.8).wrap(optax.sgd(0.0))
        state = optimizer.init(tree)
        for _ in range(3):
            updates, state = optimizer.update(tree, state, tree)
            tree = optax.apply_updates(tree, updates)
        kernels.append([tree["params"][layer]["kernel"] for layer in ("noisy", "plain")])
    jax.tree.map(np.testing.assert_array_equal, kernels[0], kernels[1])


def test_tie_and_untie_of_a_tree():
    masks = {"a": {"kernel": "m", "kernel_sigma": None, "bias": None}, "odd_sigma": "own"}
    assert tie(masks) == {
        "a": {"kernel": "m", "kernel_sigma": "m", "bias": None},
        "odd_sigma": "own",
    }
    assert untie(tie(masks))["a"] == masks["a"]


def test_noise_is_tied_in_trees_that_are_no_dicts_and_pays_for_nothing():
    shape = jax.ShapeDtypeStruct((8, 6), jnp.float32)
    tree = nnx.State({"a": {"w": nnx.Param("m"), "w_sigma": nnx.Param(None)}})
    tied = tie(tree)
    assert isinstance(tied, nnx.State)
    assert jax.tree.leaves(tied) == ["m", "m"]
    assert jax.tree.leaves(untie(tied)) == ["m"]
    assert tie([{"w": "m", "w_sigma": None}, None]) == [{"w": "m", "w_sigma": "m"}, None]
    assert erk({"w": shape, "w_sigma": shape}, 0.5, (), ["*"]) == {"w": 0.5, "w_sigma": None}
    assert untie({"log_sigma": "own"}) == {"log_sigma": "own"}
