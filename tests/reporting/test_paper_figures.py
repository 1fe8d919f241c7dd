"""The paper's figures: which runs cover them, and what is drawn of these."""

import numpy as np
import pytest

from prune_rl.errors import ConfigError
from prune_rl.reporting import paper_figures
from prune_rl.reporting.against import Reference
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .trees import DENSE, PRUNED, write_run, write_tree

_SPARSITIES = (0.5, 0.9, 0.95)
_REDO = {"bindings": {"Runner.interventions": "(@ReDo(),)"}}
_EARLY = {"bindings": {"q/create_updater_from_config.update_end_step": 800}}


def _both(**settings):
    return {f"{settings}/{own['pruner']}": {**settings, **own} for own in (DENSE, PRUNED)}


def _cells(*several):
    return {name: own for cells in several for name, own in cells.items()}


_IMPALA = {"agent": "dqn", "torso": "impala", "width": 3}
_DRQ = {"RainbowAgent.data_augmentation": True, "RainbowAgent.num_atoms": 1}
_WIDE = {"width": 3, "torso": "impala"}


def _widths(*agents, torso="impala", widths=(1, 3), ratios=(0.25,)):
    several = [(a, w, r) for a in agents for w in widths for r in ratios]
    return _cells(*(_both(agent=a, torso=torso, width=w, ratio=r) for a, w, r in several))


def _sparsities(**settings):
    pruned = {f"{x}": {**settings, "sparsity": x, "pruner": "magnitude"} for x in _SPARSITIES}
    return {"dense": settings, **pruned}


_TREES = {
    1: _widths("dqn", "rainbow"),
    3: _sparsities(**_IMPALA),
    4: _widths("dqn", torso="nature", widths=(1, 2)),
    5: _widths("rainbow", widths=(3,), ratios=(0.25, 1)),
    6: _widths("cql", widths=(1, 5)),
    8: _both(agent="rainbow", bindings=_DRQ, **_WIDE),
    10: _both(**_IMPALA) | {"early": {**_IMPALA, **PRUNED, **_EARLY}},
    11: _both(**_IMPALA, measured=True),
    12: _widths("dqn") | {f"redo{w}": {**_IMPALA, **_REDO, "width": w} for w in (1, 3)},
    13: _both(**_IMPALA, measured=True, matrices=True),
    14: _sparsities(torso="nature"),
    15: _sparsities(agent="rainbow", **_WIDE),
    16: _widths("dqn", ratios=(0.25, 1)),
}
# Beside figure 2, what else the runs of a figure are enough for.
_ALSO = {12: {1}, 13: {11}, 16: {1}}
_GAMES, _SEEDS = ("Pong", "Alien"), range(3)


def _study(root, scale=None):
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    study.scale = choose_scale(study, scale or study.arms[-1].name)
    return study


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Study and pictures of each figure's tree, drawn once."""
    found = {}

    def draw(number, reference=None, scale=None):
        if (number, reference, scale) not in found:
            root = tmp_path_factory.mktemp(f"figure_{number}")
            study = _study(write_tree(root, _TREES[number], games=_GAMES, seeds=_SEEDS), scale)
            study.reference = reference or Reference()
            pictures = {own.name: own for own in paper_figures.draw_figures(study)}
            found[number, reference, scale] = study, pictures
        return found[number, reference, scale]

    return draw


@pytest.mark.parametrize("number", _TREES)
def test_the_runs_of_a_figure_cover_it_and_no_other(drawn, number):
    _, pictures = drawn(number)
    expected = {f"figure_{x}" for x in (2, number, *_ALSO.get(number, ()))}
    assert set(pictures) == expected
    picture = pictures[f"figure_{number}"]
    assert picture.title.startswith(f"Figure {number}: ")
    assert "Alien, Pong" in picture.title
    assert picture.numbers
    assert {len(row) for row in picture.numbers} == {len(picture.header)}


def test_dense_runs_alone_cover_nothing(tmp_path):
    root = write_tree(tmp_path, {f"x{w}": {"width": w} for w in (1, 2)}, games=["Pong"], seeds=[0])
    study = _study(root)
    assert list(paper_figures.draw_figures(study)) == []
    with pytest.raises(ConfigError, match=r"--figure=12: .*; it needs dense and pruned runs of"):
        paper_figures.require_covered([12], [])


@pytest.mark.parametrize("number", [18, 61, "sparse_reg_figure_11"])
def test_a_figure_that_is_not_drawn_is_named(number):
    with pytest.raises(ConfigError, match=f"--figure={number}: not drawn here; "):
        paper_figures.require_known(number)


def _bars(axes):
    """{label: [(tick, middle, low, high)]} of error bars."""
    found = {}
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    for container in axes.containers:
        line, _, (bars,) = container
        ends = [(x[0][1], x[1][1]) for x in bars.get_segments()]
        places = zip(*line.get_data(), ends, strict=True)
        rows = [(ticks[round(x)], y, low, high) for x, y, (low, high) in places]
        found[container.get_label()] = rows
    return found


