"""What the runs below some folders trained, how far they are, and every row that they wrote."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from prune_rl.environments.reference_scores import References, references_of
from prune_rl.errors import ConfigError
from prune_rl.reporting.arms import Setup, read_setup, tell_apart
from prune_rl.reporting.config import Config, class_name, number, read_config, setting
from prune_rl.reporting.offline import PATH, is_offline
from prune_rl.reporting.runs import Row, read_metrics

_LOCKS = Path("/proc/locks")
RUNNING, FINISHED, STOPPED, DIVERGED = "running", "finished", "stopped", "diverged"
FINAL = (FINISHED, DIVERGED)  # whose scores count: without those that diverged arms look better
_OF_A_RUN = ("metrics.jsonl", "provenance.json")  # beside its config.gin
_NOT_SEARCHED = {"checkpoints", "diagnostics", "tensorboard", "wandb"}  # of a run
_SAID = 5  # runs and duplicates that are named on stderr


@dataclass(frozen=True)
class Training(Setup):
    """One run directory, of one seed or several, and what it was told (`Setup`).

    Attributes:
        directory: where it is.
        name: of the directory, below the folder that was searched, or what several have in common.
        clock: 'agent_steps' or 'gradient_steps'.
        num_iterations: that it is to make.
        num_steps: of its clock, likewise.
        seeds: that train in it; of `find_trainings`, those that no longer run has too.
        references: the returns that are called 0 and 100, of its data or else D4RL's of its game.
        state: `RUNNING` while a process of this machine holds it, `FINISHED`, `DIVERGED` (it ended
            early, as none of its seeds learns any more), or `STOPPED` (it crashed, too, or runs on
            another machine).
        config: what was set, see `read_config`.
        rows: what it wrote of its seeds, see `read_metrics`; none before the first iteration has
            ended.
    """

    directory: Path
    name: str
    clock: str
    num_iterations: int
    num_steps: int
    seeds: tuple[int, ...]
    references: References | None
    state: str
    config: Config = field(repr=False)
    rows: Sequence[Row] = field(repr=False)

    @property
    def iterations_done(self) -> int:
        """By every seed, in training."""
        return min(self.iterations_of(seed) for seed in self.seeds)

    def iterations_of(self, seed: int) -> int:
        """By that seed, in training."""
        return _iterations(self.rows, seed)


def read_training(directory: Path, root: Path | None = None) -> Training:
    """What is known of one run directory; `root` is the folder that its name is below.

    Raises:
        ConfigError: it is no run directory, or a file of it cannot be understood.
    """
    config = read_config(directory)
    try:
        rows, setup = _rows(directory), read_setup(config)
        first, count, num_iterations, num_steps = (
            int(number(config, f"Runner.{name}", default)) for name, default in _COUNTS.items()
        )
        if count < 1:
            raise ConfigError(f"config.gin: Runner.num_seeds={count}: expected 1 at least")
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be read: {error.strerror}") from error
    except ConfigError as error:
        named = "" if str(error).startswith(str(directory)) else f"{directory}: "
        raise ConfigError(f"{named}{error}") from error
    seeds = tuple(range(first, first + count))
    done = min(_iterations(rows, seed) for seed in seeds)
    offline = "gradient_steps" if is_offline(config) else "agent_steps"
    told = _of_data(directory, config)
    game = told["game"] = _game(told, config) or setup.game
    return Training(
        **vars(setup) | {"game": game},
        directory=directory,
        name=os.path.relpath(directory, root) if root and root != directory else directory.name,
        clock=rows[0]["clock"] if rows else offline,
        num_iterations=num_iterations,
        num_steps=num_iterations * num_steps,
        seeds=seeds,
        references=references_of(told),
        state=_state(directory, done >= num_iterations, _all_diverged(rows, seeds)),
        config=config,
        rows=rows,
    )


def _of_data(directory: Path, config: Config) -> dict[str, Any]:
    """What the latest start says of its protocol, if it learns from data; {} where it cannot be."""
    if not (is_offline(config) or setting(config, PATH)):
        return {}
    try:
        starts = json.loads((directory / "provenance.json").read_text("utf-8"))
        return dict(starts[-1]["protocol"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _game(told: Mapping[str, Any], config: Config) -> str:
    """That of its fixed data, where the settings name none; '' otherwise."""
    environment = class_name(config.get("Runner.create_environment_fn"))
    if setting(config, f"{environment}.game_name") or not is_offline(config):
        return ""
    return str(told.get("game", ""))


_COUNTS = {"seed": 0, "num_seeds": 1, "num_iterations": 1, "training_steps": 0}


def find_trainings(folders: Sequence[Path], left_out: list[str] | None = None) -> list[Training]:
    """Every run in or below the `folders`, in the order of their paths; each once.

    A run whose files cannot be understood is left out if there are others. What is left out is said
    on stderr, and added to `left_out`, a line each.

    Runs of one arm and game whose settings differ are told apart (`tell_apart`). Where several
    train the same seed of one arm and game, the one that has more iterations of it keeps it; of
    several as long the one with more rows (of diagnostics, evaluations), and then the first. The
    others are without it.

    Raises:
        ConfigError: a folder is not there, cannot be read or holds no run; if no run can be
            understood, as `read_training`.
    """
    found: dict[Path, Training | ConfigError] = {}
    several = len(folders) > 1  # then the name must say which
    root = Path(os.path.commonpath([x.absolute() for x in folders])) if several else folders[0]
    for folder in folders:
        directories = [path for path in _folders_below(folder) if _is_run(path)]
        if not directories:
            raise ConfigError(f"{folder}: holds no run; expected a folder above config.gin files")
        for directory in directories:
            if directory.resolve() not in found:
                found[directory.resolve()] = _tried(directory, root)
    trainings = [own for own in found.values() if isinstance(own, Training)]
    errors = [own for own in found.values() if isinstance(own, ConfigError)]
    if not trainings:
        raise errors[0]
    apart = tell_apart([(x.arm, x.game, x.config) for x in trainings])
    told = [replace(own, apart=words) for own, words in zip(trainings, apart, strict=True)]
    kept, twice = _without_duplicates(told)
    for lines in ([f"{error}; without this run" for error in errors], twice):
        more = len(lines) - _SAID
        for line in [*lines[:_SAID], *([f"… and {more} more"] if more > 0 else [])]:
            print(line, file=sys.stderr)
        if left_out is not None:
            left_out += lines
    return kept


def _tried(directory: Path, root: Path) -> Training | ConfigError:
    """The run, or why it cannot be understood."""
    try:
        own = read_training(directory, root)
        if not own.agent:
            problem = "config.gin sets no Runner.agent; expected that of a run"
            raise ConfigError(f"{directory}: {problem}")
    except ConfigError as error:
        return error
    return own


def _folders_below(folder: Path) -> Iterator[Path]:
    """`folder` and all below it, by name; links are followed, no folder comes twice."""
    waiting, seen = [folder], set[tuple[int, int]]()
    while waiting:
        path = waiting.pop()
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
            below = [entry.name for entry in entries if _is_folder(entry)]
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        run = any(entry.name == "config.gin" for entry in entries)
        waiting += [path / name for name in below if not (run and name in _NOT_SEARCHED)]
        yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere, or to itself, is none."""
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and os.path.isdir(entry.path))


