"""The commands of the README are run as they stand there, only shorter."""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from prune_rl import configuration, train
from prune_rl.gin_files import shipped_gin_files
from prune_rl.grid import Grid

_ROOT = Path(__file__).resolve().parent.parent
_README = (_ROOT / "README.md").read_text()
_FIGURES = (_ROOT / "gin_configs/experiments/README.md").read_text()
_BLOCKS = re.findall(r"```bash\n(.*?)```", _README, re.DOTALL)
_COMMANDS = [block.replace("\\\n", " ").strip() for block in _BLOCKS]
_ROBOTS = ("runs/sac", "--out=data/cheetah", "runs/iql")
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


def _run(command: str, folder: Path) -> subprocess.CompletedProcess:
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ
        | {
            "PATH": python,
            "VENV": sys.prefix,
            "RUNS": str(folder / "runs/quickstart"),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # nearly all of the time is compiling
        },
        capture_output=True,
        text=True,
    )


def _command_with(word: str) -> str:
    (command,) = [command for command in _COMMANDS if word in command]
    return command


def test_every_command_of_the_readme_is_known_here():
    words = (
        "quickstart.sh",
        "run_tests.sh",
        "networks/impala.gin",
        "--dry_run",
        "suites/atari_15.gin --list",
        "figure_1.gin --list",
        "Grid.seeds_per_cell=5",
        "--cell=",
        "reporting.curves",
        "reporting.diagnostics",
        "--out=data/pong",
        "datasets verify",
        "agents/cql.gin",
        "runs/compiled",
        "launch.sweep",
        "prune_rl.report ",
        "benchmarks.accelerator",
        *_ROBOTS,
    )
    assert sorted(_COMMANDS) == sorted(_command_with(word) for word in words)


def test_a_compiled_run(tmp_path):
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    done = _run(f"{_command_with('runs/compiled')} {arguments}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/compiled/curve.png").exists()


