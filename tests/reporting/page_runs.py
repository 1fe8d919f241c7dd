"""Run directories as real runs leave them, with made-up numbers, for pages of them."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from prune_rl.reporting.page import Contents
from prune_rl.reporting.page_data import describe_runs
from prune_rl.reporting.pictures import Picture
from prune_rl.reporting.statistics import Estimate
from prune_rl.reporting.table import final_scores
from prune_rl.reporting.trainings import FINISHED, Training, find_trainings

CONFIG = """# Macros:
torso = @MinAtarTorso()
create_minatar_environment.game_name = '{game}'
q/create_updater_from_config.pruner_type = '{pruner}'
q/create_updater_from_config.sparsity = {sparsity}
DQNAgent.replay_ratio = 0.25
torso/MinAtarTorso.width = {width}
Runner.agent = @DQNAgent()
Runner.create_environment_fn = @create_minatar_environment
Runner.num_iterations = {iterations}
Runner.num_seeds = {num_seeds}
Runner.seed = {seed}
Runner.training_steps = 100
"""
DENSE = {"width": 1, "pruner": "no_prune", "sparsity": 0.0}
PRUNED = {"width": 8, "pruner": "magnitude", "sparsity": 0.95}
HOSTILE = "</script><script>alert(1)</script><!--<script>\u2028'\"&amp;é"
GAMES, ITERATIONS = ("asterix", "breakout"), 4


def episode_return(pruned: bool, game: str, seed: int, iteration: int) -> float:
    """What those runs return: eight digits, of which a page shows four."""
    return 1.2345678 * (iteration + 1) + seed + 10 * pruned + 3 * GAMES.index(game)


def start(commit="a" * 40, started="2026-11-22T08:40:13+00:00", **changes):
    """One entry of provenance.json."""
    return {
        "started": started,
        "command": ["train.py", "--base_dir=a b"],
        "git_commit": commit,
        "git_dirty": False,
        "python": "3.11.7",
        "versions": {"jax": "0.10.2", "flax": "0.12.8"},
        "backend": "cpu",
        "device": "cpu",
        "protocol": {"suite": "minatar", "sticky_action_probability": 0.1},
        "units": {"loss": "mean over updates looked at"},
    } | changes


def rows_of(pruned, game, seeds, iterations=ITERATIONS):
    """Rows of training and, after every second iteration, of diagnostics."""
    rows = []
    for seed in seeds:
        for t in range(iterations):
            sparsity = 0.95 * pruned * t / max(iterations - 1, 1)
            row = {
                **{"seed": seed, "iteration": t, "phase": "train", "clock": "agent_steps"},
                **{"agent_steps": 100 * (t + 1), "gradient_steps": 25 * (t + 1)},
                **{"frames": 100 * (t + 1), "sparsity": sparsity},
            }
            measured = row | {"phase": "diagnostics", "srank": 100.0 + seed, "dormant": 0.125}
            measured["dormant_by_layer"] = {"torso/Conv_0": 0.0, "torso/Dense_0": 0.25 + seed / 8}
            row["sparsity_by_layer"] = {"head": sparsity, "torso/Conv_0": sparsity / 2}
            row["episode_return_mean"] = episode_return(pruned, game, seed, t)
            row |= {"num_episodes": 3, "loss": 0.01 * (t + 1), "epsilon": 0.01}
            rows += [row, measured] if t % 2 else [row]
    return rows


def write_run(directory: Path, arm, game, seeds, *, starts=None, rows=None) -> Path:
    """Writes config.gin, metrics.jsonl, timing.jsonl and provenance.json."""
    directory.mkdir(parents=True)
    numbers = {"num_seeds": len(seeds), "seed": seeds[0], "iterations": ITERATIONS}
    (directory / "config.gin").write_text(CONFIG.format(game=game, **arm, **numbers))
    rows = rows_of(arm is PRUNED, game, seeds) if rows is None else rows
    _write_lines(directory / "metrics.jsonl", rows)
    named = ("seed", "iteration", "phase")
    times = [{name: row[name] for name in named} for row in rows if row["phase"] == "train"]
    _write_lines(
        directory / "timing.jsonl", [own | {"agent_steps_per_second": 250.0} for own in times]
    )
    (directory / "provenance.json").write_text(json.dumps(starts or [start()]))
    return directory


def write_tree(root: Path) -> Path:
    """Two arms on two games: dense in runs of one seed, 0 and 1, pruned in runs of both."""
    for game in GAMES:
        for seed in range(2):
            write_run(root / "dense" / game / str(seed), DENSE, game, [seed])
        write_run(root / "pruned" / game, PRUNED, game, [0, 1], starts=[start(), start("b" * 40)])
    return root


def _write_lines(path: Path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def trainings_of(root: Path) -> list[Training]:
    """Of the runs below."""
    return list(find_trainings([root]))


def picture(name="figure_1", title="Returns", rows=(("dense", 1.5),)) -> Picture:
    """A line, with its numbers."""
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2, 3], [3, 1, 2])
    return Picture(name, title, "A line.", figure, ("arm", "value"), list(rows))


def estimate(arm="dense", value=0.5, num_runs=6) -> Estimate:
    """An IQM over two games."""
    return Estimate(arm, "iqm", value, 0.41234567, 0.6, 2, num_runs)


def contents(trainings=(), estimates=(), pictures=(), left_out=()) -> Contents:
    """Of a page of them, with the scores that a report takes and counts by default."""
    scores = final_scores(trainings)
    return Contents(trainings, scores, counted(scores), estimates, pictures, left_out)


def counted(scores):
    """Those that statistics are of."""
    return [own for own in scores if own.state == FINISHED and own.value == own.value]


def described(trainings, *most_numbers: int):
    """As the page has them, with the same scores."""
    scores = final_scores(trainings)
    return describe_runs(trainings, scores, counted(scores), *most_numbers)
