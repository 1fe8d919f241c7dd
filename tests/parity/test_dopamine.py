"""Our DQN, replay and Atari against Dopamine 4.1.2's, as far as dopamine_parity.py knows them."""

import json

import pytest

from . import dopamine_cases as cases
from .dopamine_parity import QUANTITIES, atari_differences


def test_the_inputs_are_those_that_dopamine_saw():
    """If not: a random generator has changed; record again."""
    assert json.loads(str(cases.recorded()["inputs"])) == cases.checksums()


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.name)
def test_quantity(quantity):
    num_cases, deviation = quantity.measure()
    assert num_cases > 0
    assert deviation <= quantity.limit


def test_only_where_a_game_ends_in_a_late_tick_is_its_last_frame_another():
    """Dopamine pools the screen after the third or fourth tick even if it ended the game.

    No target bootstraps from that frame.
    """
    differ = {game for game in cases.GAMES if atari_differences(game)[2]}
    assert differ == {"Pong", "Qbert"}
