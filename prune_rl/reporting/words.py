"""What the pictures of a report say of arms, games and runs, and how their files are named."""

import re
from collections.abc import Sequence

from prune_rl.reporting.study import Arm, Study
from prune_rl.reporting.trainings import DIVERGED, FINAL

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


def unfinished(study: Study, arms: Sequence[Arm], games: Sequence[str]) -> str:
    """Which runs of the arms on the games have not finished, and what of them counts, in words.

    Behind them which arms have final scores of fewer games than these; '' if there is nothing.
    """
    runs = [own for arm in arms for own in arm.trainings if own.game in games]
    names = [f"{own.name} ({own.state})" for own in runs if own.state not in FINAL]
    counted = "not finished, in curves only" if study.left_out else "not finished"
    ended = [f"{x.name} ({x.iterations_done} of {x.num_iterations} iterations)" for x in runs]
    diverged = [words for x, words in zip(runs, ended, strict=True) if x.state == DIVERGED]
    said = named(counted, names) + named("diverged, counted with what they have", diverged)
    return said + named("scored on fewer games", _fewer(study, arms, games))


def of_scores(study: Study) -> str:
    """What scores are, and which statistics there are none of for lack of a scale."""
    missing = "no statistics over games but probabilities of improvement (--normalize)"
    return study.scale.note if study.adds_up else f"{study.scale.note}: {missing}"


def _fewer(study: Study, arms: Sequence[Arm], games: Sequence[str]) -> list[str]:
    scored = {arm.name: len(study.final(arm).keys() & games) for arm in arms}
    most = len(games)
    return [f"{name} ({count} of {most})" for name, count in scored.items() if 0 < count < most]


def named(what: str, names: Sequence[str]) -> str:
    """'; not finished: a, b', the first few of the names; '' if there are none."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; {what}: {', '.join(names[:_NAMED])}{more}" if names else ""


def games_in_words(games: Sequence[str]) -> str:
    """Their names if they are few, else how many."""
    return ", ".join(games) if len(games) <= _NAMED else f"{len(games)} games"
