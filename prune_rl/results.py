"""What a run has recorded, for Python: `read_results("runs/x")`. Reads only its directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prune_rl.errors import ConfigError, path_of, require_choice
from prune_rl.recording.metrics import UNITS
from prune_rl.reporting.runs import PHASES, Curve, Row, curve, final_returns, read_metrics


@dataclass(frozen=True, kw_only=True)
class Results:
    """The rows of a run, and what is asked of them first.

    Attributes:
        directory: of the run.
        rows: a dict for each seed, iteration and phase ('train'; 'diagnostics' and 'eval' where
            there are such), as in metrics.jsonl, and rates of timing.jsonl. What was not finite is
            None; `pandas.DataFrame(rows)` is a table of them.
        seeds: of the run.
        phase: 'eval' where it has evaluated, else 'train': whose returns are its own.
    """

    directory: Path
    rows: list[Row] = field(repr=False)
    seeds: tuple[int, ...]
    phase: str

    @property
    def units(self) -> Mapping[str, str]:
        """What each name in `rows` is, in what unit; of 'critic/loss' as of 'loss'."""
        names = sorted({name for row in self.rows for name in row})
        return {name: UNITS[name.rpartition("/")[2]] for name in names}

    @property
    def final_returns(self) -> dict[int, float]:
        """Each seed's mean raw episode return over the last quarter of the iterations.

        NaN where no episode ended.
        """
        return final_returns(self.rows, self.phase)

    def curve(self, name: str = "episode_return_mean", phase: str | None = None) -> Curve:
        """A number over the run: steps of its clock (T,) int64, values (S, T) float64, or NaN.

        Args:
            name: of what `rows` hold, as 'sparsity'; `units` says what it is.
            phase: 'train', 'diagnostics' or 'eval'; None for `phase`.

        Raises:
            ConfigError: there is no such number, or no such phase.
        """
        phase = self.phase if phase is None else phase
        require_choice("phase", phase, {row["phase"] for row in self.rows})
        rows = [row for row in self.rows if row["phase"] == phase]
        numbers = {x for row in rows for x, own in row.items() if isinstance(own, int | float)}
        require_choice("name", name, numbers)
        return curve(rows, phase, name)


def read_results(directory: str | Path) -> Results:
    """What a run has recorded so far; it may be under way.

    Args:
        directory: what `base_dir` was.

    Raises:
        ConfigError: no run is there, or no iteration has finished.
    """
    path = path_of("directory", directory)
    try:
        rows = read_metrics(path)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix("--run=")) from error
    seeds = tuple(sorted({row["seed"] for row in rows}))
    phases = {row["phase"] for row in rows}
    phase = next(own for own in PHASES if own in phases)
    return Results(directory=path, rows=rows, seeds=seeds, phase=phase)
