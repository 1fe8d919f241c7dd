import doctest
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.pruning import distributions
from prune_rl.pruning import pruner as pruner_module
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.pruning.methods import METHODS, Method
from prune_rl.pruning.packing import apply_masks, unpack_like
from prune_rl.pruning.pruner import Pruner, SparseState
from prune_rl.pruning.schedules import NoUpdateSchedule, PolynomialSchedule

pytestmark = pytest.mark.usefixtures("quick_compiling")

_SHAPES = {
    "conv": {"kernel": (3, 3, 2, 4), "bias": (4,)},
    "head": {"kernel": (20, 6), "bias": (6,)},
}
_NUM_STEPS = 12


def _random_tree(seed):
    rng = np.random.default_rng(seed)

    def draw(shape):
        return rng.normal(size=shape).astype(np.float32)

    return jax.tree.map(draw, _SHAPES, is_leaf=lambda node: isinstance(node, tuple))


def _stack(trees):
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _train(optimizer, params, gradients, state=None):
    """Parameters and states after each step, the first before any."""
    update = jax.jit(optimizer.update)
    state = jax.jit(optimizer.init)(params) if state is None else state
    trace = [(params, state)]
    for grads in gradients:
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        trace.append((params, state))
    return jax.device_get(trace)


def _gradients(num_steps=_NUM_STEPS, seed=1):
    return [_random_tree(100 * seed + step) for step in range(num_steps)]


def _pruner(sparsity=0.9, schedule=None, method="magnitude"):
    schedule = schedule or PolynomialSchedule(2, 9, 3)  # masks change at 3, 6 and 9
    return Pruner(METHODS[method], schedule, partial(distributions.uniform, sparsity=sparsity))


def _kept(state, params):
    return jax.device_get(unpack_like(state.masks, params))


def _sgd_by_numpy(params, gradients, *, target, schedule):
    """Magnitude pruning of one kernel by plain SGD, rate 1/8, written without JAX."""
    start, end, freq = schedule
    weights, mask = params.copy(), np.ones(params.shape, bool)
    for step, grads in enumerate(gradients):
        if start <= step <= end and (step % freq == 0 or step == end):
            progress = min((step + 1 - start) / (end - start), 1.0)
            kept = round(weights.size * (1 - target * (1 - (1 - progress) ** 3)))
            order = np.argsort(-np.abs(weights).reshape(-1), kind="stable")
            mask = np.zeros(weights.size, bool)
            mask[order[:kept]] = True
            mask = mask.reshape(weights.shape)
        weights = np.where(mask, weights - np.float32(0.125) * grads, np.float32(0))
    return weights


