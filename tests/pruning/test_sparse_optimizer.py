"""Members of an ensemble, stacked on a leading axis, against each of them trained alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.pruning import distributions
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.packing import unpack

pytestmark = pytest.mark.usefixtures("quick_compiling")

_MEMBERS, _STEPS = 10, 8
_SHAPES = {
    "hidden": {"kernel": (7, 12), "bias": (12,)},
    "noisy": {"kernel": (12, 12), "kernel_sigma": (12, 12), "bias": (12,), "bias_sigma": (12,)},
    "value": {"kernel": (12, 1), "bias": (1,)},
}
_KERNELS = ("hidden", "noisy", "value")
# Powers of two leave nothing for the compiler to round differently.
_SGD = partial(optax.sgd, 0.125, momentum=0.5)


def _draw(seed, *axes, shapes=None):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: rng.normal(size=(*axes, *shape)).astype(np.float32),
        shapes or _SHAPES,
        is_leaf=lambda node: isinstance(node, tuple),
    )


def _pruner(method, dist_type="erk", sparsity=0.95):
    settings = {"dist_type": dist_type, "sparsity": sparsity, "drop_fraction": 0.3}
    steps = {"update_start_step": 1, "update_end_step": 6, "update_freq": 2}
    return create_updater_from_config(_STEPS, method, **settings, **steps)


def _trainer(optimizer):
    """(params, key, weights of the gradients) -> (params, state) after some steps."""
    init, update = jax.jit(optimizer.init), jax.jit(optimizer.update)
    differentiate_at, start = jax.jit(optimizer.forward_params), jax.jit(optimizer.apply_masks)

    def train(params, key, gradients):
        state = init(params, key)
        params = start(params, state)
        for own in gradients:  # of a quadratic loss: it matters where they are taken
            at = jax.device_get(differentiate_at(params, state))
            grads = jax.tree.map(lambda leaf, w: leaf * w + w, at, own)
            updates, state = update(grads, state, params)
            params = jax.tree.map(np.add, params, jax.device_get(updates))
        return params, jax.device_get(state)

    return train


def _member(tree, i):
    """Of params and state, whose count is shared."""
    params, state = tree
    of_state = jax.tree.map(lambda leaf: leaf[i], state._replace(count=None))
    return jax.tree.map(lambda leaf: leaf[i], params), of_state._replace(count=state.count)


_assert_same = partial(jax.tree.map, np.testing.assert_array_equal)


@pytest.mark.parametrize(
    ("method", "dist_type"),
    [(method, "erk") for method in METHODS]
    + [(method, "uniform") for method in METHODS if not METHODS[method].whole_network],
)
def test_every_member_trains_as_it_would_alone(method, dist_type):
    pruner, key = _pruner(method, dist_type), jax.random.PRNGKey(3)
    gradients = [_draw(step, _MEMBERS) for step in range(1, 1 + _STEPS)]
    together = _trainer(pruner.wrap(_SGD(), members=_MEMBERS))(_draw(0, _MEMBERS), key, gradients)
    alone = _trainer(pruner.wrap(_SGD()))
    assert together[1].count == _STEPS
    hidden = set()
    for i, own_key in enumerate(jax.random.split(key, _MEMBERS)):
        own_gradients = jax.tree.map(lambda leaf, i=i: leaf[i], gradients)
        own = alone(
            jax.tree.map(lambda leaf, i=i: leaf[i], _draw(0, _MEMBERS)), own_key, own_gradients
        )
        ours = _member(together, i)
        assert jax.tree.structure(ours) == jax.tree.structure(own)
        _assert_same(ours, own)
        hidden.add(ours[1].masks["hidden"]["kernel"].tobytes())
    assert len(hidden) == _MEMBERS
    params, state = together
    for layer, tensors in _SHAPES.items():
        assert state.masks[layer]["bias"] is None
        assert (params[layer]["bias"] != 0).all()
        packed = state.masks[layer]["kernel"]
        assert packed.shape == (_MEMBERS, -(-np.prod(tensors["kernel"]) // 8))


def _zeros(tensor):
    """Of each member."""
    return (np.asarray(tensor) == 0).reshape(len(tensor), -1).sum(axis=1)


@given(
    members=st.integers(1, 6),
    sizes=st.tuples(st.integers(1, 9), st.integers(2, 24), st.integers(1, 3)),
    sparsity=st.floats(0.05, 0.97),
    dist_type=st.sampled_from(["uniform", "erk"]),
)
@settings(max_examples=6, deadline=None)
def test_every_member_reaches_the_sparsity_asked_for(members, sizes, sparsity, dist_type):
    inputs, units, outputs = sizes
    shapes = {
        "a": {"kernel": (inputs, units), "bias": (units,)},
        "b": {"kernel": (units, outputs), "bias": (outputs,)},
    }
    pruner = create_updater_from_config(
        1, "magnitude", dist_type=dist_type, sparsity=sparsity, schedule_type="one_shot",
        update_start_step=0,
    )  # fmt: skip
    optimizer, params = pruner.wrap(_SGD(), members=members), _draw(0, members, shapes=shapes)
    updates, _ = optimizer.update(_draw(1, members, shapes=shapes), optimizer.init(params), params)
    params = optax.apply_updates(params, updates)
    of_one = {layer: {"kernel": np.empty(own["kernel"])} for layer, own in shapes.items()}
    shares = getattr(distributions, dist_type)(of_one, sparsity)
    for layer, own in of_one.items():
        size = own["kernel"].size
        share = np.float32(shares[layer]["kernel"])
        kept = max(1, int(np.round(np.float32(size) * (np.float32(1) - share)))) if share else size
        assert _zeros(params[layer]["kernel"]).tolist() == [size - kept] * members
        assert not _zeros(params[layer]["bias"]).any()


def test_erk_shares_by_the_shape_of_one_member():
    """By hand: 42 of 400 + 20 weights are kept, in proportion to 20 + 20 and 20 + 1.

    28 and 14; with the ten members in the shapes it would be 26 and 16.
    """
    shapes = {"a": {"kernel": (20, 20), "bias": (20,)}, "b": {"kernel": (20, 1), "bias": (1,)}}
    pruner = create_updater_from_config(
        1, "magnitude", sparsity=0.9, schedule_type="one_shot", update_start_step=0
    )
    optimizer, params = pruner.wrap(_SGD(), members=10), _draw(0, 10, shapes=shapes)
    updates, _ = optimizer.update(_draw(1, 10, shapes=shapes), optimizer.init(params), params)
    params = optax.apply_updates(params, updates)
    assert _zeros(params["a"]["kernel"]).tolist() == [400 - 28] * 10
    assert _zeros(params["b"]["kernel"]).tolist() == [20 - 14] * 10


def test_one_threshold_is_one_members_own():
    """A member a thousand times larger takes no weights from the other's share."""
    pruner = _pruner("global_magnitude", sparsity=0.9)
    scale = np.array([1.0, 1000.0], np.float32)
    params = jax.tree.map(lambda leaf: leaf * scale.reshape(2, *[1] * (leaf.ndim - 1)), _draw(0, 2))
    silent = [jax.tree.map(np.zeros_like, params)] * _STEPS
    params, _ = _trainer(pruner.wrap(_SGD(), members=2))(params, jax.random.PRNGKey(0), silent)
    size = sum(np.prod(_SHAPES[layer]["kernel"]) for layer in _KERNELS)
    kept = size - sum(_zeros(params[layer]["kernel"]) for layer in _KERNELS)
    assert kept.tolist() == [round(0.1 * size)] * 2


