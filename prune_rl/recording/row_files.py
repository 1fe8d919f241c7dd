"""Rows of a growing sequence in files that are written once: a checkpoint adds what is new."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prune_rl.recording import tensor_files
from prune_rl.state import Piece, Rows

# JSON: {"first", "last", "capacity", "row_bytes",
#        "files": [tensor_files.Record | {"first", "last"}]}
RowsRecord = dict[str, Any]


def write_new(root: Path, folder: str, rows: Rows, before: RowsRecord | None) -> RowsRecord:
    """Writes those of `rows` that `before`, what is on disk already, lacks; a file for each piece.

    Returns what describes all of them. Raises `OSError`.
    """
    files = [own for own in before["files"] if own["last"] > rows.first] if before else []
    for first, fields in rows.pieces(_first_unwritten(rows, before)):
        last = first + len(next(iter(fields.values())))
        name = f"{folder}/{first:012d}-{last:012d}.safetensors"
        files.append({"first": first, "last": last} | tensor_files.write(root, name, fields))
    own = {name: getattr(rows, name) for name in ("first", "last", "capacity", "row_bytes")}
    return own | {"files": files}


def rows_to_spare(rows: Rows, before: RowsRecord | None) -> int:
    """How many rows may be added before one is overwritten that `write_new` has yet to read."""
    # The next row has position last + 1, and overwrites last + 1 - capacity.
    return _first_unwritten(rows, before) + rows.capacity - rows.last - 1


def _first_unwritten(rows: Rows, before: RowsRecord | None) -> int:
    return max(rows.first, before["last"] if before else 0)


def stored(root: Path, record: RowsRecord) -> Rows:
    """The rows that `record` describes, read file by file; reading raises `Damaged`."""

    def pieces(start: int) -> Iterator[Piece]:
        for own in record["files"]:
            first = max(own["first"], start)
            if first < own["last"]:
                fields = tensor_files.read(root, own)
                yield first, {name: x[first - own["first"] :] for name, x in fields.items()}

    own = {name: record[name] for name in ("first", "last", "capacity", "row_bytes")}
    return Rows(**own, pieces=pieces)
