"""Arrays in files that hold a gzip of `np.save`, read row after row."""

import math
import re
from pathlib import Path
from types import TracebackType

import numpy as np

from prune_rl.datasets.experience import Damaged
from prune_rl.datasets.gzip_files import open_gzip

_MOST = 1032  # times a file's size is the most that gzip can hold in it (zlib.net/zlib_tech.html)
# Read without NumPy, which asks `ast`: in threads of CPython 3.11 that fails at times (gh-106905).
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|][biuf][1248])', 'fortran_order': (?P<by_columns>True|False), "
    r"'shape': \((?P<shape>[\d, ]*)\), \} *\n"
)


class ArrayFile:
    """One array, open for reading from its first row to its last; a context manager.

    Attributes: `path`; `shape` and `dtype` of the array; `row`, the next that is read.

    Raises:
        Damaged: the file does not begin as an array does.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.row = path, 0
        self._file = open_gzip(path)
        try:
            self.shape, self.dtype = self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> tuple[tuple[int, ...], np.dtype]:
        start = self._file.read(10) or b""
        # Version 1, as NumPy writes unless there are thousands of fields.
        text = (self._file.read(int.from_bytes(start[8:], "little")) or b"").decode("latin1")
        match = _HEADER.fullmatch(text)
        if not start.startswith(b"\x93NUMPY\x01\x00") or not match:
            raise Damaged(f"{self.path}: not an array of numbers as np.save writes it")
        shape = tuple(int(size) for size in match["shape"].split(",") if size.strip())
        dtype = np.dtype(match["dtype"])
        size = self.path.stat().st_size
        by_columns = match["by_columns"] == "True" and len(shape) > 1
        if by_columns or math.prod(shape) * dtype.itemsize > _MOST * size:
            raise Damaged(f"{self.path}: {dtype} {shape} in {size:,} bytes, which cannot be read")
        return shape, dtype

    def require(self, dtype: type[np.generic] | None, shape: tuple[int, ...]) -> None:
        """Raises `Damaged` unless it is of this dtype (None: of any numbers) and (n, *shape)."""
        fits = self.dtype.kind in "iuf" if dtype is None else self.dtype == np.dtype(dtype)
        if not fits or len(self.shape) != len(shape) + 1 or self.shape[1:] != shape:
            expected = f"{'numbers' if dtype is None else np.dtype(dtype)} {_in_words(shape)}"
            raise Damaged(f"{self.path}: {self.dtype} {self.shape}, expected {expected}")

    def read(self, rows: np.ndarray) -> None:
        """Fills `rows`, (k, ...) without holes and of the file's dtype, with the next k.

        Raises:
            Damaged: the file ends before, or does not decompress.
        """
        if self._file.readinto(rows.reshape(-1).view(np.uint8)) < rows.nbytes:
            self._say_it_is_short()
        self.row += len(rows)

    def skip_to(self, row: int) -> None:
        """Reads the rows before `row` and forgets them. Raises `Damaged` like `read`."""
        size = (row - self.row) * math.prod(self.shape[1:]) * self.dtype.itemsize
        if self._file.skip(size) < size:
            self._say_it_is_short()
        self.row = row

    def end(self) -> None:
        """Reads what is left, so that its checksum is compared; raises `Damaged` if it is wrong."""
        self.skip_to(self.shape[0] if self.shape else self.row)
        if extra := self._file.skip():
            raise Damaged(f"{self.path}: {extra:,} bytes more than the array {self.shape} takes")

    def _say_it_is_short(self) -> None:
        held = f"the data end at byte {self._file.offset:,}"
        raise Damaged(f"{self.path}: {held}, before the array {self.shape} of {self.dtype} does")

    def close(self) -> None:
        """Closes the file, read or not."""
        self._file.close()

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_whole(path: Path, dtype: type[np.generic] | None) -> np.ndarray:
    """A small array (n,), or a single number as (1,), of `dtype`; None: of any numbers.

    Raises:
        Damaged: as `ArrayFile` does.
    """
    with ArrayFile(path) as file:
        if file.shape != ():
            file.require(dtype, ())
        array = np.empty(file.shape or (1,), file.dtype)
        file.read(array)
        file.end()
    return array


def _in_words(shape: tuple[int, ...]) -> str:
    return f"(n, {', '.join(map(str, shape))})" if shape else "(n,)"
