"""What makes returns of different games comparable: an arm's own, or a person's."""

import numpy as np

from prune_rl.errors import ConfigError, nearest
from prune_rl.reporting.runs import Floats
from prune_rl.reporting.study import Arm, Scale, Study, is_dense

HUMAN = "human"


def choose_scale(study: Study, asked: str | None) -> Scale:
    """The scale `asked` for: `HUMAN`, or the name of an arm, whose mean is 1 in every game.

    By default the first dense arm's, the narrowest.

    Raises:
        ConfigError: there is no such arm, or no run of it has finished.
    """
    named = {arm.name: arm for arm in study.arms}
    if asked and asked not in named:
        raise ConfigError(f"--normalize={asked}: no such arm; {nearest(asked, [HUMAN, *named])}")
    scored = {score.arm for score in study.scores}
    if asked and asked not in scored:
        raise ConfigError(f"--normalize={asked}: no run of it has finished (--unfinished)")
    return _of_arm(study, named[asked]) if asked else _by_default(study, scored)


def _by_default(study: Study, scored: set[str]) -> Scale:
    arms = [arm for arm in study.arms if arm.name in scored]
    dense = [arm for arm in arms if is_dense(arm.settings)]
    return _of_arm(study, (dense or arms)[0]) if arms else study.scale


def _of_arm(study: Study, arm: Arm) -> Scale:
    """Returns over the mean final score of the arm's seeds on the game, where that is above 0."""
    values: dict[str, list[float]] = {}
    for score in study.scores:
        if score.arm == arm.name:
            values.setdefault(score.game, []).append(score.value)
    units = {game: float(np.mean(own)) for game, own in values.items()}

    def normalize(game: str, returns: Floats) -> Floats:
        unit = units.get(game, 0.0)
        return returns / (unit if unit > 0 else np.nan)

    note = f"score: return / mean final return of {arm.name}"
    return Scale("score", note, normalize)
