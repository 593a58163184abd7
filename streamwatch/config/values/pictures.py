"""Pictures in place of words: files that show what to find, read and checked when the file is."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema

from streamwatch import files
from streamwatch.config.values.paths import Reading, absolute, folder_of
from streamwatch.config.values.texts import (
    PICTURE_PREFIX,
    as_list,
    line,
    one_or_list,
    prompt_text,
    without_duplicates,
)
from streamwatch.config.wording import Wrong
from streamwatch.geometry import Box

MOST_PICTURES = 16
"""Of one prompt."""
MOST_PIXELS = 20_000_000
LEAST_SIDE = 32
"""Pixels of a thing's shorter side: smaller ones say nothing."""
MOST_PICTURE_BYTES = 100_000_000
_KEYS = ("file", "box")
_TURNED = (5, 6, 7, 8)
"""EXIF orientations of pictures that lie on their side."""


@dataclass(frozen=True, slots=True)
class PromptPicture:
    """A picture of a thing to find. `box` is where it is, in pixels of the upright picture; None
    where the whole picture is it."""

    file: Path
    sha256: str
    box: Box | None


class PicturePrompt(str):
    """A prompt that pictures show, in the place of a text: `picture:<watch>`."""

    pictures: tuple[PromptPicture, ...]

    def __new__(cls, name: str, pictures: Iterable[PromptPicture]) -> PicturePrompt:
        made = super().__new__(cls, f"{PICTURE_PREFIX}{name}")
        made.pictures = tuple(pictures)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return PicturePrompt, (self.removeprefix(PICTURE_PREFIX), self.pictures)


def shown(value: object, info: ValidationInfo) -> tuple[PromptPicture, ...]:
    """The pictures of one item of a list: a file, a pattern of files, or `{file, box}`."""
    box: object = None
    file = value
    if isinstance(value, dict):
        odd = [str(key) for key in value if key not in _KEYS]
        if odd:
            raise Wrong(f"unknown key {odd[0]}; allowed are {', '.join(_KEYS)}", subject=False)
        if "file" not in value:
            raise Wrong("names no file; write {file: …, box: [x1, y1, x2, y2]}", subject=False)
        file, box = value["file"], value.get("box")
    pattern = str(absolute(line(file), folder_of(info)))
    found = matching(pattern)
    if isinstance(info.context, Reading):
        info.context.seen.setdefault(pattern, stats_of(found))
    if not found:
        raise Wrong("matches no file", subject=False)
    if len(found) > MOST_PICTURES:
        raise Wrong(
            f"matches {len(found):,} files; at most {MOST_PICTURES} are taken", subject=False
        )
    return tuple(_checked(Path(each), box) for each in found)


def matching(pattern: str) -> list[str]:
    """The files that a pattern names; what is none names itself."""
    if not glob.has_magic(pattern):
        return [pattern]
    return sorted(each for each in glob.glob(pattern) if os.path.isfile(each))  # noqa: PTH207, PTH113


def stats_of(found: Iterable[str]) -> dict[str, files.Stat | None]:
    """How each file is now, by its path."""
    return {path: files.stat_of(path) for path in found}


