"""What a sweep is to run: a grid's cells as jobs, in their order; and the record of it on disk."""

import argparse
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import gin

from launch.executor import Job
from prune_rl import command_line, configuration
from prune_rl.errors import ConfigError, nearest
from prune_rl.gin_files import find_gin_file, shipped_gin_files
from prune_rl.grid import Cell, Grid
from prune_rl.recording import tensor_files
from prune_rl.reporting.trainings import FINISHED, read_training
from prune_rl.tracking import require_tracker

_RECORD = "sweep.json"
_OWN_TRAIN_FLAGS = ("no_compilation_cache", "no_malloc_settings", "track", "traceback")


def jobs(flags: argparse.Namespace) -> list[Job]:
    """Those of the grid that the flags describe, seed 0 of everything first, then seed 1, …

    Each is trained as `prune_rl.train --cell` does, so that bindings beside the grid's count.

    Raises:
        ConfigError: there is no grid or no such cell, or gin cannot read one.
    """
    base_dir = Path(flags.base_dir).absolute()
    files = tuple(_for_any_folder(name) for name in flags.gin_files)
    own = tuple(_train_flags(flags.train_flags))
    kinds = _kinds(flags.gin_files, flags.gin_bindings)
    configuration.load(flags.gin_files, flags.gin_bindings)
    return [
        Job(
            cell=Cell(cell.name, files, tuple(flags.gin_bindings)),
            directory=base_dir / cell.name,
            log=base_dir / f"{cell.name}.log",
            flags=(f"--cell={cell.name}", *own),
            kind=kinds[_arm(cell.name)],
        )
        for cell in _picked(_by_seeds(_grid(flags.gin_files)), flags.cells)
    ]


def _for_any_folder(name: str) -> str:
    path = find_gin_file(name)
    return name if path in shipped_gin_files().values() else str(path.absolute())


def _train_flags(given: Sequence[str]) -> Sequence[str]:
    """What was given after --, if it is for trainings and leaves their settings alone."""
    parser = command_line.parser()
    default = vars(parser.parse_args([]))
    flags = parser.parse_args(given)
    for name, value in vars(flags).items():
        if value != default[name] and name not in _OWN_TRAIN_FLAGS:
            choices = ", ".join(f"--{x}" for x in _OWN_TRAIN_FLAGS)
            raise ConfigError(f"-- --{name}: not for every training; expected some of {choices}")
    if flags.track is not None:
        require_tracker(flags.track)  # before every training says it
    return given


def _grid(gin_files: Sequence[str]) -> Grid:
    grid = Grid()
    if not grid.axes:
        named = " ".join(gin_files) or "none given"
        advice = "expected a file with Grid.axes, as experiments/figure_1.gin"
        raise ConfigError(
            f"--gin_files: no grid in {named}; {advice} (one training: prune_rl.train)"
        )
    return grid


def arms(flags: argparse.Namespace) -> set[str]:
    """The names of the cells of the flags' grid, all of them, but for game and seeds."""
    configuration.load(flags.gin_files, flags.gin_bindings)
    return {_arm(kind.cell.name) for kind in _grid(flags.gin_files).kinds()}


def _by_seeds(grid: Grid) -> list[Cell]:
    return sorted(grid.cells(), key=lambda cell: cell.seeds[0])


def _picked(cells: Sequence[Cell], patterns: Sequence[str]) -> Iterator[Cell]:
    names = [cell.name for cell in cells]
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            problem = f"no such cell; {nearest(pattern, names)}"
            raise ConfigError(f"--cells={pattern}: {problem}")
    for cell in cells:
        if not patterns or any(_matches(cell.name, pattern) for pattern in patterns):
            yield cell


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)  # a label may have a [


def _arm(name: str) -> str:
    """Of the cell called that: all but game and seeds."""
    return name.rsplit("/", 2)[0]


def _kinds(gin_files: Sequence[str], gin_bindings: Sequence[str]) -> Mapping[str, str]:
    """A digest of the settings of each kind of cell, by the labels of the axes."""
    configuration.load(gin_files, gin_bindings)
    kinds = list(_grid(gin_files).kinds())
    return {_arm(kind.cell.name): _digest(kind.cell, gin_files, gin_bindings) for kind in kinds}


def _digest(cell: Cell, gin_files: Sequence[str], gin_bindings: Sequence[str]) -> str:
    """Of all that is set in a cell, but which game and which seeds."""
    configuration.load([*cell.gin_files, *gin_files], [*cell.gin_bindings, *gin_bindings])
    lines = gin.config_str(max_line_length=1_000_000).splitlines()
    deciding = [line for line in lines if not _is_free(line)]
    return hashlib.sha256("\n".join(deciding).encode()).hexdigest()[:16]


def _is_free(line: str) -> bool:
    name = line.partition(" = ")[0]
    free = name in ("", "Runner.seed") or name.endswith(".game_name")
    return free or name.startswith(("#", "Grid.", "Suite."))


class Record:
    """sweep.json of a sweep's folder: what was asked, and which cells have finished with it."""

    def __init__(self, base_dir: Path) -> None:
        """Raises ConfigError: there is one that cannot be read."""
        self._base_dir = base_dir
        path = base_dir / _RECORD
        try:
            self._held = json.loads(path.read_bytes()) if path.exists() else {}
            self._finished: dict[str, str] = dict(self._held.get("finished", {}))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            advice = "remove it, then finished cells are looked through again"
            raise ConfigError(f"{path}: cannot be read; {advice}") from error

    def require_one_grid(self, arms: Collection[str]) -> None:
        """That whose `arms` these are may have other games and seeds than it had, and more arms.

        Raises:
            ConfigError: cells of other arms have finished here.
        """
        others = [name for name in self._finished if _arm(name) not in arms]
        if others:
            what = f"{len(others):,} cells of another grid have finished here, as {others[0]!r}"
            advice = "expected a folder for each grid (--cells picks some of one)"
            raise ConfigError(f"--base_dir={self._base_dir}: {what}; {advice}")

    def ask(self, flags: argparse.Namespace, cells: Sequence[str]) -> None:
        """Writes what is asked now."""
        names = ("gin_files", "gin_bindings", "backend", "train_flags")
        self._held = {name: getattr(flags, name) for name in names} | {"cells": list(cells)}
        self._write()

    def finish(self, jobs: Sequence[Job]) -> None:
        """Writes that their trainings said that they are finished."""
        self._finished |= {job.name: job.kind for job in jobs}
        self._write()

    def _write(self) -> None:
        data = json.dumps(self._held | {"finished": self._finished}, indent=1)
        tensor_files.write_bytes(self._base_dir, _RECORD, data.encode())

    def is_finished(self, job: Job) -> bool:
        """Whether its run is there, with all its iterations and the settings asked for now.

        A training itself tells whether a run has other settings than those: of one that was not
        recorded it is asked.
        """
        if self._finished.get(job.name) != job.kind:
            return False
        try:
            return read_training(job.directory).state == FINISHED
        except ConfigError:  # removed, or damaged: the training itself tells
            return False
