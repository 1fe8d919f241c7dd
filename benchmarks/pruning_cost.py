"""Milliseconds that pruning adds to a gradient step of the Impala ResNet, by width.

Run: python benchmarks/pruning_cost.py [--widths 1 3 5] [--methods magnitude rigl]
Batch 32, one seed, ERK at 95 %. "step" is a whole dense gradient step; "keep" what holding masks
adds to it, "remake" what making them anew adds. The optimizers of one width take turns on the same
weights and gradients and the minimum counts. The last column is the cost of mask updates every
1,000 gradient steps, the default period, as a share of a step.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from prune_rl.agents.dqn import DQNAgent
from prune_rl.experiment import create_optimizers
from prune_rl.networks.q_network import QNetwork
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.pruning import distributions
from prune_rl.pruning.methods import METHODS
from prune_rl.pruning.pruner import Pruner
from prune_rl.pruning.schedules import PeriodicSchedule, PolynomialSchedule
from prune_rl.specs import Batch, Discrete, ObservationSpec

SHAPE, NUM_ACTIONS, BATCH, ROUNDS, NEVER = (4, 84, 84, 1), 18, 32, 3, 2**30
PERIOD = 1000


def timed(function: Callable[[], Any]) -> float:
    """Milliseconds of one blocking call."""
    start = time.perf_counter()
    jax.block_until_ready(function())
    return 1e3 * (time.perf_counter() - start)


def gradient_step(width: int) -> float:
    """Least milliseconds of a dense agent's update."""
    agent, spec = DQNAgent(torso=ImpalaTorso(width=width)), ObservationSpec(SHAPE[1:], stack_size=4)
    learner = agent.learner(spec, Discrete(NUM_ACTIONS), create_optimizers(agent.networks, 1, 1))
    states = np.zeros((2, 1, BATCH, *SHAPE), np.uint8)
    ones = np.ones((1, BATCH), np.float32)
    batch = Batch(states[0], np.zeros((1, BATCH), np.int32), ones, ones, states[1])
    state = learner.init([0])

    def update() -> Any:
        nonlocal state
        state, metrics, _ = learner.update(state, batch)
        return metrics

    update()
    return min(timed(update) for _ in range(ROUNDS))


def optimizer_steps(params: Any, method: str) -> list[float]:
    """Least milliseconds of an Adam step: dense, with masks that stay, with masks remade."""
    whole = METHODS[method].whole_network
    distribution = distributions.uniform if whole else distributions.erk
    adam = optax.adam(1e-4)
    late, now = PeriodicSchedule(NEVER, NEVER, 1), PolynomialSchedule(0, 100, 1)
    pruners = [
        Pruner(METHODS[method], schedule, partial(distribution, sparsity=0.95))
        for schedule in (late, now)
    ]
    grads = jax.tree.map(lambda leaf: jax.random.normal(jax.random.PRNGKey(1), leaf.shape), params)

    def step(optimizer: Any) -> Callable[[], Any]:
        @partial(jax.jit, donate_argnums=(0, 1))
        def train(params: Any, state: Any, grads: Any) -> Any:
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        held = jax.jit(lambda: (copy(params), optimizer.init(copy(params))))()

        def call() -> Any:
            nonlocal held
            held = train(*held, grads)
            return held

        call()
        return call

    calls = [step(optimizer) for optimizer in (adam, *(own.wrap(adam) for own in pruners))]
    rounds = [[timed(call) for call in calls] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def copy(tree: Any) -> Any:
    """New buffers of the same values, to be donated."""
    return jax.tree.map(jnp.copy, tree)


def main() -> None:
    """Prints a line per width and method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 3, 5])
    parser.add_argument(
        "--methods", nargs="+", default=["magnitude", "global_magnitude", "rigl"], choices=METHODS
    )
    flags = parser.parse_args()
    print(
        f"{jax.default_backend()}, ms: step = a dense gradient step, keep and remake = added to it"
    )
    print(
        f"{'width':<6}{'weights':>11}{'step':>8}  {'method':<18}{'keep':>7}{'remake':>8}  amortised"
    )
    for width in flags.widths:
        network = QNetwork(ImpalaTorso(width=width), NUM_ACTIONS)
        params = network.init(jax.random.PRNGKey(0), jnp.zeros(SHAPE, jnp.uint8))
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        whole = gradient_step(width)
        for method in flags.methods:
            dense, keep, remake = optimizer_steps(params, method)
            share = (remake - keep) / PERIOD / whole
            print(
                f"x{width:<5}{size:>11,}{whole:>8.0f}  {method:<18}{keep - dense:>7.1f}"
                f"{remake - keep:>8.1f}  {share:>8.3%}"
            )


if __name__ == "__main__":
    main()
