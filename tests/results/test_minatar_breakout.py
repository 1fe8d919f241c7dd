"""The numbers of results/minatar_breakout, from its own metrics.csv."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

_FOLDER = Path(__file__).parents[2] / "results" / "minatar_breakout"
# Plain letters for the signs of the text: "dense x1", "-13.6 %".
_PLAIN = str.maketrans({"\N{MULTIPLICATION SIGN}": "x", "\N{MINUS SIGN}": "-"})
_TEXT = (_FOLDER / "README.md").read_text().translate(_PLAIN)
_SPANS = {"last five": slice(15, 20), "all twenty": slice(0, 20)}


@pytest.fixture(scope="module")
def returns():
    """{run: (5 seeds, 20 evaluations)}."""
    lines = (_FOLDER / "metrics.csv").read_text().translate(_PLAIN).splitlines()
    rows = [row for row in csv.DictReader(lines) if row["phase"] == "eval"]
    found = {row["run"]: np.full((5, 20), np.nan) for row in rows}
    for row in rows:
        own = found[row["run"]]
        own[int(row["seed"]), int(row["iteration"])] = float(row["episode_return_mean"])
    return found


def test_the_table_holds_the_means(returns):
    table = re.findall(r"\| (\w+ x\d) \| ([\d.]+) .*? \| ([\d.]+) ", _TEXT)
    assert len(table) == 4
    for run, *means in table:
        assert means == [f"{returns[run][:, span].mean():.2f}" for span in _SPANS.values()]


def test_pruned_is_below_dense_by_what_the_text_says(returns):
    percents = [
        100 * (1 - returns[f"pruned x{width}"][:, span].mean() / dense[:, span].mean())
        for span in _SPANS.values()
        for width in (1, 4)
        for dense in [returns[f"dense x{width}"]]
    ]
    (said,) = re.findall(
        r"by ([\d.]+) % \(width 1\) and ([\d.]+) % \(width 4\) in the last\s+five evaluations, "
        r"by ([\d.]+) % and ([\d.]+) % over all",
        _TEXT,
    )
    assert list(said) == [f"{percent:.1f}" for percent in percents]


@pytest.mark.parametrize("width", [1, 4])
def test_the_interval_of_the_difference_is_welchs(returns, width):
    dense, pruned = (returns[f"{arm} x{width}"][:, 15:].mean(axis=1) for arm in ("dense", "pruned"))
    interval = stats.ttest_ind(pruned, dense, equal_var=False).confidence_interval(0.95)
    low, high = (100 * bound / dense.mean() for bound in interval)
    assert f"{low:.1f} % and +{high:.1f} %" in _TEXT
