"""Videos read back."""

import imageio_ffmpeg
import numpy as np
from PIL import Image

_GIF_MILLISECONDS = 70


def frames_of(path):
    """All of them, (n, H, W, 3) uint8."""
    if path.suffix.lower() == ".gif":
        return _of_gif(path)
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return np.array([np.frombuffer(x, np.uint8).reshape(height, width, 3) for x in reader])


def _of_gif(path):
    """By Pillow: ffmpeg would give as many in a second as fit the shortest of them."""
    frames = []
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            own, lasts = np.array(picture.convert("RGB")), picture.info["duration"]
            assert lasts % _GIF_MILLISECONDS == 0
            frames += [own] * (lasts // _GIF_MILLISECONDS)  # equal ones are written once
    return np.array(frames)
