"""What report.html knows of runs, as plain JSON: small, since thousands may be in one page.

Numbers have four significant digits, what is not finite is null, and what many runs share (a
binding, a list of versions) is there once, in a pool, and elsewhere by its place there.
"""

import json
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from prune_rl.recording.metrics import CLOCKS, METRICS, UNITS, describe
from prune_rl.reporting.runs import PHASES, Curve, Row, curve, nanmean
from prune_rl.reporting.table import Score
from prune_rl.reporting.trainings import Training

Json = dict[str, Any]
MOST_NUMBERS = 2_000_000  # of all curves, about six bytes each; those by layer a third of it
RETURNS, MEASURED = "episode_return_mean", "diagnostics"
_PHASES = ("train", "eval", MEASURED)
_LAYERS = "_by_layer"
_TOLD = ("started", "git_commit", "python", "backend", "device")
_POOLED = ("versions", "protocol", "units")
_FEWEST = 10  # points that a line keeps however many there are
_Item = TypeVar("_Item")


class _Pool:
    """Values that are there once, in the order in which they came."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        key = json.dumps(value, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def describe_runs(
    trainings: Sequence[Training],
    scores: Sequence[Score],
    counted: Sequence[Score],
    most_numbers: int = MOST_NUMBERS,
) -> Json:
    """All that the page shows of `trainings`, and in "left_out" a line for what it does not.

    `scores` are the final ones of all of their seeds, in any order; those that are `counted` make
    final statistics.

    Curves are thinned, evenly and with their ends, until the page holds about `most_numbers`.
    """
    bindings, records = _Pool(), _Pool()
    lines = [_num_lines(training, layers=False) for training in trainings]
    points = _points(most_numbers, sum(lines))
    strips = _points(most_numbers // 3, sum(_num_lines(x, layers=True) for x in trainings))
    score_of = {(score.run, score.seed): score for score in scores}
    counts = {(score.run, score.seed) for score in counted}
    runs = [
        _about(training, [score_of[training.name, seed] for seed in training.seeds])
        | {"counted": [(training.name, seed) in counts for seed in training.seeds]}
        | {"config": [bindings.place(pair) for pair in training.config.items()]}
        | {"provenance": _provenance(training.directory, records)}
        | {"phases": {phase: _curves(training, phase, points) for phase in _phases(training)}}
        | {"layers": _layers(training, strips)}
        for training in trainings
    ]
    longest = max((len(_steps(training)) for training in trainings), default=0)
    return {
        "clocks": CLOCKS,
        "phases": PHASES,
        "units": UNITS,
        "quantities": _quantities(trainings, Counter(own.phase for own in scores)),
        "runs": runs,
        "bindings": bindings.values,
        "records": records.values,
        "left_out": _left_out(longest, points, strips),
    }


def number(value: float | None) -> float | int | None:
    """Four significant digits; None for what is not finite or not there."""
    if value is None or not math.isfinite(value):
        return None
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def _about(training: Training, scores: Sequence[Score]) -> Json:
    """What the table says of a run; `scores` are those of its seeds."""
    named = ("name", "arm", "agent", "torso", "width", "pruner", "sparsity", "baseline", "game")
    also = ("replay_ratio", "clock", "num_iterations", "num_steps", "seeds", "state")
    speed = curve(training.rows, "train", f"{training.clock}_per_second").values
    done = max((row[training.clock] for row in training.rows), default=0)
    return {name: getattr(training, name) for name in (*named, *also)} | {
        "iterations": training.iterations_done,
        "steps": done,
        "final_phase": scores[0].phase,
        "final": [number(own.value) for own in scores],
        "diverged": [own.seed for own in scores if own.diverged_at is not None],
        "speed": number(float(np.nanmedian(speed))) if np.isfinite(speed).any() else None,
    }


def _phases(training: Training) -> list[str]:
    held = {row["phase"] for row in training.rows}
    return [phase for phase in _PHASES if phase in held]


def _steps(training: Training) -> set[int]:
    return {row[training.clock] for row in training.rows}


def _names(rows: Iterable[Row], phase: str, *, layers: bool) -> list[str]:
    """Known metrics of the rows of a phase: single numbers, or those by layer.

    Sparsity stands in every row and is taken from those of training.
    """
    held = {name for row in rows if row["phase"] == phase for name in row}
    known = [name for name in held if name.rpartition("/")[2] in METRICS]
    if phase == MEASURED:
        known = [name for name in known if not name.rpartition("/")[2].startswith("sparsity")]
    order = list(METRICS)
    known = [x for x in known if (x.endswith(_LAYERS) if layers else describe(x).tag)]
    return sorted(known, key=lambda x: (order.index(x.rpartition("/")[2]), x))


def _num_lines(training: Training, *, layers: bool) -> int:
    """How many lines the page draws of the run."""
    if layers:
        held = {name: row[name] for row in training.rows for name in row if name.endswith(_LAYERS)}
        return sum(map(len, held.values()))
    named = [_names(training.rows, phase, layers=False) for phase in _phases(training)]
    return len(training.seeds) * sum(map(len, named))


def _points(most_numbers: int, num_lines: int) -> int:
    return max(most_numbers // max(num_lines, 1), _FEWEST)


def _curves(training: Training, phase: str, points: int) -> Json:
    """{"seeds": (S,), "steps": (T,), "values": {name: (S, T)}} of one phase."""
    rows = [row for row in training.rows if row["phase"] == phase]
    seeds = sorted({row["seed"] for row in rows})
    found = {name: curve(rows, phase, name) for name in _names(rows, phase, layers=False)}
    steps: list[int] = next((own.steps.tolist() for own in found.values()), [])
    values = {name: _thin_values(own, points) for name, own in found.items()}
    return {"seeds": seeds, "steps": thin(steps, points), "values": values}


def _thin_values(seen: Curve, points: int) -> list[list[float | None]]:
    return [[number(value) for value in thin(own, points)] for own in seen.values.tolist()]


def thin(values: Sequence[_Item], points: int) -> list[_Item]:
    """At most that many of the values, evenly chosen, the last among them."""
    if len(values) <= points:
        return list(values)
    if points < 2:
        return [values[-1]]
    last = len(values) - 1
    return [values[round(i * last / (points - 1))] for i in range(points)]


def _layers(training: Training, points: int) -> Json:
    """{name: {"steps": (T,), "layers": {layer: (T,)}}}: means over the run's seeds."""
    found = {}
    for phase in _phases(training):
        for name in _names(training.rows, phase, layers=True):
            if name in found:
                continue
            rows = [row for row in training.rows if row["phase"] == phase and row.get(name)]
            flat = [row | row[name] for row in rows]
            seen = {layer: curve(flat, phase, layer) for layer in dict.fromkeys(_keys(rows, name))}
            steps = sorted({row[row["clock"]] for row in rows})
            means = {x: nanmean(own.values, axis=0).tolist() for x, own in seen.items()}
            strips = {x: [number(v) for v in thin(own, points)] for x, own in means.items()}
            found[name] = {"steps": thin(steps, points), "layers": strips}
    return found


