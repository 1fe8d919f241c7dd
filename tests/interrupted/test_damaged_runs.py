"""Damage to any file of a run: it ends as it would have, or is refused in one line, untouched."""

import os
import shutil
import signal
from collections import Counter

import pytest

from prune_rl.trainer import Trainer

from .again import DQN, MINATAR, Again, at
from .damage import damage
from .ends import left, snapshot

_CASES, _ALL = 100, 200  # in every test of the suite, and at night


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def dqn():
    files = ("experiments/minatar_breakout.gin", "diagnostics/all.gin")
    small = ("probe_size", "srank_probe_size", "dormant_probe_size", "num_gradients")
    probes = [f"Diagnostics.{name}=4" for name in small]
    short = ("Runner.num_iterations=4", "Runner.training_steps=30", "Runner.evaluation_steps=10")
    return Again(files, (*MINATAR, *DQN, *short, "DQNAgent.min_replay_history=12", *probes))


@pytest.fixture(scope="module")
def template(dqn, tmp_path_factory):
    """A run stopped within the last of four iterations; the checkpoint before is at its start."""
    base_dir = tmp_path_factory.mktemp("template") / "run"
    with at(Trainer, "step", 100, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert dqn(base_dir) == 75
    return base_dir


@pytest.fixture(scope="module")
def whole(dqn, tmp_path_factory):
    base_dir = tmp_path_factory.mktemp("whole") / "run"
    assert dqn(base_dir) == 0
    return left(base_dir) | {"matrices": {}}


def judge(dqn, base_dir, whole, err):
    """'unaffected', 'fell back' or 'refused'; fails if it is none of them."""
    before = snapshot(base_dir)
    code = dqn(base_dir)
    said = err()
    lines = [x for x in said.splitlines() if not x.startswith("iteration ")]
    assert "Traceback" not in said
    if code == 2:
        assert len(lines) == 1, lines
        assert lines[0].startswith("prune_rl.train: --base_dir=")
        assert snapshot(base_dir) == before
        return "refused"
    assert code == 0, lines
    shutil.rmtree(base_dir / "diagnostics", ignore_errors=True)  # matrices are no logs
    assert left(base_dir) == whole
    (goes_on,) = [x for x in lines if ": going on after " in x]
    if goes_on.endswith(": going on after 100 agent steps"):
        return "unaffected"
    assert goes_on.endswith(": going on after 90 agent steps")
    return "fell back"


def judge_all(dqn, template, whole, tmp_path, capfd, cases, below=""):
    counts, failed = Counter(), []
    for seed in cases:
        run = tmp_path / "run"
        shutil.copytree(template, run)
        done = damage(run, seed, below)
        try:
            outcome = judge(dqn, run, whole, lambda: capfd.readouterr().err)
        except Exception as error:
            outcome = "failed"
            reason = str(error).splitlines()[0] if str(error) else ""
            failed.append(f"{seed}: {done.name} {done.kind}: {type(error).__name__} {reason}")
        counts[outcome] += 1
        shutil.rmtree(run)
    with capfd.disabled():
        print(f" {below or 'run'}: {dict(counts)}", end="")
    assert not failed, "\n".join(failed)
    return counts


@pytest.mark.parametrize("below", ["", "checkpoints"])
def test_damage_is_mended_or_refused(dqn, template, whole, tmp_path, capfd, below):
    counts = judge_all(dqn, template, whole, tmp_path, capfd, range(_CASES), below)
    assert counts["refused"] > 9
    assert counts["fell back"] > 9


@pytest.mark.nightly
@pytest.mark.parametrize("below", ["", "checkpoints"])
def test_more_damage_is_mended_or_refused(dqn, template, whole, tmp_path, capfd, below):
    cases = range(_CASES, _CASES + _ALL)
    judge_all(dqn, template, whole, tmp_path, capfd, cases, below)
