"""What the rows of a circular buffer are, and which of them a share of its transitions needs.

All of this is known before a frame is read, but for one thing: before every episode the buffer
holds stack_size - 1 rows of zeros, its padding, and only the frames tell whether rows whose other
fields are zero are such. They are taken for padding here, with negative ages.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.dqn_replay_files import Rows
from prune_rl.datasets.experience import Share
from prune_rl.errors import require
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED


class Stretch(NamedTuple):
    """Rows `first` to `last` - 1 follow each other in time; `begins` if a run began with them."""

    first: int
    last: int
    begins: bool


class Outline(NamedTuple):
    """What m rows are, in the order of their stretches; (m,) each.

    Attributes:
        rows: int64, their numbers.
        episodes: int64, number of the episode that they belong to, its padding first; what goes on
            at a stretch's beginning counts as one.
        ages: int64, rows since the episode's first, negative in what seems to be padding.
        ends: uint8, codes of `prune_rl.specs`.
        startable: bool, whether a transition may start here.
        lows, highs: int64, first and last row of the episode.
    """

    rows: np.ndarray
    episodes: np.ndarray
    ages: np.ndarray
    ends: np.ndarray
    startable: np.ndarray
    lows: np.ndarray
    highs: np.ndarray


class Kept(NamedTuple):
    """The k rows that a share needs, in rising order, (k,) each; see `Outline` and `Block`."""

    rows: np.ndarray
    episodes: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ages: np.ndarray
    ends: np.ndarray
    starts: np.ndarray


def outline(rows: Rows, stretches: Sequence[Stretch], stack_size: int, owned: range) -> Outline:
    """Says of every row of `stretches` what it is; transitions start at those `owned`."""
    parts = [_outline_of(rows, stretch, stack_size) for stretch in stretches]
    for before, after in pairwise(parts):
        after.episodes[:] += before.episodes[-1] + 1
    whole = Outline(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))
    own = (whole.rows >= owned.start) & (whole.rows < owned.stop)
    return whole._replace(startable=whole.startable & own)


def _outline_of(rows: Rows, stretch: Stretch, stack_size: int) -> Outline:
    first, last, begins = stretch
    actions, rewards, terminals, truncations = (field[first:last] for field in rows)
    numbers = np.arange(last - first)
    over = (terminals == 1) & (truncations != 1)
    lows = np.append(0, np.flatnonzero(over[:-1]) + 1)  # (episodes,)
    highs = np.append(lows[1:], len(numbers)) - 1
    episodes = np.repeat(np.arange(len(lows)), highs - lows + 1)
    # An episode is over with a row that is not zero: so few zero rows only end a stretch.
    zeros = np.append(0, np.cumsum((actions == 0) & (rewards == 0) & (terminals == 0)))
    padding_ends = np.minimum(lows + stack_size - 1, highs + 1)
    padded = zeros[padding_ends] - zeros[lows] == padding_ends - lows  # (episodes,)
    since = numbers - lows[episodes]
    ends = _ends(terminals, truncations)
    older_unknown = (episodes == 0) & (since < stack_size - 1) & (not begins)
    return Outline(
        rows=numbers + first,
        episodes=episodes,
        ages=since - (stack_size - 1) * padded[episodes],
        ends=ends,
        startable=(ends != FINAL) & ~older_unknown,
        lows=lows[episodes] + first,
        highs=highs[episodes] + first,
    )


def _ends(terminals: np.ndarray, truncations: np.ndarray) -> np.ndarray:
    ends = np.select(
        [truncations == 1, truncations == 2, terminals == 1],
        [TRUNCATED, FINAL, TERMINATED],
        GOES_ON,
    ).astype(np.uint8)
    return sealed(ends, np.array([len(ends) - 1]))  # what the last action led to is not known


def draw(outline: Outline, share: Share, stream: Sequence[int]) -> np.ndarray:
    """Rows at which the transitions of the share start, (m,) bool.

    A window is so many transitions that follow each other in the file. Whole numbers `stream` seed
    what is drawn.

    Raises:
        ConfigError: there are not so many.
    """
    if share.fraction >= 1 and share.count is None and share.held_out is None:
        return outline.startable
    likely = _not_held_out(np.flatnonzero(outline.startable & (outline.ages >= 0)), share)
    drawn = np.zeros(len(outline.rows), bool)
    if not likely.size:
        return drawn
    count = _count(share, len(likely))
    if share.unit in ("first", "last"):
        drawn[likely[:count] if share.unit == "first" else likely[-count:]] = True
        return drawn
    random = np.random.Generator(np.random.PCG64(stream))
    if share.unit == "transitions":
        drawn[random.choice(likely, count, replace=False, shuffle=False)] = True
        return drawn
    begin = random.integers(len(likely) - count + 1)
    drawn[likely[begin] : likely[begin + count - 1] + 1] = True
    return drawn & outline.startable


def _not_held_out(likely: np.ndarray, share: Share) -> np.ndarray:
    """Rows at which transitions may start, without the last ones."""
    held_out, there = share.held_out or 0, len(likely)
    expected = f"fewer than the {there:,} transitions that there are"
    require(held_out < max(there, 1), "Dataset.held_out", held_out, expected)
    return likely[: there - held_out]


def _count(share: Share, there: int) -> int:
    """How many transitions a share takes of those that are there."""
    if share.count is None:
        return max(round(share.fraction * there), 1)
    expected = f"at most the {there:,}" + " that are not held out" * (share.held_out is not None)
    require(share.count <= there, "Dataset.num_transitions", share.count, expected)
    return share.count


def keep(rows: Rows, outline: Outline, starts: np.ndarray, stack_size: int, horizon: int) -> Kept:
    """The rows of the transitions that start at `starts`, (m,) bool: their stacks and windows."""
    kept = reached(outline, np.flatnonzero(starts), stack_size, horizon)
    numbers = outline.rows[kept]
    breaks = np.append(np.diff(numbers) != 1, True)[: len(numbers)]
    return Kept(
        rows=numbers,
        episodes=outline.episodes[kept].astype(np.int32),
        actions=rows.actions[numbers],
        rewards=rows.rewards[numbers],
        ages=outline.ages[kept].astype(np.int32),
        ends=sealed(outline.ends[kept], np.flatnonzero(breaks)),
        starts=starts[kept],
    )


def reached(outline: Outline, starts: np.ndarray, stack_size: int, horizon: int) -> np.ndarray:
    """Which rows belong to a stack or a window of `starts` (k,), of the same episode; (m,) bool."""
    offset = np.arange(len(outline.rows)) - outline.rows  # of places in the outline
    first = np.maximum(outline.rows - stack_size + 1, outline.lows) + offset
    last = np.minimum(outline.rows + horizon, outline.highs) + offset
    changes = np.zeros(len(offset) + 1, np.int64)
    np.add.at(changes, first[starts], 1)
    np.add.at(changes, last[starts] + 1, -1)
    return np.cumsum(changes[:-1]) > 0


def sealed(ends: np.ndarray, lasts: np.ndarray) -> np.ndarray:
    """`ends` (m,) where no window leads beyond `lasts`, the rows that nothing follows.

    Such a row is FINAL, and the one before TRUNCATED: its return bootstraps from the last frame.
    """
    lasts = lasts[ends[lasts] != TERMINATED]
    ends[lasts] = FINAL
    before = lasts[lasts > 0] - 1
    ends[before[ends[before] == GOES_ON]] = TRUNCATED
    return ends
