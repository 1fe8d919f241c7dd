"""HDF5 files, read a few megabytes at a time; what is wrong with one is said in one line.

They are written by way of memory: HDF5 itself does not survive a disk that is full, and ends the
process when the next file is closed.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import ConfigError, first_line

BLOCK_ROWS = 1 << 14  # of vectors: a megabyte or two
_MEMORY_BLOCK = 1 << 22  # bytes by which a file in memory grows


def h5py() -> Any:
    """The package; raises `ConfigError` where it is not installed."""
    try:
        import h5py
    except ImportError as error:
        what = "HDF5 files are read and written by h5py, which is not installed"
        raise ConfigError(f"{what}: pip install 'prune_rl[d4rl]'") from error
    return h5py


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, to read.

    Raises:
        ConfigError: h5py is not installed.
        Damaged: it is no HDF5, or not all of it, as the message then says.
    """
    try:
        file = h5py().File(path, "r", locking=False)
    except OSError as error:
        raise Damaged(f"{path}: cannot be read: {first_line(error)}") from error
    with file:
        yield file


def in_memory(path: Path, **settings: Any) -> Any:
    """A new h5py file that `write` puts on disk. Raises `ConfigError` where there is no h5py."""
    settings |= {"driver": "core", "backing_store": False, "block_size": _MEMORY_BLOCK}
    return h5py().File(f"{path} in memory", "w", **settings)


def write(file: Any, path: Path) -> None:
    """Closes a file `in_memory`, and puts it on disk, for good. Raises `OSError`."""
    with file:
        file.flush()
        content = file.id.get_file_image()
    with path.open("wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())


def array_at(group: Any, name: str, shape: tuple[int | None, ...]) -> Any:
    """The h5py dataset of numbers of that name, whose rows are read by `rows_of`.

    Args:
        group: of h5py, or a file.
        shape: that it must have, None for any length; trailing axes of 1 are as if not there.

    Raises:
        Damaged: there is none, or it is another.
    """
    found = group.get(name)
    where = f"{group.file.filename}: {group.name.strip('/')} {name}".replace(":  ", ": ")
    if not isinstance(found, h5py().Dataset):
        raise Damaged(f"{where}: missing")
    own = found.shape[:1] if found.shape[1:] == (1,) and len(shape) == 1 else found.shape
    fits = len(own) == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, own, strict=True)
    )
    if not fits or found.dtype.kind not in "biuf":
        expected = ", ".join("n" if size is None else str(size) for size in shape)
        raise Damaged(f"{where}: {found.dtype} {found.shape}, expected numbers ({expected})")
    return found


def rows_of(array: Any, first: int, last: int, *, finite: bool = True) -> np.ndarray:
    """Rows `first` to `last` - 1 of an h5py dataset, float32, without a trailing axis of 1 alone.

    Raises:
        Damaged: they do not decompress, or one is not finite.
    """
    where = f"{array.file.filename}: {array.name.strip('/')}"
    try:
        values: np.ndarray = array.astype(np.float32)[first:last]
    except (OSError, RuntimeError) as error:
        said = first_line(error)
        raise Damaged(f"{where}: rows {first:,} to {last:,} cannot be read: {said}") from error
    if finite and not np.isfinite(values).all():
        row, *_ = np.argwhere(~np.isfinite(values))[0].tolist()
        (number, *_) = values[row][~np.isfinite(values[row])].reshape(-1)
        raise Damaged(f"{where}: row {first + row:,} has {number}, expected finite numbers")
    return values


def flags_of(array: Any) -> np.ndarray:
    """All of an h5py dataset (n,) or (n, 1) of 0 and 1, as (n,) bool.

    Raises:
        Damaged: it cannot be read, or holds another number.
    """
    values = rows_of(array, 0, len(array)).reshape(-1)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        where = f"{array.file.filename}: {array.name.strip('/')}"
        raise Damaged(f"{where}: row {row:,} is {values[row]}, expected 0 or 1")
    return values == 1


def text_at(group: Any, name: str) -> str | None:
    """A text that is an h5py dataset of its own, None where there is none."""
    found = group.get(name)
    if not isinstance(found, h5py().Dataset) or found.shape != ():
        return None
    value = found[()]
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def one_length(path: Path, arrays: Mapping[str, Any]) -> int:
    """How many rows all of these h5py datasets have; raises `Damaged` unless it is one number."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length:,} {name}" for name, length in lengths.items())
        raise Damaged(f"{path}: {told}; expected as many of each")
    return next(iter(lengths.values()))