def test_quickstart_and_the_comparison(tmp_path):
    script = _ROOT / "quickstart.sh"
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    command = _command_with("quickstart.sh").replace("quickstart.sh", f"{script} {arguments}")
    done = _run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/quickstart/compare.png").read_bytes().startswith(b"\x89PNG")
    done = _run(_command_with("reporting.curves"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "runs/compare.csv").read_text().splitlines()) == 1 + 2 * 2 * 3


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
        ["bash", str(_ROOT / "quickstart.sh")],
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
    (module,) = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)
    (tmp_path / "my_pruning.py").write_text(module)
    (gin_file,) = re.findall(r"```\n(import my_pruning.*?)```", _README, re.DOTALL)
    (tmp_path / "my_pruning.gin").write_text(gin_file)
    short = " ".join(shlex.quote(binding) for binding in _SHORTER)
    files = ("experiments/minatar_breakout.gin", "diagnostics/all.gin")
    command = "python -m prune_rl.train " + " ".join(f"--gin_files={name}" for name in files)
    for name, more in (("dense", ""), ("pruned", "--gin_files=my_pruning.gin")):
        done = _run(f"{command} --base_dir=runs/{name} {short} {more}", tmp_path)
        assert done.returncode == 0, done.stderr
    config = (tmp_path / "runs/pruned/config.gin").read_text()
    assert "create_updater_from_config.pruner_type = 'root_saliency'" in config
    *_, last = (tmp_path / "runs/pruned/metrics.jsonl").read_text().splitlines()
    assert json.loads(last)["sparsity"] > 0.9
    done = _run(_command_with("reporting.diagnostics"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/diagnostics.png").exists()


def test_a_dataset_is_made_verified_and_learned_from(tmp_path):
    done = _run(f"{_command_with('--out=data/pong')} --agent_steps=300", tmp_path)
    assert done.returncode == 0, done.stderr
    done = _run(_command_with("datasets verify"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("at most 303 transitions: whole\n")
    short = "--gin_bindings=Runner.training_steps=6"
    done = _run(f"{_command_with('agents/cql.gin')} {short}", tmp_path)
    assert done.returncode == 0, done.stderr
    *_, last = (tmp_path / "runs/cql/metrics.jsonl").read_text().splitlines()
    assert json.loads(last) | {"phase": "eval", "gradient_steps": 12} == json.loads(last)


def test_a_robot_is_controlled_and_its_data_are_learned_from(tmp_path):
    """Episodes are short, so that some of the data are complete, and evaluations few."""
    short = ("Runner.num_eval_episodes=1", "Runner.max_steps_per_episode=20")
    train, make, learn = map(_command_with, _ROBOTS)
    own = [(train, ("SACAgent.min_replay_history=30",)), (make, ()), (learn, ())]
    for command, more in own:
        bindings = (*short, "Runner.training_steps=60", *more)
        flags = " ".join(f"--gin_bindings={x}" for x in bindings)
        done = _run(f"{command} {flags}" + " --agent_steps=300" * (command == make), tmp_path)
        assert done.returncode == 0, done.stderr
    for name, seeds in (("sac", 2), ("iql", 5)):
        rows = (tmp_path / f"runs/{name}/metrics.jsonl").read_text().splitlines()
        evaluated = [x for x in map(json.loads, rows) if x["phase"] == "eval"]
        assert len(evaluated) == 2 * seeds
        assert all(x["normalized_score"] is not None for x in evaluated)
    assert sorted(x.name for x in (tmp_path / "data/cheetah").glob("*.hdf5"))


def test_run_tests_runs_pytest():
    done = _run(f"{_command_with('run_tests.sh')} --collect-only tests/test_readme.py", _ROOT)
    assert done.returncode == 0, done.stderr
    assert "test_run_tests_runs_pytest" in done.stdout


def test_atari_command(tmp_path):
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    narrow = "--gin_bindings=ImpalaTorso.width=1 --gin_bindings=DQNAgent.replay_ratio=0.1"
    done = _run(f"{_command_with('networks/impala.gin')} {arguments} {narrow}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/pong/curve.png").exists()


def test_dry_run_command(tmp_path):
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    done = _run(f"{_command_with('--dry_run')} {arguments}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["size", "time"]
    assert " at $0.20/hour" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "num_lines"),
    [
        ("suites/atari_15.gin --list", 15),
        ("figure_1.gin --list", 1500),
        ("Grid.seeds_per_cell=5", 300),
    ],
)
def test_list_commands(tmp_path, command, num_lines):
    done = _run(_command_with(command), tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == num_lines


def test_cell_command(tmp_path):
    arguments = " ".join(shlex.quote(binding) for binding in _SHORTER)
    narrow = "--gin_bindings=ImpalaTorso.width=1 --gin_bindings=DQNAgent.replay_ratio=0.1"
    done = _run(f"{_command_with('--cell=')} {arguments} {narrow}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/figure_1/dqn/x3/95/Pong/0/curve.png").exists()


def test_a_sweep_and_its_report(tmp_path):
    shorter = " ".join(shlex.quote(binding) for binding in _SHORTER)
    sweep = f"{_command_with('launch.sweep')} --cells='*/breakout/[01]' --memory_gib_per_cell=1"
    done = _run(f"{sweep} {shorter}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 of 8 cells have finished" in done.stderr
    done = _run(_command_with("prune_rl.report "), tmp_path)
    assert done.returncode == 0, done.stderr
    report = tmp_path / "report"
    assert "<script" in (report / "report.html").read_text()
    assert len((report / "scores.csv").read_text().splitlines()) == 1 + 8
    assert any(path.stem.startswith("returns") for path in report.glob("*.png"))


def test_the_table_of_figures_counts_as_list_does():
    pattern = r"\| figure, as `experiments/figure_1.gin` \| what \| trainings \|\n(.*?)\n\n"
    (table,) = re.findall(pattern, _README, re.DOTALL)
    counted = {}
    for row in table.splitlines()[1:]:
        files, _, number = (part.strip() for part in row.strip("|").split(" | "))
        figures, _, other = files.partition(";")
        names = [f"experiments/figure_{x}.gin" for x in re.findall(r"\d+", figures) if x != "2"]
        names += re.findall(r"experiments/\w+\.gin", other)
        numbers = [int(x.replace(",", "")) for x in re.findall(r"\d[\d,]*\d", number)]
        if names:
            counted |= dict(zip(names, numbers * (len(names) // len(numbers)), strict=True))
    assert len(counted) == 17
    for name, number in counted.items():
        configuration.load([name], [])
        assert len(Grid()) == number, name


def test_the_table_of_sparse_reg_counts_as_list_does():
    pattern = r"\| grid \| what \| trainings of five seeds \|\n(.*?)\n\n"
    (table,) = re.findall(pattern, _README, re.DOTALL)
    counted = {}
    for row in table.splitlines()[1:]:
        files, _, number = (part.strip() for part in row.strip("|").split(" | "))
        names, numbers = re.findall(r"experiments/\w+\.gin", files), re.findall(r"\d+", number)
        counted |= dict(zip(names, numbers * (len(names) // len(numbers)), strict=True))
    of_the_paper = r"experiments/sparse_reg_(table|figure)_\d+\.gin"
    assert set(counted) == {x for x in shipped_gin_files() if re.fullmatch(of_the_paper, x)}
    for name, number in counted.items():
        configuration.load([name], [])
        assert (len(Grid()), Grid().seeds_per_cell) == (int(number), 5), name


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", _README)
    assert {"LICENSE", "results/minatar_breakout", "results/minatar"} <= set(links)
    for link in links:
        assert (_ROOT / link).exists(), link


def test_the_license_is_the_one_that_the_package_names():
    text = (_ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "\nlicense = Apache-2.0\nlicense_files = LICENSE\n" in (_ROOT / "setup.cfg").read_text()


def test_what_the_paper_leaves_open_is_said_for_every_figure():
    table = _FIGURES.split("## Figure by figure")[1]
    said = {
        number
        for row in re.findall(r"^\| (\d[\d, ]*) \|", table, re.M)
        for number in row.split(", ")
    }
    assert said == {str(number) for number in range(1, 18)}
    assert "`atari_100k.gin`" in table


@pytest.mark.parametrize("text", [_README, _FIGURES, train.parser().epilog])
def test_every_gin_file_that_is_named_exists(text):
    names = re.findall(
        r"\b(?:agents|networks|pruning|plasticity|regularization|diagnostics|suites|experiments)"
        r"/\w+\.gin",
        text,
    )
    assert names
    for name in names:
        assert (_ROOT / "gin_configs" / name).is_file(), name
