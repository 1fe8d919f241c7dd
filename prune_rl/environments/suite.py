"""The set of games that a configuration is about."""

from dataclasses import dataclass
from typing import Annotated

import gin

from prune_rl.environments.games import OLDER, SUITES, hint
from prune_rl.errors import ConfigError, nearest
from prune_rl.settings import OneOf, checked


@gin.configurable
@checked
@dataclass(frozen=True)
class Suite:
    """A named set of games; without a name, every game is allowed.

    Raises:
      ConfigError: no suite has that name.
    """

    name: Annotated[str, OneOf(SUITES)] | None = None

    @property
    def games(self) -> tuple[str, ...]:
        """The suite's games in the paper's order; empty without a suite."""
        return SUITES[self.name] if self.name else ()

    @property
    def environment(self) -> str:
        """The gin name of what makes the suite's games."""
        kind = (self.name or "atari").partition("_")[0]
        return f"create_{kind}_environment"

    def check(self, binding: str, game: str | None, games: list[str]) -> str:
        """Returns `game` if it is one of `games` and of this suite.

        Raises:
          ConfigError: it is not, or it is None; names `binding` and the nearest valid game. One
            of an older version belongs to the suites of its newest.
        """
        example = (self.games or games)[0]
        if game is None:
            raise ConfigError(f"{binding}: not set; name a game, such as {binding}={example!r}")
        if game not in games:
            raise ConfigError(f"{binding}={game!r}: no such game; {hint(game, games)}")
        if self.games and OLDER.get(game, game) not in self.games:
            near = nearest(game, self.games)
            raise ConfigError(f"{binding}={game!r}: not in suite {self.name}; {near}")
        return game
