"""Heat maps of gradient covariances by what is drawn, and their numbers."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from prune_rl.errors import ConfigError
from prune_rl.recording.logs import RunLog
from prune_rl.reporting import heatmaps
from prune_rl.reporting.runs import Run

_MATRIX = [[[1, 0.5], [0.5, 1]], [[1, -0.25], [-0.25, 1]]]
# Not symmetric, so that a transposed one would show.
_DENSE = np.array([[[1, 0.5], [-0.1, 1]], [[1, -0.25], [0.75, np.nan]]], np.float32)
_PRUNED = np.array([[[1, 0.2], [0.4, 1]]], np.float32)


@pytest.fixture
def panels(tmp_path, write_matrices):
    """Rows of dense, seeds 3 and 4, and of pruned, seed 3; then the colour bar."""
    dense = write_matrices(tmp_path / "dense", 3, _DENSE)
    pruned = write_matrices(tmp_path / "pruned", 5, _PRUNED)
    return heatmaps.draw([Run(dense, "dense"), Run(pruned, "95 %")]).axes


def test_every_seed_is_a_map_of_its_matrix(panels):
    *maps, bar = panels
    shown = [axes for axes in maps if axes.get_visible()]
    assert [axes.get_visible() for axes in maps] == [True, True, True, False]
    for axes, matrix in zip(shown, [*_DENSE, *_PRUNED], strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), matrix)
        assert image.origin == "upper"  # row 0 on top, as a matrix is written
        assert image.get_clim() == (-1, 1)
        assert image.get_interpolation() == "nearest"
    assert bar.get_ylabel() == "gradient correlation"


def test_colours_are_those_of_the_paper(panels):
    (image,) = panels[0].images
    red, white, blue = (image.cmap(image.norm(value))[:3] for value in (-1, 0, 1))
    assert red[0] > 2 * max(red[1:])
    assert blue[2] > 2 * blue[0]
    assert min(white) > 0.95
    assert to_rgb(panels[1].get_facecolor()) == to_rgb("gray")
    assert to_hex(panels[1].images[0].cmap(np.ma.masked)).endswith("000000")  # seen through


def test_titles_say_which_seed_and_its_mean(panels):
    titles = [axes.get_title() for axes in panels[:3]]
    assert titles == ["seed 3: mean |C| 0.30", "seed 4: mean |C| 0.50", "seed 3: mean |C| 0.30"]
    assert [axes.get_ylabel() for axes in panels[:3]] == ["dense", "", "95 %"]


def test_the_picture_says_what_it_is_of(panels):
    figure = panels[0].figure
    assert figure.get_suptitle() == "Gradient covariance"
    assert "correlation of the gradients of transitions" in figure._supxlabel.get_text()


def test_five_seeds_are_shown(tmp_path, write_matrices):
    run = write_matrices(tmp_path / "run", 0, np.full((7, 2, 2), 0.5))
    *maps, _ = heatmaps.draw([Run(run, "run")]).axes
    assert [axes.get_title()[:6] for axes in maps] == [f"seed {seed}" for seed in range(3, 8)]


@pytest.mark.filterwarnings("error")
def test_picture_and_numbers_of_the_last_stored(tmp_path, write_matrices):
    run = write_matrices(tmp_path / "run", 3, np.ones((2, 2, 2)))
    write_matrices(run, 12, _MATRIX)
    picture, numbers = tmp_path / "x.png", tmp_path / "x.csv"
    arguments = [f"--run=dense={run}", f"--out={picture}", f"--csv={numbers}"]
    assert heatmaps.main(arguments) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert numbers.read_text().splitlines() == [
        "run,seed,iteration,agent_steps,mean_abs_off_diagonal",
        "dense,3,12,1300,0.5",
        "dense,4,12,1300,0.25",
    ]
    assert heatmaps.main([*arguments, "--iteration=3"]) == 0
    assert numbers.read_text().splitlines()[1:] == ["dense,3,3,400,1.0", "dense,4,3,400,1.0"]
    (image,) = heatmaps.draw([Run(run, "dense")], 3).axes[0].images
    np.testing.assert_array_equal(image.get_array(), np.ones((2, 2)))


def test_numbers_go_by_the_name_of_their_run(tmp_path, write_matrices):
    dense = write_matrices(tmp_path / "dense", 3, _MATRIX)
    pruned = write_matrices(tmp_path / "pruned", 5, _PRUNED)
    heatmaps.write_csv([Run(dense, "dense"), Run(pruned, "95 %")], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[1:] == [
        "dense,3,3,400,0.5",
        "dense,4,3,400,0.25",
        "95 %,3,5,600,0.30000000447034836",  # of float32 numbers
    ]


def test_a_run_without_agent_steps_goes_by_its_gradient_steps(tmp_path, write_matrices):
    offline = write_matrices(tmp_path / "offline", 3, _MATRIX, clock="gradient_steps")
    heatmaps.write_csv([Run(offline, "offline")], tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text().splitlines()[:2] == [
        "run,seed,iteration,gradient_steps,mean_abs_off_diagonal",
        "offline,3,3,400,0.5",
    ]
    online = write_matrices(tmp_path / "online", 3, _MATRIX)
    with pytest.raises(ConfigError, match=r"offline: counts gradient steps, .*online counts agent"):
        heatmaps.draw([Run(online, "online"), Run(offline, "offline")])


def test_the_mean_keeps_nan_and_leaves_out_the_diagonal():
    assert heatmaps.mean_off_diagonal(np.float32([[9, 0.5], [-1.5, 9]])) == 1.0
    assert np.isnan(heatmaps.mean_off_diagonal(np.float32([[1, np.nan], [0, 1]])))
    assert heatmaps.mean_off_diagonal(np.ones((1, 1), np.float32)) == 0.0


def test_bad_input_is_one_line(tmp_path, capsys, write_run, write_matrices):
    picture = tmp_path / "x.png"
    run = write_run(tmp_path / "run")
    assert heatmaps.main([f"--run={run}", f"--out={picture}"]) == 2
    assert "--gin_files=diagnostics/all.gin" in capsys.readouterr().err
    write_matrices(run, 3, _MATRIX)
    assert heatmaps.main([f"--run={run}", f"--out={picture}", "--iteration=5"]) == 2
    assert "nearest: 3" in capsys.readouterr().err
    assert not picture.exists()


def test_one_network_of_several_is_drawn_by_name(tmp_path, capsys):
    """Files as a run's log writes them."""
    run = tmp_path / "run"
    run.mkdir()
    with RunLog(run, positions={}, clock="agent_steps", steps=0) as log:
        log.matrices("critic/gradient_covariance", 2, 500, seeds=np.array([3, 4]), matrix=_DENSE)
    flags = [f"--run=x={run}", f"--out={tmp_path / 'x.png'}"]
    assert heatmaps.main([*flags, f"--csv={tmp_path / 'x.csv'}", "--network=critic"]) == 0
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 3
    assert heatmaps.main(flags) == 2
    assert "for --network: critic" in capsys.readouterr().err
