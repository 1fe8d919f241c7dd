"""The pictures of every report by what is drawn."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from prune_rl.reporting import layers, overview
from prune_rl.reporting.scales import choose_scale
from prune_rl.reporting.study import Study
from prune_rl.reporting.trainings import find_trainings

from .trees import DENSE, PRUNED, write_run, write_tree


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    cells = {f"x{x}/{y}": {"width": x, **own} for x in (1, 8) for y, own in _METHODS.items()}
    write_tree(root, cells, measured=True)
    write_run(root / "more", seed=3, width=8, done=5, returns=np.full(8, 9.0), **PRUNED)
    found = Study(find_trainings([root]), None, 0, unfinished=False)
    found.scale = choose_scale(found, None)
    return found


_METHODS = {"dense": DENSE, "95": PRUNED}


@pytest.fixture(scope="module")
def pictures(study):
    return {own.name: own for own in overview.overview(study, study.estimates())}


def test_there_is_every_picture_of_an_overview(pictures):
    assert set(pictures) == {
        "returns_asterix_dqn_minatar",
        "returns_breakout_dqn_minatar",
        "sample_efficiency_dqn_minatar",
        "profiles_dqn_minatar",
        "layers_sparsity_dqn_minatar",
        "layers_dormant_dqn_minatar",
        "aggregates",
        "probability_of_improvement",
    }


_STRATIFIED = "95 % stratified bootstrap interval, from three seeds on a game"
_BANDS = {  # what each kind of picture says of its own
    "returns": "; band: 95 % bootstrap interval of the mean over seeds, from three seeds on",
    "sample_efficiency": f"; band: {_STRATIFIED}",
    "profiles": f"; band: {_STRATIFIED}",
    "layers": "line: mean over games and seeds, without a band;",
    "aggregates": f"; bar: {_STRATIFIED}",
    "probability": f"; bar: {_STRATIFIED}",
}


def test_every_picture_stands_alone(pictures):
    """Title, words on its band, labels, numbers; nothing lies outside of it."""
    for name, own in pictures.items():
        figure = own.figure
        assert figure.get_suptitle().replace("\n", " ") == own.title, name
        (words,) = [words for start, words in _BANDS.items() if name.startswith(start)]
        assert words in own.caption, name
        note = figure._supxlabel.get_text().replace("\n", " ")
        assert note == own.caption.removesuffix("."), name
        assert any(axes.get_xlabel() or axes.get_title() for axes in figure.axes), name
        assert own.numbers, name
        assert {len(row) for row in own.numbers} == {len(own.header)}, name
        assert "breakout" in own.title or "asterix" in own.title, name


def test_words_do_not_cover_one_another(pictures):
    for name, own in pictures.items():
        figure = own.figure
        figure.draw_without_rendering()
        boxes = [figure._suptitle.get_window_extent(), figure._supxlabel.get_window_extent()]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        boxes += [axes.bbox for axes in figure.axes if axes.get_visible()]
        for i, one in enumerate(boxes):
            assert one.x0 >= -1, name
            assert one.x1 <= figure.bbox.width + 1, name
            for other in boxes[:i]:
                assert not one.overlaps(other), name


def test_returns_have_a_panel_for_each_width_and_their_intervals(
    pictures, line_called, interval_of
):
    own = pictures["returns_breakout_dqn_minatar"]
    assert own.title == "breakout: dqn (minatar), returns"
    small, large = own.figure.axes
    assert [axes.get_title() for axes in (small, large)] == ["x1 (3 seeds)", "x8 (3-4 seeds)"]
    assert small.get_ylabel() == "episode return (training)"
    assert small.get_xlabel() == "agent steps per seed"
    line = line_called(small, "dense")
    np.testing.assert_array_equal(line.get_xdata(), 1000 * np.arange(1, 9))
    assert line.get_ydata()[-1] == pytest.approx(1.21)
    assert len(small.collections) == len(large.collections) == 2  # bands
    assert to_hex(line.get_color()) == to_hex(line_called(large, "dense").get_color())
    assert line_called(large, "magnitude 95%").get_ydata()[:5] == pytest.approx(
        [(3 * 1.1 * 1.8 * 4 / 3 * min(1, (i + 1) / 4) + 9) / 4 for i in range(5)]
    )
    arm, seeds, steps, mean, low, high = own.numbers[7]
    assert (arm, seeds, steps) == ("dqn minatar x1 dense", 3, 8000)
    ((expected_low, expected_high),) = interval_of([[1.1], [1.21], [1.32]])
    assert (mean, low, high) == pytest.approx((1.21, expected_low, expected_high))


def test_a_line_is_dotted_where_some_of_its_runs_have_ended(pictures, line_called):
    for name in ("returns_breakout_dqn_minatar", "sample_efficiency_dqn_minatar"):
        own = pictures[name]
        small, large = own.figure.axes
        assert all(line.get_linestyle() == "-" for line in small.lines)
        (rest,) = [line for line in large.lines if line.get_linestyle() == ":"]
        whole = line_called(large, "magnitude 95%")
        assert whole.get_xdata()[-1] == rest.get_xdata()[0] == 5000
        assert rest.get_xdata()[-1] == 8000
        assert rest.get_color() == whole.get_color()
        assert "; dotted: of those that are left" in own.caption
    assert "dotted" not in pictures["returns_asterix_dqn_minatar"].caption


def test_what_has_not_finished_is_named(pictures):
    for name, own in pictures.items():
        said = "not finished, in curves only: more (stopped)" in own.caption
        assert said == (name not in _WITHOUT), name


_WITHOUT = {"returns_asterix_dqn_minatar"}  # whose runs have all finished


def test_arms_of_fewer_games_are_named(tmp_path):
    root = write_tree(tmp_path, {"dense": DENSE})
    write_tree(root, {"95": PRUNED}, games=["breakout"])
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    study.scale = choose_scale(study, None)
    picture = overview.draw_aggregates(study, study.estimates())
    assert "scored on fewer games: dqn minatar x1 magnitude 95% (1 of 2)" in picture.caption


def test_y_begins_at_zero_unless_returns_are_negative(tmp_path, pictures):
    for axes in pictures["returns_breakout_dqn_minatar"].figure.axes:
        assert axes.get_ylim()[0] == 0
        assert 7.4 < axes.get_ylim()[1] < 8  # where the unfinished run lifts the mean
    root = write_tree(tmp_path, {"x": {"returns": np.linspace(-21, 5, 8)}}, games=["Pong"])
    study = Study(find_trainings([root]), None, 0, unfinished=False)
    (axes,) = overview.draw_returns(study, study.arms, "Pong").figure.axes
    assert axes.get_ylim()[0] < -21


def test_aggregates_have_rliables_four_panels(study, pictures):
    axes = pictures["aggregates"].figure.axes
    titles = ["median", "IQM", "mean", "optimality gap, below is better"]
    assert [own.get_title() for own in axes] == titles
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [x.name for x in study.arms]
    found = {own.arm: own for own in study.estimates() if own.statistic == "iqm"}
    for bar, line, arm in zip(axes[1].patches, axes[1].collections, study.arms, strict=True):
        own = found[arm.name]
        assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx((own.low, own.high))
        assert line.get_segments()[0][0][0] == own.value
    assert axes[1].get_xlim()[0] == 0


def test_improvement_is_on_the_dense_network_of_the_same_width(study, pictures):
    (axes,) = pictures["probability_of_improvement"].figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["dqn minatar x1 magnitude 95%", "dqn minatar x8 magnitude 95%"]
    assert axes.get_xlim() == (-0.02, 1.02)
    assert axes.lines[0].get_xdata() == [0.5, 0.5]
    rows = pictures["probability_of_improvement"].numbers
    assert [row[0].partition(" > ")[2] for row in rows] == [
        "dqn minatar x1 dense",
        "dqn minatar x8 dense",
    ]


def test_profiles_fall_from_one_to_nothing(pictures, line_called):
    small, _ = pictures["profiles_dqn_minatar"].figure.axes
    values = line_called(small, "dense").get_ydata()
    assert (values[0], values[-1]) == (1, 0)
    assert (np.diff(values) <= 0).all()
    assert small.get_xlabel() == "score (τ)"


def test_profiles_of_scores_below_zero_fall_to_nothing_too(tmp_path, line_called):
    for seed in range(3):
        write_run(tmp_path / str(seed), seed=seed, returns=np.full(8, -5.0 - seed))
    own = overview.draw_profiles(below := _unscaled(tmp_path), below.arms)
    line = line_called(own.figure.axes[0], "dense")
    assert (line.get_ydata()[-1], line.get_xdata()[-1] > 0) == (0, True)


def _unscaled(root):
    return Study(find_trainings([root]), None, 0, unfinished=False)


def test_layers_are_means_of_their_own_rows(study, pictures, line_called):
    own = pictures["layers_sparsity_dqn_minatar"]
    titles = [axes.get_title() for axes in own.figure.axes]
    assert titles == ["x1 magnitude 95%", "x8 magnitude 95%"]  # dense ones have none
    line = line_called(own.figure.axes[0], "torso/Conv_0")
    assert line.get_ydata()[-1] == pytest.approx(0.475)
    dormant = pictures["layers_dormant_dqn_minatar"].figure.axes
    assert len(dormant) == 4
    assert line_called(dormant[0], "torso/Dense_0").get_ydata() == pytest.approx([0.2] * 8)
    assert layers.draw_layers(study, [study.arms[0]], "sparsity_by_layer") is None


def test_layers_of_several_networks_go_by_their_names(tmp_path, study):
    arm = study.arms[0]
    rows = [
        {"phase": "train", "agent_steps": 5, "critic/sparsity_by_layer": {"a": value}, "seed": i}
        for i, value in enumerate((0.25, 0.75, None))
    ]
    training = arm.settings.__class__(**{**vars(arm.settings), "rows": rows})
    found = layers.layer_means(study, arm._replace(trainings=(training,)), "sparsity_by_layer")
    assert found == {"critic/a": ([5], [0.5])}
