"""A batch from chunks on disk against the same from RAM, and as a share of a Nature update.

Run: python benchmarks/out_of_core.py [--game Pong] [--seconds 20]
Plays the game at random for 5,000 frames and repeats them to 100,000 (0.7 GB of frames), then
draws 32 transitions at random places, stacks of 4 for both observations. All take turns; medians
count. Reads come from the page cache, but for the case that drops the store's pages before each
batch (not measured), as on a machine whose disk is far larger than its RAM.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from prune_rl.agents.dqn import DQNAgent
from prune_rl.environments.atari import AtariEnvironment
from prune_rl.experiment import create_optimizers
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.replay.chunks import ChunkedFrames, ChunkWriter, open_chunks
from prune_rl.specs import Batch, Discrete

NUM_PLAYED, NUM_ROWS = 5_000, 100_000
SPEC, ACTIONS = AtariEnvironment.observation_spec, Discrete(18)
CACHES = {"no cache": 0, "cache of 64 MiB": 64 << 20, "all cached": 1 << 30}
RAM, COLD, UPDATE = "RAM", "no cache, pages dropped", "Nature update"


def played_frames(game: str) -> np.ndarray:
    """(NUM_ROWS + 1, 84, 84, 1) uint8, of which the last is zero."""
    environment, rng = AtariEnvironment(0, game, sticky_actions=True), np.random.default_rng(0)
    frames = np.zeros((NUM_ROWS + 1, *SPEC.frame_shape), np.uint8)
    frames[0] = environment.reset()
    for row in range(1, NUM_PLAYED):
        frames[row], _, over = environment.step(
            int(rng.integers(environment.action_spec.num_actions))
        )
        if over:
            environment.reset()
    for row in range(NUM_PLAYED, NUM_ROWS, NUM_PLAYED):
        frames[row : row + NUM_PLAYED] = frames[:NUM_PLAYED]
    return frames


def write(path: Path, frames: np.ndarray) -> None:
    """Writes them, and prints speed and size."""
    wall, cpu = time.perf_counter(), time.process_time()
    with ChunkWriter(path, NUM_ROWS, SPEC.frame_shape, np.uint8, "benchmark") as writer:
        for first in range(0, NUM_ROWS, 500):
            writer.write(first, frames[first : first + 500])
        writer.finish()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    size = sum(file.stat().st_size for file in path.rglob("*"))
    megabytes = frames.nbytes / 1e6
    speed = f"{megabytes / wall:.0f} MB/s of frames ({megabytes / cpu:.0f} per CPU second)"
    print(f"on disk {size / frames.nbytes:.2%} of {megabytes:.0f} MB, written at {speed}")


def opened(path: Path, cache_bytes: int) -> ChunkedFrames:
    chunks = open_chunks(path, identity="benchmark", cache_bytes=cache_bytes)
    assert chunks is not None
    return chunks


def update_of(frames: np.ndarray) -> Callable[[], None]:
    """One blocking DQN update on a fixed batch, compiled."""
    agent = DQNAgent(torso=NatureTorso())
    optimizers = create_optimizers(agent.networks, 1_000_000, 1_000_000)
    learner = agent.learner(SPEC, ACTIONS, optimizers)
    state = learner.init([0])
    states = frames[:256].reshape(2, 1, 32, *SPEC.shape)
    actions, ones = np.zeros((1, 32), np.int32), np.ones((1, 32), np.float32)
    batch = Batch(states[0], actions, ones, ones, states[1], None)

    def update() -> None:
        nonlocal state
        state, metrics, _ = learner.update(state, batch)
        jax.block_until_ready((state, metrics))

    update()
    return update


def drop_pages(path: Path) -> None:
    """Tells the kernel to forget what it holds of the files."""
    for file in path.iterdir():
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def medians(
    cases: dict[str, Callable[[], object]], path: Path, seconds: float
) -> dict[str, tuple[float, float]]:
    """Median milliseconds of each case, wall and CPU."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, case in cases.items():
            if name == COLD:
                drop_pages(path / "frames")
            wall, cpu = time.perf_counter(), time.process_time()
            case()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (
            1e3 * statistics.median(x for x, _ in own),
            1e3 * statistics.median(x for _, x in own),
        )
        for name, own in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="Pong")
    parser.add_argument("--seconds", type=float, default=20.0)
    flags = parser.parse_args()
    frames, rng = played_frames(flags.game), np.random.default_rng(0)
    flat = frames.reshape(len(frames), -1)

    def rows() -> np.ndarray:
        starts = rng.integers(3, NUM_ROWS - 1, 32)
        return np.stack([starts, starts + 1])[..., None] - np.arange(4)[::-1]  # (2, 32, 4)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chunks"
        write(path, frames)
        stores = {RAM: flat, COLD: opened(path, 0)}
        stores |= {name: opened(path, cache_bytes) for name, cache_bytes in CACHES.items()}
        stores["all cached"].take(np.arange(NUM_ROWS))
        for store in stores.values():
            np.testing.assert_array_equal(
                store.take(index := rows(), axis=0), flat.take(index, axis=0)
            )
        cases = {name: lambda own=own: own.take(rows(), axis=0) for name, own in stores.items()}
        found = medians(cases | {UPDATE: update_of(frames)}, path, flags.seconds)
    title = f"{flags.game}, batch of 32"
    print(f"{title:26}{'wall ms':>9}{'CPU ms':>9}{'of RAM':>9}{'of an update':>14}")
    for name, (wall, cpu) in found.items():
        of_ram, of_update = wall / found[RAM][0], wall / found[UPDATE][0]
        print(f"{name:26}{wall:>9.2f}{cpu:>9.2f}{of_ram:>8.1f}x{of_update:>13.1%}")


if __name__ == "__main__":
    main()