def _checked(file: Path, box: object) -> PromptPicture:
    try:
        content = files.read(file, MOST_PICTURE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Wrong(f"{file.name} can't be read: {reason}", subject=False) from None
    width, height = _size(file, content)
    if width * height > MOST_PIXELS:
        raise Wrong(
            f"{file.name} has {width * height / 1e6:.0f} million pixels; at most"
            f" {MOST_PIXELS // 1_000_000} are taken, so make it smaller",
            subject=False,
        )
    place = None if box is None else _box(box, width, height)
    x1, y1, x2, y2 = place or (0.0, 0.0, float(width), float(height))
    if min(x2 - x1, y2 - y1) < LEAST_SIDE:
        raise Wrong(
            f"what {file.name} shows is {x2 - x1:.0f}x{y2 - y1:.0f} px; it must be at least"
            f" {LEAST_SIDE} px wide and high",
            subject=False,
        )
    return PromptPicture(file, hashlib.sha256(content).hexdigest(), place)


def _size(file: Path, content: bytes) -> tuple[int, int]:
    """(width, height), upright."""
    from PIL import Image

    try:
        if len(content) > MOST_PICTURE_BYTES:
            raise ValueError
        with Image.open(BytesIO(content)) as picture:
            turned = picture.getexif().get(0x0112) in _TURNED
            width, height = picture.size
    except Exception:  # whatever a broken file makes of a decoder
        raise Wrong(f"{file.name} is no picture, or a broken one", subject=False) from None
    return (height, width) if turned else (width, height)


def _box(value: object, width: int, height: int) -> Box:
    if not isinstance(value, (list, tuple)) or len(value) != 4 or not all(map(_is_number, value)):
        raise Wrong("the box is not [x1, y1, x2, y2], in pixels", subject=False)
    x1, y1, x2, y2 = (float(edge) for edge in value)
    if x2 <= x1 or y2 <= y1:
        raise Wrong("the box is empty; write [x1, y1, x2, y2], in pixels", subject=False)
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        raise Wrong(f"the box lies outside the picture, which is {width}x{height}", subject=False)
    return x1, y1, x2, y2


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def together(found: Iterable[tuple[PromptPicture, ...]]) -> tuple[PromptPicture, ...]:
    """Those of all items."""
    pictures = tuple(picture for each in found for picture in each)
    if not pictures:
        raise Wrong("the list is empty; write at least one picture", subject=False)
    if len(pictures) > MOST_PICTURES:
        raise Wrong(
            f"these are {len(pictures)} pictures; at most {MOST_PICTURES} are taken", subject=False
        )
    return pictures


def holds_pictures(rivals: object) -> bool:
    """Whether what is written for `not` holds anything but texts."""
    return any(isinstance(each, dict) for each in as_list(rivals))


def texts_among(prompts: Iterable[str]) -> tuple[str, ...]:
    """Those of the prompts that are words."""
    return tuple(prompt for prompt in prompts if not isinstance(prompt, PicturePrompt))


PICTURE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 200},
        {
            "type": "object",
            "properties": {
                "file": {"type": "string", "minLength": 1, "maxLength": 200},
                "box": {
                    "type": "array",
                    "items": {"type": "number"},
                    "minItems": 4,
                    "maxItems": 4,
                },
            },
            "required": ["file"],
            "additionalProperties": False,
        },
    ]
}


def _word_or_pictures(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, dict):
        return prompt_text(value)
    odd = [str(key) for key in value if key != "pictures"]
    if odd or not value:
        raise Wrong("is written as a text, or as {pictures: […]}", subject=False)
    return PicturePrompt("not", together(shown(each, info) for each in as_list(value["pictures"])))


def _numbered(prompts: tuple[str, ...]) -> tuple[str, ...]:
    """Each with pictures has a name of its own."""
    return without_duplicates(
        tuple(
            PicturePrompt(f"not{number}", prompt.pictures)
            if isinstance(prompt, PicturePrompt)
            else prompt
            for number, prompt in enumerate(prompts, 1)
        )
    )


if TYPE_CHECKING:
    Pictures = tuple[PromptPicture, ...]
    WordsOrPictures = tuple[str, ...]
else:
    WordsOrPictures = Annotated[
        tuple[Annotated[Any, BeforeValidator(_word_or_pictures)], ...],
        BeforeValidator(as_list),
        AfterValidator(_numbered),
        WithJsonSchema(
            one_or_list(
                {
                    "anyOf": [
                        {"type": "string", "minLength": 1, "maxLength": 200},
                        {
                            "type": "object",
                            "properties": {"pictures": one_or_list(PICTURE_SCHEMA)},
                            "required": ["pictures"],
                            "additionalProperties": False,
                        },
                    ]
                }
            )
        ),
    ]
    Pictures = Annotated[
        tuple[Annotated[Any, BeforeValidator(shown)], ...],
        BeforeValidator(as_list),
        AfterValidator(together),
        WithJsonSchema(one_or_list(PICTURE_SCHEMA)),
    ]
"""Files, patterns of files, or `{file, box}`."""
