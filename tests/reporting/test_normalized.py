"""Human-normalised scores, against tables typed in elsewhere and shares reckoned by hand."""

import math

import numpy as np
import pytest

from prune_rl.environments.games import ATARI_15, ATARI_60, MINATAR, atari_roms
from prune_rl.errors import ConfigError
from prune_rl.reporting.normalized import WITHOUT_HUMAN, human_scores, normalize, units_of
from prune_rl.reporting.table import Score

# (human, random), typed in by another hand from Dopamine's labs/atari_100k.
_FIFTEEN = {
    "MsPacman": (6951.6, 307.3),
    "Pong": (14.6, -20.7),
    "Qbert": (13455.0, 163.9),
    "Assault": (742.0, 222.4),
    "Asterix": (8503.3, 210.0),
    "BeamRider": (16926.5, 363.9),
    "Boxing": (12.1, 0.1),
    "Breakout": (30.5, 1.7),
    "CrazyClimber": (35829.4, 10780.5),
    "DemonAttack": (1971.0, 152.1),
    "Enduro": (860.5, 0),
    "FishingDerby": (-38.7, -91.7),
    "SpaceInvaders": (1668.7, 148.0),
    "Tutankham": (167.6, 11.4),
    "VideoPinball": (17667.9, 0),
}


def test_the_papers_fifteen_games_have_their_players():
    assert set(_FIFTEEN) == set(ATARI_15)
    read = {game: human_scores()[game] for game in _FIFTEEN}
    assert {game: (own.human, own.random) for game, own in read.items()} == _FIFTEEN


def test_all_games_but_five_have_players_who_differ_and_a_source():
    table = human_scores()
    assert set(ATARI_60) - set(table) == set(WITHOUT_HUMAN)
    assert set(table) - set(ATARI_60) == {"Defender", "Surround"}
    assert set(table) <= set(atari_roms())
    assert list(table) == sorted(table)
    for own in table.values():
        assert own.human > own.random
        assert "Dopamine" in own.source or own.source == "DQN Zoo"


@pytest.mark.parametrize(
    ("game", "score", "expected"),
    [
        ("Pong", -20.7, 0),
        ("Pong", 14.6, 1),
        ("Pong", 20.0, 40.7 / 35.3),
        ("Breakout", 30.5 + 28.8, 2),
        ("FishingDerby", -65.2, 0.5),
        ("Skiing", -17098.1, 0),
        ("DoubleDunk", -15.3, 1.5),
        ("VideoPinball", 17667.9 / 2, 0.5),
    ],
)
def test_a_random_player_has_0_and_a_person_1(game, score, expected):
    assert normalize(game, score) == pytest.approx(expected)


def test_many_scores_of_a_game_are_normalised_at_once():
    scores = np.array([[-20.7, 14.6], [math.nan, -20.7]])
    np.testing.assert_allclose(normalize("Pong", scores), [[0, 1], [math.nan, 0]])


@pytest.mark.parametrize("game", [*WITHOUT_HUMAN, *MINATAR, "pong"])
def test_a_game_without_human_score_is_one_line_that_names_them(game):
    with pytest.raises(ConfigError) as caught:
        normalize(game, 1.0)
    message = str(caught.value)
    assert message.startswith(f"{game}: has no human score")
    assert "AirRaid, Carnival, ElevatorAction, JourneyEscape, Pooyan" in message
    assert "--normalize=" in message
    assert "\n" not in message
    assert ("'Pong'" in message) == (game == "pong")


def _score(arm, game, value, seed=0):
    return Score(arm, game, seed, "run", "train", value, 4, "finished", None)


def test_units_are_means_of_the_arms_scores_that_are_there():
    scores = [
        _score("dense", "breakout", 2.0),
        _score("dense", "breakout", 4.0, 1),
        _score("dense", "breakout", math.nan, 2),
        _score("pruned", "breakout", 6.0),
        _score("dense", "asterix", 8.0),
        _score("pruned", "asterix", 2.0),
        _score("pruned", "freeway", 9.0),  # where dense has not been
    ]
    assert units_of(scores, "dense") == {"breakout": 3, "asterix": 8}
    assert units_of(scores, "pruned") == {"breakout": 6, "asterix": 2, "freeway": 9}


def test_an_arm_that_cannot_be_a_measure_is_one_line():
    scores = [_score("dense", "Pong", -20.0), _score("dense", "Breakout", 1.0)]
    with pytest.raises(ConfigError, match="its mean on Pong is -20; expected one above 0"):
        units_of(scores, "dense")
