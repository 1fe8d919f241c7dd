"""Each method against a rewrite in NumPy, and by hand where it differs from gradual pruning."""

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from prune_rl.errors import ConfigError
from prune_rl.pruning import distributions, methods
from prune_rl.pruning.methods import METHODS, Method, register_score
from prune_rl.pruning.packing import apply_masks, unpack_like
from prune_rl.pruning.patterns import Block, Channel
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.schedules import PolynomialSchedule

pytestmark = pytest.mark.usefixtures("quick_compiling")

_SHAPES = {"a/kernel": (9, 7), "b/bias": (5,), "c/kernel": (2, 3, 8)}
_KERNELS = ("a/kernel", "c/kernel")
_STEPS, _SCHEDULE = 14, PolynomialSchedule(1, 8, 3)  # masks change at 3, 6 and 8
_RATE, _MOMENTUM, _SPARSITY, _DROP = 0.125, 0.5, 0.7, 0.4
_START_SPARSE = ("static_sparse", "set", "rigl")
_SNIPS = ("snip", "global_snip")
_STRAIGHT_THROUGH = ("magnitude_ste", "random_ste")


def _draw(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in _SHAPES.items()}


_CURVATURE = {name: np.abs(own) for name, own in _draw(77).items()}


def _gradient(params, step):
    """Of a quadratic loss that changes with the step: it depends on where it is taken."""
    return {name: _CURVATURE[name] * params[name] + own for name, own in _draw(step).items()}


def _pruner(name, sparsity=_SPARSITY, schedule=_SCHEDULE):
    if name in _STRAIGHT_THROUGH:
        schedule = replace(schedule, goes_on=True)  # and at 9 and 12
    decay = optax.cosine_decay_schedule(_DROP, schedule.update_end_step)
    distribution = partial(distributions.uniform, sparsity=sparsity)
    return Pruner(METHODS[name], schedule, distribution, drop_fraction=decay)


def _train(pruner):
    """(params, state) of every step, the first after `init`."""
    optimizer = pruner.wrap(optax.sgd(_RATE, momentum=_MOMENTUM))

    def step_once(params, state, step, grads_of_step):
        at = optimizer.forward_params(params, state)
        grads = {name: _CURVATURE[name] * at[name] + grads_of_step[name] for name in at}
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = jax.jit(optimizer.init)(_draw(0))
    trace = [(apply_masks(_draw(0), state.masks), state)]
    compiled = jax.jit(step_once)
    for step in range(_STEPS):
        trace.append(compiled(*trace[-1], step, _draw(step)))
    return jax.device_get(trace)


def _top(scores, kept, active):
    order = np.lexsort((-scores.reshape(-1), ~active.reshape(-1)))
    mask = np.zeros(scores.size, bool)
    mask[order[:kept]] = True
    return mask.reshape(scores.shape)


def _uniform(key):
    keys = jax.random.split(key, len(_SHAPES))
    pairs = zip(_SHAPES.items(), keys, strict=True)
    return {name: np.asarray(jax.random.uniform(own, shape)) for (name, shape), own in pairs}


def _scores_by_numpy(name, dense, grads, step):
    if name.startswith("random"):
        return _uniform(jax.random.fold_in(jax.random.PRNGKey(8), step))
    if "saliency" in name or "snip" in name:
        return {own: np.abs(dense[own] * grads[own]) for own in _KERNELS}
    return {own: np.abs(dense[own]) for own in _KERNELS}


def _masks_by_numpy(name, masks, dense, grads, step):
    scores = _scores_by_numpy(name, dense, grads, step)
    if name in ("set", "rigl"):
        fraction = _DROP * 0.5 * (1 + np.cos(np.pi * step / 8))
        return {
            own: _swap_by_numpy(name, own, masks[own], scores[own], grads, step, fraction)
            for own in _KERNELS
        }
    may_return = name.endswith("_ste") or name in _SNIPS
    active = {own: masks[own] | may_return for own in _KERNELS}
    sparsity = _SPARSITY * (1 - (1 - min((step + 1 - 1) / 7, 1.0)) ** 3)
    if not name.startswith("global_"):
        kept = {own: round(scores[own].size * (1 - sparsity)) for own in _KERNELS}
        return {own: _top(scores[own], kept[own], active[own]) for own in _KERNELS}
    if name != "global_snip":
        scores = {own: scores[own] / (np.linalg.norm(scores[own]) + 1e-8) for own in _KERNELS}
    flat, was = [np.concatenate([t[k].reshape(-1) for k in _KERNELS]) for t in (scores, active)]
    parts = np.split(_top(flat, round(flat.size * (1 - sparsity)), was), [63])
    return {own: part.reshape(_SHAPES[own]) for own, part in zip(_KERNELS, parts, strict=True)}


