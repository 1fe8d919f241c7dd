"""One checkpoint of a DQN-replay run, and the head of what follows it, as blocks of rows."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.array_files import ArrayFile
from prune_rl.datasets.dqn_replay_files import open_frames
from prune_rl.datasets.experience import Block
from prune_rl.datasets.stretches import Kept
from prune_rl.specs import ObservationSpec

# Of frames, and as much again where padding is left out. Larger blocks are no faster to read, but
# the C library gives them back to the kernel, and faults them in again, one after the other.
_BLOCK_BYTES = 1 << 19


class Source(NamedTuple):
    """A checkpoint's file of frames, whose row 0 is row `first` of the part."""

    folder: Path
    number: int
    first: int


@dataclass(frozen=True)
class CheckpointPart:
    """A `Part`: the transitions that start in one checkpoint's file.

    Those of the first stack_size - 1 rows start in the file before, if there is one that this one
    continues. The last ones need rows of the files that follow: of those, only heads are read.

    Attributes:
        sources: the checkpoint's own file and those that follow.
        spec: of the run's observations.
        kept: rows of the part that the share needs.
    """

    name: str
    total_transitions: int
    sources: Sequence[Source]
    spec: ObservationSpec
    kept: Kept

    @property
    def num_rows(self) -> int:
        return len(self.kept.rows)

    @property
    def num_transitions(self) -> int:
        return int(np.count_nonzero(self.kept.starts))

    def blocks(self) -> Iterator[Block]:
        """Reads the checkpoint's own file to its end, whatever the share: it has the checksum.

        Raises:
            Damaged: a file is not what it should be; names it and the offset.
        """
        row_bytes = int(np.prod(self.spec.frame_shape))
        late = np.zeros(self.kept.episodes.max(initial=-1) + 1, np.int32)
        with closing(_Frames(self.sources, self.spec)) as frames:
            for rows in self._pieces(max(_BLOCK_BYTES // row_bytes, 1)):
                yield self._block(rows, frames.read(self.kept.rows[rows]), late)
            frames.end()

    def _pieces(self, most: int) -> Iterator[slice]:
        """Kept rows, about `most` at a time; the padding of an episode stays together."""
        first, ages = 0, self.kept.ages
        while first < len(ages):
            last = min(first + most, len(ages))
            while last < len(ages) and ages[last] < 0:
                last += 1
            yield slice(first, last)
            first = last

    def _block(self, rows: slice, frames: np.ndarray, late: np.ndarray) -> Block:
        """Without padding; `late` remembers by how much ages rise where none was found."""
        own = Kept(*(field[rows] for field in self.kept))
        doubtful = np.flatnonzero(own.ages < 0)
        shown = frames[doubtful].any(axis=tuple(range(1, frames.ndim)))
        late[own.episodes[doubtful[shown]]] = self.spec.stack_size - 1
        ages = own.ages + late[own.episodes]
        block = Block(frames, own.actions, own.rewards, ages, own.ends, own.starts)
        real = ages >= 0
        return block if real.all() else Block(*(field[real] for field in block))


class _Frames:
    """Frames of a part, read in rising order of rows."""

    def __init__(self, sources: Sequence[Source], spec: ObservationSpec) -> None:
        self._spec, self._sources = spec, list(sources)
        self._firsts = np.array([source.first for source in sources])
        self._open, self._file = 0, self._opened(0)

    def _opened(self, index: int) -> ArrayFile:
        source = self._sources[index]
        return open_frames(source.folder, source.number, self._spec)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows` (k,), uint8 (k, *frame_shape)."""
        frames = np.empty((len(rows), *self._spec.frame_shape), np.uint8)
        gaps = np.flatnonzero(np.diff(rows) != 1) + 1
        cuts = np.unique([0, *gaps, *np.searchsorted(rows, self._firsts), len(rows)])
        for begin, end in pairwise(cuts):
            self._go_to(int(rows[begin]))
            self._file.read(frames[begin:end])
        return frames

    def _go_to(self, row: int) -> None:
        index = int(np.searchsorted(self._firsts, row, side="right")) - 1
        if index != self._open:
            self.end()
            self._open, self._file = index, self._opened(index)
        self._file.skip_to(row - int(self._firsts[index]))

    def end(self) -> None:
        """Closes the file in hand, the checkpoint's own at its end."""
        if self._open == 0:
            self._file.end()
        self.close()

    def close(self) -> None:
        self._file.close()
