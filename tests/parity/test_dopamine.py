"""Our agents, replay and Atari against Dopamine 4.1.2's, quantity by quantity."""

import json

import pytest

from . import dopamine_cases as cases
from . import dopamine_offline, dopamine_parity, dopamine_rainbow

pytestmark = pytest.mark.usefixtures("quick_compiling")

_QUANTITIES = dopamine_parity.QUANTITIES + dopamine_rainbow.QUANTITIES
_QUANTITIES += dopamine_offline.QUANTITIES


def test_the_inputs_are_those_that_dopamine_saw():
    """If not: a random generator has changed; record again."""
    assert json.loads(str(cases.recorded()["inputs"])) == cases.checksums()


@pytest.mark.parametrize("quantity", _QUANTITIES, ids=lambda quantity: quantity.name)
def test_quantity(quantity):
    num_cases, deviation = quantity.measure()
    assert num_cases > 0
    assert deviation <= quantity.limit
