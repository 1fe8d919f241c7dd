"""What a dataset on disk offers to learn from, whatever its format.

A dataset holds runs of agents on games. A run is read in parts (a checkpoint's file, a split), each
by a thread of its own, as blocks of consecutive rows. A row is one frame with the action and the
reward that followed it, as in `prune_rl.replay.ring`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from prune_rl.errors import ConfigError
from prune_rl.specs import ActionSpec, ObservationSpec


class Share(NamedTuple):
    """Which transitions of a run are learned from.

    Attributes:
        fraction: of the transitions of every part, in (0, 1].
        unit: 'windows', what lies together: consecutive rows of a checkpoint's file, whole episodes
            of a split; 'transitions', each drawn by itself, which touches more frames; or 'first'
            and 'last', those that a reader meets first and last.
        seed: decides where windows begin and which transitions are drawn.
        horizon: n of the n-step returns, in agent steps: so many further rows a transition needs.
        count: so many transitions of the run instead of a fraction, which then is 1; None else.
        held_out: the last so many of the run are not there for it; None for all are.
    """

    fraction: float = 1.0
    unit: str = "windows"
    seed: int = 0
    horizon: int = 1
    count: int | None = None  # type: ignore[assignment]  # in the place of tuple.count
    held_out: int | None = None


class Block(NamedTuple):
    """Consecutive rows of one part, (n, ...) each.

    A block continues the one before it, stacks and n-step windows reach across; the rows of
    different parts never meet. Where rows were left out between two that are kept, no stack of a
    start, and no window from it, reaches over the gap.

    Attributes:
        frames: (n, *frame_shape), of the run's spec.
        actions: (n,) int32, or (n, A) float32 of a `Box`.
        rewards: (n,) float32, as stored.
        ages: (n,) int32, rows since the episode's first: frames from before it are zeros.
        ends: (n,) uint8, codes of `prune_rl.specs`.
        starts: (n,) bool, whether a transition of the share begins here.
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ages: np.ndarray
    ends: np.ndarray
    starts: np.ndarray


class Part(Protocol):
    """Rows of a run that one thread reads.

    Attributes:
        name: for people, as 'Pong/1 checkpoint 3'.
        num_rows: what its blocks hold together, at most; known before a frame is read.
        num_transitions: of these, that are to be learned from (the starts), at most.
        total_transitions: what the whole part has, share or not, at most.
    """

    @property
    def name(self) -> str: ...

    @property
    def num_rows(self) -> int: ...

    @property
    def num_transitions(self) -> int: ...

    @property
    def total_transitions(self) -> int: ...

    def blocks(self) -> Iterator[Block]:
        """Reads it from the beginning, a few megabytes at a time.

        Raises:
            Damaged: what is on disk is not what it should be; names file and offset.
        """


class Run(Protocol):
    """What one agent saw while it was trained on a game.

    Attributes:
        game: in the spelling of `environments.games`: 'Pong', 'breakout' on MinAtar, or
            'HalfCheetah-v5', as gymnasium calls what the data are of, or what is nearest to it.
        suite: 'atari', 'minatar' or 'mujoco'.
        number: as the dataset counts its runs, from 1 in those published.
        observation_spec: of its frames, and how many make an observation.
        action_spec: None where nothing on disk says so; then it is that of the game.
        protocol: JSON facts for the provenance stamp: format, path, clipped rewards and so on.
        absent: checkpoints of which nothing is there, in words: of a run that came in part.
        gaps: these, and what else should be there and is not, in words; it is left out.
    """

    @property
    def game(self) -> str: ...

    @property
    def suite(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def observation_spec(self) -> ObservationSpec: ...

    @property
    def action_spec(self) -> ActionSpec | None: ...

    @property
    def protocol(self) -> Mapping[str, Any]: ...

    @property
    def absent(self) -> Sequence[str]: ...

    @property
    def gaps(self) -> Sequence[str]: ...

    def parts(self, share: Share) -> Sequence[Part]:
        """What to read for a share; looks at small files only.

        Raises:
            ConfigError: there is nothing to read.
        """

    def identity(self) -> str:
        """64 hexadecimal digits that change with any byte of the data.

        Reads next to nothing once `parts` were asked for, but of formats without checksums all.
        """


class Damaged(ConfigError):  # noqa: N818
    """A file of a dataset is not what it should be; the message names it and the offset."""


def require_fraction(share: Share, path: object) -> None:
    """Raises `ConfigError` if a share is counted, of data in which only fractions are taken."""
    if share.held_out is not None:
        found = f"Dataset.held_out={share.held_out} of {path}"
        raise ConfigError(f"{found}: expected None: some are held out of vectors alone")
    if share.count is not None or share.unit == "first":
        asked = f"{share.count:,} transitions" if share.count is not None else "the first"
        found = f"{asked} of {path} were asked for"
        raise ConfigError(f"{found}; expected a fraction: counts are of vectors alone")
