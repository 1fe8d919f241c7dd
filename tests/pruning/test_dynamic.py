import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prune_rl.pruning import distributions
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.dynamic import drop_and_grow, zero_moments
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.packing import apply_masks, unpack_like
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.schedules import PolynomialSchedule

pytestmark = pytest.mark.usefixtures("quick_compiling")

_drop_and_grow = jax.jit(drop_and_grow)
_SCORES = hnp.arrays(
    np.float32,
    12,
    elements=st.one_of(st.sampled_from([0.0, np.inf, np.nan]), st.floats(0, 9)).map(np.float32),
)


def _next(fraction, drop, grow, mask):
    arrays = [np.asarray(own, np.float32) for own in (fraction, drop, grow)]
    return np.asarray(_drop_and_grow(*arrays, np.asarray(mask, bool)))


def test_the_smallest_weights_give_way_to_the_largest_growth():
    mask = _next(0.5, [4, 1, 3, 2, 0, 0], [9, 0, 9, 0, 5, 7], [1, 1, 1, 1, 0, 0])
    assert mask.tolist() == [True, False, True, False, True, True]


def test_a_weight_dropped_just_now_may_grow_back():
    mask = _next(0.5, [4, 1, 3, 2, 0, 0], [0, 8, 0, 0, 5, 7], [1, 1, 1, 1, 0, 0])
    assert mask.tolist() == [True, True, True, False, False, True]


def test_survivors_come_before_growth_of_any_size():
    mask = _next(0.5, [4, 1, 0, 0], [0, 0, np.inf, np.inf], [1, 1, 0, 0])
    assert mask.tolist() == [True, False, True, False]


@given(
    drop=_SCORES,
    grow=_SCORES,
    mask=hnp.arrays(bool, 12).filter(lambda own: own.any()),
    fraction=st.floats(0, 1, width=32),
)
@settings(max_examples=60, deadline=None)
def test_the_number_of_ones_never_changes(drop, grow, mask, fraction):
    new = _next(fraction, drop, grow, mask)
    assert new.sum() == mask.sum()
    kept = round(np.float32(mask.sum()) * (1 - np.float32(fraction)))
    assert (new & mask).sum() >= min(kept - 1, mask.sum())  # rounded once more on the way
    if fraction == 0:
        np.testing.assert_array_equal(new, mask)


@pytest.mark.parametrize(
    "optimizer",
    [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.chain(optax.clip(1.0), optax.adamw(0.1))],
    ids=["adam", "momentum", "chain"],
)
def test_moments_of_activated_weights_become_zero_and_no_others(optimizer):
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    _, state = optimizer.update(params, optimizer.init(params), params)
    activated = {"kernel": jnp.array([[True, False], [False, False]]), "bias": None}
    after = zero_moments(state, params, activated)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        if old.shape == (2, 2):
            assert (old != 0).all()
            old = old.at[0, 0].set(0.0)
        np.testing.assert_array_equal(new, old)
    kernels = [leaf for leaf in jax.tree.leaves(after) if leaf.shape == (2, 2)]
    assert kernels


def _start(name, *, optimizer, drop=0.5, sparsity=0.5, schedule=None, seed=0):
    pruner = Pruner(
        METHODS[name],
        schedule or PolynomialSchedule(0, 9, 2),
        partial(distributions.uniform, sparsity=sparsity),
        drop_fraction=optax.constant_schedule(drop),
    )
    wrapped = pruner.wrap(optimizer)
    rng = np.random.default_rng(seed)
    dense = {"kernel": rng.normal(size=(5, 4)).astype(np.float32), "bias": np.ones(4, np.float32)}
    state = wrapped.init(dense, jax.random.PRNGKey(seed))
    return wrapped, apply_masks(dense, state.masks), state


