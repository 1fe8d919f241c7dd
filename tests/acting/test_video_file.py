"""Videos on disk, read back by ffmpeg and by Pillow."""

import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest

from prune_rl.acting import video_file
from prune_rl.acting.video_file import FRAMES_PER_SECOND, VideoFile, is_ours
from prune_rl.errors import ConfigError
from tests.films import frames_of

COLORS = [(200, 30, 30), (30, 160, 40), (40, 60, 200), (240, 240, 240), (10, 10, 10)]


def frame(color, size=(64, 96)):
    return np.full((*size, 3), color, np.uint8)


def write(path, frames=5):
    with VideoFile(path) as video:
        for color in COLORS[:frames]:
            video.add(frame(color))
        video.add(frame(COLORS[0]), times=3)


def facts_of(path):
    return next(imageio_ffmpeg.read_frames(str(path)))


@pytest.mark.parametrize(
    ("name", "codec"), [("x.mp4", "h264"), ("X.MP4", "h264"), ("x.gif", "gif")]
)
def test_every_frame_is_there_in_order(tmp_path, name, codec):
    write(tmp_path / name)
    facts, frames = facts_of(tmp_path / name), frames_of(tmp_path / name)
    assert facts["codec"].strip(",") == codec
    assert facts["size"] == (96, 64)
    expected = np.array([frame(color) for color in [*COLORS, *COLORS[:1] * 3]])
    assert len(frames) == 8
    assert abs(frames.astype(int) - expected).max() <= 12  # colours are halved, then compressed
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_mp4_is_what_browsers_play(tmp_path):
    write(tmp_path / "x.mp4")
    facts = facts_of(tmp_path / "x.mp4")
    assert facts["pix_fmt"].startswith("yuv420p")
    assert facts["fps"] == FRAMES_PER_SECOND == 15
    data = (tmp_path / "x.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_gif_has_the_mark_where_a_comment_may_be(tmp_path):
    write(tmp_path / "x.gif")
    # A comment extension, then the trailer (GIF89a, sections 24 and 27).
    own = video_file.MARK
    end = b"\x21\xfe" + bytes([len(own)]) + own + b"\x00\x3b"
    assert (tmp_path / "x.gif").read_bytes().endswith(end)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_own_videos_are_known_again(tmp_path, suffix):
    write(tmp_path / f"x{suffix}")
    assert is_ours(tmp_path / f"x{suffix}")
    (tmp_path / "other").write_bytes(b"precious" * 10)
    assert not is_ours(tmp_path / "other")


def _add(path, frames):
    with VideoFile(path) as video:
        for own in frames:
            video.add(own)


def test_what_fails_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "x.mp4"
    path.write_bytes(b"before")
    odd = (frame(COLORS[0]), frame(COLORS[0], (64, 98)))
    for frames, error in (((frame(COLORS[0]), None), AttributeError), (odd, ValueError)):
        with pytest.raises(error):
            _add(path, frames)
    with VideoFile(path):
        pass  # nothing was filmed
    assert path.read_bytes() == b"before"
    assert [x.name for x in tmp_path.iterdir()] == ["x.mp4"]


def test_until_it_is_left_it_lies_beside_the_path_and_files_of_others_are_kept(tmp_path):
    (tmp_path / "x.mp4.part").write_bytes(b"precious")
    with VideoFile(tmp_path / "x.mp4") as video:
        video.add(frame(COLORS[0]))
        video.end()
        assert not (tmp_path / "x.mp4").exists()
    assert len(frames_of(tmp_path / "x.mp4")) == 1
    assert (tmp_path / "x.mp4.part").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_ffmpeg_says_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(video_file._ENCODING, ".mp4", ["-c:v", "no_such_codec", "-f", "mp4"])
    with pytest.raises(OSError, match=r"x\.mp4: ffmpeg: .*") as caught:
        write(tmp_path / "x.mp4")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_frames_go_to_disk_and_not_to_memory(tmp_path):
    """A minute of frames would be 1.2 GB."""
    code = (
        "import numpy as np, resource\n"
        "from pathlib import Path\n"
        "from prune_rl.acting.video_file import VideoFile\n"
        "frame = np.zeros((420, 680, 3), np.uint8)\n"
        f"with VideoFile(Path({str(tmp_path / 'x.mp4')!r})) as video:\n"
        "    video.add(frame)\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "    video.add(frame, times=900)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000  # kB


def test_without_imageio_ffmpeg_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ConfigError, match=r"^--video: .*pip install 'prune_rl\[video\]'$"):
        VideoFile(tmp_path / "x.mp4")
