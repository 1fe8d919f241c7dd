"""What the pictures of a report say of arms, games and runs, and how their files are named."""

import re
from collections.abc import Sequence

from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.trainings import FINISHED

BOOTSTRAP = "95 % stratified bootstrap interval, from three seeds on a game"
_NAMED = 4  # games and runs, before they are counted


def whose(group: Sequence[Arm]) -> str:
    """The agent and torso of a group: 'dqn (minatar)'."""
    own = group[0].settings
    return f"{own.agent} ({own.torso})" if own.torso else own.agent


def file_name(*words: str) -> str:
    """The stem of a file, of words that may hold anything."""
    return "_".join(re.sub(r"\W+", "_", word).strip("_").lower() for word in words if word)


def of_group(group: Sequence[Arm]) -> tuple[str, str]:
    return group[0].settings.agent, group[0].settings.torso


def left_out(study: Study) -> str:
    """Which runs the final statistics are without, in words; '' if none."""
    return _named("unfinished and left out", [own.name for own in study.left_out])


def unfinished(group: Sequence[Arm], game: str) -> str:
    """Which curves go only as far as their runs have come, in words; '' if none."""
    runs = [own for arm in group for own in arm.trainings if own.game == game]
    names = [f"{own.name} ({own.state})" for own in runs if own.state != FINISHED]
    return _named("not finished", names)


def _named(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; {what}: {', '.join(names[:_NAMED])}{more}" if names else ""


def games_in_words(games: Sequence[str]) -> str:
    """Their names if they are few, else how many."""
    return ", ".join(games) if len(games) <= _NAMED else f"{len(games)} games"
