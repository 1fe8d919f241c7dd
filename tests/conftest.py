"""Fixtures shared by the tests of the run as a whole."""

import functools
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import gin
import jax
import pytest
from safetensors.numpy import load_file

from prune_rl import compilation_cache, train

_SHORT_MINATAR = (
    "Runner.num_seeds=2",
    "Runner.num_iterations=3",
    "Runner.training_steps=200",
    "Runner.evaluation_steps=50",
    "DQNAgent.min_replay_history=60",
    "DQNAgent.target_update_period=50",
    "DQNAgent.epsilon_decay_period=100",
)


def pytest_configure(config: pytest.Config) -> None:
    """Shares compiled programs among tests, workers and the processes that they start.

    In a folder of this session, or below the one that PRUNE_RL_TEST_CACHE names, which stays.
    """
    if hasattr(config, "workerinput"):
        return  # a worker of xdist: all this came with its environment
    if config.getoption("dist", "no") == "load":
        config.option.dist = "loadfile"  # the tests of a file need the same programs and runs
    kept = os.environ.get("PRUNE_RL_TEST_CACHE")
    if kept:
        folder = str(Path(kept).resolve() / compilation_cache.folder_name())
    else:
        scratch = tempfile.TemporaryDirectory(prefix="prune_rl_compiled_")
        config.add_cleanup(scratch.cleanup)
        folder = scratch.name
    for name, value in (
        ("jax_compilation_cache_dir", folder),
        ("jax_persistent_cache_min_compile_time_secs", 0.0),
    ):
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(autouse=True)
def _fresh_gin():
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def quick_compiling():
    """XLA without most optimisations, for modules whose time is all compiling."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    # jax.numpy's own programs too: `linspace`, so C51's support, has other last bits without them.
    jax.clear_caches()


def _minatar_flags(base_dir: Path, *bindings: str, files: Sequence[str] = ()) -> list[str]:
    files = ("experiments/minatar_breakout.gin", *files)
    return (
        [f"--base_dir={base_dir}"]
        + [f"--gin_files={name}" for name in files]
        + [f"--gin_bindings={binding}" for binding in (*_SHORT_MINATAR, *bindings)]
    )


@pytest.fixture
def minatar_flags() -> Callable[..., list[str]]:
    """The flags of a short run: MinAtar Breakout, 3 x 200 agent steps of two seeds."""
    return _minatar_flags


@pytest.fixture
def train_minatar() -> Callable[..., int]:
    """Runs `prune_rl.train` with the flags of `minatar_flags`."""
    return lambda *args, **kwargs: train.main(_minatar_flags(*args, **kwargs))


@pytest.fixture(scope="session")
def trained_minatar(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The directory of such a run, trained once for all tests that ask for it: to read only."""

    @functools.cache
    def train_once(quickly: bool, bindings: tuple[str, ...], files: tuple[str, ...]) -> Path:
        base_dir = tmp_path_factory.mktemp("trained") / "run"
        assert train.main(_minatar_flags(base_dir, *bindings, files=files)) == 0
        return base_dir

    def trained(*bindings: str, files: tuple[str, ...] = ()) -> Path:
        # `quick_compiling` makes other last bits: such a run is none of the other modules'.
        return train_once(jax.config.read("jax_disable_most_optimizations"), bindings, files)

    return trained


@pytest.fixture
def read_metrics() -> Callable[[Path], list[dict]]:
    """Rows of a run's metrics.jsonl."""

    def read(base_dir: Path) -> list[dict]:
        return [json.loads(line) for line in (base_dir / "metrics.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def assert_same_logs() -> Callable[[Path, Path], None]:
    """Asserts that what two runs log is equal byte by byte, but for how fast they were."""

    def check(one: Path, other: Path) -> None:
        for name in ("metrics.jsonl", "episodes.csv"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), name

    return check


@pytest.fixture
def agent_leaves() -> Callable[..., list]:
    """Arrays of the agent in a run's newest checkpoint, of each seed or one, in order of name."""

    def read(base_dir: Path, seed: str | int = "*") -> list:
        numbers = [x.name for x in (base_dir / "checkpoints").iterdir() if x.name.isdecimal()]
        newest = base_dir / "checkpoints" / max(numbers, key=int)
        files = [load_file(path) for path in sorted(newest.glob(f"seed_{seed}.safetensors"))]
        return [own[name] for own in files for name in sorted(own) if name.startswith("agent/")]

    return read
