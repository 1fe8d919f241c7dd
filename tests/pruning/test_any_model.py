"""`prune`: models of every kind, inside every transformation of JAX and optax, without gin."""

import doctest
import inspect
import itertools
from functools import partial
from typing import NamedTuple

import flax.linen
import gin
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.pruning import any_model, prune, unpack_like, weight_sparsity
from prune_rl.pruning.config import create_pruner

pytestmark = pytest.mark.usefixtures("quick_compiling")

_STEPS = {"update_start_step": 2, "update_end_step": 8, "update_freq": 3}
_NUM_STEPS = 10


def _normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _train(optimizer, params, num_steps=_NUM_STEPS, grads_of=jnp.cos):
    """Parameters after each step; gradients are any function of the weights."""
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    trace = []
    for _ in range(num_steps):
        updates, state = update(jax.tree.map(grads_of, params), state, params)
        params = optax.apply_updates(params, updates)
        trace.append(jax.device_get(params))
    return trace, state


def _num_zeros(sparsity, size):
    """Of one tensor pruned to a sparsity; `round` is half to even, as masks are made."""
    return size - max(1, round(size * (1 - sparsity)))


def _by_numpy(weights, num_steps, *, target, start, end, freq, rate):
    """Zhu & Gupta's cubic schedule and a ranking by magnitude, with plain SGD; no JAX."""
    mask = np.ones(weights.shape, bool)
    for step in range(num_steps):
        grads = np.cos(weights)
        if start <= step <= end and (step % freq == 0 or step == end):
            progress = min((step + 1 - start) / (end - start), 1)
            zeros = _num_zeros(target * (1 - (1 - progress) ** 3), weights.size)
            order = np.argsort(np.abs(weights), axis=None, kind="stable")
            mask.reshape(-1)[order[:zeros]] = False
        weights = np.where(mask, weights - np.float32(rate) * grads, np.float32(0))
    return weights


def test_docstring_example():
    failed, attempted = doctest.testmod(any_model)
    assert attempted > 0
    assert failed == 0


@pytest.mark.parametrize("target", [0.5, 0.9])
def test_a_list_of_tuples_is_pruned_as_numpy_does_it(target):
    params = [(_normal(0, 7, 11), _normal(1, 11)), (_normal(2, 11, 3), _normal(3, 3))]
    optimizer = prune(
        optax.sgd(0.125), sparsity=target, dist_type="uniform", prunable="*/0", **_STEPS
    )
    trace, _ = _train(optimizer, params)
    schedule = {"target": target, "start": 2, "end": 8, "freq": 3, "rate": 0.125}
    for (weights, bias), (last, last_bias) in zip(params, trace[-1], strict=True):
        expected = _by_numpy(weights, _NUM_STEPS, **schedule)
        np.testing.assert_allclose(last, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(last == 0, expected == 0)
        dense = _by_numpy(bias, _NUM_STEPS, **{**schedule, "target": 0})
        np.testing.assert_allclose(last_bias, dense, rtol=1e-5, atol=1e-6)


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    sparsity=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
@settings(max_examples=5, deadline=None)
def test_the_sparsity_asked_for_is_reached_and_masks_only_lose_weights(shape, sparsity, seed):
    params = {"w": _normal(seed, *shape)}
    optimizer = prune(
        optax.adam(0.05), sparsity=sparsity, dist_type="uniform", prunable="w", **_STEPS
    )
    trace, _ = _train(optimizer, params)
    zeros = [own["w"] == 0 for own in trace]
    for before, after in itertools.pairwise(zeros):
        assert (after >= before).all()
    kept = np.rint(np.float32(params["w"].size) * np.float32(1 - np.float32(sparsity)))
    assert zeros[-1].sum() == params["w"].size - max(1, kept)


class _Net(NamedTuple):
    w_in: jax.Array
    b_in: jax.Array
    w_out: jax.Array


@flax.struct.dataclass
class _Layers:
    first: dict
    second: list


_MODELS = {
    "haiku": ({"mlp/~/linear_0": {"w": (8, 6), "b": (6,)}, "head": {"w": (6, 5)}}, "w"),
    "named tuple": (_Net((8, 6), (6,), (6, 5)), "w_*"),
    "dataclass": (_Layers({"weight": (8, 6), "scale": (6,)}, [(6, 5)]), ["weight", "second/*"]),
    "all of two axes": ({"a": {"x": (8, 6)}, "b": ((6, 5), (6,))}, "*"),
}


@pytest.mark.parametrize("kind", _MODELS)
@pytest.mark.parametrize("method", ["magnitude", "global_magnitude", "magnitude_ste", "rigl"])
def test_any_tree_is_pruned_and_keeps_its_form(kind, method):
    shapes, prunable = _MODELS[kind]
    is_shape = lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x)  # noqa: E731
    params = jax.tree.map(lambda shape: _normal(0, *shape), shapes, is_leaf=is_shape)
    optimizer = prune(
        optax.adam(0.01), method, sparsity=0.8, dist_type="uniform", prunable=prunable, **_STEPS
    )
    trace, state = _train(optimizer, params)
    assert jax.tree.structure(trace[-1]) == jax.tree.structure(params)
    large = sorted((x for x in jax.tree.leaves(trace[-1]) if x.ndim > 1), key=np.size)
    small = [x for x in jax.tree.leaves(trace[-1]) if x.ndim == 1]
    assert [x.size for x in large] == [30, 48]
    zeros = [int((x == 0).sum()) for x in large]
    assert sum(zeros) == _num_zeros(0.8, 78) if "global" in method else zeros == [24, 38]
    assert all((x != 0).all() for x in small)
    masks = jax.tree.leaves(unpack_like(state.masks, trace[-1]))
    for mask, own in zip(sorted(masks, key=np.size), large, strict=True):
        np.testing.assert_array_equal(own != 0, mask)
    total = weight_sparsity(trace[-1], prunable)["total"]
    assert float(total) == pytest.approx(sum(zeros) / 78)


