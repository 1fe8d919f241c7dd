"""What is called 0 and 100, by D4RL or by the data of a run."""

import csv

import numpy as np
import pytest

from prune_rl.environments import reference_scores as module
from prune_rl.environments.reference_scores import (
    References,
    agreed,
    normalized,
    reference_scores,
    references_of,
    require_reference_scores,
)
from prune_rl.errors import ConfigError

# d4rl/infos.py, REF_MIN_SCORE and REF_MAX_SCORE
HALFCHEETAH, HOPPER, WALKER2D = (-280.178953, 12135.0), (-20.272305, 3234.3), (1.629008, 4592.3)


@pytest.mark.parametrize(
    ("game", "scores"),
    [
        ("HalfCheetah-v5", HALFCHEETAH),
        ("HalfCheetah-v4", HALFCHEETAH),
        ("Hopper-v5", HOPPER),
        ("Walker2d-v5", WALKER2D),
        ("Ant-v5", (-325.6, 3879.7)),
        ("Humanoid-v5", None),
        ("Hopper3-v5", None),
        ("Pong", None),
    ],
)
def test_games(game, scores):
    assert reference_scores(game) == scores


@pytest.mark.parametrize(
    ("protocol", "scores"),
    [
        ({"game": "Hopper-v5", "reference_scores": [1.0, 9.0]}, (1.0, 9.0)),
        ({"game": "Humanoid-v5", "reference_scores": [1.0, 9.0]}, (1.0, 9.0)),
        ({"game": "Hopper-v5", "reference_scores": None}, HOPPER),
        ({"game": "Hopper-v5"}, HOPPER),
        ({"game": "Humanoid-v5"}, None),
        ({}, None),
    ],
)
def test_a_runs_are_those_of_its_data_first(protocol, scores):
    assert references_of(protocol) == scores


def test_of_several_all_must_say_the_same():
    own, other = References(1.0, 9.0), References(1.0, 8.0)
    assert agreed([own, References(1.0, 9.0)], "Hopper-v5") == own
    assert agreed([own, other], "Hopper-v5") == HOPPER
    assert agreed([own, None], "Hopper-v5") == HOPPER
    assert agreed([own, None], "Humanoid-v5") is None


def test_the_expert_is_100_and_the_random_player_0():
    assert normalized(12135.0, HALFCHEETAH) == 100
    assert normalized(-280.178953, HALFCHEETAH) == 0
    returns = np.array([4770.3, 12135.0])
    np.testing.assert_allclose(normalized(returns, HALFCHEETAH), [40.680, 100], atol=1e-3)


def test_where_there_are_none_that_is_one_line():
    said = r"^Humanoid-v5: no reference scores, so a return cannot be normalised; choose from Ant, "
    with pytest.raises(ConfigError, match=said):
        require_reference_scores("Humanoid-v5")
    assert require_reference_scores("Hopper-v5") == HOPPER


def test_every_row_has_a_source_and_an_expert_who_is_better():
    with module._FILE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["environment"] for row in rows}) == len(rows) == 4
    for row in rows:
        assert row["source"]
        assert float(row["random"]) < float(row["expert"])
