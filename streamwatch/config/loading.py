"""Finding and loading the configuration file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from streamwatch import files, paths
from streamwatch.config import problems, references
from streamwatch.config.document import reading
from streamwatch.config.document.collecting import nothing_collected
from streamwatch.config.document.edits import Edit, edited
from streamwatch.config.document.expansion import expanded
from streamwatch.config.document.positions import Entry, Fault, Loc
from streamwatch.config.document.reading import Document
from streamwatch.config.sections.camera import CameraSettings
from streamwatch.config.sections.detector import DetectorSettings
from streamwatch.config.sections.notify import NotifySettings
from streamwatch.config.sections.watch import WatchSettings
from streamwatch.config.sections.whole import (
    ClipSettings,
    Config,
    NearMissSettings,
    SnapshotSettings,
)
from streamwatch.config.values.paths import Reading, SeenPictures
from streamwatch.errors import ConfigError, Problem, UnavailableSetting

_Model = TypeVar("_Model", bound=BaseModel)

LARGEST = 10_000_000
"""Most bytes of a configuration file, to catch a wrong path."""
OWN_KEY = "x-"
"""A key at the top that starts so is the person's own: for anchors, and for other programs."""


def find(explicit: Path | None = None) -> Path:
    """The configuration file to use: `explicit`, whether it exists or not, or the first found.

    Raises ConfigError if there is none.
    """
    if explicit is not None:
        return explicit
    candidates = paths.config_candidates()
    for candidate in candidates:
        if _exists(candidate):
            return candidate
    message = (
        f"no configuration file; looked for {', '.join(map(str, candidates))}; "
        "`streamwatch init` writes one to start from, -c FILE names another"
    )
    raise ConfigError([Problem("config.yaml", None, None, "", message)])


@nothing_collected()
def load(
    path: Path,
    text: str | None = None,
    edits: Iterable[Edit] = (),
    *,
    seen: SeenPictures | None = None,
) -> Config:
    """Read and check a whole file, or `text` in place of its content, with `edits` applied.

    What its pictures were before they were read goes into `seen`, also of a file that is wrong.
    Raises `ConfigError` with all errors, ordered by line and column. Values that can't be read at
    all (a bad `${…}`, a tag) are reported once, and not again as missing.
    """
    document = edited(parse(path, text), edits)
    context = Reading(path.absolute().parent, {} if seen is None else seen)
    content, faults = expanded(
        _without_own_keys(document.content), document.entries, context.folder
    )
    faults = [*document.faults, *faults]
    lost = {fault.loc for fault in faults if fault.lost}
    config = None
    try:
        config = Config.model_validate(content, context=context)
    except ValidationError as error:
        found = problems.faults(error, document.entries)
        faults += [fault for fault in found if lost.isdisjoint(_at_and_above(fault.loc))]
    if config is not None and not faults:
        faults += _faults_between_sections(_sections_of(config), document.entries)
    elif not {(), ("cameras",)} & {fault.loc for fault in faults}:  # else some cameras are missing
        sections = _valid_sections(content, context, lost)
        faults += _faults_between_sections(sections, document.entries)
    if config is None or faults:
        faults.sort(key=lambda fault: (fault.position.line, fault.position.column))
        raise ConfigError([fault.problem(str(path)) for fault in faults])
    return config


def located(error: UnavailableSetting, path: Path, text: str | None = None) -> ConfigError:
    """`error` as a ConfigError with the line and column of the setting in the file at `path`.

    For a default, which is not in the file, those of the key above it.
    """
    loc = tuple(error.path.split("."))
    position = problems.position_of(loc, parse(path, text).entries)
    fault = Fault(loc, position, error.message)
    return ConfigError([fault.problem(str(path))])


def parse(path: Path, text: str | None = None) -> Document:
    """The file's YAML, `${…}` not expanded, not validated. Raises `ConfigError`."""
    return reading.read(text_of(path) if text is None else text, str(path))


def _without_own_keys(content: object) -> object:
    if not isinstance(content, dict):
        return content
    return {key: value for key, value in content.items() if not key.startswith(OWN_KEY)}


@dataclass(frozen=True, slots=True)
class _Sections:
    """What is checked together, as far as each could be parsed; notices by their place."""

    detector: DetectorSettings | None
    cameras: Mapping[str, CameraSettings | None]
    watches: Mapping[str, WatchSettings | None]
    snapshots: SnapshotSettings | None
    near_misses: NearMissSettings | None
    clips: ClipSettings | None
    notices: Mapping[int, NotifySettings]


def _sections_of(config: Config) -> _Sections:
    return _Sections(
        config.detector,
        config.cameras,
        config.watches,
        config.snapshots,
        config.near_misses,
        config.clips,
        dict(enumerate(config.notify)),
    )


