"""What learning from a dataset costs beside its compiled update, and evaluating beside learning.

One round: N gradient steps of the compiled update alone, on one batch that is on the device; N of
the loop that draws its batches from a dataset; N of that loop while an evaluation plays two agent
steps for each gradient step, as 125,000 go with 62,500, until both are done. Rounds alternate;
what is said is the least of each, in seconds a gradient step, and ratios of these.

Run: taskset -c 0,1 python benchmarks/offline_loop.py --network=nature --steps=100
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax

from prune_rl import compilation_cache
from prune_rl.acting.beside import EvaluationBeside
from prune_rl.composition import compose
from prune_rl.dataset_tool.making import create_runner, make
from prune_rl.runner import Runner

_NATURE = ["agents/cql.gin", "networks/nature.gin"]
FILES = {"nature": _NATURE, "minatar": ["experiments/minatar_breakout_cql.gin"]}
PLAY = {
    "nature": (["agents/dqn.gin"], ["create_atari_environment.game_name='Pong'"]),
    "minatar": (["experiments/minatar_breakout.gin"], []),
}
_PLAYED = 1_000  # agent steps
_EPISODE = 50  # agent steps at most, so that an evaluation ends when it should


class Spent(NamedTuple):
    """Seconds a gradient step of all seeds."""

    wall: float
    cpu: float


def data(network: str, folder: Path) -> Path:
    """A dataset of real play, not learned from."""
    files, bindings = PLAY[network]
    create = partial(create_runner, gin_files=files, gin_bindings=bindings, agent_steps=_PLAYED)
    make(folder / "data", format="dqn_replay", agent_steps=_PLAYED, create_runner=create)
    return folder / "data"


def trained(network: str, path: Path, seeds: int, steps: int, folder: Path) -> Runner:
    """A run on it that has compiled all that it needs."""
    own = {
        "Dataset.path": repr(str(path)),
        "Dataset.fraction": 1.0,
        "Runner.num_seeds": seeds,
        "Runner.training_steps": 10 * steps,
        "Runner.evaluation_steps": 2 * steps,
        "Runner.max_steps_per_episode": _EPISODE,
    }
    bindings = [f"{name}={value}" for name, value in own.items()]
    runner = compose(folder, [*FILES[network], "pruning/magnitude.gin"], bindings, ())
    runner.source.start()
    runner.trainer.step()
    return runner


def spent(runner: Runner, steps: int, work: Callable[[], None]) -> Spent:
    """Of doing so many gradient steps."""
    jax.block_until_ready(runner.trainer.agent_state)
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    jax.block_until_ready(runner.trainer.agent_state)
    return Spent((time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=FILES, default="nature")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100, help="gradient steps in a round")
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    compilation_cache.enable()
    with tempfile.TemporaryDirectory(prefix="prune_rl_") as name:
        path = data(flags.network, Path(name))
        runner = trained(flags.network, path, flags.seeds, flags.steps, Path(name) / "run")
        trainer, learner = runner.trainer, runner.policy.learner
        batch = jax.device_put(runner.source.replay.sample())

        def bare() -> None:
            for _ in range(flags.steps):
                trainer.agent_state = learner.update(trainer.agent_state, batch)[0]

        def loop() -> None:
            for _ in range(flags.steps):
                trainer.step()

        def evaluated() -> None:
            params = trainer.agent_state.params
            beside = EvaluationBeside.begun(runner.new_evaluation, 0, params, flags.seeds)
            loop()
            beside.wait(3600)
            beside.close()

        rounds: dict[str, list[Spent]] = {"update alone": [], "loop": [], "loop, evaluated": []}
        for turn in range(flags.rounds + 1):
            for own, work in zip(rounds.values(), (bare, loop, evaluated), strict=True):
                measured = spent(runner, flags.steps, work)
                own += [measured] if turn else []  # the first compiles what is left
    least = {
        name: Spent(min(x.wall for x in own), min(x.cpu for x in own))
        for name, own in rounds.items()
    }
    for name, own in least.items():
        print(f"{name:16} {1e3 * own.wall:8.2f} ms wall {1e3 * own.cpu:8.2f} ms CPU")
    alone, looped, both = least.values()
    said = "gradient steps/s of the loop, of those of the update alone"
    print(f"{said}: {alone.wall / looped.wall:.3f} by wall, {alone.cpu / looped.cpu:.3f} by CPU")
    said = "what an evaluation beside it adds"
    print(f"{said}: {both.wall / looped.wall - 1:.1%} wall, {both.cpu / looped.cpu - 1:.1%} CPU")


if __name__ == "__main__":
    main()
