"""Structured masks against loops over their groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.pruning.patterns import Block, Channel, NByM, Unstructured, parse_sparsity_type

pytestmark = pytest.mark.usefixtures("quick_compiling")

_SIZES = st.integers(1, 4)


def _scores(shape, seed, decimals=1):
    """With ties."""
    return np.random.default_rng(seed).random(shape).round(decimals).astype(np.float32)


def _mask(pattern, scores, sparsity=0.5, active=None):
    active = np.ones(scores.shape, bool) if active is None else active
    mask = jax.jit(pattern)(scores, active, jnp.float32(sparsity))
    assert mask.dtype == bool
    assert mask.shape == scores.shape
    return np.asarray(mask)


def _top(values, sparsity):
    """The kept ones of a vector, ties to the lowest index."""
    kept = max(1, round(float(np.float32(len(values)) * (np.float32(1) - np.float32(sparsity)))))
    mask = np.zeros(len(values), bool)
    mask[np.argsort(-values, kind="stable")[:kept]] = True
    return mask


@given(_SIZES, _SIZES, st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 3)]), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_n_by_m_keeps_the_highest_of_each_group_and_of_ties_the_last(rows, groups, n_m, seed):
    n, m = n_m
    scores = _scores((rows, 2, groups * m), seed)
    mask = _mask(NByM(n, m), scores)
    for own, kept in zip(scores.reshape(-1, m), mask.reshape(-1, m), strict=True):
        expected = sorted(range(m), key=lambda i, own=own: (own[i], i))[-n:]
        assert set(np.flatnonzero(kept)) == set(expected)


def test_n_by_m_ignores_the_schedule_but_not_zero():
    scores = _scores((3, 8), 0)
    np.testing.assert_array_equal(_mask(NByM(2, 4), scores, 1e-6), _mask(NByM(2, 4), scores, 0.9))
    assert _mask(NByM(2, 4), scores, 0.0).all()


def test_pruned_weights_rank_last_in_their_group():
    scores = np.array([[4.0, 3.0, 2.0, 1.0]], np.float32)
    active = np.array([[False, True, True, True]])
    assert _mask(NByM(2, 4), scores, active=active).tolist() == [[False, True, True, False]]


def test_nan_ranks_last_in_its_group():
    scores = np.array([[np.nan, 3.0, 2.0, np.nan]], np.float32)
    assert _mask(NByM(2, 4), scores).tolist() == [[False, True, True, False]]


@given(_SIZES, _SIZES, _SIZES, _SIZES, st.floats(0.05, 0.95), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_blocks_are_kept_whole_by_their_sum(rows, columns, height, width, sparsity, seed):
    scores = _scores((rows * height, columns * width, 3), seed, decimals=7)
    mask = _mask(Block(height, width), scores, sparsity)
    sums = np.float64(scores).reshape(rows, height, columns, width, 3).sum(axis=(1, 3, 4))
    expected = _top(sums.reshape(-1), sparsity).reshape(rows, columns)
    whole = np.repeat(np.repeat(expected, height, 0), width, 1)
    np.testing.assert_array_equal(mask, np.repeat(whole[..., None], 3, 2))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_channels_are_kept_whole_by_their_sum(axis):
    scores = _scores((4, 5, 6), 3, decimals=7)
    mask = np.moveaxis(_mask(Channel(axis), scores), axis, 0)
    sums = np.moveaxis(np.float64(scores), axis, 0).sum(axis=(1, 2))
    expected = _top(sums, 0.5)
    np.testing.assert_array_equal(mask.reshape(len(mask), -1).T, [expected] * mask[0].size)


@given(st.sampled_from(["unstructured", "block_2,2", "channel_-1", "nm_2,4"]), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_masks_only_shrink_while_sparsity_rises(text, seed):
    pattern = parse_sparsity_type(text)
    mask = np.ones((4, 8), bool)
    for i, sparsity in enumerate([0.2, 0.5, 0.6, 0.9]):
        scores = np.where(mask, _scores((4, 8), seed + i) + 0.1, 0).astype(np.float32)
        new = _mask(pattern, scores, sparsity, mask)
        assert not (new & ~mask).any()
        mask = new


def test_the_forms_that_are_read():
    assert parse_sparsity_type("unstructured") == Unstructured()
    assert parse_sparsity_type("nm_2,4") == NByM(2, 4)
    assert parse_sparsity_type("block_4,8") == Block(4, 8)
    assert parse_sparsity_type("channel_-1") == Channel(-1)


@pytest.mark.parametrize("text", ["nm", "nm_2", "block_0,4", "nm_5,4", "2:4", "channel_x", 3])
def test_other_forms_are_refused(text):
    with pytest.raises(ConfigError, match=r"create_updater_from_config\.sparsity_type="):
        parse_sparsity_type(text)


@pytest.mark.parametrize(
    ("text", "shape", "advice"),
    [
        ("nm_2,4", (3, 3, 4, 18), "nearest that does is 3"),
        ("block_4,4", (3, 3, 4, 16), "nearest that does is 3,3"),
        ("block_8,4", (512, 18), "nearest that does is 8,3"),
        ("channel_3", (512, 18), "the last is channel_-1"),
        ("channel_-3", (512, 18), "the last is channel_-1"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named_with_the_nearest_choice(text, shape, advice):
    pattern = parse_sparsity_type(text)
    with pytest.raises(ConfigError) as error:
        pattern.check("head/kernel", shape)
    for part in (text, "head/kernel", str(shape), advice):
        assert part in str(error.value)


@pytest.mark.parametrize(("text", "shape"), [("nm_2,4", (3, 8)), ("block_4,2", (8, 6, 5))])
def test_a_tensor_that_fits_is_not_refused(text, shape):
    parse_sparsity_type(text).check("kernel", shape)
