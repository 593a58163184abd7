"""Checks what several sections say together: references between watches and cameras, folders."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from streamwatch.config.catalogue import ENCODERS, PICTURE_MODEL, RECOMMENDED
from streamwatch.config.document.positions import Loc
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.notify import NotifySettings
from streamwatch.config.sections.second_look import SecondLookSettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.config.sections.whole import (
    ClipSettings,
    NearMissSettings,
    SnapshotSettings,
    clip_folder,
    near_miss_folder,
    snapshot_folder,
)
from streamwatch.config.values.phrases import folded
from streamwatch.config.values.pictures import PicturePrompt
from streamwatch.config.values.units import duration_text
from streamwatch.config.wording import Wrong, did_you_mean, shortened
from streamwatch.errors import StreamwatchError

_MOST_COMPARED = 300_000
"""Names that are compared with misspelt ones, about a second's work."""


class _Known:
    """The names of one kind that exist, and what is said of one that does not."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = dict.fromkeys(names)
        self._there = f"; there is {shortened(self._names, 'and') if self._names else 'none'}"
        self._compared = 0

    def unknown(self, names: Iterable[str] | None, what: str) -> Iterator[tuple[int, Wrong]]:
        """An error for each of `names` that is not `what`, with its index."""
        for index, name in enumerate(names or ()):
            if name not in self._names:
                yield index, Wrong(f"is not {what}{self._meant(name) or self._there}")

    def _meant(self, name: str) -> str:
        if self._compared > _MOST_COMPARED:
            return ""
        self._compared += len(self._names)
        return did_you_mean(name, self._names)


def mistakes(
    detector: DetectorSettings | None,
    cameras: Mapping[str, CameraSettings | None],
    watches: Mapping[str, WatchSettings],
    snapshots: SnapshotSettings | None,
    near_misses: NearMissSettings | None,
    clips: ClipSettings | None,
) -> Iterator[tuple[Loc, Wrong]]:
    """All errors, each with the loc it is at.

    None stands for an invalid camera: it exists, but its zones and fps are not checked. So it does
    for an invalid detector, `snapshots`, `near_misses` or `clips`.
    """
    yield from _shared_folders(snapshots, near_misses, clips)
    known = _Known(cameras)
    for name, watch in watches.items():
        at: Loc = ("watches", name)
        unknown = dict(known.unknown(watch.cameras, "a camera"))
        for index, wrong in unknown.items():
            yield (*at, "cameras", index), wrong
        named = [camera for camera in watch.cameras or cameras if camera in cameras]
        valid = {camera: found for camera in named if (found := cameras[camera]) is not None}
        if len(valid) == len(named) and not unknown:
            for index, wrong in _unknown_zones(watch, valid):
                yield (*at, "zones", index), wrong
        if (too_slow := _too_slow(watch, valid)) is not None:
            yield (*at, "appear"), too_slow
        if clips is not None and (unfit := _unfit_for_clips(watch, valid, clips)) is not None:
            yield (*at, "clip"), unfit
        if detector is not None:
            for key, refused in _pictures_refused(watch, detector):
                yield (*at, *key), refused
        if (wordless := _wordless(watch)) is not None:
            yield (*at, "second_look"), wordless
        if detector is not None and (blind := _blind(watch, detector)) is not None:
            yield (*at, "second_look"), blind
        if (own := _against_itself(watch)) is not None:
            yield (*at, "second_look", "against"), own


def mistakes_of_notices(
    notices: Mapping[int, NotifySettings], cameras: Iterable[str], watches: Iterable[str]
) -> Iterator[tuple[Loc, Wrong]]:
    """Names in `notify` that do not exist; the notices by their place in the list."""
    known_cameras, known_watches = _Known(cameras), _Known(watches)
    for place, notice in notices.items():
        at: Loc = ("notify", place)
        for index, wrong in known_cameras.unknown(notice.cameras, "a camera"):
            yield (*at, "cameras", index), wrong
        for index, wrong in known_watches.unknown(notice.watches, "a watch"):
            yield (*at, "watches", index), wrong


def _shared_folders(
    snapshots: SnapshotSettings | None,
    near_misses: NearMissSettings | None,
    clips: ClipSettings | None,
) -> Iterator[tuple[Loc, Wrong]]:
    """An error for each that is kept in the folder of another, where both would delete by their own
    limits."""
    kept: dict[str, Callable[[], Path]] = {}
    if snapshots is not None:
        kept["snapshots"] = partial(snapshot_folder, snapshots)
    if near_misses is not None:
        kept["near_misses"] = partial(near_miss_folder, near_misses)
    if clips is not None:
        kept["clips"] = partial(clip_folder, clips)
    found: dict[Path, str] = {}
    for section, folder in kept.items():
        try:
            other = found.setdefault(folder(), section)
        except StreamwatchError:  # it is in the state folder, and there is none
            continue
        if other != section:
            wrong = Wrong(f"is the folder of {other} too; write another", subject=False)
            yield (section, "path"), wrong


def _unfit_for_clips(
    watch: WatchSettings, cameras: Mapping[str, CameraSettings], clips: ClipSettings
) -> Wrong | None:
    """An error if the video of one of its cameras can't be copied, or must not be."""
    if not watch.clip or clips.encode:
        return None
    for name, camera in cameras.items():
        if camera.mask and not clips.unmasked:
            return Wrong(
                f"camera {name} has a mask, which is not in the video that it sends; write "
                "clips.encode: true to have it in the clips, or clips.unmasked: true for clips "
                "that show all",
                subject=False,
            )
        if camera.kind == "device":
            return Wrong(
                f"camera {name} is read as pictures, which no clip takes as they are; write "
                "clips.encode: true to encode them",
                subject=False,
            )
    return None


