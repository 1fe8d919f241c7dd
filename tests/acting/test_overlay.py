"""Frames of videos, pixel by pixel."""

import numpy as np
import pytest

from prune_rl.acting import overlay
from prune_rl.acting.overlay import BAR, CHOSEN, INK, PANEL, PAPER, Bar

LEFT = 160 * 2  # columns of an Atari screen


def screen(height=210, width=160, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def is_color(frame, color):
    return (frame == np.uint8(color)).all(axis=-1)


def drawn(frame, color):
    """Rows and columns (first, last) of the panel that have a colour."""
    rows, columns = np.nonzero(is_color(frame[:, LEFT:], color))
    return (rows.min(), rows.max()), (columns.min() + LEFT, columns.max() + LEFT)


@pytest.mark.parametrize(("height", "width"), [(210, 160), (250, 160), (10, 11), (421, 333)])
def test_a_frame_holds_the_whole_game_enlarged_by_a_whole_number(height, width):
    picture = screen(height, width)
    frame = overlay.frame(picture, ["x"], [])
    times = max(1, 420 // height)
    assert frame.dtype == np.uint8
    assert frame.shape[0] % 2 == frame.shape[1] % 2 == 0
    assert 0 <= frame.shape[0] - times * height <= 1
    assert 0 <= frame.shape[1] - times * width - PANEL <= 1
    np.testing.assert_array_equal(frame[: times * height : times, : times * width : times], picture)
    # Corner to corner: every pixel a square.
    square = frame[times * (height - 1) : times * height, times * (width - 1) : times * width]
    assert (square == picture[-1, -1]).all()


def test_lines_of_text_stand_below_each_other():
    none = overlay.frame(screen(), [], [])
    assert (none[:, LEFT:] == np.uint8(PAPER)).all()
    previous = 0
    for count in range(1, 6):
        frame = overlay.frame(screen(), ["Mg"] * count, [])
        inked = (frame[:, LEFT:] != np.uint8(PAPER)).any(axis=(1, 2))
        last = np.flatnonzero(inked).max()
        assert 10 < last - previous < 30
        previous = last
        columns = np.flatnonzero((frame[:, LEFT:] != np.uint8(PAPER)).any(axis=(0, 2)))
        assert 10 <= columns.min() < 20


def test_the_chosen_actions_bar_is_of_another_colour():
    values = np.array([1.0, 3.0, 2.0])
    frames = [
        overlay.frame(screen(), [], overlay.of_values(["a", "b", "c"], values, chosen))
        for chosen in range(3)
    ]
    tops = []
    for chosen, frame in enumerate(frames):
        rows, _ = np.nonzero(is_color(frame[:, LEFT:], CHOSEN))
        tops.append((rows.min(), rows.max()))
        others = np.unique(np.nonzero(is_color(frame[:, LEFT:], BAR))[0])
        assert not ((others >= rows.min()) & (others <= rows.max())).any()
        assert len(others) > 10, chosen
    assert tops[0][1] < tops[1][0]
    assert tops[1][1] < tops[2][0]


def test_bars_are_as_long_as_values_are_above_the_least():
    bars = overlay.of_values(["a", "b", "c"], np.array([-1.0, 3.0, 1.0]), 1)
    assert [(own.start, own.end, own.chosen) for own in bars] == [
        (0.0, 0.0, False),
        (0.0, 1.0, True),
        (0.0, 0.5, False),
    ]
    frame = overlay.frame(screen(), [], bars)
    first, last = overlay.bar_columns(LEFT + 12, bars[1])
    _, blue = drawn(frame, BAR)
    rows = np.nonzero(is_color(frame[:, first + 1 : last], CHOSEN))[0]
    wide = is_color(frame[np.bincount(rows).argmax(), first - 9 :], CHOSEN)  # behind its name
    assert (np.flatnonzero(wide) + first - 9).tolist() == list(range(first, last + 1))
    assert blue == (first, first + round((last - first) / 2))


def test_equal_values_have_no_bars():
    assert [own.end for own in overlay.of_values(["a", "b"], np.ones(2), 0)] == [0.0, 0.0]


def test_vectors_are_drawn_from_the_middle_of_their_box():
    low, high = (-2.0, -1.0, 0.0), (2.0, 1.0, 4.0)
    bars = overlay.of_box(["x", "y", "z"], np.array([2.0, -1.0, 2.0]), low, high)
    assert [(own.start, own.end) for own in bars] == [(0.5, 1.0), (0.5, 0.0), (0.5, 0.5)]
    frame = overlay.frame(screen(), [], bars[:2])
    rows, columns = np.nonzero(is_color(frame[:, LEFT:], BAR))
    upper = columns[rows < (rows.min() + rows.max()) / 2]
    lower = columns[rows > (rows.min() + rows.max()) / 2]
    assert lower.max() == upper.min()
    assert upper.max() - upper.min() == lower.max() - lower.min() > 40


def test_names_and_numbers_of_bars_are_written():
    bare = overlay.frame(screen(), [], [Bar("", 1.0, 0.5, 0.5)])
    named = overlay.frame(screen(), [], [Bar("UPFIRE", 1.0, 0.5, 0.5)])
    other = overlay.frame(screen(), [], [Bar("", 2.0, 0.5, 0.5)])
    changed = np.flatnonzero((bare != named).any(axis=(0, 2)))
    assert LEFT + 10 < changed.min() < changed.max() < LEFT + 90
    changed = np.flatnonzero((bare != other).any(axis=(0, 2)))
    assert LEFT + PANEL - 60 < changed.min() < changed.max() < LEFT + PANEL - 10
    assert is_color(named, INK).sum() > is_color(bare, INK).sum()


def test_many_actions_make_a_frame_higher():
    bars = overlay.of_values([f"action {i}" for i in range(40)], np.arange(40.0), 39)
    picture = screen()
    frame = overlay.frame(picture, [], bars)
    assert frame.shape[0] > 420
    (top, bottom), _ = drawn(frame, CHOSEN)
    assert 420 < top < bottom < frame.shape[0]
    above = (frame.shape[0] - 420) // 2
    np.testing.assert_array_equal(frame[above : above + 420 : 2, :LEFT:2], picture)


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_what_is_no_number_has_no_bar(unknown):
    values = overlay.of_values(["a", "b"], np.array([unknown, 1.0]), 0)
    box = overlay.of_box(["c"], np.array([np.nan]), [-1], [1])
    for bar in [*values, *box]:
        start, end = overlay.bar_columns(LEFT, bar)
        assert start == end
    assert overlay.frame(screen(), ["x"], [*values, *box]).shape[1] > LEFT
