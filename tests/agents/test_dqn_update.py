"""One update against gradients and Adam written by hand in float64."""

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.learning.temporal_difference import td_losses, td_targets
from prune_rl.specs import Batch

from ..seeds import stacked

pytestmark = pytest.mark.usefixtures("quick_compiling")

RATE, BETA1, BETA2, EPS = 0.02, 0.9, 0.999, 1.5e-4


def seed_of(tree, i):
    """Seed i's arrays in float64, of the flax tree's `params`."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[i], np.float64), tree["params"])


def features(observations):
    """(batch, stack, H, W, 1) to (batch, H*W*stack), channels last, in [0, 1]."""
    images = np.moveaxis(observations[..., 0], 1, -1)
    return images.reshape(len(observations), -1) / 255.0


def forward(params, x):
    hidden = x @ params["torso"]["Dense_0"]["kernel"] + params["torso"]["Dense_0"]["bias"]
    return hidden, hidden @ params["head"]["kernel"] + params["head"]["bias"]


def loss_and_gradient(params, target_params, batch, loss_type):
    x, n = features(batch.s_tm1), len(batch.a_tm1)
    hidden, q = forward(params, x)
    _, q_t = forward(target_params, features(batch.s_t))
    target = batch.r_t + batch.discount_t.astype(np.float64) * q_t.max(axis=1)
    error = q[np.arange(n), batch.a_tm1] - target
    small = np.abs(error) <= 1
    if loss_type == "mse":
        loss, slope = error**2, 2 * error
    else:
        assert small.any()
        assert not small.all()
        loss, slope = np.where(small, error**2 / 2, abs(error) - 0.5), np.clip(error, -1, 1)
    d_q = np.zeros_like(q)
    d_q[np.arange(n), batch.a_tm1] = slope / n
    d_hidden = d_q @ params["head"]["kernel"].T
    return loss.mean(), {
        "head": {"kernel": hidden.T @ d_q, "bias": d_q.sum(0)},
        "torso": {"Dense_0": {"kernel": x.T @ d_hidden, "bias": d_hidden.sum(0)}},
    }


def adam_step(params, gradient, moments, t):
    first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], gradient)
    second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g**2, moments[1], gradient)

    def moved(p, m, v):
        return p - RATE * (m / (1 - BETA1**t)) / (np.sqrt(v / (1 - BETA2**t)) + EPS)

    return jax.tree.map(moved, params, first, second), (first, second)


def assert_trees_close(actual, expected):
    # Two updates of 0.02 each: a wrong gradient moves an entry by a thousand times this.
    jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, atol=2e-5), actual, expected)


@pytest.mark.parametrize("strategy", ["vmap", "unroll"])
@pytest.mark.parametrize("loss_type", ["mse", "huber"])
def test_two_updates_match_float64(make_learner, make_batch, strategy, loss_type):
    gin.bind_parameter("create_optimizer.learning_rate", RATE)
    learner = make_learner(strategy, loss_type=loss_type)
    state, num_seeds = learner.init([3, 4]), 2
    network = stacked(state, learner.state_axes).networks["q"]
    expected = [seed_of(network.params, i) for i in range(num_seeds)]
    targets = [seed_of(network.target_params, i) for i in range(num_seeds)]
    zeros = jax.tree.map(np.zeros_like, expected[0])
    moments = [(zeros, zeros)] * num_seeds
    for t in (1, 2):
        batch = make_batch(num_seeds, seed=t)
        state, metrics, _ = learner.update(state, batch)
        for i in range(num_seeds):
            own = jax.tree.map(lambda field, i=i: field[i], batch)
            _, q = forward(expected[i], features(own.s_tm1))
            loss, gradient = loss_and_gradient(expected[i], targets[i], own, loss_type)
            norm = np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
            q_mean = q[np.arange(len(own.a_tm1)), own.a_tm1].mean()
            got = [stacked(metrics)[name][i] for name in ("loss", "grad_norm", "q_mean")]
            np.testing.assert_allclose(got, [loss, norm, q_mean], rtol=1e-3, atol=1e-5)
            expected[i], moments[i] = adam_step(expected[i], gradient, moments[i], t)
            network = stacked(state, learner.state_axes).networks["q"]
            assert_trees_close(seed_of(network.params, i), expected[i])
    assert network.opt_state.count == 2


@pytest.mark.parametrize(("loss_type", "by_hand"), [("mse", 8.125), ("huber", 1.8125)])
def test_loss_by_hand(loss_type, by_hand):
    """Errors 0.5 (terminal, so without the bootstrap of 100) and 4: 1 + 0.5 * 8 - 1."""
    batch = Batch(None, jnp.array([0, 1]), jnp.array([1.5, 1.0]), jnp.array([0.0, 0.5]), None)
    q_tm1 = jnp.array([[1.0, 7.0], [7.0, 1.0]])
    q_t = jnp.array([[100.0, 0.0], [8.0, -9.0]])
    targets = td_targets(q_t, batch)
    assert targets.tolist() == [1.5, 5.0]
    losses = td_losses(q_tm1, batch.a_tm1, targets, loss_type)
    assert losses.mean() == pytest.approx(by_hand)


def test_no_gradient_flows_into_the_target():
    batch = Batch(None, jnp.array([0]), jnp.array([1.0]), jnp.array([0.9]), None)
    gradient = jax.grad(lambda q_t: td_targets(q_t, batch).sum())
    assert not gradient(jnp.array([[3.0, 4.0]])).any()


def test_a_batch_of_the_wrong_shape_is_refused():
    batch = Batch(None, jnp.array([0]), jnp.array([[1.0]]), jnp.array([0.9]), None)
    with pytest.raises(AssertionError, match="shape"):
        td_targets(jnp.ones((1, 2)), batch)
    with pytest.raises(AssertionError, match="shape"):
        td_losses(jnp.ones((1, 2)), jnp.array([0]), jnp.ones((1, 1)), "mse")


def weights(state):
    """Of the online and of the target network, on the host."""
    network = state.networks["q"]
    return jax.device_get((network.params, network.target_params))


def test_target_network_moves_only_when_synced(make_learner, make_batch):
    learner = make_learner()
    state = learner.init([0])
    first = weights(state)[0]
    for seed in range(2):
        state, *_ = learner.update(state, make_batch(1, seed))
    online, target = weights(state)
    jax.tree.map(np.testing.assert_array_equal, target, first)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (online, first)), strict=True))
    state = learner.sync_target(state)
    for own in weights(state):
        jax.tree.map(np.testing.assert_array_equal, own, online)


def test_synced_networks_share_no_buffer(make_learner, make_batch):
    """An update donates its state, which a buffer with two names would break."""
    learner = make_learner()
    state = learner.init([0])
    for seed in range(2):
        network = state.networks["q"]
        trees = map(jax.tree.leaves, (network.params, network.target_params))
        pairs = zip(*trees, strict=True)
        assert all(a.unsafe_buffer_pointer() != b.unsafe_buffer_pointer() for a, b in pairs)
        state, *_ = learner.update(state, make_batch(1, seed))
        state = learner.sync_target(state)


def test_update_reuses_the_memory_of_the_state_given(make_learner, make_batch):
    learner = make_learner()
    state = learner.init([0])
    learner.update(state, make_batch(1))
    network = state.networks["q"]
    leaves = jax.tree.leaves((network.params, network.opt_state))
    assert all(leaf.is_deleted() for leaf in leaves)
