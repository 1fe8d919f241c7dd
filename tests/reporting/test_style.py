"""Pictures are told apart without seeing some colours, and one module says how they look."""

import ast
import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import is_color_like, to_hex, to_rgb

from prune_rl.reporting import page, style

_PACKAGE = Path(page.__file__).parents[1]
# Machado, Oliveira & Fernandes 2009, IEEE TVCG 15(6), table 1, severity 1.0: linear RGB as it is
# seen without one kind of cone.
_SEEN = {
    "by most": np.eye(3),
    "without red": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "without green": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "without blue": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# IEC 61966-2-1: linear sRGB to XYZ, of white D65.
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_DARK_PAGE = "#14171a"
# What takes a colour or a map, and would give a picture a look of its own.
_COLORED = {"color", "c", "facecolor", "edgecolor", "ecolor", "cmap", "dpi", "markerfacecolor"}
_SETTERS = {"set_color", "set_facecolor", "set_edgecolor", "set_cmap", "colormaps", "rcParams"}


def _linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear):
    """CIELAB (CIE 15) of linear sRGB."""
    xyz = _XYZ @ np.clip(linear, 0, 1) / _XYZ.sum(axis=1)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _contrast(one, other):
    """WCAG 2.1's, from 1 to 21."""
    low, high = sorted(float(_XYZ[1] @ _linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def test_the_conversion_is_that_of_the_standard():
    assert _lab(_linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.01)
    assert _lab(_linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.01)
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("palette", ["PALETTE", "ON_WHITE", "ON_DARK"])
@pytest.mark.parametrize("sight", _SEEN)
def test_no_two_colours_of_a_palette_look_alike(palette, sight):
    """16 is seven times a difference that is just noticed (2.3, Mahy et al. 1994)."""
    seen = {x: _lab(np.array(_SEEN[sight]) @ _linear(x)) for x in getattr(style, palette)}
    pairs = itertools.combinations(seen, 2)
    distances = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in pairs}
    nearest = min(distances, key=distances.get)
    assert distances[nearest] > 16, nearest


def test_lines_stand_out_from_the_page():
    assert min(_contrast(color, "#ffffff") for color in style.ON_WHITE) > 3
    assert min(_contrast(color, _DARK_PAGE) for color in style.ON_DARK) > 3
    css = (_PACKAGE / "reporting" / "html" / "page.css").read_text()
    assert f"--paper: {_DARK_PAGE};" in css


def test_shades_get_lighter_and_neighbours_have_other_marks():
    shades, marks = style.colors(20), style.markers(20)
    lightness = [_lab(_linear(color))[0] for color in shades]
    assert lightness == sorted(lightness)
    assert len(set(shades)) == len(shades)
    assert all(one != other for one, other in itertools.pairwise(marks))
    assert style.markers(8) == ["."] * 8


def test_a_picture_looks_alike_and_matplotlib_is_left_as_it_was():
    before = dict(matplotlib.rcParams)
    axes = style.new_figure(4, 3).subplots()
    assert dict(matplotlib.rcParams) == before
    assert [axes.spines[side].get_visible() for side in ("top", "right")] == [False, False]
    assert all(line.get_visible() for line in axes.get_xgridlines() + axes.get_ygridlines())
    plain = matplotlib.figure.Figure().subplots()
    assert plain.spines["top"].get_visible()


def _own_looks(path):
    """Lines of a module that give a picture colours, maps or a figure of its own making."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.fullmatch("#[0-9a-fA-F]{3,8}", node.value):
                yield node.lineno, node.value
        elif isinstance(node, ast.Call):
            for given in node.keywords:
                value = given.value
                literal = isinstance(value, ast.Constant | ast.JoinedStr)
                if given.arg in _COLORED and literal:
                    yield node.lineno, f"{given.arg}={ast.unparse(value)}"
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            literals = [x for x in node.args if isinstance(x, ast.Constant)]
            if called == "Figure" or (called in _SETTERS and literals):
                yield node.lineno, called
        elif isinstance(node, ast.Attribute) and node.attr in ("rcParams", "colormaps"):
            yield node.lineno, node.attr


def test_no_other_module_sets_a_colour():
    assert list(_own_looks(Path(style.__file__)))  # the search finds what there is
    paths = [x for x in _PACKAGE.rglob("*.py") if x != Path(style.__file__)]
    assert len(paths) > 100
    found = {x.relative_to(_PACKAGE).as_posix(): list(_own_looks(x)) for x in paths}
    assert {name: looks for name, looks in found.items() if looks} == {}


def test_the_pages_charts_have_the_styles_colours():
    css = page._style()
    assert re.search(r"(?<![\w.])C\d", css) is None
    light, dark = re.findall(r"--c0: .*", css)
    for line, palette in ((light, style.ON_WHITE), (dark, style.ON_DARK)):
        told = re.findall(r"--c(\d): (#\w+);", line)
        assert told == [(str(i), color) for i, color in enumerate(palette)]
    assert "--c" not in (_PACKAGE / "reporting" / "html" / "page.css").read_text().split("body")[0]


def test_the_palettes_are_of_the_same_hues():
    for own in (style.ON_WHITE, style.ON_DARK):
        assert all(is_color_like(color) for color in own)
        for color, base in zip(own[:6], style.PALETTE[:6], strict=True):
            one, other = (_lab(_linear(x)) for x in (color, base))
            angles = [np.arctan2(x[2], x[1]) for x in (one, other)]
            assert abs((angles[0] - angles[1] + np.pi) % (2 * np.pi) - np.pi) < np.pi / 5, color
    assert [to_hex(x) for x in style.colors(2)] == ["#0072b2", "#d55e00"]