def test_flax_linen_with_a_train_state_and_a_clipped_chain():
    class Net(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, x):
            hidden = flax.linen.relu(flax.linen.Dense(9)(x))
            return flax.linen.Dense(4)(hidden)

    x, y = _normal(0, 16, 8), _normal(1, 16, 4)
    net = Net()
    pruned = prune(optax.adam(0.01), sparsity=0.75, dist_type="uniform", **_STEPS)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), pruned)
    params = net.init(jax.random.key(0), x)["params"]
    state = TrainState.create(apply_fn=net.apply, params=params, tx=optimizer)

    @jax.jit
    def step(state):
        def loss(params):
            return jnp.mean((state.apply_fn({"params": params}, x) - y) ** 2)

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    for _ in range(_NUM_STEPS):
        state = step(state)
    zeros = {name: int((own["kernel"] == 0).sum()) for name, own in state.params.items()}
    assert zeros == {"Dense_0": 54, "Dense_1": 27}
    # What optax finds by name in any state, for an average of weights or what else is dense.
    inner = optax.tree.get(state.opt_state, "SparseState")
    assert int(inner.count) == _NUM_STEPS
    masked = pruned.apply_masks(params, inner)
    assert {name: int((own["kernel"] == 0).sum()) for name, own in masked.items()} == zeros


def test_flax_nnx_with_its_optimizer():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(8, 9, rngs=rngs)
            self.norm = nnx.LayerNorm(9, rngs=rngs)
            self.blocks = nnx.List([nnx.Linear(9, 4, rngs=rngs)])

        def __call__(self, x):
            return self.blocks[0](nnx.relu(self.norm(self.first(x))))

    net, x, y = Net(nnx.Rngs(0)), _normal(0, 16, 8), _normal(1, 16, 4)
    pruned = prune(
        optax.adam(0.01), sparsity=0.75, dist_type="uniform", dense_layers="blocks/*", **_STEPS
    )
    optimizer = nnx.Optimizer(net, pruned, wrt=nnx.Param)

    @nnx.jit
    def step(net, optimizer):
        grads = nnx.grad(lambda own: jnp.mean((own(x) - y) ** 2))(net)
        optimizer.update(net, grads)

    for _ in range(_NUM_STEPS):
        step(net, optimizer)
    assert int((net.first.kernel[...] == 0).sum()) == 54
    assert int((net.blocks[0].kernel[...] == 0).sum()) == 0
    assert (net.norm.scale[...] != 0).all()
    by_layer = weight_sparsity(nnx.state(net, nnx.Param))
    assert {name: float(own) for name, own in by_layer.items()} == pytest.approx(
        {"first": 0.75, "blocks/0": 0.0, "total": 54 / 108}
    )


