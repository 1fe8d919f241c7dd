"""The paper's sets of games."""

import pytest

from prune_rl.environments.games import (
    ATARI_2,
    ATARI_4,
    ATARI_15,
    ATARI_17,
    ATARI_26,
    ATARI_60,
    atari_roms,
)
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError


def test_sets_have_the_papers_sizes_and_every_game_has_a_rom():
    assert ATARI_4 == ("BeamRider", "Breakout", "Enduro", "VideoPinball")
    assert ATARI_2 == ("Breakout", "VideoPinball")
    assert set(ATARI_2) < set(ATARI_4) < set(ATARI_15)
    sets = (ATARI_15, ATARI_17, ATARI_26, ATARI_60)
    assert [len(set(games)) for games in sets] == [15, 17, 26, 60]
    assert set(ATARI_15) | set(ATARI_17) | set(ATARI_26) <= set(ATARI_60) <= set(atari_roms())


def test_a_game_outside_the_suite_is_refused_with_the_nearest_inside():
    with pytest.raises(ConfigError, match="not in suite atari_15; did you mean 'Asterix'"):
        Suite("atari_15").check("game", "Asteroids", list(atari_roms()))
    assert Suite("atari_60").check("game", "Asteroids", list(atari_roms())) == "Asteroids"
    assert Suite().check("game", "Casino", list(atari_roms())) == "Casino"


def test_an_unknown_suite_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'atari_15'"):
        Suite("atari15")
