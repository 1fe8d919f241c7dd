"""Learning curves by what is drawn, and the numbers beside them."""

import csv
import json

import numpy as np
import pytest
from matplotlib.colors import to_hex

from prune_rl.errors import ConfigError
from prune_rl.reporting import curves, runs
from prune_rl.reporting.runs import Run
from prune_rl.reporting.style import PALETTE

from .trees import write_run

_NAN = np.nan
_STEPS = [100, 250, 300]
# Skewed, so that a median is no mean; nobody has ended an episode at first, one seed not yet.
_EVAL = [[_NAN, 1, 2], [_NAN, 2, 30], [_NAN, 40, 5], [_NAN, _NAN, 9]]
_TRAIN = [[3, 1, 7], [5, 2, 1], [50, 9, 1], [1, 1, 90]]
_SPARSITY = [[0, 0.5, 0.9], [0, 0.5, 0.9], [0, 0.75, 0.9], [0, 0.5, 0.9]]
_PHASES = {
    "train": {"episode_return_mean": _TRAIN, "sparsity": _SPARSITY},
    "eval": {"episode_return_mean": _EVAL, "sparsity": np.ones((4, 3))},
}
_FEW = {phase: {k: v[:2] for k, v in fields.items()} for phase, fields in _PHASES.items()}

_COLUMNS = ["run", "seed", "iteration", "phase", "agent_steps", "gradient_steps", "frames"]
_COLUMNS += ["episode_return_mean", "num_episodes", "sparsity"]
_LATER_COLUMNS = ["normalized_score", "episode_length_mean", "epsilon", "loss", "grad_norm"]
_LATER_COLUMNS += ["q_mean", "entropy", "alpha"]
_LATER_COLUMNS += ["agent_steps_per_second", "gradient_steps_per_second"]


@pytest.fixture
def two_runs(tmp_path, write_values):
    """Four seeds called dense, two of the same called pruned."""
    dense = write_values(tmp_path / "dense", _STEPS, _PHASES)
    pruned = write_values(tmp_path / "pruned", _STEPS, _FEW)
    return [Run(dense, "dense"), Run(pruned, "pruned")]


def _thin(axes, color):
    return [x for x in axes.lines if to_hex(x.get_color()) == to_hex(color)][:-1]


def test_lines_are_means_over_seeds_and_thin_lines_the_seeds(two_runs, line_called, mean_of):
    returns, _ = curves.draw(two_runs).axes
    for label, values in (("dense (4 seeds)", _EVAL), ("pruned (2 seeds)", _EVAL[:2])):
        line = line_called(returns, label)
        np.testing.assert_array_equal(line.get_xdata(), _STEPS)
        np.testing.assert_allclose(line.get_ydata(), mean_of(values))
        thin = _thin(returns, line.get_color())
        assert [x.get_xdata().tolist() for x in thin] == [_STEPS] * len(values)
        np.testing.assert_array_equal([x.get_ydata() for x in thin], values)
        assert all(x.get_linewidth() < line.get_linewidth() and x.get_alpha() < 1 for x in thin)


def test_the_band_is_the_interval_and_drawn_from_three_seeds_on(
    two_runs, line_called, band_of_color, interval_of
):
    returns, _ = curves.draw(two_runs).axes
    band = band_of_color(returns, line_called(returns, "dense (4 seeds)").get_color())
    nobody, *expected = interval_of(_EVAL)
    assert nobody is None
    assert sorted(band) == _STEPS[1:]
    np.testing.assert_allclose([band[x] for x in _STEPS[1:]], expected)
    assert len(returns.collections) == 1


def test_three_seeds_have_a_band(tmp_path, write_values, band_of_color, interval_of):
    three = write_values(tmp_path / "x", _STEPS, {"train": {"episode_return_mean": _TRAIN[:3]}})
    returns, _ = curves.draw([Run(three)]).axes
    band = band_of_color(returns, PALETTE[0])
    np.testing.assert_allclose([band[x] for x in _STEPS], interval_of(_TRAIN[:3]))


def test_sparsity_is_that_of_training_on_the_whole_scale(two_runs, mean_of):
    returns, sparsity = curves.draw(two_runs).axes
    dense, pruned = sparsity.lines
    np.testing.assert_array_equal(dense.get_xdata(), _STEPS)
    np.testing.assert_allclose(dense.get_ydata(), mean_of(_SPARSITY))
    np.testing.assert_allclose(pruned.get_ydata(), mean_of(_SPARSITY[:2]))
    low, high = sparsity.get_ylim()
    assert -0.1 < low < 0
    assert 1 < high < 1.1
    legend = {x.get_label(): to_hex(x.get_color()) for x in returns.get_legend().get_lines()}
    assert legend == {
        "dense (4 seeds)": to_hex(dense.get_color()),
        "pruned (2 seeds)": to_hex(pruned.get_color()),
    }


