"""What torsos say of their own layers, against what the networks compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

TORSOS = {
    "nature": (NatureTorso(), (4, 84, 84, 1)),
    "impala": (ImpalaTorso(), (2, 24, 24, 1)),
    "minatar": (MinAtarTorso(), (1, 10, 10, 4)),
}


def _network(name):
    torso, shape = TORSOS[name]
    network = QNetwork(torso, num_actions=3)
    params = network.init(jax.random.PRNGKey(0), jnp.zeros(shape, jnp.uint8))
    # Biases that are not zero, so that hardly a unit is silent on all inputs.
    params = jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else leaf + 0.1, params)
    rng = np.random.default_rng(0)
    return network, params, rng.integers(0, 256, (2, *shape), dtype=np.uint8)


def _with(params, **changed):
    flat = flatten_dict(params["params"], sep="/") | changed
    return {"params": unflatten_dict(flat, sep="/")}


@pytest.mark.parametrize("name", TORSOS)
def test_the_readers_of_a_layer_are_all_that_see_it(name):
    """Without the readers' weights of a unit, its incoming weights make no difference."""
    network, params, observations = _network(name)
    q_values = jax.jit(jax.vmap(network.apply, in_axes=(None, 0)))
    flat = flatten_dict(params["params"], sep="/")
    answers = hidden_activations(network, params, observations)
    for layer in network.wiring:
        activations = answers[layer]
        units = activations.shape[-1]
        unit = int(activations.reshape(-1, units).mean(axis=0).argmax())
        loud = {f"{layer}/kernel": flat[f"{layer}/kernel"].at[..., unit].set(7.0)}
        cut = {}
        for reader in network.wiring[layer]:
            weights = flat[f"{reader}/kernel"]
            by_unit = weights.reshape(-1, units, weights.shape[-1])
            cut[f"{reader}/kernel"] = by_unit.at[:, unit].set(0).reshape(weights.shape)
        before, silent, heard, unheard = (
            q_values(_with(params, **changed), observations)
            for changed in ({}, cut, loud, loud | cut)
        )
        assert (silent != before).any(), layer
        assert (heard != before).any(), layer
        np.testing.assert_array_equal(unheard, silent, layer)


@pytest.mark.parametrize("name", TORSOS)
def test_activations_are_those_after_the_relu(name):
    network, params, observations = _network(name)
    activations = hidden_activations(network, params, observations)
    assert activations.keys() >= network.wiring.keys()
    assert len(activations) == {"nature": 4, "impala": 13, "minatar": 2}[name]
    flat = flatten_dict(params["params"], sep="/")
    for layer, values in activations.items():
        assert values.shape[-1] == flat[f"{layer}/kernel"].shape[-1]
        assert len(values) == len(observations)
        assert (values >= 0).all()
    features = jax.vmap(lambda o: network.apply(params, o, method="features"))(observations)
    np.testing.assert_allclose(activations["torso/Dense_0"], features, rtol=1e-5, atol=1e-6)


def test_the_first_convolution_by_hand():
    network, params, observations = _network("minatar")
    layer = params["params"]["torso"]["Conv_0"]
    image = observations[0, 0].astype(np.float64) / 255
    patch = image[2:5, 3:6]
    expected = np.maximum(np.einsum("hwc,hwcu->u", patch, layer["kernel"]) + layer["bias"], 0)
    activations = hidden_activations(network, params, observations)
    np.testing.assert_allclose(activations["torso/Conv_0"][0, 2, 3], expected, rtol=1e-4)


def test_normalised_features_have_length_one_and_silent_ones_a_finite_gradient():
    torso, shape = TORSOS["minatar"]
    plain = QNetwork(torso, 3)
    network = QNetwork(torso, 3, normalize_representation=True)
    params = plain.init(jax.random.PRNGKey(0), jnp.zeros(shape, jnp.uint8))
    observation = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    features = np.float64(plain.apply(params, observation, method="features"))
    normalised = network.apply(params, observation, method="features")
    np.testing.assert_allclose(normalised, features / np.linalg.norm(features), rtol=1e-5)
    head = params["params"]["head"]
    expected = normalised @ head["kernel"] + head["bias"]
    np.testing.assert_allclose(network.apply(params, observation), expected, rtol=1e-5)

    def value(params):
        return network.apply(params, jnp.zeros(shape, jnp.uint8)).sum()

    assert value(params) == 0  # biases are 0, so the features of a black image are
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(value)(params)))