def _valid_sections(content: object, context: Reading, lost: Collection[Loc]) -> _Sections:
    written = content if isinstance(content, dict) else {}
    incomplete = {loc[:2] for loc in lost}

    def parsed(
        section: str, read: Callable[[object, Reading], _Model | None]
    ) -> dict[str, _Model | None]:
        values = written.get(section)
        return {
            name: None if (section, name) in incomplete else read(value, context)
            for name, value in (values if isinstance(values, dict) else {}).items()
        }

    listed = written.get("notify")
    notices = {
        place: notice
        for place, value in enumerate(listed if isinstance(listed, (list, tuple)) else ())
        if (notice := _notice(value, context)) is not None
    }
    return _Sections(
        _validated(DetectorSettings, written.get("detector"), context),
        parsed("cameras", _camera),
        parsed("watches", _watch),
        _validated(SnapshotSettings, written.get("snapshots"), context),
        _validated(NearMissSettings, written.get("near_misses"), context),
        _validated(ClipSettings, written.get("clips"), context),
        notices,
    )


def _faults_between_sections(sections: _Sections, entries: Mapping[Loc, Entry]) -> Iterator[Fault]:
    """Errors in what the sections say together."""
    cameras, watches = sections.cameras, sections.watches
    valid_watches = {name: watch for name, watch in watches.items() if watch is not None}
    for loc, wrong in references.mistakes(
        sections.detector,
        cameras,
        valid_watches,
        sections.snapshots,
        sections.near_misses,
        sections.clips,
    ):
        yield problems.fault(loc, wrong, entries)
    for loc, wrong in references.mistakes_of_notices(sections.notices, cameras, watches):
        yield problems.fault(loc, wrong, entries)


def _notice(value: object, context: Reading) -> NotifySettings | None:
    """The notice without its invalid keys."""
    rest, _ = _without_faults(NotifySettings, value, context)
    return _validated(NotifySettings, {"url": "json://localhost", **rest}, context)


def _camera(value: object, context: Reading) -> CameraSettings | None:
    """The camera without its invalid keys, or None if its zones are invalid.

    In place of an invalid `fps` the maximum, so that no watch is reported as too slow for it.
    """
    rest, faulty = _without_faults(CameraSettings, value, context)
    if "zones" in faulty:
        return None
    if "fps" in faulty:
        rest["fps"] = 120
    return _validated(CameraSettings, {"url": "bundled:street", **rest}, context)


def _watch(value: object, context: Reading) -> WatchSettings | None:
    """The watch without its invalid keys; None if it can't be built.

    If `appear` or what it depends on is invalid, with one that any camera can satisfy.
    """
    rest, faulty = _without_faults(WatchSettings, value, context)
    if faulty & {"appear", "cameras", "zones"}:
        rest["appear"] = {"hits": 1}
    return _validated(WatchSettings, {"prompt": "anything", **rest}, context)


def _without_faults(
    model: type[BaseModel], value: object, context: Reading
) -> tuple[dict[str, object], set[object]]:
    """The valid keys of a section, and the names of the invalid ones."""
    section = value if isinstance(value, dict) else {}
    try:
        model.model_validate(section, context=context)
    except ValidationError as error:
        faulty: set[object] = {part for mistake in error.errors() for part in mistake["loc"][:1]}
        return {key: kept for key, kept in section.items() if key not in faulty}, faulty
    return dict(section), set()


def _validated(model: type[_Model], value: object, context: Reading) -> _Model | None:
    try:
        return model.model_validate(value, context=context)
    except ValidationError:
        return None


def _at_and_above(loc: Loc) -> Iterator[Loc]:
    return (loc[:length] for length in range(len(loc) + 1))


def text_of(path: Path) -> str:
    """The file's text. Raises `ConfigError`."""
    try:
        content = files.read(path, LARGEST + 1)
    except FileNotFoundError:
        raise _unreadable(path, "this file does not exist; `streamwatch init` writes one") from None
    except IsADirectoryError:
        raise _unreadable(path, "this is a folder; name the file in it") from None
    except files.NotRegular as error:
        message = f"this is a {error.kind}, and only regular files are read; save it in one"
        raise _unreadable(path, message) from None
    except PermissionError:
        raise _unreadable(path, "this file may not be read by the user that runs this") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or "no such name is possible"
        raise _unreadable(path, f"this file can't be read: {reason.lower()}") from None
    if len(content) > LARGEST:
        raise _unreadable(path, f"this file is larger than {LARGEST:,} bytes; is it the right one?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        message = "this is not UTF-8; save the file as UTF-8"
        raise ConfigError([Problem(str(path), line, column, "", message)]) from None


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), None, None, "", message)])


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no permission for a parent folder
        return False
