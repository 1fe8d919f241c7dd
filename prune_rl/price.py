"""What a run takes of a machine: its size is known before, its pace is measured in a rehearsal.

A rehearsal trains for a moment, warm-up left out, and is then forgotten: the run goes back to its
first checkpoint. Not foreseen: diagnostics, and evaluations that are counted in episodes.
"""

import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import psutil

from prune_rl.learning.learner import Learner
from prune_rl.pruning.ties import tie
from prune_rl.sources.source import Source
from prune_rl.state import Rows, State, flatten
from prune_rl.trainer import Trainer

GIB = 1 << 30
_DAY = 24 * 3600
_SMALLER = (
    "python -m prune_rl.train --base_dir=runs/minatar "
    "--gin_files=experiments/minatar_breakout.gin --gin_files=pruning/magnitude.gin"
)
_MOST_PLAYS = 16  # agent steps rehearsed for each gradient step
_FIRST_PLAYS = 40  # before the first batch is drawn
_ROWS_PER_STEP = 1.05  # an episode's end takes one more
_KEPT_STATES = 3  # two checkpoints, and one being written


class Size(NamedTuple):
    """What is known before the first step.

    Attributes:
        parameters: of one seed's networks, targets not counted.
        remaining: of them, once all pruning is done.
        replay_bytes: RAM for the rows of all seeds, when full.
        disk_bytes: that checkpoints take at most, of all seeds.
    """

    parameters: int
    remaining: int
    replay_bytes: int
    disk_bytes: int


class Pace(NamedTuple):
    """Seconds of wall time, measured here, for all seeds together.

    Attributes:
        startup: from the start of the process until it was measured.
        step: of the source's clock, without learning.
        update: a gradient step and the batch for it.
        save: a checkpoint with next to nothing in it.
    """

    startup: float
    step: float
    update: float
    save: float


class Price(NamedTuple):
    """All of it, of one run."""

    size: Size
    pace: Pace
    work: "Work"

    @property
    def seconds(self) -> float:
        """Of wall time, from the start of the process to the end."""
        return self.work.seconds(self.pace)


class Work(NamedTuple):
    """What a run has to do: steps of its clock, gradient steps, steps that evaluate, saves."""

    steps: int
    updates: int
    evaluation_steps: int
    saves: int

    def seconds(self, pace: Pace) -> float:
        """How long it takes at that pace, from the start of the process."""
        played = (self.steps + self.evaluation_steps) * pace.step
        return pace.startup + played + self.updates * pace.update + self.saves * pace.save


def size(learner: Learner, states: Sequence[State], steps: int, rows_between_saves: int) -> Size:
    """The size of a run of so many `steps`.

    Args:
        learner: of its agent.
        states: of every seed, as the run begins.
        steps: of the source's clock, in all.
        rows_between_saves: that one seed adds to its replay between two checkpoints, at most.
    """
    dense, remaining = _count_parameters(learner)
    replay, disk = 0, 0
    for state in states:
        flat = flatten(state)
        disk += _KEPT_STATES * sum(x.nbytes for x in flat.values() if not isinstance(x, Rows))
        for rows in (x for x in flat.values() if isinstance(x, Rows)):
            ever = math.ceil(_ROWS_PER_STEP * steps) + 1
            most = min(rows.capacity, ever)
            replay += most * rows.row_bytes
            # The rows of two checkpoints, and of one being written.
            kept = most + (_KEPT_STATES - 1) * min(rows_between_saves, most)
            disk += min(kept, ever) * rows.row_bytes
    return Size(dense, remaining, replay, disk)


def _count_parameters(learner: Learner) -> tuple[int, int]:
    dense, remaining = 0, 0.0
    for name, quantities in learner.quantities.items():
        params = jax.eval_shape(quantities.init_params, jax.random.PRNGKey(0))
        targets = _by_path(tie(learner.target_sparsities[name](params)))
        members = learner.members[name] or 1
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            count = members * math.prod(leaf.shape)
            dense += count
            remaining += count * (1 - targets.get(jax.tree_util.keystr(path), 0.0))
    return dense, round(remaining)


