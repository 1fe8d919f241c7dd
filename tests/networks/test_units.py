"""Where a unit's weights are: against what changing them does to a network's output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.errors import ConfigError
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.units import incoming, kernel_of, outgoing, outgoing_of

PAIRS = {
    "conv-conv": ("torso/Conv_0", "torso/Conv_1"),
    "conv-dense": ("torso/Conv_1", "torso/Dense_0"),
    "dense-dense": ("torso/Dense_0", "head"),
}


class Chain(nn.Module):
    """Two convolutions and a dense layer, flattened as the torsos flatten."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(6, (3, 3), 2)(x))
        x = nn.relu(nn.Conv(7, (2, 2))(x))
        return nn.relu(nn.Dense(8)(x.reshape(-1)))


NETWORK = QNetwork(Chain(), 3)
APPLY = jax.jit(NETWORK.apply)


@pytest.fixture(scope="module")
def initial():
    example = jnp.zeros((8, 8, 2))
    return example, jax.jit(NETWORK.init)(jax.random.PRNGKey(1), example)


def with_kernel(params, layer, weights):
    """`params` with the kernel of `layer` replaced by `weights`, from `incoming` or `outgoing`."""
    old = kernel_of(params, layer)
    new = jnp.array(weights).reshape(old.shape)
    return jax.tree.map(lambda leaf: new if leaf is old else leaf, params)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_unit_is_cut_off_by_its_outgoing_weights_alone(pair, initial):
    layer, reader = PAIRS[pair]
    example, params = initial
    x = np.random.default_rng(0).random(example.shape, np.float32)
    unit = 5
    into = np.array(incoming(kernel_of(params, layer)))
    out = np.array(outgoing_of(params, layer, reader))
    into[:, unit] = 1  # it fires everywhere, so that an outgoing weight missed would show
    params = with_kernel(params, layer, into)
    out[:, unit] = 0
    cut = with_kernel(params, reader, out)
    into[:, unit] = 0  # its bias is 0, so now it is silent
    silent = with_kernel(params, layer, into)
    np.testing.assert_allclose(APPLY(cut, x), APPLY(silent, x), rtol=1e-5, atol=1e-5)
    assert np.abs(APPLY(params, x) - APPLY(silent, x)).max() > 1e-2


def test_axes_by_hand():
    dense = np.arange(6 * 2).reshape(6, 2)  # 3 positions of 2 channels
    np.testing.assert_array_equal(outgoing(dense, 2)[:, 1], dense[[1, 3, 5]])
    conv = np.arange(3 * 3 * 4 * 5).reshape(3, 3, 4, 5)
    assert outgoing(conv, 4).shape == (9, 4, 5)
    np.testing.assert_array_equal(outgoing(conv, 4)[5, 2], conv[1, 2, 2])
    assert incoming(conv).shape == (36, 5)
    np.testing.assert_array_equal(incoming(conv)[:, 3], conv[..., 3].ravel())
    np.testing.assert_array_equal(outgoing(conv, 4).reshape(conv.shape), conv)
    np.testing.assert_array_equal(incoming(conv).reshape(conv.shape), conv)
    np.testing.assert_array_equal(outgoing(dense, 2).reshape(dense.shape), dense)


@pytest.mark.parametrize(
    ("shape", "num_units"),
    [((7, 2), 3), ((3, 3, 4, 5), 3), ((3, 3, 4, 5), 2), ((3, 3, 2, 5), 4)],
)
def test_a_kernel_that_cannot_read_the_units_is_refused(shape, num_units):
    with pytest.raises(ValueError, match=f"{num_units} inputs"):
        outgoing(jnp.zeros(shape), num_units)


def test_errors_name_the_layers():
    params = {"params": {"torso": {"Conv_0": {"kernel": jnp.zeros((3, 3, 1, 4))}}}}
    params["params"]["head"] = {"kernel": jnp.zeros((10, 2)), "bias": jnp.zeros(2)}
    with pytest.raises(ConfigError, match=r"head cannot read the output of torso/Conv_0.*4 inputs"):
        outgoing_of(params, "torso/Conv_0", "head")
    with pytest.raises(ConfigError, match=r"torso/conv_0.*did you mean 'torso/Conv_0'"):
        kernel_of(params, "torso/conv_0")
    with pytest.raises(ConfigError, match="'torso'"):
        kernel_of(params, "torso")


def test_works_under_jit_and_vmap():
    kernels = {"a": {"kernel": jnp.arange(6.0).reshape(1, 2, 3)}}
    params = {"params": kernels | {"b": {"kernel": jnp.arange(24.0).reshape(1, 12, 2)}}}
    out = jax.jit(jax.vmap(lambda p: outgoing_of(p, "a", "b")))(params)
    assert out.shape == (1, 4, 3, 2)


@pytest.mark.parametrize("pair", PAIRS)
def test_members_mapped_have_each_its_own_weights(pair):
    layer, reader = PAIRS[pair]
    example = jnp.zeros((8, 8, 2))
    members = [NETWORK.init(jax.random.PRNGKey(seed), example) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)
    into = jax.vmap(lambda p: incoming(kernel_of(p, layer)))(stacked)
    out = jax.vmap(lambda p: outgoing_of(p, layer, reader))(stacked)
    for i, own in enumerate(members):
        np.testing.assert_array_equal(into[i], incoming(kernel_of(own, layer)))
        np.testing.assert_array_equal(out[i], outgoing_of(own, layer, reader))
