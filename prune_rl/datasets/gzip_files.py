"""gzip by the fastest library installed: zlib-ng, else ISA-L, else zlib."""

import gzip
import importlib
import io
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from prune_rl.datasets.experience import Damaged
from prune_rl.errors import first_line

_PIECE = 1 << 17  # bytes that are decompressed at once: they stay in the processor's cache
# The streaming forms, and where their errors are; decompressing all at once is slower.
_FAST = (("zlib_ng.gzip_ng", "zlib_ng.zlib_ng"), ("isal.igzip", "isal.isal_zlib"))


def _decompressor() -> tuple[Callable[..., Any], tuple[type[Exception], ...]]:
    """Something like `gzip.open`, and what it raises for bytes that make no sense."""
    errors: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error)
    for streaming, compression in _FAST:
        try:
            own = importlib.import_module(compression).error
            return importlib.import_module(streaming).open, (*errors, own)
        except ImportError:
            continue
    return gzip.open, errors


def fastest_zlib() -> Any:
    """zlib, or what does the same faster, where it is installed: `compressobj` to write with."""
    for _, compression in _FAST:
        with suppress(ImportError):
            return importlib.import_module(compression)
    return zlib


def open_gzip(path: Path) -> "GzipReader":
    """Opens a file for reading from its beginning to its end.

    Raises:
        Damaged: it cannot be opened; reading raises it too.
    """
    try:
        return GzipReader(path, path.open("rb"))
    except OSError as error:
        raise Damaged(f"{path}: cannot be opened: {error.strerror}") from error


class GzipReader(io.RawIOBase):
    """The decompressed bytes of a file; a read comes short only at the file's end.

    The checksum stands at the end and is compared when the end is read: read until nothing comes.

    Attributes: `offset`, how many decompressed bytes were read.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        decompress, self._errors = _decompressor()
        self._path, self._file = path, file
        self._decompressed = decompress(file, "rb")
        self.offset = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer`, any writable bytes; returns how many there were.

        Raises:
            Damaged: names the file, and the offsets in it and in what it holds.
        """
        view = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(view):
            piece = self._read(min(_PIECE, len(view) - filled))
            if not piece:
                break
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
        return filled

    def skip(self, size: int | None = None) -> int:
        """Reads `size` bytes, or all to the end, and forgets them; returns how many there were."""
        skipped = 0
        while size is None or skipped < size:
            piece = self._read(_PIECE if size is None else min(_PIECE, size - skipped))
            if not piece:
                break
            skipped += len(piece)
        return skipped

    def _read(self, size: int) -> bytes:
        try:
            piece = self._decompressed.read(size)
        except self._errors as error:
            raise Damaged(f"{self._path}: {self._reason(error)}") from error
        self.offset += len(piece)
        return piece

    def _reason(self, error: Exception) -> str:
        read = f"after {self.offset:,} decompressed bytes"
        if isinstance(error, EOFError):
            return f"truncated: the file ends at byte {self._path.stat().st_size:,}, {read}"
        return f"damaged before byte {self._file.tell():,}, {read}: {first_line(error)}"

    def close(self) -> None:
        self._file.close()
        super().close()
