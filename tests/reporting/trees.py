"""Trees of run directories with made-up numbers, shaped as grids of the paper's figures."""

import json

import numpy as np

AGENTS = {"dqn": "DQNAgent", "rainbow": "RainbowAgent", "cql": "CQLAgent"}
TORSOS = {"impala": "ImpalaTorso", "nature": "NatureTorso", "minatar": "MinAtarTorso"}
_LAYERS = ("torso/Conv_0", "torso/Dense_0")
_COUNTED = ("agent_steps", "gradient_steps", "frames")
_LEARNT = {"phase": "train", "episode_return_mean": None}
_MEASURED = ("q_target_variance", "parameter_norm", "q_norm", "srank", "dormant")


def write_run(
    directory,
    *,
    game="breakout",
    seed=0,
    agent="dqn",
    torso="minatar",
    width=1,
    pruner="no_prune",
    sparsity=0.0,
    ratio=0.25,
    bindings=(),
    iterations=8,
    done=None,
    returns=None,
    measured=False,
    matrices=False,
    scale=1,
    diverged=False,
):
    """A run of one seed of `iterations`, of which `done` are there; `returns` (T,) of training.

    An iteration has 1,000 agent steps, or `scale` times as many. The last row of one that has
    `diverged` says so.

    Unless given, returns rise to (1 + seed / 10) * (1 + width / 10), a third higher if pruned.
    """
    directory.mkdir(parents=True)
    done = iterations if done is None else done
    suite = "minatar" if game.islower() else "atari"
    name, kind = AGENTS[agent], TORSOS[torso]
    updater = "create_updater_from_config"
    lines = {
        "torso": f"@{kind}()",
        "Runner.agent": f"@{name}()",
        "Runner.create_environment_fn": f"@create_{suite}_environment",
        f"create_{suite}_environment.game_name": repr(game),
        f"{name}.replay_ratio": ratio,
        f"{name}.torso": "%torso",
        f"torso/{kind}.width": width,
        f"q/{updater}.pruner_type": repr(pruner),
        f"q/{updater}.sparsity": sparsity,
        f"q/{updater}.schedule_type": "'polynomial'",
        "Runner.seed": seed,
        "Runner.num_seeds": 1,
        "Runner.num_iterations": iterations,
        "Runner.training_steps": 1000,
        "Runner.interventions": "()",
    }
    lines |= {"CQLAgent.num_atoms": 1} if agent == "cql" else {}
    lines |= {"Runner.create_source_fn": "@DatasetSource"} if agent == "cql" else {}
    text = "".join(f"{key} = {value}\n" for key, value in (lines | dict(bindings)).items())
    (directory / "config.gin").write_text(text)
    (directory / "provenance.json").write_text("[]")
    if returns is None:
        top = (1 + seed / 10) * (1 + width / 10) * (4 / 3 if sparsity else 1)
        returns = top * np.minimum(1, (np.arange(iterations) + 1) / (iterations / 2))
    rows = [_row(t, seed, agent, ratio, sparsity, iterations, returns[t]) for t in range(done)]
    rows = [row | {name: scale * row[name] for name in _COUNTED} for row in rows]
    if diverged:
        rows[-1]["diverged_at"] = 37
    if agent == "cql":  # learns in one phase and plays in the other
        rows = [row | own for row in rows for own in ({"phase": "eval"}, _LEARNT)]
    if measured:
        rows += [_measurement(row, number=seed + width) for row in list(rows)]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if matrices:
        (directory / "diagnostics").mkdir()
        matrix = np.full((1, 4, 4), 0.5 * (1 - sparsity), np.float32)
        np.savez_compressed(
            directory / "diagnostics" / f"gradient_covariance_{done - 1:04d}.npz",
            matrix=matrix,
            seeds=np.array([seed]),
            agent_steps=1000 * done,
        )
    return directory


def _row(t, seed, agent, ratio, sparsity, iterations, value):
    offline = agent == "cql"
    gradient_steps = 1000 * (t + 1) if offline else int(1000 * (t + 1) * ratio)
    progress = np.clip(((t + 1) / iterations - 0.2) / 0.6, 0, 1)
    now = float(sparsity * (1 - (1 - progress) ** 3))
    return {
        "seed": seed,
        "iteration": t,
        "phase": "train",
        "clock": "gradient_steps" if offline else "agent_steps",
        "agent_steps": 0 if offline else 1000 * (t + 1),
        "gradient_steps": gradient_steps,
        "frames": 4000 * (t + 1),
        "episode_return_mean": float(value),
        "sparsity": now,
        "sparsity_by_layer": {_LAYERS[0]: now / 2, _LAYERS[1]: now},
    }


def _measurement(row, number):
    when = ("seed", "iteration", "clock", "agent_steps", "gradient_steps", "frames", "sparsity")
    own = {name: row[name] for name in when} | {"phase": "diagnostics"}
    own |= {name: float(number + i + row["iteration"]) for i, name in enumerate(_MEASURED)}
    return own | {"dormant": 0.1, "dormant_by_layer": {_LAYERS[0]: 0.0, _LAYERS[1]: 0.2}}


def write_tree(root, cells, games=("breakout", "asterix"), seeds=range(3), **shared):
    """A run for each of the `cells` ({label: settings}), game and seed, as a grid names them."""
    for label, settings in cells.items():
        for game in games:
            for seed in seeds:
                write_run(
                    root / label / game / str(seed), game=game, seed=seed, **shared, **settings
                )
    return root


DENSE = {"pruner": "no_prune"}
PRUNED = {"pruner": "magnitude", "sparsity": 0.95}
