"""Epsilon-greedy acting, and the independence of seeds."""

import jax
import numpy as np
import pytest

from prune_rl.learning.value_learning import epsilon_greedy

NUM_SEEDS, NUM_ACTIONS = 50, 4


@pytest.fixture
def observations():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (NUM_SEEDS, 2, 3, 3, 1), dtype=np.uint8)


def greedy_actions(params, observations):
    """NumPy forward pass of the linear torso and head, per seed."""
    params = jax.device_get(params)["params"]
    x = np.moveaxis(observations[..., 0], 1, -1).reshape(NUM_SEEDS, -1) / 255.0
    for layer in (params["torso"]["Dense_0"], params["head"]):
        x = np.einsum("si,sio->so", x, layer["kernel"]) + layer["bias"]
    return x.argmax(axis=1)


def act_repeatedly(learner, state, observations, epsilon, num_steps=40):
    """Actions (num_steps, S)."""
    keys, actions = state.keys, []
    for _ in range(num_steps):
        action, keys = learner.act(state.params, keys, observations, epsilon)
        actions.append(np.asarray(action))
    return np.array(actions)


def test_greedy_without_epsilon(make_learner, observations):
    learner = make_learner()
    state = learner.init(range(NUM_SEEDS))
    actions = act_repeatedly(learner, state, observations, 0.0, num_steps=3)
    assert actions.dtype == np.int32
    expected = greedy_actions(state.networks["q"].params, observations)
    assert len(set(expected)) == NUM_ACTIONS
    np.testing.assert_array_equal(actions, np.tile(expected, (3, 1)))


def test_uniform_with_epsilon_one(make_learner, observations):
    learner = make_learner()
    state = learner.init(range(NUM_SEEDS))
    counts = np.bincount(act_repeatedly(learner, state, observations, 1.0).ravel(), minlength=4)
    mean = counts.sum() / NUM_ACTIONS
    assert ((counts - mean) ** 2 / mean).sum() < 16.3  # chi-square, 3 degrees, p = 0.001


def test_epsilon_is_the_rate_of_random_actions(make_learner, observations):
    learner = make_learner()
    state = learner.init(range(NUM_SEEDS))
    greedy = greedy_actions(state.networks["q"].params, observations)
    other = (act_repeatedly(learner, state, observations, 0.4) != greedy).mean()
    rate = 0.4 * 3 / 4  # one random action in four is the greedy one
    assert abs(other - rate) < 4 * np.sqrt(rate * (1 - rate) / (40 * NUM_SEEDS))


def test_ties_go_to_the_first_action():
    assert epsilon_greedy(np.array([1.0, 2.0, 2.0]), jax.random.PRNGKey(0), 0.0) == 1


def test_seeds_have_weights_and_streams_of_their_own(make_learner, observations):
    learner = make_learner()
    state = learner.init(range(NUM_SEEDS))
    head = state.networks["q"].params["params"]["head"]
    kernels = np.asarray(head["kernel"]).reshape(NUM_SEEDS, -1)
    assert len(np.unique(kernels, axis=0)) == NUM_SEEDS
    actions = act_repeatedly(learner, state, observations, 1.0)
    assert len(np.unique(actions, axis=1).T) == NUM_SEEDS


def test_acting_leaves_the_evaluation_stream_alone(make_learner):
    """The run loop evaluates with keys folded from fold_in(PRNGKey(seed), 1)."""
    learner = make_learner()
    key, train = jax.random.PRNGKey(7), set()
    state = learner.init([7])
    evaluation = {
        tuple(np.asarray(jax.random.fold_in(jax.random.fold_in(key, 1), i))) for i in range(20)
    }
    keys = state.keys
    for _ in range(20):
        train |= {tuple(np.asarray(k)) for k in (keys[0], *jax.random.split(keys[0]))}
        _, keys = learner.act(state.params, keys, np.zeros((1, 2, 3, 3, 1), np.uint8), 1.0)
    assert not train & evaluation


def test_large_seeds_are_seeds_too(make_learner):
    """NumPy integers, and the largest of 32 bits."""
    keys = make_learner().init(np.array([0, 2**31, 2**32 - 1])).keys
    assert keys.shape == (3, 2)
    assert len(np.unique(keys, axis=0)) == 3
