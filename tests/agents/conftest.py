"""A torso small enough to differentiate by hand, and batches for it."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from prune_rl.agents.dqn import DQNAgent
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.networks.torsos.torso import merge_stack
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.specs import Batch, Discrete, ObservationSpec

SHAPE, NUM_ACTIONS = (2, 3, 3, 1), 4


class LinearTorso(nn.Module):
    """Five linear features of the flattened image."""

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        return nn.Dense(5)(merge_stack(observation).reshape(-1))


def observation_spec(shape):
    """Of stacks of images, (stack, H, W, C)."""
    stack, *frame = shape
    return ObservationSpec(tuple(frame), np.uint8, stack)


def with_target(state, target_params):
    """The state with such parameters in its target network."""
    return state.with_network("q", state.networks["q"].replace(target_params=target_params))


@pytest.fixture
def make_learner():
    """Builds a learner of 4 actions, by default DQN, with the linear torso, without pruning."""

    def make(strategy="vmap", *, kind=DQNAgent, torso=None, shape=SHAPE, pruner=None, **settings):
        agent = kind(torso=torso or LinearTorso(), seed_strategy=strategy, **settings)
        pruner = pruner or create_updater_from_config(num_gradient_steps=100)
        optimizers = {"q": pruner.wrap(create_optimizer())}
        return agent.learner(observation_spec(shape), Discrete(NUM_ACTIONS), optimizers)

    return make


@pytest.fixture
def make_batch():
    """Random transitions; large and small errors, a quarter of them terminal."""

    def make(num_seeds, seed=0, shape=SHAPE, batch_size=8, prioritized=False):
        rng, size = np.random.default_rng(seed), (num_seeds, batch_size)
        discounts = np.where(rng.random(size) < 0.25, 0.0, 0.99)
        return Batch(
            rng.integers(0, 256, (*size, *shape), dtype=np.uint8),
            rng.integers(0, NUM_ACTIONS, size, dtype=np.int32),
            rng.normal(0, 2, size).astype(np.float32),
            discounts.astype(np.float32),
            rng.integers(0, 256, (*size, *shape), dtype=np.uint8),
            rng.uniform(1e-6, 1e-2, size).astype(np.float32) if prioritized else None,
        )

    return make
