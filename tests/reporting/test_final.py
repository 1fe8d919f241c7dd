"""Final performance by hand, and where it is drawn."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from prune_rl.reporting import final
from prune_rl.reporting.runs import Run, read_metrics

_STEPS = [10, 20, 30, 40, 50]  # the last quarter is the last two


def _ends_in(*last):
    """Returns (S, 5) whose last two have the means `last`, one a seed."""
    return [[900, 900, 900, 2 * value, 0] for value in last]


_METHODS = {
    "dense@1": _ends_in(1, 2, 30, 4),
    "dense@4": _ends_in(5, 5, 50, 6),
    "pruned@4": _ends_in(7, 70, 8),
    "pruned@16": _ends_in(9, 11),
}


@pytest.fixture
def methods(tmp_path, write_values):
    """Four runs that evaluated as `_METHODS` says; their training returns are 100 higher."""

    def write(label, values):
        phases = {
            "eval": {"episode_return_mean": values},
            "train": {"episode_return_mean": np.add(values, 100)},
        }
        return Run(write_values(tmp_path / label, _STEPS, phases), label)

    return [write(label, values) for label, values in _METHODS.items()]


@pytest.mark.parametrize(("length", "expected"), [(4, [3, 30]), (10, [8, 75]), (1, [0, 0])])
def test_the_last_quarter_of_the_iterations_counts(tmp_path, write_values, length, expected):
    """Of ten iterations the last three, 7 to 9; seed 8 ended no episode in the last."""
    returns = np.outer([1.0, 10.0], np.arange(length))
    returns[1, 9:] = np.nan
    phases = {"train": {"episode_return_mean": returns}}
    run = Run(write_values(tmp_path / "run", list(range(length)), phases), "a@4")
    point = final.final_performance(run, read_metrics(run.directory), "train")
    np.testing.assert_allclose(point.values, expected)
    assert (point.method, point.setting, point.seeds) == ("a", 4.0, [7, 8])


def test_evaluations_of_a_run_without_agent_steps_are_told_apart(tmp_path, write_values):
    """And it may stand beside one that has them: nothing here is drawn over steps."""
    offline = write_values(
        tmp_path / "offline",
        [5, 10, 15],
        {"eval": {"episode_return_mean": [[1, 2, 30], [4, 5, 60]]}},
        offline=True,
    )
    online = write_values(tmp_path / "b", [5, 10], {"eval": {"episode_return_mean": [[1, 7]]}})
    final.write_csv([Run(offline, "a@1"), Run(online, "b@1")], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[1:] == [
        "a,1.0,eval,7,30.0",
        "a,1.0,eval,8,60.0",
        "b,1.0,eval,7,7.0",
    ]


def test_the_number_of_a_label_follows_its_last_at(tmp_path, write_run):
    run = Run(write_run(tmp_path / "run"), "dqn@95@0.25")
    point = final.final_performance(run, read_metrics(run.directory), "train")
    assert (point.method, point.setting) == ("dqn@95", 0.25)


def _bars(axes):
    """{method: (x, mean, below, above, colour)} of the error bars, each (P,)."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container
        segments = np.array([path.vertices for path in bars.get_paths()])  # (P, 2, 2), low first
        x, mean = line.get_data()
        has_bar = ~np.isnan(segments[:, 0, 0])
        np.testing.assert_array_equal(segments[has_bar, :, 0], np.stack([x, x], axis=1)[has_bar])
        below, above = mean - segments[:, 0, 1], segments[:, 1, 1] - mean
        found[container.get_label()] = (x, mean, below, above, to_hex(line.get_color()))
    return found


def test_points_are_means_over_seeds_with_their_intervals(methods, interval_of):
    (axes,) = final.draw(methods, "width").axes
    bars = _bars(axes)
    assert list(bars) == ["dense", "pruned"]
    assert bars["dense"][-1] != bars["pruned"][-1]
    np.testing.assert_allclose(bars["dense"][1], [37 / 4, 66 / 4])
    np.testing.assert_allclose(bars["pruned"][1], [85 / 3, 10])
    seeds = [(1, 2, 30, 4), (5, 5, 50, 6)]
    bounds = np.array([interval_of([[value] for value in own])[0] for own in seeds])
    np.testing.assert_allclose(bars["dense"][2], bars["dense"][1] - bounds[:, 0])
    np.testing.assert_allclose(bars["dense"][3], bounds[:, 1] - bars["dense"][1])
    ((low, high),) = interval_of([[7], [70], [8]])
    np.testing.assert_allclose(bars["pruned"][2], [85 / 3 - low, np.nan])  # two seeds have none
    np.testing.assert_allclose(bars["pruned"][3], [high - 85 / 3, np.nan])


