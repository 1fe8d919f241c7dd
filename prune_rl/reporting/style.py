"""How every picture looks: no other module names a colour, a colour map or a resolution.

Categories have the colours of Okabe & Ito 2008 (Wong 2011, Nature Methods 8:441), told apart
without seeing red, green or blue; what lies on a scale has viridis, from dark to light.
"""

from collections.abc import Sequence
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import ColorType

# Theirs without their yellow, which white paper swallows, and a grey. Under each kind of colour
# blindness two are at least 16 apart in CIELAB.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#555555")
# The same hues where lines are thin and pages white or dark: a contrast of 3 with the page, too.
ON_WHITE = ("#1258a0", "#a14c00", "#178650", "#b274a3", "#c38425", "#3a93e2", "#000000", "#555555")
ON_DARK = ("#4f74a0", "#f8773f", "#2cc581", "#c289e5", "#eaad15", "#9bd4eb", "#d0e9df", "#9a9a9a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # beside shades, where there are more

INK, SOFT = "#000000", "#555555"  # of what is drawn for all; of notes, references and single seeds
NOTHING = "#808080"  # of what is no number
SEQUENCE, DIVERGING = "viridis", "RdBu"  # diverging: red below, blue above
DPI = 120

_STYLE: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.3,
}


def colors(count: int) -> list[ColorType]:
    """`count` colours, no two alike; more than `PALETTE` has are shades from dark to light."""
    if count <= len(PALETTE):
        return list(PALETTE[:count])
    return [tuple(color) for color in matplotlib.colormaps[SEQUENCE](np.linspace(0, 0.95, count))]


def markers(count: int) -> list[str]:
    """Of as many lines as `colors` gives colours for: neighbouring shades get different ones."""
    few = count <= len(PALETTE)
    return ["." if few else MARKERS[i % len(MARKERS)] for i in range(count)]


def new_figure(width: float, height: float) -> Figure:
    """An empty picture in inches, whose panels lay themselves out and look like all others."""
    return _Figure(figsize=(width, height), layout="constrained")


class _Figure(Figure):
    """Leaves matplotlib's own settings, which are the user's, as they are."""

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        with matplotlib.rc_context(cast(Any, _STYLE)):  # it knows names as literals alone
            added: Axes = super().add_subplot(*args, **kwargs)
            return added


def css(palette: Sequence[str]) -> str:
    """A page's variables for the lines of its charts: '--c0: #1258a0; …'."""
    return " ".join(f"--c{i}: {color};" for i, color in enumerate(palette))
