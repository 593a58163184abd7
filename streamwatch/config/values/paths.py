"""Paths, relative to the configuration file's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import (
    BeforeValidator,
    ValidationInfo,
    WithJsonSchema,
)

from streamwatch.config.values.texts import line
from streamwatch.config.wording import Wrong
from streamwatch.files import Stat

SeenPictures = dict[str, dict[str, Stat | None]]
"""Of each pattern that names pictures, absolute: its files, before they were read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The context that settings are validated in: the folder of the configuration file, and what is
    seen of the pictures that it names."""

    folder: Path
    seen: SeenPictures = field(default_factory=dict)


def folder_of(info: ValidationInfo) -> Path:
    """The base of relative paths: the configuration file's folder."""
    return info.context.folder if isinstance(info.context, Reading) else Path()


def absolute(text: str, folder: Path) -> Path:
    """`text` as a path, relative to `folder` unless absolute; `~` is expanded. Raises `Wrong`."""
    try:
        path = folder / Path(text).expanduser()
        os.fsencode(path)
    except RuntimeError:
        raise Wrong("names the home of somebody unknown") from None
    except UnicodeEncodeError:
        raise Wrong(
            "has a character that no file's name can have in this locale; set LC_ALL=C.UTF-8"
        ) from None
    return path


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    return absolute(line(value), folder_of(info))


FilePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
