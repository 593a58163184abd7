"""The configuration of a trial, from what people ask for on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from streamwatch.config import (
    CameraSettings,
    Config,
    DetectorSettings,
    WatchSettings,
    did_you_mean,
    first_mistake,
    listing,
)
from streamwatch.errors import StreamwatchError
from streamwatch.tuning.footage import Footage, footage, slug, unused

_Made = TypeVar("_Made", WatchSettings, DetectorSettings)


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look for, and with what.

    `prompts` become a watch each; `watches` are names of the configuration's. `not_` are prompts
    that all of them must beat.
    """

    prompts: Sequence[str] = ()
    watches: Sequence[str] = ()
    not_: Sequence[str] = ()
    model: str | None = None
    text_encoder: str | None = None
    confidence: float | None = None
    fps: float | None = None
    base: Config | None = field(default=None, repr=False)
    """The configuration, where there is one."""

    def config(self) -> Config:
        """A configuration of these watches. Raises StreamwatchError."""
        watches: dict[str, WatchSettings] = {}
        for name in self.watches:
            watches[name] = self._watch(name)
        for prompt in dict.fromkeys(self.prompts):
            keys = {"prompt": [prompt], **({"not": list(self.not_)} if self.not_ else {})}
            found = _made(WatchSettings, keys)
            watches[unused(slug(prompt), watches)] = found
        if not watches:
            raise StreamwatchError('say what to look for: --prompt "red backpack", or --watch NAME')
        detector = self.detector()
        if self.base is not None:
            return self.base.model_copy(update={"detector": detector, "watches": watches})
        cameras = {"footage": CameraSettings(url="bundled:street")}  # one is needed; none is opened
        return Config(detector=detector, cameras=cameras, watches=watches)

    def detector(self) -> DetectorSettings:
        """With what to look. Raises StreamwatchError."""
        if self.model is not None:
            own = {"model": self.model, "text_encoder": self.text_encoder}
            found = _made(DetectorSettings, own)
        elif self.base is not None:
            found = self.base.detector
        else:
            raise StreamwatchError(
                "there is no configuration that says what to look with: name a model with --model"
                " (`streamwatch models` lists them; toybox is at hand)"
            )
        if self.confidence is not None:
            found = found.model_copy(update={"confidence": self.confidence})
        return found

    def footage(self, named: Sequence[str]) -> tuple[Footage, ...]:
        """What to look at. Raises StreamwatchError."""
        cameras = {} if self.base is None else self.base.cameras
        shared = self._shared_cameras()
        for name in named:
            if name in cameras and shared is not None and name not in shared:
                raise StreamwatchError(
                    f"the watch {listing(self.watches, 'and')} is not for the camera {name}, but"
                    f" for {listing(shared, 'and')}"
                )
        like = None if not shared else cameras[shared[0]]
        return footage(named, cameras, like, self.fps)

    def _watch(self, name: str) -> WatchSettings:
        if self.base is None:
            raise StreamwatchError(f"--watch {name} needs a configuration; name it with -c FILE")
        found = self.base.watches.get(name)
        if found is None:
            meant = did_you_mean(name, self.base.watches)
            known = f"; there are {listing(self.base.watches, 'and')}" if self.base.watches else ""
            raise StreamwatchError(f"there is no watch {name}{meant or known}")
        more = [rival for rival in self.not_ if rival not in found.not_]
        changes: dict[str, object] = {"not_": (*found.not_, *more)} if more else {}
        if self.confidence is not None:
            changes["confidence"] = self.confidence
        return found.model_copy(update=changes)

    def _shared_cameras(self) -> list[str] | None:
        """The cameras that all of the `watches` are for; None without such watches."""
        if not self.watches or self.base is None:
            return None
        shared = set(self.base.cameras)
        for name in self.watches:
            shared &= set(self.base.cameras_of(name))
        if not shared:
            raise StreamwatchError(
                f"no camera has {listing(self.watches, 'and')} together; try them one by one"
            )
        return [name for name in self.base.cameras if name in shared]


def _made(kind: type[_Made], keys: Mapping[str, object]) -> _Made:
    """Raises StreamwatchError."""
    try:
        return kind.model_validate(keys)
    except ValidationError as error:
        raise StreamwatchError(first_mistake(error)) from None
