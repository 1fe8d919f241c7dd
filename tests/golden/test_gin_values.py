"""Every value of every shipped gin file, beside the source that it was taken from.

`gin_values.csv` was written from the sources, not from the files: what differs is wrong in one of
the two.
"""

import csv
from pathlib import Path

import pytest

from prune_rl import gin_files

from . import bindings

_TABLE = Path(__file__).with_name("gin_values.csv")
_ADVICE = f"mend the gin file, or its row in tests/golden/{_TABLE.name} together with its source"


def _golden():
    """Rows of the table by file, in its order: (parameter, value, source)."""
    by_file = {}
    with _TABLE.open(newline="") as file:
        for row in csv.DictReader(file):
            value = bindings.parse_value(row["value"])
            by_file.setdefault(row["file"], []).append((row["parameter"], value, row["source"]))
    return by_file


def _as_read(rows):
    """Values by parameter as text: 1, 1.0 and True differ. A file may include many."""
    names = [f"include {row[1]}" if row[0] == "include" else row[0] for row in rows]
    return {name: repr(row[1]) for name, row in zip(names, rows, strict=True)}


def test_the_table_knows_every_shipped_file_and_no_other():
    assert sorted(_golden()) == sorted(gin_files.shipped_gin_files())


@pytest.mark.parametrize("name", gin_files.shipped_gin_files())
def test_a_gin_file_has_the_values_of_its_sources(name):
    read = bindings.read(gin_files.shipped_gin_files()[name])
    written, golden = _as_read(read), _as_read(_golden().get(name, []))
    assert len(written) == len(read), f"{name} binds a parameter twice"
    added = [f"{x} = {written[x]}" for x in written if x not in golden]
    assert not added, f"{name} has {added}, which the table lacks; {_ADVICE}"
    missing = [f"{x} = {golden[x]}" for x in golden if x not in written]
    assert not missing, f"{name} lacks {missing}; {_ADVICE}"
    changed = [f"{x} = {written[x]}, not {golden[x]}" for x in golden if written[x] != golden[x]]
    assert not changed, f"{name} has {changed}; {_ADVICE}"
    assert list(written) == list(golden), f"{name} has another order; {_ADVICE}"


def test_every_value_has_a_source():
    for name, rows in _golden().items():
        for parameter, _, source in rows:
            assert source.strip(), f"{name}, {parameter}: say where the value comes from"
