"""ReDo on a network whose dormant units are known."""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.torso import FEATURES
from prune_rl.plasticity.redo import ReDo

from .conftest import QUANTITIES, SmallTorso

KEY = jax.random.PRNGKey(7)
REDO = ReDo(dead_neurons_threshold=0.0)


def _apply(network, inputs, redo=REDO):
    return jax.jit(lambda n, i: redo.apply(QUANTITIES, n, i, KEY))(network, inputs)


def _layers(tree):
    torso = tree["params"]["torso"]
    return torso["Conv_0"], torso["Dense_0"], tree["params"]["head"]


def test_a_dormant_convolution_unit_is_recycled_and_nothing_else(make_network, inputs):
    """Unit 1 of three: its dense inputs are rows 1, 4, 7 and 10 of the twelve (channel fastest)."""
    network = make_network(dead=[1])
    after = _apply(network, inputs)
    conv, dense, head = _layers(network.params)
    new_conv, new_dense, new_head = _layers(after.params)
    fresh, _, _ = _layers(QUANTITIES.init_params(KEY))
    np.testing.assert_array_equal(new_conv["kernel"][..., 1], fresh["kernel"][..., 1])
    assert new_conv["bias"][1] == 0
    np.testing.assert_array_equal(new_conv["kernel"][..., [0, 2]], conv["kernel"][..., [0, 2]])
    np.testing.assert_array_equal(new_conv["bias"][jnp.array([0, 2])], 0.5)
    rows = np.array([1, 4, 7, 10])
    others = np.setdiff1d(np.arange(12), rows)
    assert (new_dense["kernel"][rows] == 0).all()
    np.testing.assert_array_equal(new_dense["kernel"][others], dense["kernel"][others])
    np.testing.assert_array_equal(new_dense["bias"], dense["bias"])
    jax.tree.map(np.testing.assert_array_equal, new_head, head)


def test_moments_are_zero_where_weights_are_new(make_network, inputs):
    network = make_network(dead=[1])
    after = _apply(network, inputs)
    adam, before = after.opt_state.inner_state[0], network.opt_state.inner_state[0]
    for moment in (adam.mu, adam.nu):
        conv, dense, head = _layers(moment)
        assert conv["kernel"].sum(axis=(0, 1, 2)).tolist() == [4, 0, 4]
        assert conv["bias"].tolist() == [1, 0, 1]
        assert dense["kernel"].sum(axis=1).tolist() == [4, 0, 4] * 4
        assert (dense["bias"] == 1).all()
        assert (head["kernel"] == 1).all()
    assert adam.count == before.count
    assert after.opt_state.count == network.opt_state.count


def test_a_dormant_dense_unit_is_cut_from_the_head(make_network, inputs):
    network = make_network(dead_dense=[3])
    after = _apply(network, inputs)
    _, dense, head = _layers(after.params)
    _, fresh, _ = _layers(QUANTITIES.init_params(KEY))
    np.testing.assert_array_equal(dense["kernel"][:, 3], fresh["kernel"][:, 3])
    assert (head["kernel"][3] == 0).all()
    assert (head["kernel"][:3] == network.params["params"]["head"]["kernel"][:3]).all()


def test_units_that_never_fired_change_no_output(make_network, inputs):
    """Also where a dormant unit feeds one that is recycled with it: the outgoing zero wins."""
    network = make_network(dead=[0, 2], dead_dense=[1])
    after = _apply(network, inputs)
    q = [QUANTITIES.q_values(own.params, inputs) for own in (network, after)]
    np.testing.assert_array_equal(*q)
    _, dense, _ = _layers(after.params)
    assert (dense["kernel"].reshape(4, 3, 4)[:, [0, 2]] == 0).all()
    assert (dense["kernel"].reshape(4, 3, 4)[:, 1, 1] != 0).any()


