"""Small clips made on the spot."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_clip(
    path: Path, *, frames: int = 30, fps: int = 15, size: tuple[int, int] = (160, 120)
) -> Path:
    """An H.264 clip with a key frame each second, each picture different from the one before."""
    width, height = size
    noise = np.random.default_rng(7).integers(0, 60, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = fps
        for index in range(frames):
            image = noise + np.uint8(index * 5 % 180)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path
