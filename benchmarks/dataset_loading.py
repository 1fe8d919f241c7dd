"""Loading gz files that hold 1 GiB of Pong frames, against `gzip -dc` of them: CPU time and memory.

    python benchmarks/dataset_loading.py [--gib=1] [--rounds=3] [--folder=DIR]

Frames of random play, in the layout of the DQN replay dataset: some are played and written, and the
file is copied until the size is reached. `gzip -dc FILES > /dev/null` and `sources.loading` by each
decompressor take turns on the same two cores, every one in a process of its own. CPU time is of the
whole process while it loads, the kernel's work of handing out memory included. Memory that a
virtual machine has not used for a while costs it as much again, and is touched before; the least
of the rounds counts. Memory is how far resident memory
rises at its highest while it loads, against the frames kept.
"""

import argparse
import gzip
import multiprocessing
import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets import gzip_files
from prune_rl.datasets.dqn_replay import find_runs
from prune_rl.datasets.dqn_replay_files import FIELDS, path_of
from prune_rl.datasets.experience import Share
from prune_rl.environments.atari import AtariEnvironment
from prune_rl.sources.loading import load
from prune_rl.specs import Discrete

_COPIES = 8  # files of the same frames
_LONGEST = 20_000  # frames that are played
_THREADS = 2
_FRAME_BYTES = 84 * 84
_BARS = {"zlib_ng": 0.5, "isal": 0.5, "gzip": 1.3}


def play(count: int) -> dict[str, np.ndarray]:
    """`count` rows of random play: a terminal's next frame has none, zeros are before episodes."""
    game, random = AtariEnvironment(0, "Pong", sticky_actions=True), np.random.default_rng(0)
    rows = {
        "observation": np.zeros((count, 84, 84), np.uint8),
        "action": np.zeros(count, np.int32),
        "reward": np.zeros(count, np.float32),
        "terminal": np.zeros(count, np.uint8),
    }
    row = 3
    frame = game.reset()
    while row < count:
        action = random.integers(game.action_spec.num_actions)
        after, reward, terminated = game.step(action)
        here = (frame[..., 0], action, np.sign(reward), terminated)
        for field, value in zip(rows.values(), here, strict=True):
            field[row] = value
        frame = game.reset() if terminated else after
        row += 4 if terminated else 1
    return rows


def write(folder: Path, gib: float) -> None:
    """Files that hold so much of frames; says how they came about."""
    total = int(gib * 2**30 / _FRAME_BYTES)
    per_file = min(total // _COPIES, _LONGEST)
    copies = round(total / per_file)
    arrays = play(per_file)
    for name in FIELDS:
        first = path_of(folder, name, 0)
        with gzip.open(first, "wb") as file:
            np.save(file, arrays[name], allow_pickle=False)
        for number in range(1, copies):
            shutil.copy(first, path_of(folder, name, number))
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(
        f"{per_file:,} frames of Pong, random play, in {copies} files of the same frames: "
        f"{copies * per_file * _FRAME_BYTES / 2**30:.2f} GiB in {size / 2**20:.1f} MiB"
    )


def gzip_seconds(folder: Path) -> float:
    """CPU seconds of `gzip -dc` of all files."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = used()
    subprocess.run(["gzip", "-dc", *folder.iterdir()], stdout=subprocess.DEVNULL, check=True)
    return used() - before


def measure(folder: Path, decompressor: str, results: Any) -> None:
    """CPU seconds of loading by `decompressor`, and highest memory, of the frames kept."""
    fast = [names for names in gzip_files._FAST if names[0].startswith(decompressor)]
    gzip_files._FAST = tuple(fast)
    (run,) = find_runs(folder)
    np.ones(sum(part.num_rows for part in run.parts(Share())) * _FRAME_BYTES, np.uint8)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
    before, cpu, wall = _resident("VmRSS"), time.process_time(), time.monotonic()
    ring = load([run.parts(Share())], run.observation_spec, Discrete(6)).ring
    used = (time.process_time() - cpu, time.monotonic() - wall)
    kept = ring.num_rows * _FRAME_BYTES
    results[decompressor] = (*used, (_resident("VmHWM") - before) / kept)


def _resident(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{name}:")[1].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    flags = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_THREADS])
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=flags.folder) as root, context.Manager() as manager:
        folder = Path(root) / "Pong/1/replay_logs"
        folder.mkdir(parents=True)
        write(folder, flags.gib)
        rounds = []
        for _ in range(flags.rounds):
            results = manager.dict()
            seconds = gzip_seconds(folder)
            for name in _BARS:
                process = context.Process(target=measure, args=(folder, name, results))
                process.start()
                process.join()
            report(seconds, dict(results))
            rounds.append((seconds, dict(results)))
    for name, bar in _BARS.items():
        least = min(results[name][0] for _, results in rounds) / min(gz for gz, _ in rounds)
        print(f"least of all rounds: {name} {least:.2f} of gzip -dc (bar {bar})")


def report(gzip_cpu: float, results: dict[str, tuple[float, float, float]]) -> None:
    """Prints what one round measured."""
    print(f"gzip -dc: {gzip_cpu:.2f} s CPU")
    for name, (cpu, wall, memory) in results.items():
        print(
            f"  {name:8} {cpu:5.2f} s CPU, {wall:5.2f} s wall; "
            f"{cpu / gzip_cpu:.2f} of gzip -dc (bar {_BARS[name]}); "
            f"memory {memory:.3f} of the frames kept (bar 1.1)"
        )


if __name__ == "__main__":
    main()