def _is_run(path: Path) -> bool:
    """Whether its config.gin is a run's, not a file that somebody trains with."""
    return (path / "config.gin").is_file() and any((path / name).exists() for name in _OF_A_RUN)


def _without_duplicates(trainings: Sequence[Training]) -> tuple[list[Training], list[str]]:
    """The trainings, each seed in one of them, and a line for each that is left out of another."""
    candidates: dict[tuple[str, str, int], list[Training]] = defaultdict(list)
    for own in trainings:
        for seed in own.seeds:
            candidates[own.arm, own.game, seed].append(own)
    lost: dict[Path, set[int]] = defaultdict(set)
    said = []
    for (arm, game, seed), several in candidates.items():
        longest = max(several, key=partial(_amount, seed))
        for other in several:
            if other is not longest:
                lost[other.directory].add(seed)
                said.append(_say(arm, game, seed, longest, other))
    kept = [_only(own, set(own.seeds) - lost[own.directory]) for own in trainings]
    return [own for own in kept if own.seeds], said


def _amount(seed: int, own: Training) -> tuple[int, int]:
    return own.iterations_of(seed), sum(row["seed"] == seed for row in own.rows)


def _say(arm: str, game: str, seed: int, longest: Training, other: Training) -> str:
    lengths = f"{longest.iterations_of(seed)} iterations, against {other.iterations_of(seed)}"
    where = f"{longest.directory} ({lengths}) and left out of {other.directory}"
    return f"seed {seed} of {arm}, {game}, is there twice: taken from {where}"


def _only(training: Training, seeds: set[int]) -> Training:
    if seeds == set(training.seeds):
        return training
    rows = [row for row in training.rows if row["seed"] in seeds]
    return replace(training, seeds=tuple(sorted(seeds)), rows=rows)


def _rows(directory: Path) -> list[Row]:
    """Those there are; none where nothing has been written yet."""
    path = directory / "metrics.jsonl"
    if not path.is_file() or b"\n" not in path.read_bytes():
        return []
    return read_metrics(directory)


def _iterations(rows: Sequence[Row], seed: int) -> int:
    return sum(row["phase"] == "train" and row["seed"] == seed for row in rows)


def _all_diverged(rows: Sequence[Row], seeds: Sequence[int]) -> bool:
    """Whether the last row of every seed says since when it is frozen."""
    last = {row["seed"]: row for row in rows}
    return all("diverged_at" in last.get(seed, ()) for seed in seeds)


def _state(directory: Path, finished: bool, diverged: bool) -> str:
    if _is_held(directory / "lock"):
        return RUNNING
    if finished:
        return FINISHED
    return DIVERGED if diverged else STOPPED


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
