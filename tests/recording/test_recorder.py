"""What a recorder writes and shows of a run that is made up here."""

import contextlib
import csv
import json
import time

import jax.numpy as jnp
import numpy as np
import pytest

from prune_rl.acting.episodes import Episode
from prune_rl.recording.logs import RunLog
from prune_rl.recording.metrics import CLOCKS, IDENTIFYING, MEASURED, METRICS
from prune_rl.recording.progress import RunProgress
from prune_rl.recording.recorder import Moment, Recorder

from .tensorboard import read_scalars

SEEDS = range(5, 7)
LOSSES = {
    "loss": np.array([0.5, 0.25]),
    "grad_norm": np.array([3.0, 4.0]),
    "q_mean": np.array([-1.0, 2.0]),
}
MATRIX = "gradient_covariance"
_ALWAYS = IDENTIFYING.keys() - {"non_finite", "diverged_at"} | {"sparsity", "sparsity_by_layer"}
_EPISODE = ("episode_return", "episode_length", "ended")
_PLAYED = {"episode_return_mean", "episode_length_mean", "num_episodes"}


def _kernels(*num_zeros):
    kernels = np.ones((len(num_zeros), 4, 2), np.float32)
    for own, count in zip(kernels, num_zeros, strict=True):
        own.ravel()[:count] = 0
    return {"params": {"head": {"kernel": jnp.asarray(kernels)}}}


def _now(iteration=0, *, agent_steps=40, gradient_steps=7, params=None, diverged_at=(0, 0)):
    """Of the two seeds a quarter and a half of the weights are zero."""
    params = {"q": _kernels(2, 4)} if params is None else params
    diverged = jnp.asarray(diverged_at, jnp.int32)
    return Moment(iteration, agent_steps, gradient_steps, 5 * agent_steps, params, diverged)


@pytest.fixture
def clock(monkeypatch):
    """What `time.monotonic` says, in seconds; the test moves it."""
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def start(tmp_path):
    """A recorder of seeds 5 and 6, in a directory of the test's own."""

    @contextlib.contextmanager
    def create(clock="agent_steps", steps=0, positions=None):
        with (
            RunLog(tmp_path, positions=positions or {}, clock=clock, steps=steps) as log,
            RunProgress(
                total_steps=200, done_steps=steps, num_iterations=4, clock=clock
            ) as progress,
        ):
            yield Recorder(log, progress, SEEDS)

    return create


@pytest.fixture
def written(tmp_path):
    def read(name="metrics.jsonl"):
        return [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]

    return read


@pytest.fixture
def episodes(tmp_path):
    def read():
        with (tmp_path / "episodes.csv").open() as file:
            return list(csv.reader(file))

    return read


def _measured(seed):
    """A row with everything that can be measured of a seed."""
    names = [name for name in MEASURED if name != "sparsity"]
    by_layer = [name for name in METRICS if "_by_" in name and not name.startswith("sparsity")]
    return (
        {name: float(seed + i) for i, name in enumerate(names)}
        | {name: {"head": float(seed)} for name in by_layer}
        | {MATRIX: np.full((3, 3), seed, np.float32)}
    )


def test_rows_hold_the_names_of_the_registry_and_no_others(start, written, clock):
    with start() as recorder:
        clock[0] += 4
        recorder.phase(_now(), "train", LOSSES, {"epsilon": 0.5})
        recorder.measurements(_now(), [_measured(5), _measured(6)], [MATRIX])
        recorder.start_phase(_now())
        recorder.phase(_now(), "eval", {}, {})
    rows = written()
    assert [(row["phase"], row["seed"]) for row in rows] == [
        (phase, seed) for phase in ("train", "diagnostics", "eval") for seed in SEEDS
    ]
    train, _, diagnostics, _, evaluation, _ = (row.keys() for row in rows)
    assert train == _ALWAYS | _PLAYED | LOSSES.keys() | {"epsilon"}
    assert diagnostics == _ALWAYS | _measured(5).keys() - {MATRIX}
    assert evaluation == _ALWAYS | _PLAYED
    speeds = {f"{name}_per_second" for name in CLOCKS}
    of_robots = {"normalized_score", "alpha", "entropy"}
    assert train | diagnostics == METRICS.keys() - speeds - of_robots | _ALWAYS


def test_a_row_is_of_its_seeds_episodes_weights_and_losses(start, written):
    with start() as recorder:
        for own in ((0, 2.0, 10), (1, -1.0, 4), (0, 5.0, 20)):
            recorder.episode(_now(), "train", Episode(*own, terminated=True))
        recorder.phase(_now(1), "train", LOSSES, {"epsilon": 0.5})
    counters = {"iteration": 1, "agent_steps": 40, "gradient_steps": 7, "frames": 200}
    played = [
        {"episode_return_mean": 3.5, "episode_length_mean": 15.0, "num_episodes": 2},
        {"episode_return_mean": -1.0, "episode_length_mean": 4.0, "num_episodes": 1},
    ]
    for i, row in enumerate(written()):
        assert row == counters | played[i] | {
            "seed": SEEDS[i],
            "phase": "train",
            "clock": "agent_steps",
            "sparsity": (0.25, 0.5)[i],
            "sparsity_by_layer": {"head": (0.25, 0.5)[i]},
            "loss": (0.5, 0.25)[i],
            "grad_norm": (3.0, 4.0)[i],
            "q_mean": (-1.0, 2.0)[i],
            "epsilon": 0.5,
        }


