"""Runs of a dataset whose rows are told by hand, and not on any disk."""

from dataclasses import dataclass, field

import numpy as np

from prune_rl.datasets.experience import Block
from prune_rl.specs import FINAL, GOES_ON, Discrete, ObservationSpec

SPEC = ObservationSpec((10, 10, 4))


@dataclass
class ScriptedPart:
    """One episode that goes on: frames show `first`, `first` + 1, ...; its last row starts none."""

    name: str
    first: int
    num_rows: int
    total_transitions: int
    said_rows: int | None = None
    error: Exception | None = None

    def __post_init__(self):
        self.own_rows = self.num_rows
        self.num_rows = self.said_rows or self.num_rows
        self.num_transitions = self.own_rows - 1

    def blocks(self):
        if self.error:
            raise self.error
        for low in range(0, self.own_rows, 4):  # several blocks
            ages = np.arange(low, min(low + 4, self.own_rows), dtype=np.int32)
            numbers, last = self.first + ages, ages == self.own_rows - 1
            yield Block(
                frames=np.broadcast_to(numbers[:, None, None, None], (len(ages), 10, 10, 4)).astype(
                    np.uint8
                ),
                actions=(numbers % 3).astype(np.int32),
                rewards=numbers.astype(np.float32),
                ages=ages,
                ends=np.where(last, FINAL, GOES_ON).astype(np.uint8),
                starts=~last,
            )


@dataclass
class ScriptedRun:
    """A run of MinAtar Breakout in parts of so many rows."""

    number: int
    game: str = "breakout"
    rows: tuple[int, ...] = (6, 9)
    digest: str = "ab"
    num_actions: int | None = 3
    gaps: tuple[str, ...] = ()
    error: Exception | None = None
    said_rows: int | None = None
    suite: str = "minatar"
    observation_spec: ObservationSpec = SPEC
    asked: list = field(default_factory=list)

    @property
    def action_spec(self):
        return None if self.num_actions is None else Discrete(self.num_actions)

    @property
    def protocol(self):
        return {"format": "scripted"}

    def parts(self, share):
        self.asked.append(share)
        firsts = np.cumsum([10 * self.number, *self.rows[:-1]])
        return [
            ScriptedPart(
                f"{self.game}/{self.number} part {i}",
                int(first),
                rows,
                2 * rows,
                self.said_rows,
                self.error if i else None,
            )
            for i, (first, rows) in enumerate(zip(firsts, self.rows, strict=True))
        ]

    def identity(self):
        return self.digest
