"""What makes returns of different games comparable in a report: a person, an expert, or an arm."""

from collections.abc import Callable, Collection

import numpy as np

from prune_rl.environments.reference_scores import reference_scores
from prune_rl.errors import ConfigError, nearest
from prune_rl.reporting.normalized import expert_normalized, human_scores, normalize, units_of
from prune_rl.reporting.runs import Floats
from prune_rl.reporting.study import D4RL, HUMAN, Arm, Scale, Study, is_dense


def choose_scale(study: Study, asked: str | None) -> Scale:
    """The scale `asked` for: `HUMAN`, `D4RL`, or the name of an arm, whose mean is 1 in every game.

    By default a person's where one has played any of the games, else D4RL's where the study has
    references of any, else that of the first arm that can be one: of those that lack the fewest of
    the scored games, dense and narrow ones first; raw returns if none can. Games that it has no
    scale for are left out, and named in its note.

    Raises:
        ConfigError: there is no such arm, no run of it has finished, its mean on a game is not
            above 0; or no game has a human score, or none references.
    """
    if asked == HUMAN:
        return _human(study)
    if asked == D4RL:
        return _d4rl(study)
    if asked:
        _require_scored(study, asked)
        return _of_arm(study, asked)
    if any(game in human_scores() for game in study.games):
        return _human(study)
    if any(study.references(game) for game in study.games):
        return _d4rl(study)
    return next(filter(None, (_tried(study, arm) for arm in _candidates(study))), study.scale)


def _human(study: Study) -> Scale:
    known = [game for game in study.games if game in human_scores()]
    note = "score: 0 random, 1 human", ": nobody's is known"
    return _of_players(study, known, normalize, "human-normalised score", note, HUMAN)


def _d4rl(study: Study) -> Scale:
    references = {game: study.references(game) for game in study.games}
    known = [game for game, own in references.items() if own]
    brought = [game for game in known if references[game] != reference_scores(game)]
    whose = f"D4RL; of {', '.join(brought)} the data's own" if brought else "D4RL"
    note = f"score: 0 random, 100 expert ({whose})", ": no reference is known"

    def scored(game: str, returns: Floats) -> Floats:
        return expert_normalized(game, returns, references[game])

    scale = _of_players(study, known, scored, "D4RL-normalised score", note, D4RL)
    return scale._replace(best=100.0)


def _of_players(
    study: Study,
    known: Collection[str],
    normalized: Callable[[str, Floats], Floats],
    label: str,
    note: tuple[str, str],
    kind: str,
) -> Scale:
    """That of the games `known`; the note is what scores are, and why others have none."""
    lacking = [game for game in study.games if game not in known]
    if not known:
        normalized(lacking[0], np.zeros(1))  # says which games have one

    def scored(game: str, returns: Floats) -> Floats:
        return np.full_like(returns, np.nan) if game in lacking else normalized(game, returns)

    without = f", without {', '.join(lacking)}{note[1]}" if lacking else ""
    return Scale(label, f"{note[0]}{without}", scored, kind)


def _require_scored(study: Study, asked: str) -> None:
    names = [arm.name for arm in study.arms]
    if asked not in names:
        raise ConfigError(
            f"--normalize={asked}: no such arm; {nearest(asked, [HUMAN, D4RL, *names])}"
        )
    if asked not in {score.arm for score in study.scores}:
        raise ConfigError(f"--normalize={asked}: no run of it has finished (--unfinished)")


def _candidates(study: Study) -> list[str]:
    scored = {score.arm for score in study.scores}
    arms = [arm for arm in study.arms if arm.name in scored]

    def last(arm: Arm) -> tuple[int, bool]:
        return len(_lacking(study, arm.name)), not is_dense(arm.settings)

    return [arm.name for arm in sorted(arms, key=last)]


def _lacking(study: Study, arm: str) -> list[str]:
    """The games that others have scores on."""
    own = {score.game for score in study.scores if score.arm == arm}
    return sorted({score.game for score in study.scores} - own)


def _tried(study: Study, arm: str) -> Scale | None:
    try:
        return _of_arm(study, arm)
    except ConfigError:  # a mean of 0 or less on some game
        return None


def _of_arm(study: Study, arm: str) -> Scale:
    units, lacking = units_of(study.scores, arm), _lacking(study, arm)

    def scored(game: str, returns: Floats) -> Floats:
        return returns / units.get(game, np.nan)

    without = f", without {', '.join(lacking)}: it has none there" if lacking else ""
    return Scale("score", f"score: return / mean final return of {arm}{without}", scored, "arm")
