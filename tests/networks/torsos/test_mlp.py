"""The MLP torso and its regularisers, SimBa's, and the networks on them, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.networks.critic_network import CriticNetwork
from prune_rl.networks.policy_network import PolicyNetwork
from prune_rl.networks.spectral import largest_singular_value
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.networks.torsos.simba import SimBaTorso

KEY, SIZE = jax.random.PRNGKey(0), 6
_X = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)


def _params(module, *inputs):
    """Random parameters, biases and scales of normalisations included."""
    shapes = jax.eval_shape(module.init, KEY, *inputs)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), shapes)


def _apply(module, params, *inputs, **more):
    return module.apply({"params": jax.tree.map(jnp.float32, params)}, *inputs, **more)


def _dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def _norm(x, layer):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-6) * layer["scale"] + layer["bias"]


@pytest.mark.parametrize("normalized", [False, True])
def test_a_layer_is_dense_then_normalised_then_a_relu(normalized):
    torso = MLPTorso(units=4, width=2, depth=3, layer_norm=normalized)
    params, x = _params(torso, _X), _X.astype(np.float64)
    for layer in range(3):
        assert params[f"Dense_{layer}"]["kernel"].shape == ((SIZE, 8, 8)[layer], 8)
        x = _dense(x, params[f"Dense_{layer}"])
        x = np.maximum(_norm(x, params[f"LayerNorm_{layer}"]) if normalized else x, 0)
    np.testing.assert_allclose(_apply(torso, params, _X), x, rtol=1e-4, atol=1e-4)


def test_a_layer_may_be_normalised_last():
    torso = MLPTorso(units=4, depth=2, layer_norm=True, layer_norm_last=True, dropout=0.5)
    params, x = _params(torso, _X), _X.astype(np.float64)
    for layer in range(2):
        x = np.maximum(_dense(x, params[f"Dense_{layer}"]), 0)
        x = _norm(x, params[f"LayerNorm_{layer}"])
    np.testing.assert_allclose(_apply(torso, params, _X), x, rtol=1e-4, atol=1e-4)
    assert torso.counted == {}
    silenced = torso.apply({"params": params}, _X, rngs={"dropout": KEY})
    assert (silenced != 0).all()  # normalised after units were silenced


def test_first_weights_are_pytorchs():
    kernel = MLPTorso(units=400).init(KEY, _X)["params"]["Dense_1"]["kernel"]
    assert abs(kernel).max() == pytest.approx(1 / 20, rel=1e-3)
    assert kernel.std() == pytest.approx(1 / 20 / np.sqrt(3), rel=1e-2)
    biases = MLPTorso(units=4).init(KEY, _X)["params"]["Dense_0"]["bias"]
    assert (biases == 0).all()


def test_the_last_hidden_layers_kernel_is_divided_by_its_largest_singular_value():
    torso = MLPTorso(units=5, depth=2, spectral_norm=True)
    params = _params(torso, _X)
    kernel = params["Dense_1"]["kernel"]
    largest = np.linalg.svd(kernel, compute_uv=False)[0]
    assert largest_singular_value(jnp.float32(kernel)) == pytest.approx(largest, rel=1e-2)
    hidden = np.maximum(_dense(_X, params["Dense_0"]), 0)
    expected = np.maximum(hidden @ (kernel / largest) + params["Dense_1"]["bias"], 0)
    np.testing.assert_allclose(_apply(torso, params, _X), expected, rtol=2e-2, atol=1e-2)


def test_the_gradient_of_a_singular_value_is_of_its_vectors():
    """Miyato et al. 2018, equation 9, where the largest stands far above the others."""
    left, _, right = np.linalg.svd(
        np.random.default_rng(2).normal(size=(6, 4)), full_matrices=False
    )
    kernel = left @ np.diag([5.0, 1.0, 0.5, 0.1]) @ right
    value, gradient = jax.value_and_grad(largest_singular_value)(jnp.float32(kernel))
    assert value == pytest.approx(5.0, rel=1e-5)
    np.testing.assert_allclose(gradient, np.outer(left[:, 0], right[0]), atol=1e-4)
    assert largest_singular_value(jnp.zeros((3, 2))) == 0


def test_dropout_silences_units_only_of_those_who_hand_noise_in():
    torso = MLPTorso(units=2000, depth=1, dropout=0.25)
    params = _params(torso, _X)
    whole = np.asarray(_apply(torso, params, _X))
    np.testing.assert_allclose(whole, np.maximum(_dense(_X, params["Dense_0"]), 0), rtol=1e-4)
    alive = whole > 0
    masks = []
    for key in jax.random.split(KEY):
        noisy = np.asarray(_apply(torso, params, _X, rngs={"dropout": key}))
        kept = noisy != 0
        np.testing.assert_allclose(noisy[kept], whole[kept] / 0.75, rtol=1e-5)
        assert kept[alive].mean() == pytest.approx(0.75, abs=0.05)
        masks.append(kept[alive])
    assert (masks[0] != masks[1]).any()


def test_simba_adds_normalised_blocks_to_its_stream():
    torso = SimBaTorso(units=3, width=2, num_blocks=2)
    params, x = _params(torso, _X), _X.astype(np.float64)
    x = _dense(x, params["Dense_0"])
    for block in range(2):
        hidden = _dense(_norm(x, params[f"LayerNorm_{block}"]), params[f"Dense_{2 * block + 1}"])
        assert hidden.shape == (24,)
        x = x + _dense(np.maximum(hidden, 0), params[f"Dense_{2 * block + 2}"])
    np.testing.assert_allclose(
        _apply(torso, params, _X), _norm(x, params["LayerNorm_2"]), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("spread", ["none", "state", "free"])
def test_a_policys_layers(spread):
    network = PolicyNetwork(
        MLPTorso(units=4), action_size=2, spread=spread, log_std_range=(-1.0, 0.5), bounded=True
    )
    params = _params(network, _X)
    mean, log_std = _apply(network, params, _X)
    features = _apply(network, params, _X, method="features")
    answer = _dense(features, params["head"])
    np.testing.assert_allclose(mean, np.tanh(answer[:2]), rtol=1e-4)
    spreads = {"none": np.zeros(2), "state": answer[2:], "free": params.get("log_std")}
    expected = spreads[spread] if spread == "none" else np.clip(spreads[spread], -1.0, 0.5)
    np.testing.assert_allclose(log_std, expected, rtol=1e-4, atol=1e-5)
    assert network.wiring == {
        "torso/Dense_0": ("torso/Dense_1",),
        "torso/Dense_1": ("head",),
    }


def test_a_critic_reads_state_and_action_side_by_side():
    network = CriticNetwork(MLPTorso(units=4, depth=1))
    action = np.float32([0.5, -1.0])
    params = _params(network, _X, action)
    hidden = np.maximum(_dense(np.concatenate([_X, action]), params["torso"]["Dense_0"]), 0)
    expected = _dense(hidden, params["head"])[0]
    np.testing.assert_allclose(_apply(network, params, _X, action), expected, rtol=1e-4)


def test_images_are_refused():
    with pytest.raises(ConfigError, match="vectors; images need another torso"):
        MLPTorso().init(KEY, jnp.zeros((4, 8, 8, 1)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 1.0), ("dropout", -0.1), ("depth", 0), ("units", 2.5), ("layer_norm", 1)],
)
def test_a_wrong_setting_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"^MLPTorso\.{name}="):
        MLPTorso(**{name: value})
