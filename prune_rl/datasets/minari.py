"""Minari's datasets (github.com/Farama-Foundation/Minari, 0.5) of vectors, in HDF5: one is a run.

`<id>/data/` holds metadata.json and main_data.hdf5, a group for each episode: T actions and
rewards, T + 1 observations. So every transition has what it led to, and the last of an episode
bootstraps unless it terminated; where it was truncated at once, as gymnasium's time limit can,
it terminated.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from prune_rl.datasets import vectors
from prune_rl.datasets.claims import require_claims, require_sizes
from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.folders import datasets_below
from prune_rl.datasets.hdf5_files import BLOCK_ROWS, opened
from prune_rl.datasets.minari_part import EpisodesPart, Sizes, episode_of, length_of, read
from prune_rl.environments.reference_scores import References, reference_scores
from prune_rl.errors import ConfigError, first_line
from prune_rl.specs import FINAL, Box, ObservationSpec, out_of_bounds

METADATA, MAIN = "metadata.json", "main_data.hdf5"
_NEEDED = {"observation_space": str, "action_space": str, "total_episodes": int, "dataset_id": str}


def cache() -> Path:
    """Where Minari itself keeps datasets, by their ids."""
    return Path(os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets")


def find_runs(path: Path) -> list["MinariRun"]:
    """The runs at or below `path`, at any depth, by game, number and path.

    Raises:
        Damaged: a metadata.json is not what it should be, or its data are missing.
        ConfigError: they are no vectors, or lie in another format than HDF5.
    """
    folders = datasets_below(path, lambda _, names: METADATA in names)
    runs = [run for run in map(_run_at, folders) if run is not None]
    return sorted(runs, key=lambda run: (run.game, run.number, run.path))


def _run_at(path: Path) -> "MinariRun | None":
    """None where some other metadata lie, or no set that is finished."""
    metadata = _metadata(path / METADATA)
    if not {"data_format", "dataset_id"} <= set(metadata):  # a collector's has no name yet
        return None
    where, form = path / METADATA, metadata["data_format"]
    for name, kind in _NEEDED.items():
        if not isinstance(metadata.get(name), kind):
            found = f"{name}={metadata.get(name)!r}"
            raise Damaged(f"{where}: {found}, expected {kind.__name__}")
    if form != "hdf5":
        raise ConfigError(f"{where}: data_format={form!r}: expected 'hdf5'")
    if not (path / MAIN).is_file():
        raise Damaged(f"{path}: no {MAIN}")
    observation = _box(where, "observation_space", metadata["observation_space"])
    action = _box(where, "action_space", metadata["action_space"])
    own = {}
    if "prune_rl" in metadata:  # made here
        own = require_claims(f"{where}: prune_rl", metadata["prune_rl"], *action.shape)
        require_sizes(path, own["game"], (observation.shape[0], action.shape[0]))
    game = own["game"] if own else _game(where, metadata)
    references, gaps = _references(game, metadata)
    facts = {"dataset": metadata["dataset_id"]}
    if "algorithm_name" in metadata:
        facts["algorithm"] = metadata["algorithm_name"]
    facts |= own.get("protocol", {"stored_rewards": "as they are"})
    return MinariRun(
        path=path,
        game=game,
        number=own.get("run", 1),
        observation_spec=ObservationSpec(observation.shape, np.float32),
        action_spec=action,
        protocol={"format": "minari", "path": str(path), **facts}
        | {"reference_scores": references and [*references]},
        num_episodes=metadata["total_episodes"],
        gaps=gaps,
    )


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Damaged(f"{path}: cannot be read: {first_line(error)}") from error
    return metadata if isinstance(metadata, dict) else {}


def _box(where: Path, name: str, text: str) -> Box:
    """A space that Minari has written as JSON, of vectors."""
    try:
        space = json.loads(text)
        kind, shape = space["type"], space.get("shape")
        if kind == "Box" and len(shape) == 1:
            return Box(tuple(map(float, space["low"])), tuple(map(float, space["high"])))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Damaged(f"{where}: {name}: {text[:80]!r} is no space as Minari writes it") from error
    found = f"{kind} of shape {shape}" if kind == "Box" else kind
    raise ConfigError(f"{where}: {name}: a {found}; expected a Box of one axis: vectors")


def _game(where: Path, metadata: Mapping[str, Any]) -> str:
    """As gymnasium calls it, by the specification of the environment."""
    try:
        return str(json.loads(metadata["env_spec"])["id"])
    except (ValueError, TypeError, KeyError) as error:
        expected = "expected the specification of the environment, with its id"
        raise Damaged(f"{where}: env_spec: {expected}") from error


def _references(game: str, metadata: Mapping[str, Any]) -> tuple[References | None, list[str]]:
    """The scores that are called 0 and 100: the set's own, else D4RL's; and what is amiss."""
    low, high = (metadata.get(f"ref_{name}_score") for name in ("min", "max"))
    if _is_number(low) and _is_number(high) and low < high:
        return References(float(low), float(high)), []
    known = reference_scores(game)
    instead = "D4RL's of that game are taken" if known else "returns cannot be normalised"
    lacking = "no reference scores"
    if low is not None and high is not None:
        lacking = f"reference scores {low!r} and {high!r}, expected the first below the second,"
    return known, [f"{lacking} in {METADATA}: {instead}"]


def _is_number(score: object) -> TypeGuard[float]:
    return isinstance(score, int | float) and math.isfinite(score)


@dataclass(frozen=True)
class MinariRun:
    """A `Run` in a folder.

    Attributes, besides those of a `Run`: `path`; `num_episodes`.
    """

    path: Path
    game: str
    number: int
    observation_spec: ObservationSpec
    action_spec: Box
    protocol: Mapping[str, Any]
    num_episodes: int
    suite: str = "mujoco"
    absent: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def sizes(self) -> Sizes:
        """Numbers in an observation and an action."""
        return Sizes(*self.observation_spec.shape, *self.action_spec.shape)

    def parts(self, share: Share) -> list[EpisodesPart]:
        """One; reads how long each episode is.

        Raises:
            ConfigError: there is no transition, or not so many.
            Damaged: an episode is missing, or its arrays are not as they should be.
        """
        rows = self.steps + 1  # of each episode
        ends = np.zeros(rows.sum(), np.uint8)  # how episodes ended is read with them
        ends[np.cumsum(rows) - 1] = FINAL
        if not (total := int(self.steps.sum())):
            raise ConfigError(f"{self.path}: no transition to learn from")
        own = vectors.needed(vectors.outline(rows, ends), share, self.number)
        name = f"{self.game}/{self.number} {self.protocol['dataset']}"
        return [EpisodesPart(name, total, self.path / MAIN, self.sizes, rows, own)]

    @cached_property
    def steps(self) -> np.ndarray:
        """(E,) int64, of each episode. Raises `Damaged` as `parts` does."""
        with opened(self.path / MAIN) as file:
            lengths = [length_of(file, number) for number in range(self.num_episodes)]
        return np.array(lengths, np.int64)

    def identity(self) -> str:
        """SHA-256 over every byte."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return vectors.sha256_of([self.path / METADATA, self.path / MAIN])


def num_rows(run: MinariRun) -> int:
    """How many transitions `problems` tells of if all is well."""
    try:
        return int(run.steps.sum())
    except ConfigError:
        return 0


def problems(run: MinariRun, watch: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """Reads everything; says, in a line each, which episodes are damaged or impossible.

    Args:
        watch: told, as transitions are read, how many more; raises to stop.
    """
    with opened(run.path / MAIN) as file:
        for number in range(run.num_episodes):
            try:
                own = episode_of(file, number, run.sizes)
                steps = len(own.rewards)
                for first in range(0, steps + 1, BLOCK_ROWS):
                    last = min(first + BLOCK_ROWS, steps + 1)
                    _, actions, _ = read(own, first, last)
                    outside = out_of_bounds(run.action_spec, actions)[: steps - first]
                    if outside.any():
                        bounds = "an action outside of its space's bounds"
                        yield f"{run.path / MAIN}: episode_{number}: {bounds}"
                    watch(len(outside))
            except Damaged as error:
                yield str(error)
