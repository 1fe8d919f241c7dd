"""Small multiples of diagnostics by what is drawn, and their numbers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from prune_rl.errors import ConfigError
from prune_rl.reporting import diagnostics
from prune_rl.reporting.runs import Run

_PHASES = ("train", "diagnostics")
_STEPS = [100, 250]
_NAN = np.nan
# What a panel of each title shows: every quantity a run may log, each with numbers of its own.
_TITLES = {
    "q_target_variance": "Q-target variance",
    "q_variance": "Q variance",
    "parameter_norm": "parameter norm",
    "q_norm": "Q norm",
    "srank": "srank",
    "dormant": "dormant units (fraction)",
    "dead_units": "units cut off (fraction)",
    "gradient_correlation": "mean |gradient correlation|",
    "mask_churn": "mask bits changed (fraction)",
    "value_churn": "value churn",
    "policy_churn": "policy churn (fraction)",
    "probe_loss": "loss on the probe",
    "validation_loss": "validation loss",
    "probe_grad_norm": "gradient norm on the probe",
    "sparsity": "sparsity",
}


def _values(number):
    """Skewed values (3, 2) of a quantity that nothing else has."""
    return 100.0 * number + np.array([[1, 2], [3, 9], [20, 40]])


_MEASURED = {name: _values(i) for i, name in enumerate(_TITLES)}
_RETURNS = {"train": _values(50), "eval": _values(60)}


@pytest.fixture
def run(tmp_path, write_values):
    phases = {phase: {"episode_return_mean": x} for phase, x in _RETURNS.items()}
    # Sparsity of another phase than the measurement's must not get into its panel.
    phases["train"]["sparsity"] = _values(70)
    return write_values(tmp_path / "run", _STEPS, phases | {"diagnostics": _MEASURED})


def _panels(figure):
    return {axes.get_title(): axes for axes in figure.axes if axes.get_visible()}


def test_every_quantity_has_its_panel_with_mean_and_interval(
    run, line_called, mean_of, band_of_color, interval_of
):
    panels = _panels(diagnostics.draw([Run(run, "dense")], list(_TITLES)))
    assert list(panels) == list(_TITLES.values())
    for name, title in _TITLES.items():
        line = line_called(panels[title], "dense")
        assert line.get_xdata().tolist() == _STEPS
        np.testing.assert_allclose(line.get_ydata(), mean_of(_MEASURED[name]))
        band = band_of_color(panels[title], line.get_color())
        np.testing.assert_allclose([band[x] for x in _STEPS], interval_of(_MEASURED[name]))
        assert not panels[title].texts


def test_by_default_the_panels_of_figure_11(run, mean_of):
    figure = diagnostics.draw([Run(run, "dense")])
    names = ("q_target_variance", "parameter_norm", "q_norm", "srank", "dormant")
    expected = ["episode return (evaluation)", *(_TITLES[name] for name in names)]
    assert list(_panels(figure)) == expected
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), mean_of(_RETURNS["eval"]))
    for asked in ("train", "eval"):
        (axes,) = diagnostics.draw([Run(run, "dense")], ["episode_return_mean"], asked).axes
        np.testing.assert_allclose(axes.lines[0].get_ydata(), mean_of(_RETURNS[asked]))
        said = {"train": "training", "eval": "evaluation"}[asked]
        assert axes.get_title() == f"episode return ({said})"


def test_runs_have_colours_and_names_of_their_own(tmp_path, run, write_values):
    few = {name: values[:2] for name, values in _MEASURED.items()}
    phases = {"train": {"episode_return_mean": _RETURNS["train"][:2]}, "diagnostics": few}
    pruned = write_values(tmp_path / "pruned", _STEPS, phases)
    figure = diagnostics.draw([Run(run, "dense"), Run(pruned, "95 %")])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["dense", "95 %"]
    shown = [to_hex(line.get_color()) for line in legend.get_lines()]
    assert len(set(shown)) == 2
    for axes in figure.axes:
        assert [to_hex(line.get_color()) for line in axes.lines] == shown
        assert len(axes.collections) == 1  # two seeds have no band
    assert figure.axes[0].get_title() == "episode return (training)"
    assert [axes.get_xlabel() for axes in figure.axes[3:]] == ["agent steps per seed"] * 3


def test_the_picture_says_what_its_bands_are_and_panels_begin_at_zero(run):
    figure = diagnostics.draw([Run(run, "dense")])
    assert figure.get_suptitle() == "Diagnostics"
    assert figure._supxlabel.get_text().startswith("line: mean over seeds; band: 95 % bootstrap")
    assert {axes.get_ylim()[0] for axes in figure.axes} == {0}


def test_panels_that_are_not_needed_are_not_shown(run):
    figure = diagnostics.draw([Run(run, "dense")], ["srank", "q_norm", "dormant", "sparsity"])
    assert [axes.get_visible() for axes in figure.axes] == [True] * 4 + [False] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense"]


def test_a_panel_counts_what_is_missing(tmp_path, write_values, line_called):
    srank = [[_NAN, 1], [_NAN, 2], [_NAN, _NAN]]
    phases = {
        "train": {"episode_return_mean": np.ones((3, 2))},
        "diagnostics": {"srank": srank, "q_norm": np.ones((3, 2))},
    }
    one = write_values(tmp_path / "one", _STEPS, phases)
    two = write_values(tmp_path / "two", _STEPS, phases)
    figure = diagnostics.draw([Run(one, "a"), Run(two, "b")], ["srank", "q_norm"])
    srank, q_norm = figure.axes
    assert [text.get_text() for text in srank.texts] == ["8 missing or not finite"]
    np.testing.assert_array_equal(line_called(srank, "a").get_ydata(), [_NAN, 1.5])
    assert not q_norm.texts


def test_measurements_without_agent_steps_are_points_at_their_gradient_steps(
    tmp_path, write_values, mean_of
):
    dormant = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.9]]
    phases = {
        "eval": {"episode_return_mean": [[1, 2, 3], [1, 2, 30]]},
        "diagnostics": {"critic/dormant": dormant, "actor/dormant_by_layer": dormant},
    }
    run = Run(write_values(tmp_path / "run", [5, 10, 15], phases, offline=True), "offline")
    names = ["episode_return_mean", "critic/dormant"]
    returns, of_critic = diagnostics.draw([run], names).axes
    assert of_critic.get_title() == "critic: dormant units (fraction)"
    assert of_critic.get_xlabel() == "gradient steps per seed"
    for axes, values in ((returns, [[1, 2, 3], [1, 2, 30]]), (of_critic, dormant)):
        assert axes.lines[0].get_xdata().tolist() == [5, 10, 15]
        np.testing.assert_allclose(axes.lines[0].get_ydata(), mean_of(values))
    # Nobody asked: figure 11's quantities, of the networks that have them.
    shown = [axes.get_title() for axes in diagnostics.draw([run]).axes]
    assert shown == ["episode return (evaluation)", "critic: dormant units (fraction)"]
    diagnostics.write_csv([run], tmp_path / "x.csv")
    header, first, *_ = [x.split(",") for x in (tmp_path / "x.csv").read_text().splitlines()]
    assert header[-3:] == ["sparsity", "critic/dormant", "clock"]
    assert first[-3:] == ["", "0.9", "gradient_steps"]


def test_runs_of_different_clocks_are_refused(tmp_path, run, write_values):
    phases = {"train": {"episode_return_mean": [[1, 2]]}, "diagnostics": {"srank": [[1, 2]]}}
    offline = write_values(tmp_path / "offline", _STEPS, phases, offline=True)
    with pytest.raises(ConfigError, match=r"offline: counts gradient steps, .*run counts agent"):
        diagnostics.draw([Run(run, "dense"), Run(offline, "offline")], ["srank"])


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_two_runs(tmp_path, write_run):
    dense = write_run(tmp_path / "dense", phases=_PHASES, missing=True)
    pruned = write_run(tmp_path / "pruned", phases=_PHASES)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense={dense}", f"--run={pruned}", f"--out={picture}", f"--csv={numbers}"]
    assert diagnostics.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    header, *lines = [line.split(",") for line in numbers.read_text().splitlines()]
    assert header[:5] == ["run", "seed", "iteration", "agent_steps", "gradient_steps"]
    assert header[5:] == [*_TITLES, "clock"]
    assert len(lines) == 12
    first, last = (dict(zip(header, line, strict=True)) for line in (lines[0], lines[-1]))
    assert first["run"] == "dense"
    assert (first["seed"], first["srank"], first["q_norm"]) == ("4", "", "4.0")
    assert (last["seed"], last["agent_steps"], last["srank"]) == ("5", "200", "51.0")
    assert (last["iteration"], last["gradient_steps"], last["sparsity"]) == ("1", "50", "0.5")
    assert (last["dormant"], last["clock"]) == ("", "agent_steps")


@pytest.mark.parametrize(
    ("phases", "flags", "message"),
    [
        (_PHASES, ["--quantities=srank,sranc"], "did you mean 'srank'?"),
        (_PHASES, ["--quantities=critic/srank"], "did you mean 'srank'?"),
        (("train",), [], "--gin_files=diagnostics/all.gin"),
        (_PHASES, ["--phase=eval"], "Runner.evaluation_steps="),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, write_run, phases, flags, message):
    run, picture = write_run(tmp_path / "run", phases=phases), tmp_path / "x.png"
    assert diagnostics.main([f"--run={run}", f"--out={picture}", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not picture.exists()
