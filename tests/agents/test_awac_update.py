"""AWAC's update against a float64 rewrite in NumPy, and the released code's loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.awac import AWACAgent
from prune_rl.errors import ConfigError

from . import control
from .control import BATCH, SEEDS
from .test_bc_update import Gaussian

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAMES = ["actor", "critic"]


class Reference(Gaussian):
    """One seed of AWAC."""

    def __init__(self, state, seed, *, temperature=1 / 3, largest=100.0):
        super().__init__(state, seed, NAMES, bounded=False)
        self.temperature, self.largest = temperature, largest

    def update(self, batch):
        """The critics' loss and the actor's."""
        _, actor_key, target_key = self.split(4)
        actions = self.draw(batch.s_t, target_key)
        q = control.q_values(self.targets["critic"], batch.s_t, actions).min(0)
        critic_loss = self.critic_step(batch, control.td_targets(batch, q))
        self.weights = self.of_transitions(batch, jax.random.split(actor_key)[0])
        actor_loss = self.copy_step(batch, self.weights)
        self.move("critic")
        return critic_loss, actor_loss

    def of_transitions(self, batch, key):
        critics, own = self.networks["critic"], self.draw(batch.s_tm1, key)
        taken = control.q_values(critics, batch.s_tm1, control.inside(batch.a_tm1)).min(0)
        advantages = taken - control.q_values(critics, batch.s_tm1, own).min(0)
        return np.minimum(np.exp(advantages / self.temperature), self.largest)


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        ({}, {}),
        (
            {"num_critics": 3, "advantage_temperature": 0.02, "largest_weight": 1.5},
            {"temperature": 0.02, "largest": 1.5},
        ),
    ],
)
def test_updates_match_float64(settings, reference):
    learner = control.make_learner(AWACAgent, **settings)
    state = learner.init(SEEDS)
    seeds = [Reference(state, seed, **reference) for seed in range(len(SEEDS))]
    for step in range(3):
        batch = control.make_batch(step)
        state, metrics, priorities = learner.update(state, batch)
        assert priorities.shape == (len(SEEDS), BATCH)
        for place, seed in enumerate(seeds):
            expected = seed.update(control.of_seed(batch, place))
            ours = [metrics[name][place] for name in ("critic/loss", "actor/loss")]
            np.testing.assert_allclose(ours, expected, rtol=2e-4, atol=1e-5)
    control.assert_networks(state, seeds, NAMES)
    if reference:
        assert (seeds[0].weights == 1.5).any()


def test_the_released_codes_weights_of_every_transition_for_every_other_are_not_followed():
    """Sparse-Reg's AWAC multiplies (B, 1) by (B,): all weights by all densities, B x B."""
    learner = control.make_learner(AWACAgent)
    state = learner.init(SEEDS)
    reference, batch = Reference(state, 0), control.make_batch()
    own = control.of_seed(batch, 0)
    mean, std = reference.mean(own.s_tm1), np.exp(reference.log_std)
    scaled = (control.inside(own.a_tm1) - mean) / std
    copied = (0.5 * scaled**2 + np.log(std) + 0.5 * np.log(2 * np.pi)).sum(1)
    _, actor_loss = reference.update(own)
    broadcast = (reference.weights[:, None] * copied).mean()  # (B, B)
    # That is no weighting at all: cloning, times the mean weight.
    assert broadcast == pytest.approx(reference.weights.mean() * copied.mean())
    assert abs(actor_loss - broadcast) > 1e-3
    _, metrics, _ = learner.update(state, batch)
    np.testing.assert_allclose(metrics["actor/loss"][0], actor_loss, rtol=1e-4)


@pytest.mark.parametrize(("settings", "used"), [({}, -6.0), ({"min_log_std": -5.0}, -5.0)])
def test_a_small_deviation_is_no_smaller_than_asked(settings, used):
    """CORL lets it fall to exp(-20), Sparse-Reg's released code to exp(-5)."""
    learner = control.make_learner(AWACAgent, **settings)
    state = learner.init(SEEDS)
    actor = state.networks["actor"]
    params = {"params": actor.params["params"] | {"log_std": np.full((2, control.ACTION), -6.0)}}
    state = state.with_network("actor", actor.replace(params=jax.tree.map(jnp.float32, params)))
    reference, batch = Reference(state, 0), control.make_batch()
    assert (reference.log_std == -6).all()
    reference.log_std = np.full(control.ACTION, used)
    _, expected = reference.update(control.of_seed(batch, 0))
    _, metrics, _ = learner.update(state, batch)
    np.testing.assert_allclose(metrics["actor/loss"][0], expected, rtol=1e-3)


@pytest.mark.parametrize("value", [-101.0, 2.0, float("nan")])
def test_a_border_of_deviations_above_the_other_is_refused(value):
    with pytest.raises(ConfigError, match=r"^AWACAgent\.min_log_std=.*in \[-100, 2\)"):
        AWACAgent(min_log_std=value)


@pytest.mark.parametrize("name", ["advantage_temperature", "largest_weight"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_a_wrong_setting_names_its_binding(name, value):
    with pytest.raises(ConfigError, match=rf"^AWACAgent\.{name}=.*> 0"):
        AWACAgent(**{name: value})


def test_an_advantage_beyond_floats_weighs_the_most_and_no_more():
    learner = control.make_learner(AWACAgent, advantage_temperature=1e-6)
    state, metrics, _ = learner.update(learner.init(SEEDS), control.make_batch(batch_size=BATCH))
    assert np.isfinite(metrics["actor/loss"]).all()
    assert (np.asarray(state.diverged_at) == 0).all()
