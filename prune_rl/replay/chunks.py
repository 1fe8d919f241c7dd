"""Frames on disk in compressed chunks, with a bounded cache: a dataset larger than RAM.

A store is a folder (`chunk_files.py` says what is in it). It is made under another name and
renamed when all of it is on disk, so what stands at its path is complete.
"""

import math
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tensorstore as ts
from numpy.typing import DTypeLike

from prune_rl.replay.chunk_files import (
    ANEW,
    FRAMES,
    ROWS_PER_SHARD,
    array_spec,
    file_sizes,
    naming,
    read_about,
    read_extra,
    refusal,
    rename,
    require_files,
    write_about,
    write_extra,
)

_THREADS = 2  # that decode; more cost CPU time and win none, a batch is 40 chunks


class ChunkedFrames:
    """Stands in for an array (num_rows + 1, *frame_shape) whose last row is zero, on disk.

    Attributes: `shape` and `dtype` of that array; `cache_bytes`, which decoded chunks take at most
    (a batch being read comes on top); `extra`, the arrays that were given to `ChunkWriter.finish`.
    """

    def __init__(
        self, path: Path, store: ts.TensorStore, about: Mapping[str, Any], cache_bytes: int
    ) -> None:
        num_rows, *frame_shape = about["shape"]
        self.shape, self.dtype = (num_rows + 1, *frame_shape), np.dtype(about["dtype"])
        self.cache_bytes = cache_bytes
        self.extra = read_extra(path, about["extra"])
        self._path, self._store, self._blank = path, store, num_rows
        self._zeros = np.zeros((1, math.prod(frame_shape)), self.dtype)

    def take(self, indices: np.ndarray, axis: int = 0) -> np.ndarray:
        """Flat frames (*indices.shape, prod(frame_shape)); any thread may ask.

        Runs of consecutive rows are read side by side, each row once.

        Raises:
          IndexError: an index is not in [0, num_rows].
          ConfigError: what is on disk is damaged; names the file.
        """
        if axis != 0:
            raise ValueError(f"take: axis {axis}, not 0")
        rows, places = np.unique(indices, return_inverse=True)
        if rows.size and not 0 <= rows[0] <= rows[-1] <= self._blank:
            raise IndexError(f"take: rows {rows[0]} to {rows[-1]} of {self._blank + 1}")
        stored = rows[rows < self._blank]
        with naming(self._path, "read"):
            reads = [self._store[first:end].read() for first, end in _runs(stored)]
            frames = np.concatenate([*(read.result() for read in reads), self._zeros])
        return frames.take(places.reshape(np.shape(indices)), axis=0)


def open_chunks(path: Path, *, identity: str, cache_bytes: int) -> ChunkedFrames | None:
    """The store at `path`, None if there is none; what `ChunkWriter` left unfinished is none.

    Raises:
      ConfigError: it holds other data than `identity` names, is no store, or is damaged.
    """
    with naming(path, "read"):
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            return None
        about = read_about(path)
        if about["identity"] != identity:
            other = "holds the frames of another dataset, share or seed"
            raise refusal(path, f"{other}; name another folder, or {ANEW}")
        require_files(path, about["files"])
        num_rows, *frame_shape = about["shape"]
        context = {
            "cache_pool": {"total_bytes_limit": cache_bytes},
            "data_copy_concurrency": {"limit": _THREADS},
        }
        spec = array_spec(path / FRAMES, num_rows, frame_shape, np.dtype(about["dtype"]))
        store = ts.open(spec, context=ts.Context(context), read=True).result()
        return ChunkedFrames(path, store, about, cache_bytes)