def test_rigl_grows_from_zero_where_the_gradient_is_largest_and_trains_nothing_then():
    optimizer, params, state = _start("rigl", optimizer=optax.adam(0.1))
    grads = {"kernel": jnp.arange(20.0).reshape(5, 4) - 2.5, "bias": jnp.ones(4)}
    # A step that is no mask update, for moments to exist.
    update = jax.jit(optimizer.update)
    updates, state = update(grads, state._replace(count=jnp.int32(1)), params)
    params = optax.apply_updates(params, updates)
    before = unpack_like(state.masks, params)["kernel"]
    moments = state.inner_state[0]
    assert (moments.mu["kernel"] == jnp.where(before, moments.mu["kernel"], 0)).all()
    dirty = moments._replace(mu=jax.tree.map(jnp.ones_like, moments.mu))
    state = state._replace(inner_state=(dirty, *state.inner_state[1:]))
    updates, state = update(grads, state, params)
    after = unpack_like(state.masks, params)["kernel"]
    new, moved = after & ~before, optax.apply_updates(params, updates)
    assert new.sum() > 0
    np.testing.assert_array_equal(moved["kernel"], np.where(after, params["kernel"], 0))
    np.testing.assert_array_equal(moved["bias"], params["bias"])
    np.testing.assert_array_equal(state.inner_state[0].mu["kernel"], np.where(new, 0.0, 1.0))
    assert state.inner_state[0].count == moments.count
    outside = ~after & (np.abs(grads["kernel"]) > np.abs(grads["kernel"])[new].min())
    assert not outside.any()


@pytest.mark.parametrize("name", ["set", "rigl"])
@pytest.mark.parametrize(
    ("schedule_type", "end", "expected"),
    [
        ("polynomial", 9, {4: (True, False), 9: (False, False), 10: (False, True)}),
        ("periodic", 11, {4: (True, False), 8: (True, False), 11: (False, True)}),
        ("periodic", 8, {4: (True, False), 8: (False, False), 9: (False, True)}),
    ],
)
def test_the_last_mask_update_swaps_nothing_and_trains_nothing(name, schedule_type, end, expected):
    """The drop fraction is 0 at the end, a mask update if 4 divides it, or if polynomial."""
    pruner = create_updater_from_config(
        20,
        name,
        sparsity=0.5,
        drop_fraction=0.5,
        update_start_step=0,
        update_end_step=end,
        update_freq=4,
        schedule_type=schedule_type,
    )
    optimizer = pruner.wrap(optax.sgd(0.1))
    dense = {"kernel": jnp.arange(1.0, 21.0).reshape(5, 4), "bias": jnp.ones(4)}
    start = optimizer.init(dense)
    params, update = apply_masks(dense, start.masks), jax.jit(optimizer.update)
    for step, (swaps, trains) in expected.items():
        at = start._replace(count=jnp.int32(step))
        updates, state = update(dense, at, params)
        assert (state.masks["kernel"] != start.masks["kernel"]).any() == swaps
        assert (updates["bias"] != 0).any() == trains


@given(
    name=st.sampled_from(["set", "rigl", "static_sparse"]),
    sparsity=st.floats(0.05, 0.95),
    drop=st.floats(0, 1, width=32),
    seed=st.integers(0, 99),
)
@settings(max_examples=6, deadline=None)
def test_sparse_training_keeps_its_size_and_its_zeros(name, sparsity, drop, seed):
    optimizer, params, state = _start(
        name, optimizer=optax.adam(0.1), drop=drop, sparsity=sparsity, seed=seed
    )
    update, rng = jax.jit(optimizer.update), np.random.default_rng(seed)
    masks = [unpack_like(state.masks, params)["kernel"]]
    for _ in range(5):
        grads = jax.tree.map(lambda own: rng.normal(size=own.shape).astype(np.float32), params)
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        masks.append(unpack_like(state.masks, params)["kernel"])
        assert (params["kernel"][~masks[-1]] == 0).all()
    kept = np.float32(20) * (np.float32(1) - np.float32(sparsity))
    assert {int(mask.sum()) for mask in masks} == {max(1, int(np.round(kept)))}
    if name == "static_sparse" or drop == 0:
        assert all((one == other).all() for one, other in itertools.pairwise(masks))
