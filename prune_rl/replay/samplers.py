"""Which transitions of a ring are drawn, and how often (after Dopamine 4.1.2's samplers.py)."""

from collections import deque
from collections.abc import Sequence, Set
from typing import ClassVar

import gin
import numpy as np

from prune_rl.errors import ConfigError, require
from prune_rl.replay.ring import FrameRing
from prune_rl.replay.streams import Streams
from prune_rl.replay.sum_tree import SumTrees
from prune_rl.settings import Fraction, checked
from prune_rl.state import State, part, per_seed

Drawn = tuple[np.ndarray, np.ndarray | None]  # positions, and the chances they were drawn with


class Sampler:
    """What a replay asks of the rule that draws its transitions; this one has no priorities.

    Args:
      ring: where the transitions lie.
      horizon: n of the n-step return, in agent steps.

    Attributes:
      STATE: arrays that it adds to a replay's state.
      BYTES_PER_ROW: RAM that it takes for one row of one seed, at most.
    """

    STATE: ClassVar[frozenset[str]] = frozenset()
    BYTES_PER_ROW: ClassVar[int] = 0

    def __init__(self, ring: FrameRing, horizon: int) -> None:
        self._ring, self._horizon = ring, horizon

    def draw(self, streams: Streams, size: int, low: np.ndarray, high: np.ndarray) -> Drawn:
        """Positions (S, size) int64 of transitions, and the chances float32 they were drawn with.

        They lie among the ring's candidates [low, high), (S,) each and none of them empty; the
        chances are None where all are alike.
        """
        raise NotImplementedError

    def update(self, priorities: np.ndarray) -> None:
        """See `ReplayBuffer.update_priorities`."""
        raise RuntimeError("update_priorities: replay_scheme is 'uniform'")

    def get_state(self) -> list[State]:
        """Of each seed, copies of the arrays `STATE`."""
        return [{} for _ in range(self._ring.num_seeds)]

    def set_state(self, states: Sequence[State]) -> None:
        """Takes over what `get_state` gave, after the ring has taken over its own state."""


class UniformSampler(Sampler):
    """Draws all transitions that a seed can learn from equally often, with replacement.

    It needs no horizon: the ring's candidates are complete.
    """

    def draw(self, streams: Streams, size: int, low: np.ndarray, high: np.ndarray) -> Drawn:
        """Positions (S, size) within the ring's candidates [low, high), none of them empty.

        Rejection sampling: candidates are contiguous but for final rows (one an episode) and a
        few rows at the ring's old end, so nearly all pass at once.
        """
        ranges = list(zip(low.tolist(), high.tolist(), strict=True))
        starts = np.empty((len(ranges), size), np.int64)
        for row, stream, bounds in zip(starts, streams, ranges, strict=True):
            row[:] = stream.integers(*bounds, size=size)
        while np.count_nonzero(bad := self._ring.unusable(starts, low)):
            for row, stream, bounds, again in zip(starts, streams, ranges, bad, strict=True):
                if count := np.count_nonzero(again):
                    row[again] = stream.integers(*bounds, size=count)
        return starts, None


