"""Recorded configurations still load; an edit of one says so."""

from pathlib import Path

import gin
import pytest

from prune_rl import configuration

_RESULTS = Path(__file__).parents[2] / "results"
_FILES = sorted(path.relative_to(_RESULTS).as_posix() for path in _RESULTS.rglob("*.gin"))
# Trained when replay_ratio was called update_period.
_EDITED = ["atari_pong/config.gin"]
_EDITED += [
    f"minatar_breakout/{arm}_x{width}.gin" for arm in ("dense", "pruned") for width in (1, 4)
]


@pytest.mark.parametrize("name", _FILES)
def test_a_recorded_configuration_loads(name):
    configuration.load([str(_RESULTS / name)], [])
    assert gin.query_parameter("Runner.num_iterations") > 0


@pytest.mark.parametrize("name", _EDITED)
def test_an_edited_one_says_so_and_means_the_same(name):
    assert "replay_ratio = 0.25 was update_period = 4" in (_RESULTS / name).read_text()
    configuration.load([str(_RESULTS / name)], [])
    assert gin.query_parameter("DQNAgent.replay_ratio") == 1 / 4
