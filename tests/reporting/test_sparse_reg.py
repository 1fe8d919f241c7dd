"""Sparse-Reg's tables and figures, of made-up runs whose numbers are known."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import paper_figures
from prune_rl.reporting.paper_figures import draw_figures, require_covered
from prune_rl.reporting.paper_tables import BETTER, PLAIN, WORSE
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.sparse_reg import SPARSE_REG
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .control_trees import ONCE, SPARSE, sparse, write_run

_GAMES = ("HalfCheetah-v5", "Walker2d-v5")
_LOSSES = ("probe_loss", "validation_loss")


def _study(root):
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    study.scale = choose_scale(study, None)
    return study


def _drawn(root, name):
    (picture,) = draw_figures(_study(root), [f"sparse_reg_{name}"])
    return picture


def _cells(picture):
    """Texts and colours of a table by row and column, as drawn."""
    (table,) = picture.figure.axes[0].tables
    drawn = {place: cell.get_text() for place, cell in table.get_celld().items()}
    text = {place: x.get_text() for place, x in drawn.items()}
    return {
        (text[i, -1], text[0, j]): (text[i, j], drawn[i, j].get_color())
        for i, j in drawn
        if i > 0 and j >= 0
    }


@pytest.fixture
def pairs(tmp_path):
    """IQL gains 500 of 5k samples, loses 200 of 100k; BC's seeds gain and lose."""
    for game in _GAMES:
        for samples, percent, gain in ((5_000, 95, 500.0), (100_000, 75, -200.0)):
            place, own = tmp_path / game / str(samples), {"game": game, "samples": samples}
            write_run(place / "dense", level=1000.0, **own)
            write_run(place / "sparse", level=1000.0 + gain, pruner=sparse(percent), **own)
    write_run(tmp_path / "bc/dense", agent="bc")
    for seed, gain in enumerate((-300.0, 300.0, 10.0)):
        own = {"agent": "bc", "seeds": [seed], "pruner": SPARSE}
        write_run(tmp_path / f"bc/sparse/{seed}", level=1000.0 + gain, **own)
    return tmp_path


def test_table_1_is_dense_to_sparse_with_the_interval_of_the_difference(pairs):
    picture = _drawn(pairs, "table_1")
    cells = _cells(picture)
    assert list(dict.fromkeys(row for row, _ in cells)) == [
        *("expert 5k, bc", "expert 5k, iql", "expert 100k, iql"),
    ]
    # Seeds return 1000, 1010, 1020: mean 1010, of the sample ± 10. No seed differs in its gain.
    few = "1,010 ± 10 → 1,510 ± 10\n+500 [+500, +500]"
    many = "1,010 ± 10 → 810 ± 10\n-200 [-200, -200]"
    for game in _GAMES:
        assert cells["expert 5k, iql", game] == (few, BETTER)
        assert cells["expert 100k, iql", game] == (many, WORSE)
    text, color = cells["expert 5k, bc", _GAMES[0]]
    assert text.startswith("1,010 ± 10 → 1,013 ± 305\n+3 [")
    assert color == PLAIN
    assert cells["expert 5k, bc", _GAMES[1]] == ("", PLAIN)


def test_table_1s_numbers_are_beside_it(pairs):
    picture = _drawn(pairs, "table_1")
    rows = {
        (row[2], row[1], row[3]): dict(zip(picture.header, row, strict=True))
        for row in picture.numbers
    }
    own = rows["bc", "5k", _GAMES[0]]
    assert own["dense"] == "bc mlp x1 expert 5k dense"
    assert own["sparse"] == "bc mlp x1 expert 5k global_snip 95% periodic 0-200,000"
    gains = [-300.0, 300.0, 10.0]
    assert own["gain"] == pytest.approx(np.mean(gains))
    assert (own["low"], own["high"]) == pytest.approx((-300, 300))  # all draws of one seed
    assert own["sparse_std"] == pytest.approx(np.std([700, 1310, 1030], ddof=1))
    assert (own["seeds"], own["data"]) == (3, "expert")
    assert "mean of a run's last quarter" in picture.caption


def test_seeds_that_one_side_lacks_are_not_compared(tmp_path):
    write_run(tmp_path / "dense", seeds=range(4))
    write_run(tmp_path / "sparse", seeds=range(1, 4), level=1100.0, pruner=SPARSE)
    picture = _drawn(tmp_path, "table_1")
    ((text, _),) = _cells(picture).values()
    assert text == "1,015 ± 13 → 1,120 ± 10\n+100 [+100, +100]"
    assert picture.numbers[0][6] == 3


def test_data_of_other_kinds_have_tables_of_their_own(tmp_path):
    mixture = {"Dataset.path": "[('a/expert', 2_500), ('a/medium_replay', 2_500)]"}
    for name, own in {"medium": {"data": "medium"}, "mixed": {"bindings": mixture}}.items():
        write_run(tmp_path / name / "dense", **own)
        write_run(tmp_path / name / "sparse", pruner=SPARSE, **own)
    assert [x for x, _ in _cells(_drawn(tmp_path, "table_4"))] == ["medium 5k, iql"]
    rows = [x for x, _ in _cells(_drawn(tmp_path, "table_5"))]
    assert rows == ["expert+medium-replay 5k, iql"]
    with pytest.raises(ConfigError, match="path ending in 'expert'"):
        require_covered(["sparse_reg_table_1"], [*draw_figures(_study(tmp_path))])


