"""What a picture leaves on disk, and how a report comes there whole."""

import csv

import pytest
from matplotlib.figure import Figure

from prune_rl.reporting.figures import from_zero, grid, legend, say, steps_axis
from prune_rl.reporting.pictures import Picture, replaced, write_pictures
from prune_rl.reporting.style import PALETTE, colors


def _picture(name):
    figure = Figure()
    figure.subplots().plot([0, 1], [0, 1])
    rows = [("a", 1.5), ("b", float("nan"))]
    return Picture(name, f"Title of {name}", "A line, no band.", figure, ("arm", "value"), rows)


def test_a_picture_has_its_numbers_and_its_caption_beside_it(tmp_path):
    write_pictures(tmp_path, [_picture("one"), _picture("two")], ["png", "svg"])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{x}.{y}" for x in ("one", "two") for y in ("png", "svg", "csv")} | {
        "pictures.csv"
    }
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "two.svg").read_text()
    assert (tmp_path / "one.csv").read_text() == "arm,value\na,1.5\nb,\n"
    with (tmp_path / "pictures.csv").open() as file:
        assert next(csv.DictReader(file)) == {
            "name": "one",
            "title": "Title of one",
            "caption": "A line, no band.",
        }


def _report(out, *names):
    with replaced(out) as folder:
        write_pictures(folder, map(_picture, names), ["png"])


def test_a_report_takes_the_place_of_the_one_before_and_of_nothing_else(tmp_path):
    out = tmp_path / "deep" / "report"
    _report(out, "one", "two")
    (out / "notes.md").write_text("mine")
    (out / "three.png").write_text("mine, too")
    _report(out, "two", "four")
    assert {path.name for path in out.iterdir()} == {
        *("two.png", "two.csv", "four.png", "four.csv", "pictures.csv"),
        *("notes.md", "three.png"),
    }


def test_what_fails_leaves_the_report_as_it_was(tmp_path):
    _report(tmp_path, "one")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail():
        yield _picture("two")
        raise RuntimeError

    with pytest.raises(RuntimeError), replaced(tmp_path) as folder:
        write_pictures(folder, fail(), ["png"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_colours_are_told_apart_by_the_colour_blind_as_far_as_they_go():
    assert colors(3) == list(PALETTE[:3])
    assert len(set(colors(30))) == 30
    assert "#F0E442" not in PALETTE  # no yellow on white


def test_panels_that_are_too_many_are_not_shown_and_the_last_of_a_column_has_numbers():
    figure, panels = grid(5, 3, (2, 2), sharex=True)
    assert len(panels) == 5
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False]
    for axes in panels:
        steps_axis(axes, "steps")
    assert [axes.get_xlabel() for axes in panels] == ["", "", "steps", "steps", "steps"]
    panels[3].plot([0, 2_000_000], [0, 1])
    figure.draw_without_rendering()
    assert "2M" in [text.get_text() for text in panels[3].get_xticklabels()]


def test_panels_begin_at_zero_together_unless_one_is_negative():
    _, (one, two) = grid(2, 2, (2, 2), sharey=True)
    one.plot([0, 1], [5, 10])
    two.plot([0, 1], [5, 20])
    from_zero(one, two)
    assert one.get_ylim() == two.get_ylim() == (0, pytest.approx(21.2))
    two.plot([0, 1], [-1, 2])
    two.autoscale()
    from_zero(one, two)
    assert two.get_ylim()[0] < -1


def test_a_legend_has_each_label_once_and_titles_are_broken_beside_it():
    figure, panels = grid(2, 1, (5, 2))
    for axes in panels:
        axes.plot([0], [0], label="dense")
    panels[1].plot([0], [0], label="pruned")
    legend(figure, panels)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dense", "pruned"]
    say(figure, "many words " * 20, "more words " * 40)
    assert max(map(len, figure.get_suptitle().splitlines())) < 50
    assert figure._supxlabel.get_text().count("\n") > 2
