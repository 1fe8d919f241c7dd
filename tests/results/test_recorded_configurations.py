"""Recorded configurations still load and build their runs; an edit of one says so."""

from pathlib import Path

import gin
import pytest

from prune_rl import configuration
from prune_rl.runner import Runner

_RESULTS = Path(__file__).parents[2] / "results"
_FILES = sorted(path.relative_to(_RESULTS).as_posix() for path in _RESULTS.rglob("*.gin"))
# Trained when replay_ratio was called update_period.
_EDITED = ["atari_pong/config.gin"]
_EDITED += [
    f"minatar_breakout/{arm}_x{width}.gin" for arm in ("dense", "pruned") for width in (1, 4)
]


@pytest.mark.parametrize("name", _FILES)
def test_a_recorded_configuration_loads_and_builds_its_run(tmp_path, name):
    # The replay of an Atari run is 6.6 GiB; how large it is plays no part here.
    configuration.load([str(_RESULTS / name)], ["ReplayBuffer.max_capacity = 1000"])
    Runner(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", _EDITED)
def test_an_edited_one_says_so_and_means_the_same(name):
    assert "replay_ratio = 0.25 was update_period = 4" in (_RESULTS / name).read_text()
    configuration.load([str(_RESULTS / name)], [])
    assert gin.query_parameter("DQNAgent.replay_ratio") == 1 / 4
