"""What every figure's cells come to, choice by choice: settings as gin resolves them.

Agents and pruners are built through gin alone: no replay, no network, nothing compiled.
"""

import copy
import functools

import gin
import pytest

from prune_rl import configuration
from prune_rl.grid import Grid
from prune_rl.pruning.config import create_updater_from_config

_ONLINE = (1, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16)
FIGURES = [*(f"figure_{number}" for number in _ONLINE), "atari_100k"]


@functools.cache
def cells(figure):
    """Settings of every combination of choices, of one game and seed, by its labels."""
    configuration.load([f"experiments/{figure}.gin"], [])
    grid = Grid()
    game = grid._games[0]
    chosen = [cell for cell in grid.cells() if cell.name.endswith(f"/{game}/0")]
    return {cell.name.removesuffix(f"/{game}/0"): _resolve(cell) for cell in chosen}


def _resolve(cell):
    configuration.load(cell.gin_files, cell.gin_bindings)
    agent = copy.deepcopy(gin.query_parameter("Runner.agent"))  # gin calls what it refers to
    steps = [gin.query_parameter(f"Runner.{x}") for x in ("num_iterations", "training_steps")]
    made = agent.num_gradient_steps(steps[0] * steps[1])
    nominal = agent.nominal_gradient_steps(steps[0] * steps[1])
    schedule = create_updater_from_config(made, nominal_gradient_steps=nominal).schedule
    return {
        "start": getattr(schedule, "update_start_step", None),
        "end": getattr(schedule, "update_end_step", None),
        "replay_ratio": agent.replay_ratio,
    }


_40M = {0.25: (500_000, 2_000_000), 0.5: (1_000_000, 4_000_000)}
_40M |= {1: (2_000_000, 8_000_000), 2: (4_000_000, 16_000_000)}
_DENSE = ("dense", "reset", "redo", "weight_decay", "l2")


@pytest.mark.parametrize("figure", FIGURES)
def test_pruning_goes_from_20_to_80_percent_of_agent_steps_times_replay_ratio(figure):
    """By hand: 40M frames are 10M agent steps, 100M are 25M, Atari 100k has 100,000."""
    for name, own in cells(figure).items():
        expected = _40M[own["replay_ratio"]]
        if figure == "figure_10" and "100M" in name:
            expected = (1_250_000, 5_000_000)
        if figure == "atari_100k":
            expected = (20_000, 80_000)
        if name.split("/")[-1] in _DENSE:
            expected = (None, None)
        assert (own["start"], own["end"]) == expected, name


def test_the_replay_ratio_is_the_agents_and_the_figures():
    ratios = {0.25: "rr0.25", 0.5: "rr0.5", 1: "rr1", 2: "rr2"}
    for figure in FIGURES:
        for name, own in cells(figure).items():
            if figure in ("figure_5", "figure_16"):
                assert ratios[own["replay_ratio"]] == name.split("/")[2]
            else:
                expected = 1 if figure in ("figure_8", "atari_100k") else 0.25
                assert own["replay_ratio"] == expected, name
