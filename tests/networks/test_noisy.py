"""Noisy layers against equations 8 to 11 of Fortunato et al. 2018, written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.networks.noisy import NoisyDense, noisy_dense
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.minatar import MinAtarTorso

pytestmark = pytest.mark.usefixtures("quick_compiling")

INPUTS, UNITS = 6, 4


def init(seed=0):
    layer = NoisyDense(UNITS)
    return layer, layer.init(jax.random.PRNGKey(seed), jnp.zeros(INPUTS))


def test_first_values_are_dopamines():
    _, variables = NoisyDense(3000), NoisyDense(3000).init(jax.random.PRNGKey(0), jnp.zeros(25))
    params = variables["params"]
    assert {name: leaf.shape for name, leaf in params.items()} == {
        "kernel": (25, 3000),
        "kernel_sigma": (25, 3000),
        "bias": (3000,),
        "bias_sigma": (3000,),
    }
    for name in ("kernel", "bias"):
        values = np.asarray(params[name])
        assert abs(values).max() <= 0.2  # 1 / sqrt(25)
        assert abs(values.std() - 0.2 / np.sqrt(3)) < 0.01
    for name in ("kernel_sigma", "bias_sigma"):
        np.testing.assert_allclose(params[name], 0.02, rtol=1e-6)


def test_output_under_given_noise_equals_numpy():
    rng = np.random.default_rng(0)
    _, variables = init()
    p = {name: np.asarray(leaf, np.float64) for name, leaf in variables["params"].items()}
    x, inner, outer = rng.normal(size=INPUTS), rng.normal(size=INPUTS), rng.normal(size=UNITS)
    kernel = p["kernel"] + p["kernel_sigma"] * inner[:, None] * outer[None, :]
    expected = x @ kernel + p["bias"] + p["bias_sigma"] * outer
    got = noisy_dense(variables["params"], jnp.float32(x), jnp.float32(inner), jnp.float32(outer))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_silent_without_a_key_and_random_with_one():
    layer, variables = init()
    x = jnp.arange(INPUTS, dtype=jnp.float32)
    silent = layer.apply(variables, x)
    p = variables["params"]
    np.testing.assert_allclose(silent, x @ p["kernel"] + p["bias"], rtol=1e-6)
    noisy = [layer.apply(variables, x, rngs={"noise": jax.random.PRNGKey(i)}) for i in (1, 1, 2)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (np.asarray(noisy[0]) != np.asarray(noisy[2])).any()


def test_noise_has_the_moments_of_f_of_a_gaussian():
    """Of 20,000 keys: mean 0 and E[f(x)^2 f(y)^2] = E|x| E|y| = 2 / pi on a weight's noise."""
    layer, variables = NoisyDense(1), NoisyDense(1).init(jax.random.PRNGKey(0), jnp.zeros(1))
    params = variables["params"] | {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}
    params |= {"kernel_sigma": jnp.ones((1, 1)), "bias_sigma": jnp.zeros(1)}
    keys = jax.random.split(jax.random.PRNGKey(1), 20_000)
    noise = jax.vmap(lambda k: layer.apply({"params": params}, jnp.ones(1), rngs={"noise": k}))(
        keys
    )
    noise = np.asarray(noise, np.float64)
    assert abs(noise.mean()) < 0.03
    assert abs((noise**2).mean() - 2 / np.pi) < 0.05


def test_layers_of_a_network_draw_noise_of_their_own():
    network = QNetwork(MinAtarTorso(noisy=True), 5, dueling=True, noisy=True)
    observation = jnp.full((1, 10, 10, 2), 255, jnp.uint8)
    params = network.init(jax.random.PRNGKey(0), observation)

    def only(layer):
        def sigma(path, leaf):
            names = [entry.key for entry in path]
            return leaf * 50 if layer in names and names[-1].endswith("sigma") else leaf * 1.0

        return jax.tree_util.tree_map_with_path(sigma, params)

    rngs = {"noise": jax.random.PRNGKey(3)}
    outputs = [
        np.asarray(network.apply(only(layer), observation, rngs=rngs))
        for layer in ("none", "Dense_0", "advantage", "value")
    ]
    for louder in outputs[1:]:
        assert abs(louder - outputs[0]).max() > 1e-3
    shift = outputs[3] - outputs[0]  # the value's noise moves all actions alike
    np.testing.assert_allclose(shift, shift[0], atol=1e-4)
