"""How far trainings are, from what they write; each look reads what is new alone."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from prune_rl.errors import ConfigError
from prune_rl.reporting.config import read_config, setting


class Progress(NamedTuple):
    """Of one run directory.

    Attributes:
        iteration: how many every seed has trained.
        num_iterations: that it is to make.
        steps: of its clock by then, each seed.
        num_steps: in the end.
        rate: steps per second in the last iteration; None before the first has ended.
        episode_return: mean over seeds in the last one that has any; None before.
    """

    iteration: int
    num_iterations: int
    steps: int
    num_steps: int
    rate: float | None
    episode_return: float | None

    @property
    def seconds_left(self) -> float | None:
        """From the end of the last iteration, at its rate, which is of training alone."""
        return None if not self.rate else (self.num_steps - self.steps) / self.rate

    @property
    def seconds(self) -> float | None:
        """That all of it takes at that rate."""
        return None if not self.rate else self.num_steps / self.rate


class Watch:
    """Follows one run directory, which need not be there yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._metrics = _Lines(directory / "metrics.jsonl")
        self._timing = _Lines(directory / "timing.jsonl")
        self._config: tuple[int, int, int] | None = None  # seeds, iterations, steps of each
        self._trained: dict[int, int] = {}  # iterations by seed
        self._returns: dict[int, float] = {}
        self._steps, self._rate = 0, None

    def look(self) -> Progress | None:
        """None while there is no run that can be read."""
        try:
            self._config = self._config or self._read_config()
        except ConfigError:
            return None
        num_seeds, num_iterations, training_steps = self._config
        for row in self._metrics.new():
            self._take(row)
        for row in self._timing.new():
            rates = (row.get(f"{x}_per_second") for x in ("agent_steps", "gradient_steps"))
            self._rate = next((x for x in rates if x), self._rate)
        done, returns = self._trained.values(), self._returns.values()
        return Progress(
            iteration=min(done) if len(done) >= num_seeds else 0,
            num_iterations=num_iterations,
            steps=self._steps,
            num_steps=num_iterations * training_steps,
            rate=self._rate,
            episode_return=sum(returns) / len(returns) if returns else None,
        )

    def _read_config(self) -> tuple[int, int, int]:
        config = read_config(self._directory)
        names = ("Runner.num_seeds", "Runner.num_iterations", "Runner.training_steps")
        seeds, iterations, steps = (int(setting(config, name, 1)) for name in names)
        return seeds, iterations, steps

    def _take(self, row: dict[str, Any]) -> None:
        if row.get("phase") == "train":
            self._trained[row["seed"]] = row["iteration"] + 1
            self._steps = row.get(row.get("clock", "agent_steps"), 0)
        if row.get("episode_return_mean") is not None:
            self._returns[row["seed"]] = row["episode_return_mean"]


class _Lines:
    """The rows of a file that grows, and that a run which is taken up again cuts back."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def new(self) -> list[dict[str, Any]]:
        """Whole lines since the last call; from the start again if the file was cut."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._read:
                    self._read = 0
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(whole) + len(newline)
        return [row for line in whole.splitlines() if (row := _parse(line)) is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # the end of a line whose beginning was cut off
        return None
    return row if isinstance(row, dict) and {"seed", "iteration", "phase"} <= row.keys() else None
