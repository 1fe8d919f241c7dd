"""What saving and restoring a replay of Atari frames takes of memory and time.

    python benchmarks/checkpoint_cost.py [--rows=200_000] [--folder=DIR]

One seed. Anonymous memory (RssAnon of /proc/self/status, read every 2 ms) is compared with the
ring's; saving and restoring run in processes of their own. Time of saving, in seconds of process
CPU, is compared with that of training the Nature CNN at one update every 4 agent steps, measured in
the same process before: both grow with the number of seeds, so the share does not depend on it. A
checkpoint every 250,000 agent steps writes as many rows of each seed, and its state once.
"""

import argparse
import multiprocessing
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np

from prune_rl import malloc
from prune_rl.acting.policy import Policy
from prune_rl.agents.dqn import DQNAgent
from prune_rl.environments.atari import AtariEnvironment
from prune_rl.environments.batch import EnvironmentBatch
from prune_rl.learning.optimizers import create_optimizer
from prune_rl.pruning.config import create_updater_from_config
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.replay.buffer import ReplayBuffer
from prune_rl.sources.online import OnlineSource
from prune_rl.sources.source import Setting
from prune_rl.trainer import Trainer

_PERIOD = 250_000  # agent steps between two checkpoints
_PLAYED = 400  # agent steps whose training is timed
_SEED = 0


class AnonymousMemory(threading.Thread):
    """Watches how far a process' anonymous memory rises above where it was; a context manager."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self.before, self.peak = _anonymous(), 0

    def run(self) -> None:
        while not self._ended.wait(0.002):
            self.peak = max(self.peak, _anonymous())

    def __enter__(self) -> "AnonymousMemory":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


def _make(rows: int) -> tuple[Trainer, OnlineSource]:
    import gin

    malloc.keep_memory()
    with gin.unlock_config():
        gin.bind_parameter("ReplayBuffer.max_capacity", rows)
    agent = DQNAgent(min_replay_history=100)

    def games(*stream: int) -> EnvironmentBatch:
        return EnvironmentBatch([AtariEnvironment(_SEED, "Pong", sticky_actions=True)], 27_000)

    source = OnlineSource(Setting(agent, [_SEED], games, 10 * rows))
    optimizers = {"q": create_updater_from_config(10**6, "magnitude").wrap(create_optimizer())}
    learner = agent.learner(source.observation_spec, source.action_spec, optimizers)
    return Trainer(Policy(agent, learner), source, seeds=[_SEED]), source


def _fill(buffer: ReplayBuffer, rows: int) -> None:
    """Adds so many rows, of the frames that it holds by now."""
    (state,) = buffer.get_state()
    _, fields = next(state["rows"].pieces(state["rows"].first))
    frames = fields["frames"].copy()
    no, zero = np.zeros(1, bool), np.zeros(1)
    for i in range(rows):
        frame = frames[i % len(frames)][None]
        buffer.add(
            actions=np.zeros(1, np.int32),
            rewards=zero,
            terminated=no,
            truncated=no,
            next_frames=frame,
            frames=frame,
        )


def _timed(action: Any) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.monotonic()
    action()
    return time.process_time() - cpu, time.monotonic() - wall


def save(rows: int, folder: Path, results: Any) -> None:
    """Trains a moment, fills half the ring, saves it, fills the rest, and saves that."""
    trainer, source = _make(rows)
    source.start()
    for _ in range(300):  # compiles
        trainer.step()

    def train() -> None:
        for _ in range(_PLAYED):
            trainer.step()
        jax.block_until_ready(trainer.agent_state)

    results["train"] = _timed(train)
    with closing(Checkpointer(folder)) as checkpointer:

        def write() -> None:
            (state,) = trainer.get_state()
            checkpointer.save(Checkpoint({_SEED: state}, {}))
            checkpointer.wait()

        for name in ("first half", "second half"):
            _fill(source._buffer, rows // 2)
            with AnonymousMemory() as memory:
                results[name] = _timed(write)
            results[f"{name}, memory"] = memory.peak - memory.before


def restore(rows: int, folder: Path, results: Any) -> None:
    """Restores it all into an empty ring."""
    trainer, source = _make(rows)
    source.start()
    with closing(Checkpointer(folder)) as checkpointer, AnonymousMemory() as memory:
        results["restore"] = _timed(
            lambda: checkpointer.restore(lambda x: trainer.set_state([x.seeds[_SEED]]))
        )
    results["restore, memory"] = memory.peak - _anonymous()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    flags = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder, context.Manager() as manager:
        results = manager.dict()
        for part in (save, restore):
            process = context.Process(target=part, args=(flags.rows, Path(folder), results))
            process.start()
            process.join()
        disk = sum(x.stat().st_size for x in Path(folder).rglob("*") if x.is_file())
        report(dict(results), flags.rows, disk)


def report(results: dict[str, Any], rows: int, disk: int) -> None:
    """Prints what was measured, and the share of a checkpoint in training."""
    ring = rows * (84 * 84 + 13)
    print(f"ring of {rows:,} frames: {ring / 2**30:.2f} GiB; on disk {disk / 2**30:.2f} GiB")
    for name in ("first half", "second half", "restore"):
        (cpu, wall), memory = results[name], results[f"{name}, memory"]
        verb = "" if name == "restore" else "save the "
        print(
            f"{verb}{name}: {cpu:.2f} s CPU, {wall:.2f} s wall; anonymous memory rises by "
            f"{memory / 2**20:.0f} MiB, {memory / ring:.3f} of the ring"
        )
    per_row = results["second half"][0] / (rows // 2)
    per_step = results["train"][0] / _PLAYED
    print(
        f"training: {1000 * per_step:.2f} ms CPU an agent step; saving its row: "
        f"{1000 * per_row:.4f} ms, {per_row / per_step:.2%} (extrapolated: one checkpoint every "
        f"{_PERIOD:,} agent steps, any number of seeds and frames)"
    )


if __name__ == "__main__":
    main()
