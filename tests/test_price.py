"""What a run is said to take: counted by hand, beside what a real run leaves, and in words."""

import shutil
import threading
from collections import namedtuple
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from prune_rl import configuration, price, train
from prune_rl import runner as runner_module
from prune_rl.experiment import create_runner
from prune_rl.price import GIB, MIB, Pace, Price, Size, Work
from prune_rl.rehearsal import peak_device
from prune_rl.state import Rows

_BREAKOUT = ["experiments/minatar_breakout.gin"]
# 3 x 3 x 4 -> 16 channels without padding, 8 x 8 x 16 -> 128, 128 -> 3 actions; and biases.
_KERNELS = 3 * 3 * 4 * 16 + 1024 * 128 + 128 * 3
_BIASES = 16 + 128 + 3


@pytest.fixture
def size_of(tmp_path):
    """The size of the run that gin files and bindings describe."""

    def size(files, *bindings):
        configuration.load(files, list(bindings))
        runner = create_runner(tmp_path)
        runner.source.close()
        return runner.size

    return size


def test_a_dense_network_keeps_what_it_has(size_of):
    own = size_of(_BREAKOUT)
    assert own.parameters == own.remaining == _KERNELS + _BIASES


def test_seeds_have_the_same_parameters_each_and_share_the_disk(size_of):
    one, two = size_of(_BREAKOUT), size_of(_BREAKOUT, "Runner.num_seeds=2")
    assert two.parameters == one.parameters
    assert two.replay_bytes == 2 * one.replay_bytes
    assert two.disk_bytes == pytest.approx(2 * one.disk_bytes, rel=0.01)


@pytest.mark.parametrize("dist", ["uniform", "erk"])
def test_pruning_leaves_its_share_of_the_kernels_and_all_biases(size_of, dist):
    own = size_of(
        [*_BREAKOUT, "pruning/magnitude.gin"],
        f"create_updater_from_config.dist_type='{dist}'",
        "create_updater_from_config.sparsity=0.9",
    )
    assert own.parameters == _KERNELS + _BIASES
    assert own.remaining == pytest.approx(0.1 * _KERNELS + _BIASES, abs=2)


def test_dense_layers_stay(size_of):
    own = size_of(
        [*_BREAKOUT, "pruning/magnitude.gin"],
        "create_updater_from_config.dist_type='uniform'",
        "create_updater_from_config.sparsity=0.5",
        "create_updater_from_config.dense_layers=['torso/Dense_0']",
    )
    dense = 1024 * 128
    assert own.remaining == pytest.approx(dense + 0.5 * (_KERNELS - dense) + _BIASES, abs=2)


def _learner(params, targets, members=None):
    quantities = SimpleNamespace(init_params=lambda key: params)
    return SimpleNamespace(
        quantities={"q": quantities},
        members={"q": members},
        target_sparsities={"q": lambda params: targets},
    )


def test_the_scale_of_a_weights_noise_goes_with_it():
    params = {"head": {"kernel": np.zeros((10, 10)), "kernel_sigma": np.zeros((10, 10))}}
    targets = {"head": {"kernel": 0.75, "kernel_sigma": None}}
    own = price.size(_learner(params, targets), [], 1, 1)
    assert (own.parameters, own.remaining) == (200, 50)


def test_every_member_of_an_ensemble_counts():
    params = {"layer": {"kernel": np.zeros((4, 5)), "bias": np.zeros(5)}}
    targets = {"layer": {"kernel": 0.5, "bias": None}}
    own = price.size(_learner(params, targets, members=3), [], 1, 1)
    assert (own.parameters, own.remaining) == (3 * 25, 3 * 15)


def _rows(capacity):
    return Rows(first=0, last=0, capacity=capacity, row_bytes=100, pieces=lambda start: iter(()))


def test_bytes_of_a_run_that_fills_its_replay():
    """Rows 100 + 8 bytes; by hand: the full ring, and what two more checkpoints add to it."""
    replay = {"rows": _rows(1000), "priorities": np.empty(0), "cursor": np.zeros((), np.int64)}
    states = [{"agent": {"w": np.zeros(50, np.float32)}, "replay": replay}] * 2
    own = price.size(_learner({}, {}), states, 10_000, 205)
    assert own.replay_bytes == 2 * 1000 * 100
    assert own.saving_bytes == (3 + 1) * 208
    assert own.disk_bytes == 2 * (3 * (208 + 16_384) + (1000 + 2 * 226) * 100 + 3 * 1000 * 8)


def test_bytes_of_a_run_that_is_shorter_than_its_replay():
    states = [{"replay": {"rows": _rows(1_000_000)}}]
    own = price.size(_learner({}, {}), states, 1000, 500)
    assert (own.replay_bytes, own.disk_bytes) == (1101 * 100, 1101 * 100 + 3 * 16_384)


