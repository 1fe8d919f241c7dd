"""Says what is in a dataset, run by run, for people, as JSON and as a picture."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from prune_rl.dataset_tool.statistics import Summary, summarise
from prune_rl.datasets.experience import Block, Run, Share
from prune_rl.progress import in_bytes
from prune_rl.specs import ObservationSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUARTILES = {"min": 0, "25%": 25, "median": 50, "75%": 75, "max": 100}
_MEAN_OF = 100  # episodes of a running mean


class Description(NamedTuple):
    """What is said of a run.

    Attributes:
        run: of the dataset.
        summary: of all its blocks.
        num_rows: frames that are kept in RAM when all of it is loaded.
        disk_bytes: of its files; None where the run does not say where it lies.
    """

    run: Run
    summary: Summary
    num_rows: int
    disk_bytes: int | None


def describe(run: Run, watch: Callable[[int], None]) -> Description:
    """Reads a run, one block in memory at a time; tells `watch` of the transitions that were read.

    Raises:
        ConfigError: there is nothing to read; `Damaged`, it is not what it should be.
    """
    parts = run.parts(Share())

    def blocks() -> Iterator[Block]:
        for part in parts:
            for block in part.blocks():
                yield block
                watch(int(np.count_nonzero(block.starts)))

    summary = summarise(blocks(), run.action_spec)
    return Description(run, summary, sum(part.num_rows for part in parts), _disk_bytes(run))


def num_transitions(run: Run) -> int:
    """At most; looks at small files only."""
    return sum(part.num_transitions for part in run.parts(Share()))


def name(run: Run) -> str:
    """'Pong/1'."""
    return f"{run.game}/{run.number}"


def as_json(description: Description) -> dict[str, Any]:
    """All the numbers, without the episodes one by one."""
    run, summary = description.run, description.summary
    spec = run.observation_spec
    return {
        "suite": run.suite,
        "game": run.game,
        "run": run.number,
        "format": run.protocol.get("format"),
        "protocol": dict(run.protocol),
        "transitions": summary.transitions,
        "frames": description.num_rows,
        "bytes_on_disk": description.disk_bytes,
        "bytes_of_frames_in_ram": description.num_rows * _frame_bytes(spec),
        "episodes": len(summary.episodes.returns),
        "terminated": summary.terminated,
        "truncated": summary.truncated,
        "cut": summary.cut,
        "without_beginning": summary.headless,
        "returns_of_stored_rewards": _spread(summary.episodes.returns),
        "lengths": _spread(summary.episodes.lengths),
        "actions": summary.actions.tolist(),
        "rewards": dict(
            zip(("negative", "zero", "positive"), summary.rewards.tolist(), strict=True)
        ),
    }


def lines(description: Description) -> Iterator[str]:
    """What a user reads of a run."""
    said = as_json(description)
    disk = "?" if said["bytes_on_disk"] is None else in_bytes(said["bytes_on_disk"])
    ram = in_bytes(said["bytes_of_frames_in_ram"])
    yield f"{name(description.run)}  ({said['suite']}, {said['format']})"
    protocol = {key: own for key, own in said["protocol"].items() if key != "format"}
    yield _row("protocol", ", ".join(f"{key} {own}" for key, own in protocol.items()))
    yield _row("transitions", f"{said['transitions']:,}")
    yield _row("frames", f"{said['frames']:,}: {disk} on disk, {ram} in RAM")
    ended = f"{said['terminated']:,} terminated, {said['truncated']:,} truncated"
    cut = f"{said['cut']:,} cut, {said['without_beginning']:,} whose beginning is not there"
    yield _row("episodes", f"{said['episodes']:,} whole; {ended}; {cut}")
    yield _row("returns", f"{_in_words(said['returns_of_stored_rewards'])}")
    yield _row("", "of rewards as stored: clipped to [-1, 1] unless the protocol says else")
    yield _row("lengths", f"{_in_words(said['lengths'])}  (transitions)")
    yield _row("actions", "  ".join(_actions(description.summary)))
    yield _row("rewards", "  ".join(f"{x:,} {sign}" for sign, x in said["rewards"].items()))


def draw(descriptions: Sequence[Description]) -> "Figure":
    """Return and length of every whole episode over its run, with running means."""
    from prune_rl.reporting import style

    figure = style.new_figure(8, 6)
    above, below = figure.subplots(2, 1, sharex=True)
    shades = style.colors(len(descriptions))
    for (run, summary, *_), color in zip(descriptions, shades, strict=True):
        episodes = summary.episodes
        for axes, values in ((above, episodes.returns), (below, episodes.lengths)):
            axes.plot(episodes.ended_at, values, ".", color=color, alpha=0.4, ms=5, mew=0)
            axes.plot(episodes.ended_at, running_mean(values), color=color, label=name(run))
    above.set_ylabel("return of rewards as stored")
    below.set_ylabel("length (transitions)")
    below.set_xlabel("transitions")
    above.set_title(f"episodes, and means of the latest {_MEAN_OF}")
    above.legend()
    return figure


def running_mean(values: np.ndarray, latest: int = _MEAN_OF) -> np.ndarray:
    """(E,) of (E,): of each value and those before it, `latest` together at most."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(values) + 1)
    begins = np.maximum(ends - latest, 0)
    return (sums[ends] - sums[begins]) / (ends - begins)


def _spread(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("mean", *_QUARTILES))
    quartiles = np.percentile(values, list(_QUARTILES.values())).tolist()
    return {"mean": float(np.mean(values)), **dict(zip(_QUARTILES, quartiles, strict=True))}


def _in_words(spread: dict[str, float | None]) -> str:
    if spread["mean"] is None:
        return "no episode is whole"
    return "  ".join(f"{what} {value:,.2f}" for what, value in spread.items())


def _row(what: str, text: str) -> str:
    return f"  {what:<13}{text}"


def _actions(summary: Summary) -> Iterator[str]:
    """How often each was played, or mean and standard deviation of each number of vectors."""
    for i, own in enumerate(summary.actions):
        if summary.actions.ndim == 1:
            yield f"{i}: {own / max(summary.transitions, 1):.1%}"
        else:
            yield f"{i}: {own[0]:.2f} ± {own[1]:.2f}"


def _frame_bytes(spec: ObservationSpec) -> int:
    return int(np.prod(spec.frame_shape)) * np.dtype(spec.dtype).itemsize


def _disk_bytes(run: Run) -> int | None:
    path = Path(str(run.protocol.get("path", "")))
    if path.is_file():
        return path.stat().st_size
    if not run.protocol.get("path") or not path.is_dir():
        return None
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
