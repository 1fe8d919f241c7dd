"""D4RL's HDF5 files (Fu et al. 2020), as published and as made here: one is one run.

Transitions are those of `d4rl.qlearning_dataset`, and more: a row whose episode goes on leads to
the observation of the next row, a terminal one to nothing, and one that timed out bootstraps from
its `next_observations`, which D4RL does not use. Where a file has none, a row that timed out starts
no transition, as in D4RL, and the one before bootstraps from what it shows. So does the last row,
unless it is terminal; D4RL leaves it out in any case.

Ours say in `metadata/about` what they are of; of others the name does.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from prune_rl.datasets import d4rl_names, vectors
from prune_rl.datasets.claims import borders, require_claims, require_sizes
from prune_rl.datasets.d4rl_part import FileForm, FilePart, Layout, form_of, layout
from prune_rl.datasets.experience import Damaged, Share
from prune_rl.datasets.folders import files_below
from prune_rl.datasets.hdf5_files import BLOCK_ROWS, flags_of, opened, rows_of, text_at
from prune_rl.environments.reference_scores import reference_scores
from prune_rl.errors import ConfigError
from prune_rl.specs import Box, ObservationSpec, out_of_bounds

SUFFIX, ABOUT = ".hdf5", "metadata/about"
_KEYS = ("observations", "actions", "rewards", "terminals", "timeouts")
_MINARI = "main_data.hdf5"


def find_runs(path: Path) -> list["D4RLRun"]:
    """The runs in files at or below `path`, by game, number and path.

    Raises:
        Damaged: a file lacks some of the keys, or they do not fit together; what has none of them
            is not D4RL's.
        ConfigError: nothing says which environment a file is of; or h5py is not installed.
    """
    files = (file for file in files_below(path, SUFFIX) if file.name != _MINARI)
    runs = [run for run in map(_run_at, files) if run is not None]
    return sorted(runs, key=lambda run: (run.game, run.number, run.path))


def _run_at(path: Path) -> "D4RLRun | None":
    with opened(path) as file:
        lacking = [key for key in _KEYS if key not in file]
        if len(lacking) == len(_KEYS):
            return None
        if lacking:
            needed = "expected what D4RL's v1 and v2 have: " + ", ".join(_KEYS)
            raise Damaged(f"{path}: no {', '.join(lacking)}; {needed}")
        form, text = form_of(path, file), text_at(file, ABOUT)
        algorithm = text_at(file, "metadata/algorithm")
    about, name = _about(path, text, form.action), d4rl_names.named(path.name)
    if name is None and not about:
        expected = f"a name as halfcheetah_medium-v2{SUFFIX}, or {ABOUT} as made here"
        raise ConfigError(f"{path}: does not say which environment it is of; expected {expected}")
    game = about["game"] if about else name.game if name else ""
    own = None if about or name is None else name.published
    sizes = form.observation, form.action
    require_sizes(path, own.game if own else game, sizes, own and (own.observation, own.action))
    facts = {"dataset": name.name if name else path.stem}
    facts |= {"algorithm": algorithm} if algorithm else {}
    facts |= about.get("protocol", {"stored_rewards": "as they are"})
    references, (low, high) = reference_scores(game), borders(about, form.action)
    return D4RLRun(
        path=path,
        game=game,
        number=about.get("run", 1),
        observation_spec=ObservationSpec((form.observation,), np.float32),
        action_spec=Box(tuple(map(float, low)), tuple(map(float, high))),
        protocol={"format": "d4rl", "path": str(path), **facts}
        | {"reference_scores": references and [*references]},
        form=form,
    )


def _about(path: Path, text: str | None, actions: int) -> dict[str, Any]:
    """What a file made here says of itself; nothing of others."""
    if text is None:
        return {}
    try:
        about = json.loads(text)
    except ValueError as error:
        raise Damaged(f"{path}: {ABOUT}: {text[:80]!r}, expected JSON") from error
    return require_claims(f"{path}: {ABOUT}", about, actions)


@dataclass(frozen=True)
class D4RLRun:
    """A `Run` in a file.

    Attributes, besides those of a `Run`: `path`; `form`, the sizes of its arrays.
    """

    path: Path
    game: str
    number: int
    observation_spec: ObservationSpec
    action_spec: Box
    protocol: Mapping[str, Any]
    form: FileForm
    suite: str = "mujoco"
    absent: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    def parts(self, share: Share) -> list[FilePart]:
        """One; reads what ended where.

        Raises:
            ConfigError: there is no transition, or not so many.
            Damaged: an episode has terminated and timed out at once, or a flag is neither 0 nor 1.
        """
        sources, is_next, whole = self._layout()
        total = int(np.count_nonzero(whole.startable))
        if not total:
            raise _empty(self.path)
        own = vectors.needed(whole, share, self.number)
        name = f"{self.game}/{self.number} {self.path.stem}"
        return [FilePart(name, total, self.path, sources[own.rows], is_next[own.rows], own)]

    def _layout(self) -> Layout:
        if not self.form.num_rows:
            raise _empty(self.path)
        with opened(self.path) as file:
            terminals, timeouts = flags_of(file["terminals"]), flags_of(file["timeouts"])
        both = terminals & timeouts
        if both.any():
            where = f"row {int(np.argmax(both)):,} ({np.count_nonzero(both):,} in all)"
            advice = "expected one at most: the terminal counts, so clear the timeout"
            problem = f"terminal and timed out at once; {advice}"
            raise Damaged(f"{self.path}: terminals and timeouts: {where} is {problem}")
        return layout(terminals, timeouts, self.form.has_next)

    def identity(self) -> str:
        """SHA-256 over every byte."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return vectors.sha256_of([self.path])


