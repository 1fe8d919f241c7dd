"""Heads: shapes, dueling and expectations against NumPy; wiring of the two streams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.minatar import MinAtarTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

OBSERVATION = jax.random.randint(jax.random.PRNGKey(9), (1, 10, 10, 4), 0, 256).astype(jnp.uint8)


def apply(network, method=None):
    params = network.init(jax.random.PRNGKey(0), OBSERVATION)
    return params, network.apply(params, OBSERVATION, method=method)


@pytest.mark.parametrize(("num_atoms", "shape"), [(1, (3,)), (51, (3, 51))])
@pytest.mark.parametrize("dueling", [False, True])
def test_output_shapes(num_atoms, shape, dueling):
    network = QNetwork(MinAtarTorso(), 3, num_atoms=num_atoms, dueling=dueling)
    _params, outputs = apply(network)
    assert outputs.shape == shape
    assert outputs.dtype == jnp.float32
    assert network.expectation(outputs).shape == (3,)


@pytest.mark.parametrize("num_atoms", [1, 5])
def test_dueling_streams_join_atom_by_atom(num_atoms):
    network = QNetwork(MinAtarTorso(), 3, num_atoms=num_atoms, dueling=True)
    params, outputs = apply(network)
    features = np.asarray(network.apply(params, OBSERVATION, method="features"), np.float64)
    layers = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["params"])
    advantage = features @ layers["advantage"]["kernel"] + layers["advantage"]["bias"]
    advantage = advantage.reshape(3, num_atoms)
    value = features @ layers["value"]["kernel"] + layers["value"]["bias"]
    expected = value + advantage - advantage.mean(0)
    np.testing.assert_allclose(outputs.reshape(3, num_atoms), expected, rtol=1e-4, atol=1e-5)
    assert "head" not in layers


def test_expectation_is_the_mean_of_the_softmax():
    network = QNetwork(MinAtarTorso(), 2, num_atoms=3, vmax=4.0)
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    np.testing.assert_allclose(network.expectation(logits), [-1.0, 2.8], rtol=1e-5)
    assert network.support.tolist() == [-4.0, 0.0, 4.0]


def test_both_streams_read_the_features():
    assert QNetwork(MinAtarTorso(), 3).wiring["torso/Dense_0"] == ("head",)
    wiring = QNetwork(MinAtarTorso(), 3, dueling=True).wiring
    assert wiring["torso/Dense_0"] == ("advantage", "value")
    assert wiring["torso/Conv_0"] == ("torso/Dense_0",)


def test_rainbows_initialiser_is_uniform_in_the_roots_of_the_fan_in():
    network = QNetwork(MinAtarTorso(kernel_init="rainbow"), 500, kernel_init="rainbow")
    params, _ = apply(network)
    head = np.asarray(params["params"]["head"]["kernel"])  # (128, 500)
    bound = np.sqrt(3 * 3**-0.5 / 128)  # variance scale / fan_in
    assert abs(head).max() <= bound
    assert abs(head.std() - bound / np.sqrt(3)) < 0.01 * bound


def test_an_unknown_initialiser_is_told_the_nearest():
    with pytest.raises(ConfigError, match=r"^MinAtarTorso.kernel_init=.*'rainbow'"):
        MinAtarTorso(kernel_init="rainbw")
