"""Frame stacks by hand."""

import numpy as np

from prune_rl.environments.stack import FrameStack
from prune_rl.specs import ObservationSpec


def _frames(*values):
    return np.array(values, np.uint8).reshape(-1, 1, 1, 1)


def _values(stack):
    return stack.array[..., 0, 0, 0].tolist()


def test_an_episode_starts_on_zeros_and_the_oldest_frame_drops_out():
    stack = FrameStack(2, ObservationSpec((1, 1, 1), stack_size=3))
    stack.reset(_frames(1, 9))
    assert _values(stack) == [[0, 0, 1], [0, 0, 9]]
    for value in (2, 3, 4):
        stack.push(_frames(value, value + 10))
    assert _values(stack) == [[2, 3, 4], [12, 13, 14]]
    stack.reset(_frames(7, 8), np.array([False, True]))
    assert _values(stack) == [[2, 3, 4], [0, 0, 8]]


def test_state_is_a_copy():
    stack = FrameStack(1, ObservationSpec((1, 1, 1), stack_size=2))
    stack.reset(_frames(5))
    state = stack.get_state()
    stack.push(_frames(6))
    stack.set_state(state)
    assert _values(stack) == [[0, 5]]


def test_a_vector_is_replaced_by_the_next():
    stack = FrameStack(2, ObservationSpec((3,), np.float32))
    first = np.float32([[0.5, 1, 2], [3, 4, 5]])
    stack.reset(first)
    assert stack.array.dtype == np.float32
    np.testing.assert_array_equal(stack.array, first)
    stack.push(first + 10)
    np.testing.assert_array_equal(stack.array, first + 10)
    stack.reset(-first, np.array([True, False]))
    np.testing.assert_array_equal(stack.array, [-first[0], first[1] + 10])
    state = stack.get_state()
    stack.push(first)
    stack.set_state(state)
    np.testing.assert_array_equal(stack.array, [-first[0], first[1] + 10])
