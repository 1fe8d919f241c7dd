"""Milliseconds per learning step of DQN and of Rainbow: batch, update and priorities together.

Run: python benchmarks/rainbow_update.py [--seconds 20]
A step samples 32 transitions of one seed from a replay of a million frames (twenty thousand
filled), makes the update, waits for it, and with Rainbow writes the priorities back. The two take
turns, so that other load shifts both sides of the ratio; medians count. No pruning.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np

from prune_rl.agents.dqn import DQNAgent
from prune_rl.agents.rainbow import RainbowAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.value_agent import ValueAgent
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.torso import Torso
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.specs import Discrete, ObservationSpec

NUM_ROWS = 20_000
MINATAR, ATARI = ObservationSpec((10, 10, 4)), ObservationSpec((84, 84, 1), stack_size=4)
CASES: list[tuple[Torso, ObservationSpec, Discrete]] = [
    (MinAtarTorso(), MINATAR, Discrete(6)),
    (NatureTorso(), ATARI, Discrete(18)),
    (ImpalaTorso(), ATARI, Discrete(18)),
]


def filled_replay(
    agent: ValueAgent, observation_spec: ObservationSpec, action_spec: Discrete
) -> ReplayBuffer:
    """A replay of random transitions in episodes of 500 agent steps."""
    rng = np.random.default_rng(0)
    replay = ReplayBuffer(
        seeds=[0],
        observation_spec=observation_spec,
        action_spec=action_spec,
        update_horizon=agent.update_horizon,
        gamma=agent.gamma,
        create_sampler=SAMPLERS[agent.replay_scheme],
    )
    frames = rng.integers(0, 256, (64, 1, *observation_spec.frame_shape), dtype=np.uint8)
    replay.add_first(frames[0])
    for step in range(NUM_ROWS):
        replay.add(
            actions=rng.integers(0, action_spec.num_actions, 1),
            rewards=rng.normal(size=1).astype(np.float32),
            terminated=np.array([step % 500 == 499]),
            truncated=np.zeros(1, bool),
            next_frames=frames[step % 64],
            frames=frames[step % 64],
        )
    return replay


def learning_step(
    agent: ValueAgent, observation_spec: ObservationSpec, action_spec: Discrete
) -> Callable[[], None]:
    """One blocking learning step, compiled."""
    optimizers = create_optimizers(agent.networks, 1_000_000, 1_000_000)
    learner = agent.learner(observation_spec, action_spec, optimizers)
    state, replay = learner.init([0]), filled_replay(agent, observation_spec, action_spec)

    def step() -> None:
        nonlocal state
        batch = replay.sample()
        state, metrics, priorities = learner.update(state, batch)
        jax.block_until_ready((state, metrics))
        if batch.probabilities is not None:
            replay.update_priorities(np.asarray(priorities))

    step()
    return step


def medians(functions: list[Callable[[], None]], seconds: float) -> list[float]:
    """Median milliseconds of each function, called in turn."""
    times: list[list[float]] = [[] for _ in functions]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 5:
        for own, function in zip(times, functions, strict=True):
            start = time.perf_counter()
            function()
            own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="per torso")
    seconds = parser.parse_args().seconds
    print(f"{jax.default_backend()}, ms per learning step of one seed")
    print(f"{'torso':<14}{'DQN':>9}{'Rainbow':>9}{'ratio':>7}{'full':>9}{'ratio':>7}")
    for torso, *specs in CASES:
        agents = [
            DQNAgent(torso=torso),
            RainbowAgent(torso=torso),
            RainbowAgent(torso=torso, double_dqn=True, dueling=True, noisy=True),
        ]
        steps = [learning_step(agent, *specs) for agent in agents]
        dqn, rainbow, full = medians(steps, seconds)
        name = f"{type(torso).__name__} x{torso.width}"
        print(
            f"{name:<14}{dqn:>9.2f}{rainbow:>9.2f}{rainbow / dqn:>7.2f}"
            f"{full:>9.2f}{full / dqn:>7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
