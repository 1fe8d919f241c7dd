"""Reads parts of datasets, several at a time, into the rows of one ring."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np

from prune_rl.datasets.experience import Part
from prune_rl.progress import Bar, in_numbers
from prune_rl.replay.ring import ROW_FIELDS, FrameRing, row_dtypes
from prune_rl.specs import ActionSpec, ObservationSpec

_MOST_THREADS = 8
_BESIDE_FRAMES = ROW_FIELDS[1:]
Groups = Sequence[Sequence[Part]]
Write = Callable[[int, np.ndarray], object]  # a row, and frames from it on


class Loaded(NamedTuple):
    """What was read.

    Attributes:
        ring: of one seed's rows; those of a part lie together.
        starts: of each group of parts, positions (T,) int64 of its transitions.
    """

    ring: FrameRing
    starts: Sequence[np.ndarray]


class OnDisk(NamedTuple):
    """Where frames are kept that memory does not hold.

    Attributes:
        path: a folder; filled unless it holds them already.
        cache_bytes: of memory, for those used last.
        identity: of the data and the share of them.
    """

    path: Path
    cache_bytes: int
    identity: str


def load(groups: Groups, observation_spec: ObservationSpec, action_spec: ActionSpec) -> Loaded:
    """Reads every part of every group into memory.

    Raises:
        Damaged: a file is not what it should be.
    """
    places = _places(groups)
    ring = FrameRing(1, _end(groups, places), observation_spec, action_spec)
    fields = ring.fields_of(0)
    frames = fields["frames"]

    def write(first: int, new: np.ndarray) -> None:
        frames[first : first + len(new)] = new

    return Loaded(ring, _read(groups, places, fields, write))


def load_on_disk(
    groups: Groups, observation_spec: ObservationSpec, action_spec: ActionSpec, on_disk: OnDisk
) -> Loaded:
    """The same, with frames in compressed chunks on disk; read at once if they are there.

    Raises:
        ConfigError: a file is damaged, or other data are there.
        OSError: there is no room.
    """
    from prune_rl.replay.chunks import ChunkWriter, open_chunks  # tensorstore is slow to import

    path, own = on_disk.path, {"identity": on_disk.identity}
    dtypes = row_dtypes(observation_spec, action_spec)
    if open_chunks(path, cache_bytes=0, **own) is None:
        places = _places(groups)
        num_rows, frame = _end(groups, places), dtypes["frames"]
        fields = {name: np.zeros(num_rows, dtypes[name]) for name in _BESIDE_FRAMES}
        with ChunkWriter(path, num_rows, frame.shape, frame.base, **own) as writer:
            starts = _read(groups, places, fields, writer.write)
            writer.finish(fields | {f"starts {i}": x for i, x in enumerate(starts)})
    frames = open_chunks(path, cache_bytes=on_disk.cache_bytes, **own)
    assert frames is not None
    num_rows = len(frames.extra["ends"])
    ring = FrameRing(1, num_rows, observation_spec, action_spec, frames)
    for name in _BESIDE_FRAMES:
        getattr(ring, name)[:] = frames.extra[name]
    return Loaded(ring, [frames.extra[f"starts {i}"] for i in range(len(groups))])


def _places(groups: Groups) -> list[list[int]]:
    """The row at which each part begins."""
    places: list[list[int]] = []
    first = 0
    for group in groups:
        places.append([])
        for part in group:
            places[-1].append(first)
            first += part.num_rows
    return places


def _end(groups: Groups, places: Sequence[Sequence[int]]) -> int:
    return places[-1][-1] + groups[-1][-1].num_rows


def _read(
    groups: Groups,
    places: Sequence[Sequence[int]],
    fields: Mapping[str, np.ndarray],
    write: Write,
) -> list[np.ndarray]:
    """Fills `fields` (rows, ...) and writes frames; returns the starts of each group."""
    pool, abandoned = ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)), Event()
    total = sum(part.num_rows for group in groups for part in group)
    with Bar("reading frames", total, words=in_numbers) as bar:

        def tell(num_rows: int) -> None:
            if abandoned.is_set():
                raise RuntimeError("nobody waits for what is read")
            bar.advance(num_rows)

        def fill(part: Part, first: int) -> np.ndarray:
            return _fill(part, first, fields=fields, write=write, tell=tell)

        try:
            pairs = [list(zip(*own, strict=True)) for own in zip(groups, places, strict=True)]
            futures = [[pool.submit(fill, *pair) for pair in own] for own in pairs]
            # In order, so that the first that is damaged is the one that is named.
            return [np.concatenate([x.result() for x in own]) for own in futures]
        finally:
            abandoned.set()
            pool.shutdown(cancel_futures=True)


def _fill(
    part: Part,
    first: int,
    *,
    fields: Mapping[str, np.ndarray],
    write: Write,
    tell: Callable[[int], object],
) -> np.ndarray:
    """Reads one part to the rows from `first` on; returns the positions of its starts."""
    at, starts = first, [np.empty(0, np.int64)]
    for block in part.blocks():
        end = at + len(block.ends)
        if end > first + part.num_rows:
            raise RuntimeError(f"{part.name}: more rows than the {part.num_rows} it said")
        write(at, block.frames)
        for name in _BESIDE_FRAMES:
            fields[name][at:end] = getattr(block, name)
        starts.append(at + np.flatnonzero(block.starts))
        tell(end - at)
        at = end
    return np.concatenate(starts)
