"""What is learned from a split of RL Unplugged: whole episodes, or single transitions of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prune_rl.datasets import rlu_records
from prune_rl.datasets.experience import Block, Damaged, Share
from prune_rl.datasets.rlu_records import Episode, Lengths, Shard
from prune_rl.specs import FINAL, GOES_ON, TERMINATED, TRUNCATED, ObservationSpec

SPEC = ObservationSpec(frame_shape=rlu_records.FRAME_SHAPE, stack_size=4)

_BLOCK_ROWS = 1024  # 7 MiB of frames
_NUM_ACTIONS = 18  # of the console: no game has more


class Split(NamedTuple):
    """Name, its place among the random streams (NN of checkpoint_NN), and its files in order."""

    name: str
    number: int
    shards: tuple[Shard, ...]

    @property
    def num_episodes(self) -> int:
        """Of all its files."""
        return sum(shard.num_episodes for shard in self.shards)

    @property
    def spoken(self) -> str:
        """Its name for people: 'checkpoint 3'."""
        kind, _, number = self.name.partition("_")
        return f"{kind} {int(number)}" if number.isdigit() else self.name


@dataclass
class SplitPart:
    """A `Part`: some episodes of a split, which lie together.

    Attributes, besides those of a `Part`: `first`, the episode it begins with; `lengths` of its
    episodes; `drawn`, the transitions to learn from by their number among those of its episodes,
    ascending, None for all of them; the `horizon` of its share.
    """

    name: str
    num_rows: int
    num_transitions: int
    total_transitions: int
    split: Split
    first: int
    lengths: Lengths
    drawn: np.ndarray | None
    horizon: int

    def blocks(self) -> Iterator[Block]:
        """The rows of one episode after the other.

        Raises:
            Damaged: a file or an episode is not what it should be.
        """
        starts = list(_starts(self.lengths, self.drawn))
        wanted = np.array([own.any() for own in starts], bool)
        episodes = rlu_records.read(self.split.shards, self.first, wanted)
        for episode, own, terminal in zip(episodes, starts, self.lengths.terminal, strict=True):
            if episode is not None:
                yield from _blocks(episode, own, bool(terminal), self.horizon)


def part_of(run_name: str, split: Split, lengths: Lengths, share: Share, seed: int) -> SplitPart:
    """What a share takes of a split of a run; `seed` is the run's own, beside that of the share."""
    rng = np.random.Generator(np.random.PCG64([share.seed, seed, split.number]))
    total = int((lengths.steps - 1).sum())
    first, drawn, own = 0, None, lengths
    if share.unit == "windows":
        taken = _of(share.fraction, split.num_episodes)
        first = int(rng.integers(split.num_episodes - taken + 1))
        own = Lengths(*(field[first : first + taken] for field in lengths))
    else:
        drawn = np.sort(rng.choice(max(total, 1), _of(share.fraction, total), replace=False))
    kept = (_kept(starts, share.horizon).sum() for starts in _starts(own, drawn))
    return SplitPart(
        name=f"{run_name} {split.spoken}",
        num_rows=int(sum(kept)),
        num_transitions=int((own.steps - 1).sum()) if drawn is None else len(drawn),
        total_transitions=total,
        split=split,
        first=first,
        lengths=own,
        drawn=drawn,
        horizon=share.horizon,
    )


def _of(fraction: float, number: int) -> int:
    """So many of a number of things, one at least of those there are."""
    return min(max(1, round(fraction * number)), number)


def _starts(lengths: Lengths, drawn: np.ndarray | None) -> Iterator[np.ndarray]:
    """Of every episode (L,) bool, whether a transition of the share begins at a row."""
    before = 0
    for steps in lengths.steps:
        starts = np.arange(steps) < steps - 1
        if drawn is not None:
            low, high = np.searchsorted(drawn, (before, before + steps - 1))
            starts = np.zeros(steps, bool)
            starts[drawn[low:high] - before] = True
        before += int(steps) - 1
        yield starts


def _kept(starts: np.ndarray, horizon: int) -> np.ndarray:
    """Rows of an episode (L,) bool that starts need: their stacks, and `horizon` rows after."""
    (at,) = np.nonzero(starts)
    edges = np.zeros(len(starts) + 1, np.int64)
    np.add.at(edges, np.maximum(at - SPEC.stack_size + 1, 0), 1)
    np.add.at(edges, np.minimum(at + horizon + 1, len(starts)), -1)
    return np.cumsum(edges[:-1]) > 0


def _blocks(episode: Episode, starts: np.ndarray, terminal: bool, horizon: int) -> Iterator[Block]:
    """The rows of an episode that are kept."""
    if len(episode.pngs) != len(starts):
        found = f"{len(episode.pngs)} observations, {len(starts)} is_first"
        raise Damaged(f"{episode.where}: {found}")
    for wrong in impossible(episode):
        raise Damaged(wrong)
    ends = np.full(len(starts), GOES_ON, np.uint8)
    ends[-2:] = (TERMINATED if terminal else TRUNCATED, FINAL)
    (rows,) = np.nonzero(_kept(starts, horizon))
    for low in range(0, len(rows), _BLOCK_ROWS):
        own = rows[low : low + _BLOCK_ROWS]
        is_step = ends[own] != FINAL
        yield Block(
            frames=rlu_records.frames(episode, own),
            actions=np.where(is_step, episode.actions[own], 0).astype(np.int32),
            rewards=np.where(is_step, episode.rewards[own], 0).astype(np.float32),
            ages=own.astype(np.int32),
            ends=ends[own],
            starts=starts[own],
        )


def impossible(episode: Episode) -> Iterator[str]:
    """Actions and rewards that cannot be, the first of each."""
    for name, wrong, values in (
        ("action", (episode.actions < 0) | (episode.actions >= _NUM_ACTIONS), episode.actions),
        ("reward", ~np.isfinite(episode.rewards), episode.rewards),
    ):
        if wrong[:-1].any():
            step = int(np.argmax(wrong))
            yield f"{episode.where}: step {step}: {name} {values[step]}"
