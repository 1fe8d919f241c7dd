"""What fixed data a run learnt from, of runs as training leaves them."""

import csv

import gin
import numpy as np
import pytest

from prune_rl import configuration, report, train
from prune_rl.reporting.offline import is_offline
from prune_rl.reporting.trainings import read_training
from prune_rl.sources.dataset import FixedSource
from tests.datasets.vector_episodes import play, publish

_SMALL = (
    "Dataset.num_transitions = 30",
    "Dataset.unit = 'first'",
    "Dataset.batch_size = 8",
    "MLPTorso.units = 8",
    "Runner.num_seeds = 3",
    "Runner.num_iterations = 2",
    "Runner.training_steps = 2",
    "Runner.num_eval_episodes = 1",
    "Runner.max_steps_per_episode = 5",
)


def test_sources_of_fixed_data_are_offline_and_no_others():
    configuration.load([], [])
    fixed = {x.__name__ for x in FixedSource.__subclasses__()}
    assert len(fixed) > 1
    for name in (*fixed, "OnlineSource", "DeviceSource"):
        gin.get_configurable(name)  # there is such a source
        assert is_offline({"Runner.create_source_fn": f"@{name}"}) == (name in fixed)
    assert not is_offline({})


@pytest.fixture
def runs(tmp_path, quick_compiling):
    """Cloning of a robot's samples, dense and sparse; the game is named by the data alone."""
    path = publish(tmp_path / "data/expert/halfcheetah_expert-v2.hdf5", play([25, 20], "oo"))
    bindings = [f"--gin_bindings={x}" for x in (*_SMALL, f"Dataset.path = {str(path)!r}")]
    for name, file in (("dense", "none"), ("sparse", "sparse_reg")):
        files = [f"--gin_files={x}.gin" for x in ("agents/bc", f"pruning/{file}")]
        assert train.main([f"--base_dir={tmp_path / 'runs' / name}", *files, *bindings]) == 0
    return tmp_path / "runs"


def test_runs_of_the_shipped_files_are_a_pair_of_sparse_regs_table(runs, read_metrics, tmp_path):
    own = read_training(runs / "sparse")
    assert (own.game, own.data, own.samples) == ("HalfCheetah-v4", "expert", 30)
    assert (own.clock, own.replay_ratio) == ("gradient_steps", 0)
    flags = [str(runs), f"--out={tmp_path / 'out'}", "--formats=svg"]
    assert report.main([*flags, "--figure=sparse_reg_table_1"]) == 0
    (row,) = csv.DictReader((tmp_path / "out/sparse_reg_table_1.csv").open())
    named = [row[x] for x in ("data", "samples", "agent", "game", "seeds")]
    assert named == ["expert", "30", "bc", "HalfCheetah-v4", "3"]
    for side in ("dense", "sparse"):
        last = [x for x in read_metrics(runs / side) if x["phase"] == "eval" and x["iteration"]]
        expected = np.mean([x["episode_return_mean"] for x in last])
        assert float(row[f"{side}_mean"]) == pytest.approx(expected)
