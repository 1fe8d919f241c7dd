"""The picture of the first page shows the numbers that the studies' tables have."""

import importlib.util
import re

import numpy as np
import pytest

from .pages import ROOT, TEXTS

_SPEC = importlib.util.spec_from_file_location("picture", ROOT / "docs/pictures/first_page.py")
_PICTURE = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_PICTURE)
_TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.fixture(scope="module")
def panels():
    """Its axes by what they show."""
    return {axes.get_ylabel(): axes for axes in _PICTURE.draw().axes}


def test_returns_end_where_the_table_says(panels):
    text = (ROOT / "results/minatar_breakout/README.md").read_text()
    table = dict(re.findall(rf"\| (\w+) {_TIMES}1 \| ([\d.]+) ", text))
    lines = panels["episode return"].lines
    means = [f"{np.mean(line.get_ydata()[-5:]):.2f}" for line in lines]
    assert means == [table["dense"], table["pruned"]]
    assert all(list(line.get_xdata()) == [10_000 * i for i in range(1, 21)] for line in lines)


def test_sparsity_goes_from_0_to_95_percent(panels):
    dense, pruned = (line.get_ydata() for line in panels["sparsity"].lines)
    assert not dense.any()
    assert pruned[0] == 0
    assert pruned[-1] == pytest.approx(0.95, abs=1e-3)


def test_scores_are_those_of_the_table(panels):
    text = (ROOT / "results/minatar_scaling/README.md").read_text()
    table = re.findall(rf"^\| ([\w% ]+) {_TIMES}([18]) \| ([\d.]+) \|", text, re.MULTILINE)
    said = {(name, width): float(score) for name, width, score in table}
    (scores,) = [axes for label, axes in panels.items() if label.startswith("score")]
    lines = [container.lines[0] for container in scores.containers]
    names = ("dense", "95 % gradual", "95 % static")
    for line, name in zip(lines, names, strict=True):
        drawn = dict(zip("18", line.get_ydata(), strict=True))
        for width, value in drawn.items():
            assert value == pytest.approx(said[name, width], abs=0.0051)


def test_the_caption_says_how_much_less(panels):
    dense, pruned = (np.mean(x.get_ydata()[-5:]) for x in panels["episode return"].lines)
    assert f"returns are {100 * (1 - pruned / dense):.0f} % less" in " ".join(
        TEXTS["README.md"].split()
    )
