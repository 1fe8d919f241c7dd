"""The flags of `python -m prune_rl.train`, and what their help teaches."""

import argparse
import math
import textwrap

from prune_rl.gin_files import shipped_gin_files
from prune_rl.version import add_version

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
    "regularization": "what Sparse-Reg is compared with",
    "diagnostics": "what is measured beside returns",
    "suites": "which games",
    "experiments": "whole settings to start from, and the grids of the papers' figures and tables",
}
_COLUMNS = 100

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

  # what that takes, before it starts; what a whole figure takes, kind by kind
  python -m prune_rl.train --dry_run --gin_files=experiments/minatar_breakout.gin
  python -m prune_rl.train --dry_run --gin_files=experiments/figure_1.gin --dollars_per_hour=2

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
    "track": "show the run on a service too, beside its own files: wandb (WANDB_MODE=offline: "
    "kept on disk); docs/tracking.md",
    "traceback": "print Python's traceback before the line that says what went wrong",
    "dry_run": "measure for ten seconds what the training takes of this machine, or each kind of "
    "a grid's, print it and stop; nothing is kept, and --base_dir is not needed",
    "dollars_per_hour": "of a machine like this one: what the training takes is priced too",
    "no_compilation_cache": "compile anew, without the compiled programs kept in ~/.cache/prune_rl",
    "no_malloc_settings": "leave glibc's malloc as it is; on CPU it then takes every update's "
    "buffers anew from Linux, page by page",
}


def _list_shipped() -> str:
    """Every shipped gin file, by kind: `agents/` and its meaning, then names to go behind it."""
    files: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for name in shipped_gin_files():
        kind, _, file = name.partition("/")
        files.setdefault(kind, []).append(file)
    margin = " " * 18
    return "\n".join(
        f"  {kind + '/':<16}{_KINDS.get(kind, '')}\n"
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
    add("--track", metavar="NAME", help=_HELP["track"])
    add("--traceback", action="store_true", help=_HELP["traceback"])
    add("--dry_run", action="store_true", help=_HELP["dry_run"])
    add("--dollars_per_hour", metavar="X", type=_dollars, help=_HELP["dollars_per_hour"])
    add("--no_compilation_cache", action="store_true", help=_HELP["no_compilation_cache"])
    add("--no_malloc_settings", action="store_true", help=_HELP["no_malloc_settings"])
    add_version(result)
    return result


def _dollars(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError
    return value


_dollars.__name__ = "number of dollars"  # in argparse's message
