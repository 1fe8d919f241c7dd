"""What is counted of a run, by hand."""

import numpy as np
import pytest

from prune_rl.dataset_tool.statistics import summarise
from prune_rl.datasets.experience import Block
from prune_rl.specs import Box, Discrete

_ON, _TERMINATED, _TRUNCATED, _FINAL = range(4)


def _block(rows, frames=None):
    """Rows (age, end, reward, action), or with a fifth, False, if no transition starts there."""
    ages, ends, rewards, actions, starts = zip(*[(*row, True)[:5] for row in rows], strict=True)
    shown = np.zeros(len(rows)) if frames is None else np.array(frames)
    return Block(
        frames=np.tile(shown[:, None, None, None], (1, 2, 2, 1)).astype(np.uint8),
        actions=np.array(actions, np.int32),
        rewards=np.array(rewards, np.float32),
        ages=np.array(ages, np.int32),
        ends=np.array(ends, np.uint8),
        starts=np.array(starts),
    )


# An episode of 3 that returns 0, one of 2 that is truncated and returns 2, and half a third.
_ROWS = [
    (0, _ON, 1, 3),
    (1, _ON, 0, 0),
    (2, _TERMINATED, -1, 3),
    (0, _ON, 1, 1),
    (1, _TRUNCATED, 1, 0),
    (2, _FINAL, 0, 0, False),
    (0, _ON, 1, 1),
    (1, _ON, 1, 1),
]


def _assert_counted(summary):
    assert summary.transitions == 7
    assert summary.episodes.returns.tolist() == [0, 2]
    assert summary.episodes.lengths.tolist() == [3, 2]
    assert summary.episodes.ended_at.tolist() == [3, 5]
    assert (summary.terminated, summary.truncated) == (1, 1)
    assert (summary.cut, summary.headless) == (1, 0)
    assert summary.actions.tolist() == [2, 3, 0, 2]
    assert summary.rewards.tolist() == [1, 1, 5]


def test_episodes_ends_and_actions():
    _assert_counted(summarise([_block(_ROWS)]))


@pytest.mark.parametrize("at", range(1, len(_ROWS)))
def test_where_blocks_meet_says_nothing(at):
    _assert_counted(summarise([_block(_ROWS[:at]), _block(_ROWS[at:])]))


def test_rows_that_parts_repeat_are_counted_once():
    """A part reads on after its last start, the next one begins before its first."""
    repeated = [(*row[:4], False) for row in _ROWS]
    first, second = [*_ROWS[:4], *repeated[4:7]], [*repeated[1:4], *_ROWS[4:]]
    _assert_counted(summarise([_block(first), _block(second)]))


def test_no_transition_is_no_episode():
    summary = summarise([_block([(0, _FINAL, 0, 0, False)])], Discrete(2))
    assert summary.transitions == summary.cut == len(summary.episodes.returns) == 0
    assert summary.actions.tolist() == [0, 0]


def test_all_actions_of_a_game_are_counted_but_the_data_may_have_more():
    assert summarise([_block(_ROWS)], Discrete(6)).actions.tolist() == [2, 3, 0, 2, 0, 0]
    assert summarise([_block(_ROWS)], Discrete(2)).actions.tolist() == [2, 3, 0, 2]


# An episode of 6 in two parts: the first ends with the row that its last transition led to, the
# second begins with two rows for the stack of its first, at which it counts ages from 0.
_HEAD = [(0, _ON, 1, 0), (1, _ON, 1, 0), (2, _TRUNCATED, 1, 0), (3, _FINAL, 0, 0, False)]
_TAIL = [(0, _ON, 1, 0, False), (1, _ON, 1, 0, False), (2, _ON, 1, 0), (3, _ON, 1, 0)]
_TAIL += [(4, _TERMINATED, 1, 0)]


def test_an_episode_goes_on_in_the_next_part():
    parts = [_block(_HEAD, [0, 1, 2, 3]), _block(_TAIL, [1, 2, 3, 4, 5])]
    summary = summarise(parts)
    assert summary.episodes.returns.tolist() == summary.episodes.lengths.tolist() == [6]
    assert summary.episodes.ended_at.tolist() == [6]
    assert (summary.terminated, summary.truncated) == (1, 0)
    assert (summary.cut, summary.headless) == (0, 0)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_also_where_its_blocks_are_divided(at):
    """The frame that it led to may be alone in a block."""
    shown = [0, 1, 2, 3]
    head = [_block(_HEAD[:at], shown[:at]), _block(_HEAD[at:], shown[at:])]
    summary = summarise([*head, _block(_TAIL, [1, 2, 3, 4, 5])])
    assert summary.episodes.lengths.tolist() == [6]


