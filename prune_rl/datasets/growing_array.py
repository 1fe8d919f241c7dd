"""An array on disk that grows row by row: a gzip of what `np.save` would write of the whole."""

import hashlib
import io
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prune_rl.datasets.gzip_files import fastest_zlib

_GZIP = 31  # zlib's number for its format with a header of gzip's
_FAST = 1


class GrowingArray:
    """Rows are compressed as they come, so nothing but the compressor's window is held in memory.

    The header of `np.save` says how many rows there are, which is known last. It is a gzip member
    of its own that is stored, not compressed: NumPy pads it for any number of rows, so it can be
    written over in place. Readers of gzip take members one after another for one stream.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: type[np.generic]) -> None:
        """Raises `OSError`, as everything here does."""
        self.path, self.num_rows = path, 0
        self._row_shape, self._dtype = row_shape, np.dtype(dtype)
        self._deflate = fastest_zlib().compressobj(_FAST, zlib.DEFLATED, _GZIP)
        self._file = path.open("wb")
        self._file.write(self._header())

    def append(self, rows: npt.ArrayLike) -> None:
        """Adds `rows` (n, *row_shape) or a single one (*row_shape)."""
        own = np.asarray(rows, self._dtype, order="C").reshape(-1, *self._row_shape)
        self._file.write(self._deflate.compress(own.tobytes()))
        self.num_rows += len(own)

    def finish(self) -> dict[str, Any]:
        """Puts all of it on disk; returns its "bytes" and "sha256" (hex)."""
        self._file.write(self._deflate.flush())
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return described(self.path)

    def abandon(self) -> None:
        """Closes the file as it is."""
        with suppress(OSError):  # what it still holds in memory may not fit on the disk
            self._file.close()

    def _header(self) -> bytes:
        shape, text = (self.num_rows, *self._row_shape), io.BytesIO()
        descr = np.lib.format.dtype_to_descr(self._dtype)
        fields = {"descr": descr, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(text, fields)
        return zlib.compress(text.getvalue(), 0, _GZIP)


def described(path: Path) -> dict[str, Any]:
    """How many "bytes" a file has, and their "sha256" in hexadecimal digits."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}
