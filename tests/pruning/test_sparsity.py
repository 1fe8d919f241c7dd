import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.pruning.sparsity import weight_sparsity

_PARAMS = {
    "params": {
        "torso": {"kernel": np.array([[0.0, 1.0, -0.0], [2.0, 1e-30, np.nan]], np.float32)},
        "head": {"kernel": np.zeros((2, 2), np.float32), "bias": np.zeros(2, np.float32)},
    }
}


def test_counts_exact_zeros_by_layer_and_in_total():
    sparsity = {name: float(value) for name, value in weight_sparsity(_PARAMS).items()}
    expected = {"torso": 2 / 6, "head": 1.0, "total": 6 / 10}
    assert sparsity == {name: np.float32(value) for name, value in expected.items()}


def test_each_seed_has_its_own_under_vmap():
    dense = jax.tree.map(np.ones_like, _PARAMS)
    both = jax.tree.map(lambda *leaves: np.stack(leaves), _PARAMS, dense)
    sparsity = jax.jit(jax.vmap(weight_sparsity))(both)
    assert set(sparsity) == {"torso", "head", "total"}
    np.testing.assert_allclose(sparsity["total"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(sparsity["torso"], [1 / 3, 0.0], rtol=1e-6)


def test_nothing_to_prune_is_no_sparsity():
    sparsity = weight_sparsity({"bias": jnp.zeros(3)})
    assert set(sparsity) == {"total"}
    assert float(sparsity["total"]) == 0.0


def test_a_layers_noise_counts_with_its_kernel_and_stacked_biases_count_nowhere():
    layer = {
        "kernel": np.eye(4, dtype=np.float32)[None].repeat(10, axis=0),
        "kernel_sigma": np.ones((10, 4, 4), np.float32),
        "bias": np.zeros((10, 4), np.float32),
        "bias_sigma": np.zeros((10, 4), np.float32),
    }
    sparsity = weight_sparsity({"params": {"critic": {"noisy": layer}}})
    assert {name: float(value) for name, value in sparsity.items()} == {
        "critic/noisy": 12 / 32,
        "total": 12 / 32,
    }


def test_patterns_say_which_tensors_of_two_axes_are_weights():
    params = {"a": {"w": np.eye(4, dtype=np.float32), "scale": np.zeros(4, np.float32)}}
    params["b"] = np.zeros((2, 3), np.float32)
    for patterns, expected in (
        ("w", {"a": 0.75, "total": 0.75}),
        (["w", "b"], {"a": 0.75, "b": 1.0, "total": 18 / 22}),
        ("*", {"a": 0.75, "b": 1.0, "total": 18 / 22}),
    ):
        sparsity = {name: float(own) for name, own in weight_sparsity(params, patterns).items()}
        assert sparsity == {name: np.float32(own) for name, own in expected.items()}


@pytest.mark.parametrize("patterns", ["kernel", ["kernel", "b"]])
def test_patterns_that_fit_no_weights_are_told_what_there_is(patterns):
    params = {"l": {"w": np.zeros((2, 2)), "b": np.zeros(2)}}
    expected = r"^weight_sparsity\.prunable=.*: fits no tensor .*; choose from l/w$"
    with pytest.raises(ConfigError, match=expected):
        weight_sparsity(params, patterns)
