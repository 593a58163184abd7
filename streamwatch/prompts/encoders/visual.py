"""The visual prompt encoder of a YOLOE checkpoint (SAVPE): pictures in, vectors out.

From Ultralytics, as `YOLOEVPDetectPredictor` uses it: the picture in a letterbox, and a mask of the
box at an eighth of its size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch

from streamwatch import files
from streamwatch.config import MOST_PICTURE_BYTES
from streamwatch.errors import DetectorError
from streamwatch.geometry import Box
from streamwatch.models.checkpoints import read_checkpoint
from streamwatch.prompts.encoders.shown import Shown
from streamwatch.records import TEXT_WIDTH, Image, Vectors

STRIDE = 32
"""Of the network: its pictures' sides are multiples of it."""


class VisualEncoder:
    """See `protocol.TextEncoder`; the "texts" are `Shown`, as `Shown.written` has them."""

    width = TEXT_WIDTH
    longest = 0

    def __init__(self, checkpoint: Path, image_size: int) -> None:
        """`image_size` is the longer side of the network's pictures, in pixels."""
        model = read_checkpoint(checkpoint)
        if not hasattr(model.model[-1], "savpe"):
            raise DetectorError(f"the checkpoint {checkpoint} has no visual prompt encoder")
        self._model = model.eval()
        self._image_size = image_size

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        return [0] * len(prompts)

    def encode(self, prompts: Sequence[str]) -> Vectors:
        vectors = []
        for shown in map(Shown.read, prompts):
            picture = read_picture(Path(shown.file), shown.sha256)
            vectors.append(self.vector(picture, shown.box))
        return np.stack(vectors)

    def vector(self, picture: Image, box: Box | None) -> Vectors:
        """`(512,)`, of unit length."""
        from ultralytics.data.augment import LetterBox, LoadVisualPrompt

        height, width = picture.shape[:2]
        shape = (self._image_size, self._image_size)
        boxed = LetterBox(shape, auto=True, stride=STRIDE)(image=picture)
        gain = min(boxed.shape[0] / height, boxed.shape[1] / width)
        x1, y1, x2, y2 = box or (0.0, 0.0, float(width), float(height))
        left = round((boxed.shape[1] - round(width * gain)) / 2 - 0.1)
        top = round((boxed.shape[0] - round(height * gain)) / 2 - 0.1)
        place = np.array([[x1, y1, x2, y2]], np.float32) * gain
        place += np.array([left, top, left, top], np.float32)
        visuals = LoadVisualPrompt().get_visuals([0], boxed.shape[:2], place)
        pixels = torch.from_numpy(np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1)))
        with torch.inference_mode():
            found = self._model(pixels[None].float() / 255, vpe=visuals[None], return_vpe=True)
        return cast(Vectors, found[0, 0].float().numpy())


def read_picture(file: Path, sha256: str | None = None) -> Image:
    """BGR, upright as its EXIF says. Raises DetectorError, also where its content is another than
    the configuration was read with: its vector would be kept as that one's."""
    try:
        content = files.read(file, MOST_PICTURE_BYTES)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise DetectorError(f"the picture {file} can't be read ({reason})") from None
    if sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise DetectorError(f"the picture {file} was saved meanwhile; it is read again")
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file
        picture = None
    if picture is None:
        raise DetectorError(f"the picture {file} is none, or a broken one")
    return cast(Image, picture)
