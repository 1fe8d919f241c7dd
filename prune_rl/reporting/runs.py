"""Reads what runs wrote to disk, for pictures and tables of them."""

import csv
import json
import math
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError, require_choice
from prune_rl.recording.metrics import CLOCKS

PHASES = {"eval": "evaluation", "train": "training"}  # those that have returns
SEEDS_OF_AN_INTERVAL = 3  # of fewer seeds none is drawn
_NUM_RESAMPLES = 2_000

Row = dict[str, Any]  # a line of metrics.jsonl
Floats = npt.NDArray[np.float64]


class Run(NamedTuple):
    """A run directory and the name it goes by in the picture."""

    directory: Path
    label: str = ""


class Curve(NamedTuple):
    """One quantity of one run and phase: steps of its clock (T,), values (S, T) with NaNs."""

    steps: npt.NDArray[np.int64]
    values: Floats


def read_metrics(directory: Path) -> list[Row]:
    """The rows of a run's metrics.jsonl, each with what timing.jsonl says of the same phase.

    Last lines that are still being written are left out, and a run may have no timing.jsonl. Every
    row has a "clock": agent steps, where it was recorded before rows said so.

    Raises:
      ConfigError: there is no metrics.jsonl, no row in it, a line that is no JSON object, a clock
        that is none of `CLOCKS`, or no such counter.
    """
    path, timing = directory / "metrics.jsonl", directory / "timing.jsonl"
    if not path.is_file():
        raise ConfigError(f"--run={directory}: holds no metrics.jsonl; expected a run directory")
    rows = _parse(path)
    if not rows:
        raise ConfigError(f"--run={directory}: no iteration has finished yet")
    for i, row in enumerate(rows, start=1):
        if not isinstance(row.get(row["clock"]), int):
            expected = f"expected {row['clock']}, its clock, as a whole number"
            raise ConfigError(f"{path}, line {i}: {expected}")
    times = {_phase_of(row): row for row in _parse(timing)} if timing.is_file() else {}
    return [times.get(_phase_of(row), {}) | row for row in rows]


def say_diverged(directory: Path) -> None:
    """Names on stderr, in one line, the seeds of a run that have diverged, and since when."""
    path = directory / "metrics.jsonl"
    rows = _parse(path) if path.is_file() else []
    since = {row["seed"]: row["diverged_at"] for row in rows if "diverged_at" in row}
    if since:
        named = ", ".join(f"{seed} (gradient step {since[seed]:,})" for seed in sorted(since))
        frozen = "frozen since then, and in the means as they are"
        print(f"{directory}: diverged seeds: {named}; {frozen}", file=sys.stderr)


_WHOSE = {"seed", "iteration", "phase"}


def _phase_of(row: Row) -> tuple[int, int, str]:
    return row["seed"], row["iteration"], row["phase"]


def _parse(path: Path) -> list[Row]:
    lines = path.read_bytes().split(b"\n")[:-1]
    return [_parse_row(path, i, line) for i, line in enumerate(lines, start=1)]


def _parse_row(path: Path, number: int, line: bytes) -> Row:
    try:
        row: Row = json.loads(line)
    except ValueError as error:  # no JSON, or no text
        raise ConfigError(f"{path}, line {number}: expected a JSON object; {error}") from error
    missing = _WHOSE - row.keys() if isinstance(row, dict) else _WHOSE
    if missing:
        problem = f"expected a JSON object with {', '.join(sorted(missing))}"
        raise ConfigError(f"{path}, line {number}: {problem}")
    require_choice(f"{path}, line {number}: clock", row.setdefault("clock", "agent_steps"), CLOCKS)
    return row


