"""SAC's update against a float64 rewrite in NumPy, backward by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.sac import SACAgent
from prune_rl.errors import ConfigError
from prune_rl.networks.torsos.mlp import MLPTorso

from . import control
from .control import BATCH, RATE, SEEDS, Seed64

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAMES = ["actor", "critic"]


class Reference(Seed64):
    """One seed of SAC."""

    def __init__(self, state, seed, *, learns=True, backup=True, target_entropy=-3.0):
        super().__init__(state, seed, NAMES)
        temperature = state.networks["temperature"].params["params"]["log_alpha"]
        self.log_alpha, self.moments, self.steps = float(temperature[seed]), [0.0, 0.0], 0
        self.learns, self.backup, self.target_entropy = learns, backup, target_entropy

    def draw(self, observations, key):
        """Raw numbers, actions, logs of their densities and the noise."""
        mean, log_std = np.split(self.networks["actor"](observations), 2, axis=1)
        noise = control.normals(key)
        raw = mean + np.exp(log_std) * noise
        actions = np.tanh(raw)
        normal = -0.5 * noise**2 - log_std - 0.5 * np.log(2 * np.pi)
        return raw, actions, (normal - np.log(1 - actions**2)).sum(1), noise

    def update(self, batch):
        """Losses and the entropy of before."""
        _, actor_key, target_key = self.split(4)
        alpha = np.exp(self.log_alpha)
        _, actions, log_probs, _ = self.draw(batch.s_t, target_key)
        q = control.q_values(self.targets["critic"], batch.s_t, actions).min(0)
        targets = control.td_targets(batch, q - (alpha * log_probs if self.backup else 0))
        critic_loss = self.critic_step(batch, targets, weight=0.5)
        actor_loss, entropy = self.actor_step(batch, alpha, jax.random.split(actor_key)[0])
        if self.learns:
            self.temperature_step(alpha * (entropy - self.target_entropy))
        self.move("critic")
        return critic_loss, actor_loss, entropy, alpha

    def actor_step(self, batch, alpha, key):
        actor, critics = self.networks["actor"], self.networks["critic"]
        inputs = actor.forward(batch.s_tm1)
        raw, actions, log_probs, noise = self.draw(batch.s_tm1, key)
        q = control.q_values(critics, batch.s_tm1, actions)
        per_action = np.zeros_like(actions)
        for member, critic in enumerate(critics):
            chosen = np.where(q.argmin(0) == member, -1 / BATCH, 0.0)
            per_action += control.action_gradients(critic, batch.s_tm1, actions, chosen)
        per_raw = per_action * (1 - actions**2) + 2 * alpha * np.tanh(raw) / BATCH
        log_std = np.split(inputs[-1], 2, axis=1)[1]
        per_log_std = per_raw * np.exp(log_std) * noise - alpha / BATCH
        grads, _ = actor.backward(inputs, np.concatenate([per_raw, per_log_std], axis=1))
        self.step("actor", grads)
        return (alpha * log_probs - q.min(0)).mean(), -log_probs.mean()

    def temperature_step(self, gradient):
        self.steps += 1
        first, second = self.moments
        self.moments = [0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2]
        root = np.sqrt(self.moments[1] / (1 - 0.999**self.steps)) + control.EPS
        self.log_alpha -= RATE * self.moments[0] / (1 - 0.9**self.steps) / root


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, {}),
        ({"num_critics": 3, "backup_entropy": False}, {"backup": False}),
        ({"target_entropy": 0.5, "initial_temperature": 0.2}, {"target_entropy": 0.5}),
        ({"learn_temperature": False}, {"learns": False}),
    ],
)
def test_updates_match_float64(settings, reference):
    learner = control.make_learner(SACAgent, **settings)
    state = learner.init(SEEDS)
    seeds = [Reference(state, seed, **reference) for seed in range(len(SEEDS))]
    for step in range(3):
        batch = control.make_batch(step)
        state, metrics, priorities = learner.update(state, batch)
        for place, seed in enumerate(seeds):
            expected = seed.update(control.of_seed(batch, place))
            names = ("critic/loss", "actor/loss", "actor/entropy")
            ours = [metrics[name][place] for name in names]
            np.testing.assert_allclose(ours, expected[:3], rtol=1e-4, atol=1e-5)
            if seed.learns:
                np.testing.assert_allclose(metrics["temperature/alpha"][place], expected[3], 1e-5)
        assert priorities.shape == (len(SEEDS), BATCH)
    control.assert_networks(state, seeds, NAMES)
    log_alphas = state.networks["temperature"].params["params"]["log_alpha"]
    np.testing.assert_allclose(log_alphas, [seed.log_alpha for seed in seeds], rtol=1e-5, atol=1e-6)


def test_the_temperature_goes_down_where_the_actor_is_more_random_than_asked():
    for target, sign in ((-50.0, -1.0), (50.0, 1.0)):
        learner = control.make_learner(SACAgent, target_entropy=target)
        state, _, _ = learner.update(learner.init(SEEDS), control.make_batch())
        moved = np.asarray(state.networks["temperature"].params["params"]["log_alpha"])
        assert (np.sign(moved) == sign).all()


def test_a_seed_is_what_it_is_alone_and_keys_go_on():
    learner = control.make_learner(SACAgent)
    batch = control.make_batch(num_seeds=3)
    together, _, _ = learner.update(learner.init((3, 4, 5)), batch)
    alone = jax.tree.map(lambda leaf: leaf[1:2], batch)
    one, _, _ = learner.update(learner.init((4,)), alone)
    trees = (together.networks["actor"].params, one.networks["actor"].params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[0], rtol=1e-5, atol=1e-6), *trees)
    assert (np.asarray(together.keys) != np.asarray(learner.init((3, 4, 5)).keys)).any(1).all()


def test_acting_is_uniform_over_the_box_while_it_explores_and_at_the_mean_in_evaluation():
    learner = control.make_learner(SACAgent)
    state = learner.init(SEEDS)
    observations, keys = control.make_batch().s_tm1[:, 0], state.keys
    drawn = []
    for _ in range(200):
        actions, keys = learner.act(state.params, keys, observations, 1.0)
        drawn.append(np.asarray(actions))
    drawn = control.inside(np.concatenate(drawn))
    assert abs(drawn).max() <= 1 + 1e-6
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.12)
    np.testing.assert_allclose((drawn**2).mean(0), 1 / 3, atol=0.06)
    played, kept = learner.act_eval(state.params, keys, observations, 0.0)
    means = [
        np.tanh(Seed64(state, seed, NAMES).networks["actor"](own[None])[0, : control.ACTION])
        for seed, own in enumerate(observations.astype(np.float64))
    ]
    np.testing.assert_allclose(control.inside(played), means, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(kept, keys)
    mine, _ = learner.act(state.params, keys, observations, 0.0)
    assert (np.asarray(mine) != np.asarray(played)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("initial_temperature", 0.0), ("num_critics", 0), ("target_smoothing_coefficient", 1.5)],
)
def test_a_wrong_setting_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"^SACAgent\.{name}="):
        SACAgent(**{name: value})


def test_a_prioritized_replay_is_refused():
    with pytest.raises(ConfigError, match=r"^SACAgent\.replay_scheme='prioritized': .*'uniform'"):
        SACAgent(replay_scheme="prioritized")


def test_the_losses_that_diagnostics_measure_are_those_of_the_update():
    learner = control.make_learner(SACAgent)
    batch = control.make_batch(num_seeds=1)
    state = learner.init((3,))
    one = jax.tree.map(lambda leaf: leaf[0], batch)
    alone = jax.tree.map(lambda leaf: leaf[0] if jnp.ndim(leaf) else leaf, state)
    member = jax.tree.map(lambda leaf: leaf[1], alone.networks["critic"].params)
    quantities = learner.quantities["critic"]
    targets = quantities.q_targets(alone, one)
    q = quantities.q_values(member, one.inputs)[:, 0]
    expected = 0.5 * (np.asarray(q) - np.asarray(targets)) ** 2
    np.testing.assert_allclose(quantities.losses(member, alone, one), expected, rtol=1e-5)
    losses = learner.quantities["actor"].losses(alone.networks["actor"].params, alone, one)
    assert losses.shape == (BATCH,)


def test_diagnostics_measure_whole_networks_where_an_update_silences_units():
    losses = []
    for dropout in (0.0, 0.5):
        torso = MLPTorso(units=control.UNITS, dropout=dropout)
        learner = control.make_learner(SACAgent, torso=torso)
        state = jax.tree.map(lambda x: x[0] if jnp.ndim(x) else x, learner.init(SEEDS))
        batch = jax.tree.map(lambda leaf: leaf[0], control.make_batch())
        params = state.networks["actor"].params
        losses.append(learner.quantities["actor"].losses(params, state, batch))
    np.testing.assert_array_equal(*losses)
