"""Rejax's DQN on MinAtar Breakout (gymnax), with our settings and network where it has them.

It makes one update per step of all its environments: the replay ratio 0.25 takes four of them, and
one environment makes the ratio 1. Both are measured. Its environment has no sticky actions and ends
episodes after 1,000 steps. Evaluations are left out.
"""

from collections.abc import Mapping
from typing import Any

import jax
from flax import linen as nn
from jax import numpy as jnp
from rejax import get_algo
from rejax.networks import EpsilonGreedyPolicy

from benchmarks.serve import Loop, serve

_HISTORY, _QUANTUM = 1_000, 400  # agent steps


class _Network(nn.Module):
    """MinAtar's small network, as Rejax asks for one."""

    action_dim: int

    @nn.compact
    def __call__(self, obs: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(16, (3, 3), padding="VALID")(obs))
        x = nn.relu(nn.Dense(128)(x.reshape(x.shape[0], -1)))
        return nn.Dense(self.action_dim)(x)

    def take(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        return jnp.take_along_axis(self(obs), action[:, None], axis=1).squeeze(1)


def create(settings: Mapping[str, Any]) -> Loop:
    """A loop of `settings`: environments, how many."""
    environments = settings["environments"]
    algorithm = get_algo("dqn").create(
        env="Breakout-MinAtar",
        num_envs=environments,
        num_epochs=1,
        buffer_size=100_000,
        fill_buffer=_HISTORY,
        batch_size=32,
        learning_rate=2.5e-4,
        ddqn=False,
        polyak=0.0,
        target_update_freq=1_000,
        total_timesteps=500_000,
    )
    algorithm = algorithm.replace(agent=EpsilonGreedyPolicy(_Network)(action_dim=3))
    train = jax.jit(
        lambda state, turns: jax.lax.fori_loop(
            0, turns, lambda _, own: algorithm.train_iteration(own), state
        ),
        donate_argnums=0,
    )
    state = jax.jit(algorithm.init_state)(jax.random.PRNGKey(0))

    def run(steps: int) -> None:
        nonlocal state
        state = jax.block_until_ready(train(state, steps // environments))

    run(_HISTORY + _QUANTUM)
    note = "as many updates as steps" if environments == 1 else f"{environments} environments"
    return Loop(run, quantum=_QUANTUM, note=note)


if __name__ == "__main__":
    serve(create, ["rejax", "gymnax", "jax", "jaxlib", "flax", "optax", "numpy"])
