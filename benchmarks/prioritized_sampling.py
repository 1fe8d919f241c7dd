"""Milliseconds of prioritised replay on full trees of a million transitions, beside uniform replay.

Run: python benchmarks/prioritized_sampling.py
"""

import time
from collections.abc import Callable

import numpy as np

from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.replay.samplers import SAMPLERS
from prune_rl.replay.sum_tree import SumTrees
from prune_rl.specs import Discrete, ObservationSpec

SEEDS, BATCH, HORIZON, STACK = 5, 32, 3, 4
CAPACITY = 1_000_000
UPDATE_PERIOD = 4  # agent steps
ATARI, TINY = (84, 84, 1), (1, 1, 1)  # tiny frames: a million full-sized ones take 7 GB a seed


def filled_buffer(scheme: str, rows: int, frame_shape: tuple[int, int, int]) -> ReplayBuffer:
    """A full ring of episodes of 100 steps whose every leaf has a random priority."""
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(
        seeds=range(SEEDS),
        observation_spec=ObservationSpec(frame_shape, stack_size=STACK),
        action_spec=Discrete(18),
        update_horizon=HORIZON,
        max_capacity=rows,
        batch_size=BATCH,
        create_sampler=SAMPLERS[scheme],
    )
    ages = np.tile(np.arange(rows, dtype=np.int32) % 101, (SEEDS, 1))
    final = ages == 100
    priorities = np.where(final, 0.0, rng.random((SEEDS, rows)))
    priorities[:, : STACK - 1] = 0  # their stacks have lost frames
    priorities[:, -HORIZON:] = 0  # not complete yet
    state = {
        **buffer.get_state(),
        "cursors": np.full(SEEDS, rows - 1),
        "frames": np.ones((SEEDS, rows, *frame_shape), np.uint8),
        "actions": np.zeros((SEEDS, rows), np.int32),
        "rewards": np.ones((SEEDS, rows), np.float32),
        "ages": ages,
        "ends": np.where(final, 3, np.roll(final, -1, axis=1)).astype(np.uint8),
        "add_count": np.array(rows),
    }
    if scheme == "prioritized":
        state["priority_words"] = priorities.view(np.uint32)
    buffer.set_state(state)
    return buffer


def add_step(buffer: ReplayBuffer, frame_shape: tuple[int, int, int]) -> Callable[[], None]:
    """One agent step inside an episode."""
    frames = np.ones((SEEDS, *frame_shape), np.uint8)
    actions, rewards = np.zeros(SEEDS, np.int32), np.ones(SEEDS, np.float32)
    never = np.zeros(SEEDS, bool)
    return lambda: buffer.add(
        actions=actions,
        rewards=rewards,
        terminated=never,
        truncated=never,
        next_frames=frames,
        frames=frames,
    )


class Stopwatch:
    """Milliseconds that calls took, by name."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def __call__(self, name: str, function: Callable[..., object], *args: object) -> object:
        start = time.perf_counter()
        result = function(*args)
        self.times.setdefault(name, []).append((time.perf_counter() - start) * 1e3)
        return result

    def median(self, name: str) -> float:
        """Median milliseconds."""
        return float(np.median(self.times[name]))

    def show(self) -> None:
        """Prints a line per name."""
        for name, times in self.times.items():
            print(f"{name:62} {self.median(name):8.4f} {min(times):8.4f}")


def time_trees(timed: Stopwatch, repeats: int = 500) -> None:
    """The sum trees alone: find 5 x 32 leaves, write as many."""
    rng = np.random.default_rng(0)
    trees = SumTrees(SEEDS, CAPACITY)
    seeds, leaves = np.repeat(np.arange(SEEDS), CAPACITY), np.tile(np.arange(CAPACITY), SEEDS)
    trees.set(seeds, leaves, rng.random(SEEDS * CAPACITY))
    columns = np.repeat(np.arange(SEEDS), BATCH)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        totals = trees.totals[:, None]
        found = trees.find(rng.random((SEEDS, BATCH)) * totals)
        return found, trees.values(found) / totals

    for _ in range(repeats):
        found, _ = timed("sum trees of 1M leaves: draw 5 x 32 leaves", draw)
        timed("sum trees of 1M leaves: write 5 x 32 leaves", trees.set, columns, found.ravel(), 0.5)


def time_buffer(
    timed: Stopwatch,
    scheme: str,
    rows: int,
    frame_shape: tuple[int, int, int],
    repeats: int = 500,
) -> str:
    """A cycle of four agent steps, a batch and its priorities, as in a run; names the buffer."""
    buffer = filled_buffer(scheme, rows, frame_shape)
    add, rng = add_step(buffer, frame_shape), np.random.default_rng(1)
    name = f"{scheme}, {rows:,} rows, frames {'x'.join(map(str, frame_shape))}"
    for _ in range(repeats):
        for _ in range(UPDATE_PERIOD):
            timed(f"{name}: add", add)
        timed(f"{name}: sample", buffer.sample)
        if scheme == "prioritized":
            timed(
                f"{name}: update_priorities", buffer.update_priorities, rng.random((SEEDS, BATCH))
            )
    return name


def main() -> None:
    """Prints medians and minima, and how much longer a prioritised batch takes."""
    timed = Stopwatch()
    time_trees(timed)
    ratios = []
    for rows, frame_shape in ((CAPACITY, TINY), (20_000, ATARI)):
        names = [time_buffer(timed, x, rows, frame_shape) for x in ("uniform", "prioritized")]
        sampled = [timed.median(f"{name}: sample") for name in names]
        updated = timed.median(f"{names[1]}: update_priorities")
        ratios.append((rows, frame_shape, sampled[1] / sampled[0], sum(sampled[1:], updated)))
    print(f"{'ms of one call, 5 seeds, batch 32, 3 steps':62} {'median':>8} {'min':>8}")
    timed.show()
    for rows, frame_shape, ratio, total in ratios:
        print(f"{rows:,} rows, frames {frame_shape}: sample() prioritized / uniform = {ratio:.2f},")
        print(f"  with update_priorities() a prioritized batch takes {total:.3f} ms")


if __name__ == "__main__":
    main()
