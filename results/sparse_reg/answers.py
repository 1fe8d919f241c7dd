"""Answers the questions of README.md from the study's runs, by the rules written down there.

    python results/sparse_reg/answers.py runs/sparse_reg runs/sparse_reg_rivals \
      --out=results/sparse_reg

Writes answers.csv, a row for each claim, and scores.csv, one for each finished seed; prints both,
and which cells have not finished.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from prune_rl.errors import ConfigError
from prune_rl.reporting.answers import Answer, CellScores, Term, contrast, read_cells, say
from prune_rl.reporting.runs import write_rows

_DEPTH, _MARGIN = 5, 2.0  # parts of a cell's name; points of D4RL's scale
_GAME = "HalfCheetah-v5"
_AGENTS = ("bc", "td3_bc", "awac", "iql")
_RIVALS = ("dropout", "layer_norm", "spectral_norm", "weight_decay")
_COLUMNS = ("data", "agent", "samples", "network", "game", "seed", "score")


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
    data = [own for own in ("expert", "medium") if any(cell[0] == own for cell in scores)]
    answers = [x for own in data for x in _of_data(scores, own)] + _of_rivals(scores)
    write_rows(flags.out / "answers.csv", Answer._fields, answers)
    rows = [(*cell, seed, x) for cell, own in sorted(scores.items()) for seed, x in own.items()]
    write_rows(flags.out / "scores.csv", _COLUMNS, rows)
    print(say(answers))
    return 0


def _gain(data: str, samples: str, agents: Sequence[str], sign: float = 1.0) -> list[Term]:
    """Sparse less dense, mean over agents."""
    sides = ((sign, "sparse"), (-sign, "dense"))
    return [(x, [(data, agent, samples, own, _GAME) for agent in agents]) for x, own in sides]


def _of_data(scores: CellScores, data: str) -> list[Answer]:
    few, many = _gain(data, "5k", _AGENTS), _gain(data, "100k", _AGENTS)
    less = _gain(data, "100k", _AGENTS, -1.0)
    own = "sparse - dense, mean of four agents"
    rows = [
        contrast(scores, f"1. sparse better, {data} 5k", own, few),
        contrast(scores, f"2. sparse as good, {data} 100k", own, many, _MARGIN),
        contrast(scores, f"3. sparsity helps few more, {data}", f"{own}: 5k - 100k", few + less),
    ]
    for samples in ("5k", "100k"):
        for agent in _AGENTS:
            claim, terms = f"{data} {samples}, {agent}", _gain(data, samples, [agent])
            claim = f"beside: sparse better, {claim}"
            rows.append(contrast(scores, claim, "sparse - dense", terms))
    return rows


def _of_rivals(scores: CellScores) -> list[Answer]:
    """IQL from 5,000 expert samples: Sparse-Reg less each of the others."""
    of_iql = ("expert", "iql", "5k")
    sparse = (*of_iql, "sparse", _GAME)
    return [
        contrast(
            scores,
            f"4. sparse better than {rival}, expert 5k, iql",
            f"sparse - {rival}",
            [(1.0, [sparse]), (-1.0, [(*of_iql, rival, _GAME)])],
        )
        for rival in _RIVALS
    ]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
