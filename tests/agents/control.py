"""Agents of continuous actions, small enough to be done by hand, and what their tests share."""

from dataclasses import replace

import jax
import numpy as np

from prune_rl.learning.optimizers import create_optimizer
from prune_rl.networks.torsos.mlp import MLPTorso
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Batch, Box, ObservationSpec

from .mlp64 import of_flax

OBSERVATION, BATCH, UNITS, SEEDS = 5, 8, 7, (3, 4)
BOX = Box((-0.4, -1.0, -3.0), (0.4, 3.0, 1.0))  # as Humanoid's, off centre, wide
ACTION = len(BOX.low)
CENTER, HALF = np.array([0.0, 1.0, -1.0]), np.array([0.4, 2.0, 2.0])
# A large epsilon: Adam divides gradients near zero by little else than their own rounding.
RATE, EPS, TAU = 1e-2, 1e-3, 0.1


def make_learner(kind, *, strategy="vmap", pruners=None, torso=None, **settings):
    """A learner of such an agent with small networks, each unpruned unless `pruners` names it."""
    torso = torso or MLPTorso(units=UNITS)
    torsos = {name: torso for name in kind.__dataclass_fields__ if name.endswith("torso")}
    if "target_smoothing_coefficient" in kind.__dataclass_fields__:
        settings = {"target_smoothing_coefficient": TAU} | settings
    agent = kind(seed_strategy=strategy, **torsos, **settings)
    optimizers = make_optimizers(agent, pruners or {})
    return agent.learner(ObservationSpec((OBSERVATION,), np.float32), BOX, optimizers)


def make_optimizers(agent, pruners):
    """Of each network of an agent."""
    dense = create_updater_from_config(100)
    optimizer = create_optimizer(learning_rate=RATE, eps=EPS)

    def pruner(name):
        return replace(pruners.get(name, dense), period=agent.periods.get(name, 1))

    return {x: pruner(x).wrap(optimizer, members) for x, members in agent.networks.items()}


def make_batch(seed=0, num_seeds=2, batch_size=BATCH):
    """Random transitions, a quarter of them terminal, actions in the box."""
    rng, size = np.random.default_rng(seed), (num_seeds, batch_size)
    observations = rng.normal(size=(2, *size, OBSERVATION)).astype(np.float32)
    discounts = np.where(rng.random(size) < 0.25, 0.0, 0.99)
    inner = rng.uniform(-1, 1, (*size, ACTION))
    return Batch(
        observations[0],
        (CENTER + HALF * inner).astype(np.float32),
        rng.normal(0, 2, size).astype(np.float32),
        discounts.astype(np.float32),
        observations[1],
    )


class Seed64:
    """What one seed holds, in float64: networks by name, critics a list of their members."""

    def __init__(self, state, seed, names):
        self.networks, self.targets = {}, {}
        for name in names:
            network = state.networks[name]
            self.networks[name] = _of(network.params, name, seed)
            if network.target_params is not None:
                self.targets[name] = _of(network.target_params, name, seed)
        self.keys = np.asarray(state.keys)[seed]

    def split(self, num):
        """Splits the seed's keys as an update does; keeps the first."""
        self.keys, *others = jax.random.split(self.keys, num)
        return others

    def step(self, name, grads):
        """Adam on a network, or on each member of it."""
        own = self.networks[name]
        pairs = zip(own, grads, strict=True) if isinstance(own, list) else [(own, grads)]
        for network, own_grads in pairs:
            network.adam(own_grads, RATE, eps=EPS)

    def move(self, name):
        """The targets of a network, part of the way to it."""
        own, targets = self.networks[name], self.targets[name]
        pairs = zip(own, targets, strict=True) if isinstance(own, list) else [(own, targets)]
        for network, target in pairs:
            target.towards(network, TAU)

    def critic_step(self, batch, targets, weight=1.0):
        """One step of every critic to the targets (B,); returns the loss."""
        read = np.concatenate([batch.s_tm1, inside(batch.a_tm1)], axis=1)
        grads, loss = [], 0.0
        for critic in self.networks["critic"]:
            inputs = critic.forward(read)
            errors = inputs[-1][:, 0] - targets
            loss += weight * (errors**2).mean()
            gradient = 2 * weight * errors / len(errors)
            grads.append(critic.backward(inputs, gradient[:, None])[0])
        self.step("critic", grads)
        return loss


def inside(actions):
    """Actions in [-1, 1]."""
    return (actions - CENTER) / HALF


def q_values(critics, observations, actions):
    """(members, B), of actions in [-1, 1]."""
    read = np.concatenate([observations, actions], axis=1)
    return np.stack([critic(read)[:, 0] for critic in critics])


def action_gradients(critic, observations, actions, gradient):
    """Of a critic's values times `gradient` (B,), in the actions (B, A)."""
    inputs = critic.forward(np.concatenate([observations, actions], axis=1))
    return critic.backward(inputs, gradient[:, None])[1][:, observations.shape[1] :]


def normals(key):
    """What B transitions draw, (B, A)."""
    return np.asarray(jax.random.normal(key, (BATCH, ACTION)), np.float64)


def td_targets(batch, values):
    """(B,)."""
    return batch.r_t + batch.discount_t * values


def of_seed(batch, seed):
    """One seed's batch in float64."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[seed], np.float64), batch)


def assert_networks(state, seeds, names, rtol=2e-4, atol=2e-6):
    """Asserts that the networks and targets of all seeds are those in float64."""
    for place, expected in enumerate(seeds):
        own = Seed64(state, place, names)
        for ours, theirs in ((own.networks, expected.networks), (own.targets, expected.targets)):
            assert ours.keys() == theirs.keys()
            for name, network in theirs.items():
                _assert_same(ours[name], network, f"{name} of seed {place}", rtol, atol)


def _assert_same(ours, theirs, name, rtol, atol):
    if isinstance(theirs, list):
        for member, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            _assert_same(own, other, f"member {member} of {name}", rtol, atol)
        return
    for layer, (own, other) in enumerate(zip(ours.layers, theirs.layers, strict=True)):
        for a, b in zip(own, other, strict=True):
            np.testing.assert_allclose(a, b, rtol, atol, err_msg=f"{name}, layer {layer}")


def _of(params, name, seed):
    if name != "critic":
        return of_flax(params, seed)
    members = jax.tree.leaves(params)[0].shape[1]
    return [of_flax(params, seed, member) for member in range(members)]
