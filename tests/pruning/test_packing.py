import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.pruning.packing import apply_masks, pack, unpack, unpack_like

_SHAPES = [(1,), (8,), (3, 3), (2, 4), (5, 1, 5), (3, 3, 4, 7), (0, 3), (257,)]


def _masks(shape, num=1, seed=0):
    return np.random.default_rng(seed).random((num, *shape)) < 0.3


@pytest.mark.parametrize("shape", _SHAPES)
def test_bits_are_those_of_numpy_and_come_back(shape):
    (mask,) = _masks(shape)
    packed = jax.jit(pack)(mask)
    assert packed.dtype == jnp.uint8
    np.testing.assert_array_equal(packed, np.packbits(mask))
    back = jax.jit(unpack, static_argnums=1)(packed, shape)
    assert back.dtype == bool
    np.testing.assert_array_equal(back, mask)


def test_the_first_weight_is_the_most_significant_bit():
    mask = jnp.array([[True, False, False], [False, False, False], [False, True, True]])
    assert pack(mask).tolist() == [0b10000001, 0b10000000]


@given(bits=st.lists(st.booleans(), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_mask_packs_as_numpy_does(bits):
    mask = np.array(bits)
    np.testing.assert_array_equal(pack(jnp.asarray(mask)), np.packbits(mask))
    np.testing.assert_array_equal(unpack(jnp.asarray(np.packbits(mask)), mask.shape), mask)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4)])
def test_under_vmap_each_seed_has_its_bytes(shape):
    masks = _masks(shape, num=4)
    packed = jax.vmap(pack)(jnp.asarray(masks))
    np.testing.assert_array_equal(packed, np.stack([np.packbits(mask) for mask in masks]))
    np.testing.assert_array_equal(jax.vmap(lambda own: unpack(own, shape))(packed), masks)


def test_wrong_sizes_and_types_are_refused():
    with pytest.raises(AssertionError):
        unpack(jnp.zeros(2, jnp.uint8), (3, 6))
    with pytest.raises(AssertionError):
        pack(jnp.zeros(8, jnp.uint8))


def test_masks_apply_to_their_tensors_and_none_is_dense():
    kernel = np.array([[1.0, -2.0, np.nan], [np.inf, 5.0, -0.0]], np.float32)
    keep = np.array([[True, False, False], [False, True, True]])
    params = {"kernel": jnp.asarray(kernel), "bias": jnp.arange(3.0)}
    masks = {"kernel": pack(jnp.asarray(keep)), "bias": None}
    sparse = apply_masks(params, masks)
    np.testing.assert_array_equal(sparse["kernel"], [[1.0, 0.0, 0.0], [0.0, 5.0, -0.0]])
    np.testing.assert_array_equal(sparse["bias"], params["bias"])
    unpacked = unpack_like(masks, params)
    np.testing.assert_array_equal(unpacked["kernel"], keep)
    assert unpacked["bias"] is None
