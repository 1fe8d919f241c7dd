"""Datasets on disk as what a training learns from: which runs, and which share of them."""

import hashlib
import json
import math
import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TextIO

import gin
import numpy as np

from prune_rl.datasets.experience import Part, Run, Share
from prune_rl.datasets.finding import find_runs
from prune_rl.environments.games import num_actions
from prune_rl.errors import ConfigError, nearest, require
from prune_rl.replay.ram import GIB, available_bytes, require_room
from prune_rl.replay.ring import ROW_FIELDS, bytes_per_row, row_dtypes
from prune_rl.replay.shared import AHEAD, AT_ONCE, SharedReplay
from prune_rl.settings import Count, CountOrZero, OneOf, Positive, Range, checked_as
from prune_rl.sources.loading import Loaded, OnDisk, load, load_on_disk
from prune_rl.sources.source import Setting
from prune_rl.specs import Discrete, ObservationSpec

UNITS = ("windows", "transitions")
_START_BYTES = 8  # a transition's position, beside its row


class StoredData(SharedReplay):
    """A `SharedReplay` that knows its form and where it came from; see `sources.dataset.FixedData`.

    Attributes:
        protocol: of the data, with their game, suite and share.
    """

    def __init__(self, loaded: Loaded, chosen: "_Chosen", setting: Setting, size: int) -> None:
        group_of = [chosen.runs.index(chosen.run_of(seed)) for seed in setting.seeds]
        super().__init__(
            loaded.ring,
            [loaded.starts[group] for group in group_of],
            seeds=setting.seeds,
            identities=[chosen.identities[group] for group in group_of],
            horizon=setting.agent.update_horizon,
            gamma=setting.agent.gamma,
            batch_size=size,
        )
        self.observation_spec, self.action_spec = chosen.observation_spec, chosen.action_spec
        self.protocol = chosen.protocol


@gin.configurable("Dataset")
@checked_as("Dataset")
def load_dataset(
    setting: Setting,
    *,
    path: str | None = None,
    run: Count | None = None,
    fraction: Annotated[float, Range(above=0, most=1)] = 1.0,
    unit: Annotated[str, OneOf(UNITS)] = "windows",
    seed: CountOrZero = 0,
    batch_size: Count = 32,
    chunks: str | None = None,
    cache_gib: Positive = 1.0,
) -> StoredData:
    """A share of the runs of one game, held once for all seeds of a training.

    Args:
        setting: what it is made for. Its game is chosen among those at `path`, which may be left
            open where there is only one.
        path: a dataset in a format of `prune_rl.datasets`, or a folder above some.
        run: the number of the one to learn from; None for each seed's own: seed k learns from the
            one at place k, counted round, of those that are there.
        fraction: of the transitions of every checkpoint or split.
        unit: 'windows' for transitions that lie together, as the releases take a share;
            'transitions' for each drawn by itself, which needs more frames.
        seed: decides which; the same for all seeds of the training.
        batch_size: transitions of each seed in a batch.
        chunks: a folder for compressed frames, where memory does not hold them; made unless it is
            there. None keeps them in memory.
        cache_gib: of memory, for those of the chunks that were used last.

    Raises:
        ConfigError: there is no such data, they are damaged, or memory lacks the room.
        OSError: the disk lacks the room for chunks.
    """
    if path is None:
        raise ConfigError("Dataset.path: not set; name a dataset (python -m prune_rl.datasets)")
    share = Share(float(fraction), unit, seed, setting.agent.update_horizon)
    chosen = _Chosen(path, run, share, setting)
    chosen.require_room(batch_size, len(setting.seeds))
    chosen.say(sys.stderr, chunks)
    specs = (chosen.observation_spec, chosen.action_spec)
    if chunks is None:
        chosen.require_ram(fraction)
        loaded = load(chosen.groups, *specs)
    else:
        cache_bytes = int(min(cache_gib * GIB, chosen.num_bytes))
        chosen.require_cache(cache_gib, cache_bytes)
        on_disk = OnDisk(Path(chunks), cache_bytes, chosen.digest)
        loaded = load_on_disk(chosen.groups, *specs, on_disk)
    chosen.require_actions(loaded)
    return StoredData(loaded, chosen, setting, batch_size)


