"""The results: JSON written after every group, a table for the terminal, one for a README."""

import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks.pairs import Row, Turn, Worker, summary

_COLUMNS = ("ratio", "least to most", "bar", "", "over, ms", "under, ms")
_VERDICTS = {True: "held", False: "missed", None: ""}


class Results:
    """What has been measured so far; whole on disk after every change.

    Args:
        path: of the JSON; a table in Markdown stands beside it.
        about: what else a reader has to know, as the machine.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self._path = path
        self._about = dict(about)
        self.rows: list[dict[str, Any]] = []
        self._sides: dict[str, dict[str, Any]] = {}
        self.unmeasured: dict[str, str] = {}
        self.failed = False
        self._write()

    def note(self, **more: Any) -> None:
        """Adds to what a reader has to know."""
        self._about.update(more)
        self._write()

    def leave_out(self, names: Iterable[str], reason: str, *, failed: bool = False) -> None:
        """Rows that are not measured, and why."""
        self.unmeasured |= dict.fromkeys(names, reason)
        self.failed |= failed
        self._write()

    def add(
        self,
        group: str,
        rows: Sequence[Row],
        workers: Mapping[str, Worker],
        steps: Mapping[str, int],
        measured: Sequence[Mapping[str, Turn]],
    ) -> None:
        """What the rounds of a group say."""
        for name, worker in workers.items():
            turns = [own[name] for own in measured]
            self._sides[f"{group}: {name}"] = _side(worker, steps[name], turns)
        for row in rows:
            own = summary(row, measured)
            own["over_ms"], own["under_ms"] = (
                1e3 * statistics.median(row.seconds(weights, turns) for turns in measured)
                for weights in (row.over, row.under)
            )
            self.rows.append(own)
        self._write()

    def add_row(self, row: Mapping[str, Any]) -> None:
        """One that was measured otherwise; see `pairs.summary` for what it has."""
        self.rows.append(dict(row))
        self._write()

    def _write(self) -> None:
        content = {
            **self._about,
            "rows": self.rows,
            "not_measured": self.unmeasured,
            "sides": self._sides,
        }
        _replace(self._path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        _replace(self._path.with_suffix(".md"), markdown(self.rows))

    def show(self, console: Console) -> None:
        """Prints the table, and what is not in it."""
        table = Table(
            Column("row", no_wrap=True), *_COLUMNS, title="CPU time per agent step of one seed"
        )
        for row in self.rows:
            style = {False: "red", True: "green", None: ""}[row["held"]]
            table.add_row(row["name"], *_cells(row), style=style)
        console.print(table)
        for name, reason in self.unmeasured.items():
            console.print(f"{name}: not measured: {reason}", markup=False, highlight=False)


def _side(worker: Worker, steps: int, turns: Sequence[Turn]) -> dict[str, Any]:
    """What is known of one side; milliseconds of a seed's step, by turn."""
    return worker.ready | {
        "steps_per_turn": steps,
        "cpu_ms": [round(1e3 * turn.cpu, 5) for turn in turns],
        "wall_ms": [round(1e3 * turn.wall, 5) for turn in turns],
        "peak_mib": round(max(turn.peak_mib for turn in turns)),
    }


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [
        f"{row['median']:.2f}{row.get('unit', '')}",
        f"{row['min']:.2f} to {row['max']:.2f}",
        row["bar"],
        _VERDICTS[row["held"]],
        *(f"{row[own]:.3g}" if own in row else "" for own in ("over_ms", "under_ms")),
    ]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The same table, as a README has it."""
    cells = [("what", *_COLUMNS), ("---",) * (len(_COLUMNS) + 1)]
    cells += [(row["title"], *_cells(row)) for row in rows]
    return "".join("| " + " | ".join(own) + " |\n" for own in cells)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
