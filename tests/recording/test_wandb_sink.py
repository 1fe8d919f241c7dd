"""What reaches Weights & Biases, read from its own files, and what never reaches a training."""

import os
import subprocess
import sys
import time

import pytest

from prune_rl.recording import wandb_sink
from prune_rl.recording.wandb_sink import About, WandB

pytest.importorskip("wandb")
from .wandb_files import read_offline

_SETTINGS = {"DQNAgent.gamma": 0.99, "Runner.agent": "@DQNAgent()", "Suite.name": None}
_ABOUT = About("gradient_steps", [3, 4], _SETTINGS, ["dqn", "breakout", "magnitude 95%"])
_SLEEPS = (sys.executable, "-c", "import time; time.sleep(300)")
_DIES = (sys.executable, "-c", "import sys; sys.stdin.close()")
# Begins a run only when there is a file `go`.
_SLOW_WANDB = """
import os, time
class Error(Exception): pass
class Settings:
    def __init__(self, **_): pass
class Run:
    disabled, offline, url = False, False, "somewhere"
    def define_metric(self, *_, **__): pass
    def log(self, row):
        with open("logged", "a") as file:
            print(row["steps"], file=file)
    def finish(self):
        os.rename("logged", "finished")
def init(**_):
    while not os.path.exists("go"):
        time.sleep(0.05)
    return Run()
"""
# More rows than a pipe holds.
_TRAINING = """
import os
from pathlib import Path
from prune_rl.recording import wandb_sink
wandb_sink._WAIT_SECONDS = 0.2
sink = wandb_sink.WandB(Path(), wandb_sink.About("steps", [0], {}, []))
for step in range(2_000):
    sink.scalars(0, {f"Train/{i}": 0.5 for i in range(20)}, step)
"""
_CLOSES = "sink.close(); print('went on')"
_IS_KILLED = "sink._rows.write(b'{\"seed\": 0, '); sink._rows.flush(); os._exit(0)"


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """A run of two seeds that was taken up once, after its second row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        for name in ("WANDB_PROJECT", "WANDB_RUN_GROUP"):
            patch.delenv(name, raising=False)
        folder = tmp_path_factory.mktemp("work")
        patch.chdir(folder)
        directory = folder / "runs" / "pruned"
        directory.mkdir(parents=True)
        for steps in (100, 200):
            sink = WandB(directory, _ABOUT)
            sink.scalars(3, {"Train/Loss": steps / 8, "Train/Sparsity": 0.5}, steps)
            sink.scalars(4, {"Eval/AverageReturns": -1.0}, steps)
            sink.close()
    return read_offline(directory)


def test_every_seed_is_a_run_of_one_group(offline):
    assert sorted(offline) == [3, 4]
    for seed, (own, _) in offline.items():
        told = own.run
        assert told.project == "prune_rl"
        assert told.run_group == "runs/pruned"
        assert told.display_name == f"runs/pruned/seed {seed}"
        assert list(told.tags) == ["dqn", "breakout", "magnitude 95%"]
        config = {name: value for name, value in own.config.items() if name != "_wandb"}
        assert config == _SETTINGS | {"seed": seed}


def test_scalars_are_over_the_clocks_steps(offline):
    (three, _), (four, _) = offline[3], offline[4]
    assert three.rows == [{"Train/Loss": 12.5, "Train/Sparsity": 0.5, "gradient_steps": 100}]
    assert four.rows == [{"Eval/AverageReturns": -1.0, "gradient_steps": 100}]
    for own in (three, four):
        assert own.metrics["*"].step_metric == "gradient_steps"


def test_a_run_taken_up_goes_on_in_theirs(offline):
    for seed, (first, second) in offline.items():
        assert first.run.run_id == second.run.run_id
        assert first.run.run_id.endswith(f"-{seed}")
    assert offline[3][1].rows == [
        {"Train/Loss": 25.0, "Train/Sparsity": 0.5, "gradient_steps": 200}
    ]


def test_another_run_directory_is_another_run_of_theirs(tmp_path):
    ids = [wandb_sink._kept_id(tmp_path / name) for name in ("a", "b", "a")]
    assert ids[0] == ids[2] != ids[1]
    (tmp_path / "a" / wandb_sink.ID_FILE).write_text("half a l")
    made = wandb_sink._kept_id(tmp_path / "a")
    assert made not in ids
    assert wandb_sink._kept_id(tmp_path / "a") == made


@pytest.mark.parametrize(
    ("directory", "seeds", "sweep", "group"),
    [
        ("runs/pruned", [0, 1], None, "runs/pruned"),
        ("runs/f1/dqn/x3/95/Pong/0", [0], "runs/f1", "f1/dqn/x3/95/Pong"),
        ("runs/f1/dqn/x3/95/Pong/0-4", [0, 1, 2, 3, 4], "runs/f1", "f1/dqn/x3/95/Pong"),
        ("runs/pruned/Pong/7", [7], None, "runs/pruned/Pong"),
        ("runs/7", [0], None, "runs/7"),  # not its seed
        ("../elsewhere/pruned", [0], None, "pruned"),
    ],
)
def test_seeds_of_one_arm_and_game_are_of_one_group(
    tmp_path, monkeypatch, directory, seeds, sweep, group
):
    work = tmp_path / "work"
    (work / directory).mkdir(parents=True)
    if sweep:
        (work / sweep / "sweep.json").write_text("{}")
    monkeypatch.chdir(work)
    monkeypatch.delenv("WANDB_RUN_GROUP", raising=False)
    told = wandb_sink._header((work / directory).resolve(), _ABOUT._replace(seeds=seeds))
    assert told["group"] == group
    assert [own["name"] for own in told["runs"]] == [f"{group}/seed {seed}" for seed in seeds]


def test_project_and_group_of_the_environment_win(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "thesis")
    monkeypatch.setenv("WANDB_RUN_GROUP", "chapter 3")
    told = wandb_sink._header(tmp_path, _ABOUT)
    assert (told["project"], told["group"]) == ("thesis", "chapter 3")


def test_without_a_login_it_is_kept_offline_and_said_once(tmp_path, monkeypatch, capfd):
    for name in [x for x in os.environ if x.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home"))
    directory = tmp_path / "run"
    directory.mkdir()
    sink = WandB(directory, _ABOUT._replace(seeds=[3]))
    sink.scalars(3, {"Train/Loss": 0.5}, 10)
    sink.close()
    said = [line for line in capfd.readouterr().err.splitlines() if "--track" in line]
    (line,) = said
    assert line.startswith("prune_rl.train: --track=wandb: No API key configured.")
    assert line.endswith(f"; kept offline in {directory}/wandb; `wandb sync` sends it")
    ((own,),) = read_offline(directory).values()
    assert own.rows == [{"Train/Loss": 0.5, "gradient_steps": 10}]


@pytest.mark.parametrize("process", [_SLEEPS, _DIES, ("/nowhere/python",)])
def test_what_hangs_or_dies_neither_stops_nor_slows_a_training(
    tmp_path, monkeypatch, capfd, process
):
    monkeypatch.setattr(wandb_sink, "_PROCESS", process)
    monkeypatch.setattr(wandb_sink, "_WAIT_SECONDS", 0.2)
    sink = WandB(tmp_path, _ABOUT)
    began = time.monotonic()
    for step in range(2_000):  # more than a pipe holds
        sink.scalars(3, {f"Train/{i}": 0.5 for i in range(20)}, step)
    sink.flush()
    sink.close()
    assert time.monotonic() - began < 5
    said = capfd.readouterr().err
    if process == _SLEEPS:
        assert "still sending; process " in said
        sink._process.kill()
        sink._process.wait()
    if len(process) == 1:
        assert said.startswith("prune_rl.train: --track=wandb: cannot begin: ")
        assert said.endswith("; the training goes on without\n")


@pytest.mark.parametrize("ends", [_CLOSES, _IS_KILLED], ids=["closes", "is killed"])
def test_no_row_is_lost_where_theirs_begins_after_a_training_has_ended(tmp_path, ends):
    """Nor where nobody reads what is said any more."""
    (tmp_path / "wandb.py").write_text(_SLOW_WANDB)
    own = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{wandb_sink._python_path()}"}
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", _TRAINING + ends]
    with open(write, "w") as nobody:
        done = subprocess.run(
            command, cwd=tmp_path, env=own, stdout=subprocess.PIPE, stderr=nobody, text=True
        )
    assert done.stdout == ("went on\n" if ends == _CLOSES else "")
    (tmp_path / "go").touch()
    finished, until = tmp_path / "finished", time.monotonic() + 30
    while not finished.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert finished.read_text().split() == [str(step) for step in range(2_000)]


def test_a_full_disk_is_said_once(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(wandb_sink, "_PROCESS", _DIES)
    sink = WandB(tmp_path, _ABOUT)
    sink._rows.close()
    sink._rows = open("/dev/full", "wb")  # noqa: SIM115
    for step in range(3):
        sink.scalars(3, {"Train/Loss": 0.5}, step)
    sink.close()
    (line,) = capfd.readouterr().err.splitlines()
    assert "no row is kept any more: [Errno 28]" in line
    assert line.endswith("; the training goes on without")