@gin.configurable
@checked
class PrioritizedSampler(Sampler):
    """Draws transitions in proportion to their priorities (Schaul et al. 2016, equation 1).

    A transition has no chance before it is complete, then the largest priority recorded until
    then, then what `update` gives it, until a row it needs is overwritten. A leaf of the sum tree
    is a slot of the ring.

    What rows were written since the last look follows from the ring alone, and nothing is looked
    up before the next draw: so storing a transition costs nothing here.

    Args:
      ring: where the transitions lie.
      horizon: n of the n-step return, in agent steps.
      priority_exponent: alpha from 0 (all alike) to 1. As in Dopamine, the largest priority is
        recorded with the exponent applied, and raised to it once more for new transitions.

    Attributes:
      max_priorities: (S,) float64, the largest recorded of each seed, 1 at first.
      priority_exponent: as given.
    """

    STATE: ClassVar[frozenset[str]] = frozenset({"priorities", "max_priority"})
    BYTES_PER_ROW: ClassVar[int] = SumTrees.BYTES_PER_LEAF

    def __init__(self, ring: FrameRing, horizon: int, *, priority_exponent: Fraction = 1.0) -> None:
        super().__init__(ring, horizon)
        self.priority_exponent = priority_exponent
        self.max_priorities = np.ones(ring.num_seeds)
        self._seeds = np.arange(ring.num_seeds)[:, None]
        self._drawn: deque[np.ndarray] = deque()  # positions (S, B) that await their priorities
        self._forget_leaves()

    def _forget_leaves(self) -> None:
        self._trees = SumTrees(self._ring.num_seeds, self._ring.num_rows)
        self._complete = np.zeros_like(self._ring.cursors)  # transitions before it have a leaf
        # Leaves still to be written, oldest first: trees, leaves and values, (N,) each.
        self._writes: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def draw(self, streams: Streams, size: int, low: np.ndarray, high: np.ndarray) -> Drawn:
        """Positions (S, size) among the candidates [low, high) and their probabilities float32.

        Stratified: [0, total) is cut into `size` equal parts and one number drawn in each, as
        Schaul et al. (appendix B.2.1) and Dopamine's TF replay do. The JAX replay of Dopamine
        4.1.2 draws independently instead; how often a transition is drawn is the same on average.

        Raises `ConfigError` where all priorities of a seed are zero.
        """
        self._note_rows(low, high)
        self._write()
        totals = self._trees.totals[:, None]
        if np.count_nonzero(totals) < len(totals):
            raise ConfigError("ReplayBuffer: all priorities of a seed are 0; expected some above 0")
        parts = np.empty((len(totals), size))
        for row, stream in zip(parts, streams, strict=True):
            stream.random(out=row)
        parts += np.arange(size)
        leaves = self._trees.find(parts * (totals / size))
        cursors = self._ring.cursors[:, None]
        starts = cursors - (cursors - leaves) % self._ring.num_rows
        self._drawn.append(starts)
        return starts, (self._trees.values(leaves) / totals).astype(np.float32)

    def update(self, priorities: np.ndarray) -> None:
        """Gives the oldest batch drawn that has none its `priorities` (S, B), at least 0.

        One that is not finite counts as the seed's largest. Transitions that were overwritten in
        the meantime are left alone. Raises `RuntimeError` if no batch is waiting.
        """
        if not self._drawn:
            raise RuntimeError("update_priorities: every batch sampled has its priorities")
        starts, given = self._drawn[0], np.array(priorities, np.float64)
        unknown = ~np.isfinite(given)
        if given.shape != starts.shape or np.count_nonzero((given < 0) & ~unknown):
            raise ValueError(f"update_priorities: not {starts.shape} numbers of at least 0")
        self._drawn.popleft()
        np.copyto(given, self.max_priorities[:, None], where=unknown)
        values = self._powers(given)
        low, high = self._ring.candidates(self._horizon)
        self._note_rows(low, high)  # while the largest priorities are what they were
        kept = ~self._ring.unusable(starts, low)
        self._write_later(starts, values, kept)
        np.maximum(self.max_priorities, values.max(axis=1), out=self.max_priorities)

    def get_state(self) -> list[State]:
        """Of each seed: float64 priorities of its filled slots, and the largest it has recorded.

        Raises `RuntimeError` while a batch awaits its priorities.
        """
        if self._drawn:
            raise RuntimeError("get_state: a sampled batch still awaits its priorities")
        self._note_rows(*self._ring.candidates(self._horizon))
        self._write()
        filled = self._ring.filled
        leaves = np.broadcast_to(np.arange(filled), (len(self._seeds), filled))
        pairs = zip(self._trees.values(leaves), self._filled(), strict=True)
        priorities = [values[:count].copy() for values, count in pairs]
        return per_seed(priorities=priorities, max_priority=list(self.max_priorities.copy()))

    def _filled(self) -> list[int]:
        """Rows held by each seed."""
        counts: list[int] = np.minimum(self._ring.cursors + 1, self._ring.num_rows).tolist()
        return counts

    def set_state(self, states: Sequence[State]) -> None:
        """Takes over what `get_state` gave, after the ring has taken over its own state."""
        self.max_priorities[:] = part(states, "max_priority")
        self._drawn.clear()
        self._forget_leaves()
        for seed, (state, count) in enumerate(zip(states, self._filled(), strict=True)):
            values = state["priorities"]
            fits = values.shape == (count,)
            require(fits, "replay state: priorities", values.shape, f"({count},)")
            self._trees.set(np.full(count, seed), np.arange(count), values)
        self._complete = np.maximum(self._ring.candidates(self._horizon)[1], 0)

    def _note_rows(self, low: np.ndarray, high: np.ndarray) -> None:
        """Notes the leaves that changed as rows were written since the last call."""
        cursors = self._ring.cursors[:, None]
        begin = np.maximum(self._complete, low)[:, None]
        starts = begin + np.arange(max(int((cursors - begin).max()) + 1, 0))  # (S, rows)
        usable = (starts < high[:, None]) & ~self._ring.unusable(starts, low)
        new = self._powers(self.max_priorities)[:, None] * usable
        self._write_later(starts, new, starts <= cursors)
        # The oldest rows may have lost frames of their stacks.
        oldest = low[:, None] + np.arange(self._ring.stack_size - 1)
        lost = self._ring.unusable(oldest, low) & (oldest <= cursors)
        self._write_later(oldest, np.zeros(oldest.shape), lost)
        self._complete = high

    def _write_later(self, starts: np.ndarray, values: np.ndarray, chosen: np.ndarray) -> None:
        """Lets the transitions at the `chosen` of `starts`, (S, B) each, have these values."""
        seeds = np.broadcast_to(self._seeds, starts.shape)[chosen]
        self._writes.append((seeds, starts[chosen] % self._ring.num_rows, values[chosen]))

    def _write(self) -> None:
        self._trees.set(*(np.concatenate(parts) for parts in zip(*self._writes, strict=True)))
        self._writes = []

    def _powers(self, priorities: np.ndarray) -> np.ndarray:
        """Priorities raised to the exponent; 0 stays 0, whatever the exponent."""
        return np.where(priorities == 0, 0.0, priorities**self.priority_exponent)


# By the names of Dopamine's `replay_scheme`.
SAMPLERS: dict[str, type[Sampler]] = {"uniform": UniformSampler, "prioritized": PrioritizedSampler}


def scheme_of(fields: Set[str]) -> str:
    """Name in `SAMPLERS` of the sampler whose arrays are among the `fields` of a state."""
    return max(SAMPLERS, key=lambda name: len(SAMPLERS[name].STATE & fields))
