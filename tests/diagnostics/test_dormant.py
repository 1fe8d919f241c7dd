"""Dormant units against hand-made layers and against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.diagnostics.dormant import dormancy_scores, dormant, dormant_fraction


def reference(activations):
    flat = np.abs(np.asarray(activations, np.float64)).reshape(-1, activations.shape[-1])
    means = flat.mean(axis=0)
    return means / (means.mean() + 1e-9)


def rectified(seed, shape):
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 2, size=shape[-1])  # some units fire often, some hardly ever
    return np.maximum(rng.normal(size=shape) + shift, 0).astype(np.float32)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([(8, 5, 4, 6), (1, 7), (9, 1)]),
    seed=st.integers(0, 2**32 - 1),
    tau=st.sampled_from([0.0, 0.025, 0.5]),
)
def test_agree_with_float64(shape, seed, tau):
    activations = rectified(seed, shape)
    expected = reference(activations)
    np.testing.assert_allclose(dormancy_scores(activations), expected, rtol=1e-5)
    if np.min(np.abs(expected - tau)) > 1e-5 or tau == 0:
        np.testing.assert_array_equal(dormant(activations, tau), expected <= tau)
        total, by_layer = dormant_fraction({"layer": activations}, tau)
        assert float(total) == float(by_layer["layer"]) == np.float32(np.mean(expected <= tau))


def test_values_computed_by_hand():
    # Unit means 0, 1, 2, 5 over batch and positions, mean 2 over units; signs do not cancel.
    first = np.array([[0, 2, -2, 5], [0, 0, 2, -5]], np.float32)
    activations = first.reshape(2, 1, 1, 4) * np.ones((1, 3, 2, 1), np.float32)
    np.testing.assert_allclose(dormancy_scores(activations), [0, 0.5, 1, 2.5], rtol=1e-6)
    assert dormant(activations, 0.0).tolist() == [True, False, False, False]
    assert dormant(activations, 0.75).tolist() == [True, True, False, False]
    assert dormant(activations, 0.75).dtype == bool


def test_the_threshold_itself_is_dormant():
    # 1e-9 is below float32's resolution at 1, so these scores are exactly 0.5 and 1.5.
    activations = jnp.array([[0.5, 1.5]])
    assert dormant(activations, 0.5).tolist() == [True, False]


def test_total_counts_units_not_layers():
    activations = {
        "conv": jnp.zeros((2, 3, 3, 6)).at[..., 0].set(1.0),  # 5 of 6 dormant
        "dense": jnp.ones((2, 2)),  # none of 2
    }
    total, by_layer = dormant_fraction(activations, 0.1)
    assert float(total) == 5 / 8
    assert {name: float(v) for name, v in by_layer.items()} == {
        "conv": np.float32(5 / 6),
        "dense": 0.0,
    }


def test_a_silent_layer_is_all_dormant_and_a_lone_unit_that_fires_is_not():
    silent = jnp.zeros((4, 3))
    assert dormancy_scores(silent).tolist() == [0, 0, 0]
    assert dormant(silent, 0.0).all()
    total, by_layer = dormant_fraction({"silent": silent, "lone": jnp.ones((1, 1))}, 0.5)
    assert (float(total), float(by_layer["silent"]), float(by_layer["lone"])) == (0.75, 1.0, 0.0)


def test_no_layers_have_no_dormant_units():
    total, by_layer = dormant_fraction({}, 0.1)
    assert float(total) == 0.0
    assert by_layer == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_value_that_is_not_finite_makes_layer_and_total_nan(value):
    broken = np.zeros((4, 3), np.float32)
    broken[1, 2] = value
    assert np.isnan(dormancy_scores(broken)).all()
    assert not dormant(broken, 0.5).any()
    total, by_layer = dormant_fraction({"broken": broken, "fine": jnp.ones((4, 3))}, 0.5)
    assert np.isnan(total)
    assert np.isnan(by_layer["broken"])
    assert float(by_layer["fine"]) == 0.0


def test_each_seed_has_its_own_under_jit_and_vmap():
    seeds = [{"a": rectified(s, (6, 2, 2, 8)), "b": rectified(s + 9, (6, 5))} for s in range(2)]
    both = jax.tree.map(lambda *leaves: np.stack(leaves), *seeds)
    measure = jax.jit(jax.vmap(dormant_fraction, in_axes=(0, None)))
    totals, by_layer = measure(both, 0.3)
    assert totals.dtype == jnp.float32
    for index, seed in enumerate(seeds):
        masks = {name: reference(x) <= 0.3 for name, x in seed.items()}
        expected = np.mean(np.concatenate(list(masks.values())))
        np.testing.assert_allclose(totals[index], expected, rtol=1e-6)
        for name, mask in masks.items():
            np.testing.assert_allclose(by_layer[name][index], np.mean(mask), rtol=1e-6)
    assert totals[0] != totals[1]
