"""Milliseconds per DQN update and per action of all seeds, for each strategy over the seed axis.

Run: python benchmarks/seed_strategies.py [--seconds 2]
Batch 32, no pruning, data on the device. Strategies take turns and the minimum counts, so other
load on the machine shifts both sides of a ratio. `default_strategy` follows the printed table.
"""

import argparse
import time
from collections.abc import Callable

import jax
import numpy as np

from prune_rl.agents.dqn import DQNAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.seed_axis import STRATEGIES, default_strategy
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.torso import Torso
from prune_rl.specs import Batch, Discrete, ObservationSpec

ATARI, MINATAR = ObservationSpec((84, 84, 1), stack_size=4), ObservationSpec((10, 10, 4))
CASES: list[tuple[Torso, ObservationSpec, int, tuple[int, ...]]] = [
    (MinAtarTorso(width=1), MINATAR, 6, (1, 5)),
    (MinAtarTorso(width=4), MINATAR, 6, (1, 5)),
    (ImpalaTorso(width=1), MINATAR, 6, (1, 5)),
    (NatureTorso(width=1), ATARI, 18, (1, 2)),
    (ImpalaTorso(width=1), ATARI, 18, (1, 2)),
]


def random_batch(num_seeds: int, shape: tuple[int, ...], num_actions: int) -> Batch:
    """A batch of 32 transitions per seed, on the device."""
    rng = np.random.default_rng(0)
    states = rng.integers(0, 256, (2, num_seeds, 32, *shape), dtype=np.uint8)
    actions = rng.integers(0, num_actions, (num_seeds, 32), dtype=np.int32)
    rewards = rng.random((num_seeds, 32), dtype=np.float32)
    discounts = np.full((num_seeds, 32), 0.99, np.float32)
    return jax.device_put(Batch(states[0], actions, rewards, discounts, states[1]))


def workloads(
    agent: DQNAgent, spec: ObservationSpec, num_actions: int, num_seeds: int
) -> tuple[Callable[[], None], Callable[[], None]]:
    """One blocking update and one blocking action of every seed, compiled."""
    optimizers = create_optimizers(agent.networks, 1_000_000, 1_000_000)
    learner = agent.learner(spec, Discrete(num_actions), optimizers)
    state, batch = learner.init(range(num_seeds)), random_batch(num_seeds, spec.shape, num_actions)
    observations = np.zeros((num_seeds, *spec.shape), np.uint8)

    def update() -> None:
        nonlocal state
        state, metrics, _ = learner.update(state, batch)
        jax.block_until_ready(metrics)

    def act() -> None:
        np.asarray(learner.act(state.params, state.keys, observations, 0.01)[0])

    update()
    act()
    return update, act


def minima(functions: list[Callable[[], None]], seconds: float) -> list[float]:
    """Least milliseconds of each function, called in turn for `seconds`, at least three times."""
    best = [float("inf")] * len(functions)
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], 1e3 * (time.perf_counter() - start))
        rounds += 1
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per line and function")
    seconds = parser.parse_args().seconds
    backend = jax.default_backend()
    names = "".join(f"{name:>10}" for name in STRATEGIES)
    print(f"{backend}, ms of all seeds: update, then act; ratio = {' / '.join(STRATEGIES)}")
    print(f"{'torso':<16}{'input':<14}{'S':>2}{names}{'ratio':>7}{names}{'ratio':>7}  default")
    for torso, spec, num_actions, seed_counts in CASES:
        name = f"{type(torso).__name__} x{torso.width}"
        agents = [DQNAgent(torso=torso, seed_strategy=strategy) for strategy in STRATEGIES]
        for num_seeds in seed_counts:
            pairs = [workloads(agent, spec, num_actions, num_seeds) for agent in agents]
            line = f"{name:<16}{'x'.join(map(str, spec.shape)):<14}{num_seeds:>2}"
            for functions in zip(*pairs, strict=True):
                best = minima(list(functions), seconds)
                line += "".join(f"{ms:>10.3f}" for ms in best) + f"{best[0] / best[1]:>7.2f}"
            default = default_strategy(backend, type(torso).__name__, num_seeds)
            print(f"{line}  {default}", flush=True)


if __name__ == "__main__":
    main()
