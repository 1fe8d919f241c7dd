"""The run directory: made when a run is sound, and never mixed with another run's."""

import difflib
from pathlib import Path

from prune_rl.errors import ConfigError


def prepare(base_dir: Path, config: str) -> None:
    """Makes `base_dir` and writes config.gin, or checks that it holds the same run.

    Raises:
      ConfigError: `base_dir` is a file, holds foreign logs, or a run with other settings.
    """
    recorded = base_dir / "config.gin"
    if base_dir.exists() and not base_dir.is_dir():
        raise ConfigError(f"--base_dir={base_dir}: expected a directory, found a file")
    if not recorded.exists():
        if (base_dir / "metrics.jsonl").exists():
            raise ConfigError(f"--base_dir={base_dir}: holds metrics.jsonl but no config.gin")
        base_dir.mkdir(parents=True, exist_ok=True)
        temporary = recorded.with_suffix(".tmp")
        temporary.write_text(config)
        temporary.replace(recorded)
        return
    difference = _first_difference(recorded.read_text(), config)
    if difference:
        raise ConfigError(
            f"--base_dir={base_dir}: holds a run with other settings ({difference}); "
            f"name another directory, or repeat its settings to resume it"
        )


def _first_difference(recorded: str, now: str) -> str | None:
    delta = [
        line
        for line in difflib.ndiff(recorded.splitlines(), now.splitlines())
        if line[:2] in ("- ", "+ ") and line[2:].strip() and not line[2:].startswith("#")
    ]
    if not delta:
        return None
    was = next((line[2:] for line in delta if line[0] == "-"), "not set")
    now_is = next((line[2:] for line in delta if line[0] == "+"), "not set")
    return f"there: {was}; now: {now_is}"
