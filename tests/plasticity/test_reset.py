import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.plasticity.reset import Reset

from .conftest import QUANTITIES

KEY = jax.random.PRNGKey(7)
CHOICES = {
    "dense": {"Dense_0", "head"},
    "all": {"Conv_0", "Dense_0", "head"},
    ("head",): {"head"},
    "torso/*": {"Conv_0", "Dense_0"},
}


def _layers(tree):
    return {**tree["params"]["torso"], "head": tree["params"]["head"]}


@pytest.mark.parametrize(("chosen", "reset"), CHOICES.items())
def test_chosen_layers_are_a_new_networks_with_zero_moments(make_network, chosen, reset):
    network = make_network()
    after = Reset(reset_layers=chosen).apply(QUANTITIES, network, None, KEY)
    fresh, adam = QUANTITIES.init_params(KEY), after.opt_state.inner_state[0]
    for layer, params in _layers(after.params).items():
        expected = fresh if layer in reset else network.params
        jax.tree.map(np.testing.assert_array_equal, params, _layers(expected)[layer])
        for moment in (adam.mu, adam.nu):
            for leaf in jax.tree.leaves(_layers(moment)[layer]):
                assert (leaf == (layer not in reset)).all()
    assert adam.count == network.opt_state.inner_state[0].count
    jax.tree.map(np.testing.assert_array_equal, after.target_params, network.target_params)


def test_pruned_weights_stay_zero_and_the_others_are_new(make_network):
    network = make_network(sparsity=0.7)
    after = Reset(reset_layers="all").apply(QUANTITIES, network, None, KEY)
    fresh = QUANTITIES.init_params(KEY)
    for layer, params in _layers(after.params).items():
        kept = _layers(network.params)[layer]["kernel"] != 0
        expected = jnp.where(kept, _layers(fresh)[layer]["kernel"], 0)
        np.testing.assert_array_equal(params["kernel"], expected)


def test_weights_that_learn_behind_a_mask_are_new_as_well(make_network):
    network = make_network(sparsity=0.7, pruner_type="magnitude_ste")
    after = Reset(reset_layers=("head",)).apply(QUANTITIES, network, None, KEY)
    fresh = QUANTITIES.init_params(KEY)
    for layer, weights in _layers(after.opt_state.weights).items():
        expected = fresh if layer == "head" else network.opt_state.weights
        np.testing.assert_array_equal(weights["kernel"], _layers(expected)[layer]["kernel"])
        assert (weights["kernel"] != 0).all()
    assert (_layers(after.params)["head"]["kernel"] == 0).any()


def test_seeds_under_vmap_as_alone_and_each_its_own(make_network):
    networks, reset = [make_network(0), make_network(1)], Reset()
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    keys = jnp.stack([jax.random.PRNGKey(100), jax.random.PRNGKey(101)])
    together = jax.vmap(lambda own, key: reset.apply(QUANTITIES, own, None, key))(stacked, keys)
    for i, network in enumerate(networks):
        alone = reset.apply(QUANTITIES, network, None, keys[i])
        own = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        jax.tree.map(np.testing.assert_array_equal, own.params, alone.params)
    head = together.params["params"]["head"]["kernel"]
    assert (head[0] != head[1]).any()


def test_a_pattern_that_fits_no_layer_names_the_nearest():
    params = jax.eval_shape(QUANTITIES.init_params, KEY)
    with pytest.raises(ConfigError, match=r"Reset\.reset_layers='torso/Dense_1'.*torso/Dense_0"):
        Reset(reset_layers=["torso/Dense_1"]).check(QUANTITIES, params)


def test_a_network_without_such_layers_is_not_one_to_reset():
    """Else an agent of which nothing can be reset would go on as if it were."""
    with pytest.raises(ConfigError, match=r"Reset\.reset_layers='all': expected layers"):
        Reset(reset_layers="all").check(QUANTITIES, {"params": {"log_alpha": 0.0}})
