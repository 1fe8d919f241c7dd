"""A frame of a video: the game, and beside it what its agent knows."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

HEIGHT = 420  # of a frame, at least; as Atari's 210 rows twice
PANEL = 260  # columns beside the game
_MARGIN, _LINE, _ROW, _NAMES = 12, 20, 17, 84
# Okabe & Ito 2008: told apart without seeing red or green.
INK, PAPER, BAR, CHOSEN = (230, 230, 230), (24, 24, 28), (86, 180, 233), (230, 159, 0)
_TOP = _MARGIN + 5 * _LINE  # where the bars begin


class Bar(NamedTuple):
    """One action.

    Attributes:
        name: of it.
        number: its value, or how far it is taken.
        start: where on the panel's scale the bar begins, in [0, 1].
        end: where it ends.
        chosen: whether it is the one that is taken.
    """

    name: str
    number: float
    start: float
    end: float
    chosen: bool = False


def of_values(names: Sequence[str], values: npt.NDArray[Any], chosen: int) -> list[Bar]:
    """Bars of numbered actions' values (A,): from the least, which has none, to the largest."""
    low, high = float(values.min()), float(values.max())
    span = high - low
    lengths = (values - low) / span if 0 < span < math.inf else np.zeros(len(values))
    return [
        Bar(name, float(value), 0.0, float(length), i == chosen)
        for i, (name, value, length) in enumerate(zip(names, values, lengths, strict=True))
    ]


def of_box(names: Sequence[str], action: npt.NDArray[Any], low: Any, high: Any) -> list[Bar]:
    """Bars of an action (A,) between its bounds, from their middle."""
    ends = np.clip((action - np.asarray(low)) / (np.asarray(high) - np.asarray(low)), 0, 1)
    return [
        Bar(name, float(number), 0.5, float(end))
        for name, number, end in zip(names, action, ends, strict=True)
    ]


def frame(
    picture: npt.NDArray[np.uint8], lines: Sequence[str], bars: Sequence[Bar]
) -> npt.NDArray[np.uint8]:
    """One frame (H, W, 3) uint8 of even sides: the game enlarged by a whole number, and the panel.

    Args:
        picture: (h, w, 3) uint8, of the game.
        lines: of text, at most five.
        bars: below them, one a row.
    """
    from PIL import Image, ImageDraw

    times = max(1, HEIGHT // len(picture))
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    needed = max(len(large), _TOP + _ROW * len(bars) + _MARGIN)
    height, width = _even(needed), _even(large.shape[1] + PANEL)
    image = Image.new("RGB", (width, height), PAPER)
    image.paste(Image.fromarray(large), (0, (height - len(large)) // 2))
    draw, left = ImageDraw.Draw(image), large.shape[1] + _MARGIN
    for i, line in enumerate(lines):
        draw.text((left, _MARGIN + i * _LINE), line, INK, _font(15 if i == 0 else 13))
    for i, bar in enumerate(bars):
        _draw_bar(draw, left, _TOP + i * _ROW, bar)
    return np.asarray(image)


def _draw_bar(draw: Any, left: int, top: int, bar: Bar) -> None:
    color = CHOSEN if bar.chosen else BAR
    draw.text((left, top), bar.name[:11], CHOSEN if bar.chosen else INK, _font(11))
    draw.text((left + PANEL - 2 * _MARGIN, top), f"{bar.number:.3g}", INK, _font(11), anchor="ra")
    start, end = sorted(bar_columns(left, bar))
    draw.rectangle((start, top + 2, end, top + _ROW - 6), fill=color)


def bar_columns(left: int, bar: Bar) -> tuple[int, int]:
    """Where a bar begins and ends, in columns of a frame whose panel's text begins at `left`."""
    first, length = left + _NAMES, PANEL - 2 * _MARGIN - _NAMES - 52
    end = bar.end if math.isfinite(bar.end) else bar.start  # a diverged agent's is no number
    return first + round(bar.start * length), first + round(end * length)


def _even(length: int) -> int:
    """What H.264's halved colours need."""
    return length + length % 2


@cache
def _font(size: int) -> Any:
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), size)
