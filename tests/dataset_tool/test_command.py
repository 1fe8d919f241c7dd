"""The command line: what it teaches, what it refuses, exit codes, and what it leaves behind."""

import json
import re
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from prune_rl.dataset_tool import command, flags
from prune_rl.datasets.experience import Damaged
from prune_rl.errors import ConfigError, RunEnded
from prune_rl.progress import Bar
from tests.datasets import replay_logs as logs

from .scripted_run import ScriptedRun


@pytest.fixture
def runs(monkeypatch):
    """The runs that are found at any path."""
    runs = [ScriptedRun([4, 6]), ScriptedRun([5], number=2)]
    monkeypatch.setattr(command, "_find_runs", lambda path: runs)
    monkeypatch.setattr(command, "_num_rows", lambda run: sum(run.lengths))
    return runs


@pytest.mark.parametrize("name", ["", "list", "fetch", "verify", "describe", "make"])
def test_help_teaches_and_imports_nothing_heavy(name):
    code = (
        "import sys\n"
        "from prune_rl.dataset_tool import command\n"
        f"try:\n    command.main({name.split()!r} + ['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'jax', 'numpy', 'gin', 'matplotlib', 'rich', 'tensorflow', 'urllib.request'}\n"
        "assert not heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"usage: python -m prune_rl.datasets {name}" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_every_example_of_the_help_is_a_command():
    text = "\n".join([flags._EPILOG, flags._FETCH_EPILOG, flags._MAKE_EPILOG])
    examples = re.findall(r"python -m prune_rl\.datasets (.+)", text.replace("\\\n", " "))
    assert len(examples) == 13
    seen = {flags.parser().parse_args(shlex.split(example)).command for example in examples}
    assert seen == {"list", "fetch", "verify", "describe", "make"}


def test_as_a_module():
    argv = [sys.executable, "-m", "prune_rl.datasets", "list", "--game=Pongg"]
    done = subprocess.run(argv, capture_output=True, text=True)
    line = "prune_rl.datasets: --game=Pongg: in no dataset; did you mean 'Pong'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line)


def test_a_game_that_gymnasium_spells_otherwise_is_told_as_data_spell_it(capsys):
    assert command.main(["list", "--game=PongNoFrameskip-v4"]) == 2
    line = "prune_rl.datasets: --game=PongNoFrameskip-v4: in no dataset; did you mean 'Pong'?\n"
    assert capsys.readouterr().err == line


def test_list_says_games_sizes_licences_and_caveats(capfd):
    assert command.main(["list"]) == 0
    text = capfd.readouterr().out
    for words in (
        "dqn_replay",
        "353 GB of frames",
        "gs://atari-replay-datasets/dqn",
        "licence: none found that is stated for the data; see https://research.google/",
        "atari_17 17/17",
        "atari-py <= 0.2.5",
        "sets of other robots (mujoco/swimmer, D4RL/pen)",
    ):
        assert words in " ".join(text.split())
    rows = {cells[0]: cells[1:] for x in text.splitlines() if len(cells := x.split("│")[1:-1]) == 4}
    marks = {game.strip(): [mark.strip() for mark in own] for game, own in rows.items()}
    assert marks["Pong"] == ["yes", "yes", "yes"]
    assert marks["Alien"] == ["yes", "yes", ""]
    assert marks["Tennis"] == ["yes", "", ""]
    assert len(marks) == 60


def test_list_may_be_cut_short():
    argv = f"{shlex.quote(sys.executable)} -m prune_rl.datasets list | head -1"
    done = subprocess.run(argv, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("lst", "invalid choice: 'lst'"),
        ("fetch --game=Pong --run=1 --out=x", "required: --dataset"),
        ("fetch --checkpoints=4-2", "invalid list of checkpoints, as 0-4 or 0,10,20 value: '4-2'"),
        ("fetch --checkpoints=-1", "invalid list of checkpoints"),
        ("fetch --checkpoints=a", "invalid list of checkpoints"),
        ("fetch --checkpoints=0-99999999999", "invalid list of checkpoints"),
        ("fetch --mirror=file:///etc", "expected a URL that begins with http:// or https://"),
        ("fetch --game=../x", "'../x': expected a game, as Pong"),
        ("fetch --jobs=0", "invalid integer >= 1 value: '0'"),
        ("make --agent_steps=0", "invalid integer >= 1 value: '0'"),
        ("make --format=d4r", "invalid choice: 'd4r'"),
        ("verify", "required: PATH"),
    ],
)
def test_flags_that_are_wrong(argv, said, capfd):
    with pytest.raises(SystemExit, match="2"):
        command.main(shlex.split(argv))
    assert said in capfd.readouterr().err


