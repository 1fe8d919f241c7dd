"""TD3+BC's update against a float64 rewrite in NumPy, backward by hand."""

import jax
import numpy as np
import pytest

from prune_rl.agents.td3_bc import TD3BCAgent
from prune_rl.errors import ConfigError

from . import control
from .control import BATCH, SEEDS, Seed64

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAMES = ["actor", "critic"]


class Reference(Seed64):
    """One seed of TD3+BC."""

    def __init__(self, state, seed, *, alpha=2.5, noise=0.2, clip=0.5, delay=2):
        super().__init__(state, seed, NAMES)
        self.alpha, self.noise, self.clip, self.delay = alpha, noise, clip, delay
        self.made = 0

    def update(self, batch):
        """The critics' loss and the actor's, 0 where it waits."""
        _, _, target_key = self.split(4)
        actions = np.tanh(self.targets["actor"](batch.s_t))
        drawn = np.asarray(jax.random.normal(target_key, actions.shape), np.float64)
        noise = np.clip(self.noise * drawn, -self.clip, self.clip)
        actions = np.clip(actions + noise, -1, 1)
        q = control.q_values(self.targets["critic"], batch.s_t, actions).min(0)
        critic_loss = self.critic_step(batch, control.td_targets(batch, q))
        is_due, self.made = self.made % self.delay == 0, self.made + 1
        return critic_loss, self.actor_step(batch) if is_due else 0.0

    def actor_step(self, batch):
        actor, critic = self.networks["actor"], self.networks["critic"][0]
        inputs = actor.forward(batch.s_tm1)
        actions = np.tanh(inputs[-1])
        q = control.q_values([critic], batch.s_tm1, actions)[0]
        scale = self.alpha / abs(q).mean()
        errors = actions - control.inside(batch.a_tm1)
        up = np.full(BATCH, -scale / BATCH)
        per_action = control.action_gradients(critic, batch.s_tm1, actions, up)
        per_action += 2 * errors / errors.size
        self.step("actor", actor.backward(inputs, per_action * (1 - actions**2))[0])
        for name in NAMES:
            self.move(name)
        return -scale * q.mean() + (errors**2).mean()


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, {}),
        ({"policy_delay": 1, "num_critics": 3}, {"delay": 1}),
        (
            {"alpha": 0.7, "policy_noise": 1.5, "noise_clip": 0.3, "policy_delay": 5},
            {"alpha": 0.7, "noise": 1.5, "clip": 0.3, "delay": 5},
        ),
    ],
)
def test_updates_match_float64(settings, reference):
    learner = control.make_learner(TD3BCAgent, **settings)
    state = learner.init(SEEDS)
    seeds = [Reference(state, seed, **reference) for seed in range(len(SEEDS))]
    for step in range(4):
        batch = control.make_batch(step)
        state, metrics, priorities = learner.update(state, batch)
        assert priorities.shape == (len(SEEDS), BATCH)
        for place, seed in enumerate(seeds):
            expected = seed.update(control.of_seed(batch, place))
            ours = [metrics[name][place] for name in ("critic/loss", "actor/loss")]
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    control.assert_networks(state, seeds, NAMES)


def test_while_the_actor_waits_neither_it_nor_a_target_moves():
    learner = control.make_learner(TD3BCAgent)
    state, _, _ = learner.update(learner.init(SEEDS), control.make_batch())
    before = jax.device_get(state)
    state, _, _ = learner.update(state, control.make_batch(1))
    jax.tree.map(np.testing.assert_array_equal, before.networks["actor"], state.networks["actor"])
    old, new = before.networks["critic"], state.networks["critic"]
    jax.tree.map(np.testing.assert_array_equal, old.target_params, new.target_params)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), old.params, new.params)
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("value", [0, 3, 20, 2.5])
def test_a_delay_whose_steps_nobody_looks_at_is_refused(value):
    with pytest.raises(ConfigError, match=r"^TD3BCAgent\.policy_delay=.*1, 2, 5 or 10"):
        TD3BCAgent(policy_delay=value)


def test_the_actors_pruner_counts_the_gradient_steps_of_the_agent():
    assert TD3BCAgent().periods == {"actor": 2}
    assert TD3BCAgent(policy_delay=5).periods == {"actor": 5}
