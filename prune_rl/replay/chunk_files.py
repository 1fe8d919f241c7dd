"""The folder in which frames lie on disk: its files, what is said of them, what is wrong with them.

`frames/` is a zarr array of shards (tensorstore; zstd, a CRC-32C per chunk), `extra.safetensors`
holds small arrays beside the frames, `about.json` says what was written.

Chunk and codec were chosen by measurement: chunks of 4 to 16 frames of 84 x 84 cost a batch the
same time, 32 more; those of 16 take a fifth less disk than those of 8, and zstd half that of lz4.
Shards keep 50M frames in 49,000 files. `benchmarks/out_of_core.py` measures what was chosen.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from prune_rl.errors import ConfigError

ROWS_PER_CHUNK, ROWS_PER_SHARD = 16, 1024
FRAMES = "frames"
ANEW = "delete it, and it is made anew"  # said of stores alone
_ELSEWHERE = "name another folder"

_ABOUT, _EXTRA = "about.json", "extra.safetensors"
_ARRAY = "zarr.json"  # says the form of the frames, in their folder
_FORMAT, _ZSTD_LEVEL = 1, 3
# What tensorstore puts around its reasons; where it and safetensors quote the operating system.
_AROUND = re.compile(r"^[A-Z_]+: | \[\w+='.*$", re.DOTALL)
_ERRNO = re.compile(r"os[ _]error(?:_code='| )(\d+)")


def array_spec(
    folder: Path, num_rows: int, frame_shape: tuple[int, ...] | list[int], dtype: np.dtype
) -> dict[str, Any]:
    """How tensorstore is to open an array (num_rows, width): as written, with nothing left out."""
    width = math.prod(frame_shape)
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    zstd = {"name": "zstd", "configuration": {"level": _ZSTD_LEVEL}}
    chunks = {"chunk_shape": [ROWS_PER_CHUNK, width], "codecs": [little, zstd, {"name": "crc32c"}]}
    shards = {"chunk_shape": [ROWS_PER_SHARD, width]}
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(folder)},
        "metadata": {
            "shape": [num_rows, width],
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": shards},
            "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},  # one folder
            "codecs": [{"name": "sharding_indexed", "configuration": chunks}],
        },
        # Zeros are stored like anything else, so that a chunk which is not there is an error.
        "store_data_equal_to_fill_value": True,
        "fill_missing_data_reads": False,
        "recheck_cached_data": False,
        "recheck_cached_metadata": False,
    }


def refusal(path: Path, problem: str) -> ConfigError:
    """Names the binding that named the folder."""
    return ConfigError(f"Dataset.chunks={str(path)!r}: {problem}")


@contextlib.contextmanager
def naming(path: Path, done: str) -> Iterator[None]:
    """Says of an error of the operating system or of tensorstore, in one line, where it was."""
    try:
        yield
    except ConfigError:
        raise
    except (OSError, ValueError, NotImplementedError, SafetensorError) as error:
        number = _ERRNO.search(str(error))
        reason = os.strerror(int(number[1])) if number else getattr(error, "strerror", None)
        damage = f"damaged: {' '.join(_AROUND.sub('', str(error)).split())}"
        damage += f"; {ANEW if _is_ours(path) else _ELSEWHERE}"
        raise refusal(path, f"cannot be {done}: {reason}" if reason else damage) from error


def read_about(path: Path) -> dict[str, Any]:
    """What was written: identity, shape (num_rows, *frame_shape), dtype, files, extra's digest."""
    try:
        about = json.loads((path / _ABOUT).read_bytes())
        if about.pop("sha256") == _seal(about) and about["format"] == _FORMAT:
            return about
        problem = "made by another version, or damaged"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        problem = f"no folder of chunks, its {_ABOUT} cannot be read"
    advice = f"{_ELSEWHERE}, or {ANEW}" if _is_ours(path) else _ELSEWHERE
    raise refusal(path, f"{problem}; {advice}")


def _is_ours(path: Path) -> bool:
    """Whether a folder looks like a store: a user may have named one of anything."""
    return (path / _ABOUT).is_file() and (path / FRAMES / _ARRAY).is_file()


def require_files(path: Path, expected: Mapping[str, int]) -> None:
    """Raises `ConfigError` unless all of `expected`, their bytes by name, are there."""
    sizes = file_sizes(path / FRAMES)
    changed = sorted(name for name, size in expected.items() if sizes.get(name) != size)
    if changed:
        first = f"{FRAMES}/{changed[0]}"
        raise refusal(path, f"damaged: {first} is gone or has another length; {ANEW}")


def write_extra(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    """Writes `arrays` beside the frames, durably; returns their digest."""
    file = path / _EXTRA
    file.touch()
    as_others = stat.S_IMODE(file.stat().st_mode)
    save_file({name: np.asarray(array, order="C") for name, array in arrays.items()}, file)
    file.chmod(as_others)  # safetensors writes a file that its owner alone may read
    _sync(file)
    return _digest(file)


def read_extra(path: Path, digest: str) -> dict[str, np.ndarray]:
    """The arrays of `write_extra`; raises `ConfigError` if they are not those of `digest`."""
    if _digest(path / _EXTRA) != digest:
        raise refusal(path, f"damaged: {_EXTRA} is not what was written; {ANEW}")
    return load_file(path / _EXTRA)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file in `folder`, {} where there is none."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as found:
        return {entry.name: entry.stat().st_size for entry in found}


def write_about(path: Path, about: Mapping[str, Any]) -> None:
    """Says what was written, durably, and makes every name in the folder durable."""
    about = {"format": _FORMAT, **about}
    (path / _ABOUT).write_text(json.dumps({**about, "sha256": _seal(about)}))
    for written in (path / _ABOUT, path / FRAMES, path):
        _sync(written)


def _seal(about: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def rename(path: Path, new: Path) -> None:
    """Gives a folder its name, durably."""
    path.rename(new)
    _sync(new.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
