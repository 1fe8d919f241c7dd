"""That the rewrite of JAX-CORL's TD3+BC learns what TD3+BC says, by NumPy."""

import jax
import numpy as np
import pytest

from benchmarks import transitions
from benchmarks.peers import jax_corl

_KEY = jax.random.PRNGKey(3)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "LayerNorm"])
def first(request):
    """Data and a first state, whose critics are then moved off their targets."""
    data = jax.tree.map(np.asarray, transitions.draw(40))
    state = jax_corl._first(jax.random.PRNGKey(0), data, request.param)
    critics = state.critics.replace(params=jax.tree.map(lambda x: 1.1 * x, state.critics.params))
    return data, state._replace(critics=critics)


def mlp(params, x):
    for layer in range(2):
        own = params[f"Dense_{layer}"]
        x = x @ own["kernel"] + own["bias"]
        if f"LayerNorm_{layer}" in params:
            own = params[f"LayerNorm_{layer}"]
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = x * own["scale"] + own["bias"]
        x = np.maximum(x, 0)
    return x @ params["Dense_2"]["kernel"] + params["Dense_2"]["bias"]


def actions_of(params, states):
    return np.tanh(mlp(params["params"]["_MLP_0"], states))


def values_of(params, states, actions):
    both = np.concatenate([states, actions], -1)
    return [mlp(params["params"][f"_MLP_{i}"], both)[:, 0] for i in range(2)]


def doubles(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def batch_of(data):
    """The batch of that key, and the noise of its targets."""
    batch_key, noise_key = jax.random.split(_KEY)
    rows = np.asarray(jax.random.randint(batch_key, (256,), 0, 40))
    noise = 0.2 * np.asarray(jax.random.normal(noise_key, (256, 6)), np.float64)
    return doubles([x[rows] for x in data]), np.clip(noise, -0.5, 0.5)


def test_losses_are_those_of_the_paper(first):
    data, state = first
    (states, actions, rewards, following, _), noise = batch_of(data)
    after, (critic_loss, actor_loss) = jax_corl._update(state, data, _KEY, 0)
    ahead = np.clip(actions_of(doubles(state.target_actor), following) + noise, -1, 1)
    least = np.minimum(*values_of(doubles(state.target_critics), following, ahead))
    q = np.stack(values_of(doubles(state.critics.params), states, actions))
    expected = np.square(q - (rewards + 0.99 * least)).mean(1).sum()
    assert float(critic_loss) == pytest.approx(expected, rel=1e-4)
    own = actions_of(doubles(state.actor.params), states)
    q = values_of(doubles(after.critics.params), states, own)[0]
    copied = np.square(own - actions).mean()
    assert float(actor_loss) == pytest.approx(copied - 2.5 * q.mean() / np.abs(q).mean(), rel=1e-4)


def test_the_actor_and_targets_move_at_the_first_of_two(first):
    data, state = first
    moved, _ = jax_corl._update(state, data, _KEY, 0)
    pairs = (
        (moved.actor.params, state.target_actor, moved.target_actor),
        (moved.critics.params, state.target_critics, moved.target_critics),
    )
    for own, before, after in pairs:
        way = jax.tree.map(lambda x, y: 0.005 * x + 0.995 * y, own, before)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), after, way)
    still, (_, actor_loss) = jax_corl._update(moved, data, _KEY, 1)
    assert actor_loss == 0
    assert still.actor is moved.actor
    assert still.target_critics is moved.target_critics
    assert int(still.critics.step) == 2