def test_methods_stand_side_by_side_and_every_seed_is_a_dot(methods):
    (axes,) = final.draw(methods, "width").axes
    assert axes.get_xticks().tolist() == [0, 1, 2]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "4", "16"]
    bars = _bars(axes)
    places = {f"dense@{x}": place for x, place in zip((1, 4), bars["dense"][0], strict=True)}
    places |= {f"pruned@{x}": place for x, place in zip((4, 16), bars["pruned"][0], strict=True)}
    left = -0.35 / 2
    expected = {"dense@1": left, "dense@4": 1 + left, "pruned@4": 1 - left, "pruned@16": 2 - left}
    assert places == pytest.approx(expected)
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert len(dots) == len(_METHODS)
    for line, (label, values) in zip(dots, _METHODS.items(), strict=True):
        assert line.get_xdata().tolist() == [places[label]] * len(values)
        assert line.get_ydata().tolist() == [value / 2 for _, _, _, value, _ in values]
        assert to_hex(line.get_color()) == bars[label.split("@")[0]][-1]


def test_axes_and_legend_say_what_they_show(methods):
    (axes,) = final.draw(methods, "width").axes
    assert axes.get_xlabel() == "width"
    assert axes.get_ylabel() == "evaluation return, mean of the last quarter"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["dense", "pruned"]
    low, high = axes.get_xlim()
    assert low < -0.35
    assert high > 2.35
    assert final.draw(methods[:2], "width").axes[0].get_legend() is None


def test_the_picture_says_what_its_bars_are_and_begins_at_zero(methods):
    figure = final.draw(methods, "width")
    assert figure.get_suptitle() == "Final returns over width"
    note = figure._supxlabel.get_text().replace("\n", " ")
    assert note.startswith("large: mean over seeds; small: seeds; bar: 95 % bootstrap interval")
    assert figure.axes[0].get_ylim()[0] == 0


def test_settings_are_in_the_order_of_their_numbers(methods):
    (axes,) = final.draw(methods[::-1], "width").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "4", "16"]
    bars = _bars(axes)
    assert list(bars) == ["pruned", "dense"]
    assert np.round(bars["pruned"][0]).tolist() == [2, 1]  # 16 and 4, as the runs come
    np.testing.assert_allclose(bars["pruned"][1], [10, 85 / 3])


def test_what_a_command_asks_for_is_in_its_picture_and_its_numbers(tmp_path, methods):
    picture, numbers = tmp_path / "x.svg", tmp_path / "x.csv"
    flags = [f"--run=dense@1={methods[0].directory}", f"--out={picture}", f"--csv={numbers}"]
    with matplotlib.rc_context({"svg.fonttype": "none"}):  # words as words, not as outlines
        assert final.main([*flags, "--setting=width", "--phase=train"]) == 0
    assert ">width</text>" in picture.read_text()
    assert ">training return, mean of the last quarter</text>" in picture.read_text()
    assert numbers.read_text().splitlines()[1] == "dense,1.0,train,7,101.0"


def test_evaluation_and_training_are_not_mixed(tmp_path, methods, write_values, capsys):
    """Every run has training returns; one alone is no reason to draw those of the others."""
    phases = {"train": {"episode_return_mean": _ends_in(1, 1, 1)}}
    trained = write_values(tmp_path / "trained", _STEPS, phases)
    both = [methods[0], Run(trained, "trained@1")]
    for figure in (final.draw(both, "width"), final.draw(both, "width", "train")):
        (axes,) = figure.axes
        assert axes.get_ylabel() == "training return, mean of the last quarter"
        assert _bars(axes)["dense"][1] == pytest.approx([100 + 37 / 4])
    numbers, picture = tmp_path / "x.csv", tmp_path / "x.png"
    flags = [f"--run={run.label}={run.directory}" for run in both]
    flags += [f"--out={picture}", f"--csv={numbers}"]
    assert final.main([*flags, "--phase=eval"]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), str(trained) in error) == (1, True)
    assert str(methods[0].directory) not in error
    assert "Runner.evaluation_steps=" in error
    assert not picture.exists()
    assert final.main(flags) == 0
    assert numbers.read_text().splitlines()[1] == "dense,1.0,train,7,101.0"


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers(tmp_path, write_run):
    one, four = write_run(tmp_path / "one"), write_run(tmp_path / "four", missing=True)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense@1={one}", f"--run=dense@4={four}", f"--run=pruned@4={four}"]
    assert final.main([*arguments, f"--out={picture}", f"--csv={numbers}"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = numbers.read_text().splitlines()
    assert len(lines) == 1 + 9
    assert lines[0] == "method,setting,phase,seed,final_return"
    assert lines[1] == "dense,1.0,train,3,31.0"
    assert lines[-1] == "pruned,4.0,train,5,51.0"


@pytest.mark.parametrize("label", ["dense", "dense@wide", "@"])
def test_a_label_without_a_number_is_one_line(tmp_path, capsys, write_run, label):
    run = write_run(tmp_path / "run")
    assert final.main([f"--run={label}={run}", f"--out={tmp_path / 'x.png'}"]) == 2
    assert "expected METHOD@NUMBER=RUN" in capsys.readouterr().err
