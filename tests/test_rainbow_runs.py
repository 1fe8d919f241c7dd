"""Whole runs of the other agents: they prune, and resume to the bit, priorities included."""

import csv
from collections import Counter

import numpy as np
import pytest

from prune_rl import train
from prune_rl.trainer import Trainer

_AGENTS = ("rainbow", "full_rainbow", "drq_eps", "der")
_SHORT = (
    "Runner.num_seeds=2",
    "Runner.num_iterations=2",
    "Runner.training_steps=150",
    "Runner.evaluation_steps=40",
    "RainbowAgent.min_replay_history=60",
    "RainbowAgent.target_update_period=50",
)


def _train(base_dir, agent, *bindings):
    return train.main(
        [
            f"--base_dir={base_dir}",
            f"--gin_files=experiments/minatar_breakout_{agent}.gin",
            "--gin_files=pruning/magnitude.gin",
            *(f"--gin_bindings={binding}" for binding in (*_SHORT, *bindings)),
        ]
    )


def _stop_after(monkeypatch, num_steps):
    original = Trainer.step

    def step(self, *end):
        if self._source.agent_steps == num_steps:
            raise KeyboardInterrupt
        return original(self, *end)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize("agent", _AGENTS)
def test_an_agent_prunes_and_resumes_to_the_bit(
    tmp_path, monkeypatch, read_metrics, assert_same_logs, agent
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert _train(whole, agent) == 0
    last = [row for row in read_metrics(whole) if row["phase"] == "train"][-1]
    assert last["sparsity"] == pytest.approx(0.95, abs=2e-3)
    assert last["gradient_steps"] == {1: 239, 4: 59}[1 if agent in ("drq_eps", "der") else 4]
    assert last["epsilon"] == (0 if agent in ("full_rainbow", "der") else pytest.approx(1, abs=0.1))
    with monkeypatch.context() as patch:
        _stop_after(patch, 200)
        assert _train(stopped, agent) == 130
    assert _train(stopped, agent) == 0
    assert_same_logs(stopped, whole)


def test_several_updates_a_step_resume_to_the_bit(
    tmp_path, monkeypatch, read_metrics, assert_same_logs
):
    """Priorities are a batch late then; a checkpoint has none on the way."""
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert _train(whole, "rainbow", "RainbowAgent.replay_ratio=3") == 0
    assert read_metrics(whole)[-1]["gradient_steps"] == 3 * 239
    with monkeypatch.context() as patch:
        _stop_after(patch, 170)
        assert _train(stopped, "rainbow", "RainbowAgent.replay_ratio=3") == 130
    assert _train(stopped, "rainbow", "RainbowAgent.replay_ratio=3") == 0
    assert_same_logs(stopped, whole)


def test_evaluation_by_episodes_plays_as_many_of_each_seed(tmp_path):
    bindings = ("Runner.evaluation_steps=0", "Runner.num_eval_episodes=3")
    assert _train(tmp_path, "der", *bindings) == 0
    with (tmp_path / "episodes.csv").open() as file:
        played = Counter(
            (row["seed"], row["iteration"])
            for row in csv.DictReader(file)
            if row["phase"] == "eval"
        )
    assert played == {(seed, iteration): 3 for seed in "01" for iteration in "01"}


def test_two_measures_of_an_evaluation_are_refused(tmp_path, capsys):
    assert _train(tmp_path / "run", "der", "Runner.num_eval_episodes=3") == 2
    assert "Runner.num_eval_episodes=3" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_prioritised_and_uniform_replay_train_differently(tmp_path, read_metrics):
    rows = []
    for scheme in ("uniform", "prioritized"):
        base_dir = tmp_path / scheme
        assert _train(base_dir, "rainbow", f'RainbowAgent.replay_scheme="{scheme}"') == 0
        rows.append(read_metrics(base_dir)[-1]["sparsity_by_layer"])
        rows[-1]["loss"] = [r for r in read_metrics(base_dir) if r["phase"] == "train"][-1]["loss"]
    assert rows[0]["loss"] != rows[1]["loss"]
    assert np.isfinite([row["loss"] for row in rows]).all()
