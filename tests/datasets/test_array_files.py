"""Arrays as NumPy writes them, read in pieces and in threads."""

import ast
import gzip
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from prune_rl.datasets.array_files import ArrayFile, read_whole
from prune_rl.datasets.experience import Damaged

from .replay_logs import save

ARRAYS = [
    np.arange(12, dtype=np.uint8).reshape(3, 2, 2),
    np.arange(5, dtype=np.int64),
    np.arange(5, dtype=">f4"),
    np.zeros((0, 4), np.float32),
    np.array([], np.int32),
    np.array(7),
    np.array([True, False]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_every_row_comes_back(tmp_path, array):
    save(tmp_path, "x.gz", array)
    with ArrayFile(tmp_path / "x.gz") as file:
        assert (file.shape, file.dtype) == (array.shape, array.dtype)
        rows = np.empty((file.shape or (1,)), file.dtype)
        file.read(rows)
        file.end()
    np.testing.assert_array_equal(rows, array.reshape(rows.shape))


def test_rows_are_skipped_and_read(tmp_path):
    save(tmp_path, "x.gz", np.arange(600, dtype=np.int32).reshape(200, 3))
    with ArrayFile(tmp_path / "x.gz") as file:
        rows = np.empty((2, 3), np.int32)
        file.skip_to(50)
        file.read(rows)
        assert rows[0, 0] == 150
        file.skip_to(198)
        file.read(rows)
        assert rows[1, 2] == 599
        assert file.row == 200
        with pytest.raises(Damaged, match=r"the data end at byte 2,528, before the array"):
            file.read(rows)


def test_headers_are_read_without_ast_which_fails_in_threads(tmp_path, monkeypatch):
    save(tmp_path, "x.gz", np.arange(9, dtype=np.int32))
    monkeypatch.setattr(ast, "literal_eval", None)
    with ThreadPoolExecutor(8) as threads:
        arrays = list(threads.map(read_whole, [tmp_path / "x.gz"] * 200, [np.int32] * 200))
    assert all((x == np.arange(9)).all() for x in arrays)


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.zeros(3, "i4,f4"), np.asfortranarray(np.ones((3, 2)))]
)
def test_what_is_not_rows_of_numbers_is_refused(tmp_path, array):
    save(tmp_path, "x.gz", array)
    with pytest.raises(Damaged, match=r"x\.gz: "):
        ArrayFile(tmp_path / "x.gz")


@pytest.mark.parametrize("size", [0, 5, 9, 40, 127])
def test_a_header_that_is_cut(tmp_path, size):
    path = tmp_path / "x.gz"
    save(tmp_path, path.name, np.arange(9))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:size]))
    with pytest.raises(Damaged, match="not an array"):
        ArrayFile(path)