def test_checkpoints_are_numbers_and_ranges():
    argv = ["fetch", "--dataset=rlu", "--game=Pong", "--run=1", "--out=x", "--checkpoints="]
    given = {"0": [0], "0-4": [0, 1, 2, 3, 4], "7,0-2,1": [0, 1, 2, 7]}
    for text, numbers in given.items():
        parsed = flags.parser().parse_args([*argv[:-1], argv[-1] + text])
        assert parsed.checkpoints == numbers


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError("no such thing"), 2, "no such thing"),
        (Damaged("x.gz: truncated"), 2, "x.gz: truncated"),
        (RunEnded("it ended"), 1, "it ended"),
        (OSError("disk full\nsecond line"), 1, "disk full"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("of 3 GB"), 1, "out of memory (of 3 GB)"),
        (KeyError("x"), 1, "unexpected KeyError: 'x'; this is a mistake of ours or of your"),
    ],
)
@pytest.mark.parametrize("traceback", [False, True])
def test_whatever_goes_wrong_is_one_line(monkeypatch, capfd, error, code, said, traceback):
    def fail(flags):
        raise error

    monkeypatch.setitem(command._COMMANDS, "verify", fail)
    assert command.main(["verify", "x", *["--traceback"] * traceback]) == code
    *above, line = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.datasets: {said}")
    assert bool(above) == traceback
    assert traceback is False or above[0] == "Traceback (most recent call last):"


def test_verify_says_that_all_is_whole(runs, monkeypatch, capfd):
    monkeypatch.setattr(command, "_problems", lambda run, watch: iter(()))
    assert command.main(["verify", "data"]) == 0
    assert (
        capfd.readouterr().out.splitlines()[-1] == "2 runs, 2 parts, at most 15 transitions: whole"
    )


