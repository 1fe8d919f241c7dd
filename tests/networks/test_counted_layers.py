"""The 13 layers of the ResNet that dormancy counts, against a forward pass written in NumPy.

The names Conv_0 to Conv_4 of a stack, and what is recorded where, are read from Dopamine's
labs/redo/networks.py.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from prune_rl.diagnostics.dormant import dormant_fraction
from prune_rl.networks.activations import hidden_activations
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

SHAPE, TAU = (1, 12, 12, 2), 0.3
NETWORK = QNetwork(ImpalaTorso(), num_actions=2)
IN_STACK = {
    "Conv_0": "Conv_0",
    "Conv_1": "ResidualBlock_0/Conv_0",
    "Conv_2": "ResidualBlock_0/Conv_1",
    "Conv_3": "ResidualBlock_1/Conv_0",
    "Conv_4": "ResidualBlock_1/Conv_1",
}
LAYERS = {
    f"Stack_{i}/{theirs}": f"torso/ImpalaStack_{i}/{ours}"
    for i in range(3)
    for theirs, ours in IN_STACK.items()
} | {"Dense_0": "torso/Dense_0"}
RECORDED = [ours for theirs, ours in LAYERS.items() if not theirs.endswith("Conv_4")]


def _convolution(x, layer):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("bijchw,hwcu->biju", windows, layer["kernel"]) + layer["bias"]


def _max_pool(x):
    """3 x 3 with stride 2; SAME pads what is missing, the odd one at the end."""
    size = x.shape[1]
    missing = max((-(-size // 2) - 1) * 2 + 3 - size, 0)
    pad = (missing // 2, missing - missing // 2)
    padded = np.pad(x, ((0, 0), pad, pad, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2].max(axis=(-2, -1))


def _relu(x):
    return np.maximum(x, 0)


def _record_by_numpy(params, observations):
    """What labs/redo records of each layer, in float64, by our names."""
    layers = {name: jax.tree.map(np.float64, own) for name, own in _layers(params).items()}
    x, recorded = observations[:, 0] / 255.0, {}

    def convolve(theirs, x):
        return _convolution(x, layers[LAYERS[theirs]])

    def record(theirs, x):
        recorded[LAYERS[theirs]] = _relu(x)
        return recorded[LAYERS[theirs]]

    for i in range(3):
        stack = f"Stack_{i}"
        x = _max_pool(convolve(f"{stack}/Conv_0", x))
        for into, first, second in (("Conv_0", "Conv_1", "Conv_2"), ("Conv_2", "Conv_3", "Conv_4")):
            y = record(f"{stack}/{into}", x)
            y = record(f"{stack}/{first}", convolve(f"{stack}/{first}", y))
            x = x + convolve(f"{stack}/{second}", y)
    dense = layers["torso/Dense_0"]
    record("Dense_0", _relu(x).reshape(len(x), -1) @ dense["kernel"] + dense["bias"])
    return recorded


def _layers(params):
    flat = flatten_dict(params["params"], sep="/")
    return {
        name.removesuffix("/kernel"): {"kernel": own, "bias": flat[name.replace("kernel", "bias")]}
        for name, own in flat.items()
        if name.endswith("/kernel")
    }


@pytest.fixture(scope="module")
def case():
    params = jax.jit(NETWORK.init)(jax.random.PRNGKey(0), jnp.zeros(SHAPE, jnp.uint8))
    rng = np.random.default_rng(0)
    # Biases of both signs: some units fire often, some hardly ever.
    params = jax.tree.map(
        lambda leaf: leaf if leaf.ndim > 1 else leaf + np.float32(rng.normal(0, 0.5, leaf.shape)),
        params,
    )
    return params, rng.integers(0, 256, (8, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def record():
    return jax.jit(partial(hidden_activations, NETWORK))


def _dormant_by_numpy(activations):
    means = np.abs(activations).reshape(-1, activations.shape[-1]).mean(axis=0)
    return means / (means.mean() + 1e-9) <= TAU


def test_the_13_layers_of_labs_redo_and_their_dormancy(case, record):
    params, observations = case
    expected, activations = _record_by_numpy(*case), record(params, observations)
    assert len(RECORDED) == 13
    assert activations.keys() == expected.keys() == set(RECORDED)
    dormant = {name: _dormant_by_numpy(own) for name, own in expected.items()}
    total, by_layer = dormant_fraction(activations, TAU)
    for name in RECORDED:
        np.testing.assert_allclose(activations[name], expected[name], rtol=1e-4, atol=1e-4)
        assert by_layer[name] == pytest.approx(dormant[name].mean(), abs=1e-6), name
    units = np.concatenate(list(dormant.values()))
    assert total == pytest.approx(units.mean(), abs=1e-6)
    assert 0 < units.mean() < 1


def test_the_layers_that_can_be_recycled_are_those_of_labs_redo():
    """Its NeuronRecycler takes Conv_1, Conv_3 and Dense."""
    recycled = {own for own in LAYERS if own.endswith(("Conv_1", "Conv_3", "Dense_0"))}
    assert NETWORK.wiring.keys() == {LAYERS[own] for own in recycled}


@pytest.mark.parametrize("layer", RECORDED)
def test_a_killed_channel_of_each_layer_is_counted(case, record, layer):
    params, observations = case
    before = float(dormant_fraction(record(params, observations), 0.0)[1][layer])
    activations = record(params, observations)[layer]
    units = activations.shape[-1]
    unit = int(activations.reshape(-1, units).mean(axis=0).argmax())
    flat = flatten_dict(params["params"], sep="/")
    flat[f"{layer}/kernel"] = flat[f"{layer}/kernel"].at[..., unit].set(0)
    flat[f"{layer}/bias"] = flat[f"{layer}/bias"].at[unit].set(-1e6)  # below any residual stream
    killed = record({"params": unflatten_dict(flat, sep="/")}, observations)
    assert (killed[layer][..., unit] == 0).all()
    assert dormant_fraction(killed, 0.0)[1][layer] == pytest.approx(before + 1 / units, abs=1e-6)
