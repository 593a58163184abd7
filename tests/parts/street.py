"""The bundled street clip as other cameras would store or send it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np

from streamwatch.records import Image
from tests.parts import STREET_CLIP


def sideways(path: Path) -> Path:
    """Stored lying on its side, with the note to turn it by 90° clockwise, as phones do."""
    return _stored(path, lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE), turn=90)


def squeezed(path: Path, aspect: Fraction) -> Path:
    """Stored with pixels that are `aspect` times as wide as high."""

    def narrower(image: Image) -> Image:
        height, width = image.shape[:2]
        size = round(width / aspect / 2) * 2, height
        return cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_AREA))

    return _stored(path, narrower, aspect=aspect)


def _stored(
    path: Path, change: Callable[[Image], Image], *, turn: int = 0, aspect: Fraction | None = None
) -> Path:
    with av.open(str(STREET_CLIP)) as clip, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"crf": "16", "preset": "fast"})
        for picture in clip.decode(video=0):
            image = np.ascontiguousarray(change(cast(Image, picture.to_ndarray(format="bgr24"))))
            if picture.pts == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
                if aspect is not None:
                    stream.codec_context.sample_aspect_ratio = aspect
                if turn:
                    stream.set_display_rotation(-turn)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return path
