"""A sweep as it is called, with trainings that do what they are told."""

import json
import os
import shlex
import signal
import sys
import types
from pathlib import Path

import pytest

from launch import local, plan, sweep

_KINDS = [f"{arm}/{game}" for arm in ("dense", "pruned") for game in ("breakout", "asterix")]
_CELLS = {f"{kind}/{seed}" for kind in _KINDS for seed in (0, 1)}


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_every_cell_is_trained_and_has_its_directory_and_log(sweep_flags, scripted, capsys):
    assert sweep.main([*sweep_flags, "--workers=1"]) == 0  # of two, either may be slow to begin
    began = scripted.cells("began")
    assert sorted(began) == sorted(_CELLS)
    assert {x.rpartition("/")[2] for x in began[:4]} == {"0"}
    for name in _CELLS:
        assert (Path("runs/g") / name / "metrics.jsonl").exists()
        assert Path(f"runs/g/{name}.log").exists()
    assert capsys.readouterr().err.endswith("8 of 8 cells have finished\n")


def test_the_same_command_again_trains_nothing(sweep_flags, scripted, capsys):
    assert sweep.main(sweep_flags) == 0
    capsys.readouterr()
    assert sweep.main(sweep_flags) == 0
    assert len(scripted.journal("began")) == 8
    assert capsys.readouterr().err.splitlines() == [
        "runs/g: 8 cells, 8 of them finished before",
        "8 of 8 cells have finished",
    ]


def test_a_grid_that_grew_trains_what_is_new(sweep_flags, scripted):
    assert sweep.main([*sweep_flags, "--cells=dense/*"]) == 0
    assert sweep.main([*sweep_flags, "--gin_bindings=Grid.num_seeds=3"]) == 0
    began = scripted.cells("began")
    assert len(began) == len(set(began)) == 12


def test_a_folder_in_which_another_grid_has_finished_is_refused(
    sweep_flags, grid_file, scripted, capsys
):
    assert sweep.main([*sweep_flags, "--cells=*/0"]) == 0
    held = Path("runs/g/sweep.json").read_text()
    grid_file.write_text(grid_file.read_text().replace("'pruned'", "'sparse'"))
    capsys.readouterr()
    for more in ([], ["--cells=dense/*"], ["--dry_run"]):
        assert sweep.main([*sweep_flags, *more]) == 2
        line = "--base_dir=runs/g: 2 cells of another grid have finished here, as 'pruned/"
        assert capsys.readouterr().err.startswith(f"launch.sweep: {line}")
    assert Path("runs/g/sweep.json").read_text() == held
    assert len(scripted.journal("began")) == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("num_seeds = 2", "num_seeds = 1"),
        ("num_seeds = 2", "num_seeds = 2\nGrid.seeds_per_cell = 2"),
        ("minatar_2", "minatar"),
        ("'dense':", "'more': ['pruning/none.gin'], 'dense':"),
    ],
)
def test_a_grid_may_change_its_games_and_seeds_and_grow(sweep_flags, grid_file, scripted, old, new):
    assert sweep.main([*sweep_flags, "--cells=*/breakout/*"]) == 0
    grid_file.write_text(grid_file.read_text().replace(old, new))
    assert sweep.main([*sweep_flags, "--dry_run"]) == 0


def test_of_finished_cells_with_other_settings_their_trainings_tell(sweep_flags, scripted, capsys):
    assert sweep.main([*sweep_flags, "--cells=*/0"]) == 0
    scripted.tell({"*": ["mistake"]})
    code = sweep.main([*sweep_flags, "--cells=*/0", "--gin_bindings=Runner.num_iterations=3"])
    assert code == 1
    assert len(scripted.journal("began")) == 8
    err = capsys.readouterr().err
    assert "dense/breakout/0 failed: prune_rl.train: --base_dir: holds a run with other" in err


def test_a_broken_cell_is_tried_again_and_told_at_the_end(sweep_flags, scripted, capsys):
    scripted.tell(
        {
            "dense/breakout/0": ["crash"],
            "dense/asterix/0": ["crash", "finish"],
            "pruned/breakout/0": ["save", "save", "save", "save", "finish"],
            "pruned/asterix/0": ["mistake"],
        }
    )
    assert sweep.main([*sweep_flags, "--retries=1"]) == 1
    counts = {name: scripted.cells("began").count(name) for name in _CELLS}
    assert counts == dict.fromkeys(_CELLS, 1) | {
        "dense/breakout/0": 2,
        "dense/asterix/0": 2,
        "pruned/breakout/0": 5,
    }
    logs = Path("runs/g").absolute()
    assert capsys.readouterr().err.splitlines()[-3:] == [
        f"dense/breakout/0 failed: OSError: it broke ({logs}/dense/breakout/0.log)",
        "pruned/asterix/0 failed: prune_rl.train: --base_dir: holds a run with other settings "
        f"({logs}/pruned/asterix/0.log)",
        "6 of 8 cells have finished",
    ]
    scripted.tell({})
    assert sweep.main(sweep_flags) == 0
    assert len(scripted.cells("began")) == sum(counts.values()) + 2