def test_verify_says_what_is_wrong(runs, monkeypatch, capfd):
    monkeypatch.setattr(
        command, "_problems", lambda run, watch: iter([f"{run.number}.gz: truncated"])
    )
    assert command.main(["verify", "data"]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[1::2] == ["  1.gz: truncated", "  2.gz: truncated"]
    assert lines[-1] == "2 runs, 2 parts, at most 15 transitions: 2 problems"


def test_verify_stops_when_asked(runs, monkeypatch, capfd):
    def problems(run, watch):
        signal.raise_signal(signal.SIGTERM)
        yield "x.gz: truncated"

    monkeypatch.setattr(command, "_problems", problems)
    assert command.main(["verify", "data"]) == 75
    (line,) = capfd.readouterr().err.splitlines()
    assert line == "prune_rl.datasets: SIGTERM: not all was read"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_verify_stops_within_a_run(tmp_path, monkeypatch, capfd, number, code):
    """Of three thousand frames of a dataset: none is read after the first thousand."""
    folder = tmp_path / "Pong/1/replay_logs"
    logs.write_ours(folder, [logs.Row()] * 2999 + [logs.Row(terminal=1)], [3000], (4, 4, 1), 1)
    told = []

    def advance(bar, count):
        told.append(count)
        if count:
            signal.raise_signal(number)

    monkeypatch.setattr(Bar, "advance", advance)
    assert command.main(["verify", str(tmp_path)]) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert line == f"prune_rl.datasets: {number.name}: not all was read"
    assert sum(told) == told[-1] == 1000


def test_the_bar_of_verify_counts_frames(tmp_path, monkeypatch):
    for run, sizes in ((1, [1500, 20]), (2, [30])):
        folder = tmp_path / f"Pong/{run}/replay_logs"
        rows = [logs.Row()] * (sum(sizes) - 1) + [logs.Row(terminal=1)]
        logs.write_ours(folder, rows, sizes, (4, 4, 1), 1, run=run)
    totals, told = [], []
    begin = Bar.__init__

    def init(bar, what, total, **options):
        totals.append(total)
        begin(bar, what, total, **options)

    monkeypatch.setattr(Bar, "__init__", init)
    monkeypatch.setattr(Bar, "advance", lambda bar, count: told.append(count))
    assert command.main(["verify", str(tmp_path)]) == 0
    assert totals == [sum(told)] == [1550]
    assert [count for count in told if count] == [1000, 500, 20, 30]


def test_a_run_that_was_fetched_in_part_is_whole(tmp_path, capfd):
    folder = tmp_path / "Pong/1/replay_logs"
    rows = [logs.Row()] * 59 + [logs.Row(terminal=1)]
    logs.write_ours(folder, rows, [20, 20, 20], (4, 4, 1), 1)
    for path in folder.glob("*_ckpt.2.gz"):
        path.unlink()
    assert command.main(["verify", str(tmp_path)]) == 0
    _, note, end = capfd.readouterr().out.splitlines()
    assert note == "  note: no files of checkpoints 2"
    assert end.endswith(": whole, but 1 run without all checkpoints")
    (folder / "add_count_ckpt.1.gz").unlink()
    assert command.main(["verify", str(tmp_path)]) == 1
    _, note, problem, end = capfd.readouterr().out.splitlines()
    assert problem == f"  {folder}: no add_count_ckpt.1.gz"
    assert end.endswith(": 1 problem")


def test_describe_prints_draws_and_writes(runs, tmp_path, capfd):
    picture, numbers = tmp_path / "x.png", tmp_path / "x.json"
    assert command.main(["describe", "data", f"--out={picture}", f"--json={numbers}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    one, two = json.loads(numbers.read_text())
    assert (one["run"], one["transitions"], one["episodes"]) == (1, 10, 2)
    assert (two["run"], two["transitions"], two["episodes"]) == (2, 5, 1)
    lines = capfd.readouterr().out.splitlines()
    assert [x.split()[0] for x in lines if not x.startswith(" ")] == ["Pong/1", "Pong/2", "wrote"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.png"]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--out=x.jpgg", "--out=x.jpgg: expected a name ending in "),
        ("--out=nowhere/x.png", "--out=nowhere/x.png: there is no directory nowhere"),
        ("--json=nowhere/x.json", "--json=nowhere/x.json: there is no directory nowhere"),
    ],
)
def test_what_describe_could_not_write_is_said_before_it_reads(
    runs, tmp_path, monkeypatch, capfd, flag, said
):
    monkeypatch.chdir(tmp_path)
    for run in runs:
        run.unreadable = "it was read"
    assert command.main(["describe", "data", flag]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"prune_rl.datasets: {said}")


def test_describe_stops_at_what_is_damaged(runs, capfd):
    runs[1].unreadable = "x.gz: truncated at byte 3"
    assert command.main(["describe", "data"]) == 2
    assert capfd.readouterr().err == "prune_rl.datasets: x.gz: truncated at byte 3\n"


def test_make_hands_on_what_the_flags_say(monkeypatch, capfd, tmp_path):
    made = {}

    def make(out, *, create_runner, **given):
        made.update(given, out=out, runner=create_runner("folder"))
        return "what was made"

    def create_runner(folder, **given):
        return folder, given

    module = SimpleNamespace(make=make, create_runner=create_runner)
    monkeypatch.setitem(sys.modules, "prune_rl.dataset_tool.making", module)
    argv = [f"--out={tmp_path}", "--format=rlu", "--agent_steps=30", "--checkpoint_rows=7"]
    gin = ["--gin_files=a.gin", "--gin_files=b.gin", "--gin_bindings=x.y=1"]
    assert command.main(["make", *argv, *gin, "--collect_steps=40"]) == 0
    assert capfd.readouterr().out == "what was made\n"
    composed = {"gin_files": ["a.gin", "b.gin"], "gin_bindings": ["x.y=1"], "agent_steps": 30}
    expected = {"out": tmp_path, "format": "rlu", "agent_steps": 30, "checkpoint_rows": 7}
    assert made == {**expected, "collect_steps": 40, "runner": ("folder", composed)}
    made.clear()
    assert command.main(["make", *argv[:-1], *gin]) == 0
    assert made["collect_steps"] is None
    assert "checkpoint_rows" not in made
    capfd.readouterr()
    argv[1] = "--format=d4rl"
    assert command.main(["make", *argv, *gin]) == 2
    said = (
        "prune_rl.datasets: --checkpoint_rows=7: a run of --format=d4rl is one file; leave it out"
    )
    assert capfd.readouterr().err == f"{said}\n"


def test_make_without_an_agent(monkeypatch, capfd, tmp_path):
    monkeypatch.setitem(
        sys.modules, "prune_rl.dataset_tool.making", SimpleNamespace(make=None, create_runner=None)
    )
    argv = ["make", f"--out={tmp_path}", "--format=rlu", "--agent_steps=30"]
    assert command.main(argv) == 2
    assert "--gin_files: none given; start from" in capfd.readouterr().err
