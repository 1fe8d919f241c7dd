"""Behavioural cloning's update against a float64 rewrite in NumPy, backward by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.agents.bc import BCAgent
from prune_rl.errors import ConfigError
from prune_rl.networks.torsos.mlp import MLPTorso

from . import control
from .control import BATCH, EPS, RATE, SEEDS, Seed64

pytestmark = pytest.mark.usefixtures("quick_compiling")

NAMES = ["actor"]


class Gaussian(Seed64):
    """One seed whose density has a mean, squashed by tanh or not, and free deviations."""

    def __init__(self, state, seed, names, *, bounded):
        super().__init__(state, seed, names)
        params = state.networks["actor"].params["params"]
        self.log_std = np.asarray(params["log_std"][seed], np.float64)
        self.moments, self.bounded = np.zeros((2, control.ACTION)), bounded

    def mean(self, observations):
        raw = self.networks["actor"](observations)
        return np.tanh(raw) if self.bounded else raw

    def draw(self, observations, key):
        """Actions (B, A) in the box."""
        return np.clip(self.mean(observations) + np.exp(self.log_std) * control.normals(key), -1, 1)

    def copy_step(self, batch, weights):
        """One step up the data's log density, each transition weighted; returns the loss."""
        inputs = self.networks["actor"].forward(batch.s_tm1)
        mean = np.tanh(inputs[-1]) if self.bounded else inputs[-1]
        std, actions = np.exp(self.log_std), control.inside(batch.a_tm1)
        scaled = (actions - mean) / std
        log_probs = (-0.5 * scaled**2 - self.log_std - 0.5 * np.log(2 * np.pi)).sum(1)
        per_mean = -weights[:, None] * scaled / std / BATCH
        per_raw = per_mean * (1 - mean**2) if self.bounded else per_mean
        per_log_std = (weights[:, None] * (1 - scaled**2)).sum(0) / BATCH
        self.step("actor", self.networks["actor"].backward(inputs, per_raw)[0])
        first, second = self.moments
        self.moments = np.stack([0.9 * first + 0.1 * per_log_std, 0.999 * second])
        self.moments[1] += 0.001 * per_log_std**2
        steps = self.networks["actor"].steps
        root = np.sqrt(self.moments[1] / (1 - 0.999**steps)) + EPS
        self.log_std = self.log_std - RATE * self.moments[0] / (1 - 0.9**steps) / root
        return -(weights * log_probs).mean()


def test_updates_of_a_deterministic_policy_match_float64():
    learner = control.make_learner(BCAgent)
    state = learner.init(SEEDS)
    seeds = [Seed64(state, seed, NAMES) for seed in range(len(SEEDS))]
    for step in range(3):
        batch = control.make_batch(step)
        state, metrics, priorities = learner.update(state, batch)
        assert priorities.shape == (len(SEEDS), BATCH)
        for place, seed in enumerate(seeds):
            own = control.of_seed(batch, place)
            actor = seed.networks["actor"]
            inputs = actor.forward(own.s_tm1)
            actions = np.tanh(inputs[-1])
            errors = actions - control.inside(own.a_tm1)
            np.testing.assert_allclose(metrics["actor/loss"][place], (errors**2).mean(), rtol=1e-5)
            gradient = 2 * errors / errors.size * (1 - actions**2)
            seed.step("actor", actor.backward(inputs, gradient)[0])
    control.assert_networks(state, seeds, NAMES)


def test_updates_of_the_released_policy_match_float64():
    learner = control.make_learner(BCAgent, policy="gaussian")
    state = learner.init(SEEDS)
    seeds = [Gaussian(state, seed, NAMES, bounded=False) for seed in range(len(SEEDS))]
    for step in range(3):
        batch = control.make_batch(step)
        state, metrics, _ = learner.update(state, batch)
        for place, seed in enumerate(seeds):
            loss = seed.copy_step(control.of_seed(batch, place), np.ones(BATCH))
            np.testing.assert_allclose(metrics["actor/loss"][place], loss, rtol=1e-5)
    control.assert_networks(state, seeds, NAMES)
    log_stds = state.networks["actor"].params["params"]["log_std"]
    np.testing.assert_allclose(log_stds, [seed.log_std for seed in seeds], rtol=1e-4, atol=1e-6)


def test_actions_stay_in_the_box_whatever_the_actor_says():
    for policy in ("deterministic", "gaussian"):
        learner = control.make_learner(BCAgent, policy=policy)
        state = learner.init(SEEDS)
        params = jax.tree.map(lambda leaf: 50 * leaf + 5, state.params)
        for act in (learner.act, learner.act_eval):
            actions, _ = act(params, state.keys, control.make_batch().s_tm1[:, 0], 0.0)
            low, high = np.array(control.BOX.low), np.array(control.BOX.high)
            assert ((low - 1e-6 <= actions) & (actions <= high + 1e-6)).all()


def test_a_policy_that_there_is_not_is_refused():
    with pytest.raises(ConfigError, match=r"^BCAgent\.policy='gausian': .*gaussian"):
        BCAgent(policy="gausian")


def test_losses_that_diagnostics_measure_are_those_of_the_update():
    learner = control.make_learner(BCAgent)
    batch = control.make_batch()
    state = learner.init(SEEDS)
    one = jax.tree.map(lambda leaf: leaf[0], batch)
    params = jax.tree.map(lambda leaf: jnp.copy(leaf[0]), state.networks["actor"].params)
    losses = learner.quantities["actor"].losses(params, state, one)
    _, metrics, _ = learner.update(state, batch)
    np.testing.assert_allclose(losses.mean(), metrics["actor/loss"][0], rtol=1e-5)


def test_dropout_silences_each_transitions_units_while_it_learns_and_nobody_who_acts():
    learner = control.make_learner(BCAgent, torso=MLPTorso(units=7, dropout=0.5))
    whole = control.make_learner(BCAgent)
    batch = control.make_batch()
    batch = jax.tree.map(lambda leaf: np.repeat(leaf[:, :1], BATCH, axis=1), batch)  # all alike
    losses = []
    for seeds in (SEEDS, (5, 6)):
        params = whole.init(SEEDS).networks["actor"]
        state = learner.init(seeds).with_network("actor", params)
        _, metrics, _ = learner.update(state, batch)
        losses.append(float(metrics["actor/loss"][0]))
    _, metrics, _ = whole.update(whole.init(SEEDS), batch)
    assert len({*losses, float(metrics["actor/loss"][0])}) == 3
    state = whole.init(SEEDS)
    acts = [
        own.act_eval(state.params, state.keys, batch.s_tm1[:, 0], 0.0)[0]
        for own in (learner, whole)
    ]
    np.testing.assert_array_equal(*acts)
