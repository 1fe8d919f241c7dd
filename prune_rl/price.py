"""What a run takes of a machine, and how it is said: of its size, and of its time at some pace.

Not in it: diagnostics, checkpoints' rows being written beside the training, and the picture at the
end, a second or two. `rehearsal.py` measures the pace.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax

from prune_rl.learning.learner import Learner
from prune_rl.pruning.ties import tie
from prune_rl.state import Rows, State, flatten

MIB, GIB = 1 << 20, 1 << 30
EPISODE_STEPS = 1_000  # agent steps that an evaluated episode is taken to last
_DAY = 24 * 3600
_SMALLER = (
    "python -m prune_rl.train --base_dir=runs/minatar "
    "--gin_files=experiments/minatar_breakout.gin --gin_files=pruning/magnitude.gin"
)
_ROWS_PER_STEP = 1.1  # an episode's end takes one more; the shortest games end after ten steps
_KEPT_STATES = 3  # two checkpoints, and one being written
_NAMES_BYTES = 16_384  # of a seed in a checkpoint, beside the numbers


class Size(NamedTuple):
    """What is known before the first step.

    Attributes:
        parameters: of one seed's networks, targets not counted.
        remaining: of them, once all pruning is done.
        replay_bytes: RAM for the rows of all seeds, when full.
        saving_bytes: RAM for the copies that writing a checkpoint takes.
        disk_bytes: that checkpoints take at most, of all seeds.
    """

    parameters: int
    remaining: int
    replay_bytes: int
    saving_bytes: int
    disk_bytes: int


class Pace(NamedTuple):
    """Seconds of wall time, measured here, for all seeds together.

    Attributes:
        step: of the source's clock, without learning.
        update: a gradient step and the batch for it.
        evaluation: to begin one.
        evaluation_step: an agent step of it.
        save: a checkpoint with next to nothing in it.
        measuring: that it took to measure these, without what a run compiles anyway.
    """

    step: float
    update: float = 0.0
    evaluation: float = 0.0
    evaluation_step: float = 0.0
    save: float = 0.0
    measuring: float = 0.0


class Work(NamedTuple):
    """What a run has to do.

    Attributes:
        clock: 'agent_steps' or 'gradient_steps'.
        num_seeds: S.
        steps: of the clock.
        updates: gradient steps of each seed.
        evaluations: how many.
        evaluation_steps: agent steps of each seed in all of them.
        saves: checkpoints.
        notes: what a person should know of it: what is assumed, or left out.
    """

    clock: str
    num_seeds: int
    steps: int
    updates: int
    evaluations: int
    evaluation_steps: int
    saves: int
    notes: Sequence[str] = ()

    def seconds(self, pace: Pace) -> float:
        """How long it takes at that pace."""
        trained = self.steps * pace.step + self.updates * pace.update
        evaluated = self.evaluations * pace.evaluation
        evaluated += self.evaluation_steps * pace.evaluation_step
        return trained + evaluated + self.saves * pace.save


class Price(NamedTuple):
    """All of it, of one run.

    Attributes:
        ram_bytes: of this process at its peak.
        device_bytes: of the device at its peak; None where that is the CPU.
        startup: seconds from the start of the process until training begins.
    """

    size: Size
    work: Work
    pace: Pace
    ram_bytes: int
    device_bytes: int | None
    startup: float = 0.0

    @property
    def seconds(self) -> float:
        """Of wall time, from the start of the process to the end."""
        return self.startup + self.work.seconds(self.pace)

    @property
    def rate(self) -> float:
        """Steps of the clock per second of each seed, evaluations and saves included."""
        return self.work.steps / max(self.work.seconds(self.pace), 1e-9)


def size(learner: Learner, states: Sequence[State], steps: int, steps_between_saves: int) -> Size:
    """The size of a run of so many `steps`.

    Args:
        learner: of its agent.
        states: of every seed, before the run begins: what is empty then grows with the replay.
        steps: of the source's clock, in all.
        steps_between_saves: between two checkpoints, at most.
    """
    dense, remaining = _count_parameters(learner)
    replay, saving, disk = 0, 0, 0
    for state in states:
        flat = flatten(state).values()
        arrays = [x for x in flat if not isinstance(x, Rows)]
        copies = sum(x.nbytes for x in arrays)
        # A copy of every seed waits; each in turn is held twice more, as bytes and as a file.
        saving += copies if saving else 3 * copies
        disk += _KEPT_STATES * (copies + _NAMES_BYTES)
        beside = sum(x.itemsize for x in arrays if x.ndim and not len(x))
        for rows in (x for x in flat if isinstance(x, Rows)):
            ever = math.ceil(_ROWS_PER_STEP * steps) + 1
            most = min(rows.capacity, ever)
            replay += most * rows.row_bytes
            # The rows of two checkpoints, and of one being written.
            between = math.ceil(_ROWS_PER_STEP * steps_between_saves)
            kept = min(most + (_KEPT_STATES - 1) * between, ever)
            disk += kept * rows.row_bytes + _KEPT_STATES * most * beside
    return Size(dense, remaining, replay, saving, disk)


def _count_parameters(learner: Learner) -> tuple[int, int]:
    """Of one seed: all of them, and those that pruning leaves in the end."""
    dense, remaining = 0, 0.0
    for name, quantities in learner.quantities.items():
        params = jax.eval_shape(quantities.init_params, jax.random.PRNGKey(0))
        targets = _by_path(tie(learner.target_sparsities[name](params)))
        members = learner.members[name] or 1
        for path, leaf in _by_path(params).items():
            count = members * math.prod(leaf.shape)
            dense += count
            remaining += count * (1 - targets.get(path, 0.0))
    return dense, round(remaining)


def _by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def lines(price: Price, dollars_per_hour: float | None = None) -> Iterator[str]:
    """What a run takes in two lines, one for each note, and one where that is more than a day."""
    work, seconds = price.work, price.seconds
    yield f"size: {said_size(price)}"
    each = f" ({duration(seconds / work.num_seeds)} a seed)" if work.num_seeds > 1 else ""
    seeds = f"{work.num_seeds} seed{'s' * (work.num_seeds > 1)}"
    learned = f" and {work.updates:,} gradient steps" if work.clock != "gradient_steps" else ""
    yield (
        f"time: about {duration(seconds)} here{each} for {work.steps:,} "
        f"{work.clock.replace('_', ' ')}{learned} of {seeds}, "
        f"{price.rate:,.1f} steps/s{said_cost(seconds, dollars_per_hour)}"
    )
    yield from (f"      {note}" for note in work.notes)
    if takes_days(seconds):
        yield smaller()


def said_size(price: Price) -> str:
    """Parameters of a seed, and the peaks of RAM, device memory and disk."""
    own = price.size
    pruned = "" if own.remaining == own.parameters else f", {own.remaining:,} once pruned"
    device = price.device_bytes
    on_device = "" if device is None else f", device memory {in_bytes(device)}"
    peaks = f"RAM {in_bytes(price.ram_bytes)}{on_device}, disk {in_bytes(own.disk_bytes)}"
    return f"{own.parameters:,} parameters a seed{pruned}; at most {peaks}"


def said_cost(seconds: float, dollars_per_hour: float | None) -> str:
    """What so long costs; nothing where no price is given."""
    if dollars_per_hour is None:
        return ""
    return f", ${seconds / 3600 * dollars_per_hour:,.2f} at ${dollars_per_hour:,.2f}/hour"


def takes_days(seconds: float) -> bool:
    """Whether so long is more than a day."""
    return seconds > _DAY


def smaller() -> str:
    """What to do on a machine that takes so long."""
    return f"      more than a day on this machine; minutes to hours on MinAtar: {_SMALLER}"


def duration(seconds: float) -> str:
    """As a person says it: '42 s', '12 min', '5.3 h', '194 h (8.1 days)'."""
    for unit, length, below in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 48)):
        if seconds < below * length:
            value = seconds / length
            return f"{value:.1f} {unit}" if value < 10 and unit != "s" else f"{value:.0f} {unit}"
    return f"{seconds / 3600:,.0f} h ({seconds / _DAY:,.1f} days)"


def in_bytes(count: float) -> str:
    """As a person says it: '12 MiB', '6.58 GiB'."""
    return f"{count / MIB:.0f} MiB" if count < GIB else f"{count / GIB:.2f} GiB"