@pytest.mark.parametrize("fails", ["measuring", "no room"])
def test_what_never_began_names_no_log_that_is_not_there(
    sweep_flags, scripted, capsys, monkeypatch, fails
):
    monkeypatch.setattr(local, "_MEASURE", (sys.executable, "-c", "import sys; sys.exit('no')"))
    own = [x for x in sweep_flags if not x.startswith("--memory")]
    own += ["--memory_gib_per_cell=1e6"] if fails == "no room" else []
    assert sweep.main([*own, "--cells=dense/breakout/0", "--retries=0"]) == 1
    line = capsys.readouterr().err.splitlines()[-2]
    if fails == "no room":
        assert line.endswith("make ReplayBuffer.max_capacity or Grid.seeds_per_cell smaller")
    else:
        said, _, log = line.rstrip(")").rpartition(" (")
        assert said == "dense/breakout/0 failed: measuring what it takes: no"
        assert Path(log).read_text() == "no\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--gin_files=suites/minatar_2.gin"], "--gin_files: no grid in suites/minatar_2.gin; exp"),
        (["--gin_files=GRIT.gin"], "--gin_files=GRIT.gin: no such file"),
        (["--gin_files=GRID.gin", "--cells=x"], "--cells=x: no such cell"),
        (["--gin_files=GRID.gin", "--retries=-1"], "--retries=-1: expected a whole number from 0"),
        (["--gin_files=GRID.gin", "--base_dir="], "--base_dir: none given"),
        (["--gin_files=GRID.gin", "--report=GRID.gin"], "--report=GRID.gin: expected a folder; "),
        (["--gin_files=GRID.gin", "--report=GRID.gin/x"], "--report=GRID.gin/x: expected a fold"),
        (["--gin_files=GRID.gin", "--report=/proc/sys"], "--report=/proc/sys: /"),
        (["--gin_files=GRID.gin", "--backend=ray", "--num_cpus=-1"], "--num_cpus=-1: expected"),
    ],
)
def test_a_mistake_is_one_line(grid_file, scripted, capsys, flags, message):
    assert sweep.main(["--base_dir=runs/g", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"launch.sweep: {message}")
    assert not Path("runs").exists()


def test_a_disk_that_is_full_is_one_line(sweep_flags, scripted, capsys, monkeypatch):
    def write(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plan.tensor_files, "write_bytes", write)
    assert sweep.main(sweep_flags) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("launch.sweep: [Errno 28] No space left on device; the same command")


def test_a_run_directory_is_no_folder_for_a_sweep(sweep_flags, scripted, capsys):
    Path("runs/g").mkdir(parents=True)
    Path("runs/g/config.gin").touch()
    assert sweep.main(sweep_flags) == 2
    assert "--base_dir=runs/g: is a run directory; expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--backend=lokal"], ["--workers=0"], ["--memory_gib_per_cell=-1"], ["--base_dri=x"]]
)
def test_a_wrong_flag_is_argparses(sweep_flags, flags, capsys):
    with pytest.raises(SystemExit) as raised:
        sweep.main([*sweep_flags, *flags])
    assert raised.value.code == 2
    assert flags[0].partition("=")[0] in capsys.readouterr().err


def test_a_wrong_backend_names_the_nearest(sweep_flags, capsys):
    with pytest.raises(SystemExit):
        sweep.main([*sweep_flags, "--backend=slrm"])
    err = capsys.readouterr().err
    assert err.endswith("argument --backend: no backend 'slrm'; did you mean 'slurm'?\n")


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit) as raised:
        sweep.main(["--help"])
    assert raised.value.code == 0
    out = capsys.readouterr().out
    own = ("--workers", "--memory_gib_per_cell", "--cells_per_gpu")
    for words in (*own, "examples:", "exit code"):
        assert words in out