def _swap_by_numpy(name, own, mask, scores, grads, step, fraction):
    ones = mask.sum()
    kept = _top(scores, round(ones * (1 - fraction)), mask)
    growth = np.abs(grads[own])
    if name == "set":
        growth = _uniform(jax.random.fold_in(jax.random.PRNGKey(8), step))[own]
    return kept | _top(growth, ones - kept.sum(), ~kept)


def _train_by_numpy(name):
    """Masks and sparse parameters after each step, in float64 and for one method at a time."""
    dense = {own: value.astype(np.float64) for own, value in _draw(0).items()}
    moments = {own: np.zeros(shape) for own, shape in _SHAPES.items()}
    masks = {own: np.ones(shape, bool) for own, shape in _SHAPES.items()}
    if name in _START_SPARSE:
        scores = _uniform(jax.random.PRNGKey(8))
        for own in _KERNELS:
            kept = round(scores[own].size * (1 - _SPARSITY))
            masks[own] = _top(scores[own], kept, masks[own])
            dense[own] = dense[own] * masks[own]
    trace = []
    for step in range(_STEPS):
        steps = (3, 6, 8, 9, 12) if name in _STRAIGHT_THROUGH else (3, 6, 8)
        is_update = step in steps and name != "static_sparse"
        sees_dense = is_update and name in _SNIPS
        grads = _gradient({k: w if sees_dense else w * masks[k] for k, w in dense.items()}, step)
        if is_update:
            new = _masks_by_numpy(name, masks, dense, grads, step)
            for own in _KERNELS:
                if name in ("set", "rigl"):
                    moments[own][new[own] & ~masks[own]] = 0
                masks[own] = new[own]
        for own in _SHAPES:
            if is_update and name in ("set", "rigl", *_SNIPS):
                break
            is_sparse = name in (*_START_SPARSE, *_SNIPS)
            moments[own] = moments[own] * _MOMENTUM + grads[own] * (masks[own] | (not is_sparse))
            trains = masks[own] | name.endswith("_ste")
            dense[own] = dense[own] - _RATE * moments[own] * trains
        if not (name.endswith("_ste") or name in _SNIPS):
            dense = {own: value * masks[own] for own, value in dense.items()}
        trace.append((dict(masks), {own: value * masks[own] for own, value in dense.items()}))
    return trace


@pytest.mark.parametrize("name", METHODS)
def test_training_is_that_of_a_rewrite_in_numpy(name):
    trace = _train(_pruner(name))
    churns = []
    for (params, state), (masks, expected) in zip(trace[1:], _train_by_numpy(name), strict=True):
        kept = unpack_like(state.masks, params)
        assert kept["b/bias"] is None
        for own in _SHAPES:
            np.testing.assert_allclose(params[own], expected[own], rtol=1e-4, atol=1e-5)
        for own in _KERNELS:
            np.testing.assert_array_equal(kept[own], masks[own])
            assert (params[own][~masks[own]] == 0).all()
        churns.append(state.churn)
    counts = [sum(jnp.sum(m) for m in jax.tree.leaves(unpack_like(s.masks, p))) for p, s in trace]
    if name in _START_SPARSE:
        assert len({int(count) for count in counts}) == 1
    assert (max(churns) > 0) == (name != "static_sparse")