def _by_path(tree: Any) -> dict[str, float]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def rehearse(trainer: Trainer, source: Source, work: Work, *, seconds: float, save: float) -> Pace:
    """Measures for about so many `seconds`, once all is compiled; leaves the trainer anywhere.

    Args:
        trainer: at the first step of a run.
        source: what it learns from.
        work: of the run; a short one is rehearsed for a hundredth of its time.
        seconds: the longest.
        save: what the first checkpoint took.
    """

    def play() -> None:
        trainer.play()

    def learn() -> None:
        for _ in range(plays):
            trainer.play()
        trainer.learn()

    plays = 0 if source.clock == "gradient_steps" else _plays_per_update(work)
    for _ in range(_FIRST_PLAYS):
        play()
    step = _seconds_of(play, trainer, seconds / 10)
    if not work.updates:
        return Pace(_process_seconds(), step, 0.0, save)
    for _ in range(2):
        learn()
    first = max(_seconds_of(learn, trainer, 0.0) - plays * step, 0.0)
    foreseen = work.seconds(Pace(0.0, step, first, 0.0))
    together = _seconds_of(learn, trainer, min(seconds, foreseen / 100))
    return Pace(_process_seconds(), step, max(together - plays * step, 0.0), save)


def _plays_per_update(work: Work) -> int:
    return min(max(work.steps // max(work.updates, 1), 1), _MOST_PLAYS)


def _seconds_of(action: Callable[[], None], trainer: Trainer, budget: float) -> float:
    """Mean time of an action, done at least three times."""
    jax.block_until_ready(trainer.agent_state)
    count, begin = 0, time.monotonic()
    while count < 3 or time.monotonic() - begin < budget:
        action()
        count += 1
    jax.block_until_ready(trainer.agent_state)
    return (time.monotonic() - begin) / count


def _process_seconds() -> float:
    return time.time() - psutil.Process().create_time()


def peak_ram(own: Size) -> int:
    """Bytes of RAM that the process will have taken at most: what it has by now, and the replay."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + own.replay_bytes


def peak_device() -> int | None:
    """Bytes of device memory taken at most by now; None where the device is the CPU."""
    stats: Mapping[str, int] | None = jax.devices()[0].memory_stats()
    return stats.get("peak_bytes_in_use") if stats else None


def lines(price: Price, *, clock: str, num_seeds: int) -> Iterator[str]:
    """What a run takes, in two lines, and a third where that is more than a day."""
    (own, pace, work), seconds, device = price, price.seconds, peak_device()
    on_device = "" if device is None else f", device memory {_gib(device)}"
    yield (
        f"size: {own.parameters:,} parameters a seed, {own.remaining:,} once pruned; at most RAM "
        f"{_gib(peak_ram(own))}{on_device}, disk {_gib(own.disk_bytes)}"
    )
    rate = work.steps / max(seconds - pace.startup, 1e-9)
    seeds = f"{num_seeds} seed{'s' * (num_seeds > 1)}"
    share = f" ({duration(seconds / num_seeds)} a seed)" if num_seeds > 1 else ""
    yield (
        f"time: about {duration(seconds)} here{share} for {work.steps:,} "
        f"{clock.replace('_', ' ')} and {work.updates:,} gradient steps of {seeds}, "
        f"{rate:,.1f} steps/s"
    )
    if seconds > _DAY:
        yield f"      more than a day; MinAtar takes minutes: {_SMALLER}"


def duration(seconds: float) -> str:
    """As a person says it: '42 s', '12 min', '5.3 h', '8.1 days'."""
    for unit, length, below in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < below * length:
            value = seconds / length
            return f"{value:.1f} {unit}" if value < 10 and unit != "s" else f"{value:.0f} {unit}"
    return f"{seconds / _DAY:,.1f} days"


def _gib(count: float) -> str:
    return f"{count / GIB:.2f} GiB"