@pytest.mark.parametrize("agent", ["dqn", "der"])
def test_disk_is_what_a_real_run_has_there_at_most(tmp_path, agent):
    """Of checkpoints, looked at all the time: never more than was said, nor less than half."""
    file = {"dqn": "minatar_breakout", "der": "minatar_breakout_der"}[agent]
    kind = {"dqn": "DQNAgent", "der": "RainbowAgent"}[agent]
    configuration.load(
        [f"experiments/{file}.gin", "pruning/magnitude.gin"],
        [
            "Runner.num_iterations=4",
            "Runner.training_steps=500",
            "Runner.evaluation_steps=0",
            "ReplayBuffer.max_capacity=1_300",
            f"{kind}.min_replay_history=1_250",
            f"{kind}.replay_ratio=0.05",
        ],
    )
    runner, peak, done = create_runner(tmp_path), [0], threading.Event()
    folder = tmp_path / "checkpoints"

    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], runner_module._bytes_in(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    runner.run()
    done.set()
    thread.join()
    runner.source.close()
    assert runner.size.disk_bytes / 2 <= peak[0] <= runner.size.disk_bytes


_WORK = Work("agent_steps", 3, 10_000, 2_000, 4, 800, 4)
_PACE = Pace(step=0.01, update=0.1, evaluation=2.0, evaluation_step=0.5, save=3.0, measuring=7.0)
_SIZE = Size(1_234_567, 61_728, 3 * GIB, 5 * MIB, 12 * MIB)
_PRICE = Price(_SIZE, _WORK, _PACE, int(6.58 * GIB), None, startup=8.0)


def test_seconds_by_hand():
    assert _WORK.seconds(_PACE) == pytest.approx(100 + 200 + 8 + 400 + 12)
    assert _PRICE.seconds == pytest.approx(728)
    assert _PRICE.rate == pytest.approx(10_000 / 720)


def test_two_lines():
    assert list(price.lines(_PRICE)) == [
        "size: 1,234,567 parameters a seed, 61,728 once pruned; at most RAM 6.58 GiB, disk 12 MiB",
        "time: about 12 min here (4.0 min a seed) for 10,000 agent steps and 2,000 gradient steps "
        "of 3 seeds, 13.9 steps/s",
    ]


def test_lines_of_a_dense_seed_on_a_gpu_with_a_price():
    own = _PRICE._replace(
        size=_SIZE._replace(remaining=1_234_567),
        work=_WORK._replace(clock="gradient_steps", num_seeds=1, notes=["diagnostics, too"]),
        device_bytes=2 * GIB,
    )
    assert list(price.lines(own, 36.0)) == [
        "size: 1,234,567 parameters a seed; at most RAM 6.58 GiB, device memory 2.00 GiB, "
        "disk 12 MiB",
        "time: about 12 min here for 10,000 gradient steps of 1 seed, "
        "13.9 steps/s, $7.28 at $36.00/hour",
        "      diagnostics, too",
    ]


def test_more_than_a_day_names_a_command_that_takes_minutes():
    day = _PRICE._replace(startup=24 * 3600 - 720.0)
    assert len(list(price.lines(day))) == 2
    *_, line = price.lines(day._replace(startup=24 * 3600 - 719.0))
    assert line.startswith("      more than a day")
    command = line.partition("python -m prune_rl.train ")[2].split()
    flags = train.parser().parse_args(command)
    configuration.load(flags.gin_files, flags.gin_bindings)
    assert flags.base_dir


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (99.4, "99 s"),
        (100, "1.7 min"),
        (5_999, "100 min"),
        (6_000, "1.7 h"),
        (47.9 * 3600, "48 h"),
        (194 * 3600, "194 h (8.1 days)"),
        (41_000 * 3600, "41,000 h (1,708.3 days)"),
    ],
)
def test_durations(seconds, said):
    assert price.duration(seconds) == said


_Usage = namedtuple("_Usage", ["total", "used", "free"])


@pytest.mark.parametrize("there", [0, 2_000_000])
def test_a_run_whose_checkpoints_do_not_fit_writes_nothing(
    tmp_path, monkeypatch, capsys, minatar_flags, size_of, there
):
    base_dir = tmp_path / "runs" / "new"
    flags = minatar_flags(base_dir)
    given = train.parser().parse_args(flags)
    needed = size_of(given.gin_files, *given.gin_bindings).disk_bytes
    # Of an earlier start: what is below checkpoints/ will be swept, nothing else.
    bytes_in = {base_dir / "checkpoints": there}.get
    monkeypatch.setattr(runner_module, "_bytes_in", lambda folder: bytes_in(folder, 10**12))
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(0, 0, needed - there - 1))
    assert train.main(flags) == 2
    message = capsys.readouterr().err
    assert f"--base_dir={base_dir}: checkpoints take up to" in message
    assert "ReplayBuffer.max_capacity" in message
    assert len(message.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(0, 0, needed - there))
    assert train.main(flags) == 0


def test_a_cpu_has_no_memory_of_its_own():
    assert jax.default_backend() != "cpu" or peak_device() is None


def test_the_memory_of_an_accelerator_is_its_peak(monkeypatch):
    gpu = SimpleNamespace(memory_stats=lambda: {"bytes_in_use": 5, "peak_bytes_in_use": 7})
    monkeypatch.setattr(jax, "devices", lambda: [gpu])
    assert peak_device() == 7
