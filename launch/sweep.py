"""Trains every cell of a grid somewhere: `python -m launch.sweep --help`."""

import argparse
import importlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from launch import plan
from launch.attempts import Attempts
from launch.executor import Executor, Job
from launch.table import Board
from prune_rl.errors import ConfigError, first_line, nearest
from prune_rl.recording import run_directory
from prune_rl.signals import INTERRUPTED, StopSignals
from prune_rl.version import add_version

# Modules with add_flags(parser), executor(flags) and, where jobs are scripts, script(flags, jobs).
BACKENDS = {"local": "launch.local", "slurm": "launch.on_slurm", "ray": "launch.on_ray"}
_POLL_SECONDS = 0.5

_DESCRIPTION = """\
Trains every cell of a grid, each in a run directory of its own: BASE_DIR/<cell>, with what it
prints in BASE_DIR/<cell>.log. Cells that have finished are skipped, broken ones tried again, and
the same command goes on where it was stopped: Ctrl-C lets trainings save and end, twice kills them.
"""
_EPILOG = """\
Flags after -- go to every training, as -- --no_compilation_cache. The order is seed 0 of
everything, then seed 1, …: whenever it is stopped, what is there can be compared.

exit code: 0 all have finished, 1 some have not, 2 something must be changed, 130 interrupted

examples:
  # a grid of your own, two trainings at once; what would be run; one seed of it
  python -m launch.sweep --gin_files=GRID.gin --base_dir=runs/g --workers=2
  python -m launch.sweep --gin_files=GRID.gin --base_dir=runs/g --dry_run
  python -m launch.sweep --gin_files=GRID.gin --base_dir=runs/g --cells='*/0'

  # 4 configurations of DQN, 2 games of MinAtar, 5 seeds; then statistics, figures and a page
  python -m launch.sweep --gin_files=experiments/minatar_report.gin --base_dir=runs/minatar \\
    --report=report

  # a figure of the paper on a cluster
  python -m launch.sweep --gin_files=experiments/figure_1.gin --base_dir=runs/f1 --backend=slurm

GRID.gin names a suite and a grid:
  include 'suites/minatar_2.gin'
  Grid.axes = [('width', {'x1': ['MinAtarTorso.width=1'], 'x2': ['MinAtarTorso.width=2']})]
  Grid.shared = ['experiments/minatar_breakout.gin']
  Grid.num_seeds = 3
"""
_HELP = {
    "backend": "where: this machine (default), Slurm or Ray; --backend=slurm --help has its flags",
    "gin_files": "a gin file with a grid, by path or shipped name; repeat to compose",
    "gin_bindings": "one gin binding for the grid or for all of its cells; repeatable",
    "base_dir": "folder of the run directories, made if missing; of one grid, which may grow",
    "cells": "only cells of this name, or that this pattern matches, as '*/0'; repeatable",
    "retries": "of a training that failed, with more and more time between; default: 2",
    "dry_run": "say what would be run, with its command, and stop",
    "report": "when all have ended, draw it here: python -m prune_rl.report BASE_DIR --out=DIR",
    "train_flags": "after --: flags of python -m prune_rl.train for every cell",
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags: those of every sweep, and those of the backend that they name."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    where = "{" + ",".join(BACKENDS) + "}"
    text = _HELP["backend"]
    first.add_argument("--backend", type=_backend, default="local", metavar=where, help=text)
    backend = first.parse_known_args(argv)[0].backend
    parser = argparse.ArgumentParser(
        prog="python -m launch.sweep",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[first],
    )
    add = parser.add_argument
    named = {"gin_files": "FILE", "gin_bindings": "'NAME=VALUE'", "cells": "PATTERN"}
    for name, metavar in named.items():
        needed = name == "gin_files"
        text = _HELP[name]
        add(f"--{name}", action="append", default=[], required=needed, metavar=metavar, help=text)
    add("--base_dir", required=True, metavar="DIR", help=_HELP["base_dir"])
    add("--retries", type=int, default=2, metavar="N", help=_HELP["retries"])
    add("--dry_run", action="store_true", help=_HELP["dry_run"])
    add("--report", metavar="DIR", help=_HELP["report"])
    add("train_flags", nargs="*", metavar="FLAG", help=_HELP["train_flags"])
    add_version(parser)
    _module(backend).add_flags(parser)
    return parser.parse_args(argv)


def _backend(name: str) -> str:
    if name not in BACKENDS:
        raise argparse.ArgumentTypeError(f"no backend {name!r}; {nearest(name, BACKENDS)}")
    return name


def _module(backend: str) -> ModuleType:
    return importlib.import_module(BACKENDS[backend])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code that `--help` tells of."""
    flags = parse(sys.argv[1:] if argv is None else argv)
    try:
        base_dir = _base_dir(flags)
        if flags.retries < 0:
            raise ConfigError(f"--retries={flags.retries}: expected a whole number from 0")
        _require_room_for_report(flags.report)
        jobs = plan.jobs(flags)
        if flags.dry_run:
            return _dry_run(flags, jobs, _record(flags))
        executor = _module(flags.backend).executor(flags)  # before a folder is made
        with StopSignals() as stop, run_directory.held(base_dir):
            code = _sweep(flags, jobs, executor, stop)
        return _report(flags, code)
    except ConfigError as error:
        _say(f"launch.sweep: {first_line(error)}")
        return 2
    except OSError as error:  # no space left, most likely; trainings on this machine save and end
        _say(f"launch.sweep: {first_line(error)}; the same command goes on when that is mended")
        return 2
    except KeyboardInterrupt:
        _say("launch.sweep: interrupted; the same command goes on from the last checkpoints")
        return INTERRUPTED


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _base_dir(flags: argparse.Namespace) -> Path:
    if not flags.base_dir:
        raise ConfigError("--base_dir: none given; name the folder of the run directories")
    base_dir = Path(flags.base_dir)
    if (base_dir / "config.gin").exists():
        problem = "is a run directory; expected a folder for run directories"
        raise ConfigError(f"--base_dir={base_dir}: {problem}")
    return base_dir


def _require_room_for_report(report: str | None) -> None:
    """Before hours of training, not after."""
    if report is None:
        return
    folder = Path(report).absolute()
    there = next(x for x in (folder, *folder.parents) if x.exists())
    if not there.is_dir():
        raise ConfigError(f"--report={report}: expected a folder; {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--report={report}: {there} cannot be written to")


def _record(flags: argparse.Namespace) -> plan.Record:
    record = plan.Record(Path(flags.base_dir))
    record.require_one_grid(plan.arms(flags))
    return record


def _dry_run(flags: argparse.Namespace, jobs: Sequence[Job], record: plan.Record) -> int:
    """Prints which cells have finished, and how the others would be trained."""
    finished = [job for job in jobs if record.is_finished(job)]
    to_go = [job for job in jobs if job not in finished]
    script = getattr(_module(flags.backend), "script", None)
    for job in finished:
        print(f"{job.name}\tfinished")
    for job in to_go:
        print(f"{job.name}\t{shlex.join(job.command)}")
    if script is not None and to_go:
        print(script(flags, to_go))
    print(f"{len(jobs):,} cells: {len(finished):,} finished, {len(to_go):,} to go", flush=True)
    return 0


def _sweep(
    flags: argparse.Namespace, jobs: Sequence[Job], executor: Executor, stop: StopSignals
) -> int:
    record = _record(flags)
    to_go = [job for job in jobs if not record.is_finished(job)]
    skipped = len(jobs) - len(to_go)
    _say(f"{flags.base_dir}: {len(jobs):,} cells, {skipped:,} of them finished before")
    record.ask(flags, [job.name for job in jobs])
    attempts = Attempts(executor, to_go, retries=flags.retries)
    with Board(str(flags.base_dir), to_go, skipped=skipped) as board:
        attempts.submit()
        while not attempts.done and stop.received is None:
            ended = attempts.look()
            if finished := [x.job for x in ended if x.finished]:
                record.finish(finished)
            board.show(attempts.standings, ended)
            time.sleep(0 if attempts.done else _POLL_SECONDS)
    if not attempts.done:
        return _interrupted(executor)
    for name, failed in sorted(attempts.failed.items()):
        _say(f"{name} failed: {failed.told}")
    _say(f"{len(jobs) - len(attempts.failed):,} of {len(jobs):,} cells have finished")
    return 1 if attempts.failed else 0


def _interrupted(executor: Executor) -> int:
    if executor.outlives:
        _say("launch.sweep: interrupted; the jobs go on, and the same command watches them")
    else:
        _say("launch.sweep: interrupted; trainings save and end, Ctrl-C again kills them")
        executor.cancel()
        _say("launch.sweep: all have ended; the same command goes on")
    return INTERRUPTED


def _report(flags: argparse.Namespace, code: int) -> int:
    """Draws the report if that is asked for and all cells have ended."""
    if flags.report is None or code == INTERRUPTED:
        return code
    report = importlib.import_module("prune_rl.report")
    drawn: int = report.main([str(flags.base_dir), f"--out={flags.report}"])
    return code or drawn


if __name__ == "__main__":
    sys.exit(main())
