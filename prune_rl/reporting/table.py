"""Everything that runs trained in one tidy table, and each seed's score at its end."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from prune_rl.errors import ConfigError
from prune_rl.reporting.config import setting
from prune_rl.reporting.runs import PHASES, final_returns, write_rows
from prune_rl.reporting.trainings import Training


class TidyRow(NamedTuple):
    """The return of one seed in one phase of one iteration, and what it was trained with.

    Attributes:
        run: name of the run directory, see `Training.name`.
        arm: what is compared, see `Setup.arm`; the next nine are parts of it.
        samples: transitions learnt from; 0 for all, or where it plays.
        phase: 'train' or 'eval'.
        clock: the counter that its curves are drawn against.
        agent_steps: of the seed, at the end of the iteration; 0 where it learns from data.
        gradient_steps: likewise.
        frames: ticks of the emulator, or steps of the simulator, likewise.
        episode_return: mean over the episodes that ended in the phase; NaN if none did.
    """

    run: str
    arm: str
    agent: str
    torso: str
    width: float
    data: str
    samples: int
    pruner: str
    sparsity: float
    baseline: str
    replay_ratio: float
    game: str
    seed: int
    iteration: int
    phase: str
    clock: str
    agent_steps: int
    gradient_steps: int
    frames: int
    episode_return: float


class Score(NamedTuple):
    """How good a seed was in the end.

    Attributes:
        arm: what is compared, see `Setup.arm`.
        game: its name.
        seed: which.
        run: name of the run directory.
        phase: 'train' or 'eval', whose returns they are.
        value: mean return over the last quarter of the iterations that it has made, rounded up;
            NaN if no episode ended in them.
        iterations: that it has made.
        state: of the run: only 'finished' scores are of the same length of training.
        diverged_at: gradient step since which it is frozen, not finite; None if it is not. Its
            score counts as it is: to leave such seeds out would flatter the arm.
    """

    arm: str
    game: str
    seed: int
    run: str
    phase: str
    value: float
    iterations: int
    state: str
    diverged_at: int | None


def tidy(trainings: Sequence[Training]) -> list[TidyRow]:
    """A row for each seed, iteration and phase that has returns, in the order they were written."""
    return [row for own in trainings for row in _tidy_rows(own)]


_OF_THE_RUN = TidyRow._fields[1 : TidyRow._fields.index("seed")]
_OF_THE_ROW = ("seed", "iteration", "phase", "clock", "agent_steps", "gradient_steps", "frames")


def _tidy_rows(own: Training) -> Iterator[TidyRow]:
    told = {name: getattr(own, name) for name in _OF_THE_RUN}
    for row in own.rows:
        if row["phase"] in PHASES:
            mean = row.get("episode_return_mean")
            value = math.nan if mean is None else mean
            seen = {name: row.get(name, 0) for name in _OF_THE_ROW}
            yield TidyRow(run=own.name, **told, **seen, episode_return=value)


def final_scores(trainings: Sequence[Training], phase: str | None = None) -> list[Score]:
    """The score of every seed of every run, unfinished ones too.

    Returns are those of the `phase` asked for; by default of evaluations if every run evaluates,
    else of training. A run on fixed data has evaluations only: they are its returns by default.

    Raises:
        ConfigError: 'eval' was asked for and a run does not evaluate.
    """
    lacking = [own for own in trainings if not _evaluates(own)]
    if phase == "eval" and lacking:
        raise ConfigError(
            f"--phase=eval: no evaluation in {', '.join(str(own.directory) for own in lacking)}; "
            "train with --gin_bindings=Runner.evaluation_steps=125_000 (agent steps), or take "
            "--phase=train"
        )
    by_default = "train" if any(own.clock == "agent_steps" for own in lacking) else "eval"
    scores = []
    for own in trainings:
        offline = own.clock == "gradient_steps" and _evaluates(own)
        scores += _scores(own, phase or ("eval" if offline else by_default))
    return scores


def _scores(own: Training, phase: str) -> list[Score]:
    values = final_returns(own.rows, phase)
    since = {row["seed"]: row["diverged_at"] for row in own.rows if "diverged_at" in row}
    return [
        Score(
            *(own.arm, own.game, seed, own.name, phase, values.get(seed, math.nan)),
            *(own.iterations_of(seed), own.state, since.get(seed)),
        )
        for seed in own.seeds
    ]


def _evaluates(own: Training) -> bool:
    asked = (
        setting(own.config, f"Runner.{x}", 0) for x in ("evaluation_steps", "num_eval_episodes")
    )
    return any(asked) or any(row["phase"] == "eval" for row in own.rows)


def write_csv(rows: Sequence[TidyRow], out: Path) -> None:
    """Writes the table; a return that is NaN is an empty field."""
    write_rows(out, TidyRow._fields, rows)


def require_parquet() -> None:
    """Raises `ConfigError` unless pyarrow, which writes Parquet, is installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        advice = "pip install 'prune_rl[parquet]', or take returns.csv"
        raise ConfigError(f"--parquet: needs pyarrow, which is not installed; {advice}") from error


def write_parquet(rows: Sequence[TidyRow], out: Path) -> None:
    """Writes the table, whole or not at all; a return that is NaN is null.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    require_parquet()
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    schema = pa.schema([(name, types[kind]) for name, kind in TidyRow.__annotations__.items()])
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    pairs = zip(columns, schema, strict=True)
    arrays = [pa.array(column, own.type, from_pandas=True) for column, own in pairs]
    part = out.with_name(f"{out.name}.part")
    pq.write_table(pa.table(arrays, schema), part)
    part.replace(out)