def test_figure_1_has_iqms_over_width_for_each_agent(drawn):
    study, pictures = drawn(1)
    dqn, rainbow = pictures["figure_1"].figure.axes
    assert (dqn.get_title(), rainbow.get_title()) == ("dqn", "rainbow")
    assert (dqn.get_xlabel(), dqn.get_ylabel()) == ("width", "IQM of score")
    named = {arm.name: study.iqm(arm) for arm in study.arms}
    bars = _bars(rainbow)
    assert list(bars) == ["dense", "magnitude 95%"]
    for label, rows in bars.items():
        assert [row[0] for row in rows] == ["×1", "×3"]  # noqa: RUF001
        for width, (_, *own) in zip((1, 3), rows, strict=True):
            np.testing.assert_allclose(own, named[f"rainbow impala x{width} {label}"])


def test_figure_3_has_curves_and_final_scores_over_sparsity(drawn, line_called):
    study, pictures = drawn(3)
    curves, final = pictures["figure_3"].figure.axes
    assert [line.get_label() for line in curves.lines] == [
        "dense",
        *(f"magnitude {x}%" for x in (50, 90, 95)),
    ]
    steps, found = study.iqm_curve(study.arms[0])
    line = line_called(curves, "dense")
    np.testing.assert_array_equal(line.get_xdata(), steps)
    np.testing.assert_allclose(line.get_ydata(), found.value)
    ((rows),) = _bars(final).values()
    assert [row[0] for row in rows] == ["dense", "50 %", "90 %", "95 %"]


def test_figure_3_of_minatar_says_so(tmp_path):
    study = _study(write_tree(tmp_path, _sparsities(torso="minatar"), seeds=[0]))
    (picture,) = paper_figures.draw_figures(study, [3])
    assert picture.title == "Figure 3: varying sparsity (minatar; asterix, breakout)"


def test_figure_2_is_the_schedule_of_the_settings_and_of_the_weights(drawn):
    _, pictures = drawn(10)
    (axes,) = pictures["figure_2"].figure.axes
    usual, counted, early, _ = axes.lines
    at = dict(zip(usual.get_xdata(), usual.get_ydata(), strict=True))
    assert (at[0], at[400], at[2000]) == (0, 0, 0.95)  # of 2,000 gradient steps from 400 to 1,600
    assert at[1000] == pytest.approx(0.95 * (1 - 0.5**3))
    assert dict(zip(*early.get_data(), strict=True))[800] == 0.95
    assert counted.get_linestyle() == "None"
    assert counted.get_ydata()[-1] == pytest.approx(0.95)


def test_figure_2_counts_the_weights_of_each_arm_for_itself(tmp_path):
    for width, done in ((1, 2), (3, 8)):
        write_run(tmp_path / str(width), width=width, done=done, **PRUNED)
    (own,) = paper_figures.draw_figures(_study(tmp_path), [2])
    counted = [arm for arm, what, *_ in own.numbers if what == "counted"]
    assert [sum(f" x{width} " in arm for arm in counted) for width in (1, 3)] == [2, 8]


def test_figure_5_and_16_are_over_replay_ratios(drawn):
    (axes,) = drawn(5)[1]["figure_5"].figure.axes
    assert axes.get_xlabel() == "replay ratio"
    assert [row[0] for row in _bars(axes)["dense"]] == ["0.25", "1"]
    panels = drawn(16)[1]["figure_16"].figure.axes
    assert [axes.get_title() for axes in panels] == ["dqn x1", "dqn x3"]


def test_figure_6_is_over_gradient_steps(drawn):
    panels = drawn(6)[1]["figure_6"].figure.axes
    assert [axes.get_title() for axes in panels] == ["cql x1", "cql x5"]
    assert {axes.get_xlabel() for axes in panels} == {"gradient steps per seed"}


def test_figure_7_is_of_many_games(tmp_path):
    games = [f"Game{i}" for i in range(16)]
    root = write_tree(tmp_path / "many", _both(**_IMPALA), games=games, seeds=[0])
    assert [x.name for x in paper_figures.draw_figures(_study(root), [7])] == ["figure_7"]
    few = write_tree(tmp_path / "few", _both(**_IMPALA), games=games[:15], seeds=[0])
    study = _study(few)
    assert not list(paper_figures.draw_figures(study, [7]))


def test_figure_11_has_a_row_for_each_game_and_a_column_for_each_quantity(drawn, line_called):
    axes = drawn(11)[1]["figure_11"].figure.axes
    assert len(axes) == 2 * 6
    assert [own.get_title() for own in axes[:6]] == [
        "episode return (training)",
        "Q-target variance",
        "parameter norm",
        "Q norm",
        "srank",
        "dormant units (fraction)",
    ]
    assert (axes[0].get_ylabel(), axes[6].get_ylabel()) == ("Alien", "Pong")
    values = line_called(axes[7], "dense").get_ydata()
    np.testing.assert_allclose(values, 4 + np.arange(8))  # width 3 and the mean of seeds 0 to 2