def test_equinox_modules_are_trees_too():
    eqx = pytest.importorskip("equinox", reason="equinox is no requirement")
    model = eqx.nn.MLP(8, 4, 6, 2, key=jax.random.key(0))
    optimizer = prune(optax.adam(0.01), sparsity=0.5, prunable="weight", **_STEPS)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, x):
        grads = eqx.filter_grad(lambda own: jnp.mean(jax.vmap(own)(x) ** 2))(model)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(_NUM_STEPS):
        model, state = step(model, state, _normal(0, 16, 8))
    zeros = sum(int((layer.weight == 0).sum()) for layer in model.layers)
    assert zeros == (48 + 36 + 24) / 2
    assert all((layer.bias != 0).any() for layer in model.layers)


def _params():
    return {
        "a": {"kernel": _normal(0, 8, 6), "bias": _normal(1, 6)},
        "b": {"kernel": _normal(2, 6, 5)},
    }


def _assert_equal(one, other):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-7), one, other)


@pytest.mark.parametrize("method", ["magnitude", "magnitude_ste", "set"])
def test_a_donating_scan_makes_the_steps_of_a_loop(method):
    optimizer = prune(optax.adam(0.01), method, sparsity=0.8, **_STEPS)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.tree.map(jnp.cos, params), state, params)
        return (optax.apply_updates(params, updates), state), None

    @partial(jax.jit, donate_argnums=(0, 1))
    def run(params, state):
        return jax.lax.scan(step, (params, state), length=_NUM_STEPS)[0]

    params = jax.tree.map(jnp.asarray, _params())
    scanned, _ = run(params, optimizer.init(params))
    _assert_equal(scanned, _train(optimizer, _params())[0][-1])


def test_seeds_under_vmap_train_as_alone():
    optimizer = prune(optax.adam(0.01), "set", sparsity=0.8, **_STEPS)
    both = jax.tree.map(lambda x: np.stack([x, -2 * x]), _params())
    keys, axes = jax.random.split(jax.random.PRNGKey(3), 2), optimizer.seed_axes
    state = jax.vmap(optimizer.init, (0, 0), axes)(both, keys)
    update = jax.jit(jax.vmap(optimizer.update, (0, axes, 0), (0, axes)))
    update_one = jax.jit(optimizer.update)
    alone = [jax.tree.map(lambda x, i=i: x[i], both) for i in range(2)]
    states = [optimizer.init(own, key) for own, key in zip(alone, keys, strict=True)]
    for _ in range(_NUM_STEPS):
        updates, state = update(jax.tree.map(jnp.cos, both), state, both)
        both = optax.apply_updates(both, updates)
        for i in range(2):
            grads = jax.tree.map(jnp.cos, alone[i])
            updates, states[i] = update_one(grads, states[i], alone[i])
            alone[i] = optax.apply_updates(alone[i], updates)
    for i in range(2):
        _assert_equal(jax.tree.map(lambda x, i=i: x[i], both), alone[i])


def test_members_of_an_ensemble_are_each_pruned_to_the_target():
    stacked = jax.tree.map(lambda x: np.stack([x, 3 * x]), _params())
    optimizer = prune(
        optax.sgd(0.1), sparsity=0.5, prunable="*", dist_type="uniform", members=2, **_STEPS
    )
    last = _train(optimizer, stacked)[0][-1]
    assert (last["a"]["kernel"] == 0).sum(axis=(1, 2)).tolist() == [24, 24]
    assert (last["a"]["bias"] != 0).all()  # of rank 2 here, of rank 1 in each network


