"""Reads what runs wrote to disk, and what every command that draws them shares."""

import argparse
import csv
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import FigureCanvasBase

from prune_rl.errors import ConfigError, require_choice
from prune_rl.recording.metrics import CLOCKS

PHASES = {"eval": "evaluation", "train": "training"}  # those that have returns
SEEDS_OF_AN_INTERVAL = 3  # of fewer seeds none is drawn
_NUM_RESAMPLES = 2_000


class Run(NamedTuple):
    """A run directory and the name it goes by in the picture."""

    directory: Path
    label: str = ""


class Curve(NamedTuple):
    """One quantity of one run and phase: steps of its clock (T,), values (S, T) with NaNs."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl; a last line that is still being written is left out.

    Every row has a "clock": agent steps, where it was recorded before rows said so.

    Raises:
      ConfigError: there is no such file, no row in it, a line that is no JSON object, or a clock
        that is none of `CLOCKS`.
    """
    path = directory / "metrics.jsonl"
    if not path.is_file():
        raise ConfigError(f"--run={directory}: holds no metrics.jsonl; expected a run directory")
    lines = path.read_text().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    rows = [_parse_row(path, i, line) for i, line in enumerate(whole, start=1)]
    if not rows:
        raise ConfigError(f"--run={directory}: no iteration has finished yet")
    return rows


def _parse_row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {number}: expected a JSON object; {error}") from error
    require_choice(f"{path}, line {number}: clock", row.setdefault("clock", "agent_steps"), CLOCKS)
    return row


def common_clock(runs: Sequence[Run], clocks: Sequence[str]) -> str:
    """The clock that all of the runs have, given each one's, keys of `CLOCKS`.

    Raises:
        ConfigError: they differ.
    """
    for run, clock in zip(runs, clocks, strict=True):
        if clock != clocks[0]:
            raise ConfigError(
                f"--run={run.directory}: counts {CLOCKS[clock]}, {runs[0].directory} counts "
                f"{CLOCKS[clocks[0]]}; expected runs of one clock in one picture"
            )
    return clocks[0]


def steps_label(runs: Sequence[Run], metrics: Sequence[Sequence[dict[str, Any]]]) -> str:
    """What an axis of the steps of these runs says; errors as in `common_clock`."""
    return f"{CLOCKS[common_clock(runs, [rows[0]['clock'] for rows in metrics])]} per seed"


def with_networks(
    names: Sequence[str], metrics: Sequence[Sequence[dict[str, Any]]]
) -> tuple[str, ...]:
    """`names`, then what the rows hold of them for single networks, as 'critic/loss'."""
    held = {name for rows in metrics for row in rows for name in row if "/" in name}
    return *names, *sorted(name for name in held if name.rpartition("/")[2] in names)


def curve(rows: Sequence[dict[str, Any]], phase: str, field: str) -> Curve:
    """Arranges `field` of one phase's rows by seed and the clock's steps; NaN where missing."""
    rows = [row for row in rows if row["phase"] == phase]
    seeds = sorted({row["seed"] for row in rows})
    steps = sorted({row[row["clock"]] for row in rows})
    values = np.full((len(seeds), len(steps)), np.nan)
    for row in rows:
        value = row.get(field)
        values[seeds.index(row["seed"]), steps.index(row[row["clock"]])] = (
            np.nan if value is None else value
        )
    return Curve(np.array(steps, np.int64), values)


def bootstrap_interval(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """95 % percentile bootstrap interval of the mean over seeds: (S, T) to two (T,) arrays.

    Seeds are resampled, always with the same generator. NaNs are left out of the means.
    """
    picks = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    means = nanmean(values[picks], axis=1)  # (resamples, T)
    with warnings.catch_warnings():
        # No episode of any seed has ended yet: NaN is the answer.
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return low, high


def nanmean(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Mean over `axis` without NaNs; NaN, silently, where nothing else is there."""
    count = np.sum(~np.isnan(values), axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis) / np.maximum(count, 1), np.nan)


def returns_phase(
    runs: Sequence[Run], metrics: Sequence[Sequence[dict[str, Any]]], asked: str | None
) -> str:
    """The phase whose returns are drawn of every run, a key of `PHASES`.

    It is the one `asked` for; if that is None, 'eval' where every run has evaluated, else 'train'.

    Raises:
        ConfigError: 'eval' was asked for and a run has not evaluated.
    """
    lacking = [
        str(run.directory)
        for run, rows in zip(runs, metrics, strict=True)
        if not any(row["phase"] == "eval" for row in rows)
    ]
    if asked == "eval" and lacking:
        raise ConfigError(
            f"--phase=eval: no evaluation in {', '.join(lacking)}; train with "
            "--gin_bindings=Runner.evaluation_steps=125_000 (agent steps), or draw --phase=train"
        )
    return asked or ("train" if lacking else "eval")


def write_rows(out: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file; a float that is NaN becomes an empty field."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow(["" if value != value else value for value in row])


def _parse_run(text: str) -> Run:
    label, separator, directory = text.partition("=")
    return Run(Path(directory), label) if separator else Run(Path(text), Path(text).name)


def _parse_picture(text: str) -> Path:
    suffix, known = Path(text).suffix.removeprefix("."), FigureCanvasBase.filetypes
    if suffix not in known:
        raise argparse.ArgumentTypeError(f"{text}: expected a name ending in {', '.join(known)}")
    return Path(text)


def create_parser(module: str, description: str, example: str) -> argparse.ArgumentParser:
    """A parser with the flags --run, --out and --csv, which every picture has."""
    parser = argparse.ArgumentParser(
        prog=f"python -m prune_rl.reporting.{module}",
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--run",
        action="append",
        required=True,
        type=_parse_run,
        metavar="LABEL=RUN",
        help="a run directory and its name in the picture; repeat to compare",
    )
    parser.add_argument(
        "--out", required=True, type=_parse_picture, help="the picture (.png, .pdf, .svg)"
    )
    parser.add_argument("--csv", type=Path, help="also write the numbers here")
    return parser


def add_phase_flag(parser: argparse.ArgumentParser) -> None:
    """Adds --phase, which every picture of returns has."""
    parser.add_argument(
        "--phase",
        choices=sorted(PHASES),
        help="whose returns: of training episodes or of evaluations; default: evaluations if every "
        "run has them, else training",
    )


def report(module: str, out: Path, write: Callable[[], None]) -> int:
    """Calls `write`, says what became of it in one line, and returns the exit code."""
    try:
        write()
    except (ConfigError, OSError) as error:
        print(f"prune_rl.reporting.{module}: {error}", file=sys.stderr)
        return 2
    print(f"wrote {out}")
    return 0
