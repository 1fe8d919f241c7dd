"""Datasets on disk as what a training learns from: which share of them, on which scale."""

import sys
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Annotated, Any

import gin

from prune_rl.datasets.experience import Share
from prune_rl.environments.scaled import Scale
from prune_rl.errors import ConfigError, require
from prune_rl.replay.ram import GIB
from prune_rl.replay.shared import SharedReplay
from prune_rl.settings import Count, CountOrZero, OneOf, Positive, Range, checked_as
from prune_rl.sources.chosen import Chosen
from prune_rl.sources.loading import Loaded, OnDisk, load, load_on_disk
from prune_rl.sources.scaling import TIMEOUTS, Scaling
from prune_rl.sources.source import Setting
from prune_rl.state import State

UNITS = ("windows", "transitions", "first")
Paths = Annotated[
    str | Sequence[tuple[str, Count]] | None,
    "a path, or pairs of a path and a number of transitions",
]


class StoredData(SharedReplay):
    """A `SharedReplay` that knows its form and where it came from; see `sources.dataset.FixedData`.

    Attributes:
        protocol: of the data, with their game, suite and share.
        scales: of each seed, that of the observations; None if they are as stored.
    """

    def __init__(
        self, loaded: Loaded, chosen: Chosen, scaling: Scaling, setting: Setting, size: int
    ) -> None:
        identities = [own | scaling.identity for own in chosen.identities]
        super().__init__(
            loaded.ring,
            [loaded.starts[group] for group in chosen.group_of],
            held_out=chosen.held_out_of(loaded),
            seeds=setting.seeds,
            identities=[identities[group] for group in chosen.group_of],
            horizon=setting.agent.update_horizon,
            gamma=setting.agent.gamma,
            batch_size=size,
        )
        self.observation_spec, self.action_spec = chosen.observation_spec, chosen.action_spec
        scales, told = _scaled(loaded, chosen, scaling)
        self.protocol = chosen.protocol | {"data": identities} | told
        self.scales = [scales[group] for group in chosen.group_of] if scales else None

    def get_state(self) -> list[State]:
        """See `SharedReplay`; with the scale of the observations, for those who evaluate later."""
        states = super().get_state()
        if self.scales is None:
            return states
        pairs = zip(states, self.scales, strict=True)
        return [state | {"observations": scale._asdict()} for state, scale in pairs]


def _scaled(loaded: Loaded, chosen: Chosen, scaling: Scaling) -> tuple[list[Scale], dict[str, Any]]:
    """Scales rows, in place: of each group that of its observations, if any, and JSON of it all.

    What is held out of a group is put on the scale of what is learned from.
    """
    lengths = [sum(part.num_rows for part in x) for x in (*chosen.groups, *chosen.held_out)]
    rows = {name: getattr(loaded.ring, name) for name in ("rewards", "ages", "ends")}
    if loaded.ring.is_in_memory:
        rows["frames"] = loaded.ring.fields_of(0)["frames"]
    firsts = list(accumulate(lengths, initial=0))
    fields = [{x: own[a:b] for x, own in rows.items()} for a, b in pairwise(firsts)]
    count, scales, returns = len(chosen.groups), [], []
    for group in range(count):
        scale = scaling.of_observations(fields[group], loaded.starts[group] - firsts[group])
        factor, found = scaling.of_rewards(fields[group], chosen.where(group))
        for own in fields[group::count]:
            scaling.apply(own, scale, factor)
        scales += [] if scale is None else [scale]
        returns.append(found)
    told: dict[str, Any] = {"returns": returns} if any(returns) else {}
    if scales:
        told["observation_scales"] = [
            {name: own.tolist() for name, own in scale._asdict().items()} for scale in scales
        ]
    return scales, told


