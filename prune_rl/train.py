"""Trains the agents that the given gin files describe: `python -m prune_rl.train --help`."""

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from prune_rl.errors import ConfigError, RunEnded
from prune_rl.gin_files import shipped_gin_files
from prune_rl.signals import StopSignals

if TYPE_CHECKING:
    from prune_rl.price import Price
    from prune_rl.runner import Runner

_DESCRIPTION = """\
Trains S seeds of one agent at once and writes a run directory: metrics.jsonl and
episodes.csv (the truth), tensorboard/, checkpoints/, config.gin, provenance.json
and curve.png. The same command on the same directory resumes where it stopped.
"""

# Folders of gin_configs/, in the order in which a training is composed.
_KINDS = {
    "agents": "what learns",
    "networks": "what it learns with, any width",
    "pruning": "how it is pruned; by default not at all",
    "plasticity": "what pruning is compared with",
    "diagnostics": "what is measured beside returns",
    "suites": "which games",
    "experiments": "whole settings to start from, and the grids of the paper's figures",
}
_COLUMNS = 100
_INTERRUPTED = 130  # as a shell has it for SIGINT

_EPILOG = """\
gin files compose, one of each kind; later files and bindings win:
{shipped}
Files are found by path or by these names, as agents/dqn.gin; every value in them is a gin binding:
  Runner.{{num_seeds,seed,num_iterations,training_steps,evaluation_steps}}   (agent steps)
  create_updater_from_config.{{sparsity,update_start_step,update_end_step}}  (gradient steps,
      or fractions of the run when written as 0.2)
  ImpalaTorso.width, DQNAgent.gamma, create_optimizer.learning_rate, ReplayBuffer.max_capacity

examples:
  # three seeds of a 95 % pruned DQN on MinAtar Breakout, minutes on a laptop
  python -m prune_rl.train --base_dir=runs/pruned --gin_files=experiments/minatar_breakout.gin \\
    --gin_files=pruning/magnitude.gin --gin_bindings='Runner.num_seeds=3'

  # the paper's setting: Impala ResNet, three times as wide, 40M frames of an Atari game
  python -m prune_rl.train --base_dir=runs/pong --gin_files=agents/dqn.gin \\
    --gin_files=networks/impala.gin --gin_files=pruning/magnitude.gin \\
    --gin_bindings='ImpalaTorso.width=3' --gin_bindings='Runner.num_iterations=40' \\
    --gin_bindings='create_atari_environment.game_name="Pong"'

  # which games a suite holds; which trainings a figure needs, with their flags; one of them
  python -m prune_rl.train --gin_files=suites/atari_15.gin --list
  python -m prune_rl.train --gin_files=experiments/figure_1.gin --list
  python -m prune_rl.train --base_dir=runs/one --gin_files=experiments/figure_1.gin \\
    --cell=dqn/x3/95/Pong/0
"""

_HELP = {
    "base_dir": "run directory, made if missing, resumed if it holds a run",
    "gin_files": "a gin file, by path or shipped name; repeat to compose",
    "gin_bindings": "one gin binding, applied after the files; repeatable",
    "list": "print a grid's cells, each with its flags after a tab, or a suite's games, and stop",
    "cell": "train this cell of a grid; further flags win over its own",
    "no_compilation_cache": "compile anew, without the compiled programs kept in ~/.cache/prune_rl",
}


def _list_shipped() -> str:
    """Every shipped gin file, by kind: `agents/` and its meaning, then names to go behind it."""
    files: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for name in shipped_gin_files():
        kind, _, file = name.partition("/")
        files.setdefault(kind, []).append(file)
    margin = " " * 16
    return "\n".join(
        f"  {kind + '/':<14}{_KINDS.get(kind, '')}\n"
        + textwrap.fill(" ".join(own), _COLUMNS, initial_indent=margin, subsequent_indent=margin)
        for kind, own in files.items()
    )


def parser() -> argparse.ArgumentParser:
    """The command line of `python -m prune_rl.train`."""
    result = argparse.ArgumentParser(
        prog="python -m prune_rl.train",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(shipped=_list_shipped()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = result.add_argument
    add("--base_dir", metavar="RUN", help=_HELP["base_dir"])
    add("--gin_files", action="append", default=[], metavar="FILE", help=_HELP["gin_files"])
    add(
        "--gin_bindings",
        action="append",
        default=[],
        metavar="'NAME=VALUE'",
        help=_HELP["gin_bindings"],
    )
    add("--list", action="store_true", help=_HELP["list"])
    add("--cell", metavar="NAME", help=_HELP["cell"])
    add("--no_compilation_cache", action="store_true", help=_HELP["no_compilation_cache"])
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code (2: the user must change something)."""
    flags = parser().parse_args(argv)
    try:
        if flags.list:
            return _list(flags)
        with StopSignals() as stop:
            return _train(flags, stop)
    except ConfigError as error:
        # gin adds lines about where it was; the first line is ours.
        print(f"prune_rl.train: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except RunEnded as ended:
        print(f"prune_rl.train: {ended}", file=sys.stderr)
        return ended.exit_code
    except OSError as error:
        print(f"prune_rl.train: {error}; the last checkpoint is intact", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prune_rl.train: interrupted; the same command resumes", file=sys.stderr)
        return _INTERRUPTED


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


def _train(flags: argparse.Namespace, stop: StopSignals) -> int:
    if not flags.gin_files:
        raise ConfigError("--gin_files: none given; start from --gin_files=agents/dqn.gin (--help)")
    if not flags.base_dir:
        raise ConfigError("--base_dir: none given; name the directory the run is written to")
    from prune_rl import compilation_cache, configuration
    from prune_rl.experiment import create_runner

    if flags.no_compilation_cache:
        compilation_cache.disable()
    else:
        compilation_cache.enable()
    gin_files, gin_bindings, typed = _composition(flags)
    configuration.load(gin_files, gin_bindings)
    try:
        runner = create_runner(flags.base_dir)
    except TypeError as error:
        if "required positional argument" not in str(error):
            raise
        advice = "bind a function without (), as @OnlineSource"
        raise ConfigError(f"{str(error).splitlines()[0]}; {advice}") from error
    configuration.check_bindings_are_used(typed)
    with closing(runner.source):
        runner.run(stop, partial(_announce, runner))
    return 0


def _announce(runner: "Runner", price: "Price") -> None:
    from prune_rl.price import lines

    for line in lines(price, clock=runner.source.clock, num_seeds=len(runner.seeds)):
        print(line, file=sys.stderr, flush=True)


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
    if code == _INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
