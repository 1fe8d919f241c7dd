"""How `benchmarks.accelerator` measures a row, in this process. Times are wall time."""

import contextlib
import gc
import importlib.metadata
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
import psutil
from jax import lax

from benchmarks import machine
from benchmarks.workers import parts
from prune_rl.agents.dqn import DQNAgent
from prune_rl.composition import compose
from prune_rl.experiment import create_optimizers
from prune_rl.learning.learner import Learner
from prune_rl.learning.seed_axis import split_seeds
from prune_rl.networks.convolution import by_patches
from prune_rl.networks.torsos import impala, minatar
from prune_rl.networks.torsos.impala import ImpalaTorso
from prune_rl.networks.torsos.minatar import MinAtarTorso
from prune_rl.networks.torsos.nature import NatureTorso
from prune_rl.networks.torsos.torso import Torso
from prune_rl.recording.checkpoints import Checkpoint, Checkpointer
from prune_rl.runner import Runner
from prune_rl.specs import Batch, Discrete, ObservationSpec

Settings = Mapping[str, Any]
Result = dict[str, Any]

ACTS_PER_UPDATE = 4
_ATARI, _MINATAR = ObservationSpec((84, 84, 1), stack_size=4), ObservationSpec((10, 10, 4))
_TORSOS: dict[str, tuple[Torso, ObservationSpec]] = {
    "nature": (NatureTorso(), _ATARI),
    **{f"impala_x{width}": (ImpalaTorso(width=width), _ATARI) for width in (1, 3, 5)},
    "minatar_x1": (MinAtarTorso(), _MINATAR),
}
_ACTIONS, _BATCH = 6, 32
_HISTORY, _ROWS = 200, 20_000  # agent steps before updates; of a replay
_SAVED_ROWS = 4_000
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "ale-py", "pgx")


def describe() -> dict[str, Any]:
    """The device, its driver, the machine around it and what is installed."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "kind": device.device_kind,
        "devices": jax.device_count(),
        "runtime": str(device.client.platform_version),
        "driver": _driver(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "machine": machine.describe(),
    }


def _driver() -> str:
    """What nvidia-smi says; '' where there is none."""
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    return ""


def _version(package: str) -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""


def measure(kind: str, settings: Settings, seconds: float) -> Result:
    """A row's numbers, each measured for about so long; leaves nothing on the device."""
    try:
        return MEASURES[kind](settings, seconds)
    finally:
        jax.clear_caches()
        gc.collect()