def test_table_2_has_smaller_dense_networks_beside_the_sparse_one(tmp_path):
    for units, level in ((256, 100.0), (64, 200.0), (128, 300.0)):
        own = {"bindings": {"MLPTorso.units": units}}
        write_run(tmp_path / f"dense_{units}", level=level, **own)
    write_run(tmp_path / "sparse", level=400.0, pruner=SPARSE)
    cells = _cells(_drawn(tmp_path, "table_2"))
    row = f"{_GAMES[0]}, expert 5k, iql"
    assert {x: text for x, (text, _) in cells.items()} == {
        (row, "dense, 256 units"): "110 ± 10",
        (row, "dense, 128 units"): "310 ± 10",
        (row, "dense, 64 units"): "210 ± 10",
        (row, "Sparse-Reg"): "410 ± 10",
    }
    (pair,) = _study(tmp_path).pairs()
    assert pair[1].settings.config["MLPTorso.units"] == "256"


def test_table_3_is_samples_by_sparsity(tmp_path):
    for samples in (5_000, 50_000):
        for percent in (99, 75, 20):
            own = {"samples": samples, "pruner": sparse(percent), "level": 10.0 * percent}
            write_run(tmp_path / f"{samples}/{percent}", **own)
    cells = {x: text for x, (text, _) in _cells(_drawn(tmp_path, "table_3")).items()}
    row = f"{_GAMES[0]}, expert 50k, iql"
    assert [column for own, column in cells if own == row] == ["99 %", "75 %", "20 %"]
    assert cells[row, "75 %"] == "760 ± 10"
    assert len(cells) == 6


def test_of_several_sparsities_a_pair_has_the_papers(tmp_path):
    for samples, percents in ((10_000, (95, 75)), (50_000, (95, 75))):
        write_run(tmp_path / f"{samples}/dense", samples=samples)
        for percent in percents:
            own = {"samples": samples, "pruner": sparse(percent)}
            write_run(tmp_path / f"{samples}/{percent}", **own)
    sides = {row[1]: row[5] for row in _drawn(tmp_path, "table_1").numbers}
    assert "95%" in sides["10k"]
    assert "75%" in sides["50k"]


def test_figure_2_has_a_bar_for_each_regulariser(tmp_path):
    rivals = {
        "dropout": {"MLPTorso.dropout": 0.1},
        "weight_decay": {"actor/create_optimizer.weight_decay": 0.01},
    }
    write_run(tmp_path / "dense", level=0.0)
    write_run(tmp_path / "sparse", level=500.0, pruner=SPARSE)
    for i, (name, bindings) in enumerate(rivals.items()):
        write_run(tmp_path / name, level=1000.0 * (i + 1), bindings=bindings)
    picture = _drawn(tmp_path, "figure_2")
    (axes,) = picture.figure.axes
    assert axes.get_title() == f"iql, expert 5k, {_GAMES[0]}"
    labels = [x.get_text() for x in axes.get_xticklabels()]
    assert labels == ["dense", "Sparse-Reg", "dropout", "weight_decay"]
    heights = [100 * (x + 10 + 280.178953) / 12415.178953 for x in (0, 500, 1000, 2000)]
    np.testing.assert_allclose([bar.get_height() for bar in axes.patches], heights)
    assert [row[2] for row in picture.numbers] == [3] * 4
    assert "100 expert (D4RL)" in picture.caption


def test_figure_3_is_the_score_over_robots_against_samples(pairs):
    picture = _drawn(pairs, "figure_3")
    (axes,) = picture.figure.axes
    assert [x.get_text() for x in axes.get_xticklabels()] == ["5k", "100k"]
    study, names = _study(pairs), [row[2] for row in picture.numbers]
    assert {row[1] for row in picture.numbers} == {"dense", "Sparse-Reg"}
    values = dict(zip(names, [row[4] for row in picture.numbers], strict=True))
    for arm in study.arms:
        if arm.settings.agent == "iql":
            assert values[arm.name] == pytest.approx(float(study.iqm(arm).value))
    assert not [*draw_figures(_study(pairs), ["sparse_reg_figure_7"])]


@pytest.fixture
def cloned(tmp_path):
    """Behaviour cloning of three numbers of samples on two robots, with losses."""
    for game in _GAMES:
        for samples in (5_000, 10_000, 50_000):
            own = {"agent": "bc", "game": game, "samples": samples, "losses": _LOSSES}
            write_run(tmp_path / f"{game}/{samples}/dense", **own)
            write_run(tmp_path / f"{game}/{samples}/sparse", level=3000.0, pruner=SPARSE, **own)
    return tmp_path