@gin.configurable("Dataset")
@checked_as("Dataset")
def load_dataset(
    setting: Setting,
    *,
    path: Paths = None,
    run: Count | None = None,
    fraction: Annotated[float, Range(above=0, most=1)] = 1.0,
    num_transitions: Count | None = None,
    held_out: Count | None = None,
    unit: Annotated[str, OneOf(UNITS)] = "windows",
    seed: CountOrZero = 0,
    batch_size: Count = 32,
    normalize_observations: bool = False,
    normalization_eps: Positive = 1e-3,
    normalize_rewards: bool = False,
    reward_scale: float = 1.0,
    reward_shift: float = 0.0,
    timeouts: Annotated[str, OneOf(TIMEOUTS)] = "bootstrap",
    chunks: str | None = None,
    cache_gib: Positive = 1.0,
) -> StoredData:
    """A share of the runs of one game, held once for all seeds of a training.

    Args:
        setting: what it is made for. Its game is chosen among those at `path`, which may be left
            open where there is only one.
        path: a dataset in a format of `prune_rl.datasets`, or a folder above some. Or several, each
            with the number of transitions that is taken of it: a mixture.
        run: the number of the one to learn from; None for each seed's own: seed k learns from the
            one at place k, counted round, of those that are there.
        fraction: of the transitions of every checkpoint or split.
        num_transitions: so many of the run instead, of vectors.
        held_out: the last so many of the run, of vectors, are never learned from, whatever share
            of the others is; of a mixture as many of each run as fit its share of it. They are
            what 'validation_loss' is measured on; see `diagnostics.suite`.
        unit: 'windows' for transitions that lie together, as the releases take a share;
            'transitions' for each drawn by itself, which needs more frames; 'first' for the first
            of the run, of vectors, as Sparse-Reg's code takes them.
        seed: decides which; the same for all seeds of the training.
        batch_size: transitions of each seed in a batch.
        normalize_observations: whether a vector x is learned from, and acted on, as
            (x - mean) / (std + eps), by number: over the observations at which the chosen
            transitions start.
        normalization_eps: that eps; that of CORL and of Sparse-Reg's code.
        normalize_rewards: whether rewards are divided by the range of the returns of the chosen
            episodes that are complete, and multiplied by 1,000, as IQL's are (Kostrikov et al.
            2022); one that the end of a file cuts off counts, as in their code.
        reward_scale: what rewards are then multiplied by.
        reward_shift: what is then added to them.
        timeouts: 'bootstrap' from what a transition that timed out led to; 'terminal' for no value
            beyond it, as Sparse-Reg's code has it.
        chunks: a folder for compressed frames, where memory does not hold them; made unless it is
            there. None keeps them in memory.
        cache_gib: of memory, for those of the chunks that were used last.

    Raises:
        ConfigError: there is no such data, they are damaged, or memory lacks the room.
        OSError: the disk lacks the room for chunks.
    """
    if path is None:
        raise ConfigError("Dataset.path: not set; name a dataset (python -m prune_rl.datasets)")
    share = Share(
        float(fraction), unit, seed, setting.agent.update_horizon, num_transitions, held_out
    )
    scaling = Scaling(
        normalize_observations,
        normalization_eps,
        normalize_rewards,
        reward_scale,
        reward_shift,
        timeouts,
    )
    chosen = Chosen(_asked(path, share), run, setting)
    chosen.require_room(batch_size, len(setting.seeds))
    scaling.require_vectors(chosen.observation_spec, chunks)
    chosen.say(sys.stderr, chunks)
    specs = (chosen.observation_spec, chosen.action_spec)
    if chunks is None:
        chosen.require_ram()
        loaded = load([*chosen.groups, *chosen.held_out], *specs)
    else:
        cache_bytes = int(min(cache_gib * GIB, chosen.num_bytes))
        chosen.require_cache(cache_gib, cache_bytes)
        on_disk = OnDisk(Path(chunks), cache_bytes, chosen.digest)
        loaded = load_on_disk([*chosen.groups, *chosen.held_out], *specs, on_disk)
    chosen.require_actions(loaded)
    return StoredData(loaded, chosen, scaling, setting, batch_size)


def _asked(path: str | Sequence[tuple[str, int]], share: Share) -> list[tuple[str, Share]]:
    """Which share of the runs at each path."""
    if share.count is not None:
        expected = f"1.0, for Dataset.num_transitions={share.count} says how many"
        require(share.fraction == 1, "Dataset.fraction", share.fraction, expected)
    if isinstance(path, str):
        return [(path, share)]
    said = "for Dataset.path says how many of each"
    require(share.count is None, "Dataset.num_transitions", share.count, f"None, {said}")
    require(share.fraction == 1, "Dataset.fraction", share.fraction, f"1.0, {said}")
    require(len(path) > 0, "Dataset.path", path, "a path, or one pair at least")
    sums = list(accumulate((count for _, count in path), initial=0))
    held_out = [round((share.held_out or 0) * own / sums[-1]) for own in sums]
    each = zip(path, (high - low for low, high in pairwise(held_out)), strict=True)
    return [(own, share._replace(count=count, held_out=x or None)) for (own, count), x in each]
