"""A run in the layout of the DQN replay dataset, and which rows of its files are learned from."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets.dqn_replay_files import (
    Checkpoint,
    Rows,
    in_ranges,
    number_of,
    path_of,
    read_checkpoint,
)
from prune_rl.datasets.dqn_replay_part import CheckpointPart, Source
from prune_rl.datasets.experience import Damaged, Share, require_fraction
from prune_rl.datasets.stretches import Stretch, draw, keep, outline
from prune_rl.errors import ConfigError
from prune_rl.specs import Discrete, ObservationSpec

UNFINISHED = "about.json is missing: what wrote this run did not finish"
_MOST_ACTIONS = {"atari": 18, "minatar": 6}  # of any game
_THREADS = 8  # that read small files


@dataclass(frozen=True)
class DQNReplayRun:
    """A `Run` in one `replay_logs` directory.

    Attributes:
        folder: `replay_logs`.
        digests: {file name: {"bytes", "sha256"}} of `about.json`; None where there is none.
        fields: what is on disk of every checkpoint, by its number in rising order.
        missing: names of the files that should be there and are not.
    """

    folder: Path
    game: str
    suite: str
    number: int
    observation_spec: ObservationSpec
    num_actions: int | None
    protocol: Mapping[str, Any]
    digests: Mapping[str, Mapping[str, Any]] | None
    fields: Mapping[int, set[str]]
    missing: list[str]

    @property
    def action_spec(self) -> Discrete | None:
        """See `Run`."""
        return None if self.num_actions is None else Discrete(self.num_actions)

    @property
    def most_actions(self) -> int:
        """Actions are numbers below this."""
        return self.num_actions or _MOST_ACTIONS[self.suite]

    @property
    def complete(self) -> list[int]:
        """Numbers of the checkpoints that lack no file; the others are left out."""
        lacking = {number_of(name) for name in self.missing}
        return [number for number in self.fields if number not in lacking]

    @property
    def absent(self) -> list[str]:
        """Checkpoints that have no file at all: 'no files of checkpoints 3-7, 9', or nothing."""
        found = (number_of(name) for name in self.missing)
        numbers = sorted({x for x in found if x is not None and x not in self.fields})
        return [f"no files of checkpoints {in_ranges(numbers)}"] if numbers else []

    @property
    def lacking(self) -> list[str]:
        """The files that checkpoints lack which have others: 'no add_count_ckpt.3.gz'."""
        return [f"no {name}" for name in self.missing if number_of(name) in {None, *self.fields}]

    @property
    def gaps(self) -> list[str]:
        """What is missing in words."""
        return [*self.absent, *self.lacking]

    def parts(self, share: Share) -> list[CheckpointPart]:
        """One for each checkpoint that has transitions; reads all files but the frames.

        Raises:
            ConfigError: there is nothing to read.
            Damaged: a file is not what it should be.
        """
        require_fraction(share, self.folder)
        read = partial(
            read_checkpoint,
            self.folder,
            spec=self.observation_spec,
            num_actions=self.most_actions,
        )
        complete = self.complete
        with ThreadPoolExecutor(_THREADS) as threads:
            checkpoints = list(threads.map(read, complete, map(self.fields.get, complete)))
        if self.digests is None and any(own.cursor.in_order for own in checkpoints):
            raise Damaged(f"{self.folder}: {UNFINISHED}")
        found = (self._part(checkpoints, index, share) for index in range(len(checkpoints)))
        parts = [part for part in found if part is not None and part.num_transitions]
        if not parts:
            lacking = "".join(f"; {gap}" for gap in self.gaps)
            raise ConfigError(f"{self.folder}: no transition to learn from{lacking}")
        return parts

    def _part(
        self, checkpoints: list[Checkpoint], index: int, share: Share
    ) -> CheckpointPart | None:
        own, stack_size = checkpoints[index], self.observation_spec.stack_size
        before = checkpoints[index - 1] if index else None
        pieces = _continued(checkpoints[index:], stack_size - 1 + share.horizon)
        rows = Rows(*map(np.concatenate, zip(*(rows for _, rows in pieces), strict=True)))
        follows = before is not None and own.follows(before)
        # Where files follow each other, stacks of a file's first rows reach into the one before.
        owned = range(stack_size - 1 if follows else 0, own.size + stack_size - 1)
        stretches = _stretches(own, before, len(rows.actions))
        if not stretches:
            return None
        whole = outline(rows, stretches, stack_size, owned)
        starts = draw(whole, share, (share.seed, self.number, own.number))
        return CheckpointPart(
            name=f"{self.game}/{self.number} checkpoint {own.number}",
            total_transitions=int(np.count_nonzero(whole.startable)),
            sources=[source for source, _ in pieces],
            spec=self.observation_spec,
            kept=keep(rows, whole, starts, stack_size, share.horizon),
        )

    def identity(self) -> str:
        """SHA-256 over name, size, checksum and length of what gzip holds, of the files read."""
        digest = hashlib.sha256()
        for path in sorted(self._paths()):
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - 8, 0))
                digest.update(f"{path.name} {size} {file.read().hex()}\n".encode())
        return digest.hexdigest()

    def _paths(self) -> Iterator[Path]:
        for number in self.complete:
            for name in self.fields[number]:
                yield path_of(self.folder, name, number)


def _continued(checkpoints: list[Checkpoint], extra: int) -> list[tuple[Source, Rows]]:
    """The first checkpoint, and up to `extra` rows of those that continue it."""
    pieces, first = [], 0
    for own, before in zip(checkpoints, [None, *checkpoints], strict=False):
        if before is not None and (extra <= 0 or not own.follows(before)):
            break
        rows = own.rows if before is None else Rows(*(field[:extra] for field in own.rows))
        pieces.append((Source(own.folder, own.number, first), rows))
        first += len(rows.actions)
        extra -= 0 if before is None else len(rows.actions)
    return pieces


def _stretches(own: Checkpoint, before: Checkpoint | None, num_rows: int) -> list[Stretch]:
    """Which of `num_rows` rows follow each other in time: its own and heads of later ones."""
    row, added, in_order = own.cursor
    newest = Stretch(0, num_rows if in_order else row, own.cursor.origin == 0)
    # Rows of the cycle before are in the checkpoint before, too.
    lost = before is None or before.number != own.number - 1
    older = lost and added is not None and added >= own.size and not in_order
    stretches = [newest, Stretch(row, num_rows, False)] if older else [newest]
    return [stretch for stretch in stretches if stretch.last > stretch.first]