def test_episodes_are_written_in_the_order_of_their_ends_under_their_seeds(start, episodes):
    with start() as recorder:
        recorder.episode(_now(agent_steps=3), "train", Episode(1, 2.5, 3, terminated=True))
        recorder.episode(_now(agent_steps=9), "train", Episode(0, -1.0, 9, terminated=False))
        recorder.episode(_now(agent_steps=9), "train", Episode(1, 0.0, 6, terminated=True))
        recorder.start_phase(_now())
        recorder.episode(_now(2, agent_steps=40), "eval", Episode(0, 8.0, 4, terminated=True))
    assert episodes() == [
        ["seed", "iteration", "phase", "agent_steps", *_EPISODE],
        ["6", "0", "train", "3", "2.5", "3", "terminated"],
        ["5", "0", "train", "9", "-1.0", "9", "truncated"],
        ["6", "0", "train", "9", "0.0", "6", "terminated"],
        ["5", "2", "eval", "40", "8.0", "4", "terminated"],
    ]


def test_a_phase_sums_up_its_own_episodes(start, written):
    with start() as recorder:
        for phase, returned in (("train", 2.0), ("eval", 7.0)):
            recorder.start_phase(_now())
            recorder.episode(_now(), phase, Episode(0, returned, 3, terminated=True))
            recorder.phase(_now(), phase, {}, {})
    rows = written()
    assert [row["episode_return_mean"] for row in rows] == [2.0, None, 7.0, None]
    assert [row["num_episodes"] for row in rows] == [1, 0, 1, 0]


@pytest.mark.parametrize("name", CLOCKS)
def test_speed_is_that_of_the_phase_in_steps_of_the_clock_and_in_a_file_of_its_own(
    start, written, clock, name, tmp_path
):
    """30 steps in 12 s, after 100 s of something else and 50 steps of another start."""
    counters = {"agent_steps": 7, "gradient_steps": 11}
    with start(clock=name, steps=50) as recorder:
        clock[0] += 100
        recorder.start_phase(_now(3, **counters | {name: 50}))
        clock[0] += 12
        after = _now(3, **counters | {name: 80})
        recorder.phase(after, "train", {}, {})
        recorder.start_phase(after)
        clock[0] += 5
        recorder.phase(after, "eval", {}, {})
    counters |= {name: 80}
    frames = {"frames": 5 * counters["agent_steps"]}
    whose = [{"seed": seed, "iteration": 3, "phase": "train", "clock": name} for seed in SEEDS]
    speed = {f"{name}_per_second": 2.5}
    assert written("timing.jsonl") == [own | counters | frames | speed for own in whose]
    assert not any(x.endswith("_per_second") for row in written() for x in row)
    tag = {"agent_steps": "AverageStepsPerSecond"}.get(name, "AverageGradientStepsPerSecond")
    assert read_scalars(tmp_path / "tensorboard" / "seed_6")[f"Train/{tag}"] == {80: 2.5}


def test_rows_of_a_diverged_seed_say_since_when_and_stderr_says_it_once(start, written, capsys):
    with start() as recorder:
        for i, diverged_at in enumerate([(0, 0), (0, 1_234), (0, 1_234), (2_000, 1_234)]):
            now = _now(i, diverged_at=diverged_at)
            recorder.phase(now, "train", {}, {})
            recorder.measurements(now, [{"srank": 1.0}] * 2, [])
            recorder.phase(now, "eval", {}, {})
    since = [[row.get("diverged_at", 0) for row in written() if row["seed"] == x] for x in SEEDS]
    assert since == [[0] * 9 + [2_000] * 3, [0] * 3 + [1_234] * 9]
    assert list(written()[-1])[:8] == [
        *("seed", "iteration", "phase", "clock"),
        *("agent_steps", "gradient_steps", "frames", "diverged_at"),
    ]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seed ")]
    assert said == [
        f"seed {seed} diverged: loss or weights are not finite since gradient step {step}; "
        "it is frozen"
        for seed, step in ((6, "1,234"), (5, "2,000"))
    ]


def test_matrices_go_to_files_of_their_own_and_not_to_rows(start, written, tmp_path):
    names = [MATRIX, f"critic/{MATRIX}"]
    rows = [
        {"srank": float(seed)} | {name: np.full((2, 2), seed + i) for i, name in enumerate(names)}
        for seed in SEEDS
    ]
    with start() as recorder:
        recorder.measurements(_now(3), rows, names)
    for row, seed in zip(written(), SEEDS, strict=True):
        assert row["srank"] == seed
        assert not any(name.endswith(MATRIX) for name in row)
    folder = tmp_path / "diagnostics"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)) for path in files} == {f"{x}_0003.npz" for x in names}
    for i, name in enumerate(names):
        with np.load(folder / f"{name}_0003.npz") as stored:
            expected = [np.full((2, 2), seed + i) for seed in SEEDS]
            np.testing.assert_array_equal(stored["matrix"], expected)
            assert stored["seeds"].tolist() == [5, 6]
            assert stored["agent_steps"] == 40


