"""Runs in the layout of the DQN replay dataset: `GAME/RUN/replay_logs/`, a file for each field.

Agarwal et al. 2020, "An Optimistic Perspective on Offline RL"; github.com/google-research/batch_rl.
Ours add `about.json` and, where episodes were truncated, a field that says so.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from prune_rl.datasets import about_file
from prune_rl.datasets.dqn_replay_files import (
    FIELDS,
    checkpoints_in,
    impossible,
    number_of,
    open_frames,
    path_of,
    read_field,
)
from prune_rl.datasets.dqn_replay_run import UNFINISHED, DQNReplayRun
from prune_rl.datasets.experience import Damaged
from prune_rl.datasets.folders import datasets_below
from prune_rl.errors import ConfigError
from prune_rl.specs import ObservationSpec

Watch = Callable[[int], None]

_PIECE_ROWS, _BLOCK_BYTES = 1000, 1 << 20  # read between two looks at what the user wants
_PUBLISHED = 50  # checkpoints, 0 to 49, of every published run


def find_runs(path: Path) -> list[DQNReplayRun]:
    """The runs at or below `path`: a `replay_logs`, or a folder with some at any depth.

    Returns them in the order of games and numbers; none if there is none.

    Raises:
        ConfigError: a directory does not say which run it holds.
        Damaged: its `about.json` is not what it should be.
    """

    def holds_run(folder: Path, names: Sequence[str]) -> bool:
        # Agents' own checkpoints have such files, too, in folders of other names.
        is_named = folder == path or folder.name == "replay_logs"
        return is_named and any(number_of(name) is not None for name in names)

    runs = [_run(folder, checkpoints_in(folder)) for folder in datasets_below(path, holds_run)]
    return sorted(runs, key=lambda run: (run.game, run.number))


def _run(folder: Path, fields: dict[int, set[str]]) -> DQNReplayRun:
    about = about_file.read_about(folder) or _published(folder)
    digests = about.get("files")
    return DQNReplayRun(
        folder=folder,
        game=about["game"],
        suite=about["suite"],
        number=about["run"],
        observation_spec=_observation_spec(folder, about),
        num_actions=about["num_actions"],
        protocol={"format": "dqn_replay", "path": str(folder), **about["protocol"]},
        digests=digests,
        fields=fields,
        missing=_missing(folder, fields, digests),
    )


def _observation_spec(folder: Path, about: Mapping[str, Any]) -> ObservationSpec:
    try:
        return ObservationSpec(tuple(about["frame_shape"]), stack_size=about["stack_size"])
    except ValueError as error:
        raise Damaged(f"{folder / about_file.NAME}: frame_shape: {error}") from error


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
    run = Path(os.path.abspath(folder)).parent  # as it is called, wherever links lead to
    if not run.name.isdecimal():
        raise ConfigError(f"{folder}: expected GAME/RUN/replay_logs, RUN a number")
    return {
        "suite": "atari",
        "game": run.parent.name,
        "run": int(run.name),
        "num_actions": None,
        "frame_shape": (84, 84, 1),
        "stack_size": 4,
        "protocol": {"rewards": "clipped"},
    }


def problems(run: DQNReplayRun, watch: Watch = lambda _: None) -> Iterator[str]:
    """Reads every file of a run to its end, and says what is wrong, a line for each thing.

    Checkpoints that are absent as a whole are not: a run may be there in part.

    Args:
        watch: told, as frames are read, how many more; raises to stop.
    """
    yield from (f"{run.folder}: {gap}" for gap in run.lacking)
    unfinished = False
    for number in run.fields:
        num_frames, arrays = None, {}
        for name in sorted(run.fields[number]):
            try:
                if name == "observation":
                    num_frames = _read_frames(run, number, watch)
                else:
                    arrays[name] = read_field(run.folder, number, name)
                _require_digest(path_of(run.folder, name, number), run.digests, watch)
            except Damaged as error:
                yield str(error)
        yield from impossible(run.folder, number, arrays, num_frames, run.most_actions)
        ours = "invalid_range" in arrays and not arrays["invalid_range"].size
        unfinished |= ours and run.digests is None
    if unfinished:
        yield f"{run.folder}: {UNFINISHED}"


def num_rows(run: DQNReplayRun) -> int:
    """How many frames `problems` tells of if all is well; looks at beginnings of files."""
    total = 0
    for number in run.fields:
        with suppress(Damaged), open_frames(run.folder, number, run.observation_spec) as file:
            total += file.shape[0]
    return total


def _read_frames(run: DQNReplayRun, number: int, watch: Watch) -> int:
    """How many there are in a checkpoint; reads them all. Raises `Damaged`."""
    with open_frames(run.folder, number, run.observation_spec) as file:
        while (rows := min(_PIECE_ROWS, file.shape[0] - file.row)) > 0:
            file.skip_to(file.row + rows)
            watch(rows)
        file.end()
        return file.shape[0]


def _require_digest(
    path: Path, digests: Mapping[str, Mapping[str, Any]] | None, watch: Watch
) -> None:
    """Raises `Damaged` unless a file is the one that `about.json` lists, if there is one."""
    if digests is None:
        return
    listed = digests.get(path.name)
    if listed is None:
        raise Damaged(f"{path}: not listed in {about_file.NAME}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
            watch(0)
    for name, value in (("bytes", path.stat().st_size), ("sha256", digest.hexdigest())):
        if listed.get(name) != value:
            said = f"{about_file.NAME} says {listed.get(name)}"
            raise Damaged(f"{path}: {name} {value}, but {said}")
