"""Answers the questions of README.md from the study's runs, by the rules written down there.

    python results/sparse_reg/answers.py runs/sparse_reg runs/sparse_reg_rivals \
      --out=results/sparse_reg

Writes answers.csv, a row for each claim, and scores.csv, one for each finished seed; prints both,
and which cells have not finished, or not begun.
"""

import sys
from collections.abc import Sequence

from prune_rl.reporting.answers import Answer, CellScores, Questions, Term, answer_study, contrast

_GRIDS = ("experiments/sparse_reg_here.gin", "experiments/sparse_reg_rivals_here.gin")
_COLUMNS = ("data", "agent", "samples", "network", "game")
_MARGIN = 2.0  # points of D4RL's scale
_GAME = "HalfCheetah-v5"
_AGENTS = ("bc", "td3_bc", "awac", "iql")
_RIVALS = ("dropout", "layer_norm", "spectral_norm", "weight_decay")


def main(argv: Sequence[str]) -> int:
    """Reads the runs, writes the answers; 2 if called wrong."""
    return answer_study(argv, __doc__, Questions(_GRIDS, _COLUMNS, _answers))


def _answers(scores: CellScores) -> list[Answer]:
    data = [own for own in ("expert", "medium") if any(cell[0] == own for cell in scores)]
    return [x for own in data for x in _of_data(scores, own)] + _of_rivals(scores)


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
