"""Answers the questions of README.md from the study's runs, by the rules written down there.

    python results/continuous_control/answers.py runs/sac_pilot runs/sac_pilot_wide \
      --out=results/continuous_control

Writes answers.csv, a row for each claim, and scores.csv, one for each finished seed; prints both,
and which cells have not finished.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prune_rl.errors import ConfigError
from prune_rl.reporting.answers import Answer, CellScores, contrast, read_cells, say
from prune_rl.reporting.runs import write_rows

_DEPTH, _MARGIN = 4, 2.0  # parts of a cell's name; points of D4RL's scale


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the answers; 2 if called wrong."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    flags = parser.parse_args(argv)
    try:
        scores, missing = read_cells(flags.runs, _DEPTH)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print("not finished:", *missing, sep="\n  ")
    answers = [*_of_pruning(scores), _of_width(scores)]
    write_rows(flags.out / "answers.csv", Answer._fields, answers)
    rows = [(*cell, seed, x) for cell, own in sorted(scores.items()) for seed, x in own.items()]
    write_rows(flags.out / "scores.csv", ("agent", "width", "arm", "game", "seed", "score"), rows)
    print(say(answers))
    return 0


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