class ChunkWriter:
    """Writes a store; a context that, left before `finish`, deletes what it wrote.

    Threads may write disjoint rows at once, each a few megabytes at a time, in any pieces: nothing
    need be aligned. A shard waits in RAM (7 MiB of 84 x 84 bytes) until it is full, so a thread
    that writes in order holds two at most. Rows never written are zero.

    Args:
      path: what will be the store; its parent is made.
      num_rows: frames, without the blank row at the end.
      frame_shape, dtype: of one frame.
      identity: of the data, any text; `open_chunks` wants the same.

    Raises:
      ConfigError: something is there already, another process is writing it, or it cannot be
        written; also later, as when the disk is full.
    """

    def __init__(
        self,
        path: Path,
        num_rows: int,
        frame_shape: tuple[int, ...],
        dtype: DTypeLike,
        identity: str,
    ) -> None:
        self._path, self._partial = path, path.with_name(f"{path.name}.partial")
        self._num_rows, self._width = num_rows, math.prod(frame_shape)
        self._frame_shape, self._dtype = frame_shape, np.dtype(dtype)
        self._identity = identity
        self._complete, self._lock = False, threading.Lock()
        self._waiting: dict[int, np.ndarray] = {}  # shards by number, until they are full
        self._missing = [
            min(ROWS_PER_SHARD, num_rows - first) for first in range(0, num_rows, ROWS_PER_SHARD)
        ]

    def __enter__(self) -> Self:
        if open_chunks(self._path, identity=self._identity, cache_bytes=0) is not None:
            raise refusal(self._path, f"these frames are there already; open them, or {ANEW}")
        with naming(self._path, "written"):
            self._partial.mkdir(parents=True, exist_ok=True)
            self._folder = os.open(self._partial, os.O_RDONLY)
        try:
            self._start()
        except BaseException:
            os.close(self._folder)
            raise
        return self

    def _start(self) -> None:
        """Locks the folder, which ends with the process, and empties it of what was interrupted."""
        with naming(self._path, "written"):
            try:
                flock(self._folder, LOCK_EX | LOCK_NB)
            except BlockingIOError as error:
                problem = "another process is writing it; wait for it, or name another folder"
                raise refusal(self._path, problem) from error
            for left in self._partial.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            spec = array_spec(
                self._partial / FRAMES, self._num_rows, self._frame_shape, self._dtype
            )
            no_cache = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
            self._store = ts.open(spec, context=no_cache, create=True).result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._complete:
            shutil.rmtree(self._partial, ignore_errors=True)
        os.close(self._folder)

    def write(self, first: int, frames: np.ndarray) -> None:
        """Writes `frames` (n, *frame_shape), or flat ones, to rows `first` to `first` + n - 1.

        Raises:
          ValueError: they do not fit.
          ConfigError: as the class says.
        """
        end, frames = first + len(frames), frames.reshape(len(frames), -1)
        fitting = (self._width,) == frames.shape[1:] and frames.dtype == self._dtype
        if not (fitting and 0 <= first <= end <= self._num_rows):
            given = f"{frames.dtype} {frames.shape} at row {first:,}"
            raise ValueError(f"write: {given} of {self._num_rows:,} x {self._width} {self._dtype}")
        while first < end:
            shard, here = divmod(first, ROWS_PER_SHARD)
            count = min(ROWS_PER_SHARD - here, end - first)
            self._rows_of(shard)[here : here + count] = frames[:count]
            with self._lock:
                self._missing[shard] -= count
                full = None if self._missing[shard] else self._waiting.pop(shard)
            if full is not None:
                self._write_shard(shard, full)
            first, frames = first + count, frames[count:]

    def _rows_of(self, shard: int) -> np.ndarray:
        """Memory (ROWS_PER_SHARD or fewer, width) of a shard that is not full."""
        with self._lock:
            if shard not in self._waiting:
                rows = min(ROWS_PER_SHARD, self._num_rows - shard * ROWS_PER_SHARD)
                self._waiting[shard] = np.zeros((rows, self._width), self._dtype)
            return self._waiting[shard]

    def _write_shard(self, shard: int, rows: np.ndarray) -> None:
        first = shard * ROWS_PER_SHARD
        with naming(self._path, "written"):
            self._store[first : first + len(rows)].write(rows).result()

    def finish(self, extra: Mapping[str, np.ndarray] | None = None) -> None:
        """Makes the store complete and durable, once every thread has written; `extra` arrays."""
        for shard, missing in enumerate(self._missing):
            if missing:
                self._write_shard(shard, self._rows_of(shard))
                del self._waiting[shard]
        with naming(self._path, "written"):
            about = {
                "identity": self._identity,
                "shape": [self._num_rows, *self._frame_shape],
                "dtype": self._dtype.name,
                "files": file_sizes(self._partial / FRAMES),
                "extra": write_extra(self._partial, extra or {}),
            }
            write_about(self._partial, about)
            rename(self._partial, self._path)
        self._complete = True


def _runs(rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """[first, end) of every run of consecutive numbers in sorted `rows`."""
    ends = np.flatnonzero(np.diff(rows, append=-1) != 1)
    begins = np.append(0, ends[:-1] + 1)
    return zip(rows[begins[: len(ends)]].tolist(), (rows[ends] + 1).tolist(), strict=True)