@pytest.mark.parametrize("method", ["global_magnitude", "global_snip"])
def test_pooled_members_share_a_threshold(method):
    """By NumPy: of all weights of both, the largest tenth; of one network it changes nothing."""
    settings = {"schedule_type": "one_shot", "update_start_step": 0, "sparsity": 0.9}
    pruner = create_updater_from_config(_STEPS, method, **settings, pool_members=True)
    scale = np.array([1.0, 1.5], np.float32)
    params = jax.tree.map(lambda leaf: leaf * scale.reshape(2, *[1] * (leaf.ndim - 1)), _draw(0, 2))
    grads, optimizer = _draw(1, 2), pruner.wrap(_SGD(), members=2)
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    factor = grads if method == "global_snip" else jax.tree.map(np.ones_like, grads)
    scores = [abs(params[x]["kernel"] * factor[x]["kernel"]) for x in _KERNELS]
    if method == "global_magnitude":  # normalised: of a tensor of both
        scores = [own / np.linalg.norm(own) for own in scores]
    ranked = np.sort(np.concatenate([own.reshape(-1) for own in scores]))[::-1]
    least = ranked[round(0.1 * len(ranked)) - 1]
    kept = [np.sum([np.sum(own[i] >= least) for own in scores]) for i in range(2)]
    assert kept[1] > kept[0] > 0
    params = optax.apply_updates(params, updates)
    for layer, own in zip(_KERNELS, scores, strict=True):
        np.testing.assert_array_equal(np.asarray(params[layer]["kernel"]) != 0, own >= least)
    one = jax.tree.map(lambda leaf: leaf[0], (grads, _draw(0, 2)))
    alone = [
        own.wrap(_SGD()).update(one[0], own.wrap(_SGD()).init(one[1]), one[1])
        for own in (pruner, create_updater_from_config(_STEPS, method, **settings))
    ]
    _assert_same(*alone)