@pytest.mark.parametrize(("name", "samples"), [("figure_1", "5k 50k"), ("figure_10", "5k 10k 50k")])
def test_curves_of_cloning_are_by_robot_and_samples(cloned, line_called, name, samples):
    picture = _drawn(cloned, name)
    titles = [axes.get_title() for axes in picture.figure.axes]
    assert titles == [f"{game}, expert {x}" for game in _GAMES for x in samples.split()]
    for axes in picture.figure.axes:
        line = line_called(axes, "Sparse-Reg")
        assert line.get_xdata().tolist() == [1000 * t for t in range(1, 9)]
        np.testing.assert_allclose(line.get_ydata()[[0, -1]], [301, 3010])
        assert len(axes.collections) == 2  # bands, of three seeds each
    low, high = picture.numbers[-1][5:]
    assert 3000 <= low < high <= 3020


@pytest.mark.parametrize(("name", "loss"), [("figure_8", 0.1), ("figure_9", 0.2)])
def test_losses_on_samples_and_on_others_are_figures(cloned, line_called, name, loss):
    picture = _drawn(cloned, name)
    assert len(picture.figure.axes) == 6
    for axes in picture.figure.axes:
        line = line_called(axes, "dense")
        np.testing.assert_allclose(line.get_ydata(), loss + 0.01 * np.arange(8))
    label = picture.figure.axes[0].get_ylabel()
    assert label == ("loss on the probe" if loss == 0.1 else "validation loss")


def test_figure_4_has_return_and_losses_and_l1(tmp_path, line_called):
    own = {"agent": "bc", "samples": 50_000, "losses": [f"actor/{x}" for x in _LOSSES]}
    write_run(tmp_path / "dense", **own)
    write_run(tmp_path / "sparse", pruner=sparse(75), **own)
    write_run(tmp_path / "l1", bindings={"actor/create_optimizer.l1_penalty": 1e-5}, **own)
    picture = _drawn(tmp_path, "figure_4")
    returns, on_samples, on_others = picture.figure.axes
    for axes, first in ((returns, 101.0), (on_samples, 0.1), (on_others, 0.2)):
        for label in ("dense", "Sparse-Reg", "l1"):
            assert line_called(axes, label).get_ydata()[0] == pytest.approx(first)


def test_figure_5_has_the_actors_layers_and_returns(tmp_path, line_called):
    write_run(tmp_path / "dense")
    write_run(tmp_path / "once", pruner=ONCE, level=2000.0)
    write_run(tmp_path / "anew", pruner=SPARSE, level=3000.0)
    picture = _drawn(tmp_path, "figure_5")
    *layers, returns = picture.figure.axes
    titles = ["iql, expert 5k, made anew", "iql, expert 5k, made once"]
    assert sorted(axes.get_title() for axes in layers) == titles
    for axes in layers:
        line = line_called(axes, "actor/torso/Dense_0")
        np.testing.assert_allclose(line.get_ydata(), 0.5 + 0.01 * np.arange(8))
        assert {x.get_label() for x in axes.lines} == {"actor/torso/Dense_0", "actor/mean"}
    ends = {x: line_called(returns, x).get_ydata()[-1] for x in ("dense", "made once", "made anew")}
    assert ends == pytest.approx({"dense": 1010, "made once": 2010, "made anew": 3010})


def test_figure_6_has_a_line_for_each_sparsity(tmp_path, line_called):
    for samples in (5_000, 50_000):
        own = {"agent": "bc", "samples": samples}
        write_run(tmp_path / f"{samples}/dense", **own)
        for percent in (95, 75):
            write_run(tmp_path / f"{samples}/{percent}", pruner=sparse(percent), **own)
    picture = _drawn(tmp_path, "figure_6")
    assert len(picture.figure.axes) == 2
    for axes in picture.figure.axes:
        for label in ("dense", "95 %", "75 %"):
            line_called(axes, label)


def test_figures_that_runs_do_not_cover_say_what_they_need(tmp_path):
    write_run(tmp_path / "dense")
    assert not [*draw_figures(_study(tmp_path))]
    for name, figure in SPARSE_REG.items():
        with pytest.raises(ConfigError) as caught:
            require_covered([name], [])
        assert str(caught.value).startswith(f"--figure={name}: these runs do not cover it; ")
        assert figure.needs in str(caught.value)
    with pytest.raises(ConfigError, match="choose from 1, 2, 3"):
        paper_figures.require_known("sparse_reg_figure_11")


def test_runs_of_other_pruners_and_of_single_networks_are_no_sparse_reg(tmp_path):
    write_run(tmp_path / "dense")
    write_run(tmp_path / "once", pruner=ONCE)
    actor = {f"actor/create_updater_from_config.{x}": y for x, y in SPARSE.items()}
    critic = {"critic/create_updater_from_config.pruner_type": "'no_prune'"}
    write_run(tmp_path / "actor", bindings=actor | critic)
    drawn = [x.name for x in draw_figures(_study(tmp_path))]
    assert "sparse_reg_table_1" not in drawn
