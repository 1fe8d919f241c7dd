"""The commands of the README and of docs/ are run as they stand there, some of them shorter."""

import json
import os
import re
import shlex
import subprocess
import threading

import pytest

from .pages import PAGES, ROOT, TEXTS, blocks, command_with, commands, run, run_blocks

_ROBOTS = ("runs/sac", "--out=data/cheetah", "runs/iql")
_TRACKED = ("python -m prune_rl.train --base_dir=runs/pruned --gin", "WANDB_MODE=offline", "sweep")
# Commands that are made shorter below, each by a word that only it has.
_SHORTENED = {
    "README.md": (
        "quickstart.sh",
        "runs/breakout",
        "prune_rl.evaluate",
        "prune_rl.export",
    ),
    "docs/install.md": ("run_tests.sh",),
    "docs/train.md": ("networks/impala.gin", "--dry_run", "runs/compiled"),
    "docs/compose.md": ("suites/atari_15.gin --list",),
    "docs/sweep.md": (
        "launch.sweep",
        "prune_rl.report ",
        "figure_1.gin --list",
        "--cell=",
        "Grid.seeds_per_cell=5",
    ),
    "docs/outputs.md": ("reporting.curves",),
    "docs/measure.md": ("reporting.diagnostics",),
    "docs/data.md": ("--out=data/pong", "datasets verify", "agents/cql.gin"),
    "docs/robots.md": _ROBOTS,
    "docs/speed.md": ("benchmarks.accelerator",),
    "docs/prune.md": (),
    "docs/tracking.md": _TRACKED,
}
_ELSEWHERE = ("docs/api.md",)  # tests/test_api_docs.py runs it, and compares what it prints
_WHOLE = [page for page in PAGES if blocks(page) and page not in (*_SHORTENED, *_ELSEWHERE)]
_SHORTER = [
    f"--gin_bindings={binding}"
    for binding in (
        "Runner.num_iterations=2",
        "Runner.training_steps=40",
        "Runner.evaluation_steps=0",
        "DQNAgent.min_replay_history=30",
        "DQNAgent.replay_ratio=0.5",
    )
]
_NARROW = ["--gin_bindings=ImpalaTorso.width=1", "--gin_bindings=DQNAgent.replay_ratio=0.1"]


@pytest.mark.parametrize("page", _SHORTENED)
def test_every_command_of_a_page_is_known_here(page):
    known = [command_with(page, word) for word in _SHORTENED[page]]
    assert sorted(commands(page)) == sorted(known)


@pytest.mark.parametrize("page", _WHOLE)
def test_a_page_runs_from_top_to_bottom(page, tmp_path):
    done = run_blocks(blocks(page), tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_compiled_run(tmp_path):
    done = run(command_with("docs/train.md", "runs/compiled"), tmp_path, _SHORTER)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/compiled/curve.png").exists()


def test_a_composed_run(tmp_path):
    done = run(command_with("README.md", "runs/breakout"), tmp_path, _SHORTER)
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "runs/breakout/config.gin").read_text()
    assert "MinAtarTorso.width = 4" in config
    assert "create_updater_from_config.sparsity = 0.9\n" in config


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """The folder in which the quickstart has run."""
    folder = tmp_path_factory.mktemp("quickstart")
    command = command_with("README.md", "quickstart.sh")
    done = run(command.replace("quickstart.sh", f"{ROOT}/quickstart.sh"), folder, _SHORTER)
    assert done.returncode == 0, done.stderr
    return folder


def test_quickstart_and_the_comparison(quickstart):
    assert (quickstart / "runs/quickstart/compare.png").read_bytes().startswith(b"\x89PNG")
    done = run(command_with("docs/outputs.md", "reporting.curves"), quickstart)
    assert done.returncode == 0, done.stderr
    assert len((quickstart / "runs/compare.csv").read_text().splitlines()) == 1 + 2 * 2 * 3


