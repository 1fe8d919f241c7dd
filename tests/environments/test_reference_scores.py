"""What D4RL calls 0 and 100, by any of the names that a game goes by."""

import csv

import numpy as np
import pytest

from prune_rl.environments import reference_scores as module
from prune_rl.environments.reference_scores import (
    normalized,
    reference_scores,
    require_reference_scores,
)
from prune_rl.errors import ConfigError

# d4rl/infos.py, REF_MIN_SCORE and REF_MAX_SCORE
HALFCHEETAH, HOPPER, WALKER2D = (-280.178953, 12135.0), (-20.272305, 3234.3), (1.629008, 4592.3)


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("HalfCheetah-v5", HALFCHEETAH),
        ("HalfCheetah-v4", HALFCHEETAH),
        ("halfcheetah-medium-v2", HALFCHEETAH),
        ("halfcheetah-medium-replay-v2", HALFCHEETAH),
        ("halfcheetah_full_replay-v2.hdf5", HALFCHEETAH),
        ("mujoco/halfcheetah/medium-v0", HALFCHEETAH),
        ("Hopper-v5", HOPPER),
        ("Walker2d-v5", WALKER2D),
        ("Ant-v5", (-325.6, 3879.7)),
        ("AntMaze_UMaze-v5", (0.0, 1.0)),
        ("D4RL/antmaze/large-play-v1", (0.0, 1.0)),
        ("D4RL/pen/human-v2", (96.262799, 3076.8331017826877)),
        ("maze2d-umaze-v1", (23.85, 161.86)),
        ("Humanoid-v5", None),
        ("Hopper3-v5", None),
        ("maze2d-v1", None),
        ("Pong", None),
    ],
)
def test_names(name, scores):
    assert reference_scores(name) == scores


def test_the_expert_is_100_and_the_random_player_0():
    assert normalized(12135.0, HALFCHEETAH) == 100
    assert normalized(-280.178953, HALFCHEETAH) == 0
    returns = np.array([4770.3, 12135.0])
    np.testing.assert_allclose(normalized(returns, HALFCHEETAH), [40.680, 100], atol=1e-3)


def test_where_there_are_none_that_is_one_line():
    said = r"^Humanoid-v5: no reference scores, so a return cannot be normalised; choose from ant, "
    with pytest.raises(ConfigError, match=said):
        require_reference_scores("Humanoid-v5")
    assert require_reference_scores("Hopper-v5") == HOPPER


def test_every_row_has_a_source_and_an_expert_who_is_better():
    with module._FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["environment"] for row in rows}) == len(rows) == 13
    for row in rows:
        assert row["source"]
        assert float(row["random"]) < float(row["expert"])
