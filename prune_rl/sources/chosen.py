"""The runs that a training on data learns from, and which share of each."""

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, TextIO

import numpy as np

from prune_rl.datasets.experience import Part, Run, Share
from prune_rl.datasets.finding import find_runs
from prune_rl.environments.games import num_actions
from prune_rl.environments.reference_scores import References, agreed
from prune_rl.errors import ConfigError, nearest, require
from prune_rl.replay.ram import GIB, available_bytes, require_room
from prune_rl.replay.ring import ROW_FIELDS, bytes_per_row, row_dtypes
from prune_rl.replay.shared import AHEAD, AT_ONCE
from prune_rl.sources.loading import Loaded
from prune_rl.sources.source import Setting
from prune_rl.specs import ActionSpec, Discrete, ObservationSpec, bounds, out_of_bounds

_START_BYTES = 8  # a transition's position, beside its row


class Taken(NamedTuple):
    """A share of the runs at a path.

    Attributes:
        path: as asked for.
        share: of each of its runs.
        there: those of the game, of which seeds take turns.
    """

    path: str
    share: Share
    there: Sequence[Run]

    @property
    def held_out(self) -> Share | None:
        """Of each of its runs, the transitions that are never learned from."""
        if self.share.held_out is None:
            return None
        return self.share._replace(
            fraction=1.0, unit="last", count=self.share.held_out, held_out=None
        )

    def identity_of(self, run: Run) -> dict[str, Any]:
        """What a checkpoint says of it."""
        share = {name: x for name, x in self.share._asdict().items() if x is not None}
        return {"path": self.path, "run": run.number, "sha256": run.identity()} | share


