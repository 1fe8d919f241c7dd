"""Episodes of Minari's, a group of a file each, as blocks of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prune_rl.datasets.experience import Block, Damaged
from prune_rl.datasets.hdf5_files import BLOCK_ROWS, array_at, flags_of, opened, rows_of
from prune_rl.datasets.vectors import Needed
from prune_rl.specs import FINAL, TERMINATED, TRUNCATED


class Sizes(NamedTuple):
    """Numbers in an observation and in an action."""

    observation: int
    action: int


class Episode(NamedTuple):
    """Arrays of h5py, of T steps: T + 1 observations, T actions and rewards; and how it ended.

    Attributes:
        ends: (T + 1,) uint8, codes of `prune_rl.specs`, of the rows that it becomes.
    """

    observations: Any
    actions: Any
    rewards: Any
    ends: np.ndarray


def group_of(file: Any, number: int) -> Any:
    """The group of an episode; raises `Damaged` if it is not there."""
    name = f"episode_{number}"
    if name not in file:
        raise Damaged(f"{file.filename}: no {name}, which metadata.json counts")
    return file[name]


def length_of(file: Any, number: int) -> int:
    """T of an episode; raises `Damaged` if it is not there, or has no rewards."""
    return len(array_at(group_of(file, number), "rewards", (None,)))


def episode_of(file: Any, number: int, sizes: Sizes) -> Episode:
    """An episode, of which the flags are read.

    Raises:
        Damaged: it is not there, its arrays are not of these sizes, or it goes on after its end.
    """
    group = group_of(file, number)
    rewards = array_at(group, "rewards", (None,))
    steps = len(rewards)
    observations = array_at(group, "observations", (steps + 1, sizes.observation))
    actions = array_at(group, "actions", (steps, sizes.action))
    terminated, truncated = (
        flags_of(array_at(group, name, (steps,))) for name in ("terminations", "truncations")
    )
    over = np.flatnonzero((terminated | truncated)[:-1])
    if len(over):
        problem = f"goes on after step {int(over[0]):,}, with which it ended"
        raise Damaged(f"{file.filename}: {group.name.strip('/')}: {problem}")
    ends = np.zeros(steps + 1, np.uint8)
    ends[-1] = FINAL
    if steps:
        ends[-2] = TERMINATED if terminated[-1] else TRUNCATED
    return Episode(observations, actions, rewards, ends)


def read(episode: Episode, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames, actions and rewards of rows `first` to `last` - 1; what the last lacks is 0.

    Raises:
        Damaged: they do not decompress, or hold a number that is not finite.
    """
    frames = rows_of(episode.observations, first, last)
    steps = min(last, len(episode.rewards))
    actions = np.zeros((last - first, *episode.actions.shape[1:]), np.float32)
    rewards = np.zeros(last - first, np.float32)
    actions[: steps - first] = rows_of(episode.actions, first, steps)
    rewards[: steps - first] = rows_of(episode.rewards, first, steps).reshape(-1)
    return frames, actions, rewards


@dataclass(frozen=True)
class EpisodesPart:
    """A `Part`: the transitions that a share takes of a file of episodes.

    Attributes:
        sizes: of its vectors.
        lengths: (E,) int64, rows of each episode, one more than its steps.
        needed: the rows, by their places among those of all episodes.
    """

    name: str
    total_transitions: int
    path: Path
    sizes: Sizes
    lengths: np.ndarray
    needed: Needed

    @property
    def num_rows(self) -> int:
        return len(self.needed.rows)

    @property
    def num_transitions(self) -> int:
        return int(np.count_nonzero(self.needed.starts))

    def blocks(self) -> Iterator[Block]:
        """Reads the rows that are needed, and those between them; an episode at most at once.

        Raises:
            Damaged: an episode is not as it should be.
        """
        highs = np.cumsum(self.lengths)
        cuts = np.searchsorted(self.needed.rows, [0, *highs])
        with opened(self.path) as file:
            for number in np.flatnonzero(np.diff(cuts)).tolist():
                low = int(highs[number] - self.lengths[number])
                own = Needed(*(field[cuts[number] : cuts[number + 1]] for field in self.needed))
                yield from self._blocks(file, number, own._replace(rows=own.rows - low))

    def _blocks(self, file: Any, number: int, own: Needed) -> Iterator[Block]:
        """Those of one episode, whose rows are counted from its first."""
        episode = episode_of(file, number, self.sizes)
        for first in range(0, len(episode.ends), BLOCK_ROWS):
            low, high = np.searchsorted(own.rows, (first, first + BLOCK_ROWS))
            if low < high:
                rows, ages, _, starts = (field[low:high] for field in own)
                begin, end = int(rows[0]), int(rows[-1]) + 1
                frames, actions, rewards = (x[rows - begin] for x in read(episode, begin, end))
                yield Block(frames, actions, rewards, ages, episode.ends[rows], starts)
