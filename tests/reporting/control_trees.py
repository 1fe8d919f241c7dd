"""Trees of runs on robots with made-up numbers, config.gin as such runs write it."""

import json
import re

import numpy as np

from prune_rl.gin_files import find_gin_file

_FILE = find_gin_file("agents/offline_control.gin").read_text()
SOURCE = re.search(r"^Runner\.create_source_fn = (.+)$", _FILE, re.MULTILINE)[1]  # of fixed data
_CLASSES = {
    **{"sac": "SACAgent", "bc": "BCAgent", "td3_bc": "TD3BCAgent", "awac": "AWACAgent"},
    "iql": "IQLAgent",
}
_NETWORKS = {"bc": ("actor",), "iql": ("actor", "critic", "value")}
_UPDATER = "create_updater_from_config"
SPARSE = {
    "pruner_type": "'global_snip'",
    "sparsity": 0.95,
    "schedule_type": "'periodic'",
    "update_start_step": 0,
    "update_end_step": 200_000,
}
ONCE = SPARSE | {"schedule_type": "'one_shot'", "update_end_step": None}
MAGNITUDE = {"pruner_type": "'magnitude'", "sparsity": 0.95, "schedule_type": "'polynomial'"}


def sparse(percent):
    """Settings of Sparse-Reg at that sparsity."""
    return SPARSE | {"sparsity": percent / 100}


def write_run(
    directory,
    *,
    game="HalfCheetah-v5",
    agent="iql",
    data="expert",
    samples=5_000,
    width=1,
    pruner=None,
    bindings=(),
    seeds=range(3),
    level=1000.0,
    iterations=8,
    done=None,
    losses=(),
):
    """A run of several seeds; every evaluation returns `level` + 10 times its seed.

    The first iterations, which do not count, return a tenth of it. `pruner` are settings of every
    network but the temperature. `losses` are names of what diagnostics measured: a tenth of the
    name's place, and 0.01 more in every iteration; so is the actor's first layer, from 0.5 on.
    """
    directory.mkdir(parents=True)
    online, kind = agent == "sac", _CLASSES[agent]
    networks = _NETWORKS.get(agent, ("actor", "critic"))
    lines = {f"{x}/{_UPDATER}.{y}": z for x in networks for y, z in (pruner or {}).items()}
    if online:
        lines[f"temperature/{_UPDATER}.pruner_type"] = "'no_prune'"
    lines |= {f"{x}/create_optimizer.weight_decay": 0.0 for x in networks}
    lines |= {"MLPTorso.width": width, "MLPTorso.units": 256, "MLPTorso.dropout": 0.0}
    lines |= {"Runner.agent": f"@{kind}()", f"{kind}.actor_torso": "@MLPTorso()"}
    lines |= {"Runner.create_environment_fn": "@create_mujoco_environment"}
    lines |= {"create_mujoco_environment.game_name": repr(game), f"{kind}.replay_ratio": 1}
    lines |= {"Runner.seed": seeds[0], "Runner.num_seeds": len(seeds)}
    lines |= {"Runner.num_iterations": iterations, "Runner.training_steps": 1000}
    lines |= {"Runner.num_eval_episodes": 10, "Runner.evaluation_steps": 0}
    if not online:
        lines |= {"Runner.create_source_fn": SOURCE, "Dataset.unit": "'first'"}
        lines |= {"Dataset.path": repr(f"data/{data}"), "Dataset.num_transitions": samples}
    text = "".join(f"{name} = {value}\n" for name, value in (lines | dict(bindings)).items())
    (directory / "config.gin").write_text(text)
    (directory / "provenance.json").write_text("[]")
    sparsity = (pruner or {}).get("sparsity", 0.0)
    rows = [
        row
        for t in range(iterations if done is None else done)
        for seed in seeds
        for row in _rows(t, seed, online, level, iterations, sparsity, losses)
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return directory


def _rows(t, seed, online, level, iterations, sparsity, losses):
    counted = t >= iterations - -(-iterations // 4)
    clock = "agent_steps" if online else "gradient_steps"
    own = {"seed": seed, "iteration": t, "clock": clock, "frames": 0}
    own |= {"agent_steps": 1000 * (t + 1) if online else 0, "gradient_steps": 1000 * (t + 1)}
    value = float(np.round((level + 10 * seed) * (1 if counted else 0.1), 6))
    layers = {"torso/Dense_0": sparsity and 0.5 + 0.01 * t, "mean": sparsity}
    learnt = {"phase": "train", "episode_return_mean": -1.0 if online else None}
    learnt |= {"sparsity": sparsity, "actor/sparsity": sparsity, "actor/sparsity_by_layer": layers}
    yield own | learnt | {"critic/sparsity_by_layer": layers}
    yield own | {"phase": "eval", "episode_return_mean": value, "num_episodes": 10}
    if losses:
        yield own | {"phase": "diagnostics"} | _measured(t, losses)


def _measured(t, losses):
    return {name: 0.1 * i + 0.01 * t for i, name in enumerate(losses, start=1)}
