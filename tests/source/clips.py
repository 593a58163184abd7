"""Small video clips for the tests."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer


def write_clip(
    path: Path,
    *,
    frames: int = 30,
    fps: int = 15,
    size: tuple[int, int] = (160, 120),
    sound: bool = False,
) -> Path:
    """An H.264 clip with a key frame each second and no two successive frames alike.

    With `sound` it has a silent sound track of the same length.
    """
    width, height = size
    noise = np.random.default_rng(7).integers(0, 60, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = fps
        if sound:
            _add_silence(container, frames / fps)
        for index in range(frames):
            image = noise + np.uint8(index * 5 % 180)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path


def _add_silence(container: OutputContainer, seconds: float) -> None:
    stream = container.add_stream("aac", rate=8000)
    for _ in range(int(seconds * 8000 / 1024)):
        silence = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    container.mux(stream.encode(None))