def test_a_run_without_agent_steps_is_told_by_its_gradient_steps(
    start, written, episodes, tmp_path, capsys
):
    with start(clock="gradient_steps") as recorder:
        for steps in (50, 100):
            now = _now(agent_steps=0, gradient_steps=steps)
            recorder.start_phase(now)
            recorder.phase(now, "train", LOSSES, {})
            recorder.episode(now, "eval", Episode(1, 3.0, 8, terminated=True))
            recorder.measurements(now, [_measured(5), _measured(6)], [MATRIX])
    assert episodes() == [
        ["seed", "iteration", "phase", "gradient_steps", *_EPISODE],
        ["6", "0", "eval", "50", "3.0", "8", "terminated"],
        ["6", "0", "eval", "100", "3.0", "8", "terminated"],
    ]
    assert {row["clock"] for row in written()} == {"gradient_steps"}
    scalars = read_scalars(tmp_path / "tensorboard" / "seed_6")
    assert scalars["Train/Loss"] == {50: 0.25, 100: 0.25}
    assert scalars["Diagnostics/Sparsity"] == {50: 0.5, 100: 0.5}
    with np.load(tmp_path / "diagnostics" / f"{MATRIX}_0000.npz") as stored:
        assert stored["gradient_steps"] == 100
        assert "agent_steps" not in stored
    lines = capsys.readouterr().err.splitlines()
    assert [" 25% " in lines[0], " 50% " in lines[1]] == [True, True]
    assert all(" gradient steps/s " in line for line in lines)


def test_several_networks_have_their_own_sparsity(start, written):
    params = {"critic": _kernels(6, 8), "actor": _kernels(2, 0)}
    with start() as recorder:
        recorder.phase(_now(params=params), "train", {"critic/loss": LOSSES["loss"]}, {})
    sparse = [{x: row[x] for x in row if "sparsity" in x} for row in written()]
    expected = [
        {"sparsity": total, "actor/sparsity": actor, "critic/sparsity": critic}
        | {"actor/sparsity_by_layer": {"head": actor}}
        | {"critic/sparsity_by_layer": {"head": critic}}
        for total, actor, critic in ((0.5, 0.25, 0.75), (0.5, 0.0, 1.0))
    ]
    assert sparse == expected
    assert [row["critic/loss"] for row in written()] == [0.5, 0.25]


def test_a_name_that_the_registry_lacks_is_refused(start):
    with start() as recorder, pytest.raises(ValueError, match="'los' is no metric"):
        recorder.phase(_now(), "train", {"los": LOSSES["loss"]}, {})


def test_shown_are_the_newest_hundred_returns_of_the_phase_and_the_mean_sparsity(
    start, clock, capsys
):
    """A resumed run, 50 of its 200 steps done before: 30 in 10 s leave 120, 40 s."""
    with start(steps=50) as recorder:
        recorder.episode(_now(), "train", Episode(0, 1e6, 1, terminated=True))
        recorder.start_phase(_now())
        for i in range(150):
            recorder.episode(_now(), "train", Episode(i % 2, float(i), 1, terminated=True))
        assert not recorder.due()
        clock[0] += 10
        recorder.show(_now(2, agent_steps=80), "train")
    (line,) = capsys.readouterr().err.splitlines()
    expected = "3 agent steps/s  return 99.50  sparsity 0.375  40%  ETA 0:00:40"
    assert line == f"iteration 3/4 train  {expected}"


def test_something_new_is_due_in_time_and_not_before(start, clock):
    with start() as recorder:
        clock[0] += 29
        assert not recorder.due()
        clock[0] += 1
        assert recorder.due()
        recorder.show(_now(), "train")
        assert not recorder.due()


def test_a_resumed_run_goes_on_where_its_logs_stood(start, written, episodes, tmp_path):
    episode = Episode(0, 2.0, 3, terminated=True)
    with start() as recorder:
        recorder.episode(_now(), "train", episode)
        recorder.phase(_now(), "train", {}, {})
        positions = recorder.positions()
        sizes = {
            name: (tmp_path / name).stat().st_size
            for name in ("metrics.jsonl", "episodes.csv", "timing.jsonl")
        }
        recorder.phase(_now(1), "train", {}, {})
        recorder.episode(_now(1), "train", episode)
    assert {name: own["bytes"] for name, own in positions.items()} == sizes
    with start(steps=40, positions=positions) as recorder:
        recorder.episode(_now(2), "train", episode)
        recorder.phase(_now(2, agent_steps=80), "train", {}, {})
    assert [row["iteration"] for row in written()] == [0, 0, 2, 2]
    assert [row[1] for row in episodes()[1:]] == ["0", "2"]
    files = [path.name for path in (tmp_path / "tensorboard" / "seed_5").iterdir()]
    assert sorted(name.rpartition(".from_")[2] for name in files) == ["0", "40"]
