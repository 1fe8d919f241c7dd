"""Runs whose seeds do not stay finite: what they say, log and leave, and how they end."""

import json

import jax.numpy as jnp
import pytest

from prune_rl.reporting import curves
from prune_rl.trainer import Trainer

_SAID = "seed {} diverged: loss or weights are not finite since gradient step {}; "
_SAID += "it is frozen"


@pytest.mark.parametrize("strategy", ["unroll", "vmap"])
def test_a_run_of_which_no_seed_is_finite_stops_after_its_iteration(
    tmp_path, capsys, train_minatar, read_metrics, strategy
):
    """The first update makes weights of 1e30, whose squared errors are infinite."""
    bind = ("create_optimizer.learning_rate=1e30", f'DQNAgent.seed_strategy="{strategy}"')
    assert train_minatar(tmp_path, *bind, files=("diagnostics/all.gin",)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [x for x in lines if x.startswith("seed ")] == [_SAID.format(x, 2) for x in (0, 1)]
    assert lines[-1] == (
        f"prune_rl.train: --base_dir={tmp_path}: every seed has diverged, the last at gradient "
        "step 2; the run stops here, and the same command will say so again"
    )
    rows = read_metrics(tmp_path)
    assert [(r["iteration"], r["phase"], r["seed"]) for r in rows] == [
        (0, "train", 0),
        (0, "train", 1),
    ]
    for row in rows:
        assert (row["diverged_at"], row["loss"]) == (2, None)
        assert "loss" in row["non_finite"]
    assert not (tmp_path / "curve.png").exists()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert train_minatar(tmp_path, *bind, files=("diagnostics/all.gin",)) == 1
    assert capsys.readouterr().err.splitlines() == lines[-1:]
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before


@pytest.fixture
def poisoned(monkeypatch):
    """Lets one weight of the second seed be no number from the start."""

    def init(self, *args, _init=Trainer.__init__, **more):
        _init(self, *args, **more)
        network = self.agent_state.networks["q"]
        params = network.params
        head = params["params"]["head"]
        kernel = head["kernel"].at[1, 0, 0].set(jnp.nan)
        params = {"params": params["params"] | {"head": head | {"kernel": kernel}}}
        self.agent_state = self.agent_state.with_network("q", network.replace(params=params))

    monkeypatch.setattr(Trainer, "__init__", init)


_MAGNITUDE = ("pruning/magnitude.gin",)


@pytest.fixture
def healthy(trained_minatar):
    """A run without poison, trained before there is some."""
    return trained_minatar(files=_MAGNITUDE)


def test_one_seed_that_is_not_finite_is_named_and_the_other_goes_on(
    tmp_path, capsys, healthy, poisoned, train_minatar, read_metrics
):
    run = tmp_path / "run"
    assert train_minatar(run, files=_MAGNITUDE) == 0
    said = [x for x in capsys.readouterr().err.splitlines() if x.startswith("seed ")]
    assert said == [_SAID.format(1, 1)]
    lines = [(x / "metrics.jsonl").read_text().splitlines() for x in (healthy, run)]
    assert len(lines[0]) == len(lines[1]) == 12
    for expected, line in zip(*lines, strict=True):
        row = json.loads(line)
        if row["seed"] == 0:
            assert line == expected
        else:
            assert (row["diverged_at"], row["sparsity"]) == (1, 0.0)
            assert row["phase"] == "eval" or row["loss"] is None
    assert curves.main([f"--run={run}", f"--out={tmp_path / 'x.png'}"]) == 0
    assert "diverged seeds: 1 (gradient step 1)" in capsys.readouterr().err


def test_a_diverged_seed_is_still_frozen_when_the_run_is_resumed(
    tmp_path, capsys, healthy, poisoned, monkeypatch, train_minatar, assert_same_logs
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train_minatar(whole, files=_MAGNITUDE) == 0
    step, taken = Trainer.step, []

    def failing_step(self, *end):
        taken.append(1)
        if len(taken) > 250:
            raise KeyboardInterrupt
        return step(self, *end)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", failing_step)
        assert train_minatar(stopped, files=_MAGNITUDE) == 130
    capsys.readouterr()
    assert train_minatar(stopped, files=_MAGNITUDE) == 0
    assert capsys.readouterr().err.count(_SAID.format(1, 1)) == 1  # each start has its own stderr
    assert_same_logs(stopped, whole)
