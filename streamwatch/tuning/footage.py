"""What is looked at in a trial: pictures, clips and cameras, as people name them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from streamwatch.config import CameraSettings, Reading, did_you_mean, first_mistake, mask_url
from streamwatch.errors import SourceError, StreamwatchError
from streamwatch.source.choice import BUNDLED, file_of
from streamwatch.source.decoding import Input, opened
from streamwatch.source.pictures import APART_SECONDS, SUFFIXES, pictures_in

CLIP_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mpg", ".mpeg", ".flv",
    ".wmv",
)  # fmt: skip
"""Of files in a folder that are taken for clips, in lower case."""


@dataclass(frozen=True, slots=True)
class Footage:
    """`name` is the camera's in events, `title` what people call it.

    `pictures` are the files of a set of pictures, and then `settings.url` is not opened.
    """

    name: str
    title: str
    settings: CameraSettings = field(repr=False)
    pictures: tuple[Path, ...] = ()

    def place(self, position: float) -> str:
        """Where something is, at the `position` of its frame: the picture, or the time."""
        if self.pictures:
            return str(self.pictures[round(position / APART_SECONDS)])
        return clip_time(position)

    def looked_at(self, reached: float) -> list[str]:
        """The names of the pictures up to that of a position."""
        return [path.name for path in self.pictures[: round(reached / APART_SECONDS) + 1]]

    @property
    def kind(self) -> Literal["pictures", "clip", "camera"]:
        if self.pictures:
            return "pictures"
        return "camera" if self.live else "clip"

    @property
    def live(self) -> bool:
        """Whether it has no end of its own."""
        return self.settings.kind != "file" or self.settings.loop


def footage(
    named: Sequence[str],
    cameras: Mapping[str, CameraSettings],
    like: CameraSettings | None,
    fps: float | None,
) -> tuple[Footage, ...]:
    """What people have named: cameras of the configuration, files, folders and URLs.

    Files are read as the camera `like` is: with its zones, its mask and its pace, and without
    waiting. Pictures are taken together as one. Raises StreamwatchError.
    """
    found: list[Footage] = []
    pictures: list[Path] = []
    for name in named:
        if name in cameras:
            camera = cameras[name]
            changes: dict[str, object] = {"enabled": True, "motion": "off", "loop": False}
            if camera.kind == "file":
                changes["pace"] = False
            if fps is not None:
                changes["fps"] = fps
            found.append(Footage(name, name, camera.model_copy(update=changes)))
            continue
        for path in _files(name, cameras):
            if isinstance(path, Path) and path.suffix.lower() in SUFFIXES:
                pictures.append(path)
                continue
            settings = _settings(str(path), like, fps)
            is_file = isinstance(path, Path)
            title = path.name if is_file else mask_url(str(path))  # type: ignore[union-attr]
            found.append(Footage("", title, settings))
    if pictures:
        settings = _settings(str(pictures[0]), like, fps)
        title = "1 picture" if len(pictures) == 1 else f"{len(pictures):,} pictures"
        found.insert(0, Footage("", title, settings, tuple(pictures)))
    return tuple(_named(found))


def _files(name: str, cameras: Iterable[str]) -> list[Path | str]:
    """The files that a path stands for; or the URL itself."""
    if "://" in name or name in BUNDLED or name.isdigit() or name.startswith("/dev/"):
        return [name]
    path = Path(name)
    try:
        if path.is_dir():
            return [*pictures_in(path), *_clips_in(path)] or _nothing_in(path)
        if path.exists():
            return [path]
    except OSError as error:
        raise StreamwatchError(f"{name} can't be read: {error.strerror}") from None
    except ValueError:  # a NUL character
        pass
    meant = did_you_mean(name, cameras) or ""
    raise StreamwatchError(f"{name} is no file, no folder and no camera{meant}")


def pictures_of(named: Sequence[str]) -> list[Path]:
    """The pictures that paths stand for, whatever their suffix. Raises StreamwatchError."""
    found: list[Path] = []
    for name in named:
        path = Path(name)
        if not path.is_dir():
            found.append(path)
            continue
        try:
            inside = pictures_in(path)
        except OSError as error:
            raise StreamwatchError(f"{name} can't be read: {error.strerror}") from None
        if not inside:
            raise StreamwatchError(f"{path} holds no pictures")
        found += inside
    return found


def _clips_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in CLIP_SUFFIXES)


def _nothing_in(folder: Path) -> list[Path | str]:
    raise StreamwatchError(f"{folder} holds no pictures and no clips")


def _settings(url: str, like: CameraSettings | None, fps: float | None) -> CameraSettings:
    """Raises StreamwatchError for what is no URL."""
    kept = {} if like is None else {"crop": like.crop, "mask": like.mask, "ignore": like.ignore}
    own = CameraSettings.model_fields
    try:
        return CameraSettings.model_validate(
            {
                "url": url,
                "fps": fps or (own["fps"].default if like is None else like.fps),
                "motion": "off",
                "pace": False,
                **kept,
                **({} if like is None else {"zones": like.zones, "rotate": like.rotate}),
            },
            context=Reading(Path.cwd()),
        )
    except ValidationError as error:
        raise StreamwatchError(first_mistake(error)) from None


def _named(found: Iterable[Footage]) -> Iterable[Footage]:
    """With a name of its own for each that has none."""
    taken: set[str] = set()
    for each in found:
        name = each.name or slug(Path(each.title).stem if "://" not in each.title else each.title)
        name = unused(name, taken)
        taken.add(name)
        yield Footage(name, each.title, each.settings, each.pictures)


def clip_time(position: float) -> str:
    """Seconds into a clip as people write them: `1:04.5`."""
    minutes, seconds = divmod(position, 60)
    return f"{minutes:.0f}:{seconds:04.1f}"


def slug(text: str) -> str:
    """`text` as a name for a watch or a camera."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower())
    return "-".join(part for part in kept.split("-") if part)[:50] or "it"


def unused(name: str, taken: Iterable[str]) -> str:
    """`name`, with a number where it is taken."""
    taken = set(taken)
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def duration(footage: Footage) -> float | None:
    """How many seconds of a clip there are; None where that is not known."""
    try:
        with opened(Input(file_of(footage.settings), "")) as video:
            return video.duration_seconds
    except SourceError:
        return None
