"""Suites as data: the trainings of a figure, as a grid that gin describes and launchers expand."""

import itertools
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import gin

from prune_rl.environments.games import OLDER
from prune_rl.environments.suite import Suite
from prune_rl.errors import ConfigError, nearest, require
from prune_rl.settings import Count, Holds, NumSeeds, checked

_AXES = "[('width', {'x1': ['ImpalaTorso.width=1']}), ...]"


def _is_file(flag: str) -> bool:
    return flag.endswith(".gin")


Flag = Annotated[str, Holds(lambda flag: _is_file(flag) or "=" in flag, "a flag, as 'x.gin'")]
_Label = Annotated[str, Holds(lambda label: "/" not in label, "a label without /")]
_Choices = Annotated[Mapping[_Label, Sequence[Flag]], Holds(bool, "one choice at least")]
Axis = tuple[str, _Choices]


class Cell(NamedTuple):
    """One training, of one seed or of several consecutive ones.

    Attributes:
        name: unique in its grid, the same at every call and ends in the seeds, as
            'dqn/x3/95/Pong/0' or 'dqn/x3/95/Pong/0-4'.
        gin_files: in the order to give them.
        gin_bindings: likewise, after the files.
    """

    name: str
    gin_files: tuple[str, ...]
    gin_bindings: tuple[str, ...]

    @property
    def seeds(self) -> range:
        """Those that train in it."""
        first, _, last = self.name.rpartition("/")[2].partition("-")
        return range(int(first), int(last or first) + 1)

    @property
    def flags(self) -> str:
        """For the shell that runs `python -m prune_rl.train`."""
        files = [f"--gin_files={x}" for x in self.gin_files]
        return shlex.join(files + [f"--gin_bindings={x}" for x in self.gin_bindings])


class Kind(NamedTuple):
    """The cells that differ in game and seeds only.

    Attributes:
        cell: the first of them.
        num_cells: how many there are.
        num_seeds: of all of them together.
    """

    cell: Cell
    num_cells: int
    num_seeds: int


@gin.configurable
@checked
@dataclass(frozen=True)
class Grid:
    """Every combination of one choice per axis, one game of the suite and some seeds.

    A flag is a gin file if it ends in '.gin', else a binding. In a cell, flags come in the order
    of the axes, then those shared; files before bindings, as in training.

    Attributes:
        axes: (name, {label: flags}) pairs; cells are named by their labels.
        shared: flags of every cell.
        games: those of the suite that it is about; None for all.
        num_seeds: of every choice and game: seeds 0 to num_seeds - 1.
        seeds_per_cell: how many of them, consecutive, train together in a cell, in one program.
            What is left over is a smaller cell, the last: 5 seeds by 2 are 0-1, 2-3 and 4.

    Raises:
        ConfigError: not of that form; names the gin binding.
    """

    axes: Annotated[Sequence[Axis], f"a list as {_AXES}"] = ()
    shared: Annotated[Sequence[Flag], "a list of flags, as ['x.gin']"] = ()
    games: Sequence[str] | None = None
    num_seeds: NumSeeds = 5
    seeds_per_cell: Count = 1  # five replays of Atari need 33 GiB

    def __len__(self) -> int:
        choices = math.prod(len(choices) for _, choices in self.axes)
        return choices * len(self._games) * len(self._seeds) if self.axes else 0

    @property
    def _suite(self) -> Suite:
        suite = Suite()
        if not suite.games:
            raise ConfigError("Suite.name: not set; a grid needs a suite, as suites/atari_15.gin")
        return suite

    @property
    def _games(self) -> Sequence[str]:
        suite = self._suite
        if self.games is None:
            return suite.games
        named = [suite.check("Grid.games", game, [*suite.games, *OLDER]) for game in self.games]
        require(bool(named), "Grid.games", named, "one game at least, or None")
        return named

    @property
    def _seeds(self) -> list[range]:
        """Those of each cell of a choice and game."""
        seeds, size = range(self.num_seeds), self.seeds_per_cell
        return [seeds[first : first + size] for first in seeds[::size]]

    def kinds(self) -> Iterator[Kind]:
        """One for each combination of the axes' choices."""
        games = self._games
        for picked in self._picked():
            cell = self._cell(picked, games[0], self._seeds[0])
            yield Kind(cell, len(games) * len(self._seeds), len(games) * self.num_seeds)

    def _picked(self) -> Iterator[tuple[tuple[str, Sequence[str]], ...]]:
        return itertools.product(*(choices.items() for _, choices in self.axes))

    def cells(self) -> Iterator[Cell]:
        """All cells, the last axis' choice changing before the one before, seeds fastest."""
        for picked in self._picked():
            for game, seeds in itertools.product(self._games, self._seeds):
                yield self._cell(picked, game, seeds)

    def _cell(self, picked: Sequence[tuple[str, Sequence[str]]], game: str, seeds: range) -> Cell:
        flags = [flag for _, own in picked for flag in own] + list(self.shared)
        files = [x for x in flags if _is_file(x)] + [f"suites/{self._suite.name}.gin"]
        bindings = [x for x in flags if not _is_file(x)]
        bindings.append(f'{self._suite.environment}.game_name="{game}"')
        bindings += [f"Runner.seed={seeds[0]}", f"Runner.num_seeds={len(seeds)}"]
        which = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        name = "/".join([*(label for label, _ in picked), game, which])
        return Cell(name, tuple(files), tuple(bindings))

    def cell(self, name: str) -> Cell:
        """The cell called `name`.

        Raises:
            ConfigError: there is none; names the nearest.
        """
        if not self.axes:
            advice = "add one, as --gin_files=experiments/figure_1.gin"
            raise ConfigError(f"--cell={name}: there is no grid; {advice}")
        cells = {cell.name: cell for cell in self.cells()}
        if name not in cells:
            made = f"with Grid.seeds_per_cell={self.seeds_per_cell}"
            raise ConfigError(f"--cell={name}: no such cell {made}; {nearest(name, cells)}")
        return cells[name]