def _unknown_zones(
    watch: WatchSettings, cameras: Mapping[str, CameraSettings]
) -> Iterator[tuple[int, Wrong]]:
    if not cameras:
        yield from (
            (index, Wrong("is no zone: there is no camera"))
            for index, _ in enumerate(watch.zones or ())
        )
    elif watch.zones:
        zones = _Known(zone for camera in cameras.values() for zone in camera.zones)
        yield from zones.unknown(watch.zones, f"a zone of camera {shortened(cameras)}")


def _blind(watch: WatchSettings, detector: DetectorSettings) -> Wrong | None:
    """An error if the second look compares words, and the text encoder has no image tower."""
    encoder = ENCODERS.get(detector.encoder_name)  # a folder is looked into when it is loaded
    if watch.look is None or not watch.look.by_words or encoder is None or encoder.image:
        return None
    return Wrong(
        f"compares a picture with words, and the text encoder {detector.encoder_name} is for words "
        f"alone; take a model whose encoder has an image tower, as {RECOMMENDED}, or ask a "
        "language model: {ask: …, url: …, model: …}",
        subject=False,
    )


def _pictures_refused(
    watch: WatchSettings, detector: DetectorSettings
) -> Iterator[tuple[Loc, Wrong]]:
    """Errors where there are pictures, and the model takes none."""
    encoder = ENCODERS.get(detector.encoder_name)
    if encoder is not None and encoder.network != "world":
        return
    wrong = Wrong(
        f"the model {detector.model} takes words alone as prompts; for pictures take a YOLOE model,"
        f" as {PICTURE_MODEL}",
        subject=False,
    )
    if watch.pictures:
        yield ("pictures",), wrong
    for index, rival in enumerate(watch.not_):
        if isinstance(rival, PicturePrompt):
            yield ("not", index) if len(watch.not_) > 1 else ("not",), wrong


def _wordless(watch: WatchSettings) -> Wrong | None:
    """An error if the second look compares words, and the watch has none."""
    if watch.look is None or not watch.look.by_words or watch.words:
        return None
    return Wrong(
        "compares a picture with the words of the watch, which has pictures alone; write a prompt"
        " too, or ask a language model: {ask: …, url: …, model: …}",
        subject=False,
    )


def _against_itself(watch: WatchSettings) -> Wrong | None:
    """An error if the second look holds a prompt of the watch against it."""
    look = watch.second_look
    own = {folded(prompt) for prompt in watch.prompt}
    if not isinstance(look, SecondLookSettings) or own.isdisjoint(map(folded, look.against)):
        return None
    return Wrong(
        "names a prompt of the watch itself, which can't be held against it; leave that out "
        "(upper case and spaces make no difference)",
        subject=False,
    )


def _too_slow(watch: WatchSettings, cameras: Mapping[str, CameraSettings]) -> Wrong | None:
    """An error if the slowest camera's fps is too low for `appear.hits` within `appear.within`."""
    watched = [
        name
        for name, camera in cameras.items()
        if watch.zones is None or not camera.zones.keys().isdisjoint(watch.zones)
    ]
    if not watched:
        return None
    slowest = min(watched, key=lambda name: cameras[name].fps)
    fps = cameras[slowest].fps
    hits, within = watch.appear.hits, watch.appear.within
    needed_seconds = (hits - 1) / fps
    if needed_seconds <= within.total_seconds() + 1e-9:
        return None
    long_enough = duration_text(timedelta(milliseconds=math.ceil(needed_seconds * 1000 - 1e-6)))
    few_enough = math.floor(within.total_seconds() * fps + 1e-9) + 1
    fast_enough = math.ceil((hits - 1) / within.total_seconds() * 100 - 1e-6) / 100
    return Wrong(
        f"{hits} hits at the {fps:g} fps of camera {slowest} take {long_enough}, longer than "
        f"within: {duration_text(within)}; write within: {long_enough}, or hits: {few_enough}, "
        f"or cameras.{slowest}.fps: {fast_enough:g}",
        subject=False,
    )