def test_what_an_optimizer_is_told_beside_gradients_reaches_it_through_a_chain():
    seen = []

    def update(updates, state, params=None, *, value, **others):
        seen.append((value, params is not None, sorted(others)))
        return updates, state

    spy = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    optimizer = optax.chain(optax.identity(), prune(spy, sparsity=0.5, **_STEPS))
    params = _params()
    optimizer.update(params, optimizer.init(params), params, value=7, loss=8)
    assert seen == [(7, True, ["loss"])]


def test_gradients_may_be_gathered_over_several_batches():
    optimizer = optax.MultiSteps(prune(optax.sgd(0.1), sparsity=0.8, **_STEPS), 2)
    trace, _ = _train(optimizer, _params(), num_steps=2 * _NUM_STEPS)
    zeros = [int((own["b"]["kernel"] == 0).sum()) for own in trace]
    assert zeros[2 * 3] == 0  # gradient step 3 is the first of masks; the 8th batch makes it
    assert zeros[2 * 3 + 1] > 0
    assert sum(int((own["kernel"] == 0).sum()) for own in trace[-1].values()) == 62


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("method", ["magnitude", "saliency", "rigl", "magnitude_ste"])
def test_halves_are_ranked_like_the_singles_they_are(dtype, method):
    params = jax.tree.map(lambda x: jnp.asarray(x, dtype), _params())
    optimizer = prune(optax.sgd(0.1), method, sparsity=0.5, dist_type="uniform", **_STEPS)
    last = _train(optimizer, params)[0][-1]
    assert last["a"]["kernel"].dtype == dtype
    assert int((last["a"]["kernel"] == 0).sum()) == 24


def test_gins_bindings_do_not_reach_it():
    gin.parse_config(
        "create_updater_from_config.dist_type = 'uniform'\n"
        "create_updater_from_config.rng_seed = 3\nprune.sparsity = 0.1",
        skip_unknown=True,
    )
    optimizer = prune(optax.sgd(0.1), sparsity=0.9, num_gradient_steps=10)
    gin.clear_config()
    again = prune(optax.sgd(0.1), sparsity=0.9, num_gradient_steps=10)
    shared = optimizer.target_sparsities(_params())
    assert shared == again.target_sparsities(_params())
    assert shared["a"]["kernel"] != shared["b"]["kernel"]  # as erk has it


def test_its_settings_are_those_of_gin_with_the_same_defaults():
    own = inspect.signature(prune).parameters
    gins = dict(inspect.signature(create_pruner).parameters)
    for name in ("pruner_type", "nominal_gradient_steps", "num_gradient_steps", "sparsity"):
        gins.pop(name)
    alone = {"optimizer", "method", "sparsity", "num_gradient_steps", "prunable", "members"}
    assert own.keys() - gins.keys() == alone
    assert gins.keys() <= own.keys()
    assert {name: own[name].default for name in gins} == {
        name: x.default for name, x in gins.items()
    }