class _Chosen:
    """The runs that a training learns from, and which share of them.

    Attributes:
        runs: one at least, of one game.
        groups: of each of them, what is to be read.
    """

    def __init__(self, path: str, number: int | None, share: Share, setting: Setting) -> None:
        self._path, self._share = path, share
        there = _of_game(path, find_runs("Dataset.path", path), setting.game)
        if number is not None:
            there = [run for run in there if run.number == number] or _no_run(number, there)
        self._there = there
        wanted = {id(self.run_of(seed)) for seed in setting.seeds}
        self.runs = [run for run in there if id(run) in wanted]
        self.groups: list[Sequence[Part]] = [run.parts(share) for run in self.runs]

    def run_of(self, seed: int) -> Run:
        """That which a seed learns from."""
        return self._there[seed % len(self._there)]

    @property
    def observation_spec(self) -> ObservationSpec:
        """Of the runs' frames."""
        return self.runs[0].observation_spec

    @cached_property
    def action_spec(self) -> Discrete:
        """What may be done in the game."""
        run = self.runs[0]
        known = run.action_spec
        return known if isinstance(known, Discrete) else Discrete(num_actions(run.game))

    @cached_property
    def identities(self) -> list[dict[str, Any]]:
        """Of each run, what a checkpoint says of it."""
        share = {name: x for name, x in self._share._asdict().items() if x is not None}
        return [
            {"path": self._path, "run": run.number, "sha256": run.identity()} | share
            for run in self.runs
        ]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of all of them, wherever they lie."""
        own = [{k: x for k, x in one.items() if k != "path"} for one in self.identities]
        return hashlib.sha256(json.dumps(own).encode()).hexdigest()

    @property
    def protocol(self) -> dict[str, Any]:
        """JSON facts for the provenance stamp."""
        run, (transitions, _, frames) = self.runs[0], self._counts
        return dict(run.protocol) | {
            "suite": run.suite,
            "game": run.game,
            "data": self.identities,
            "transitions": transitions,
            "frames": frames,
        }

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        """Transitions of the share, those there are, and frames of the share, at most."""
        parts = [part for group in self.groups for part in group]
        fields = ("num_transitions", "total_transitions", "num_rows")
        transitions, total, frames = (sum(getattr(x, name) for x in parts) for name in fields)
        return transitions, total, frames

    @property
    def num_bytes(self) -> int:
        """Of memory, for all of the share."""
        transitions, _, frames = self._counts
        row = bytes_per_row(self.observation_spec, self.action_spec)
        return frames * row + transitions * _START_BYTES

    def say(self, stream: TextIO, chunks: str | None) -> None:
        """What will be read, where to, and what is missing; before any frame is."""
        transitions, total, frames = self._counts
        run = self.runs[0]
        numbers = ", ".join(str(own.number) for own in self.runs)
        where = f"in {chunks}" if chunks else f"{self.num_bytes / GIB:.2f} GiB in memory"
        print(
            f"{self._path}: {run.game}, run {numbers}: {transitions:,} of at most {total:,} "
            f"transitions ({transitions / max(total, 1):.1%}), with {frames:,} frames "
            f"({min(frames / max(total, 1), 1):.1%}); {where}",
            file=stream,
            flush=True,
        )
        for run in self.runs:
            for gap in run.gaps:
                print(f"      run {run.number}: {gap}", file=stream, flush=True)

    def require_room(self, batch_size: int, num_seeds: int) -> None:
        """Raises `ConfigError` if memory does not hold a batch of all seeds, and what is ahead."""
        spec = self.observation_spec
        observation = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        each = 2 * (1 + AHEAD) * observation + AT_ONCE * _START_BYTES
        require_room("Dataset.batch_size", batch_size, num_seeds * batch_size * each)

    def require_ram(self, fraction: float) -> None:
        """Raises `ConfigError` if memory does not hold the share."""
        needed, free = self.num_bytes, available_bytes()
        if needed > free:
            sizes = f"needs {needed / GIB:,.2f} GiB, {free / GIB:.2f} GiB are available"
            largest = f"the largest that fits is {fraction * free / needed:.2g}"
            advice = f"{largest}, or keep frames on disk: Dataset.chunks='FOLDER'"
            raise ConfigError(f"Dataset.fraction={fraction}: {sizes}; {advice}")

    def require_cache(self, cache_gib: float, cache_bytes: int) -> None:
        """Raises `ConfigError` if memory does not hold the cache and what lies beside frames."""
        transitions, _, frames = self._counts
        dtypes = row_dtypes(self.observation_spec, self.action_spec)
        beside = sum(dtypes[name].itemsize for name in ROW_FIELDS[1:])
        # They are read from the folder before they are those of the ring.
        needed = cache_bytes + 2 * (frames * beside + transitions * _START_BYTES)
        free = available_bytes()
        if needed > free:
            sizes = f"{needed / GIB:,.2f} GiB with all that is not frames"
            expected = f"less than the {free / GIB:.2f} GiB that are available"
            raise ConfigError(f"Dataset.cache_gib={cache_gib}: {sizes}; expected {expected}")

    def require_actions(self, loaded: Loaded) -> None:
        """Raises `ConfigError` if the data hold none, or actions that the game has not."""
        for run, starts in zip(self.runs, loaded.starts, strict=True):
            where = f"Dataset.path={self._path!r}: run {run.number} of {run.game}"
            if not len(starts):
                raise ConfigError(f"{where} has no complete transition")
            actions, most = loaded.ring.actions[starts], self.action_spec.num_actions - 1
            if actions.min() < 0 or actions.max() > most:
                found = f"actions {actions.min()} to {actions.max()}"
                raise ConfigError(f"{where} has {found}, but that game has 0 to {most}")


def _of_game(path: str, runs: Sequence[Run], asked: str | None) -> list[Run]:
    """Those of the game that was asked for, or of the only one there is."""
    games = sorted({run.game for run in runs})
    if asked is None:
        choices = f"data of one game, or a game_name of {', '.join(games)}"
        require(len(games) == 1, "Dataset.path", path, choices)
        asked = games[0]
    if asked not in games:
        problem = f"the data are of {', '.join(games)}, not of the game asked for, {asked}"
        raise ConfigError(f"Dataset.path={path!r}: {problem}; {nearest(asked, games)}")
    return [run for run in runs if run.game == asked]


def _no_run(number: int, runs: Sequence[Run]) -> list[Run]:
    there = ", ".join(str(run.number) for run in runs)
    raise ConfigError(f"Dataset.run={number}: no such run; expected one of {there}")
