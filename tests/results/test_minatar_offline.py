"""The numbers of results/minatar_offline, from its own metrics.csv."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from prune_rl.reporting.runs import bootstrap_interval

_FOLDER = Path(__file__).parents[2] / "results" / "minatar_offline"
_TEXT = (_FOLDER / "README.md").read_text().replace("\N{MINUS SIGN}", "-")
_SPANS = (slice(15, 20), slice(0, 20))


@pytest.fixture(scope="module")
def returns():
    """{run: (5 seeds, 20 evaluations)}."""
    with (_FOLDER / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["phase"] == "eval"]
    found = {row["run"]: np.full((5, 20), np.nan) for row in rows}
    for row in rows:
        own = found[row["run"]]
        own[int(row["seed"]), int(row["iteration"])] = float(row["episode_return_mean"])
    return found


def test_the_table_holds_means_and_intervals(returns):
    table = re.findall(r"\| (CQL\S* \w+) \| (\S+ \[.*?\]) \| (\S+ \[.*?\]) \|", _TEXT)
    assert {run for run, *_ in table} == set(returns)
    for run, *said in table:
        for span, own in zip(_SPANS, said, strict=True):
            means = returns[run][:, span].mean(axis=1)
            low, high = (float(x[0]) for x in bootstrap_interval(means[:, None]))
            assert own == f"{means.mean():.2f} [{low:.2f}, {high:.2f}]"


@pytest.mark.parametrize("agent", ["CQL", "CQL+C51"])
def test_the_difference_and_its_interval_are_welchs(returns, agent):
    dense, pruned = (
        returns[f"{agent} {x}"][:, _SPANS[0]].mean(axis=1) for x in ("dense", "pruned")
    )
    interval = stats.ttest_ind(pruned, dense, equal_var=False).confidence_interval(0.95)
    low, high = (100 * bound / dense.mean() for bound in interval)
    change = 100 * (pruned.mean() / dense.mean() - 1)
    assert f"| {agent} | {change:.1f} % | {low:.1f} % to {high:+.1f} % |" in _TEXT