def test_a_dry_run_lists_what_has_finished_and_the_commands_of_the_rest(
    sweep_flags, scripted, capsys, monkeypatch
):
    assert sweep.main([*sweep_flags, "--cells=dense/*"]) == 0
    capsys.readouterr()
    script = lambda flags, jobs: f"#!/bin/bash of {len(jobs)} jobs"  # noqa: E731
    monkeypatch.setattr(local, "script", script, raising=False)
    assert sweep.main([*sweep_flags, "--dry_run"]) == 0
    *rows, script, total = capsys.readouterr().out.splitlines()
    told = dict(row.split("\t") for row in rows)
    assert told.keys() == _CELLS
    assert [name for name, rest in told.items() if rest == "finished"] == [
        name for name in told if name.startswith("dense")
    ]
    command = shlex.split(told["pruned/asterix/1"])
    assert command[-1] == "--cell=pruned/asterix/1"
    assert f"--base_dir={Path('runs/g').absolute()}/pruned/asterix/1" in command
    assert script == "#!/bin/bash of 4 jobs"
    assert total == "8 cells: 4 finished, 4 to go"
    assert len(scripted.journal("began")) == 4


def test_a_dry_run_leaves_nothing(sweep_flags, scripted, capsys):
    assert sweep.main([*sweep_flags, "--dry_run"]) == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize(("drawn", "broken", "code"), [(0, False, 0), (2, False, 2), (0, True, 1)])
def test_when_all_have_ended_the_report_is_drawn(
    sweep_flags, scripted, monkeypatch, drawn, broken, code
):
    asked = []
    report = types.SimpleNamespace(main=lambda argv: asked.append(argv) or drawn)
    monkeypatch.setitem(sys.modules, "prune_rl.report", report)
    scripted.tell({"dense/breakout/0": ["mistake"]} if broken else {})
    assert sweep.main([*sweep_flags, "--report=report", "--cells=*/0"]) == code
    assert asked == [["runs/g", "--out=report"]]


def test_the_backend_is_imported_when_it_is_asked_for(sweep_flags, monkeypatch):
    monkeypatch.setitem(sweep.BACKENDS, "ray", "launch.nowhere")
    sweep.parse(sweep_flags)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        sweep.parse([*sweep_flags, "--backend=ray"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_lets_trainings_save_and_goes_on_when_called_again(
    sweep_flags, scripted, start_sweep, until, number
):
    scripted.tell({"*": ["finish when told"]})
    process = start_sweep(*sweep_flags, "--workers=2")
    until(lambda: len(scripted.journal("ready")) == 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert sorted(scripted.cells("saved")) == ["dense/asterix/0", "dense/breakout/0"]
    assert err.splitlines()[-2:] == [
        "launch.sweep: interrupted; trainings save and end, Ctrl-C again kills them",
        "launch.sweep: all have ended; the same command goes on",
    ]
    scripted.go()
    assert sweep.main(sweep_flags) == 0
    assert len(scripted.journal("began")) == 2 + 8


def test_interrupted_twice_it_kills_them(sweep_flags, scripted, start_sweep, until):
    scripted.tell({"*": ["deaf"]})
    process = start_sweep(*sweep_flags, "--workers=2")
    until(lambda: len(scripted.journal("ready")) == 2)
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C again" in _line_with(process.stderr, "interrupted")
    assert all(_alive(x["pid"]) for x in scripted.journal("began"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    until(lambda: not any(_alive(x["pid"]) for x in scripted.journal("began")))


def _line_with(stream, word):
    return next(line for line in stream if word in line)


def test_killed_it_takes_its_trainings_with_it_and_they_save(
    sweep_flags, scripted, start_sweep, until
):
    scripted.tell({"*": ["finish when told"]})
    process = start_sweep(*sweep_flags, "--workers=2")
    until(lambda: len(scripted.journal("ready")) == 2)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: len(scripted.journal("saved")) == 2)
    until(lambda: not any(_alive(x["pid"]) for x in scripted.journal("began")))
    scripted.go()
    assert sweep.main(sweep_flags) == 0


def test_two_on_one_folder_refuse_each_other(sweep_flags, scripted, start_sweep, until, capsys):
    scripted.tell({"*": ["finish when told", "finish"]})
    process = start_sweep(*sweep_flags)
    until(lambda: scripted.journal("ready"))
    assert sweep.main([*sweep_flags, "--cells=dense/breakout/0"]) == 2
    line = f"launch.sweep: --base_dir=runs/g: process {process.pid} on "
    assert capsys.readouterr().err.startswith(line)
    scripted.go()
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_flags_for_every_training_reach_it(sweep_flags, scripted):
    assert sweep.main([*sweep_flags, "--cells=dense/breakout/0", "--", "--traceback"]) == 0
    held = json.loads(Path("runs/g/sweep.json").read_text())
    assert held["cells"] == ["dense/breakout/0"]
    assert held["train_flags"] == ["--traceback"]
