"""What Minari itself writes of random and expert players is what evaluations are scored by."""

import json
import warnings

import numpy as np
import pytest

from prune_rl import train
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

minari = pytest.importorskip("minari")
gymnasium = pytest.importorskip("gymnasium")
pytestmark = pytest.mark.usefixtures("quick_compiling")

OWN = (-3.0, 17.0)  # unlike D4RL's of any robot
D4RLS = (-20.272305, 3234.3)  # d4rl/infos.py, of Hopper
_BINDINGS = (
    *("Runner.num_iterations=1", "Runner.training_steps=2", "Runner.num_eval_episodes=2"),
    *("Runner.max_steps_per_episode=5", "Dataset.batch_size=4", "MLPTorso.units=8"),
)


def _write(name, game, references):
    """A set of one episode, by Minari."""
    rng, steps = np.random.default_rng(0), 8
    with gymnasium.make(game) as env, warnings.catch_warnings(action="ignore"):
        flags = np.arange(steps) == steps - 1
        box, (size,) = env.action_space, env.observation_space.shape
        buffer = minari.data_collector.EpisodeBuffer(
            observations=rng.normal(size=(steps + 1, size)),
            actions=rng.uniform(box.low, box.high, (steps, *box.shape)).astype(np.float32),
            rewards=rng.normal(size=steps),
            terminations=flags,
            truncations=flags & False,
        )
        told = dict(zip(("ref_min_score", "ref_max_score"), references or (), strict=False))
        minari.create_dataset_from_buffers(name, [buffer], env=env, algorithm_name="SAC", **told)


@pytest.mark.parametrize(
    ("game", "references", "scale"),
    [
        ("Humanoid-v5", OWN, OWN),
        ("Hopper-v5", OWN, OWN),
        ("Hopper-v5", None, D4RLS),
        ("Humanoid-v5", None, None),
    ],
)
def test_evaluations_and_reports_are_on_the_scale_of_the_set(
    tmp_path, monkeypatch, read_metrics, game, references, scale
):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "sets"))
    _write("mujoco/own/medium-v0", game, references)
    base_dir = tmp_path / "runs" / "bc"
    named = f"create_mujoco_environment.game_name={game!r}"
    bindings = ("Dataset.path='mujoco/own/medium-v0'", named, *_BINDINGS)
    flags = [f"--gin_bindings={x}" for x in bindings]
    assert train.main([f"--base_dir={base_dir}", "--gin_files=agents/bc.gin", *flags]) == 0
    (row,) = (x for x in read_metrics(base_dir) if x["phase"] == "eval")
    value = row["episode_return_mean"]
    study = Study(find_trainings([base_dir]), None, 0, unfinished=False)
    study.scale = choose_scale(study, None)
    (reported,) = study.final(study.arms[0])[game].values()
    told = json.loads((base_dir / "provenance.json").read_text())[0]["protocol"]
    if scale is None:
        assert "normalized_score" not in row
        assert told["reference_scores"] is None
        assert study.scale.kind != "d4rl"
        return
    expected = 100 * (value - scale[0]) / (scale[1] - scale[0])
    assert row["normalized_score"] == pytest.approx(expected)
    assert reported == pytest.approx(expected)
    assert told["reference_scores"] == list(scale)
