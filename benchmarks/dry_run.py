"""What --dry_run and a run's own lines say beside what the run then takes, for three runs.

Run: python benchmarks/dry_run.py [--cpu] [--only NAME]; five minutes on two free cores.
Every training and every dry run is a process of its own. With --cpu all seconds are CPU time, for
a machine that others use too.
"""

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from prune_rl import dry_run, rehearsal, train
from prune_rl.price import Price

_MINATAR = ("Runner.num_iterations=4", "Runner.training_steps=5_000", "Runner.evaluation_steps=500")
_RUNS = {
    "MinAtar DQN, pruned, 3 seeds": (
        ["experiments/minatar_breakout.gin", "pruning/magnitude.gin"],
        [*_MINATAR, "Runner.num_seeds=3"],
    ),
    "MinAtar DER": (["experiments/minatar_breakout_der.gin"], _MINATAR),
    "Pong DQN, Nature": (
        ["agents/dqn.gin", "networks/nature.gin"],
        [
            'create_atari_environment.game_name="Pong"',
            "Runner.num_iterations=3",
            "Runner.training_steps=1_000",
            "DQNAgent.min_replay_history=300",
        ],
    ),
}


class Taken(NamedTuple):
    """What a run took: seconds, bytes at their peak; `foreseen` by itself."""

    seconds: float
    ram_bytes: int
    disk_bytes: int
    foreseen: Price


def flags_of(name: str, base_dir: str) -> argparse.Namespace:
    """As `python -m prune_rl.train` takes them."""
    files, bindings = _RUNS[name]
    argv = [f"--gin_files={x}" for x in files] + [f"--gin_bindings={x}" for x in bindings]
    return train.parser().parse_args([f"--base_dir={base_dir}", *argv])


def bytes_below(folder: Path) -> int:
    """Of files that are there."""
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                sizes.append((Path(place) / name).stat().st_size)
            except OSError:  # swept meanwhile
                continue
    return sum(sizes)


def run(name: str, clock: str) -> Taken:
    """Trains; in a process of its own."""
    now = getattr(time, clock)
    set_clock(clock)
    began, prices, peak, ram, done = now(), [], [0], [0], threading.Event()
    with tempfile.TemporaryDirectory() as folder:

        def watch() -> None:
            while not done.wait(0.05):
                ram[0] = max(ram[0], rehearsal._peak_ram())
                peak[0] = max(peak[0], bytes_below(Path(folder) / "checkpoints"))

        threading.Thread(target=watch).start()
        runner = train.create_runner(flags_of(name, folder), folder)
        runner.run(announce=lambda price: prices.append(price._replace(startup=now() - began)))
        runner.source.close()
        done.set()
    return Taken(now() - began, ram[0], peak[0], prices[0])


def foresee(name: str, clock: str) -> Price:
    """As --dry_run does; in a process of its own."""
    began = getattr(time, clock)()
    set_clock(clock)
    return dry_run.measure(partial(train.create_runner, flags_of(name, "")), began)


def set_clock(clock: str) -> None:
    """What this process measures by, 'monotonic' or 'process_time'."""
    rehearsal.time = dry_run.time = SimpleNamespace(monotonic=getattr(time, clock))


def rows(name: str, foreseen: Price, taken: Taken) -> Sequence[str]:
    """Of the table: seconds, MiB of RAM, MiB of disk."""
    values = (
        ("seconds", 1.0, lambda price: price.seconds, taken.seconds),
        ("RAM, MiB", 2.0**20, lambda price: price.ram_bytes, taken.ram_bytes),
        ("disk, MiB", 2.0**20, lambda price: price.size.disk_bytes, taken.disk_bytes),
    )
    result = []
    for what, unit, said, truth in values:
        pairs = [said(foreseen), said(taken.foreseen)]
        cells = [f"{x / unit:,.1f} ({x / truth - 1:+.0%})" for x in pairs]
        result.append(f"| {name} | {what} | {' | '.join(cells)} | {truth / unit:,.1f} |")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="count CPU time")
    parser.add_argument("--only", choices=list(_RUNS), help="one of the runs")
    flags = parser.parse_args()
    clock, spawn = (
        "process_time" if flags.cpu else "monotonic",
        multiprocessing.get_context("spawn"),
    )
    print("| run | what | --dry_run | its own two lines | taken |\n| --- | --- | --- | --- | --- |")
    for name in [flags.only] if flags.only else _RUNS:
        results = []
        for function in (foresee, run):
            with ProcessPoolExecutor(1, spawn) as pool:
                results.append(pool.submit(function, name, clock).result())
        print("\n".join(rows(name, *results)), flush=True)


if __name__ == "__main__":
    main()
