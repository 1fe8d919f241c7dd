"""Whole agent steps of a run of ours, or a part of them."""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from inspect import signature
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from benchmarks import transitions
from benchmarks.serve import Loop
from prune_rl import compilation_cache
from prune_rl.composition import compose
from prune_rl.runner import Runner

Settings = Mapping[str, Any]

_WARM_UPDATES = 8


def loop_of(settings: Settings, note: str) -> Loop:
    """The loop of a worker's settings; see `ours`."""
    compilation_cache.enable()
    with tempfile.TemporaryDirectory(prefix="prune_rl_") as folder:
        runner = _runner(settings, Path(folder))
    _pace_by_cpu_time()
    run, quantum = PARTS[settings["what"]](runner, settings)
    return Loop(run, len(runner.seeds), quantum, note)


def _runner(settings: Settings, folder: Path) -> Runner:
    """The run; the data that it learns from, if it is given any, are in memory when it is made."""
    bindings = list(settings["gin_bindings"])
    if "data" in settings:
        bindings.append(f"Dataset.path={str(transitions.write(folder, settings['data']))!r}")
    return compose("unused", settings["gin_files"], bindings, bindings)


def _pace_by_cpu_time() -> None:
    """Lets chunks of compiled loops be as long as on a machine that does nothing else."""
    chunked: Any = sys.modules.get("prune_rl.chunked")  # old commits have none
    if chunked is not None:
        chunked.time = SimpleNamespace(monotonic=time.process_time)


def _steps(runner: Runner, settings: Settings) -> tuple[Callable[[int], None], int]:
    """Agent steps as `python -m prune_rl.train` makes them, metrics fetched once a turn."""
    trainer, source = runner.trainer, runner.source
    source.start()
    in_chunks = bool(signature(trainer.step).parameters)  # no commit before the device loop

    def run(steps: int) -> None:
        end = source.steps + steps
        while source.steps < end:
            trainer.step(end) if in_chunks else trainer.step()
        trainer.take_metrics()
        jax.block_until_ready(trainer.agent_state)

    _fill(runner, settings.get("fill", 0))
    while trainer.gradient_steps < _WARM_UPDATES:
        trainer.step()
    quantum = max(1, round(1 / getattr(runner.policy.agent, "replay_ratio", 1)))
    run(quantum)
    return run, quantum


def _fill(runner: Runner, rows: int) -> None:
    """Writes so many transitions of episodes of 500 steps, without playing."""
    source, rng = runner.source, np.random.default_rng(0)
    shape, seeds = source.observation_spec.frame_shape, len(runner.seeds)
    frames = rng.integers(0, 256, (64, seeds, *shape)).astype(source.observation_spec.dtype)
    for row in range(rows):
        frame = frames[row % len(frames)]
        source.replay.add(
            actions=np.zeros(seeds, np.int32),
            rewards=np.zeros(seeds, np.float32),
            terminated=np.full(seeds, row % 500 == 499),
            truncated=np.zeros(seeds, bool),
            next_frames=frame,
            frames=frame,
        )


def _updates(runner: Runner, settings: Settings) -> tuple[Callable[[int], None], int]:
    """Compiled updates alone, on one batch that is on the device."""
    update, trainer = runner.policy.learner.update, runner.trainer
    batch = jax.device_put(_batch(runner))

    def run(updates: int) -> None:
        for _ in range(updates):
            trainer.agent_state, *_ = update(trainer.agent_state, batch)
        jax.block_until_ready(trainer.agent_state)

    run(_WARM_UPDATES)
    return run, 1


def _actions(runner: Runner, settings: Settings) -> tuple[Callable[[int], None], int]:
    """Actions alone, brought to the host, as nothing can be played before."""
    observations = _observations(runner)
    explore, trainer = runner.policy.explore, runner.trainer

    def run(steps: int) -> None:
        for step in range(steps):
            _, trainer.agent_state = explore(trainer.agent_state, observations, step)

    run(_WARM_UPDATES)
    return run, 1


def _emulators(runner: Runner, settings: Settings) -> tuple[Callable[[int], None], int]:
    """The games alone, one step of each seed's at random."""
    environments = runner.create_environments(0)
    environments.reset()
    actions, turns = _random_actions(environments.action_spec, 4096, len(runner.seeds)), count()

    def run(steps: int) -> None:
        for _ in range(steps):
            environments.step(actions[next(turns) % len(actions)])

    run(200)
    return run, 1


def _batch(runner: Runner) -> Any:
    """A batch of the run's own replay, of random play."""
    source = runner.source
    source.start()
    for own in _random_actions(source.action_spec, 200, len(runner.seeds)):
        source.tick(lambda _, own=own: own)
    return source.replay.sample()


def _random_actions(spec: Any, *shape: int) -> np.ndarray:
    """(*shape, *action), uniform."""
    rng = np.random.default_rng(0)
    if hasattr(spec, "num_actions"):
        return rng.integers(0, spec.num_actions, shape, dtype=np.int32)
    return rng.uniform(spec.low, spec.high, (*shape, *spec.shape)).astype(np.float32)


def _observations(runner: Runner) -> np.ndarray:
    spec = runner.source.observation_spec
    return np.zeros((len(runner.seeds), *spec.shape), spec.dtype)


PARTS: dict[str, Callable[[Runner, Settings], tuple[Callable[[int], None], int]]] = {
    "step": _steps,
    "update": _updates,
    "act": _actions,
    "emulator": _emulators,
}