@pytest.mark.parametrize("count", [2, 12])
def test_every_run_has_a_colour_of_its_own_and_the_same_in_both_panels(
    tmp_path, write_values, count
):
    one = {"train": {"episode_return_mean": [[1.0]], "sparsity": [[0.0]]}}
    many = [Run(write_values(tmp_path / f"{i}", [10], one), f"{i}") for i in range(count)]
    returns, sparsity = curves.draw(many).axes
    means = [line for line in returns.lines if line.get_label().endswith(" (1 seed)")]
    assert [line.get_label() for line in means] == [f"{i} (1 seed)" for i in range(count)]
    colors = [to_hex(line.get_color()) for line in means]
    assert len(set(colors)) == count
    assert [to_hex(line.get_color()) for line in sparsity.lines] == colors


def test_axes_say_what_they_show(two_runs):
    returns, sparsity = curves.draw(two_runs).axes
    assert returns.get_ylabel() == "episode return (evaluation)"
    assert (sparsity.get_xlabel(), sparsity.get_ylabel()) == ("agent steps per seed", "sparsity")
    assert curves.draw([Run(two_runs[0].directory)]).axes[0].get_legend() is None


def test_a_picture_says_what_its_band_is_and_begins_at_zero(tmp_path, two_runs, write_values):
    figure = curves.draw(two_runs)
    assert figure.get_suptitle() == "Returns and sparsity"
    note = figure._supxlabel.get_text().replace("\n", " ")
    assert note == (
        "line: mean; thin: seeds; band: 95 % bootstrap interval of the mean over seeds, from three "
        "seeds on"
    )
    assert figure.axes[0].get_ylim()[0] == 0
    falls = {"train": {"episode_return_mean": [[-20.0, -1, 3]], "sparsity": [[0.0] * 3]}}
    below = Run(write_values(tmp_path / "below", _STEPS, falls))
    assert curves.draw([below]).axes[0].get_ylim()[0] < -20


def test_a_picture_of_runs_with_settings_names_game_and_agent(tmp_path):
    runs = [Run(write_run(tmp_path / game, game=game), game) for game in ("breakout", "asterix")]
    assert curves.draw(runs[:1]).get_suptitle() == "breakout, dqn (minatar): returns and sparsity"
    both = curves.draw(runs).get_suptitle().replace("\n", " ")
    assert both == "breakout, asterix, dqn (minatar): returns and sparsity"


def test_training_returns_of_all_where_one_run_has_not_evaluated(
    tmp_path, two_runs, write_values, line_called, mean_of
):
    trained = write_values(tmp_path / "trained", _STEPS, {"train": _PHASES["train"]})
    asked_or_not = [
        curves.draw([two_runs[0], Run(trained, "trained")]),
        curves.draw([two_runs[0], Run(trained, "trained")], "train"),
        curves.draw([two_runs[0]], "train"),
    ]
    for figure in asked_or_not:
        assert figure.axes[0].get_ylabel() == "episode return (training)"
        line = line_called(figure.axes[0], "dense (4 seeds)")
        np.testing.assert_allclose(line.get_ydata(), mean_of(_TRAIN))


