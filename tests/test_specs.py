"""Forms of observations and actions."""

import numpy as np
import pytest

from prune_rl.specs import Box, Discrete, ObservationSpec, in_words, out_of_bounds


def test_an_image_observation_is_a_stack_and_a_vector_itself():
    assert ObservationSpec((84, 80, 1), stack_size=4).shape == (4, 84, 80, 1)
    assert ObservationSpec((10, 10, 6)).shape == (1, 10, 10, 6)
    assert ObservationSpec((17,), np.float32).shape == (17,)


def test_actions_are_numbers_or_vectors():
    assert Discrete(18).shape == ()
    assert Box((-1.0, -1.0, 0.0), (1.0, 1.0, 2.0)).shape == (3,)


def test_actions_are_out_of_bounds_where_no_rounding_takes_them_there():
    box = Box((-0.4, -1.0), (0.4, 1.0))
    least = np.float32(-0.4)
    assert float(least) < box.low[0]  # in the precision of the bounds
    actions = np.array([[least, 1 + 5e-6], [-0.40002, 0], [0, 1.00002]], np.float32)
    assert out_of_bounds(box, actions).tolist() == [[False, False], [True, False], [False, True]]
    numbers = np.array([-1, 0, 2, 3])
    assert out_of_bounds(Discrete(3), numbers).tolist() == [True, False, False, True]


@pytest.mark.parametrize("form", [((17,), np.float32, 4), ((84, 84),), ((),), ((4, 84, 84, 1),)])
def test_what_is_neither_image_nor_vector_is_refused(form):
    with pytest.raises(ValueError, match="stack_size of 1"):
        ObservationSpec(*form)


def test_forms_are_told_so_that_they_can_be_told_apart():
    image, vector = ObservationSpec((84, 80, 1), stack_size=4), ObservationSpec((17,), np.float32)
    assert (
        in_words(image, Discrete(6))
        == "observations of 4 x 84 x 80 x 1 uint8 and 6 numbered actions"
    )
    edge = float(np.float32(0.4))
    told = [in_words(vector, Box((-own, -1.0), (own, 1.0))) for own in (0.4, edge)]
    begin = "observations of 17 float32 and actions of 2 numbers from -"
    ends = ("0.4 to 0.4 or -1 to 1", "0.400000006 to 0.400000006 or -1 to 1")
    assert told == [begin + own for own in ends]
