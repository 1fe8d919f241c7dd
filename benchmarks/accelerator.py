"""Everything that is asked of an accelerator, in ten minutes.

  python -m benchmarks.accelerator --out=accelerator.json [--minutes=10] [--dollars_per_hour=3]

Rows come in the order of their importance. Each is in the file as soon as it is measured; the same
command goes on after the last one. A row that has begun is finished: the first ones compile for a
while. `learn` rows are updates (batches from the host) and four actions each, without games and
replay, by how seeds and convolutions are mapped and by precision; their TFLOP/s are those of XLA's
count for the program. The end says what 5 seeds of 40M frames would take.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.accelerator_rows import Row, rows
from prune_rl import malloc
from prune_rl.errors import ConfigError
from prune_rl.progress import terminal_bar

AGENT_STEPS = 10_000_000  # of each seed: 40M frames
SEEDS = 5
_EMULATOR = f"emulator/pong/S={SEEDS}"
_SHOWN = {
    "steps_per_second_of_each_seed": "steps/s of each seed",
    "update_ms": "update, ms",
    "act_ms": "act, ms",
    "tflops": "TFLOP/s",
    "compile_update_s": "compiled in, s",
    "device_mib": "device, MiB",
    "save_s": "saved in, s",
    "restore_s": "restored in, s",
}

Measure = Callable[[str, Mapping[str, Any], float], dict[str, Any]]


class Report:
    """What is in the file, whole on disk after every change.

    Args:
        path: of the JSON; goes on with what it holds.
        about: the device and whether rows are tiny; must be the same as before.

    Raises:
        ConfigError: the file is of another device, or no such file at all.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path = path
        self.content: dict[str, Any] = {**about, "rows": {}, "hours": []}
        if path.exists():
            before = _read(path)
            for name in ("kind", "tiny"):
                if before.get(name) != about[name]:
                    said = f"holds rows with {name} {before.get(name)!r}, not {about[name]!r}"
                    raise ConfigError(f"--out={path}: {said}; choose another file")
            self.content["rows"] = before["rows"]

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """Results by name, in the order in which they came."""
        found: dict[str, dict[str, Any]] = self.content["rows"]
        return found

    def add(self, name: str, result: Mapping[str, Any]) -> None:
        """One more row."""
        self.rows[name] = dict(result)
        self.write()

    def write(self) -> None:
        """Replaces the file."""
        part = self._path.with_name(self._path.name + ".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(part, self._path)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        found["rows"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"--out={path}: not a file of this benchmark; choose another") from None
    return found


def take(
    plan: Sequence[Row], report: Report, measure: Measure, minutes: float, seconds: float
) -> list[str]:
    """Measures rows that are not in the report until so many minutes are over.

    A row that fails is a row with an `error`.

    Returns:
        Names of those that are left.
    """
    left = [row for row in plan if row.name not in report.rows]
    end = time.monotonic() + 60 * minutes
    with terminal_bar(sys.stderr) as bar:
        task = bar.add_task("", total=len(plan), completed=len(plan) - len(left))
        while left and time.monotonic() < end:
            row = left[0]
            bar.update(task, description=row.name)
            begin = time.monotonic()
            try:
                result = measure(row.kind, row.settings, seconds)
            except Exception as error:  # out of memory, not installed: the others can be measured
                result = {"error": f"{type(error).__name__}: {error}"[:300]}
            report.add(row.name, {**row.settings, **result, "took_s": time.monotonic() - begin})
            line = said(row.name, report.rows[row.name])
            bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            left.pop(0)
            bar.advance(task)
    return [row.name for row in left]


def said(name: str, result: Mapping[str, Any]) -> str:
    """A row in one line."""
    if "error" in result:
        return f"{name}: {result['error']}"
    numbers = [f"{own} {result[key]:.3g}" for key, own in _SHOWN.items() if key in result]
    return f"{name}: {', '.join(numbers)}"


def hours(
    measured: Mapping[str, Mapping[str, Any]], dollars_per_hour: float | None = None
) -> list[dict[str, Any]]:
    """What 5 seeds of 10M agent steps take, by torso and precision: the fastest way of each.

    Args:
        measured: rows by name.
        dollars_per_hour: of the machine.

    Returns:
        Fastest first: `torso`, `precision`, `way`, `hours` of updates and actions alone. Where
        emulators were measured, `hours_with_pong`, for games and networks wait for each other, and
        their `emulator_share`. `dollars` of the last hours that are known.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    rate = measured.get(_EMULATOR, {}).get("steps_per_second_of_each_seed")
    for own in measured.values():
        if own.get("seeds") != SEEDS or "torso" not in own or "error" in own:
            continue
        learning = AGENT_STEPS / own["steps_per_second_of_each_seed"] / 3600
        line = {x: own[x] for x in ("torso", "precision", "way")} | {"hours": learning}
        if rate is not None:
            playing = AGENT_STEPS / rate / 3600
            line["hours_with_pong"] = learning + playing
            line["emulator_share"] = playing / (learning + playing)
        if dollars_per_hour is not None:
            line["dollars"] = dollars_per_hour * line.get("hours_with_pong", learning)
        key = (own["torso"], own["precision"])
        if key not in found or learning < found[key]["hours"]:
            found[key] = line
    return sorted(found.values(), key=lambda line: line["hours"])


def _show(lines: Sequence[Mapping[str, Any]], console: Console) -> None:
    if not lines:
        console.print("no row of 5 seeds was measured: nothing to extrapolate from")
        return
    names = list(lines[0])
    table = Table(*names, title="5 seeds of 40M frames, extrapolated")
    for line in lines:
        cells = [line.get(name, "") for name in names]
        table.add_row(*(f"{x:.2f}" if isinstance(x, float) else str(x) for x in cells))
    console.print(table)


def parser() -> argparse.ArgumentParser:
    """The flags."""
    own = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out = "written after every row; goes on with what it holds (default: accelerator.json)"
    own.add_argument("--out", type=Path, default=Path("accelerator.json"), help=out)
    own.add_argument("--minutes", type=float, default=10.0, help="begin no row after (default: 10)")
    own.add_argument("--seconds", type=float, default=1.0, help="of a measurement (default: 1)")
    own.add_argument("--dollars_per_hour", type=float, help="of this machine, for the last table")
    own.add_argument("--tiny", action="store_true", help="a few small rows, to see that it runs")
    own.add_argument("--list", action="store_true", help="print the rows; measure nothing")
    return own


def _check(flags: argparse.Namespace) -> None:
    for name in ("minutes", "seconds", "dollars_per_hour"):
        value = getattr(flags, name)
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"--{name}={value}: expected more than 0")
    if not flags.out.absolute().parent.is_dir():
        raise ConfigError(f"--out={flags.out}: no such folder")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 2 for wrong flags, 130 if interrupted."""
    flags = parser().parse_args(argv)
    plan = rows(tiny=flags.tiny)
    try:
        _check(flags)
        if flags.list:
            print("\n".join(row.name for row in plan))
            return 0
        return _measure(plan, flags)
    except ConfigError as error:
        print(f"benchmarks.accelerator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"benchmarks.accelerator: interrupted; {flags.out} has the rows", file=sys.stderr)
        return 130


def _measure(plan: Sequence[Row], flags: argparse.Namespace) -> int:
    malloc.keep_memory()  # as training does, before JAX allocates
    from benchmarks import accelerator_measures

    about = accelerator_measures.describe()
    if about["platform"] == "cpu":
        print("JAX sees no accelerator: this measures the CPU", file=sys.stderr)
    report = Report(flags.out, {**about, "tiny": flags.tiny})
    report.write()
    left = take(plan, report, accelerator_measures.measure, flags.minutes, flags.seconds)
    report.content["hours"] = hours(report.rows, flags.dollars_per_hour)
    report.write()
    _show(report.content["hours"], Console())
    if left:
        print(f"{len(left)} rows are left, the next is {left[0]}; the same command goes on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
