"""What flows through the pipeline: `source → scheduler → detector → watch → publisher`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from streamwatch.geometry import Box, Polygon

Image = NDArray[np.uint8]
"""`(height, width, 3)` uint8, BGR."""

Luma = NDArray[np.uint8]
"""`(height, width)` uint8, brightness alone: 0 is black."""

TEXT_WIDTH = 512
"""How wide a text vector is: CLIP ViT-B/32's projection, which YOLO-World's text input takes."""

Vectors = NDArray[np.float32]
"""`(prompts, 512)` float32, each row of unit length; of a picture prompt, of `PICTURE_LENGTH`."""

PICTURE_LENGTH = 2.0
"""Length of a picture prompt's vector, by which the network tells it from a text's. A power of two,
so that nothing is lost."""

AlertType = Literal["new", "update", "end"]
EventType = AlertType | Literal["rejected"]
"""`rejected` stands alone: a visit that a second look held back, so that no `new` was told."""
LookedBy = Literal["clip", "vlm"]
"""An image and a text tower, of CLIP or its like; or a language model that sees."""
Decided = Literal["confirmed", "rejected", "skipped"]
EndReason = Literal["left", "lost", "removed", "changed", "disabled", "shutdown", "restart"]


class Picture(Protocol):
    """What a camera saw at one moment, upright, with square pixels and masked.

    It is converted where somebody needs it, and as large as they do, for each call anew. What is
    given may be shared: never write into it. For any thread.
    """

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        ...

    def luma(self, size: tuple[int, int]) -> Luma:
        """Averaged down to `size`, (width, height). Raises SourceError."""
        ...

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """As it is, or scaled to `size`, (width, height). Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera.

    `index` counts the decoded frames of this camera from 0, those not analysed included.
    `seconds` is monotonic and drives every duration; media time over all passes for a file.
    `captured_at` is timezone-aware; for a file the time of opening plus the media position.
    `position` is seconds into a file, else None. `still` says that nothing has moved in it, so that
    it shows what those before it did.
    """

    camera: str
    index: int
    captured_at: datetime
    seconds: float
    position: float | None
    picture: Picture
    still: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.picture.size


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The prompts one camera looks for, with their vectors, in the same order.

    `padding` is the vector of the text encoder's padding text, in no row or one: the network gets
    it as a prompt more, and what it finds for that is nobody's.
    """

    prompts: tuple[str, ...]
    vectors: Vectors
    padding: Vectors = field(default_factory=lambda: np.zeros((0, TEXT_WIDTH), np.float32))

    @property
    def slots(self) -> Vectors:
        """What the network gets: the prompts in their order, then the padding."""
        return np.concatenate((self.vectors, self.padding))


@dataclass(frozen=True, slots=True)
class Detection:
    """One prompt found once in one frame. `box` is in pixels of the full frame."""

    prompt: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class Track:
    """One thing followed through the frames of one camera and watch.

    `id` is unique per camera. `prompt`, `confidence` and `box` are those of the last detection;
    `first_seen` and `last_seen` are `Frame.seconds`.
    """

    id: int
    prompt: str
    box: Box
    first_seen: float
    last_seen: float
    confidence: float
    best_confidence: float


@dataclass(frozen=True, slots=True)
class CameraCounts:
    """What became of one camera's frames since the start.

    `frames` were decoded; those that were due were `offered` to the detector. Of these `dropped`
    were replaced before it took them, `gated` left out because nothing moved, and `analysed` looked
    at. `corrupt` counts packets, `failures` attempts to open or read that failed, `reconnects` how
    often frames came again after that. `age_seconds` is the age of the newest frame, None before
    the first; `online` says whether frames arrive. `restless` is the part of the picture, in
    shares, that keeps the camera awake all the time; None if it is still now and then.
    """

    frames: int = 0
    offered: int = 0
    analysed: int = 0
    gated: int = 0
    dropped: int = 0
    corrupt: int = 0
    failures: int = 0
    reconnects: int = 0
    age_seconds: float | None = None
    online: bool = False
    restless: Box | None = None

    def after(self, earlier: CameraCounts) -> CameraCounts:
        """These with those of an earlier capture of the same camera."""
        return replace(
            self, **{name: getattr(self, name) + getattr(earlier, name) for name in _COUNTERS}
        )


