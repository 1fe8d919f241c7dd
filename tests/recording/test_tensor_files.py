"""Files of arrays: anyone can read them, and no change of a byte passes."""

import errno
import hashlib
import os
import random

import numpy as np
import pytest
from safetensors import safe_open

from prune_rl.recording import tensor_files
from prune_rl.recording.tensor_files import Damaged

_DTYPES = (np.bool_, np.uint8, np.int8, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
_FLOATS = (np.float16, np.float32, np.float64)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    given = {np.dtype(x).name: rng.integers(0, 2, (3, 2)).astype(x) for x in (*_DTYPES, *_FLOATS)}
    return given | {
        "a/path": np.array([-0.0, np.nan, np.inf, 5e-324]),
        "scalar": np.array(7, np.int32),
        "number": np.float64(0.1),
        "none": np.zeros((0, 4), np.float32),
        "columns": np.asfortranarray(rng.random((3, 4))),
        "every_other": np.arange(10)[::2],
    }


def test_anyone_can_read_what_is_written(tmp_path, arrays):
    record = tensor_files.write(tmp_path, "a/b/some.safetensors", arrays)
    path = tmp_path / "a" / "b" / "some.safetensors"
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    assert record == {"file": "a/b/some.safetensors", "bytes": len(data), "sha256": digest}
    assert [x.name for x in path.parent.iterdir()] == [path.name]
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == arrays.keys()
        for name, array in arrays.items():
            stored = file.get_tensor(name)
            assert (stored.shape, stored.dtype) == (array.shape, array.dtype)
            assert stored.tobytes() == array.tobytes()


def test_what_is_written_comes_back_bit_for_bit(tmp_path, arrays):
    read = tensor_files.read(tmp_path, tensor_files.write(tmp_path, "x", arrays))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (read[name].shape, read[name].dtype) == (array.shape, array.dtype)
        assert read[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_others_may_read_what_they_may_of_any_new_file(tmp_path, arrays, umask, mode):
    leftover = tmp_path / "x.part"
    leftover.touch(mode=0o600)
    before = os.umask(umask)
    try:
        tensor_files.write(tmp_path, "x", arrays)
        tensor_files.write_bytes(tmp_path, "y", b"1")
    finally:
        os.umask(before)
    assert [oct((tmp_path / name).stat().st_mode & 0o777) for name in "xy"] == [oct(mode)] * 2


def test_one_that_is_there_is_replaced_as_a_whole(tmp_path, monkeypatch):
    old = tensor_files.write(tmp_path, "x", {"a": np.arange(3)})

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space"):
            tensor_files.write(tmp_path, "x", {"a": np.arange(9)})
    assert tensor_files.read(tmp_path, old)["a"].tolist() == [0, 1, 2]
    new = tensor_files.write(tmp_path, "x", {"a": np.arange(9)})
    assert tensor_files.read(tmp_path, new)["a"].tolist() == list(range(9))
    with pytest.raises(Damaged):
        tensor_files.read(tmp_path, old)


def test_a_file_and_every_new_name_are_durable_in_this_order(tmp_path, monkeypatch):
    """Of a file before it has its name, of a name before `write` returns."""
    done, fsync = [], os.fsync

    def noted(descriptor):
        fsync(descriptor)
        done.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{tmp_path}"))
        if done[-1].endswith(".part"):
            assert os.fstat(descriptor).st_size == len(b"data")
            assert not (tmp_path / "a" / "b" / "x").exists()
        elif done[-1] == "/a/b":
            assert (tmp_path / "a" / "b" / "x").read_bytes() == b"data"

    monkeypatch.setattr(os, "fsync", noted)
    tensor_files.write_bytes(tmp_path, "a/b/x", b"data")
    assert done == ["", "/a", "/a/b/x.part", "/a/b"]


def _spoilt(data):
    """Ways in which a file of these bytes may be found, with what is said of it."""
    other = "not those that were written"
    yield from ((data[:keep], f"{keep:,} bytes, not {len(data)}") for keep in range(len(data)))
    yield data + b"\0", f"{len(data) + 1} bytes, not {len(data)}"
    bits = random.Random(0).sample(range(8 * len(data)), 200)
    for bit in bits:
        byte = data[bit // 8] ^ 1 << bit % 8
        yield data[: bit // 8] + bytes([byte]) + data[bit // 8 + 1 :], other


def test_any_change_is_noticed_and_the_file_named(tmp_path):
    record = tensor_files.write(tmp_path, "x", {"a": np.arange(5), "b": np.zeros(2, np.float32)})
    path = tmp_path / "x"
    for data, reason in _spoilt(path.read_bytes()):
        path.write_bytes(data)
        with pytest.raises(Damaged, match=f"^x: .*{reason}$"):
            tensor_files.read(tmp_path, record)
    path.unlink()
    with pytest.raises(Damaged, match=r"^x: No such file"):
        tensor_files.read(tmp_path, record)
