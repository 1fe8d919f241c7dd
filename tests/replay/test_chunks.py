"""Frames on disk: what threads wrote is read back, within a cache; nothing that is half there."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from prune_rl.errors import ConfigError
from prune_rl.replay.chunk_files import ROWS_PER_CHUNK, ROWS_PER_SHARD
from prune_rl.replay.chunks import ChunkWriter, open_chunks

_SHAPE = (5, 3, 1)
_ROWS = 2 * ROWS_PER_SHARD + 77
_CACHE = 1 << 20


def _frames(num_rows=_ROWS, shape=_SHAPE, dtype=np.uint8):
    return np.random.default_rng(0).integers(1, 256, (num_rows, *shape)).astype(dtype)


def _write(path, frames, identity="data", extra=None):
    with ChunkWriter(path, len(frames), frames.shape[1:], frames.dtype, identity) as writer:
        writer.write(0, frames)
        writer.finish(extra)
    return path


def _open(path, cache_bytes=_CACHE):
    return open_chunks(path, identity="data", cache_bytes=cache_bytes)


@pytest.fixture(scope="module")
def in_ram():
    """An array as a ring has it: flat frames, and a last row of zeros."""
    return np.append(_frames().reshape(_ROWS, -1), np.zeros((1, 15), np.uint8), axis=0)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return _open(_write(tmp_path_factory.mktemp("chunks") / "store", _frames()))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_threads_wrote_in_uneven_pieces_is_read_back(tmp_path, dtype):
    frames, path = _frames(dtype=dtype), tmp_path / "new" / "store"
    bounds = [0, 1, 700, 1024, 1500, 2049, _ROWS]

    def write_range(writer, first, end, piece):
        for start in range(first, end, piece):
            writer.write(start, frames[start : min(start + piece, end)])

    with ChunkWriter(path, _ROWS, _SHAPE, dtype, "data") as writer:
        ranges = zip(bounds[:-1], bounds[1:], (1, 33, 1000, 64, 129, 5), strict=True)
        threads = [threading.Thread(target=write_range, args=(writer, *own)) for own in ranges]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not path.exists()
        writer.finish({"actions": np.arange(3), "starts": np.array([True, False])})
    chunks = _open(path)
    assert (chunks.shape, chunks.dtype) == ((_ROWS + 1, *_SHAPE), dtype)
    assert chunks.cache_bytes == _CACHE
    np.testing.assert_array_equal(chunks.take(np.arange(_ROWS)), frames.reshape(_ROWS, -1))
    np.testing.assert_array_equal(chunks.extra["actions"], [0, 1, 2])
    np.testing.assert_array_equal(chunks.extra["starts"], [True, False])
    assert os.listdir(tmp_path / "new") == ["store"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_every_file_has_the_mode_that_the_process_gives(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = _write(tmp_path / "store", _frames(), extra={"actions": np.arange(9)})
    finally:
        os.umask(before)
    files = [file for file in path.rglob("*") if file.is_file()]
    assert {file.name for file in files} > {"about.json", "extra.safetensors", "zarr.json"}
    assert {file.name: file.stat().st_mode & 0o777 for file in files} == {
        file.name: mode for file in files
    }


def test_rows_that_nobody_wrote_are_zero(tmp_path):
    frames = _frames()
    with ChunkWriter(tmp_path / "store", _ROWS, _SHAPE, np.uint8, "data") as writer:
        writer.write(10, frames[10:50])  # and nothing of the second shard
        writer.write(2 * ROWS_PER_SHARD, frames[2 * ROWS_PER_SHARD :].reshape(77, -1))
        writer.finish()
    expected = frames.reshape(_ROWS, -1).copy()
    expected[:10] = expected[50 : 2 * ROWS_PER_SHARD] = 0
    np.testing.assert_array_equal(_open(tmp_path / "store").take(np.arange(_ROWS)), expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_take_is_that_of_numpy_at_any_indices(store, in_ram, data):
    shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
    near = data.draw(st.sampled_from([1, ROWS_PER_CHUNK, ROWS_PER_SHARD, _ROWS]))
    row = st.one_of(st.integers(0, _ROWS), st.integers(near - 1, min(near + 4, _ROWS)))
    size = int(np.prod(shape))
    indices = data.draw(st.lists(row, min_size=size, max_size=size))
    indices = np.array(indices, np.int64).reshape(shape)
    found, expected = store.take(indices, axis=0), in_ram.take(indices, axis=0)
    np.testing.assert_array_equal(found, expected)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@pytest.mark.parametrize("indices", [[-1], [0, _ROWS + 1]])
def test_a_row_that_there_is_not_is_refused(store, indices):
    with pytest.raises(IndexError, match=f"of {_ROWS + 1}"):
        store.take(np.array(indices))


def _counted(name):
    """What tensorstore has counted in this process so far."""
    found = ts.experimental_collect_matching_metrics(f"/tensorstore/{name}")
    (metric,) = (metric for metric in found if metric["name"].endswith(name))
    return metric["values"][0]["value"]


def test_the_blank_row_touches_no_disk_and_a_row_is_read_once_for_a_batch(tmp_path):
    chunks = _open(_write(tmp_path / "store", _frames()), cache_bytes=0)
    chunks.take(np.arange(_ROWS))
    before = _counted("kvstore/file/read")
    assert not chunks.take(np.full((3, 4), _ROWS)).any()
    assert _counted("kvstore/file/read") == before
    chunks.take(np.array([5]))
    for_one = _counted("kvstore/file/read") - before
    assert for_one > 0
    chunks.take(np.array([[5, 5, 5], [6, _ROWS, 5]]))
    assert _counted("kvstore/file/read") == before + 2 * for_one


def test_what_fits_in_the_cache_is_read_from_disk_once(tmp_path):
    path = _write(tmp_path / "store", _frames())

    def bytes_of_a_second_pass(cache_bytes):
        chunks = _open(path, cache_bytes)
        chunks.take(np.arange(_ROWS))
        before = _counted("kvstore/file/bytes_read")
        for first in range(0, _ROWS, ROWS_PER_CHUNK):
            chunks.take(np.arange(first, min(first + ROWS_PER_CHUNK, _ROWS)))
        return _counted("kvstore/file/bytes_read") - before

    assert bytes_of_a_second_pass(_CACHE) == 0
    assert bytes_of_a_second_pass(4000) > 0.9 * _ROWS * 15  # noise, which nothing compresses


def test_the_cache_keeps_its_bound(tmp_path):
    num_rows, cache_bytes = 25_000, 8 << 20
    frames = np.zeros((num_rows, 84, 84, 1), np.uint8)  # 168 MiB that take little disk
    frames[:, 0, 0, 0] = np.arange(num_rows) % 251
    path = _write(tmp_path / "store", frames)
    del frames
    chunks, process = _open(path, cache_bytes), psutil.Process()
    most = before = process.memory_info().rss
    for first in range(0, num_rows, 500):
        rows = np.arange(first, first + 500)
        np.testing.assert_array_equal(chunks.take(rows)[:, 0], rows % 251)
        most = max(most, process.memory_info().rss)
    assert most - before < cache_bytes + (40 << 20)  # and a few batches of 3.5 MB


def test_an_unfinished_store_counts_for_nothing_and_the_next_writer_starts_afresh(tmp_path):
    path, frames = tmp_path / "store", _frames()
    with ChunkWriter(path, _ROWS, _SHAPE, np.uint8, "data") as writer:
        writer.write(0, frames[:1500])
    assert os.listdir(tmp_path) == []
    assert _open(path) is None


_WRITE_AND_WAIT = """
import sys
from pathlib import Path
import numpy as np
from prune_rl.replay.chunks import ChunkWriter
with ChunkWriter(Path(sys.argv[1]), 3000, (5, 3, 1), np.uint8, "other data") as writer:
    writer.write(0, np.ones((2500, 5, 3, 1), np.uint8))
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_what_the_next_one_clears_and_a_living_one_is_left_alone(tmp_path):
    path, frames = tmp_path / "store", _frames()
    command = [sys.executable, "-c", _WRITE_AND_WAIT, str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "written\n"
        left = sorted((tmp_path / "store.partial" / "frames").iterdir())
        assert len(left) == 3  # two shards and zarr.json
        problem = f"^Dataset.chunks='{path}': another process is writing it; wait for it, .*$"
        with pytest.raises(ConfigError, match=problem):
            _write(path, frames)
        assert sorted((tmp_path / "store.partial" / "frames").iterdir()) == left
        process.kill()
    assert _open(path) is None
    assert (tmp_path / "store.partial").is_dir()
    _write(path, frames)
    assert os.listdir(tmp_path) == ["store"]
    np.testing.assert_array_equal(_open(path).take(np.array([2100]))[0], frames[2100].ravel())


def test_a_store_of_other_data_or_a_folder_of_other_things_is_refused(tmp_path):
    path = _write(tmp_path / "store", _frames())
    advice = "name another folder, or delete it, and it is made anew"
    problem = f"^Dataset.chunks='{path}': holds the frames of another dataset.*; {advice}$"
    with pytest.raises(ConfigError, match=problem):
        open_chunks(path, identity="other", cache_bytes=0)
    with pytest.raises(ConfigError, match=problem):
        _write(path, _frames(), identity="other")
    with pytest.raises(ConfigError, match="these frames are there already"):
        _write(path, _frames())
    (tmp_path / "file").write_text("a")
    for other in (tmp_path, tmp_path / "file"):
        with pytest.raises(ConfigError, match=rf"^Dataset.chunks='{other}': no folder of chunks.*"):
            _open(other)
        with pytest.raises(ConfigError, match=rf"^Dataset.chunks='{other}': no folder of chunks.*"):
            _write(other, _frames())
    (tmp_path / "empty").mkdir()
    assert _open(tmp_path / "empty") is None
    assert _open(_write(tmp_path / "empty", _frames())) is not None


def test_what_is_not_ours_is_never_to_be_deleted(tmp_path):
    """A dataset with its about.json, another's array of frames, the disk itself."""
    logs, array = tmp_path / "Pong/1/replay_logs", tmp_path / "array"
    logs.mkdir(parents=True)
    (logs / "about.json").write_text('{"format": 1, "files": {}}')
    (array / "frames").mkdir(parents=True)
    (array / "frames" / "zarr.json").write_text("{}")
    for other in (logs, array, tmp_path, Path("/")):
        with pytest.raises(ConfigError) as caught:
            _open(other)
        problem = "no folder of chunks, its about.json cannot be read; name another folder"
        assert str(caught.value) == f"Dataset.chunks='{other}': {problem}"
    path = _write(tmp_path / "store", _frames())
    _flip(path / "about.json", 20)
    with pytest.raises(ConfigError, match="name another folder, or delete it, and it is made anew"):
        _open(path)


def test_frames_that_do_not_fit_are_refused(tmp_path):
    with ChunkWriter(tmp_path / "store", 10, _SHAPE, np.uint8, "data") as writer:
        for first, frames in (
            (-1, _frames(1)),
            (9, _frames(2)),
            (0, _frames(1, (5, 4, 1))),
            (0, _frames(1, dtype=np.float32)),
        ):
            with pytest.raises(ValueError, match="of 10 x 15 uint8"):
                writer.write(first, frames)


def _flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("offset", [0, 1000, -1000, -1])  # in chunks, in the index of a shard
def test_a_flipped_byte_of_a_shard_is_one_line_that_names_it(tmp_path, offset):
    path = _write(tmp_path / "store", _frames())
    shard = path / "frames" / "1.0"
    _flip(shard, offset)
    chunks = _open(path)
    second = np.arange(ROWS_PER_SHARD, 2 * ROWS_PER_SHARD)
    chunks.take(np.arange(ROWS_PER_SHARD))
    with pytest.raises(ConfigError) as caught:
        chunks.take(second)
    line = str(caught.value)
    assert line.startswith(f"Dataset.chunks='{path}': damaged: ")
    assert line.endswith("; delete it, and it is made anew")
    assert str(shard) in line
    assert len(line.splitlines()) == 1
    assert len(line) < 600


@pytest.mark.parametrize("name", ["frames/zarr.json", "frames/2.0", "extra.safetensors"])
@pytest.mark.parametrize("damage", ["gone", "shorter", "flipped"])
def test_damage_to_any_file_is_one_line(tmp_path, name, damage):
    path = _write(tmp_path / "store", _frames(), extra={"actions": np.arange(9)})
    file = path / name
    if damage == "gone":
        file.unlink()
    elif damage == "shorter":
        os.truncate(file, file.stat().st_size - 1)
    else:
        _flip(file, file.stat().st_size // 2)
    rows = np.arange(_ROWS)  # bytes that differ are seen where they are read
    read = (lambda own: _open(own).take(rows)) if damage == "flipped" else _open
    with pytest.raises(ConfigError, match=f"^Dataset.chunks='{path}': [^\n]*$"):
        read(path)


def test_no_byte_of_about_can_change_unnoticed(tmp_path):
    path = _write(tmp_path / "store", _frames(20), extra={"actions": np.arange(9)})
    whole = (path / "about.json").read_bytes()
    for offset in range(len(whole)):
        _flip(path / "about.json", offset)
        with pytest.raises(ConfigError, match=f"^Dataset.chunks='{path}': [^\n]*$"):
            _open(path).take(np.arange(20))
        (path / "about.json").write_bytes(whole)
    assert json.loads(whole)["shape"] == [20, *_SHAPE]


def test_a_shard_deleted_while_it_is_read_is_no_row_of_zeros(tmp_path):
    path = _write(tmp_path / "store", _frames())
    chunks = _open(path)
    (path / "frames" / "1.0").unlink()
    with pytest.raises(ConfigError, match=r"frames/1\.0"):
        chunks.take(np.array([ROWS_PER_SHARD]))


def test_frames_of_zeros_are_on_disk_too(tmp_path):
    path = _write(tmp_path / "store", np.zeros((_ROWS, *_SHAPE), np.uint8))
    assert {"0.0", "1.0", "2.0"} < set(os.listdir(path / "frames"))
    assert not _open(path).take(np.arange(_ROWS)).any()


def _limited(path, most):
    """Tries to write noise where no file may grow beyond `most` bytes, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    _write(Path(path), _frames(), extra={"actions": np.arange(9000)})


@pytest.mark.parametrize("most", [100, 8_000, 40_000])  # the array, a shard, the extra arrays
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, most):
    path = tmp_path / "store"
    code = f"import runpy; runpy.run_path({__file__!r})['_limited']({str(path)!r}, {most})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    problem = f"prune_rl.errors.ConfigError: Dataset.chunks='{path}': cannot be written: File too"
    assert done.stderr.splitlines()[-1] == f"{problem} large"
    assert _open(path) is None
    if most > 100:
        assert os.listdir(tmp_path) == []


def test_several_threads_may_ask_at_once(store, in_ram):
    rng = np.random.default_rng(0)
    asked = [rng.integers(0, _ROWS + 1, (20, 32)) for _ in range(4)]
    found = [[] for _ in asked]

    def ask(own, indices):
        own.extend(store.take(index) for index in indices)

    pairs = zip(found, asked, strict=True)
    threads = [threading.Thread(target=ask, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for own, indices in zip(found, asked, strict=True):
        np.testing.assert_array_equal(own, in_ram.take(indices, axis=0))