def test_docstring_example():
    failed, attempted = doctest.testmod(pruner_module)
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("schedule", [(2, 9, 3), (0, 11, 1), (4, 8, 5), (3, 10, 4)])
def test_training_is_that_of_a_rewrite_in_numpy(schedule):
    params, gradients = _random_tree(0), _gradients()
    pruned = _pruner(0.8, PolynomialSchedule(*schedule)).wrap(optax.sgd(0.125))
    last, _ = _train(pruned, params, gradients)[-1]
    for layer in params:
        grads = [own[layer]["kernel"] for own in gradients]
        expected = _sgd_by_numpy(params[layer]["kernel"], grads, target=0.8, schedule=schedule)
        np.testing.assert_allclose(last[layer]["kernel"], expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(last[layer]["kernel"] == 0, expected == 0)


@given(
    sparsity=st.floats(0.05, 0.99),
    end=st.integers(0, _NUM_STEPS - 1),
    freq=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=6, deadline=None)
def test_masks_only_lose_weights_which_stay_zero_and_the_target_is_met(sparsity, end, freq, seed):
    pruner = _pruner(sparsity, PolynomialSchedule(end // 3, end, freq))
    trace = _train(pruner.wrap(optax.adam(0.05)), _random_tree(seed), _gradients(seed=seed))
    for (_, before), (params, after) in itertools.pairwise(trace):
        masks, old_masks = _kept(after, params), _kept(before, params)
        for layer in _SHAPES:
            mask, weights = masks[layer]["kernel"], params[layer]["kernel"]
            assert not (mask & ~old_masks[layer]["kernel"]).any()
            assert (weights[~mask] == 0).all()
            assert (weights[mask] != 0).all()
    last, _ = trace[-1]
    for layer in _SHAPES:
        weights = last[layer]["kernel"]
        kept = np.float32(weights.size) * (np.float32(1) - np.float32(sparsity))
        assert np.count_nonzero(weights) == max(1, int(np.round(kept)))
        assert (last[layer]["bias"] != 0).all()


def test_masks_come_from_the_weights_before_the_update():
    optimizer = _pruner(0.5, PolynomialSchedule(0, 0, 1)).wrap(optax.sgd(1.0))
    params, grads = {"kernel": jnp.array([[1.0, 2.0]])}, {"kernel": jnp.array([[-10.0, 0.0]])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert optax.apply_updates(params, updates)["kernel"].tolist() == [[0.0, 2.0]]


def test_the_optimizer_sees_dense_gradients():
    params, gradients = _random_tree(0), _gradients()
    plain = optax.adam(0.05)
    _, pruned_state = _train(_pruner().wrap(plain), params, gradients)[-1]
    _, plain_state = _train(plain, params, gradients)[-1]
    assert_close = partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(assert_close, pruned_state.inner_state, plain_state)


@pytest.mark.parametrize("dist_type", ["erk", "uniform"])
@pytest.mark.parametrize("pruner_type", ["no_prune", *METHODS])
def test_sparsity_zero_is_the_optimizer_itself_to_the_bit(pruner_type, dist_type):
    pruner = create_updater_from_config(_NUM_STEPS, pruner_type, dist_type=dist_type, sparsity=0.0)
    optimizer, params, gradients = optax.adam(0.05), _random_tree(0), _gradients()
    wrapped, plain = pruner.wrap(optimizer), _train(optimizer, params, gradients)
    for (own, _), (expected, _) in zip(_train(wrapped, params, gradients), plain, strict=True):
        jax.tree.map(np.testing.assert_array_equal, own, expected)
    state = wrapped.init(params)
    assert not jax.tree.leaves(state.masks)
    assert "cond" not in _primitives(jax.make_jaxpr(wrapped.update)(params, state, params).jaxpr)


def test_what_is_not_pruned_follows_the_optimizer():
    """Before the start all weights do, and tensors that stay dense always."""
    params, gradients = _random_tree(0), _gradients()
    pruned = _train(_pruner().wrap(optax.adam(0.05)), params, gradients)
    plain = _train(optax.adam(0.05), params, gradients)
    for step, ((own, _), (expected, _)) in enumerate(zip(pruned, plain, strict=True)):
        for layer in _SHAPES:
            np.testing.assert_array_equal(own[layer]["bias"], expected[layer]["bias"])
            if step <= 3:
                np.testing.assert_allclose(own[layer]["kernel"], expected[layer]["kernel"], 1e-6)


def test_masks_are_untouched_without_a_schedule():
    pruner = _pruner(0.5, NoUpdateSchedule())
    params, state = _train(pruner.wrap(optax.sgd(0.125)), _random_tree(0), _gradients())[-1]
    assert all(mask.all() for mask in jax.tree.leaves(_kept(state, params)))
    assert np.count_nonzero(params["head"]["kernel"]) == 120


def test_a_score_gets_gradients_and_a_key_of_its_own():
    schedule = PolynomialSchedule(0, 0, 1)
    params = {name: jnp.arange(1.0, 101.0).reshape(10, 10) for name in ("a/kernel", "b/kernel")}
    grads = jax.tree.map(lambda param: 1 / param**2, params)

    def masks(score):
        halves = partial(distributions.uniform, sparsity=0.5)
        optimizer = Pruner(Method(score=score), schedule, halves).wrap(optax.sgd(0.125))
        return _kept(optimizer.update(grads, optimizer.init(params), params)[1], params)

    saliency = masks(lambda param, grad, key: jnp.abs(param * grad))
    assert saliency["a/kernel"].reshape(-1).tolist() == [True] * 50 + [False] * 50
    random = masks(lambda param, grad, key: jax.random.uniform(key, param.shape))
    assert (random["a/kernel"] != random["b/kernel"]).any()


def _batched(pruner, optimizer, members=None):
    wrapped = pruner.wrap(optimizer, members)
    axes = wrapped.seed_axes
    init = jax.vmap(wrapped.init, 0, axes)
    update = jax.vmap(wrapped.update, (0, axes, 0), (0, axes))
    return wrapped._replace(init=init, update=update)


@pytest.mark.parametrize("method", ["magnitude", "global_saliency", "random_ste", "snip", "set"])
def test_seeds_under_vmap_train_as_they_do_alone(method):
    # A rate that is a power of two leaves nothing for the compiler to round differently.
    pruner, optimizer, seeds = _pruner(0.8, None, method), optax.sgd(0.125), range(2)
    wrapped = pruner.wrap(optimizer)
    keys = jax.random.split(jax.random.PRNGKey(5), len(seeds))
    gradients = [_gradients(seed=seed) for seed in seeds]
    params, of_step = _stack(map(_random_tree, seeds)), map(_stack, zip(*gradients, strict=True))

    def start(params, key):
        state = wrapped.init(params, key)
        return apply_masks(params, state.masks), state

    axes, batched = wrapped.seed_axes, _batched(pruner, optimizer)
    start_all = jax.jit(jax.vmap(start, 0, (0, axes)))
    all_params, all_state = start_all(params, keys)
    together = _train(batched, all_params, of_step, all_state)[-1]
    assert together[1].count == _NUM_STEPS
    for seed in seeds:
        own_params, own_state = jax.jit(start)(_random_tree(seed), keys[seed])
        own = _train(wrapped, own_params, gradients[seed], own_state)[-1]
        ours = jax.tree.map(lambda leaf, seed=seed: leaf[seed], _without_count(*together))
        jax.tree.map(np.testing.assert_array_equal, ours, _without_count(*own))


def _without_count(params, state):
    return params, state._replace(count=None)


def _primitives(jaxpr, *, inside_cond=True):
    names = set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        if equation.primitive.name == "cond" and not inside_cond:
            continue
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda node: hasattr(node, "eqns")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                names |= _primitives(inner, inside_cond=inside_cond)
    return names


@pytest.mark.parametrize("members", [None, 3])
@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].score])
def test_under_vmap_masks_are_computed_in_one_branch_only(method, members):
    batched = _batched(_pruner(method=method), optax.adam(0.05), members)
    axes = (2,) if members is None else (2, members)
    params = jax.tree.map(lambda leaf: np.broadcast_to(leaf, axes + leaf.shape), _random_tree(0))
    state = jax.jit(batched.init)(params)
    jaxpr = jax.make_jaxpr(batched.update)(params, state, params).jaxpr
    at_every_step = _primitives(jaxpr, inside_cond=False)
    assert "cond" in at_every_step
    loops = {"while", "scan"}
    assert loops & _primitives(jaxpr)
    assert not loops & at_every_step


@pytest.mark.parametrize("method", ["magnitude", "random_ste"])
def test_training_goes_on_from_a_state_stored_as_arrays(method):
    optimizer, gradients = _pruner(method=method).wrap(optax.adam(0.05)), _gradients()
    trace = _train(optimizer, _random_tree(0), gradients)
    params, state = trace[5]
    assert isinstance(state, SparseState)
    leaves, structure = jax.tree.flatten(state)
    assert all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves)
    assert state.masks["head"]["kernel"].dtype == np.uint8
    assert state.masks["head"]["kernel"].shape == (15,)
    restored = structure.unflatten([np.array(leaf.tolist(), leaf.dtype) for leaf in leaves])
    resumed = _train(optimizer, params, gradients[5:], restored)
    jax.tree.map(np.testing.assert_array_equal, resumed[-1], trace[-1])


def test_update_needs_the_weights():
    optimizer, params = _pruner().wrap(optax.sgd(0.1)), _random_tree(0)
    with pytest.raises(ValueError, match="needs params"):
        optimizer.update(params, optimizer.init(params))
