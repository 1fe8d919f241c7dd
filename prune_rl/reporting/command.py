"""The command line that every picture of runs has."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from prune_rl.errors import ConfigError
from prune_rl.reporting.figures import save
from prune_rl.reporting.runs import PHASES, Run, say_diverged

PHASE_FLAG = {  # --phase, which every picture of returns has
    "choices": sorted(PHASES),
    "help": "whose returns: of training episodes or of evaluations; default: evaluations if every "
    "run has them, else training",
}


def command(
    module: str,
    description: str,
    example: str,
    draw: Callable[[Namespace], Figure],
    write_csv: Callable[[Namespace], None],
    **own_flags: dict[str, Any],
) -> Callable[..., int]:
    """The `main` of `python -m prune_rl.reporting.<module>`.

    It has the flags --run, --out and --csv, and `own_flags`, each with its arguments of
    `add_argument`. Given them all, `draw` makes the picture that goes to --out, and `write_csv`
    writes --csv if that is given. Seeds that have diverged are named. `example` is the flags of one
    call.
    """
    name = f"prune_rl.reporting.{module}"
    parser = _create_parser(name, description, f"example:\n  python -m {name} {example}")
    for flag, arguments in own_flags.items():
        parser.add_argument(f"--{flag}", **arguments)

    def main(argv: Sequence[str] | None = None) -> int:
        """Runs the command line, says what became of it in one line, returns the exit code."""
        flags = parser.parse_args(argv)
        try:
            save(draw(flags), flags.out)
            if flags.csv:
                write_csv(flags)
            for run in flags.run:
                say_diverged(run.directory)
        except (ConfigError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        print(f"wrote {flags.out}")
        return 0

    return main


def _create_parser(name: str, description: str, epilog: str) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    text = "a run directory and its name in the picture; repeat to compare"
    add("--run", action="append", required=True, type=_parse_run, metavar="LABEL=RUN", help=text)
    add("--out", required=True, type=_parse_picture, help="the picture (.png, .pdf, .svg)")
    add("--csv", type=Path, help="also write the numbers here")
    return parser


def _parse_run(text: str) -> Run:
    label, separator, directory = text.partition("=")
    return Run(Path(directory), label) if separator else Run(Path(text), Path(text).name)


def _parse_picture(text: str) -> Path:
    suffix, known = Path(text).suffix.removeprefix("."), FigureCanvasBase.filetypes
    if suffix not in known:
        raise ArgumentTypeError(f"{text}: expected a name ending in {', '.join(known)}")
    return Path(text)