class Logs:
    """What several runs wrote: the `runs`, and of each its `rows` as `read_metrics` gives them.

    Raises:
        ConfigError: a run cannot be read.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, self.rows = runs, [read_metrics(run.directory) for run in runs]

    def steps_label(self) -> str:
        """What an axis of the steps of these runs says; errors as in `common_clock`."""
        clock = common_clock(self.runs, [rows[0]["clock"] for rows in self.rows])
        return f"{CLOCKS[clock]} per seed"

    def with_networks(self, names: Sequence[str]) -> tuple[str, ...]:
        """`names`, then what the rows hold of them for single networks, as 'critic/loss'."""
        held = {name for rows in self.rows for row in rows for name in row if "/" in name}
        return *names, *sorted(name for name in held if name.rpartition("/")[2] in names)

    def returns_phase(self, asked: str | None) -> str:
        """The phase whose returns are drawn of every run, a key of `PHASES`.

        It is the one `asked` for; if that is None, 'eval' where every run has evaluated, else
        'train'.

        Raises:
            ConfigError: 'eval' was asked for and a run has not evaluated.
        """
        lacking = [
            str(run.directory)
            for run, rows in zip(self.runs, self.rows, strict=True)
            if not any(row["phase"] == "eval" for row in rows)
        ]
        if asked == "eval" and lacking:
            raise ConfigError(
                f"--phase=eval: no evaluation in {', '.join(lacking)}; train with --gin_bindings="
                "Runner.evaluation_steps=125_000 (agent steps), or draw --phase=train"
            )
        return asked or ("train" if lacking else "eval")

    def write_csv(self, out: Path, columns: Collection[str], phases: Collection[str]) -> None:
        """Writes these columns of every row of the `phases`, the label of its run first."""
        rows = [
            (run.label, *(row.get(name) for name in columns))
            for run, own in zip(self.runs, self.rows, strict=True)
            for row in own
            if row["phase"] in phases
        ]
        write_rows(out, ("run", *columns), rows)


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


def curve(rows: Sequence[Row], phase: str, field: str) -> Curve:
    """Arranges `field` of one phase's rows by seed and the clock's steps; NaN where missing."""
    rows = [row for row in rows if row["phase"] == phase]
    seeds = sorted({row["seed"] for row in rows})
    steps = sorted({row[row["clock"]] for row in rows})
    values = np.full((len(seeds), len(steps)), np.nan)
    for row in rows:
        place, value = (seeds.index(row["seed"]), steps.index(row[row["clock"]])), row.get(field)
        values[place] = np.nan if value is None else value
    return Curve(np.array(steps, np.int64), values)


def final_returns(rows: Sequence[Row], phase: str) -> dict[int, float]:
    """Mean return of each seed over the last quarter of a run's iterations, rounded up.

    `rows` are those of the run, `phase` says which of them count. An iteration in which no episode
    ended is left out; NaN where none did.
    """
    returns = curve(rows, phase, "episode_return_mean")
    last = math.ceil(len(returns.steps) / 4)
    seeds = sorted({row["seed"] for row in rows if row["phase"] == phase})
    means = nanmean(returns.values[:, -last:], axis=1)
    return dict(zip(seeds, means.tolist(), strict=True))


def bootstrap_interval(values: Floats) -> tuple[Floats, Floats]:
    """95 % percentile bootstrap interval of the mean over seeds: (S, T) to two (T,) arrays.

    Seeds are resampled, always with the same generator. NaNs are left out of the means; where fewer
    than `SEEDS_OF_AN_INTERVAL` seeds have a number there is no interval, but NaN.
    """
    picks = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    means = nanmean(values[picks], axis=1)  # (resamples, T)
    with warnings.catch_warnings():
        # No episode of any seed has ended yet: NaN is the answer.
        warnings.filterwarnings("ignore", "All-NaN slice encountered")
        low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    few = np.sum(~np.isnan(values), axis=0) < SEEDS_OF_AN_INTERVAL
    return np.where(few, np.nan, low), np.where(few, np.nan, high)


def nanmean(values: Floats, axis: int) -> Floats:
    """Mean over `axis` without NaNs; NaN, silently, where nothing else is there."""
    count = np.sum(~np.isnan(values), axis=axis)
    return np.where(count > 0, np.nansum(values, axis=axis) / np.maximum(count, 1), np.nan)


def write_rows(out: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file; a float that is NaN becomes an empty field."""
    with out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow(["" if value != value else value for value in row])
