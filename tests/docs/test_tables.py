"""Tables of the pages count and name what there is."""

import configparser
import re

import numpy as np
import pytest

from prune_rl import configuration, train
from prune_rl.gin_files import shipped_gin_files
from prune_rl.grid import Grid
from prune_rl.pruning.methods import METHODS

from .pages import ROOT, TEXTS, blocks

_CHOICES = (ROOT / "gin_configs/experiments/README.md").read_text()
_GIN_FILE = (
    r"\b(?:agents|networks|pruning|plasticity|regularization|diagnostics|suites|experiments)"
    r"/\w+\.gin"
)
_OF_NONE = ("agents/mine.gin", "networks/mine.gin", "pruning/mine.gin", "pruning/magnitud.gin")
_INCLUDED = {"agents/atari.gin", "agents/atari_100k.gin", "agents/offline_control.gin"}
_NAMING = [text for text in TEXTS.values() if re.search(_GIN_FILE, text)]


def test_the_table_of_figures_counts_as_list_does():
    pattern = r"\| figure, as `experiments/figure_1.gin` \| what \| trainings \|\n(.*?)\n\n"
    (table,) = re.findall(pattern, TEXTS["docs/figures.md"], re.DOTALL)
    counted = {}
    for row in table.splitlines()[1:]:
        files, _, number = (part.strip() for part in row.strip("|").split(" | "))
        figures, _, other = files.partition(";")
        names = [f"experiments/figure_{x}.gin" for x in re.findall(r"\d+", figures) if x != "2"]
        names += re.findall(r"experiments/\w+\.gin", other)
        numbers = [int(x.replace(",", "")) for x in re.findall(r"\d[\d,]*\d", number)]
        if names:
            counted |= dict(zip(names, numbers * (len(names) // len(numbers)), strict=True))
    assert len(counted) == 17
    for name, number in counted.items():
        configuration.load([name], [])
        assert len(Grid()) == number, name


def test_the_table_of_sparse_reg_counts_as_list_does():
    pattern = r"\| grid \| what \| trainings of five seeds \|\n(.*?)\n\n"
    (table,) = re.findall(pattern, TEXTS["docs/figures.md"], re.DOTALL)
    counted = {}
    for row in table.splitlines()[1:]:
        files, _, number = (part.strip() for part in row.strip("|").split(" | "))
        names, numbers = re.findall(r"experiments/\w+\.gin", files), re.findall(r"\d+", number)
        counted |= dict(zip(names, numbers * (len(names) // len(numbers)), strict=True))
    of_the_paper = r"experiments/sparse_reg_(table|figure)_\d+\.gin"
    assert set(counted) == {x for x in shipped_gin_files() if re.fullmatch(of_the_paper, x)}
    for name, number in counted.items():
        configuration.load([name], [])
        assert (len(Grid()), Grid().seeds_per_cell) == (int(number), 5), name


def test_what_the_paper_leaves_open_is_said_for_every_figure():
    table = _CHOICES.split("## Figure by figure")[1]
    said = {
        number
        for row in re.findall(r"^\| (\d[\d, ]*) \|", table, re.M)
        for number in row.split(", ")
    }
    assert said == {str(number) for number in range(1, 18)}
    assert "`atari_100k.gin`" in table


@pytest.mark.parametrize("text", [*_NAMING, _CHOICES, train.parser().epilog])
def test_every_gin_file_that_is_named_exists(text):
    names = re.findall(_GIN_FILE, text)
    assert names
    for name in names:
        assert name in _OF_NONE or (ROOT / "gin_configs" / name).is_file(), name


@pytest.mark.parametrize("folder", ["agents", "pruning", "plasticity", "regularization"])
def test_every_gin_file_to_choose_from_is_named(folder):
    page = {"agents": "agents", "pruning": "prune"}.get(folder, "compare")
    files = {name for name in shipped_gin_files() if name.startswith(f"{folder}/")}
    named = set(re.findall(_GIN_FILE, TEXTS[f"docs/{page}.md"] + TEXTS["docs/compose.md"]))
    assert files - _INCLUDED - {"plasticity/none.gin", "regularization/none.gin"} <= named


def test_every_extra_has_a_row_and_every_row_an_extra():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    _, table = TEXTS["docs/install.md"].split("| --- | --- |\n", 1)
    table, *_ = table.split("\n\n", 1)
    rows = [re.findall(r"`(\w+)`", row.split(" | ")[0]) for row in table.splitlines()]
    assert sorted(name for row in rows for name in row) == sorted(setup["options.extras_require"])


@pytest.mark.parametrize("script", ["quickstart.sh", "run_tests.sh"])
def test_a_script_installs_extras_that_there_are(script):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    (extras,) = re.findall(r"pip install -q -e '\.\[(.*)\]'", (ROOT / script).read_text())
    assert set(extras.split(",")) <= set(setup["options.extras_require"])


def test_the_method_of_the_readme_prunes_what_it_says(monkeypatch):
    """In a dictionary of its own: others go on without it."""
    ((_, text),) = [part for part in blocks("README.md") if "register_score" in part[1]]
    monkeypatch.setattr("prune_rl.pruning.methods.METHODS", own := dict(METHODS))
    exec(compile(text, "README.md", "exec"), {})
    (name,) = set(own) - set(METHODS)
    score = own[name].score(np.array([-2.0, 1.0]), np.array([1.0, -3.0]), None)
    np.testing.assert_allclose(score, [2.0, 9.0])  # |w|, times the gradient squared
    assert f"create_updater_from_config.pruner_type = '{name}'" in TEXTS["README.md"]
