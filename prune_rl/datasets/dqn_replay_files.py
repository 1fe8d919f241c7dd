"""The files of one checkpoint of a DQN-replay directory: rows of a circular buffer, as arrays.

Layout: github.com/google-research/batch_rl, `replay_logs/`; see `Cursor` for the order of rows.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.array_files import ArrayFile, read_whole
from prune_rl.datasets.experience import Damaged
from prune_rl.specs import ObservationSpec

FIELDS = ("observation", "action", "reward", "terminal")  # which every checkpoint must have
_DTYPES = {
    "action": np.int32,
    "reward": np.float32,
    "terminal": np.uint8,
    "truncation": np.uint8,
    "add_count": None,
    "invalid_range": None,
}
_BY_ROW = ("action", "reward", "terminal", "truncation")
_NAME = re.compile(
    r"(?:\$store\$_(observation|action|reward|terminal)|(add_count|invalid_range|truncation))"
    r"_ckpt\.(0|[1-9]\d*)\.gz"
)

Arrays = Mapping[str, np.ndarray]  # by field, but for the observation


def path_of(folder: Path, field: str, number: int) -> Path:
    """The file of a field in checkpoint `number`."""
    return folder / f"{'$store$_' if field in FIELDS else ''}{field}_ckpt.{number}.gz"


def number_of(name: str) -> int | None:
    """Which checkpoint a file belongs to by its name; None: to none."""
    match = _NAME.fullmatch(name)
    return int(match[3]) if match else None


def in_ranges(numbers: Sequence[int]) -> str:
    """Rising numbers: '3-7, 9'."""
    firsts = [i for i in numbers if i - 1 not in numbers]
    lasts = [i for i in numbers if i + 1 not in numbers]
    ranges = zip(firsts, lasts, strict=True)
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def checkpoints_in(folder: Path) -> dict[int, set[str]]:
    """Which fields stand in `folder`, of each checkpoint, by number in rising order."""
    found: dict[int, set[str]] = {}
    for path in folder.iterdir():
        if match := _NAME.fullmatch(path.name):
            found.setdefault(int(match[3]), set()).add(match[1] or match[2])
    return dict(sorted(found.items()))


class Cursor(NamedTuple):
    """Where a circular buffer of n rows stood when it was written to disk.

    Rows before `row` are the newest, in the order of time; those from `row` on are of the cycle
    before, or were never written.

    Attributes:
        row: the next to be written, 0 to n.
        added: rows added to the buffer until then; None where the files do not say.
        in_order: whether the file holds n new rows in the order of time, as our own do.
    """

    row: int
    added: int | None
    in_order: bool

    @property
    def origin(self) -> int | None:
        """How many rows were added before row 0; None where the files do not say."""
        return None if self.added is None else self.added - self.row


class Rows(NamedTuple):
    """All of n rows but their frames, (n,) each."""

    actions: np.ndarray  # int32
    rewards: np.ndarray  # float32
    terminals: np.ndarray  # uint8, 0 or 1
    truncations: np.ndarray  # uint8: 1 truncated by this transition, 2 the observation after it


class Checkpoint(NamedTuple):
    """One checkpoint: its small files, read, and where its frames are."""

    folder: Path
    number: int
    rows: Rows
    cursor: Cursor

    @property
    def size(self) -> int:
        """n, its rows."""
        return len(self.rows.actions)

    def follows(self, other: "Checkpoint") -> bool:
        """Whether its row 0 came right after the last row of `other`."""
        both = self.cursor.in_order and other.cursor.in_order
        return both and self.cursor.origin == other.cursor.added


def open_frames(folder: Path, number: int, spec: ObservationSpec) -> ArrayFile:
    """The frames of checkpoint `number`, uint8 (n, ...); a last axis of 1 need not be there."""
    shape = spec.frame_shape
    file = ArrayFile(path_of(folder, "observation", number))
    without_channel = shape[:-1] if shape[-1] == 1 and file.shape[1:] != shape else shape
    try:
        file.require(np.uint8, without_channel)
    except Damaged:
        file.close()
        raise
    return file


def read_checkpoint(
    folder: Path, number: int, fields: set[str], spec: ObservationSpec, num_actions: int
) -> Checkpoint:
    """Reads all `fields` it has but the frames, of which it looks at the header.

    Raises:
        Damaged: a file is cut, or of another dtype or length, or a value is impossible.
    """
    arrays = {name: read_field(folder, number, name) for name in sorted(fields - {"observation"})}
    with open_frames(folder, number, spec) as frames:
        for message in impossible(folder, number, arrays, frames.shape[0], num_actions):
            raise Damaged(message)
    size = len(arrays["action"])
    truncations = arrays.get("truncation", np.zeros(size, np.uint8))
    rows = Rows(arrays["action"], arrays["reward"], arrays["terminal"], truncations)
    return Checkpoint(folder, number, rows, cursor_of(arrays))


def read_field(folder: Path, number: int, field: str) -> np.ndarray:
    """One of the small arrays. Raises `Damaged`: the file is cut, or of another dtype or form."""
    path = path_of(folder, field, number)
    array = read_whole(path, _DTYPES[field])
    if field == "add_count" and (array.size != 1 or array.dtype.kind not in "iu"):
        raise Damaged(f"{path}: {array.dtype} {array.shape}, expected one integer")
    return array


def cursor_of(arrays: Arrays) -> Cursor:
    """Where the buffer stood; of files that do not say, where published ones stand."""
    size = len(arrays["action"])
    if "add_count" not in arrays or "invalid_range" not in arrays:
        return Cursor(max(size - 1, 0), None, in_order=False)
    added = int(arrays["add_count"][0])
    if arrays["invalid_range"].size == 0:
        return Cursor(size, added, in_order=True)
    # A buffer that was filled to its last row, and one that was not begun, look alike.
    row = size if added and added % size == 0 else added % max(size, 1)
    return Cursor(row, added, in_order=False)


def impossible(
    folder: Path, number: int, arrays: Arrays, num_frames: int | None, num_actions: int
) -> Iterator[str]:
    """What is wrong with the fields of a checkpoint that could be read, a line for each."""
    lengths = {name: len(arrays[name]) for name in _BY_ROW if name in arrays}
    lengths |= {} if num_frames is None else {"observation": num_frames}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        yield f"{folder}: checkpoint {number}: files of unequal lengths: {listed}"
        return
    for name, expected, wrong in _judged(arrays, num_actions):
        if (rows := np.flatnonzero(wrong)).size:
            value, path = arrays[name][rows[0]], path_of(folder, name, number)
            more = f" ({len(rows) - 1:,} more such rows)" if len(rows) > 1 else ""
            yield f"{path}: row {rows[0]}: {name} {value}, expected {expected}{more}"


def _judged(arrays: Arrays, num_actions: int) -> Iterator[tuple[str, str, np.ndarray]]:
    """Field, what is expected of it, and which rows are not so."""
    if (actions := arrays.get("action")) is not None:
        yield "action", f"0 to {num_actions - 1}", (actions < 0) | (actions >= num_actions)
    if (rewards := arrays.get("reward")) is not None:
        yield "reward", "a finite number", ~np.isfinite(rewards)
    if (terminals := arrays.get("terminal")) is not None:
        yield "terminal", "0 or 1", terminals > 1
    if (kinds := arrays.get("truncation")) is not None:
        yield "truncation", "0, 1 or 2", kinds > 2
        yield "truncation", "2 in the row after a 1", _follows(kinds, 1) & (kinds != 2)
        yield "truncation", "a 1 in the row before", ~_follows(kinds, 1, first=True) & (kinds == 2)
        if terminals is not None:
            yield "truncation", "0 where terminal is 0", (kinds > 0) & (terminals == 0)
    if (added := arrays.get("add_count")) is not None and actions is not None:
        in_order = arrays.get("invalid_range", np.ones(1)).size == 0
        least = len(actions) if in_order else 0
        yield "add_count", f"at least {least}", added < least


def _follows(values: np.ndarray, before: int, first: bool = False) -> np.ndarray:
    """Which rows come after one of value `before`; of the `first`, what is said."""
    return np.concatenate([[first], values[:-1] == before])[: len(values)]
