"""Answers the questions of README.md from the study's runs, by the rules written down there.

    python results/continuous_control/answers.py runs/sac_pilot runs/sac_pilot_wide \
      --out=results/continuous_control

Writes answers.csv, a row for each claim, and scores.csv, one for each finished seed; prints both,
and which cells have not finished, or not begun.
"""

import sys
from collections.abc import Sequence

from prune_rl.reporting.answers import Answer, CellScores, Questions, answer_study, contrast

_GRIDS = ("experiments/sac_pilot.gin", "experiments/sac_pilot_wide.gin")
_COLUMNS = ("agent", "width", "arm", "game")
_MARGIN = 2.0  # points of D4RL's scale


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the answers; 2 if called wrong."""
    return answer_study(argv, __doc__, Questions(_GRIDS, _COLUMNS, _answers))


def _answers(scores: CellScores) -> list[Answer]:
    return [*_of_pruning(scores), _of_width(scores)]


def _cell(width: str, arm: str, game: str) -> tuple[str, ...]:
    return "sac", width, arm, game


def _of_pruning(scores: CellScores) -> list[Answer]:
    asked = (("1", "x1", "HalfCheetah-v5"), ("2", "x1", "Walker2d-v5"), ("3", "x3", "Walker2d-v5"))
    answers = []
    for number, width, game in asked:
        terms = [(1.0, [_cell(width, "95", game)]), (-1.0, [_cell(width, "dense", game)])]
        claim, quantity = f"pruned as good as dense, {game}, {width}", "95 - dense"
        answers.append(contrast(scores, f"{number}. {claim}", quantity, terms, _MARGIN))
        answers.append(contrast(scores, f"{number}b. pruned better", quantity, terms))
    return answers


def _of_width(scores: CellScores) -> Answer:
    """Of the seeds that width 3 has, too."""
    game = "Walker2d-v5"
    terms = [
        (factor, [_cell(width, arm, game)])
        for width, sign in (("x3", 1.0), ("x1", -1.0))
        for arm, factor in (("95", sign), ("dense", -sign))
    ]
    quantity = "(95 - dense) at x3 - (95 - dense) at x1"
    return contrast(scores, f"4. width helps pruned more, {game}", quantity, terms)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
