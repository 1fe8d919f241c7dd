"""Which jobs a sweep has, in which order, and what is recorded of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from launch import plan, sweep
from prune_rl.errors import ConfigError
from prune_rl.train import parser


@pytest.fixture
def jobs(sweep_flags):
    return lambda *more: plan.jobs(sweep.parse([*sweep_flags, *more]))


def test_seed_0_of_everything_comes_first(jobs):
    assert [job.name for job in jobs()] == [
        f"{arm}/{game}/{seed}"
        for seed in (0, 1)
        for arm in ("dense", "pruned")
        for game in ("breakout", "asterix")
    ]


def test_cells_of_several_seeds_are_ordered_by_the_first(jobs):
    found = jobs("--gin_bindings=Grid.num_seeds=12", "--gin_bindings=Grid.seeds_per_cell=5")
    assert [job.name.rpartition("/")[2] for job in found] == 4 * ["0-4"] + 4 * ["5-9"] + 4 * [
        "10-11"
    ]


def test_a_job_is_the_cell_of_the_grid_in_a_directory_of_its_own(jobs, tmp_path):
    (job,) = jobs("--cells=pruned/asterix/1", "--gin_bindings=Runner.num_iterations=3", "--")
    assert job.directory == tmp_path / "runs/g/pruned/asterix/1"
    assert job.log == tmp_path / "runs/g/pruned/asterix/1.log"
    assert job.command[1:3] == ["-m", "prune_rl.train"]
    flags = parser().parse_args(job.command[3:])
    assert flags.base_dir == str(job.directory)
    assert flags.gin_files == [str(tmp_path / "GRID.gin")]  # for any folder
    assert flags.gin_bindings == ["Runner.num_iterations=3"]
    assert flags.cell == "pruned/asterix/1"


def test_a_shipped_file_goes_by_its_name(sweep_flags):
    flags = ["--gin_files=experiments/minatar_scaling.gin", "--base_dir=runs/s"]
    assert plan.jobs(sweep.parse(flags))[0].cell.gin_files == ("experiments/minatar_scaling.gin",)


def test_patterns_pick_cells(jobs):
    names = [job.name for job in jobs("--cells=dense/*", "--cells=*/1")]
    assert names == [f"dense/{x}/0" for x in ("breakout", "asterix")] + [
        f"{arm}/{x}/1" for arm in ("dense", "pruned") for x in ("breakout", "asterix")
    ]


def test_a_name_picks_its_cell_though_it_has_a_bracket(jobs, grid_file):
    grid_file.write_text(grid_file.read_text().replace("'dense'", "'dense[x]'"))
    assert [job.name for job in jobs("--cells=dense[x]/breakout/0")] == ["dense[x]/breakout/0"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cells=dens/breakout/0"], "no such cell; did you mean 'dense/breakout/0'"),
        (["--gin_bindings=DQNAgent.gama=1"], "no parameter 'gama'; did you mean 'gamma'"),
        (["--", "--dry_run"], "-- --dry_run: not for every training; expected some of --no_comp"),
        (["--", "--gin_bindings=Runner.seed=1"], "-- --gin_bindings: not for every training"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(jobs, flags, message):
    with pytest.raises(ConfigError, match=r"^--") as raised:
        jobs(*flags)
    assert message in str(raised.value)


def test_flags_of_every_training_are_handed_on(jobs):
    for job in jobs("--", "--no_compilation_cache", "--traceback"):
        assert job.flags[-2:] == ("--no_compilation_cache", "--traceback")


def test_a_service_is_looked_for_before_every_training_asks_for_it(jobs, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin=name))
    assert all(job.flags[-1] == "--track=wandb" for job in jobs("--", "--track=wandb"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^--track=wandb: wandb is not installed: pip install"):
        jobs("--", "--track=wandb")
    with pytest.raises(ConfigError, match="did you mean 'wandb'"):
        jobs("--", "--track=wandbb")


def _kinds(jobs):
    return {job.name: job.kind for job in jobs}


def test_cells_that_differ_in_game_and_seed_alone_are_of_a_kind(jobs):
    kinds = _kinds(jobs())
    assert len(set(kinds.values())) == 2
    assert kinds["dense/breakout/0"] == kinds["dense/asterix/1"] != kinds["pruned/asterix/1"]


def test_a_kind_is_all_that_is_set_but_how_many_cells_there_are(jobs, grid_file):
    before = _kinds(jobs())
    more = _kinds(jobs("--gin_bindings=Grid.num_seeds=3"))
    assert {name: more[name] for name in before} == before
    for binding in ("Runner.num_iterations=3", "Grid.seeds_per_cell=2", "MinAtarTorso.width=2"):
        assert not set(_kinds(jobs(f"--gin_bindings={binding}")).values()) & set(before.values())
    grid_file.write_text(grid_file.read_text() + "MinAtarTorso.width = 2\n")
    assert not set(_kinds(jobs()).values()) & set(before.values())


@pytest.fixture
def record(jobs):
    """A record in runs/g in which seed 0 of the dense arm has finished, and that job."""
    flags = sweep.parse(["--gin_files=GRID.gin", "--base_dir=runs/g"])
    job = jobs()[0]
    job.directory.mkdir(parents=True)
    (job.directory / "config.gin").write_text("Runner.num_iterations = 1\n")
    row = {"seed": 0, "iteration": 0, "phase": "train", "agent_steps": 10}
    (job.directory / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    own = plan.Record(Path("runs/g"))
    own.ask(flags, [x.name for x in jobs()])
    return own, job


def test_one_has_finished_when_its_training_said_so_with_these_settings(record, jobs):
    own, job = record
    assert not own.is_finished(job)  # as far as anybody knows: nobody asked its training
    own.finish([job])
    assert own.is_finished(job)
    again = plan.Record(Path("runs/g"))
    assert again.is_finished(job)
    other = jobs("--gin_bindings=Runner.num_iterations=3")[0]
    assert other.name == job.name
    assert not again.is_finished(other)
    assert not again.is_finished(jobs()[1])


def test_one_whose_run_is_gone_or_shorter_has_not(record):
    own, job = record
    own.finish([job])
    (job.directory / "config.gin").write_text("Runner.num_iterations = 2\n")
    assert not own.is_finished(job)
    (job.directory / "config.gin").unlink()
    assert not own.is_finished(job)


def test_what_was_asked_is_written_down(record):
    held = json.loads(Path("runs/g/sweep.json").read_text())
    assert held["gin_files"] == ["GRID.gin"]
    assert len(held["cells"]) == 8


@pytest.mark.parametrize("text", ["{", "[]", '{"finished": 3}'])
def test_a_damaged_record_is_said_in_a_line(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(ConfigError, match=r"sweep\.json: cannot be read; remove it"):
        plan.Record(tmp_path)
