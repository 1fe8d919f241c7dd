"""Trains the agents that the given gin files describe: `python -m prune_rl.train --help`."""

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TextIO

from prune_rl import malloc
from prune_rl.command_line import parser
from prune_rl.errors import ConfigError, RunEnded
from prune_rl.last_words import is_out_of_memory, last_words
from prune_rl.signals import INTERRUPTED, StopSignals
from prune_rl.tracking import require_tracker

if TYPE_CHECKING:  # --help needs no JAX
    from prune_rl.price import Price
    from prune_rl.python_settings import Settings
    from prune_rl.results import Results
    from prune_rl.runner import Runner

_SMALLER = "make ReplayBuffer.batch_size, Runner.num_seeds or the torso's width smaller"
_RESUMES = "the same command resumes from the last checkpoint"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code (2: the user must change something)."""
    began, flags, runner = time.monotonic(), parser().parse_args(argv), None
    try:
        if flags.list:
            return _list(flags)
        if flags.dry_run:
            return _dry_run(flags, began)
        with StopSignals() as stop:
            with stop.raising("nothing was begun"):  # reading data may take minutes
                runner = _prepare(flags)

            def announce(price: "Price") -> None:
                _say(price._replace(startup=time.monotonic() - began), flags, sys.stderr)
                _say_kept()

            runner.run(stop, announce, flags.track)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if flags.traceback:
            traceback.print_exc()
        running = runner is not None
        line, code = last_words(error, _then(error, running=running), failed=1 if running else 2)
        print(f"prune_rl.train: {line}", file=sys.stderr)
        return code


def _then(error: BaseException, *, running: bool) -> str:
    """What a user can do about it."""
    if isinstance(error, RunEnded):
        return ""  # it has said where it stands
    if is_out_of_memory(error):
        return _SMALLER
    return _RESUMES if running else ""


def _list(flags: argparse.Namespace) -> int:
    from prune_rl import configuration
    from prune_rl.environments.suite import Suite
    from prune_rl.grid import Grid

    configuration.load(flags.gin_files, flags.gin_bindings)
    grid, games = Grid(), Suite().games
    if not games:
        raise ConfigError("--list: no suite; add one, for example --gin_files=suites/atari_15.gin")
    lines = [f"{cell.name}\t{cell.flags}" for cell in grid.cells()] if grid.axes else games
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:  # `--list | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _prepare(flags: argparse.Namespace) -> "Runner":
    """The run that the flags describe; nothing is written before it runs."""
    _require_gin_files(flags)
    if not flags.base_dir:
        raise ConfigError("--base_dir: none given; name the directory the run is written to")
    if flags.track is not None:
        require_tracker(flags.track)
    return create_runner(flags, flags.base_dir)


def _require_gin_files(flags: argparse.Namespace) -> None:
    if not flags.gin_files:
        raise ConfigError("--gin_files: none given; start from --gin_files=agents/dqn.gin (--help)")


def create_runner(flags: argparse.Namespace, base_dir: str | Path) -> "Runner":
    """What `flags`, as the command line's parser gives them, would train in `base_dir`.

    Raises:
        ConfigError: they describe no training.
    """
    if not flags.no_malloc_settings:
        malloc.keep_memory()
    from prune_rl import compilation_cache  # JAX starts threads
    from prune_rl.composition import compose

    if flags.no_compilation_cache:
        compilation_cache.disable()
    else:
        compilation_cache.enable()
    return compose(base_dir, *_composition(flags))


def _say(price: "Price", flags: argparse.Namespace, stream: TextIO) -> None:
    from prune_rl.price import lines

    for line in lines(price, flags.dollars_per_hour):
        print(line, file=stream, flush=True)


def _say_kept() -> None:
    settings = malloc.kept()
    if settings is not None:
        line = f"malloc: freed memory is kept ({settings}); not with --no_malloc_settings"
        print(line, file=sys.stderr, flush=True)


def _dry_run(flags: argparse.Namespace, began: float) -> int:
    _require_gin_files(flags)
    # So that what it has made is removed.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return _measure(flags, began)
    finally:
        signal.signal(signal.SIGTERM, before)


def _measure(flags: argparse.Namespace, began: float) -> int:
    from prune_rl import configuration, dry_run
    from prune_rl.grid import Grid

    configuration.load(flags.gin_files, flags.gin_bindings)
    grid = Grid()
    if flags.cell or not grid.axes:
        _say(dry_run.measure(partial(create_runner, flags), began), flags, sys.stdout)
        return 0

    def price_of(name: str) -> "Price":
        own = argparse.Namespace(**{**vars(flags), "cell": name})
        return dry_run.measure_apart(partial(create_runner, own), name)

    for line in dry_run.of_grid(grid, price_of, flags.dollars_per_hour):
        print(line, flush=True)
    return 0


def _composition(flags: argparse.Namespace) -> tuple[list[str], list[str], list[str]]:
    """What to train with: the gin files and bindings given, after those of a grid's cell.

    Third, those of the given bindings that the training has to use: the grid used the others.
    """
    from prune_rl import configuration
    from prune_rl.grid import Grid

    configuration.load(flags.gin_files, flags.gin_bindings)
    grid = Grid()
    if flags.cell:
        cell = grid.cell(flags.cell)
        bindings = [*cell.gin_bindings, *flags.gin_bindings]
        typed = configuration.unused_bindings(flags.gin_bindings)
        return [*cell.gin_files, *flags.gin_files], bindings, typed
    if grid.axes:
        raise ConfigError(
            f"--gin_files: a grid of {len(grid):,} trainings; --list prints them, --cell=NAME "
            f"trains one, as --cell={next(grid.cells()).name}"
        )
    return flags.gin_files, flags.gin_bindings, flags.gin_bindings


def leave(code: int) -> NoReturn:
    """Ends the process; interrupted twice, it does not wait for what is being written."""
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class _Callable(ModuleType):
    """This module: `prune_rl.train` is its name and the function's of `prune_rl.api`.

    Of that it has the text too, for help that imports no JAX.
    """

    def __call__(self, settings: "Settings", base_dir: str | Path) -> "Results":
        """Trains in this process what the settings describe, as `python -m prune_rl.train` does.

        The run directory is the same to the byte (metrics.jsonl, checkpoints), and either resumes
        the other's run: the same call again goes on where it stopped. It draws on the terminal how
        far it is; within, no other thread may use gin. The memory allocator stays as it is
        (`--no_malloc_settings`); compiled programs are kept as the command keeps them.

        Args:
            settings: see `python_settings`.
            base_dir: the run directory, made if missing.

        Returns:
            What the run has recorded, all of its iterations.

        Raises:
            ConfigError: a setting or the directory is wrong, and nothing was written.
            KeyboardInterrupt: the first Ctrl-C, or interrupt of a notebook: the run is saved.
                At the second it is left at its last checkpoint.
            RunEnded: a game raised, SIGTERM or SIGUSR1 came, or no seed is finite; saved.
        """
        from prune_rl import api

        return api.train(settings, base_dir)


sys.modules[__name__].__class__ = _Callable
sys.modules[__name__].__doc__ = _Callable.__call__.__doc__  # what help(prune_rl.train) says

if __name__ == "__main__":
    leave(main())
