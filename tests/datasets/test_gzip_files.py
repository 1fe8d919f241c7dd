"""Bytes of gzip files, whichever decompressor reads them."""

import gzip
import sys

import numpy as np
import pytest

from prune_rl.datasets import gzip_files
from prune_rl.datasets.experience import Damaged
from prune_rl.datasets.gzip_files import open_gzip

DATA = np.random.default_rng(0).integers(0, 9, 700_000, np.uint8).tobytes()


@pytest.fixture(params=["zlib_ng", "isal", "gzip"])
def decompressor(request, monkeypatch):
    """As if the others were not installed."""
    if request.param != "gzip":
        pytest.importorskip(request.param)
    for package in ("zlib_ng", "isal"):
        if package != request.param:
            for own in [x for x in sys.modules if x.split(".")[0] == package] or [package]:
                monkeypatch.setitem(sys.modules, own, None)
    for streaming, _ in gzip_files._FAST:
        if streaming.split(".")[0] != request.param:
            monkeypatch.setitem(sys.modules, streaming, None)
    return request.param


@pytest.fixture
def path(tmp_path, decompressor):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(DATA))
    return path


def test_the_fastest_that_is_installed_is_taken(decompressor):
    assert gzip_files._decompressor()[0].__module__.split(".")[0] == decompressor


def test_reads_what_was_written_in_any_pieces(path):
    buffer = bytearray(len(DATA) + 9)
    with open_gzip(path) as file:
        assert file.readinto(buffer) == len(DATA) == file.offset
        assert file.read(5) == b""
    assert buffer == DATA + bytes(9)
    with open_gzip(path) as file:
        assert file.read(300_000) == DATA[:300_000]
        assert file.skip(7) == 7
        assert file.read() == DATA[300_007:]
    with open_gzip(path) as file:
        assert file.skip() == len(DATA)


def test_several_members_are_one_file(path):
    path.write_bytes(gzip.compress(DATA) + gzip.compress(b"end"))
    with open_gzip(path) as file:
        assert file.read() == DATA + b"end"


def blamed(path, changed):
    path.write_bytes(changed)
    with open_gzip(path) as file, pytest.raises(Damaged) as caught:
        file.skip()
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: "), file.offset


def test_a_file_that_is_cut_is_named_with_both_offsets(path):
    half = path.read_bytes()[: path.stat().st_size // 2]
    message, offset = blamed(path, half)
    assert len(DATA) / 2 * 0.7 < offset < len(DATA) / 2 * 1.1
    expected = f"the file ends at byte {len(half):,}, after {offset:,} decompressed bytes"
    assert message == f"truncated: {expected}"


def test_a_checksum_that_differs_is_found_at_the_end(path):
    whole = bytearray(path.read_bytes())
    whole[-7] ^= 1
    message, _ = blamed(path, whole)
    assert message.startswith(f"damaged before byte {len(whole):,}, after ")
    assert "CRC check failed" in message


@pytest.mark.parametrize("place", [0.3, 0.8])
def test_a_flipped_byte(path, place):
    whole = bytearray(path.read_bytes())
    whole[int(place * len(whole))] ^= 16
    message, _ = blamed(path, whole)
    assert message.startswith(("damaged before byte ", "truncated: "))


def test_what_is_no_gzip_file(path):
    message, offset = blamed(path, b"hello, this is text that nobody compressed")
    assert offset == 0
    assert "Not a gzip" in message


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(Damaged, match=r"none\.gz: cannot be opened: No such file"):
        open_gzip(tmp_path / "none.gz")