@pytest.mark.parametrize("method", ["magnitude", "global_saliency", "random_ste", "snip", "rigl"])
def test_seeds_of_members_train_as_each_seed_does_alone(method):
    wrapped, seeds, members = _pruner(method).wrap(_SGD(), members=3), 2, 3
    axes, keys = wrapped.seed_axes, jax.random.split(jax.random.PRNGKey(5), seeds)
    batched = wrapped._replace(
        init=jax.vmap(wrapped.init, 0, axes),
        update=jax.vmap(wrapped.update, (0, axes, 0), (0, axes)),
        forward_params=jax.vmap(wrapped.forward_params, (0, axes)),
        apply_masks=jax.vmap(wrapped.apply_masks, (0, axes)),
    )
    gradients = [_draw(step, seeds, members) for step in range(1, 1 + _STEPS)]
    together = _trainer(batched)(_draw(0, seeds, members), keys, gradients)
    assert together[1].count == _STEPS
    alone = _trainer(wrapped)
    for i in range(seeds):
        own_gradients = jax.tree.map(lambda leaf, i=i: leaf[i], gradients)
        params = jax.tree.map(lambda leaf, i=i: leaf[i], _draw(0, seeds, members))
        _assert_same(_member(together, i), alone(params, keys[i], own_gradients))


@pytest.mark.parametrize("method", ["no_prune", "magnitude"])
def test_the_inner_optimizer_sees_one_member_at_a_time(method):
    """A large gradient of one member clips no other's."""
    pruner = _pruner(method, sparsity=0.0 if method == "no_prune" else 0.5)
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))
    optimizer = pruner.wrap(clipped, members=2)
    params = {"kernel": jnp.ones((2, 2, 2)), "bias": jnp.ones((2, 2))}
    grads = {"kernel": jnp.zeros((2, 2, 2)), "bias": jnp.array([[0.5, 0.0], [300.0, 400.0]])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["bias"], [[-0.5, 0.0], [-0.6, -0.8]], rtol=1e-6)


def test_extra_arguments_have_an_axis_of_members_too():
    def update(grads, state, params=None, *, scale, **_):
        return jax.tree.map(lambda leaf: leaf * scale, grads), state

    scaled = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    optimizer, ones = _pruner("magnitude").wrap(scaled, members=2), {"kernel": jnp.ones((2, 1, 8))}
    updates, _ = optimizer.update(ones, optimizer.init(ones), ones, scale=jnp.array([1.0, 3.0]))
    assert updates["kernel"].tolist() == [[[1.0] * 8], [[3.0] * 8]]


def test_random_masks_come_from_the_pruners_seed_without_a_key():
    optimizer, params = _pruner("static_sparse").wrap(_SGD(), members=2), _draw(0, 2)
    state = optimizer.init(params)
    _assert_same(state, optimizer.init(params, jax.random.PRNGKey(8)))
    assert (state.masks["noisy"]["kernel"][0] != state.masks["noisy"]["kernel"][1]).any()


@pytest.mark.parametrize("members", [None, 2])
def test_applied_masks_leave_exact_zeros_where_they_have_none(members):
    axes = () if members is None else (members,)
    optimizer, params = _pruner("static_sparse").wrap(_SGD(), members=members), _draw(0, *axes)
    state = optimizer.init(params)
    masked = optimizer.apply_masks(params, state)
    for layer in _KERNELS:
        shape, packed = _SHAPES[layer]["kernel"], state.masks[layer]["kernel"]
        kept = np.array([unpack(bits, shape) for bits in packed.reshape(-1, packed.shape[-1])])
        kept = kept.reshape(*axes, *shape)
        np.testing.assert_array_equal(
            masked[layer]["kernel"], np.where(kept, params[layer]["kernel"], 0)
        )
        np.testing.assert_array_equal(masked[layer]["bias"], params[layer]["bias"])


def test_a_pattern_sees_the_shape_of_one_member():
    pruner = create_updater_from_config(1, "magnitude", sparsity=0.5, sparsity_type="block_2,2")
    optimizer = pruner.wrap(_SGD(), members=3)
    optimizer.init({"a": {"kernel": jnp.ones((3, 4, 2))}})
    with pytest.raises(ConfigError, match=r"does not divide a/kernel, whose shape is \(3, 2\)"):
        optimizer.init({"a": {"kernel": jnp.ones((3, 3, 2))}})


def test_an_update_of_members_needs_the_weights():
    optimizer, params = _pruner("magnitude").wrap(_SGD(), members=2), _draw(0, 2)
    with pytest.raises(ValueError, match="needs params"):
        optimizer.update(params, optimizer.init(params))