def _keys(rows: Iterable[Row], name: str) -> Iterable[str]:
    return (layer for row in rows for layer in row[name])


def _quantities(trainings: Sequence[Training], of_scores: Counter[str]) -> list[Json]:
    """What curves can show; first the returns that most of the scores are of."""
    held = {
        (phase, name): describe(name)
        for phase in (*PHASES, MEASURED)
        for name in _names((x for own in trainings for x in own.rows), phase, layers=False)
    }
    first = [(phase, RETURNS) for phase, _ in of_scores.most_common()]
    order = dict.fromkeys([key for key in first if key in held] + list(held))
    return [
        {"phase": phase, "name": name, "label": held[phase, name].label, "unit": UNITS.get(name)}
        for phase, name in order
    ]


def _provenance(directory: Path, records: _Pool) -> Json | None:
    """Of the run's latest start; None where there is nothing that can be read."""
    try:
        text = (directory / "provenance.json").read_text("utf-8")
        starts = json.loads(text, parse_constant=str)
        latest: Mapping[str, Any] = dict(starts[-1])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    told = {name: None if (own := latest.get(name)) is None else str(own) for name in _TOLD}
    pooled = {name: records.place(latest.get(name) or {}) for name in _POOLED}
    command = shlex.join(map(str, latest.get("command") or ()))
    changed = bool(latest.get("git_dirty"))
    return told | pooled | {"command": command, "git_dirty": changed, "starts": len(starts)}


def _left_out(longest: int, points: int, strips: int) -> list[str]:
    kept = [("Curves have", points), ("Values by layer have", strips)]
    return [
        f"{what} at most {most} of up to {longest} points, evenly chosen, the first and the last "
        "among them."
        for what, most in kept
        if most < longest
    ]