def test_a_run_without_the_phase_that_is_asked_for_is_one_line(
    tmp_path, two_runs, write_values, capsys
):
    trained = write_values(tmp_path / "trained", _STEPS, {"train": _PHASES["train"]})
    picture = tmp_path / "x.png"
    flags = [f"--run=a={two_runs[0].directory}", f"--run=b={trained}", f"--out={picture}"]
    assert curves.main([*flags, "--phase=eval"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(trained) in error
    assert str(two_runs[0].directory) not in error
    assert "Runner.evaluation_steps=" in error
    assert not picture.exists()
    assert curves.main([*flags, "--phase=train"]) == 0


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_two_runs(tmp_path, write_run):
    dense = write_run(tmp_path / "dense", phases=("train", "eval", "diagnostics"), missing=True)
    pruned = write_run(tmp_path / "pruned")
    picture, numbers = tmp_path / "compare.png", tmp_path / "compare.csv"
    arguments = [f"--run=dense={dense}", f"--run={pruned}", f"--out={picture}", f"--csv={numbers}"]
    assert curves.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "compare.png",
        "compare.csv",
    }
    with numbers.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 + 6
    assert rows[1] == {
        "run": "dense",
        "seed": "4",
        "iteration": "0",
        "phase": "eval",
        "agent_steps": "100",
        "gradient_steps": "25",
        "frames": "400",
        "episode_return_mean": "",
        "num_episodes": "2",
        "sparsity": "0.0",
        "clock": "agent_steps",
        **dict.fromkeys(_LATER_COLUMNS, ""),
    }
    header, *lines = numbers.read_text().splitlines()
    assert header == ",".join([*_COLUMNS, "clock", *_LATER_COLUMNS])
    assert lines[-1] == "pruned,5,1,train,200,50,800,51.0,2,0.5,agent_steps" + "," * len(
        _LATER_COLUMNS
    )


def test_numbers_of_training_and_of_single_networks_are_in_the_csv(tmp_path, write_values):
    losses = {"loss": [[0.5, _NAN]], "critic/loss": [[1, 2]], "actor/grad_norm": [[3, 4]]}
    dormant = {"srank": [[7, 7]], "critic/dormant": [[0.1, 0.2]], "critic/sparsity": [[0.5, 0.9]]}
    phases = {"train": losses, "diagnostics": dormant, "eval": {"episode_return_mean": [[1, 2]]}}
    both = [
        Run(write_values(tmp_path / "one", _STEPS, phases, offline=True), "one"),
        Run(write_values(tmp_path / "two", _STEPS, {"train": {"q_mean": [[5, 6]]}}), "two"),
    ]
    curves.write_csv(both, tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    networks = ["actor/grad_norm", "critic/loss", "critic/sparsity"]
    assert list(rows[0]) == [*_COLUMNS, "clock", *_LATER_COLUMNS, *networks]
    trained = {(row["run"], row["iteration"]): row for row in rows if row["phase"] == "train"}
    first, last = trained["one", "0"], trained["one", "1"]
    names = ("clock", "agent_steps", "gradient_steps", "loss", "critic/loss", "actor/grad_norm")
    assert [first[name] for name in names] == ["gradient_steps", "0", "100", "0.5", "1.0", "3.0"]
    assert [last[name] for name in names] == ["gradient_steps", "0", "250", "", "2.0", "4.0"]
    other = trained["two", "1"]
    assert [other[name] for name in (*names, "q_mean")] == [
        *("agent_steps", "250", "", "", "", ""),
        "6.0",
    ]


def test_evaluations_without_agent_steps_are_points_at_their_gradient_steps(
    tmp_path, write_values, line_called, mean_of
):
    run = Run(write_values(tmp_path / "run", _STEPS, _PHASES, offline=True), "offline")
    returns, sparsity = curves.draw([run]).axes
    line = line_called(returns, "offline (4 seeds)")
    np.testing.assert_array_equal(line.get_xdata(), _STEPS)
    np.testing.assert_allclose(line.get_ydata(), mean_of(_EVAL))
    np.testing.assert_array_equal(sparsity.lines[0].get_xdata(), _STEPS)
    assert sparsity.get_xlabel() == "gradient steps per seed"


def test_runs_of_different_clocks_in_one_picture_are_one_line(
    tmp_path, two_runs, write_values, capsys
):
    offline = write_values(tmp_path / "offline", _STEPS, _PHASES, offline=True)
    picture = tmp_path / "x.png"
    flags = [f"--run=a={two_runs[0].directory}", f"--run=b={offline}", f"--out={picture}"]
    assert curves.main(flags) == 2
    assert capsys.readouterr().err == (
        f"prune_rl.reporting.curves: --run={offline}: counts gradient steps, "
        f"{two_runs[0].directory} counts agent steps; expected runs of one clock in one picture\n"
    )
    assert not picture.exists()


@pytest.mark.parametrize("content", [None, ""])
def test_no_run_is_one_line(tmp_path, capsys, content):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    assert curves.main([f"--run={tmp_path}", f"--out={tmp_path / 'x.png'}"]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(ConfigError):
        runs.read_metrics(tmp_path)


def test_the_csv_has_the_speed_of_a_phase_from_the_file_of_its_own(tmp_path, write_run):
    run = write_run(tmp_path / "run", phases=("train", "eval"))
    times = [
        {"seed": seed, "iteration": 1, "phase": "train", "agent_steps_per_second": 100.0 + seed}
        for seed in (3, 4)
    ]
    lines = [json.dumps(row | {"clock": "agent_steps"}) + "\n" for row in times]
    (run / "timing.jsonl").write_text("".join(lines) + '{"seed": 5, "it')
    curves.write_csv([Run(run)], tmp_path / "x.csv")
    with (tmp_path / "x.csv").open() as file:
        rows = list(csv.DictReader(file))
    speeds = {
        (row["seed"], row["iteration"], row["phase"]): row["agent_steps_per_second"]
        for row in rows
        if row["agent_steps_per_second"]
    }
    assert speeds == {("3", "1", "train"): "103.0", ("4", "1", "train"): "104.0"}
    assert len(rows) == 12


def test_seeds_that_have_diverged_are_named_in_one_line(tmp_path, write_run, capsys):
    plain, run = write_run(tmp_path / "plain"), write_run(tmp_path / "run")
    rows = runs.read_metrics(run)
    since = {5: 1_234, 3: 50}
    for row in rows[-4:]:
        row |= {"diverged_at": since[row["seed"]]} if row["seed"] in since else {}
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = [f"--run={plain}", f"--run={run}", f"--out={tmp_path / 'x.png'}"]
    assert curves.main([*flags, f"--csv={tmp_path / 'x.csv'}"]) == 0
    assert capsys.readouterr().err == (
        f"{run}: diverged seeds: 3 (gradient step 50), 5 (gradient step 1,234); "
        "frozen since then, and in the means as they are\n"
    )
