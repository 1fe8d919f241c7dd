"""Counts what is in a run: episodes and their returns, actions, ends; one pass, little memory."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, ActionSpec, Box, Discrete


class Episodes(NamedTuple):
    """E episodes that are whole in the data, in the order of time.

    Attributes:
        returns: (E,) float64, sums of rewards as stored.
        lengths: (E,) int64, transitions.
        ended_at: (E,) int64, transitions of the run up to the end of each, its last one included.
    """

    returns: np.ndarray
    lengths: np.ndarray
    ended_at: np.ndarray


class Summary(NamedTuple):
    """What a run holds.

    Attributes:
        transitions: each counted once, though parts repeat rows where they meet.
        episodes: those that are whole.
        terminated: how many episodes the game ended, their beginning there or not.
        truncated: how many were broken off, likewise.
        cut: how many go on where the data do not.
        headless: how many ended, but nobody knows where they began: rows before them are lost.
        actions: (A,) int64, how often each was played; of vectors (A, 2) float64, the mean and the
            standard deviation of each of their numbers.
        rewards: (3,) int64, how many were below 0, 0, and above.
    """

    transitions: int
    episodes: Episodes
    terminated: int
    truncated: int
    cut: int
    headless: int
    actions: np.ndarray
    rewards: np.ndarray


class _Stretch(NamedTuple):
    """Transitions of one episode, as far as they were read."""

    has_beginning: bool
    age: int  # of the newest
    length: int = 0
    returned: float = 0.0


def summarise(blocks: Iterable[Block], action_spec: ActionSpec | None = None) -> Summary:
    """Counts the starts of a run's blocks, all its parts' in their order.

    Where a part ends in the middle of an episode its last transition is truncated, as rows beyond
    are another part's: the episode goes on where the next start shows the frame it led to.

    Args:
        action_spec: of the actions; None of numbers of which there are as many as were played.
    """
    tally = _Tally(_Moments(action_spec) if isinstance(action_spec, Box) else _Counts(action_spec))
    for block in blocks:
        tally.add(block)
    return tally.summary()


class _Counts:
    """How often each number was an action."""

    def __init__(self, spec: Discrete | None) -> None:
        self.summary = np.zeros(spec.num_actions if spec else 0, np.int64)

    def add(self, actions: np.ndarray) -> None:
        counts = np.bincount(actions, minlength=len(self.summary))
        counts[: len(self.summary)] += self.summary
        self.summary = counts


class _Moments:
    """Mean and standard deviation of each number of vectors."""

    def __init__(self, spec: Box) -> None:
        self._count, self._sums = 0, np.zeros((2, *spec.shape))

    def add(self, actions: np.ndarray) -> None:
        own = actions.astype(np.float64)
        self._count += len(own)
        self._sums += own.sum(axis=0), (own**2).sum(axis=0)

    @property
    def summary(self) -> np.ndarray:
        mean, square = self._sums / max(self._count, 1)
        return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0))], axis=1)


class _Tally:
    """What was counted so far; three numbers of each episode are kept."""

    def __init__(self, actions: _Counts | _Moments) -> None:
        self._actions = actions
        self._rewards, self._ends = np.zeros(3, np.int64), np.zeros(4, np.int64)
        self._whole: list[tuple[float, int, int]] = []
        self._transitions = self._cut = self._headless = 0
        self._open: _Stretch | None = None
        self._truncated = False  # whether the open one is, for good or where parts meet
        self._led_to: np.ndarray | None = None  # which frame that showed
        self._after_cut = False

    def add(self, block: Block) -> None:
        rows = np.flatnonzero(block.starts)
        kinds = (block.ages, block.ends, block.rewards, block.actions)
        ages, ends, rewards, actions = (array[rows] for array in kinds)
        self._count(actions, rewards)
        self._see_final(block, 0)
        breaks = np.flatnonzero((ends[:-1] != GOES_ON) | (ages[1:] != ages[:-1] + 1)) + 1
        bounds = [*breaks.tolist(), len(rows)] if len(rows) else []
        for first, last in zip([0, *bounds], bounds, strict=False):
            self._extend(int(ages[first]), block.frames[rows[first]], rewards[first:last])
            self._transitions += last - first
            self._truncated = bool(ends[last - 1] == TRUNCATED)
            if ends[last - 1] == TERMINATED:
                self._end(TERMINATED)
            self._see_final(block, int(rows[last - 1]) + 1)

    def summary(self) -> Summary:
        whole = np.array(self._whole, np.float64).reshape(-1, 3)
        returns, lengths, ended_at = whole.T
        return Summary(
            transitions=self._transitions,
            episodes=Episodes(returns, lengths.astype(np.int64), ended_at.astype(np.int64)),
            terminated=int(self._ends[TERMINATED]),
            truncated=int(self._ends[TRUNCATED]),
            cut=self._cut + (self._open is not None),
            headless=self._headless,
            actions=self._actions.summary,
            rewards=self._rewards,
        )

    def _count(self, actions: np.ndarray, rewards: np.ndarray) -> None:
        self._actions.add(actions)
        self._rewards += np.bincount(np.sign(rewards).astype(np.int64) + 1, minlength=3)

    def _see_final(self, block: Block, row: int) -> None:
        """Remembers the frame that a truncated transition led to, if that is the block's row."""
        is_final = row < len(block.ends) and block.ends[row] == FINAL
        if self._truncated and self._led_to is None and is_final:
            self._led_to = block.frames[row].copy()

    def _extend(self, age: int, frame: np.ndarray, rewards: np.ndarray) -> None:
        """Takes transitions from `age` on, the first at `frame`: of the open stretch, or a new."""
        if self._open is not None and not self._goes_on(age, frame):
            if self._truncated and age == 0:
                self._end(TRUNCATED)
            else:
                self._cut, self._after_cut, self._open = self._cut + 1, True, None
        self._truncated, self._led_to = False, None
        stretch = self._open or _Stretch(age == 0 and not self._after_cut, age)
        self._open = stretch._replace(
            age=age + len(rewards) - 1,
            length=stretch.length + len(rewards),
            returned=stretch.returned + float(rewards.sum(dtype=np.float64)),
        )

    def _goes_on(self, age: int, frame: np.ndarray) -> bool:
        """Whether the open stretch does, with a transition of that age at that frame."""
        assert self._open is not None
        if self._truncated:
            return age > 0 and self._led_to is not None and np.array_equal(self._led_to, frame)
        return age == self._open.age + 1

    def _end(self, how: int) -> None:
        """Closes the open stretch, before what comes next is counted."""
        stretch, self._open = self._open, None
        assert stretch is not None
        self._ends[how] += 1
        self._after_cut = False
        if stretch.has_beginning:
            self._whole.append((stretch.returned, stretch.length, self._transitions))
        else:
            self._headless += 1
