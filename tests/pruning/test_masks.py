import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prune_rl.pruning.masks import grown_mask, num_kept, topk_mask

_compiled = jax.jit(topk_mask)
_SHAPES = [(1,), (1, 1), (7,), (4, 5), (3, 3, 2, 4), (97,)]
_SPECIAL = [0.0, -0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e-45, -1e-45, 2.0, 3.4e38]
_SCORES = st.one_of(st.sampled_from(_SPECIAL), st.floats(width=32))


def _num_kept_by_numpy(size, sparsity):
    kept = np.float32(size) * (np.float32(1) - np.float32(sparsity))
    return size if sparsity == 0 else max(1, int(np.round(kept)))  # NumPy rounds half to even


def _mask_by_argsort(scores, active, sparsity):
    """Stable argsort: numbers from the highest, then NaN, then what was pruned before."""
    flat, was_active = scores.reshape(-1), active.reshape(-1)
    group = np.where(~was_active, 2, np.where(np.isnan(flat), 1, 0))
    order = np.lexsort((np.where(group == 0, -flat, 0), group))
    mask = np.zeros(flat.shape, bool)
    mask[order[: _num_kept_by_numpy(flat.size, sparsity)]] = True
    return mask.reshape(scores.shape)


def _mask(scores, sparsity, active=None):
    scores = np.asarray(scores, np.float32)
    active = np.ones(scores.shape, bool) if active is None else active
    mask = _compiled(scores, active, np.float32(sparsity))
    assert mask.dtype == bool
    assert mask.shape == scores.shape
    return np.asarray(mask)


@pytest.mark.parametrize(
    ("size", "sparsity", "expected"),
    [
        # Counted from JaxPruner's masks.
        (10, 0.25, 8),
        (10, 0.35, 6),
        (10, 0.45, 6),
        (5, 0.5, 2),
        (7, 0.5, 4),
        (3, 0.5, 2),
        (10, 1.0, 1),
        (10, 1e-9, 10),
        (1, 0.99, 1),
        (2**24 + 1, 0.0, 2**24 + 1),  # float32 cannot hold this size
        (2**24 + 3, 1e-9, 2**24 + 3),  # ... and rounds this one up
    ],
)
def test_number_kept(size, sparsity, expected):
    assert int(num_kept(size, jnp.float32(sparsity))) == expected


def test_ties_go_to_the_lowest_index_and_nan_goes_first():
    assert _mask(np.ones(10), 0.5).tolist() == [True] * 5 + [False] * 5
    assert _mask([1.0, np.nan, 3.0, 2.0], 0.5).tolist() == [False, False, True, True]
    assert _mask([-0.0, 0.0, -0.0, 0.0], 0.5).tolist() == [True, True, False, False]
    assert _mask([np.nan, -np.inf, np.nan], 0.7).tolist() == [False, True, False]


@given(st.data(), st.sampled_from(_SHAPES), st.floats(0, 1, width=32))
@settings(max_examples=150, deadline=None)
def test_agrees_with_a_stable_argsort(data, shape, sparsity):
    elements = data.draw(st.sampled_from([_SCORES, st.sampled_from([0.0, 1.0, 2.0])]))
    scores = data.draw(hnp.arrays(np.float32, shape, elements=elements))
    active = data.draw(hnp.arrays(bool, shape))
    mask = _mask(scores, sparsity, active)
    np.testing.assert_array_equal(mask, _mask_by_argsort(scores, active, sparsity))
    assert mask.sum() == _num_kept_by_numpy(scores.size, sparsity)


@pytest.mark.parametrize("num_values", [5, 1000, None])
def test_agrees_with_a_stable_argsort_on_a_large_tensor(num_values):
    rng = np.random.default_rng(0)
    scores = (
        rng.normal(size=(300, 401))
        if num_values is None
        else rng.integers(num_values, size=(300, 401))
    )
    scores = scores.astype(np.float32)
    active = np.ones(scores.shape, bool)
    for sparsity in (0.0, 1e-4, 0.5, 0.95, 0.9999):
        expected = _mask_by_argsort(scores, active, sparsity)
        np.testing.assert_array_equal(_mask(scores, sparsity), expected)


def test_a_pruned_weight_stays_out_even_beside_an_active_zero():
    active = np.array([False, True, True, True])
    assert _mask([0.0, 0.0, 0.0, 1.0], 0.5, active).tolist() == [False, True, False, True]
    assert _mask([9.0, np.nan, 1.0, 2.0], 0.25, active).tolist() == [False, True, True, True]


def test_seeds_under_vmap_are_masked_as_one_by_one():
    scores = np.random.default_rng(0).integers(0, 6, (4, 9, 11)).astype(np.float32)
    active = np.ones(scores.shape, bool)
    masks = jax.jit(jax.vmap(topk_mask, (0, 0, None)))(scores, active, np.float32(0.6))
    for i in range(4):
        np.testing.assert_array_equal(masks[i], _mask(scores[i], 0.6))


def test_other_dtypes_are_refused():
    with pytest.raises(AssertionError):
        topk_mask(jnp.ones(3, jnp.bfloat16), jnp.ones(3, bool), jnp.float32(0.5))


def test_grown_masks_keep_the_first_then_the_highest():
    scores = np.array([[np.inf, np.nan, 3.0], [5.0, 3.0, -np.inf]], np.float32)
    first = np.array([[False, True, False], [False, False, True]])
    for num_ones, expected in ((2, [1, 5]), (3, [0, 1, 5]), (5, [0, 1, 2, 3, 5])):
        mask = jax.jit(grown_mask)(scores, first, np.int32(num_ones))
        assert np.flatnonzero(mask).tolist() == expected