def test_what_the_quickstart_trained_is_evaluated_exported_and_loaded(quickstart):
    done = run(command_with("README.md", "prune_rl.evaluate"), quickstart)
    assert done.returncode == 0, done.stderr
    assert json.loads((quickstart / "eval.json").read_text())
    done = run(command_with("README.md", "prune_rl.export"), quickstart)
    assert done.returncode == 0, done.stderr
    assert list((quickstart / "policy").iterdir())
    (load,) = [part for part in blocks("README.md") if "load_run" in part[1]]
    done = run_blocks([load], quickstart)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "80 agent steps of breakout, sparsity 0.95\n"


def test_quickstart_shows_progress_as_it_happens(tmp_path):
    """A python that trains until a file is there stands in; its line must come before that."""
    go, stub = tmp_path / "go", tmp_path / "venv" / "bin" / "python"
    stub.parent.mkdir(parents=True)
    stub.write_text(
        "#!/bin/bash\n"
        "case $2 in\n"
        f"  prune_rl.train) echo under way >&2; while [ ! -e {go} ]; do sleep 0.05; done ;;\n"
        "  prune_rl.reporting.curves) echo wrote ${@: -1} ;;\n"
        "esac\n"
    )
    stub.chmod(0o755)
    process = subprocess.Popen(
        ["bash", str(ROOT / "quickstart.sh")],
        env=os.environ | {"VENV": str(stub.parents[1]), "RUNS": "runs/quickstart"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(30, go.touch)  # ends a quickstart that says nothing
    watchdog.start()
    lines = [process.stdout.readline() for _ in range(4)]
    was_live = not go.exists()
    go.touch()
    watchdog.cancel()
    rest, _ = process.communicate(timeout=30)
    assert was_live, lines
    assert lines[0].startswith("installing into ")
    assert "minutes" in lines[1]
    assert sorted(lines[2:]) == ["dense: under way\n", "pruned: under way\n"]
    assert rest == "wrote --out=runs/quickstart/compare.png\n"
    assert process.returncode == 0


def test_a_pruning_method_of_ones_own_and_the_diagnostics(tmp_path):
    ((_, module),) = blocks("docs/prune.md")
    (tmp_path / "my_pruning.py").write_text(module)
    (gin_file,) = re.findall(r"```\n(import my_pruning.*?)```", TEXTS["docs/prune.md"], re.DOTALL)
    (tmp_path / "my_pruning.gin").write_text(gin_file)
    files = ("experiments/minatar_breakout.gin", "diagnostics/all.gin")
    command = "python -m prune_rl.train " + " ".join(f"--gin_files={name}" for name in files)
    for name, more in (("dense", ""), ("pruned", "--gin_files=my_pruning.gin")):
        done = run(f"{command} --base_dir=runs/{name} {more}", tmp_path, _SHORTER)
        assert done.returncode == 0, done.stderr
    config = (tmp_path / "runs/pruned/config.gin").read_text()
    assert "create_updater_from_config.pruner_type = 'root_saliency'" in config
    *_, last = (tmp_path / "runs/pruned/metrics.jsonl").read_text().splitlines()
    assert json.loads(last)["sparsity"] > 0.9
    done = run(command_with("docs/measure.md", "reporting.diagnostics"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/diagnostics.png").exists()


def test_a_dataset_is_made_verified_and_learned_from(tmp_path):
    page = "docs/data.md"
    done = run(command_with(page, "--out=data/pong"), tmp_path, ["--agent_steps=300"])
    assert done.returncode == 0, done.stderr
    done = run(command_with(page, "datasets verify"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("at most 303 transitions: whole\n")
    short = ["--gin_bindings=Runner.training_steps=6"]
    done = run(command_with(page, "agents/cql.gin"), tmp_path, short)
    assert done.returncode == 0, done.stderr
    *_, last = (tmp_path / "runs/cql/metrics.jsonl").read_text().splitlines()
    assert json.loads(last) | {"phase": "eval", "gradient_steps": 12} == json.loads(last)


def test_a_robot_is_controlled_and_its_data_are_learned_from(tmp_path):
    """Episodes are short, so that some of the data are complete, and evaluations few."""
    short = ("Runner.num_eval_episodes=1", "Runner.max_steps_per_episode=20")
    train, make, learn = (command_with("docs/robots.md", word) for word in _ROBOTS)
    own = [(train, ("SACAgent.min_replay_history=30",)), (make, ()), (learn, ())]
    for command, more in own:
        bindings = (*short, "Runner.training_steps=60", *more)
        flags = [f"--gin_bindings={x}" for x in bindings]
        done = run(command, tmp_path, flags + ["--agent_steps=300"] * (command == make))
        assert done.returncode == 0, done.stderr
    for name, seeds in (("sac", 2), ("iql", 5)):
        rows = (tmp_path / f"runs/{name}/metrics.jsonl").read_text().splitlines()
        evaluated = [x for x in map(json.loads, rows) if x["phase"] == "eval"]
        assert len(evaluated) == 2 * seeds
        assert all(x["normalized_score"] is not None for x in evaluated)
    assert sorted(x.name for x in (tmp_path / "data/cheetah").glob("*.hdf5"))


def test_run_tests_runs_pytest():
    command = command_with("docs/install.md", "run_tests.sh")
    done = run(command, ROOT, ["--collect-only", "tests/docs/test_commands.py"])
    assert done.returncode == 0, done.stderr
    assert "test_run_tests_runs_pytest" in done.stdout


def test_atari_command(tmp_path):
    command = command_with("docs/train.md", "networks/impala.gin")
    done = run(command, tmp_path, _SHORTER + _NARROW)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/pong/curve.png").exists()


def test_dry_run_command(tmp_path):
    done = run(command_with("docs/train.md", "--dry_run"), tmp_path, _SHORTER)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["size", "time"]
    assert " at $0.20/hour" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("page", "word", "num_lines"),
    [
        ("docs/compose.md", "suites/atari_15.gin --list", 15),
        ("docs/sweep.md", "figure_1.gin --list", 1500),
        ("docs/sweep.md", "Grid.seeds_per_cell=5", 300),
    ],
)
def test_list_commands(tmp_path, page, word, num_lines):
    done = run(command_with(page, word), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == num_lines


def test_cell_command(tmp_path):
    done = run(command_with("docs/sweep.md", "--cell="), tmp_path, _SHORTER + _NARROW)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/figure_1/dqn/x3/95/Pong/0/curve.png").exists()


def test_a_sweep_and_its_report(tmp_path):
    few = ["--cells=*/breakout/[01]", "--memory_gib_per_cell=1"]
    done = run(command_with("docs/sweep.md", "launch.sweep"), tmp_path, few + _SHORTER)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 cells have finished" in done.stderr
    done = run(command_with("docs/sweep.md", "prune_rl.report "), tmp_path)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "report"
    assert "<script" in (report / "report.html").read_text()
    assert len((report / "scores.csv").read_text().splitlines()) == 1 + 8
    assert any(path.stem.startswith("returns") for path in report.glob("*.png"))


def test_a_run_is_kept_for_weights_and_biases(tmp_path):
    pytest.importorskip("wandb")
    online, offline, _ = (command_with("docs/tracking.md", word) for word in _TRACKED)
    assert sorted(shlex.split(offline)) == sorted(["WANDB_MODE=offline", *shlex.split(online)])
    done = run(offline, tmp_path, _SHORTER)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "runs/pruned/wandb"
    assert f"--track=wandb: offline, kept in {kept}; `wandb sync` sends it" in done.stderr
    assert len(list(kept.glob("offline-run-*/*.wandb"))) == 3


def test_a_sweep_is_kept_for_weights_and_biases(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    sweep, behind = command_with("docs/tracking.md", "launch.sweep").split(" -- ")
    few = ["--cells=95/x1/breakout/0", "--backend=local", "--memory_gib_per_cell=1"]
    done = run(sweep, tmp_path, [*few, *_SHORTER, "--", behind])
    assert done.returncode == 0, done.stderr
    assert "1 of 1 cells" in done.stderr
    kept = tmp_path / "runs/g/95/x1/breakout/0/wandb"
    assert len(list(kept.glob("offline-run-*/*.wandb"))) == 1
