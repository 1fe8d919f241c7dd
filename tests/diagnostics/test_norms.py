"""Parameter norms against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.diagnostics.norms import parameter_norm, parameter_norms_by_tensor
from prune_rl.pruning.sparsity import weight_sparsity


def tree(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "params": {
            "torso": {
                "Conv_0": {"kernel": rng.normal(size=(3, 3, 2, 4)).astype(np.float32)},
                "Dense_0": {
                    "kernel": 100 * rng.normal(size=(300, 200)).astype(np.float32),
                    "bias": rng.normal(size=200).astype(np.float32),
                },
            },
            "head": {"kernel": 1e-4 * rng.normal(size=(200, 1)).astype(np.float32)},
        }
    }


def test_values_computed_by_hand():
    params = {"params": {"a": {"kernel": jnp.array([[3.0], [-4.0]]), "bias": jnp.array([12.0])}}}
    norms = {name: float(norm) for name, norm in parameter_norms_by_tensor(params).items()}
    assert norms == {"a/kernel": 5.0, "a/bias": 12.0}
    assert float(parameter_norm(params)) == 13.0


@pytest.mark.parametrize("seed", range(3))
def test_agree_with_float64(seed):
    params = tree(seed)
    leaves = [leaf.astype(np.float64).ravel() for leaf in jax.tree.leaves(params)]
    np.testing.assert_allclose(parameter_norm(params), np.sqrt(sum(x @ x for x in leaves)), 1e-6)
    norms = parameter_norms_by_tensor(params)
    # A dict's leaves come in the order of its sorted keys, and so do a nested dict's.
    np.testing.assert_allclose(list(norms.values()), [np.sqrt(x @ x) for x in leaves], rtol=1e-6)


def test_a_layer_is_called_as_in_the_sparsity_of_layers():
    names = set(parameter_norms_by_tensor(tree()))
    assert "torso/Dense_0/bias" in names
    layers = set(weight_sparsity(tree())) - {"total"}
    assert {f"{layer}/kernel" for layer in layers} == {x for x in names if x.endswith("kernel")}


def test_of_zeros_and_of_nothing_are_zero():
    assert float(parameter_norm(jax.tree.map(np.zeros_like, tree()))) == 0.0
    assert float(parameter_norm({})) == 0.0
    assert parameter_norms_by_tensor({}) == {}


def test_nan_stays_in_its_tensor_and_in_the_total():
    params = tree()
    params["params"]["torso"]["Dense_0"]["bias"][7] = np.nan
    assert np.isnan(parameter_norm(params))
    norms = parameter_norms_by_tensor(params)
    assert {n for n, v in norms.items() if np.isnan(v)} == {"torso/Dense_0/bias"}


def test_each_seed_has_its_own_under_jit_and_vmap():
    both = jax.tree.map(lambda *leaves: np.stack(leaves), tree(0), tree(1))
    totals = jax.jit(jax.vmap(parameter_norm))(both)
    assert totals.dtype == jnp.float32
    np.testing.assert_allclose(totals, [parameter_norm(tree(s)) for s in (0, 1)], rtol=1e-6)
    norms = jax.jit(jax.vmap(parameter_norms_by_tensor))(both)
    single = parameter_norms_by_tensor(tree(1))
    assert norms.keys() == single.keys()
    for name, norm in norms.items():
        np.testing.assert_allclose(norm[1], single[name], rtol=1e-6)
