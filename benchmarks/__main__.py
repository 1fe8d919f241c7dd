"""Measures prune_rl against other DQNs, against itself and against its floors, side by side.

Every row is a ratio of process CPU time. Its sides are processes pinned to one core that take
turns while the others wait, so that a loaded machine changes both sides of a ratio; compiling and
filling the replay are not counted. The number is the median over the rounds.

  python -m benchmarks                             all rows that have a bar, and then some
  python -m benchmarks --list                      their names
  python -m benchmarks --only='pong/*'             some of them
  python -m benchmarks --only='scaling/*'          seeds, width, replay ratio, size of the replay
  python -m benchmarks --only='td3_bc/*' --only='sac/*' --only='control_*'   continuous control

The first takes about half an hour on a quiet machine. What is not installed is left out,
and the last lines say how to install it.
"""

import argparse
import fnmatch
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.control_rows import control_groups
from benchmarks.environments import Checkouts
from benchmarks.measuring import Settings, measure
from benchmarks.pairs import Row
from benchmarks.results import Results
from benchmarks.rows import Group, groups
from benchmarks.starts import Start, Starts, measure_starts, starts
from prune_rl.errors import ConfigError, nearest

_WIDTH = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 1 if a worker died, 2 for wrong flags."""
    flags = parser().parse_args(argv)
    try:
        plan = chosen([*groups(), *control_groups(), starts()], flags.only)
        _check(flags)
    except ConfigError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if flags.list:
        print("\n".join(f"{row.name}\t{row.title}" for group in plan for row in group.rows))
        return 0
    try:
        return _measure(plan, Settings(flags.rounds, flags.seconds, flags.core), flags.out)
    except KeyboardInterrupt:
        print(f"benchmarks: interrupted; {flags.out} has what was measured", file=sys.stderr)
        return 130


def _measure(plan: Sequence[Group | Starts], settings: Settings, out: Path) -> int:
    about = {"machine": machine.describe(), "settings": settings._asdict()}
    results = Results(out, {**about, "load_before": machine.load()})
    with Checkouts() as checkouts:
        for number, group in enumerate(plan, 1):
            print(f"{number} of {len(plan)}: {group.name}", file=sys.stderr, flush=True)
            if isinstance(group, Starts):
                measure_starts(group, results)
            else:
                measure(group, settings, checkouts, results)
    results.note(load_after=machine.load())
    console = Console()
    console.width = max(console.width, _WIDTH)  # of a pipe it is too small
    results.show(console)
    print(f"written to {out} and {out.with_suffix('.md')}")
    return int(results.failed)


def parser() -> argparse.ArgumentParser:
    """The flags."""
    own = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="a row by name or pattern; may be repeated",
    )
    own.add_argument("--list", action="store_true", help="print names and titles; measure nothing")
    own.add_argument("--rounds", type=int, default=10, help="turns of each side (default: 10)")
    own.add_argument(
        "--seconds", type=float, default=0.7, help="length of a turn, about (default: 0.7)"
    )
    own.add_argument(
        "--core", type=int, default=machine.cores()[-1], help="the core that all are pinned to"
    )
    own.add_argument(
        "--out",
        type=Path,
        default=Path("benchmarks.json"),
        metavar="FILE.json",
        help="written after every group, with a table in FILE.md (default: benchmarks.json)",
    )
    return own


def _check(flags: argparse.Namespace) -> None:
    for name in ("rounds", "seconds"):
        if getattr(flags, name) <= 0:
            raise ConfigError(f"--{name}={getattr(flags, name)}: expected more than 0")
    if flags.core not in machine.cores():
        cores = ", ".join(map(str, machine.cores()))
        raise ConfigError(f"--core={flags.core}: expected one that this process may use: {cores}")
    if flags.out.suffix != ".json":
        raise ConfigError(f"--out={flags.out}: expected a name that ends in .json")
    if not flags.out.absolute().parent.is_dir():
        raise ConfigError(f"--out={flags.out}: no such folder")


def chosen(plan: Sequence[Group | Starts], patterns: Sequence[str]) -> list[Group | Starts]:
    """The groups with the rows that are asked for; those of the default set if none are.

    Raises:
        ConfigError: a pattern fits no row.
    """
    names = [row.name for group in plan for row in group.rows]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ConfigError(f"--only={pattern}: no such row; {nearest(pattern, names)}")

    def wanted(row: Row | Start) -> bool:
        if not patterns:
            return row.default
        return any(fnmatch.fnmatch(row.name, pattern) for pattern in patterns)

    kept: list[Group | Starts] = [
        group._replace(rows=[row for row in group.rows if wanted(row)]) for group in plan
    ]
    return [group for group in kept if group.rows]


if __name__ == "__main__":
    sys.exit(main())