def test_figure_12_has_curves_at_a_width_and_final_scores_over_widths(drawn):
    curves, final = drawn(12)[1]["figure_12"].figure.axes
    labels = ["dense", "magnitude 95%", "redo"]
    assert [line.get_label() for line in curves.lines] == labels
    assert list(_bars(final)) == labels
    assert curves.get_title() == "dqn x3"


def test_figure_13_has_a_row_for_each_arm_and_maps_of_three_seeds_of_two_games(drawn):
    *maps, bar = drawn(13)[1]["figure_13"].figure.axes
    assert len(maps) == 2 * 6
    assert [axes.get_ylabel() for axes in maps[::6]] == ["dense", "magnitude 95%"]
    assert maps[3].get_title() == "Pong, seed 0\nat 8,000: mean |C| 0.50"
    assert np.ma.max(maps[6].images[0].get_array()) == pytest.approx(0.025)
    assert bar.get_ylabel() == "gradient correlation"


@pytest.mark.parametrize(("number", "what"), [(11, "analyses of dense and"), (13, "gradient")])
def test_figures_11_and_13_name_agent_and_width(drawn, number, what):
    title = drawn(13)[1][f"figure_{number}"].title
    assert title.startswith(f"Figure {number}: {what}")
    assert title.endswith("(dqn impala x3; Alien, Pong)")


def test_figure_13_names_the_step_of_each_map_and_what_has_not_finished(tmp_path):
    tree = write_tree(tmp_path, _TREES[13], games=["Pong"], seeds=range(2))
    own = {"game": "Pong", "measured": True, "matrices": True, **_IMPALA, **PRUNED}
    write_run(tmp_path / "short", seed=2, done=5, **own)
    (picture,) = paper_figures.draw_figures(_study(tree), [13])
    titles = [axes.get_title().partition(":")[0] for axes in picture.figure.axes]
    assert titles[:2] == ["Pong, seed 0\nat 8,000", "Pong, seed 1\nat 8,000"]
    assert "Pong, seed 2\nat 5,000" in titles
    assert "at the last measurement, at how many agent steps per seed" in picture.caption
    assert "not finished, in curves only: short (stopped)" in picture.caption
    assert [row[2:4] for row in picture.numbers[-3:]] == [(0, 8000), (1, 8000), (2, 5000)]


def test_the_papers_claims_stand_beside_ones_own_runs(drawn):
    study, pictures = drawn(3, Reference(paper=True), "human")
    _, final = pictures["figure_3"].figure.axes
    dense = float(study.iqm(study.arms[0]).value)
    stars = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in final.lines
        if line.get_marker() == "*"
    ]
    np.testing.assert_allclose(stars, [(2, 1.33 * dense), (3, 1.33 * dense)])  # 90 and 95 %
    assert "the paper says: dqn x3 90 %, gain over dense 0.33" in pictures["figure_3"].caption
    plain, said = drawn(3)[1]["figure_3"], drawn(3, Reference(paper=True))[1]["figure_3"]
    assert "the paper" not in plain.caption
    assert "the paper says: dqn x3 90 %" in said.caption  # another scale: in words only
    for own in (plain, said):
        assert not any(line.get_marker() == "*" for line in own.figure.axes[1].lines)


def test_the_papers_gains_over_widths_are_lines(drawn):
    study, pictures = drawn(1, Reference(paper=True), "human")
    dqn, _ = pictures["figure_1"].figure.axes
    (level,) = [line.get_ydata()[0] for line in dqn.lines if line.get_linestyle() == ":"]
    named = {arm.name: arm for arm in study.arms}
    assert level == pytest.approx(1.6 * float(study.iqm(named["dqn impala x1 dense"]).value))


def test_gains_are_drawn_over_the_width_that_they_are_stated_for(tmp_path):
    trees = {3: _sparsities(**_IMPALA | {"width": 2}), 1: _widths("dqn", widths=(2, 3))}
    for number, cells in trees.items():
        root = write_tree(tmp_path / str(number), cells, games=["Pong"], seeds=[0])
        study = _study(root, "human")
        study.reference = Reference(paper=True)
        (picture,) = paper_figures.draw_figures(study, [number])
        lines = [line for axes in picture.figure.axes for line in axes.lines]
        assert not any("paper" in str(line.get_label()) for line in lines)


def test_claims_of_agents_that_are_not_there_are_not_told(tmp_path):
    study = _study(write_tree(tmp_path, _widths("dqn"), games=["Pong"], seeds=[0]), "human")
    study.reference = Reference(paper=True)
    (picture,) = paper_figures.draw_figures(study, [1])
    assert "the paper says: dqn 95 %, gain over dense x1 0.6" in picture.caption
    assert "rainbow" not in picture.caption
