"""Rows are written once, each; and how many may follow before one is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_rl.recording import row_files, tensor_files
from prune_rl.recording.tensor_files import Damaged

from .growing import Ring


def rows_of(ring):
    return ring.state()["source"]["replay"]["rows"]


def positions(record):
    return [(own["first"], own["last"]) for own in record["files"]]


def read(rows, start=None):
    pieces = rows.pieces(rows.first if start is None else start)
    return [(first, fields["numbers"].tolist()) for first, fields in pieces]


def test_a_file_holds_a_piece_and_is_named_after_its_positions(tmp_path):
    ring = Ring(0, 12, piece=5)
    ring.add(9)
    record = row_files.write_new(tmp_path, "r", rows_of(ring), None)
    assert (record["first"], record["last"], record["capacity"]) == (0, 8, 12)
    assert positions(record) == [(0, 5), (5, 8)]
    names = ["r/000000000000-000000000005.safetensors", "r/000000000005-000000000008.safetensors"]
    assert [own["file"] for own in record["files"]] == names
    assert sorted(f"r/{path.name}" for path in (tmp_path / "r").iterdir()) == names
    assert tensor_files.read(tmp_path, record["files"][1])["numbers"].tolist() == [5, 6, 7]


def test_only_new_rows_are_written_and_files_without_any_left_are_dropped(tmp_path):
    ring, record = Ring(0, 12, piece=5), None
    expected = [
        (9, [(0, 5), (5, 8)]),
        (3, [(0, 5), (5, 8), (8, 11)]),
        (0, [(0, 5), (5, 8), (8, 11)]),
        (5, [(5, 8), (8, 11), (11, 12), (12, 16)]),  # 5 is the oldest; the ring wraps at 12
        (30, [(35, 36), (36, 41), (41, 46)]),  # more than the ring holds: 16 to 34 never seen
    ]
    for count, files in expected:
        ring.add(count)
        record = row_files.write_new(tmp_path, "r", rows_of(ring), record)
        assert positions(record) == files
        found = [number for _, own in read(row_files.stored(tmp_path, record)) for number in own]
        assert found == ring.held()


def test_without_rows_there_are_no_files(tmp_path):
    for count in (0, 1):
        ring = Ring(0, 12)
        ring.add(count)
        record = row_files.write_new(tmp_path, "r", rows_of(ring), None)
        assert record == {"first": 0, "last": 0, "capacity": 12, "row_bytes": 9, "files": []}
        assert read(row_files.stored(tmp_path, record)) == []


def test_stored_rows_are_read_from_any_position_on(tmp_path):
    ring = Ring(0, 12)
    ring.add(9)
    before = row_files.write_new(tmp_path, "r", rows_of(ring), None)
    ring.add(7)
    record = row_files.write_new(tmp_path, "r", rows_of(ring), before)
    rows = row_files.stored(tmp_path, record)
    assert rows[:3] == (4, 15, 12)
    for start in range(4, 16):
        found = [x for first, own in read(rows, start) for x in range(first, first + len(own))]
        assert found == [x for _, own in read(rows, start) for x in own] == list(range(start, 15))
    (_, fields), *_ = rows.pieces(14)
    assert {name: (x.tolist(), x.dtype) for name, x in fields.items()} == {
        "numbers": ([14], np.int64),
        "signs": ([1], np.int8),
    }


def test_a_missing_file_is_noticed_when_it_is_reached(tmp_path):
    ring = Ring(0, 12)
    ring.add(9)
    record = row_files.write_new(tmp_path, "r", rows_of(ring), None)
    (tmp_path / record["files"][1]["file"]).unlink()
    rows = row_files.stored(tmp_path, record)
    pieces = rows.pieces(0)
    assert next(pieces)[1]["numbers"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(Damaged, match=r"000000000005-000000000008\.safetensors: No such file"):
        next(pieces)


@given(st.integers(1, 15), st.integers(0, 40), st.integers(0, 40))
def test_so_many_may_follow_until_one_that_is_not_written_is_lost(capacity, before, new):
    ring = Ring(0, capacity)
    ring.add(before)
    on_disk = {"last": rows_of(ring).last, "files": []} if before else None
    ring.add(new)
    rows, complete = rows_of(ring), rows_of(ring).last
    wanted = ring.held()[max((on_disk or {"last": 0})["last"] - rows.first, 0) :]
    added = 0
    while added <= 2 * capacity and wanted and set(wanted) <= set(ring.numbers.tolist()):
        ring.add(1)
        added += 1
    if wanted:
        assert row_files.rows_to_spare(rows, on_disk) == added - 1
    else:
        assert row_files.rows_to_spare(rows, on_disk) >= capacity - 1
    assert rows.last == complete