@pytest.mark.parametrize(
    ("method", "own"),
    [
        ("random", {"sparsity_type": "nm_1,2", "pool_members": False}),
        ("global_magnitude", {"sparsity_type": "unstructured", "pool_members": True}),
        ("snip", {"sparsity_type": "block_1,2", "masked_momentum": True}),
    ],
)
def test_every_setting_reaches_the_pruner(monkeypatch, method, own):
    given = {
        "num_gradient_steps": 50,
        "update_start_step": 0.1,
        "update_end_step": 40,
        "update_freq": 3,
        "schedule_type": "periodic",
        "power": 2.0,
        "dist_type": "uniform",
        "dense_layers": ["b"],
        "drop_fraction": 0.3,
        "rng_seed": 5,
        "sparsity": 0.7,
        **{"pool_members": False, "masked_momentum": False},
        **own,
    }
    calls = []

    def spy(num_gradient_steps, method, **settings):
        calls.append({"num_gradient_steps": num_gradient_steps, "method": method, **settings})
        return create_pruner(num_gradient_steps, method, **settings)

    monkeypatch.setattr(any_model, "create_pruner", spy)
    prune(optax.sgd(0.1), method, **given)
    assert calls == [{"method": method, **given}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": 95}, "prune.sparsity=95: expected a fraction in [0, 1), as 0.95"),
        (
            {"method": "magnitud"},
            "prune.method='magnitud': no such choice; did you mean 'magnitude'",
        ),
        ({"method": "no_prune"}, "prune.method='no_prune': no such choice"),
        ({"update_end_step": None}, "prune.update_end_step=None: expected an integer number of"),
        ({"update_start_step": 0.2}, "prune.update_start_step=0.2: expected an integer number of"),
        ({"num_gradient_steps": 5}, "prune.update_end_step=8: expected within the run's 5"),
        ({"num_gradient_steps": 0}, "prune.num_gradient_steps=0: expected an integer >= 1"),
        ({"update_freq": 0}, "prune.update_freq=0: expected an integer >= 1"),
        ({"dist_type": "ERK"}, "prune.dist_type='ERK': no such choice; did you mean 'erk'?"),
        ({"dense_layers": "c"}, "prune.dense_layers='c': fits no layer; choose from a, b"),
        ({"dense_layers": ["a", "b"]}, "prune.dense_layers=['a', 'b']: expected to leave a layer"),
        ({"prunable": "w"}, "prune.prunable='w': fits no tensor of two axes or more; choose from"),
        ({"prunable": ["kernel", "bias"]}, "prune.prunable='bias': fits no tensor of two axes"),
        ({"prunable": "kernels"}, "did you mean"),
        ({"sparsity_type": "nm_2,4"}, "prune.sparsity_type='nm_2,4': does not divide a/kernel"),
        ({"method": "rigl", "sparsity_type": "nm_2,4"}, "with method='rigl', which ranks single"),
        ({"members": 0}, "prune.members=0: expected an integer >= 1"),
        ({"prunable": []}, "prune.prunable=[]: expected at least one pattern, as 'kernel'"),
        ({"sparsity": np.bool_(True)}, "prune.sparsity=True: expected a number"),
    ],
)
def test_mistakes_are_told_in_one_line_that_names_the_argument(arguments, message):
    with pytest.raises(ConfigError) as error:
        prune(optax.sgd(0.1), **{"sparsity": 0.5, **_STEPS, **arguments}).init(_params())
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "create_updater" not in str(error.value)


def test_members_are_as_many_as_the_leading_axis_is_long():
    params = {"a": {"kernel": jnp.ones((2, 4, 4)), "bias": jnp.ones((2, 4))}}
    optimizer = prune(optax.sgd(0.1), sparsity=0.5, members=3, **_STEPS)
    line = r"^prune\.members=3: expected the length of the leading axis of a/bias, 2$"
    with pytest.raises(ConfigError, match=line):
        optimizer.init(params)
    prune(optax.sgd(0.1), sparsity=0.5, members=2, **_STEPS).init(params)


def test_numbers_may_be_of_numpy():
    def pruned(sparsity, last):
        steps = {"update_start_step": 0, "update_end_step": last, "update_freq": 1}
        return _train(prune(optax.sgd(0.1), sparsity=sparsity, **steps), _params(), 3)[-1]

    plain, other = pruned(0.5, 2), pruned(np.float32(0.5), np.int64(2))
    jax.tree.map(np.testing.assert_array_equal, plain, other)


def test_only_real_floats_can_be_pruned():
    optimizer = prune(optax.sgd(0.1), sparsity=0.5, **_STEPS)
    with pytest.raises(ConfigError, match=r"prunable='a/kernel': expected real floats, not int32"):
        optimizer.init({"a": {"kernel": jnp.ones((4, 4), jnp.int32)}})


def test_steps_need_no_run_where_they_are_counted():
    for arguments in (
        {"schedule_type": "one_shot"},
        {"schedule_type": "periodic", "update_end_step": 8},
        {"method": "static_sparse"},
        {"num_gradient_steps": 10},
    ):
        prune(optax.sgd(0.1), sparsity=0.5, **arguments).init(_params())
