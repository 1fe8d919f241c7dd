"""A whole run of CQL+C51 on fixed data: pruned, evaluated, resumed to the bit."""

import sys
from types import ModuleType

import numpy as np
import pytest

from prune_rl import train
from prune_rl.trainer import Trainer

_MODULE = """
import gin
from tests_cql_games import PlayedGames


@gin.configurable
def games_of_cql(setting):
    return PlayedGames(setting)
"""
_SETTINGS = """
import games_of_cql_module
include 'networks/minatar.gin'
include 'suites/minatar.gin'
include 'pruning/magnitude.gin'

DatasetSource.create_dataset_fn = @games_of_cql
create_minatar_environment.game_name = 'breakout'
Runner.num_iterations = 2
Runner.training_steps = 40
Runner.evaluation_steps = 60
Runner.num_seeds = 2
create_updater_from_config.update_freq = 5
"""


@pytest.fixture
def run(tmp_path, monkeypatch, played_games):
    """Trains it in a directory of that name; returns the exit code."""
    module = ModuleType("tests_cql_games")
    module.PlayedGames = played_games
    monkeypatch.setitem(sys.modules, "tests_cql_games", module)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "games_of_cql_module.py").write_text(_MODULE)
    (tmp_path / "own.gin").write_text(_SETTINGS)
    files = ["agents/cql_c51.gin", tmp_path / "own.gin"]
    flags = [f"--gin_files={file}" for file in files]
    return lambda name: train.main([*flags, f"--base_dir={tmp_path / name}"])


def test_cql_c51_prunes_and_resumes_to_the_bit(
    tmp_path, monkeypatch, run, read_metrics, assert_same_logs
):
    assert run("whole") == 0
    rows = read_metrics(tmp_path / "whole")
    last = [row for row in rows if row["phase"] == "train"][-1]
    assert (last["clock"], last["gradient_steps"], last["agent_steps"]) == ("gradient_steps", 80, 0)
    assert last["sparsity"] == pytest.approx(0.95, abs=2e-3)
    assert np.isfinite(last["loss"])
    assert sum("episode_return_mean" in row for row in rows if row["phase"] == "eval") == 4
    step, count = Trainer.step, iter(range(80))

    def failing(self, *end):
        if next(count) == 55:
            raise KeyboardInterrupt
        return step(self, *end)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", failing)
        assert run("stopped") == 130
    assert run("stopped") == 0
    assert_same_logs(tmp_path / "stopped", tmp_path / "whole")