_COUNTERS = tuple(each.name for each in fields(CameraCounts) if each.type == "int")


@dataclass(frozen=True, slots=True, eq=False)
class MarkedPicture:
    """What a snapshot is drawn from: the whole frame and the box to mark in it.

    `zones` are those that let it count, by name; none for a watch that asks for none.
    """

    picture: Picture
    box: Box
    label: str
    zones: Mapping[str, Polygon] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look at a crop gave.

    `score` is the share of the watch's prompts among all words; None from a language model, whose
    `answer` is yes or no. `beaten_by` is the word that the crop looks most like, where that is none
    of the prompts. `failure` says in one sentence why it could not look; then all else is None.
    `vector` is the image tower's of the crop, `(width,)`; `taught_by` the id of a visit that was
    said to be wrong, and that the crop looks like.
    """

    by: LookedBy
    confirms: bool
    score: float | None = None
    answer: str | None = None
    beaten_by: str | None = None
    milliseconds: float | None = None
    failure: str | None = None
    taught_by: str | None = None
    vector: Vectors | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What second looks have said of a visit so far: the best of them, and how many there were.

    `taught_by` is the id of a visit that was said to be wrong, and that it looks like.
    """

    by: LookedBy
    score: float | None
    answer: str | None
    beaten_by: str | None
    looks: int
    decided: Decided
    ms: float | None
    taught_by: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LookRequest:
    """A thing to look at again. `box` is in pixels of `picture`, the whole frame.

    `visit` is the number of the visit's track, unique per camera.
    """

    camera: str
    watch: str
    visit: int
    picture: Picture
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """A step in one thing's visit. `id` (a ULID) is the visit's, `sequence` counts within it.

    `box`, `confidence`, `captured_at` and `position` belong to one frame: the one that caused a
    `new` or `update`; for an `end` the last frame in which the thing counted, so `captured_at`
    equals `ended_at` there. `picture` is set where a new snapshot is to be published with it;
    `snapshot` tells whether this visit has one at all. `continues` is the id of the visit that a
    stop of the daemon ended and this one continues. `clip_path` is the file of its video, which is
    whole when its `Clip` comes, and `clip_url` where people see it; None where none is made.
    """

    id: str
    type: EventType
    camera: str
    watch: str
    prompt: str
    track: int
    confidence: float
    best_confidence: float
    box: Box
    frame_size: tuple[int, int]
    zones: tuple[str, ...]
    captured_at: datetime
    started_at: datetime
    ended_at: datetime | None
    position: float | None
    sequence: int
    reason: EndReason | None
    snapshot: bool
    continues: str | None = None
    second_look: SecondLook | None = None
    picture: MarkedPicture | None = None
    clip_path: Path | None = None
    clip_url: str | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """That a visit's video is whole. `id` is the visit's.

    It is `complete` if it holds all that it should; else `reason` says in one sentence what is
    missing. `path` is None where there is no video at all, and so are `started_at` and `codec`.
    `codec` is FFmpeg's name of it, as `h264`.
    """

    type: ClassVar[Literal["clip"]] = "clip"

    id: str
    camera: str
    watch: str
    path: Path | None
    started_at: datetime | None
    seconds: float
    bytes: int
    codec: str | None
    complete: bool
    reason: str | None = None


Told = Event | Clip
"""What is told once, and waits for the broker."""


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """A visit of the daemon's previous run, which may go on in this one.

    `last` is its last event, updated with its last sighting; an `end` if a clean stop ended it.
    `age_seconds` is how long ago that sighting was.
    """

    last: Event
    age_seconds: float

    @property
    def open(self) -> bool:
        """Whether its `end` was never published, because the daemon crashed."""
        return self.last.type != "end"