def test_another_frame_is_another_time():
    """A checkpoint between the two is missing."""
    summary = summarise([_block(_HEAD, [0, 1, 2, 3]), _block(_TAIL, [7, 8, 9, 4, 5])])
    assert len(summary.episodes.lengths) == 0
    assert (summary.terminated, summary.truncated) == (1, 0)
    assert (summary.cut, summary.headless) == (1, 1)


def test_where_the_data_end_the_last_episode_is_cut():
    summary = summarise([_block(_HEAD, [0, 1, 2, 3])])
    assert (len(summary.episodes.lengths), summary.truncated, summary.cut) == (0, 0, 1)


def test_truncated_is_what_a_beginning_follows():
    """Though that shows the frame that the episode before it ended with."""
    again = [(0, _ON, 1, 0), (1, _TERMINATED, 1, 0)]
    summary = summarise([_block(_HEAD, [0, 1, 2, 3]), _block(again, [3, 4])])
    assert summary.episodes.lengths.tolist() == [3, 2]
    assert summary.episodes.ended_at.tolist() == [3, 5]
    assert (summary.truncated, summary.cut, summary.headless) == (1, 0, 0)


def test_what_follows_lost_rows_has_no_beginning():
    """Its ages are counted from the first row that is there, and so begin at 0."""
    lost = [*_ROWS[:4], (0, _ON, 1, 0), (1, _TERMINATED, 1, 0), *_ROWS[3:]]
    summary = summarise([_block(lost)])
    assert summary.episodes.returns.tolist() == [0, 2]
    assert summary.episodes.ended_at.tolist() == [3, 8]
    assert (summary.cut, summary.headless) == (2, 1)
    assert (summary.terminated, summary.truncated) == (2, 1)


def test_lost_in_the_middle_and_across_blocks():
    """Both halves are cut, and neither is taken for an episode."""
    head, tail = [(0, _ON, 1, 0), (1, _ON, 1, 0)], [(4, _ON, 1, 0), (5, _TERMINATED, 1, 0)]
    for blocks in ([_block(head + tail)], [_block(head), _block(tail)]):
        summary = summarise(blocks)
        assert len(summary.episodes.returns) == 0
        assert (summary.terminated, summary.cut, summary.headless) == (1, 1, 1)


def test_data_may_begin_in_the_middle_of_an_episode():
    summary = summarise([_block([(7, _TERMINATED, 1, 0), *_ROWS[:3]])])
    assert summary.episodes.lengths.tolist() == [3]
    assert (summary.cut, summary.headless) == (0, 1)


def test_long_returns_are_not_rounded_away():
    """In float32, 2**24 + 1 is 2**24."""
    long = _block([(0, _ON, 2.0**24, 0), (1, _ON, 1, 0), (2, _TERMINATED, 1, 0)])
    assert summarise([long]).episodes.returns.tolist() == [2.0**24 + 2]


def test_of_vectors_the_mean_and_deviation_of_each_number_are_told():
    rows = [(0, _ON, 1, 0), (1, _ON, 1, 0), (2, _TERMINATED, 1, 0), (3, _FINAL, 0, 0, False)]
    actions = np.array([[0.5, -1], [-0.5, -1], [0, -1], [9, 9]], np.float32)
    block = _block(rows)._replace(actions=actions)
    summary = summarise([block], Box((-1.0,) * 2, (1.0,) * 2))
    expected = [[0, np.std([0.5, -0.5, 0])], [-1, 0]]
    np.testing.assert_allclose(summary.actions, expected, atol=1e-12)
    halves = [type(block)(*(field[own] for field in block)) for own in (slice(1), slice(1, None))]
    again = summarise(halves, Box((-1.0,) * 2, (1.0,) * 2))
    np.testing.assert_allclose(again.actions, expected, atol=1e-12)
    assert summary.rewards.tolist() == [0, 0, 3]
