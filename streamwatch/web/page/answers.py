"""What the page asks of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from streamwatch.config import Edit, Preview
from streamwatch.history.history import Wanted
from streamwatch.pictures.shots import Shot

Document = dict[str, Any]
"""Values that JSON has."""


class Viewer(Protocol):
    """Somebody who looks at cameras; see `live.pictures.Viewer`."""

    def look_at(self, widths: Mapping[str, int]) -> None: ...
    def want(self, camera: str) -> None: ...
    def take(self) -> Sequence[Shot]: ...
    def close(self) -> None: ...


class Trial(Protocol):
    """Words that are tried; see `live.trials.Trial`."""

    def want(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Words:
    """What to try on a camera, in a picture of about this width in pixels."""

    camera: str
    prompts: tuple[str, ...]
    rivals: tuple[str, ...]
    width: int


class Answers(Protocol):
    """Called in the page's threads, which may wait. What people get wrong is a StreamwatchError."""

    @property
    def state(self) -> Document:
        """How all is now: cameras, watches, broker, detector, problems."""
        ...

    def camera(self, name: str) -> Document | None:
        """A camera's areas and settings; None where there is none of this name."""
        ...

    def watches(self) -> list[Document]:
        """The watches' settings, and what is known of them."""
        ...

    def alerts(self, wanted: Wanted) -> list[Document]:
        """The newest first."""
        ...

    def alert(self, id: str) -> Document | None: ...

    def near_misses(self, camera: str | None, watch: str | None) -> list[Document]:
        """The newest first."""
        ...

    def picture(self, id: str, *, crop: bool) -> bytes | None:
        """A JPEG of an alert; None where none is kept."""
        ...

    def clip(self, id: str) -> Path | None:
        """The file of an alert's video; None where there is none."""
        ...

    def poster(self, id: str) -> bytes | None:
        """A JPEG of an alert's video; None where none is kept."""
        ...

    def near_miss_picture(self, file: str) -> bytes | None: ...

    def teach(self, id: str, *, right: bool) -> str:
        """Take a vote on an alert; what is to be said of it, perhaps nothing."""
        ...

    def preview(self, edit: Edit) -> Preview:
        """The lines of the file that an edit would change."""
        ...

    def apply(self, edit: Edit, seen: str) -> str:
        """Write an edit in the file that was `seen`, as `Preview.of` has it; what came of it."""
        ...

    def viewer(self, wake: Callable[[], None]) -> Viewer: ...

    def try_words(self, words: Words, give: Callable[[Shot | str], None]) -> Trial: ...