def test_churn_is_the_fraction_of_bits_that_changed_last():
    trace = _train(_pruner("random_ste"))
    masks = [unpack_like(state.masks, params) for params, state in trace]
    churns = [state.churn for _, state in trace]
    changed = [
        sum(int((before[own] != after[own]).sum()) for own in _KERNELS) / np.float32(63 + 48)
        for before, after in itertools.pairwise(masks)
    ]
    # Masks change at 3, 6, 8 and, after the end, at 9 and 12; churn stays until the next time.
    assert np.flatnonzero(changed).tolist() == [3, 6, 8, 9, 12]
    last = [None, None, None, 3, 3, 3, 6, 6, 8, 9, 9, 9, 12, 12]
    expected = [0 if step is None else changed[step] for step in last]
    np.testing.assert_allclose(churns[1:], expected, rtol=1e-6)
    kept = [sum(int(own[k].sum()) for k in _KERNELS) for own in masks[9:]]
    assert kept == [19 + 14] * len(kept)  # 30 % of 63 and of 48


def _one_layer(name, sparsity=0.5, schedule=None):
    halves = partial(distributions.uniform, sparsity=sparsity)
    schedule = schedule or PolynomialSchedule(0, 2, 2)  # at 0, 2 and no more
    return Pruner(METHODS[name], schedule, halves).wrap(optax.sgd(1.0))


def _run(optimizer, weights, gradients):
    params = {"kernel": jnp.array([weights])}
    state, seen = optimizer.init(params), []
    for gradient in gradients:
        updates, state = optimizer.update({"kernel": jnp.array([gradient])}, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(params["kernel"][0].tolist())
    return seen, state, params


def test_a_pruned_weight_that_learns_behind_a_straight_through_estimator_comes_back():
    optimizer = _one_layer("magnitude_ste", schedule=PolynomialSchedule(0, 1, 1))
    gradients = [[0.0, -4.0], [0.0, 0.0]]
    seen, state, _ = _run(optimizer, [3.0, 1.0], gradients)
    assert seen == [[3.0, 0.0], [0.0, 5.0]]  # 1 + 4 unseen, then larger than 3
    assert state.weights["kernel"].tolist() == [[3.0, 5.0]]


def test_a_refresh_of_snip_brings_a_weight_back_with_its_old_value_and_trains_nothing():
    optimizer = _one_layer("snip", schedule=PolynomialSchedule(0, 2, 2))
    gradients = [[5.0, 1.0], [1.0, 100.0], [0.0, 9.0], [1.0, 1.0]]
    seen, state, _ = _run(optimizer, [3.0, 2.0], gradients)
    assert seen == [[3.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 1.0]]
    assert state.weights["kernel"].tolist() == [[2.0, 1.0]]


@pytest.mark.parametrize(("pruned", "kept"), [("frozen", 2.0), ("moved", 1.5)])
def test_what_momentum_does_to_a_weight_that_snip_has_masked(pruned, kept):
    """The first weight trains at step 1, is masked at 2; half of its gradient is left at 3."""
    halves = partial(distributions.uniform, sparsity=0.5)
    method = replace(METHODS["snip"], pruned=pruned)
    pruner = Pruner(method, PolynomialSchedule(0, 2, 2), halves)
    optimizer = pruner.wrap(optax.sgd(1.0, momentum=0.5))
    gradients = [[5.0, 1.0], [1.0, 100.0], [0.0, 9.0], [50.0, 1.0]]
    seen, state, params = _run(optimizer, [3.0, 2.0], gradients)
    assert seen == [[3.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 1.0]]
    assert state.weights["kernel"].tolist() == [[kept, 1.0]]
    assert optimizer.dense_params(params, state)["kernel"].tolist() == [[kept, 1.0]]


def test_snip_differentiates_at_the_dense_weights_of_a_refresh_only():
    optimizer = _one_layer("snip")
    _, state, params = _run(optimizer, [3.0, 2.0], [[5.0, 1.0]])
    between = optimizer.forward_params(params, state)
    assert between["kernel"].tolist() == [[3.0, 0.0]]
    at_refresh = optimizer.forward_params(params, state._replace(count=jnp.int32(2)))
    assert at_refresh["kernel"].tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in _SNIPS])
