"""What the runs below some folders trained, how far they are, and every row that they wrote."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prune_rl.errors import ConfigError
from prune_rl.reporting.config import Config, read_config, setting
from prune_rl.reporting.runs import Row, read_metrics

_LOCKS = Path("/proc/locks")
RUNNING, FINISHED, STOPPED = "running", "finished", "stopped"
_CLASS = re.compile(r"@?(?:[\w.]*/)*(?:[\w.]*\.)?(\w+)")


@dataclass(frozen=True)
class Training:
    """One run directory, of one seed or several.

    Attributes:
        directory: where it is.
        name: of the directory, below the folder that was searched.
        agent: 'dqn', 'rainbow', 'cql', …: its class in small letters, without 'Agent'.
        torso: 'minatar', 'nature', 'impala', likewise.
        width: of the torso.
        pruner: 'magnitude', …; 'no_prune' for a dense one.
        sparsity: that pruning aims at; 0 without a pruner.
        baseline: 'reset', 'redo', 'weight_decay', 'l2', 'l2_unit_norm', joined by '+'; '' if none.
        game: its name.
        replay_ratio: gradient steps per agent step.
        clock: 'agent_steps' or 'gradient_steps'.
        num_iterations: that it is to make.
        num_steps: of its clock, likewise.
        seeds: that train in it.
        state: `RUNNING` while a process of this machine holds it, `FINISHED`, or `STOPPED`
            (crashed, too).
        config: what was set, see `read_config`.
        rows: what it wrote, see `read_metrics`; none before the first iteration has ended.
    """

    directory: Path
    name: str
    agent: str
    torso: str
    width: int
    pruner: str
    sparsity: float
    baseline: str
    game: str
    replay_ratio: float
    clock: str
    num_iterations: int
    num_steps: int
    seeds: tuple[int, ...]
    state: str
    config: Config = field(repr=False)
    rows: Sequence[Row] = field(repr=False)

    @property
    def iterations_done(self) -> int:
        """By every seed, in training."""
        return _iterations(self.rows, self.seeds)

    @property
    def arm(self) -> str:
        """What is compared: all that tells it from other runs of its game, in words."""
        pruned = "dense" if self.pruner == "no_prune" else f"{self.pruner} {self.sparsity:.0%}"
        parts = [self.agent, self.torso, f"x{self.width}", pruned, self.baseline]
        return " ".join(part for part in parts if part)


def read_training(directory: Path, root: Path | None = None) -> Training:
    """What is known of one run directory; `root` is the folder that its name is below.

    Raises:
        ConfigError: it is no run directory, or a file of it cannot be understood.
    """
    config = read_config(directory)
    rows = _rows(directory)
    first = setting(config, "Runner.seed", 0)
    seeds = tuple(range(first, first + setting(config, "Runner.num_seeds", 1)))
    num_iterations = setting(config, "Runner.num_iterations", 1)
    pruner = setting(config, "create_updater_from_config.pruner_type", "no_prune")
    torso = _class_of(config.get("torso", ""), "Torso")
    sparsity = float(setting(config, "create_updater_from_config.sparsity", 0.0))
    agent = _class_of(config.get("Runner.agent", ""), "Agent")
    game = setting(config, "create_minatar_environment.game_name")
    return Training(
        directory=directory,
        name=str(directory.relative_to(root)) if root and root != directory else directory.name,
        agent=agent,
        torso=torso,
        width=_width(config),
        pruner=pruner,
        sparsity=0.0 if pruner == "no_prune" else sparsity,
        baseline=_baseline(config),
        game=game or setting(config, "create_atari_environment.game_name", ""),
        replay_ratio=_replay_ratio(config),
        clock=rows[0]["clock"] if rows else "agent_steps",
        num_iterations=num_iterations,
        num_steps=num_iterations * setting(config, "Runner.training_steps", 0),
        seeds=seeds,
        state=_state(directory, _iterations(rows, seeds) >= num_iterations),
        config=config,
        rows=rows,
    )


def find_trainings(folders: Sequence[Path]) -> Iterator[Training]:
    """Every run in or below the `folders`, in the order of their paths; each once.

    Raises:
        ConfigError: a folder is not there or holds no run; else as `read_training`.
    """
    seen: set[Path] = set()
    for folder in folders:
        found = sorted(path.parent for path in folder.rglob("config.gin"))
        if not found:
            raise ConfigError(f"{folder}: holds no run; expected a folder above config.gin files")
        for directory in found:
            if directory.resolve() not in seen:
                seen.add(directory.resolve())
                yield read_training(directory, folder)


def _rows(directory: Path) -> list[Row]:
    """Those there are; none where nothing has been written yet."""
    path = directory / "metrics.jsonl"
    if not path.is_file() or b"\n" not in path.read_bytes():
        return []
    return read_metrics(directory)


def _iterations(rows: Sequence[Row], seeds: Sequence[int]) -> int:
    done = dict.fromkeys(seeds, 0)
    for row in rows:
        if row["phase"] == "train" and row["seed"] in done:
            done[row["seed"]] += 1
    return min(done.values())


def _state(directory: Path, finished: bool) -> str:
    if _is_held(directory / "lock"):
        return RUNNING
    return FINISHED if finished else STOPPED


def _is_held(lock: Path) -> bool:
    """Whether a process of this machine holds the lock of `run_directory.held`.

    Asked of the kernel: who tries to take a lock keeps a run that begins just then from it.
    """
    try:
        held, own = _LOCKS.read_text(), lock.stat()
    except OSError:
        return False
    device = f"{os.major(own.st_dev):02x}:{os.minor(own.st_dev):02x}:{own.st_ino}"
    return any("FLOCK" in line and device in line.split() for line in held.splitlines())


def _class_of(reference: str, ending: str) -> str:
    """'@DQNAgent()' to 'dqn'."""
    found = _CLASS.match(reference)
    name = found.group(1) if found else ""
    return name.removesuffix(ending).lower()


def _width(config: Config) -> int:
    named = (name for name in config if name.endswith("Torso.width"))
    return int(next((config[name] for name in named), "1"))


def _replay_ratio(config: Config) -> float:
    named = (name for name in config if name.endswith("Agent.replay_ratio"))
    return float(next((config[name] for name in named), "0.25"))


def _baseline(config: Config) -> str:
    parts = [x for x in ("Reset", "ReDo") if f"@{x}()" in config.get("Runner.interventions", "")]
    named = {
        "weight_decay": setting(config, "create_optimizer.weight_decay", 0.0),
        "l2_unit_norm": setting(config, "create_optimizer.unit_norm_penalty", 0.0),
        "l2": setting(config, "QNetwork.normalize_representation", False),
    }
    return "+".join([part.lower() for part in parts] + [x for x in named if named[x]])