class Chosen:
    """The runs that a training learns from, and which share of them.

    Seeds that learn from the same run of every path are a group.

    Args:
        asked: paths, and which share of the runs there; of several, each seed learns from one run
            of each, mixed.
        number: of the run at every path; None for each seed's own.
        setting: whose seeds they are, and whose game.

    Attributes:
        runs: of each group, one of each path.
        groups: of each of them, what is to be read.
        held_out: of each of them, what is to be read beside it and not learned from; or empty.
        group_of: of each seed, its place there.
    """

    def __init__(
        self, asked: Sequence[tuple[str, Share]], number: int | None, setting: Setting
    ) -> None:
        self._taken: list[Taken] = []
        game = setting.game
        for path, share in asked:
            there = _of_game(path, find_runs("Dataset.path", path), game)
            game = there[0].game
            if number is not None:
                there = [run for run in there if run.number == number] or _no_run(number, there)
            self._taken.append(Taken(path, share, there))
        turns = [tuple(seed % len(own.there) for own in self._taken) for seed in setting.seeds]
        choices = sorted(set(turns))
        self.group_of = [choices.index(turn) for turn in turns]
        pairs = [list(zip(self._taken, choice, strict=True)) for choice in choices]
        self.runs = [[own.there[place] for own, place in pair] for pair in pairs]
        self.groups = [self._parts(runs, [own.share for own in self._taken]) for runs in self.runs]
        held_out = [own.held_out for own in self._taken]
        self.held_out = [self._parts(x, held_out) for x in self.runs] if any(held_out) else []
        self._require_alike()

    def _parts(self, runs: Sequence[Run], shares: Sequence[Share | None]) -> Sequence[Part]:
        pairs = zip(runs, shares, strict=True)
        return [part for run, share in pairs if share for part in run.parts(share)]

    def _require_alike(self) -> None:
        specs = [(run.observation_spec, run.action_spec) for run in self.runs[0]]
        for own, spec in zip(self._taken, specs, strict=True):
            alike = f"data of the same form as in {self._taken[0].path}"
            require(spec == specs[0], "Dataset.path", own.path, alike)

    @property
    def observation_spec(self) -> ObservationSpec:
        """Of the runs' frames."""
        return self.runs[0][0].observation_spec

    @cached_property
    def action_spec(self) -> ActionSpec:
        """What may be done in the game."""
        run = self.runs[0][0]
        return run.action_spec or Discrete(num_actions(run.game))

    @cached_property
    def identities(self) -> list[dict[str, Any]]:
        """Of each group, what a checkpoint says of its data; of a mixture a list of every fact."""
        return [self._identity(runs) for runs in self.runs]

    def _identity(self, runs: Sequence[Run]) -> dict[str, Any]:
        each = [own.identity_of(run) for own, run in zip(self._taken, runs, strict=True)]
        if len(each) == 1:
            return each[0]
        return {name: [own[name] for own in each] for name in each[0]}

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of all of them, wherever they lie."""
        own = [{k: x for k, x in one.items() if k != "path"} for one in self.identities]
        return hashlib.sha256(json.dumps(own).encode()).hexdigest()

    @property
    def protocol(self) -> dict[str, Any]:
        """JSON facts for the provenance stamp."""
        run, (transitions, _, frames) = self.runs[0][0], self._counts
        return (
            dict(run.protocol)
            | self._references
            | {
                "suite": run.suite,
                "game": run.game,
                "data": self.identities,
                "transitions": transitions,
                "frames": frames,
            }
        )

    @property
    def _references(self) -> dict[str, Any]:
        """What 0 and 100 are of all of the data, where their format says so."""
        protocols = [run.protocol for runs in self.runs for run in runs]
        if not all("reference_scores" in own for own in protocols):
            return {}
        game, told = self.runs[0][0].game, [own["reference_scores"] for own in protocols]
        found = agreed([References(*own) if own else None for own in told], game)
        return {"reference_scores": found and [*found]}

    @cached_property
    def _counts(self) -> tuple[int, int, int]:
        """Transitions of the share, those there are, and frames of the share, at most."""
        parts = [part for group in self.groups for part in group]
        fields = ("num_transitions", "total_transitions", "num_rows")
        transitions, total, frames = (sum(getattr(x, name) for x in parts) for name in fields)
        return transitions, total, frames

    @property
    def _all_rows(self) -> tuple[int, int]:
        """Transitions and frames of the share and of what is held out, at most."""
        parts = [part for group in (*self.groups, *self.held_out) for part in group]
        return sum(x.num_transitions for x in parts), sum(x.num_rows for x in parts)

    @property
    def num_bytes(self) -> int:
        """Of memory, for all of the share and what is held out."""
        transitions, frames = self._all_rows
        row = bytes_per_row(self.observation_spec, self.action_spec)
        return frames * row + transitions * _START_BYTES

    def say(self, stream: TextIO, chunks: str | None) -> None:
        """What will be read, where to, and what is missing; before any frame is."""
        transitions, total, frames = self._counts
        paths = " + ".join(own.path for own in self._taken)
        numbers = ", ".join("+".join(str(run.number) for run in runs) for runs in self.runs)
        where = f"in {chunks}" if chunks else f"{self.num_bytes / GIB:.2f} GiB in memory"
        print(
            f"{paths}: {self.runs[0][0].game}, run {numbers}: {transitions:,} of at most {total:,} "
            f"transitions ({transitions / max(total, 1):.1%}), with {frames:,} frames "
            f"({min(frames / max(total, 1), 1):.1%}){self._said_held_out}; {where}",
            file=stream,
            flush=True,
        )
        for run in {id(run): run for runs in self.runs for run in runs}.values():
            for gap in run.gaps:
                print(f"      run {run.number}: {gap}", file=stream, flush=True)

    @property
    def _said_held_out(self) -> str:
        held_out = sum(part.num_transitions for group in self.held_out for part in group)
        return f", {held_out:,} held out" if held_out else ""

    def require_room(self, batch_size: int, num_seeds: int) -> None:
        """Raises `ConfigError` if memory does not hold a batch of all seeds, and what is ahead."""
        spec = self.observation_spec
        observation = math.prod(spec.shape) * np.dtype(spec.dtype).itemsize
        each = 2 * (1 + AHEAD) * observation + AT_ONCE * _START_BYTES
        require_room("Dataset.batch_size", batch_size, num_seeds * batch_size * each)

    def require_ram(self) -> None:
        """Raises `ConfigError` if memory does not hold the share."""
        needed, free, share = self.num_bytes, available_bytes(), self._taken[0].share
        if needed > free:
            sizes = f"needs {needed / GIB:,.2f} GiB, {free / GIB:.2f} GiB are available"
            if share.count is not None:
                asked = f"Dataset.num_transitions={share.count}"
                largest = f"the largest that fits is {share.count * free // needed}"
                raise ConfigError(f"{asked}: {sizes}; {largest}")
            largest = f"the largest that fits is {share.fraction * free / needed:.2g}"
            advice = f"{largest}, or keep frames on disk: Dataset.chunks='FOLDER'"
            raise ConfigError(f"Dataset.fraction={share.fraction}: {sizes}; {advice}")

    def require_cache(self, cache_gib: float, cache_bytes: int) -> None:
        """Raises `ConfigError` if memory does not hold the cache and what lies beside frames."""
        transitions, frames = self._all_rows
        dtypes = row_dtypes(self.observation_spec, self.action_spec)
        beside = sum(dtypes[name].itemsize for name in ROW_FIELDS[1:])
        # They are read from the folder before they are those of the ring.
        needed = cache_bytes + 2 * (frames * beside + transitions * _START_BYTES)
        free = available_bytes()
        if needed > free:
            sizes = f"{needed / GIB:,.2f} GiB with all that is not frames"
            expected = f"less than the {free / GIB:.2f} GiB that are available"
            raise ConfigError(f"Dataset.cache_gib={cache_gib}: {sizes}; expected {expected}")

    def held_out_of(self, loaded: Loaded) -> list[np.ndarray]:
        """Of each seed, positions of the transitions that are held out; empty where none are."""
        starts = loaded.starts[len(self.groups) :]
        return [starts[group] for group in self.group_of] if starts else []

    def where(self, group: int) -> str:
        """Words for the data of a group, for an error."""
        paths = " + ".join(own.path for own in self._taken)
        numbers = "+".join(str(run.number) for run in self.runs[group])
        return f"{paths!r}: run {numbers} of {self.runs[group][0].game}"

    def require_actions(self, loaded: Loaded) -> None:
        """Raises `ConfigError` if the data hold none, or actions that the game has not."""
        low, high = bounds(self.action_spec)
        for group, starts in enumerate(loaded.starts):
            where = f"Dataset.path={self.where(group % len(self.groups))}"
            if not len(starts):
                raise ConfigError(f"{where} has no complete transition")
            actions = loaded.ring.actions[starts]
            if out_of_bounds(self.action_spec, actions).any():
                found = f"actions {actions.min():g} to {actions.max():g}"
                game = f"{low.min():g} to {high.max():g}"
                raise ConfigError(f"{where} has {found}, but that game has {game}")


def _of_game(path: str, runs: Sequence[Run], asked: str | None) -> list[Run]:
    """Those of the game that was asked for, or of the only one there is."""
    games = sorted({run.game for run in runs})
    if asked is None:
        choices = f"data of one game, or a game_name of {', '.join(games)}"
        require(len(games) == 1, "Dataset.path", path, choices)
        asked = games[0]
    if asked not in games:
        problem = f"the data are of {', '.join(games)}, not of the game asked for, {asked}"
        where = f"in create_{runs[0].suite}_environment.game_name" + ", or none" * (len(games) == 1)
        raise ConfigError(f"Dataset.path={path!r}: {problem}; {nearest(asked, games)} ({where})")
    return [run for run in runs if run.game == asked]


def _no_run(number: int, runs: Sequence[Run]) -> list[Run]:
    there = ", ".join(str(run.number) for run in runs)
    raise ConfigError(f"Dataset.run={number}: no such run; expected one of {there}")
