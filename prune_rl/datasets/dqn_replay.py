"""Runs in the layout of the DQN replay dataset: `GAME/RUN/replay_logs/`, a file for each field.

Agarwal et al. 2020, "An Optimistic Perspective on Offline RL"; github.com/google-research/batch_rl.
Ours add `about.json` and, where episodes were truncated, a field that says so.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets import about_file
from prune_rl.datasets.dqn_replay_files import (
    FIELDS,
    Checkpoint,
    Rows,
    checkpoints_in,
    impossible,
    number_of,
    open_frames,
    path_of,
    read_checkpoint,
    read_field,
)
from prune_rl.datasets.dqn_replay_part import CheckpointPart, Source
from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.stretches import Stretch, draw, keep, outline
from prune_rl.errors import ConfigError
from prune_rl.specs import ObservationSpec

_PUBLISHED = 50  # checkpoints, 0 to 49, of every published run
_MOST_ACTIONS = {"atari": 18, "minatar": 6}  # of any game
_THREADS = 8  # that read small files
_UNFINISHED = "about.json is missing: what wrote this run did not finish"


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
    def most_actions(self) -> int:
        """Actions are numbers below this."""
        return self.num_actions or _MOST_ACTIONS[self.suite]

    @property
    def complete(self) -> list[int]:
        """Numbers of the checkpoints that lack no file; the others are left out."""
        lacking = {number_of(name) for name in self.missing}
        return [number for number in self.fields if number not in lacking]

    def parts(self, share: Share) -> list[CheckpointPart]:
        """One for each checkpoint that has transitions; reads all files but the frames.

        Raises:
            ConfigError: there is nothing to read.
            Damaged: a file is not what it should be.
        """
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
            raise Damaged(f"{self.folder}: {_UNFINISHED}")
        found = (self._part(checkpoints, index, share) for index in range(len(checkpoints)))
        parts = [part for part in found if part is not None and part.num_transitions]
        if not parts:
            lacking = f"; missing: {', '.join(self.missing[:4])}, …" if self.missing else ""
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
    # The checkpoint before has the rows of the cycle before.
    older = before is None and added is not None and added >= own.size and not in_order
    stretches = [newest, Stretch(row, num_rows, False)] if older else [newest]
    return [own for own in stretches if own.last > own.first]


def find_runs(path: Path) -> list[DQNReplayRun]:
    """The runs at or below `path`: a root, a game in it, a run of that or its `replay_logs`.

    Returns them in the order of games and numbers; none if there is none.

    Raises:
        ConfigError: a directory does not say which run it holds.
        Damaged: its `about.json` is not what it should be.
    """
    below = (path.glob(pattern) for pattern in ("replay_logs", "*/replay_logs", "*/*/replay_logs"))
    folders = [path, *(folder for found in below for folder in found)]
    runs = [
        _run(folder, fields)
        for folder in folders
        if folder.is_dir() and (fields := checkpoints_in(folder))
    ]
    return sorted(runs, key=lambda run: (run.game, run.number))


def _run(folder: Path, fields: dict[int, set[str]]) -> DQNReplayRun:
    about = about_file.read_about(folder) or _published(folder)
    frame_shape, stack_size = tuple(about["frame_shape"]), about["stack_size"]
    digests = about.get("files")
    return DQNReplayRun(
        folder=folder,
        game=about["game"],
        suite=about["suite"],
        number=about["run"],
        observation_spec=ObservationSpec(frame_shape, stack_size=stack_size),
        num_actions=about["num_actions"],
        protocol={"format": "dqn_replay", "path": str(folder), **about["protocol"]},
        digests=digests,
        fields=fields,
        missing=_missing(folder, fields, digests),
    )


def _missing(
    folder: Path, fields: Mapping[int, set[str]], digests: Mapping[str, Any] | None
) -> list[str]:
    """Names of files: those that `about.json` lists, and four of every checkpoint to the last."""
    last = max(fields) if digests is not None else max(*fields, _PUBLISHED - 1)
    needed = (path_of(folder, name, number).name for number in range(last + 1) for name in FIELDS)
    found = {path.name for path in folder.iterdir()}
    lacking = {name for name in (*needed, *(digests or ())) if name not in found}
    return sorted(lacking, key=lambda name: (number_of(name) or 0, name))


def _published(folder: Path) -> dict[str, Any]:
    """What `about.json` would say of a run as published."""
    run, game = folder.resolve().parent, folder.resolve().parent.parent
    if not run.name.isdecimal():
        raise ConfigError(f"{folder}: expected GAME/RUN/replay_logs, RUN a number")
    return {
        "suite": "atari",
        "game": game.name,
        "run": int(run.name),
        "num_actions": None,
        "frame_shape": (84, 84, 1),
        "stack_size": 4,
        "protocol": {"rewards": "clipped"},
    }


def problems(run: DQNReplayRun) -> Iterator[str]:
    """Reads every file of a run to its end, and says what is wrong, a line for each thing."""
    for number, names in groupby(run.missing, number_of):
        yield f"{run.folder}: checkpoint {number}: missing {', '.join(names)}"
    in_order = False
    for number, fields in run.fields.items():
        arrays, num_frames = {}, None
        for name in sorted(fields):
            path = path_of(run.folder, name, number)
            try:
                if name == "observation":
                    with open_frames(run.folder, number, run.observation_spec) as file:
                        file.end()
                        num_frames = file.shape[0]
                else:
                    arrays[name] = read_field(run.folder, number, name)
                _require_digest(path, run.digests)
            except Damaged as error:
                yield str(error)
        yield from impossible(run.folder, number, arrays, num_frames, run.most_actions)
        in_order |= "invalid_range" in arrays and not arrays["invalid_range"].size
    if in_order and run.digests is None:
        yield f"{run.folder}: {_UNFINISHED}"


def _require_digest(path: Path, digests: Mapping[str, Mapping[str, Any]] | None) -> None:
    """Raises `Damaged` unless a file is the one that `about.json` lists, if there is one."""
    if digests is None:
        return
    listed = digests.get(path.name)
    if listed is None:
        raise Damaged(f"{path}: not listed in {about_file.NAME}")
    with path.open("rb") as file:
        found = {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
    for name, value in found.items():
        if listed.get(name) != value:
            said = f"{about_file.NAME} says {listed.get(name)}"
            raise Damaged(f"{path}: {name} {value}, {said}")