def test_a_threshold_of_its_own(make_network, inputs):
    network = make_network()
    high = _apply(network, inputs, ReDo(dead_neurons_threshold=1e9))
    fresh, _, _ = _layers(QUANTITIES.init_params(KEY))
    conv, dense, head = _layers(high.params)
    np.testing.assert_array_equal(conv["kernel"], fresh["kernel"])
    assert not dense["kernel"].any()
    assert not head["kernel"].any()
    low = _apply(network, inputs)
    jax.tree.map(np.testing.assert_array_equal, low.params, network.params)


def test_chosen_layers_only(make_network, inputs):
    network = make_network(dead=[1], dead_dense=[3])
    after = _apply(network, inputs, ReDo(dead_neurons_threshold=0.0, layers="torso/Dense_*"))
    conv, _, head = _layers(after.params)
    jax.tree.map(np.testing.assert_array_equal, conv, _layers(network.params)[0])
    assert (head["kernel"][3] == 0).all()


def test_pruned_weights_stay_zero(make_network, inputs):
    network = make_network(dead=[0, 1, 2], sparsity=0.5)
    pruned = jax.tree.map(lambda leaf: leaf == 0, network.params)
    after = _apply(network, inputs, ReDo(dead_neurons_threshold=1e9))
    for before, leaf in zip(*map(jax.tree.leaves, (pruned, after.params)), strict=True):
        assert (leaf[before] == 0).all() or leaf.ndim == 1
    kernel = _layers(after.params)[0]["kernel"]
    assert (kernel != 0).any()
    jax.tree.map(np.testing.assert_array_equal, after.opt_state.masks, network.opt_state.masks)


def test_seeds_under_vmap_as_alone(make_network, inputs):
    networks = [make_network(0, dead=[1]), make_network(1, dead_dense=[2])]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    keys = jnp.stack([jax.random.PRNGKey(100), jax.random.PRNGKey(101)])
    apply = jax.jit(lambda own, key: REDO.apply(QUANTITIES, own, inputs, key))
    together = jax.jit(jax.vmap(apply))(stacked, keys)
    for i, network in enumerate(networks):
        alone = apply(network, keys[i])
        own = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        jax.tree.map(np.testing.assert_array_equal, own.params, alone.params)
        assert (alone.params["params"]["head"]["kernel"] == 0).any() == bool(i)


def test_a_layer_that_is_not_there():
    with pytest.raises(ConfigError, match=r"ReDo\.layers='Conv_9'.*torso/Conv_0"):
        ReDo(layers=("Conv_9",)).check(QUANTITIES, None)
    with pytest.raises(ConfigError, match="names no hidden layers"):
        ReDo().check(QUANTITIES._replace(wiring={}), None)


@pytest.mark.parametrize(
    ("name", "value"), [("dead_neurons_threshold", -0.1), ("statistics_batch_size", 0)]
)
def test_a_wrong_setting_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"ReDo\.{name}="):
        ReDo(**{name: value})


def test_a_layer_whose_dormant_units_are_only_counted_is_never_recycled(make_network, inputs):
    """Its units are dormant, and they are reported: but it is not in the wiring."""

    def quantities(counted_layers):
        class DenseOnly(SmallTorso):
            wiring: ClassVar = {"Dense_0": (FEATURES,)}
            counted: ClassVar = counted_layers

        q_network = QNetwork(DenseOnly(), num_actions=2)
        return QUANTITIES._replace(
            wiring=q_network.wiring,
            activations=lambda params, own: hidden_activations(q_network, params, own.observations),
        )

    network = make_network(dead=[1], dead_dense=[3])
    with_conv, without = quantities({"Conv_0": "Conv_0"}), quantities({})
    answers = with_conv.activations(network.params, inputs)
    assert (answers["torso/Conv_0"][..., 1] == 0).all()
    assert without.activations(network.params, inputs).keys() == {"torso/Dense_0"}
    after, expected = (
        jax.jit(partial(REDO.apply, own))(network, inputs, KEY) for own in (with_conv, without)
    )
    jax.tree.map(np.testing.assert_array_equal, after, expected)
    conv, dense, _ = _layers(after.params)
    jax.tree.map(np.testing.assert_array_equal, conv, _layers(network.params)[0])
    assert (dense["kernel"][:, 3] != _layers(network.params)[1]["kernel"][:, 3]).any()
