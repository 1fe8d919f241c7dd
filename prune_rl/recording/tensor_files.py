"""Files of arrays with a digest: safetensors, which can be mapped into memory and run nothing.

What was written is described by a small JSON object; reading compares the file with it.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

Record = dict[str, Any]  # JSON: {"file": name below the root, "bytes": length, "sha256": hex}


class Damaged(Exception):  # noqa: N818
    """A file is not what was written; the message names it and says why, in one line."""


def write(root: Path, name: str, arrays: Mapping[str, np.ndarray]) -> Record:
    """Writes `arrays` to the file `name` below `root`, durably; returns what describes it.

    One that is there is replaced as a whole. Raises `OSError`.
    """
    # It writes memory as it lies, without a copy; `ascontiguousarray` would give scalars an axis.
    own = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    return _write(root, name, lambda part: save_file(own, part))


def write_bytes(root: Path, name: str, data: bytes) -> Record:
    """The same with any `data`."""
    return _write(root, name, lambda part: part.write_bytes(data))


def _write(root: Path, name: str, write_to: Callable[[Path], Any]) -> Record:
    path = root / name
    part = path.with_name(f"{path.name}.part")
    _make_folder(path.parent)
    if part.exists():  # of a process that was killed
        part.unlink()
    part.touch()
    as_others = stat.S_IMODE(part.stat().st_mode)
    try:
        write_to(part)
    except SafetensorError as error:
        reason = re.sub(r"^.*I/O error: | \(os error \d+\)$", "", str(error))
        raise OSError(reason) from error
    part.chmod(as_others)  # safetensors writes a file that its owner alone may read
    with part.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if path.is_dir():  # no file of ours; nothing replaces a folder
        shutil.rmtree(path)
    part.replace(path)
    sync_folder(path.parent)
    return {"file": name, "bytes": size, "sha256": digest}


def read(root: Path, record: Record) -> dict[str, np.ndarray]:
    """The arrays that `write` described by `record`.

    Raises:
        Damaged: the file is gone or differs.
    """
    try:
        data = (root / record["file"]).read_bytes()
    except OSError as error:
        raise Damaged(f"{record['file']}: {error.strerror or error}") from error
    if len(data) != record["bytes"]:
        raise Damaged(f"{record['file']}: {len(data):,} bytes, not {record['bytes']:,}")
    if hashlib.sha256(data).hexdigest() != record["sha256"]:
        raise Damaged(f"{record['file']}: its bytes are not those that were written")
    return load(data)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
