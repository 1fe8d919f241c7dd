"""The command line, with workers that do nothing: what it measures, leaves out and writes."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import measuring
from benchmarks.environments import Lacking
from benchmarks.pairs import Row, Side
from benchmarks.results import Results
from benchmarks.rows import Group
from benchmarks.starts import Starts

_WORKER = """
import json, sys
cpu = json.loads(sys.argv[1])["cpu"]
if cpu is None:
    sys.exit("ImportError: no such thing")
print(json.dumps({"seeds": 1, "quantum": 1, "note": "a note", "versions": {}}), flush=True)
for line in sys.stdin:
    steps = int(line)
    print(json.dumps({"cpu": cpu * steps, "wall": 1.0, "peak_mib": 7}), flush=True)
"""
_SIDES = {"ours": 1.0, "theirs": 4.0, "torch": 2.0, "broken": None}
_BAR = {"most": 0.2}


def row(name, other, default=True, **bar):
    return Row(name, f"ours against {other}", {"ours": 1.0}, {other: 1.0}, default=default, **bar)


def plan():
    sides = {
        name: Side("x", {"cpu": cpu}, environment="torch" if name == "torch" else None)
        for name, cpu in _SIDES.items()
    }
    first = [row("a/theirs", "theirs", **_BAR), row("a/torch", "torch"), row("a/broken", "broken")]
    return [
        Group("a", sides, first),
        Group("b", sides, [row("b/theirs", "theirs", most=0.3), row("b/more", "theirs", False)]),
    ]


@pytest.fixture(autouse=True)
def tiny_plan(monkeypatch, tmp_path):
    def start(name, side, core, checkouts):
        if side.environment:
            raise Lacking(f"{side.environment} is not installed; this installs it")
        settings = json.dumps(dict(side.settings))
        return measuring.Worker(name, [sys.executable, "-c", _WORKER, settings], {})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measuring, "start", start)
    monkeypatch.setattr(command, "groups", plan)
    monkeypatch.setattr(command, "control_groups", list)
    monkeypatch.setattr(command, "starts", lambda: Starts("startup", []))


def run(*flags):
    return command.main(["--rounds=2", "--seconds=1", *flags])


def read():
    return json.loads(Path("benchmarks.json").read_text())


def test_rows_are_measured_and_the_others_said_to_be_missing(capsys):
    assert run() == 1  # a worker died
    results = read()
    found = {own["name"]: (own["median"], own["held"]) for own in results["rows"]}
    assert found == {"a/theirs": (0.25, False), "b/theirs": (0.25, True)}
    assert results["not_measured"] == {
        "a/torch": "torch is not installed; this installs it",
        "a/broken": "broken: ended with code 1; last it said: ImportError: no such thing",
    }
    printed = capsys.readouterr().out
    assert "a/torch: not measured: torch is not installed; this installs it" in printed
    assert "written to benchmarks.json and benchmarks.md" in printed


def test_results_describe_machine_and_sides():
    run("--only=a/theirs")
    results = read()
    assert results["machine"]["cores"] >= 1
    assert results["settings"]["rounds"] == 2
    assert len(results["load_before"]) == len(results["load_after"]) == 3
    side = results["sides"]["a: theirs"]
    assert (side["cpu_ms"], side["note"], side["peak_mib"]) == ([4000.0, 4000.0], "a note", 7)
    assert set(results["sides"]) == {"a: ours", "a: theirs"}


def test_the_markdown_has_a_line_a_row():
    run("--only=*/theirs")
    header, ruler, *lines = Path("benchmarks.md").read_text().splitlines()
    assert header.count("|") == ruler.count("|") == 8
    assert lines == [
        "| ours against theirs | 0.25 | 0.25 to 0.25 | ≤ 0.2 | missed | 1e+03 | 4e+03 |",
        "| ours against theirs | 0.25 | 0.25 to 0.25 | ≤ 0.3 | held | 1e+03 | 4e+03 |",
    ]


def test_every_group_is_on_disk_before_the_next_begins(monkeypatch):
    on_disk, add = [], Results.add

    def watched(self, *args):
        on_disk.append([own["name"] for own in read()["rows"]])
        add(self, *args)

    monkeypatch.setattr(Results, "add", watched)
    run("--only=*/theirs")
    assert on_disk == [[], ["a/theirs"]]


def test_a_run_that_is_cut_leaves_what_it_had(monkeypatch):
    calls, rounds = [], measuring.rounds

    def cut(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rounds(*args)

    monkeypatch.setattr(measuring, "rounds", cut)
    assert run("--only=*/theirs") == 130
    results = read()
    assert [own["name"] for own in results["rows"]] == ["a/theirs"]


def test_only_what_is_asked_for_and_what_has_no_default_by_name_alone():
    chosen = command.chosen(plan(), [])
    assert [x.name for group in chosen for x in group.rows][-1] == "b/theirs"
    chosen = command.chosen(plan(), ["b/*", "a/torch"])
    assert [x.name for group in chosen for x in group.rows] == ["a/torch", "b/theirs", "b/more"]


def test_a_list_measures_nothing(capsys, tmp_path):
    assert run("--list", "--only=b/more") == 0
    assert capsys.readouterr().out == "b/more\tours against theirs\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--only=a/their", "--only=a/their: no such row; did you mean 'a/theirs'?"),
        ("--rounds=0", "--rounds=0: expected more than 0"),
        ("--seconds=-1", "--seconds=-1.0: expected more than 0"),
        ("--core=4096", "--core=4096: expected one that this process may use: "),
        ("--out=there.csv", "--out=there.csv: expected a name that ends in .json"),
        ("--out=no/such/x.json", "--out=no/such/x.json: no such folder"),
    ],
)
def test_a_wrong_flag_is_one_line(flag, words, capsys, tmp_path):
    assert run(flag) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"benchmarks: {words}")
    assert printed.count("\n") == 1
    assert not list(tmp_path.iterdir())
