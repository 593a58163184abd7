"""What all kinds of Ultralytics checkpoint share: one graph from images to boxes."""

from __future__ import annotations

from typing import Any, Literal

import torch


class Graph(torch.nn.Module):
    """A checkpoint's network with preprocessing and decoding, for any batch, shape and vocabulary.

    Float32 on the CPU until converted by `to`. No shape is fixed in it, so that tracing it gives a
    graph for all of them.
    """

    def __init__(self, model: Any, texts: Literal["txt_feats", "tpe"], text_width: int) -> None:
        """`model` is Ultralytics', which calls its text vectors `texts`. Fuses it."""
        super().__init__()
        self._model: Any = model.fuse(verbose=False)
        self._texts = texts
        self.text_width = text_width
        self._head.export = True  # gives the predictions alone
        self._head.dynamic = True  # makes the anchors anew for each shape

    @property
    def _head(self) -> Any:
        return self._model.model[-1]

    def forward(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """As `protocol.Network.forward`, with tensors.

        The images stay bytes until they are on the device: a quarter of float32's way there.
        """
        self._head.nc = texts.shape[1]
        weight = next(self._model.parameters())
        pixels = images.flip(-1).permute(0, 3, 1, 2).to(weight.dtype) / 255
        found: torch.Tensor = self._model.predict(pixels, **{self._texts: texts.to(weight.dtype)})
        return found
