"""Where the time of training goes: compiled update, compiled action, emulators, everything else.

Run: python benchmarks/time_shares.py [train flags: --gin_files=… --gin_bindings=…] [--steps 2000]
Trains after its warm-up for that many agent steps and prints agent steps per second and shares.
Waiting for a result counts as the compiled function that makes it.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax

from prune_rl import configuration
from prune_rl.experiment import create_runner


def timed(shares: Counter, name: str, function: Callable) -> Callable:
    """`function`, with the seconds until its results are ready added to `shares[name]`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = jax.block_until_ready(function(*args, **kwargs))
        shares[name] += time.perf_counter() - start
        return result

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gin_files", action="append", default=[])
    parser.add_argument("--gin_bindings", action="append", default=[])
    parser.add_argument("--steps", type=int, default=2000, help="agent steps that are measured")
    flags = parser.parse_args()
    configuration.load(flags.gin_files, flags.gin_bindings)
    runner = create_runner("unused")
    trainer, source, learner = runner.trainer, runner.source, runner.policy.learner
    source.start()
    shares: Counter = Counter()
    trainer._learner = learner._replace(
        update=timed(shares, "update", learner.update), act=timed(shares, "action", learner.act)
    )
    trainer._policy = runner.policy._replace(learner=trainer._learner)
    for owner, method, name in (
        (source._environments, "step", "emulators"),
        (source.replay, "sample", "replay sample"),
        (source._buffer, "add", "replay add"),
    ):
        setattr(owner, method, timed(shares, name, getattr(owner, method)))
    while trainer.gradient_steps < 2:
        trainer.step()
    shares.clear()
    start = time.perf_counter()
    for _ in range(flags.steps):
        trainer.step()
    jax.block_until_ready(trainer.agent_state)
    seconds = time.perf_counter() - start
    shares["rest"] = seconds - sum(shares.values())
    seeds = len(trainer.agent_state.keys)
    print(f"{flags.steps / seconds:,.0f} agent steps/s of {seeds} seeds together")
    for name, value in shares.most_common():
        print(f"{name:14} {value / seconds:6.1%}  {1e3 * value / flags.steps:8.3f} ms/agent step")


if __name__ == "__main__":
    main()
