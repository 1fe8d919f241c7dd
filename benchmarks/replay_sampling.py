"""Microseconds of one `add` and one `sample` of the uniform replay buffer, all seeds together.

Run: python benchmarks/replay_sampling.py
"""

import time
from collections.abc import Callable

import numpy as np

from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.specs import ActionSpec, Box, Discrete, ObservationSpec

SPECS = {
    "Atari": (ObservationSpec((84, 84, 1), stack_size=4), Discrete(18)),
    "MinAtar": (ObservationSpec((10, 10, 4)), Discrete(6)),
    "vectors": (ObservationSpec((17,), np.float32), Box((-1.0,) * 6, (1.0,) * 6)),
}
NUM_ROWS = 20_000


def filled_buffer(
    num_seeds: int, observation_spec: ObservationSpec, action_spec: ActionSpec, horizon: int
) -> tuple[ReplayBuffer, Callable[[], None]]:
    """A buffer filled past its capacity with episodes of 100 steps, and one more plain `add`."""
    buffer = ReplayBuffer(
        seeds=range(num_seeds),
        observation_spec=observation_spec,
        action_spec=action_spec,
        update_horizon=horizon,
        max_capacity=NUM_ROWS,
    )
    shape = (num_seeds, *observation_spec.frame_shape)
    frames = np.random.default_rng(0).integers(0, 256, shape).astype(observation_spec.dtype)
    actions = np.zeros((num_seeds, *action_spec.shape), action_spec.dtype)
    rewards = np.ones(num_seeds, np.float32)
    never, always = np.zeros(num_seeds, bool), np.ones(num_seeds, bool)

    def add(terminated: np.ndarray = never) -> None:
        buffer.add(
            actions=actions,
            rewards=rewards,
            terminated=terminated,
            truncated=never,
            next_frames=frames,
            frames=frames,
        )

    buffer.add_first(frames)
    for step in range(NUM_ROWS + 1000):
        add(always if step % 100 == 99 else never)
    return buffer, add


def microseconds(function: Callable[[], object], repeats: int = 500) -> tuple[float, float]:
    """Median and minimum time of one call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6, min(times) * 1e6


def main() -> None:
    """Prints a line per suite, number of seeds and update horizon."""
    print(f"{'batch 32, median/min µs':24} {'seeds':>5} {'n':>2} {'add':>13} {'sample':>13}")
    for suite, specs in SPECS.items():
        for num_seeds in (1, 5):
            for horizon in (1, 3):
                buffer, add = filled_buffer(num_seeds, *specs, horizon)
                added, sampled = microseconds(add), microseconds(buffer.sample)
                figures = "".join(f" {median:6.0f}/{low:6.0f}" for median, low in (added, sampled))
                print(f"{suite:24} {num_seeds:5} {horizon:2}{figures}")


if __name__ == "__main__":
    main()
