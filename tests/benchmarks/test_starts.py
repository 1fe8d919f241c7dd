"""Starts that count, with a training that takes as long as the test says."""

from benchmarks import startup
from benchmarks.results import Results
from benchmarks.starts import Start, Starts, measure_starts, starts


def test_every_row_is_a_run_that_startup_has():
    assert {row.run for row in starts().rows} <= set(startup._RUNS)
    assert {row.name: row.most for row in starts().rows} == {
        "startup/nature": 5.0,
        "startup/impala": 8.0,
    }


def test_the_first_start_fills_the_cache_of_the_others(monkeypatch, tmp_path):
    seconds, folders = [50.0, 4.0, 9.0, 5.5], []

    def start(run, folder):
        folders.append((run, folder, folder.is_dir()))
        return {"first update": {"cpu": seconds[len(folders) - 1], "wall": 99.0}}

    monkeypatch.setattr(startup, "start", start)
    results = Results(tmp_path / "x.json", {})
    measure_starts(Starts("s", [Start("s/pong", "a title", "Pong", 5.0)]), results)
    (row,) = results.rows
    assert (row["median"], row["min"], row["max"], row["held"]) == (5.5, 4.0, 9.0, False)
    assert folders == [("Pong", folders[0][1], True)] * 4
    assert not folders[0][1].exists()
    line = (tmp_path / "x.md").read_text().splitlines()[-1]
    assert line == "| a title | 5.50 s | 4.00 to 9.00 | ≤ 5 s | missed |  |  |"
