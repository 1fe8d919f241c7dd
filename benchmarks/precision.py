"""Milliseconds of a DQN update in each precision, and how far its action values come to differ.

Run: python -m benchmarks.precision [--updates 200] [--seconds 10]
Batch 32, one seed, no pruning. CPU time of the process where JAX runs on CPU, else wall time;
precisions take turns and the least counts. Then each trains from the same weights on the same
batches. `max` and `mean` are of |Q - Q of fp32| over 32 observations, both over the largest |Q|;
`actions` is the share of best actions that are the same. The last line of a torso is fp32 again,
from weights that differ in their last bit: what any other order of sums would do.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from prune_rl.agents.dqn import DQNAgent
from prune_rl.experiment import create_optimizers
from prune_rl.learning.learner import Learner
from prune_rl.networks.precision import PRECISIONS
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.torso import Torso
from prune_rl.specs import Batch, Discrete, Inputs, ObservationSpec

ATARI = ObservationSpec((84, 84, 1), stack_size=4)
TORSOS: tuple[Torso, ...] = (NatureTorso(), ImpalaTorso())
_ACTIONS, _BATCH, _BATCHES = 6, 32, 16
_LAST_BIT = "fp32, other last bits"


class Deviation(NamedTuple):
    """Of action values from those of fp32.

    Attributes:
        largest: over the largest value of fp32.
        mean: likewise.
        same_actions: share of observations whose best action is the same.
    """

    largest: float
    mean: float
    same_actions: float


def learner_of(torso: Torso, precision: str, spec: ObservationSpec = ATARI) -> Learner:
    """DQN with the defaults, of 6 actions."""
    agent = DQNAgent(torso=torso, precision=precision)
    optimizers = create_optimizers(agent.networks, 1_000_000, 1_000_000)
    return agent.learner(spec, Discrete(_ACTIONS), optimizers)


def batches(spec: ObservationSpec = ATARI) -> list[Batch]:
    """16 of 32 random transitions of one seed."""
    rng, size = np.random.default_rng(0), (1, _BATCH)
    return [
        Batch(
            rng.integers(0, 256, (*size, *spec.shape), dtype=np.uint8),
            rng.integers(0, _ACTIONS, size, dtype=np.int32),
            rng.choice([-1.0, 0.0, 1.0], size).astype(np.float32),
            np.full(size, 0.99, np.float32),
            rng.integers(0, 256, (*size, *spec.shape), dtype=np.uint8),
        )
        for _ in range(_BATCHES)
    ]


def trained(learner: Learner, data: list[Batch], updates: int, *, scale: float = 1.0) -> Any:
    """The state after so many updates from the first weights times `scale`."""
    state = learner.init([0])
    state = jax.tree.map(lambda x: x * scale if x.dtype == np.float32 else x, state)
    for i in range(updates):
        state, _, _ = learner.update(state, data[i % len(data)])
    return jax.block_until_ready(state)


def action_values(learner: Learner, state: Any, data: Batch) -> np.ndarray:
    """(B, actions) float32 of the online network."""
    inputs = Inputs(data.s_t[0], np.zeros(_BATCH, np.int32))
    params = state.trees[0].networks["q"].params
    return np.asarray(jax.jit(learner.quantities["q"].q_values)(params, inputs))


def deviation(q: np.ndarray, exact: np.ndarray) -> Deviation:
    """Of values (B, actions) from others."""
    errors, scale = np.abs(q - exact), np.abs(exact).max()
    same = (q.argmax(axis=1) == exact.argmax(axis=1)).mean()
    return Deviation(float(errors.max() / scale), float(errors.mean() / scale), float(same))


def least_milliseconds(updates: dict[str, Callable[[], None]], seconds: float) -> dict[str, float]:
    """Of each function, called in turn for so long, at least three times."""
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    least = dict.fromkeys(updates, float("inf"))
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        for name, update in updates.items():
            begin = clock()
            update()
            least[name] = min(least[name], 1e3 * (clock() - begin))
        rounds += 1
    return least


def _stepper(learner: Learner, state: Any, batch: Batch) -> Callable[[], None]:
    def update() -> None:
        nonlocal state
        state, metrics, _ = learner.update(state, batch)
        jax.block_until_ready((state, metrics))

    return update


def measure(torso: Torso, updates: int, seconds: float) -> None:
    """Prints the lines of a torso."""
    data, learners = batches(), {name: learner_of(torso, name) for name in PRECISIONS}
    states = {name: trained(own, data, updates) for name, own in learners.items()}
    values = {name: action_values(own, states[name], data[0]) for name, own in learners.items()}
    nudged = trained(learners["fp32"], data, updates, scale=1 + 2.0**-23)
    values[_LAST_BIT] = action_values(learners["fp32"], nudged, data[0])
    steps = {name: _stepper(own, states[name], data[0]) for name, own in learners.items()}
    times = least_milliseconds(steps, seconds)
    for name, own in values.items():
        found = deviation(own, values["fp32"])
        cost = f"{times[name]:.1f} | {times[name] / times['fp32']:.2f}" if name in times else " | "
        cells = f"{found.largest:.1e} | {found.mean:.1e} | {found.same_actions:.2f}"
        print(f"| {type(torso).__name__} x{torso.width} | {name} | {cost} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--updates", type=int, default=200, help="before values are compared")
    parser.add_argument("--seconds", type=float, default=10.0, help="of timing, per torso")
    flags = parser.parse_args()
    print(f"{jax.devices()[0].device_kind}, after {flags.updates} updates\n")
    print("| torso | precision | ms | over fp32 | max | mean | actions |")
    print("| --- " * 7 + "|")
    for torso in TORSOS:
        measure(torso, flags.updates, flags.seconds)


if __name__ == "__main__":
    main()
