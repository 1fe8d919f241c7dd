"""IQL's update against a float64 rewrite in NumPy, and the released code's losses."""

import numpy as np
import pytest

from prune_rl.agents.iql import IQLAgent
from prune_rl.errors import ConfigError

from . import control
from .control import BATCH, SEEDS
from .test_bc_update import Gaussian

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAMES = ["actor", "critic", "value"]


class Reference(Gaussian):
    """One seed of IQL."""

    def __init__(self, state, seed, *, tau=0.7, beta=3.0, largest=100.0, bounded=True):
        super().__init__(state, seed, NAMES, bounded=bounded)
        self.tau, self.beta, self.largest = tau, beta, largest

    def value(self, observations):
        return self.networks["value"](observations)[:, 0]

    def update(self, batch):
        """Losses of value, actor and critics."""
        self.split(4)
        actions = control.inside(batch.a_tm1)
        q = control.q_values(self.targets["critic"], batch.s_tm1, actions).min(0)
        value_loss = self.value_step(batch, q)
        advantages = q - self.value(batch.s_tm1)
        self.weights = np.minimum(np.exp(self.beta * advantages), self.largest)
        targets = control.td_targets(batch, self.value(batch.s_t))
        actor_loss = self.copy_step(batch, self.weights)
        critic_loss = self.critic_step(batch, targets)
        self.move("critic")
        return value_loss, actor_loss, critic_loss

    def value_step(self, batch, q):
        inputs = self.networks["value"].forward(batch.s_tm1)
        gaps = q - inputs[-1][:, 0]
        sides = np.where(gaps < 0, 1 - self.tau, self.tau)
        gradient = -2 * sides * gaps / BATCH
        self.step("value", self.networks["value"].backward(inputs, gradient[:, None])[0])
        return (sides * gaps**2).mean()


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, {}),
        ({"bounded_mean": False, "num_critics": 3}, {"bounded": False}),
        (
            {"expectile": 0.9, "advantage_scale": 30.0, "largest_weight": 1.5},
            {"tau": 0.9, "beta": 30.0, "largest": 1.5},
        ),
    ],
)
def test_updates_match_float64(settings, reference):
    learner = control.make_learner(IQLAgent, **settings)
    state = learner.init(SEEDS)
    seeds = [Reference(state, seed, **reference) for seed in range(len(SEEDS))]
    for step in range(3):
        batch = control.make_batch(step)
        state, metrics, priorities = learner.update(state, batch)
        assert priorities.shape == (len(SEEDS), BATCH)
        for place, seed in enumerate(seeds):
            expected = seed.update(control.of_seed(batch, place))
            ours = [metrics[f"{name}/loss"][place] for name in ("value", "actor", "critic")]
            np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-5)
    control.assert_networks(state, seeds, NAMES)
    if "largest" in reference:
        assert (seeds[0].weights == 1.5).any()


def test_the_released_codes_advantages_of_every_transition_for_every_other_are_not_followed():
    """Sparse-Reg's IQL subtracts v (B,) from q (B, 1): B x B advantages, in both losses.

    Its actor's weights (B, B) times log densities (B,) weigh each of them by a mean over all.
    """
    learner = control.make_learner(IQLAgent, advantage_scale=30.0)
    state = learner.init(SEEDS)
    reference, batch = Reference(state, 0, beta=30.0), control.make_batch()
    own = control.of_seed(batch, 0)
    actions = control.inside(own.a_tm1)
    q = control.q_values(reference.targets["critic"], own.s_tm1, actions).min(0)
    gaps = q[:, None] - reference.value(own.s_tm1)  # (B, B)
    released = (np.where(gaps < 0, 0.3, 0.7) * gaps**2).mean()
    value_loss, _, _ = reference.update(own)
    assert abs(released / value_loss - 1) > 0.02
    # The actor's loss is by the values just updated, of the actor as it was.
    before = Reference(state, 0)
    advantages = q[:, None] - reference.value(own.s_tm1)
    weights = np.minimum(np.exp(30 * advantages), 100)
    released = before.copy_step(own, weights.mean(0))
    actor_loss = Reference(state, 0).copy_step(own, np.diag(weights))
    assert abs(released / actor_loss - 1) > 0.02
    _, metrics, _ = learner.update(state, batch)
    np.testing.assert_allclose(metrics["value/loss"][0], value_loss, rtol=1e-4)
    np.testing.assert_allclose(metrics["actor/loss"][0], actor_loss, rtol=1e-4)


def test_the_expectile_of_one_half_is_the_mean_and_a_high_one_is_above_it():
    values = {}
    for expectile in (0.5, 0.9):
        learner = control.make_learner(IQLAgent, expectile=expectile)
        state, batch = learner.init(SEEDS), control.make_batch()
        batch = batch._replace(s_tm1=np.zeros_like(batch.s_tm1))  # one state, many actions
        for _ in range(60):
            state, _, _ = learner.update(state, batch)
        values[expectile] = [
            Reference(state, seed).value(np.zeros((1, control.OBSERVATION)))[0]
            for seed in range(len(SEEDS))
        ]
    assert (np.array(values[0.9]) > np.array(values[0.5])).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, float("nan")])
def test_an_expectile_outside_its_range_names_its_binding(value):
    with pytest.raises(ConfigError, match=r"^IQLAgent\.expectile=.*\(0, 1\)"):
        IQLAgent(expectile=value)
