"""What a video shows of a trained agent: each agent step, its values and its action."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from prune_rl.acting import overlay
from prune_rl.acting.lanes import Lanes, Look, Played
from prune_rl.acting.video_file import FRAMES_PER_SECOND, VideoFile
from prune_rl.environments.base import Drawable, Environment
from prune_rl.errors import ConfigError
from prune_rl.specs import Box

_HELD_SECONDS = 1  # the last frame of an episode, with what it came to
Frame = npt.NDArray[np.uint8]


class _Shot(NamedTuple):
    """What a frame shows besides how far the episode is."""

    picture: Frame
    bars: Sequence[overlay.Bar]
    told: str  # what the bars are of


class Film:
    """Shows each agent step of some lanes to a video; call it before the step.

    Args:
        video: to which frames are added.
        lanes: whose agent it is.

    Raises:
        ConfigError: their game cannot be drawn, or not on this machine.
    """

    def __init__(self, video: VideoFile, lanes: Lanes) -> None:
        _require_drawable(lanes.games[0])
        self._video, self._game = video, lanes.protocol.get("game", "")
        self._run = replace(lanes.run, scale=None)  # games show observations on it already
        self._shot: _Shot | None = None

    def __call__(self, look: Look) -> None:
        """One frame."""
        game = cast(Drawable, look.game)
        bars, told = self._bars(look, game.action_names)
        self._shot = _Shot(game.render(), bars, told)
        self._video.add(self._frame(self._shot, look.episode_return, look.length))

    def end(self, episode: Played) -> None:
        """The last picture again, for a second, with what the episode came to."""
        assert self._shot is not None
        last = self._frame(self._shot, episode.episode_return, episode.length)
        self._video.add(last, _HELD_SECONDS * FRAMES_PER_SECOND)

    def _frame(self, shot: _Shot, episode_return: float, length: int) -> Frame:
        lines = [
            self._game,
            f"score {episode_return:,.4g}",
            f"agent step {length:,}",
            f"sparsity {self._run.sparsity:.1%}",
            shot.told,
        ]
        return overlay.frame(shot.picture, lines, shot.bars)

    def _bars(self, look: Look, names: Sequence[str]) -> tuple[list[overlay.Bar], str]:
        """Of each action, and words for what they show."""
        run, values = self._run, self._run.values(look.observation)
        if isinstance(run.action_spec, Box):
            bars = overlay.of_box(names, look.action, run.action_spec.low, run.action_spec.high)
            return bars, "actions" if values is None else f"actions, Q {values:.4g}"
        if values is None:
            return overlay.of_values(names, np.eye(len(names))[look.action], int(look.action)), ""
        return overlay.of_values(names, values, int(look.action)), "Q values"


def _require_drawable(game: Environment) -> None:
    """Raises `ConfigError` if a game cannot be drawn, or not on this machine."""
    lacks = [name for name in ("action_names", "render") if not hasattr(game, name)]
    if lacks:
        problem = f"{type(game).__name__} cannot be drawn: it has no {' and no '.join(lacks)}"
        raise ConfigError(f"--video: {problem}, see prune_rl.environments.base.Drawable")
    cast(Drawable, game).render()
