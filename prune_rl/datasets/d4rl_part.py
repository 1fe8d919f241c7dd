"""The arrays of a file of D4RL's: what their rows are, and blocks of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.datasets.hdf5_files import BLOCK_ROWS, array_at, one_length, opened, rows_of
from prune_rl.datasets.stretches import Outline, sealed
from prune_rl.datasets.vectors import Needed, outline
from prune_rl.specs import FINAL, TERMINATED, TRUNCATED


class FileForm(NamedTuple):
    """How many rows a file has, numbers in an observation and an action, and if it says the next.

    Attributes:
        has_next: whether there are `next_observations`.
    """

    num_rows: int
    observation: int
    action: int
    has_next: bool


def form_of(path: Path, file: Any) -> FileForm:
    """Of a file that has all the keys.

    Raises:
        Damaged: they hold no numbers of such shapes, or not as many of each.
    """
    arrays = {name: array_at(file, name, (None, None)) for name in ("observations", "actions")}
    has_next = "next_observations" in file
    size = arrays["observations"].shape[1]
    if has_next:
        arrays["next_observations"] = array_at(file, "next_observations", (None, size))
    for name in ("rewards", "terminals", "timeouts"):
        arrays[name] = array_at(file, name, (None,))
    return FileForm(one_length(path, arrays), size, arrays["actions"].shape[1], has_next)


class Layout(NamedTuple):
    """The m rows that a file's transitions are made of.

    Attributes:
        sources: (m,) int64, the file's row of each.
        is_next: (m,) bool, whether it shows that row's next observation, and not its own.
        outline: what they are.
    """

    sources: np.ndarray
    is_next: np.ndarray
    outline: Outline


def layout(terminals: np.ndarray, timeouts: np.ndarray, has_next: bool) -> Layout:
    """Of n rows of a file, by their flags (n,) bool.

    A row that timed out, or is the last and not terminal, is followed by one more, which shows its
    next observation; where the file has none it starts no transition itself.
    """
    cut = timeouts.copy()
    cut[-1] |= not terminals[-1]
    extra = cut & has_next
    sources = np.repeat(np.arange(len(cut)), 1 + extra)
    is_next = np.diff(sources, prepend=-1) == 0
    ends = np.zeros(len(sources), np.uint8)
    own = np.flatnonzero(~is_next)  # (n,) places of the file's rows
    ends[own[terminals]] = TERMINATED
    if has_next:
        ends[own[cut]], ends[is_next] = TRUNCATED, FINAL
    else:
        ends = sealed(ends, np.flatnonzero(cut))
    lasts = (own + extra)[terminals | cut]
    return Layout(sources, is_next, outline(np.diff(lasts, prepend=-1), ends))


@dataclass(frozen=True)
class FilePart:
    """A `Part`: the transitions that a share takes of a file.

    Attributes:
        sources, is_next: (k,) each, as in a `Layout`.
        needed: what the k rows are.
    """

    name: str
    total_transitions: int
    path: Path
    sources: np.ndarray
    is_next: np.ndarray
    needed: Needed

    @property
    def num_rows(self) -> int:
        return len(self.sources)

    @property
    def num_transitions(self) -> int:
        return int(np.count_nonzero(self.needed.starts))

    def blocks(self) -> Iterator[Block]:
        """Reads the rows that are needed, and those between them.

        Raises:
            Damaged: they do not decompress, or hold a number that is not finite.
        """
        with opened(self.path) as file:
            for first in range(0, int(self.sources[-1]) + 1, BLOCK_ROWS):
                low, high = np.searchsorted(self.sources, (first, first + BLOCK_ROWS))
                if low < high:
                    yield self._block(file, slice(low, high))

    def _block(self, file: Any, rows: slice) -> Block:
        sources, is_next = self.sources[rows], self.is_next[rows]
        first, last = int(sources[0]), int(sources[-1]) + 1
        frames, actions, rewards = (
            rows_of(file[name], first, last)[sources - first]
            for name in ("observations", "actions", "rewards")
        )
        for place in np.flatnonzero(is_next).tolist():
            row = int(sources[place])
            frames[place] = rows_of(file["next_observations"], row, row + 1)[0]
        _, *fields = (own[rows] for own in self.needed)
        return Block(frames, actions, rewards.reshape(-1), *fields)