def paced(run: Callable[[int], None], quantum: int, seconds: float) -> float:
    """Seconds of a step: of the last of ever longer turns, at least half as long as asked."""
    steps = quantum
    while True:
        begin = time.perf_counter()
        run(steps)
        taken = time.perf_counter() - begin
        if taken >= seconds / 2:
            return taken / steps
        steps = quantum * max(2 * steps // quantum, round(steps * seconds / taken) // quantum)


def _learn(settings: Settings, seconds: float) -> Result:
    with _convolutions(settings["way"]):
        return _learn_traced(settings, seconds)


@contextlib.contextmanager
def _convolutions(way: str) -> Iterator[None]:
    """Where networks are traced with another form of convolution, or with their own."""
    with contextlib.ExitStack() as stack:
        if way == "patches":
            for torso in (impala, minatar):
                own = mock.patch.object(torso, "convolution_for", return_value=by_patches)
                stack.enter_context(own)
            # What flax takes where a layer says nothing: Nature's.
            stack.enter_context(mock.patch.object(lax, "conv_general_dilated", by_patches))
        yield


def _learn_traced(settings: Settings, seconds: float) -> Result:
    seeds, way = settings["seeds"], settings["way"]
    torso, spec = _TORSOS[settings["torso"]]
    strategy = "unroll" if way == "unroll" or seeds == 1 else "vmap"
    agent = DQNAgent(torso=torso, seed_strategy=strategy, precision=settings["precision"])
    optimizers = create_optimizers(agent.networks, 1_000_000, 1_000_000)
    learner = agent.learner(spec, Discrete(_ACTIONS), optimizers)
    update, act = _workloads(learner, spec, seeds)
    compiled = {name: _timed(run) for name, run in (("update", update), ("act", act))}
    each = {name: paced(run, 1, seconds) for name, run in (("update", update), ("act", act))}
    flops = seeds * _flops(learner, spec)
    step = each["update"] / ACTS_PER_UPDATE + each["act"]
    return {
        "steps_per_second_of_each_seed": 1 / step,
        "update_ms": 1e3 * each["update"],
        "act_ms": 1e3 * each["act"],
        "tflops": flops / each["update"] / 1e12,
        "gflop_of_an_update": flops / 1e9,
        "compile_update_s": compiled["update"] - each["update"],
        "compile_act_s": compiled["act"] - each["act"],
        **_memory(),
    }


def _workloads(
    learner: Learner, spec: ObservationSpec, seeds: int
) -> tuple[Callable[[int], None], Callable[[int], None]]:
    """So many updates of batches that come from the host; actions that go back there."""
    state, batch = learner.init(range(seeds)), random_batch(seeds, spec.shape)
    observations = np.zeros((seeds, *spec.shape), np.uint8)

    def update(times: int) -> None:
        nonlocal state
        for _ in range(times):
            state, *_ = learner.update(state, batch)
        jax.block_until_ready(state)

    def act(times: int) -> None:
        for _ in range(times):
            np.asarray(learner.act(state.params, state.keys, observations, 0.01)[0])

    return update, act


def random_batch(seeds: int, shape: tuple[int, ...]) -> Batch:
    """32 transitions of each seed, on the host."""
    rng, size = np.random.default_rng(0), (seeds, _BATCH)
    states = rng.integers(0, 256, (2, *size, *shape), dtype=np.uint8)
    actions = rng.integers(0, _ACTIONS, size, dtype=np.int32)
    rewards = rng.random(size, dtype=np.float32)
    return Batch(states[0], actions, rewards, np.full(size, 0.99, np.float32), states[1])


def _flops(learner: Learner, spec: ObservationSpec) -> float:
    """Of one seed's update, as XLA counts those of the program before it optimizes it."""
    state = split_seeds(learner.init([0]), learner.state_axes)[0]
    batch = jax.tree.map(lambda x: x[0], random_batch(1, spec.shape))
    return float(jax.jit(learner.one.update).lower(state, batch).cost_analysis()["flops"])


def _timed(run: Callable[[int], None]) -> float:
    begin = time.perf_counter()
    run(1)
    return time.perf_counter() - begin


def _runner(settings: Settings) -> Runner:
    bindings = [f"Runner.num_seeds={settings['seeds']}", f"DQNAgent.min_replay_history={_HISTORY}"]
    if "experiments/minatar_breakout.gin" not in settings["gin_files"]:
        bindings.append('create_atari_environment.game_name="Pong"')
        bindings.append(f"ReplayBuffer.max_capacity={_ROWS}")
    bindings += settings.get("gin_bindings", [])
    return compose("unused", settings["gin_files"], bindings, bindings)


def _loop(settings: Settings, seconds: float) -> Result:
    """Training as it is, with games and replay."""
    begin = time.perf_counter()
    run, quantum = parts.PARTS["step"](_runner(settings), {})
    warm = time.perf_counter() - begin
    step = paced(run, quantum, seconds)
    return {"steps_per_second_of_each_seed": 1 / step, "warm_up_s": warm, **_memory()}


def _emulator(settings: Settings, seconds: float) -> Result:
    run, quantum = parts.PARTS["emulator"](_runner(settings), {})
    return {"steps_per_second_of_each_seed": 1 / paced(run, quantum, seconds)}


def _checkpoint(settings: Settings, seconds: float) -> Result:
    """Once each; `seconds` are not looked at."""
    runner = _runner(settings)
    parts.PARTS["step"](runner, {"fill": _SAVED_ROWS})
    trainer, times = runner.trainer, {}
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.closing(Checkpointer(Path(folder))) as own:
            begin = time.perf_counter()
            seeds = dict(zip(runner.seeds, trainer.get_state(), strict=True))
            times["fetch_s"] = time.perf_counter() - begin
            own.save(Checkpoint(seeds, {}))
            own.wait()
            times["save_s"] = time.perf_counter() - begin
        size = sum(x.stat().st_size for x in Path(folder).rglob("*") if x.is_file())
        with contextlib.closing(Checkpointer(Path(folder))) as own:
            begin = time.perf_counter()
            own.restore(lambda x: trainer.set_state([x.seeds[seed] for seed in runner.seeds]))
            times["restore_s"] = time.perf_counter() - begin
    return {**times, "mib": size / 2**20, "rows_of_each_seed": _SAVED_ROWS}


def _memory() -> Result:
    """MiB now, and at most since the first row; of the process where the device does not say."""
    stats = jax.devices()[0].memory_stats()
    if not stats:
        return {"process_mib": psutil.Process().memory_info().rss / 2**20}
    most = stats.get("peak_bytes_in_use", stats["bytes_in_use"])
    return {"device_mib": stats["bytes_in_use"] / 2**20, "device_peak_mib": most / 2**20}


MEASURES: dict[str, Callable[[Settings, float], Result]] = {
    "learn": _learn,
    "loop": _loop,
    "emulator": _emulator,
    "checkpoint": _checkpoint,
}