def _empty(path: Path) -> ConfigError:
    return ConfigError(f"{path}: no transition to learn from")


def num_rows(run: D4RLRun) -> int:
    """How many rows `problems` tells of."""
    return run.form.num_rows


def problems(run: D4RLRun, watch: Callable[[int], None] = lambda _: None) -> Iterator[str]:
    """Reads everything; says, in a line each, what is damaged or impossible, the first of a kind.

    Args:
        watch: told, as rows are read, how many more; raises to stop.
    """
    try:
        run.parts(Share())
    except ConfigError as error:
        yield str(error)
    said: set[str] = set()
    with opened(run.path) as file:
        for first in range(0, run.form.num_rows, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, run.form.num_rows)
            for kind, problem in _problems_of(run, file, first, last):
                if kind not in said:
                    yield problem
                said.add(kind)
            watch(last - first)


def _problems_of(run: D4RLRun, file: Any, first: int, last: int) -> Iterator[tuple[str, str]]:
    """What is wrong with rows `first` to `last` - 1, with a word for the kind of it."""
    try:
        actions = rows_of(file["actions"], first, last)
        outside = out_of_bounds(run.action_spec, actions)
        if outside.any():
            row, bounds = int(np.argmax(outside.any(axis=1))), "its game's bounds"
            yield "bounds", f"{run.path}: actions: row {first + row:,} is outside of {bounds}"
    except Damaged as error:
        yield "actions", str(error)
    for name in ("observations", "rewards"):
        try:
            rows_of(file[name], first, last)
        except Damaged as error:
            yield name, str(error)
    if run.form.has_next:
        yield from _wrong_next(run, file, first, last)


def _wrong_next(run: D4RLRun, file: Any, first: int, last: int) -> Iterator[tuple[str, str]]:
    """A next observation that the next row does not show, though the episode goes on there."""
    end = min(last, run.form.num_rows - 1)
    try:
        told = rows_of(file["next_observations"], first, last)[: end - first]
        shown = rows_of(file["observations"], first + 1, end + 1, finite=False)
        over = (file[name][first:end].reshape(-1) for name in ("terminals", "timeouts"))
        goes_on = ~np.logical_or(*(own.astype(bool) for own in over))
        differs = goes_on & (told != shown).any(axis=1)
    except Damaged as error:
        yield "next_observations", str(error)
        return
    if differs.any():
        row = first + int(np.argmax(differs))
        problem = f"row {row:,} is not the observation of row {row + 1:,}, where it goes on"
        yield "goes on", f"{run.path}: next_observations: {problem}"
