"""Video files, written frame by frame: MP4 (H.264) and GIF.

imageio-ffmpeg rather than mediapy, which needs an ffmpeg from elsewhere: this brings one. It is fed
here, for the package's own writer runs Python in a fork of a process that has JAX's threads.
"""

import os
import secrets
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prune_rl.errors import ConfigError

MARK = b"made by prune_rl.evaluate"
FRAMES_PER_SECOND = 15
_ENCODING = {
    # The colours and the order of parts that browsers play.
    ".mp4": [
        *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "20", "-movflags", "+faststart"),
        *("-metadata", f"comment={MARK.decode()}", "-f", "mp4"),
    ],
    # A palette for each frame, as one for all would need all of them in memory; and whole frames,
    # as ffmpeg finds what has changed by places in the palette, whatever colours are there.
    ".gif": [
        "-filter_complex",
        "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none",
        *("-gifflags", "-offsetting-transdiff", "-f", "gif"),
    ],
}
# A GIF's frames last whole hundredths of a second.
_RATES = {".mp4": str(FRAMES_PER_SECOND), ".gif": "100/7"}
SUFFIXES = tuple(_ENCODING)


def find_ffmpeg() -> str:
    """The path of ffmpeg; raises `ConfigError` if imageio-ffmpeg is not installed."""
    try:
        import imageio_ffmpeg
    except ModuleNotFoundError as error:
        advice = "pip install 'prune_rl[video]'"
        raise ConfigError(f"--video: videos need imageio-ffmpeg: {advice}") from error
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def is_ours(path: Path) -> bool:
    """Whether a file is a video that was made here."""
    return MARK in path.read_bytes()


class VideoFile:
    """A video that is there, as a whole, once it is left; a context manager.

    Args:
        path: its suffix is one of `SUFFIXES`.

    Raises:
        ConfigError: imageio-ffmpeg is not installed.
        OSError: it could not be written; what was at the path is still there.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._ffmpeg = path, find_ffmpeg()
        self._part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")  # no one else's
        self._encoder: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe, unread, would fill up
        self._size: tuple[int, ...] = ()

    def add(self, frame: npt.NDArray[np.uint8], times: int = 1) -> None:
        """Encodes a frame (H, W, 3) so many times; all are of one size, with even sides."""
        if self._encoder is None:
            self._size, self._encoder = frame.shape, self._started(*frame.shape[:2])
        if frame.shape != self._size:
            raise ValueError(f"a frame of {frame.shape} in a video of {self._size}")
        assert self._encoder.stdin is not None
        try:
            for _ in range(times):
                self._encoder.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError as error:
            raise self._failed() from error

    def _started(self, height: int, width: int) -> subprocess.Popen[bytes]:
        given = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
        suffix = self._path.suffix.lower()
        rate = ["-r", _RATES[suffix], "-i", "-", "-an"]
        return subprocess.Popen(
            [self._ffmpeg, "-v", "error", "-y", *given, *rate, *_ENCODING[suffix], str(self._part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            process_group=0,  # an interrupt is ours to heed
        )

    def _failed(self) -> OSError:
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip().splitlines()
        return OSError(f"{self._path}: ffmpeg: {said[-1] if said else 'failed and said nothing'}")

    def __enter__(self) -> "VideoFile":
        return self

    def end(self) -> None:
        """Encodes what is left, beside the path still; frames can no longer be added."""
        encoder = self._encoder
        if encoder is None or encoder.returncode is not None:
            return
        encoder.communicate()
        if encoder.returncode:
            raise self._failed()
        if self._path.suffix.lower() == ".gif":
            _mark_gif(self._part)

    def __exit__(self, kind: Any, *error: object) -> None:
        try:
            if kind is None and self._encoder is not None:
                self.end()
                os.replace(self._part, self._path)
        finally:
            if self._encoder is not None and self._encoder.returncode is None:
                self._encoder.kill()
                self._encoder.communicate()
            self._said.close()
            self._part.unlink(missing_ok=True)


def _mark_gif(path: Path) -> None:
    """Puts a comment before the last byte; ffmpeg writes none."""
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + bytes([len(MARK)]) + MARK + b"\x00;")