def test_other_methods_differentiate_at_the_parameters_themselves(name):
    optimizer, params = _pruner(name).wrap(optax.sgd(0.1)), _draw(0)
    assert optimizer.forward_params(params, optimizer.init(params)) is params


def test_seeds_have_random_masks_of_their_own_from_both_seeds():
    params, (one, other) = _draw(0), jax.random.split(jax.random.PRNGKey(1))
    pruner = _pruner("static_sparse", 0.5)
    optimizer = pruner.wrap(optax.sgd(0.1))
    state = optimizer.init(params, one)
    np.testing.assert_array_equal(state.key, jax.random.fold_in(one, 8))
    masks = [optimizer.init(params, key).masks["a/kernel"] for key in (one, other)]
    assert (masks[0] != masks[1]).any()
    np.testing.assert_array_equal(masks[0], state.masks["a/kernel"])


def test_one_threshold_refuses_targets_that_differ():
    targets = dict(zip(_KERNELS, (0.5, 0.6), strict=True))
    pruner = Pruner(METHODS["global_magnitude"], _SCHEDULE, lambda params: targets)
    optimizer = pruner.wrap(optax.sgd(0.1))
    params = {name: _draw(0)[name] for name in _KERNELS}
    with pytest.raises(ValueError, match=r"distributions\.uniform"):
        optimizer.update(params, optimizer.init(params), params)


def test_a_pattern_takes_the_place_of_top_k():
    distribution = partial(distributions.uniform, sparsity=0.5)
    pruner = Pruner(METHODS["magnitude"], PolynomialSchedule(0, 0, 1), distribution, Channel(-1))
    optimizer = pruner.wrap(optax.sgd(1.0))
    params = {"kernel": jnp.array([[2.0, 3.0], [2.0, 0.5]])}
    updates, _ = optimizer.update({"kernel": jnp.zeros((2, 2))}, optimizer.init(params), params)
    assert optax.apply_updates(params, updates)["kernel"].tolist() == [[2.0, 0.0]] * 2


def test_a_pattern_that_does_not_fit_is_refused_at_init():
    distribution = partial(distributions.uniform, sparsity=0.5)
    pruner = Pruner(METHODS["magnitude"], PolynomialSchedule(0, 0, 1), distribution, Block(2, 2))
    optimizer = pruner.wrap(optax.sgd(1.0))
    optimizer.init({"a/kernel": jnp.ones((4, 2)), "bias": jnp.ones(3)})
    with pytest.raises(ConfigError, match="does not divide c/kernel"):
        optimizer.init({"a/kernel": jnp.ones((4, 2)), "c/kernel": jnp.ones((3, 2))})


def test_a_registered_score_is_a_method(monkeypatch):
    monkeypatch.setattr(methods, "METHODS", dict(METHODS))

    def smallest_first(param, grad, key):
        return -jnp.abs(param)

    register_score("smallest", smallest_first)
    register_score("smallest", smallest_first)  # a module imported twice
    assert methods.METHODS["smallest"] == Method(score=smallest_first)
    for taken in ("smallest", "magnitude", "no_prune"):
        with pytest.raises(ValueError, match=f"{taken!r} exists already"):
            register_score(taken, lambda param, grad, key: param)


@pytest.mark.parametrize(
    ("score", "problem"),
    [
        (lambda param, grad: param, "it raised TypeError"),
        (lambda param, grad, key: param @ param, "it raised TypeError"),
        (lambda param, grad, key: param.sum(), r"not float32 \(\)"),
        (lambda param, grad, key: param > 0, r"not bool \(3, 2\)"),
        (lambda param, grad, key: None, "not NoneType"),
    ],
)
def test_a_score_that_does_not_fit_is_named_before_anything_is_computed(
    monkeypatch, score, problem
):
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))
    methods.register_score("mine", score)
    with pytest.raises(ConfigError, match=problem) as error:
        methods.check_score(methods.METHODS["mine"], (3, 2))
    assert str(error.value).startswith("create_updater_from_config.pruner_type='mine'")
    assert "--traceback" not in str(error.value)  # a command adds it
    methods.check_score(methods.METHODS["rigl"], (3, 2))
