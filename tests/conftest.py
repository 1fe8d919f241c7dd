"""Fixtures shared by the tests of the run as a whole."""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import gin
import pytest

from prune_rl import train

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
    """Shares compiled programs among workers, processes and tests; read when jax is imported."""
    if hasattr(config, "workerinput"):
        return  # a worker of xdist: its environment comes from the process that started it
    folder = os.environ.get("PRUNE_RL_TEST_CACHE")
    if not folder:
        scratch = tempfile.TemporaryDirectory(prefix="prune_rl_compiled_")
        config.add_cleanup(scratch.cleanup)
        folder = scratch.name
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


@pytest.fixture(autouse=True)
def _fresh_gin():
    yield
    gin.clear_config()


@pytest.fixture
def train_minatar() -> Callable[..., int]:
    """Runs `prune_rl.train` on MinAtar Breakout for 3 x 200 agent steps of two seeds."""

    def run(base_dir: Path, *bindings: str, files: Sequence[str] = ()) -> int:
        files = ("experiments/minatar_breakout.gin", *files)
        return train.main(
            [f"--base_dir={base_dir}"]
            + [f"--gin_files={name}" for name in files]
            + [f"--gin_bindings={binding}" for binding in (*_SHORT_MINATAR, *bindings)]
        )

    return run


@pytest.fixture
def read_metrics() -> Callable[[Path], list[dict]]:
    """Rows of a run's metrics.jsonl without the one field that depends on the clock."""

    def read(base_dir: Path) -> list[dict]:
        rows = [json.loads(line) for line in (base_dir / "metrics.jsonl").read_text().splitlines()]
        for row in rows:
            row.pop("agent_steps_per_second", None)
        return rows

    return read
