"""The cache of fetched models, each file complete and verified by its checksum.

    models/
      yolov8s-worldv2/          one folder for each source
        yolov8s-worldv2.pt
        SHA256SUMS              written last; `sha256sum -c SHA256SUMS` checks by hand

A file must match its published checksum, if there is one (on the hub). Without one (Ultralytics'
release files) the checksum of the first fetch is recorded, and later fetches must match it.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from streamwatch import files
from streamwatch.config import mask_url
from streamwatch.config.catalogue import Asset, Bundled, HubFolder, Local, Source
from streamwatch.errors import DetectorError
from streamwatch.models.fetching import Fetcher, Progress
from streamwatch.paths import cache_dir

SUMS = "SHA256SUMS"
LARGEST_SUMS = 1_000_000
_SUM = re.compile(r"[0-9a-f]{64}  [^\0]{1,255}")
"""Most bytes of that file; real ones have a few hundred."""
HUB = "https://huggingface.co"


class Missing(DetectorError):  # noqa: N818 - reads as what happened
    """A file that can be fetched is missing, or doesn't match its recorded checksum."""

    def __init__(self, message: str, source: Asset | HubFolder) -> None:
        super().__init__(message)
        self.source = source


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file to fetch. `size` (bytes) and checksums are None where not published."""

    name: str
    address: str
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None


class Store:
    """Finds the files of a source, and fetches those that can be fetched, into `folder`.

    `find` never fetches. All methods raise DetectorError. A file lock keeps processes from
    fetching at the same time.
    """

    def __init__(self, folder: Path, fetcher: Fetcher | None = None) -> None:
        self.folder = folder
        self._fetcher = fetcher or Fetcher()

    def is_here(self, source: Source) -> bool:
        """Whether its files exist. Quick: reads no weights."""
        match source:
            case Bundled():
                return _bundled(source) is not None
            case Local(path):
                return path.exists()
            case Asset() | HubFolder():
                folder = self._folder(source)
                sums = _sums(folder)
                return bool(sums) and all((folder / name).is_file() for name in sums)

    def fingerprint(self, source: Source) -> str:
        """A text that changes with the files of `source`. Quick: reads no weights.

        The recorded checksums of what was fetched, else each file's size and times. In a folder,
        subfolders are left out.
        """
        match source:
            case Bundled() | Local():
                return _stat_fingerprint(self.find(source))
            case Asset() | HubFolder():
                self._require(source)
                return " ".join(
                    f"{name}:{sha}" for name, sha in _sums(self._folder(source)).items()
                )

    def find(self, source: Source) -> Path:
        """The file or folder of `source`. Raises Missing where it must be fetched first.

        Fetched files are verified; those of the user and of packages are not.
        """
        match source:
            case Bundled():
                found = _bundled(source)
                if found is None:
                    raise DetectorError(
                        f"{PurePosixPath(source.path).name} of the package {source.distribution} "
                        f"is missing; install {source.distribution} again"
                    )
                return found
            case Local(path):
                _check_regular(path)
                return path
            case Asset() | HubFolder():
                return self._verified(source)

    def fetch(self, source: Asset | HubFolder, progress: Progress) -> None:
        """Fetch the missing files of `source`, resuming where an earlier fetch broke off."""
        folder = self._folder(source)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                recorded = _sums(folder)
                fetched = {
                    remote.name: self._fetch(remote, folder, recorded.get(remote.name), progress)
                    for remote in self._remotes(source)
                }
                sums = "".join(f"{sha}  {name}\n" for name, sha in fetched.items())
                files.replace(folder / SUMS, sums.encode(), mode=0o644)
        except OSError as error:
            raise DetectorError(
                f"{error.filename or folder} can't be written: {error.strerror}"
            ) from error

    def name(self, source: Asset | HubFolder) -> str:
        """The name of its folder in the cache."""
        return self._folder(source).name

    def origin(self, source: Asset | HubFolder) -> str:
        """Where it is fetched from, for messages."""
        return mask_url(
            source.address if isinstance(source, Asset) else f"{_hub()}/{source.repository}"
        )

    def _require(self, source: Asset | HubFolder) -> None:
        if not self.is_here(source):
            raise Missing(f"{self._folder(source).name} is not in {self.folder}", source)

    def _verified(self, source: Asset | HubFolder) -> Path:
        self._require(source)
        folder = self._folder(source)
        for name, recorded in _sums(folder).items():
            if sha256_of(folder / name) != recorded:
                raise Missing(
                    f"{folder / name} is not the file that was fetched: its checksum is not the "
                    f"one in {SUMS}",
                    source,
                )
        return folder / _file_name(source) if isinstance(source, Asset) else folder

    def _fetch(
        self, remote: _Remote, folder: Path, recorded: str | None, progress: Progress
    ) -> str:
        """Fetch and verify one file unless it is here already; returns its SHA-256."""
        target = folder / remote.name
        if (remote.sha256 or remote.git_blob or recorded) and target.is_file():
            sha256 = sha256_of(target)
            if _is_published(target, sha256, remote) and (_published(remote) or sha256 == recorded):
                return sha256
        part = folder / f"{remote.name}.part"
        self._fetcher.file(remote.address, part, progress, remote.name)
        try:
            sha256 = _verify(part, remote, recorded)
        except DetectorError:
            part.unlink()
            raise
        part.replace(target)
        return sha256

    def _remotes(self, source: Asset | HubFolder) -> list[_Remote]:
        if isinstance(source, Asset):
            return [_Remote(_file_name(source), source.address)]
        api = f"{_hub()}/api/models/{source.repository}/revision/{source.revision}?blobs=true"
        return _hub_files(source, self._fetcher.json(api))

    def _folder(self, source: Asset | HubFolder) -> Path:
        if isinstance(source, Asset):
            return self.folder / PurePosixPath(_file_name(source)).stem
        return self.folder / source.name

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the cache against other processes; the lock is released when its process ends."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(self.folder / ".lock", flags, 0o666), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DetectorError(
                    f"another streamwatch is fetching into {self.folder}; wait for it"
                ) from None
            yield


def default_store() -> Store:
    return Store(cache_dir() / "models")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hex, cached until its inode, size or time changes."""
    status = path.stat()
    return _sha256(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _inode: int, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stat_fingerprint(path: Path) -> str:
    """Names, sizes and times. ctime can't be set back, so it detects a replaced file even if size
    and mtime are the same."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files if file.is_file()]
    except OSError as error:
        raise _unreadable(path, error) from error
    return " ".join(f"{name}:{s.st_size}:{s.st_mtime_ns}:{s.st_ctime_ns}" for name, s in found)


def _check_regular(path: Path) -> None:
    """Raises DetectorError unless it is a file, or a folder that holds only files and folders."""
    if not path.exists():
        raise DetectorError(f"{path} does not exist")
    try:
        for file in path.iterdir() if path.is_dir() else [path]:
            if not file.is_dir() and file.exists():
                files.demand_regular(file)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DetectorError:
    reason = (error.strerror or "unknown reason").lower()
    return DetectorError(f"{error.filename or path} can't be read: {reason}")


def _git_blob(path: Path) -> str:
    """The file's git blob hash, which the hub publishes for files that are not in LFS."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _published(remote: _Remote) -> bool:
    return remote.sha256 is not None or remote.git_blob is not None


def _is_published(path: Path, sha256: str, remote: _Remote) -> bool:
    """Whether the file matches the published size and checksum; true where none is published."""
    if remote.size is not None and path.stat().st_size != remote.size:
        return False
    if remote.sha256 is not None:
        return sha256 == remote.sha256
    return remote.git_blob is None or _git_blob(path) == remote.git_blob


def _verify(part: Path, remote: _Remote, recorded: str | None) -> str:
    """The SHA-256 of a fetched file. Raises DetectorError where it is incomplete or wrong."""
    address, sha256 = mask_url(remote.address), sha256_of(part)
    if not _is_published(part, sha256, remote):
        raise DetectorError(
            f"what came from {address} is not what the hub publishes: another checksum; "
            "it is thrown away"
        )
    if _published(remote):
        return sha256
    if not is_whole_archive(part):
        raise DetectorError(f"what came from {address} is no whole checkpoint; it is thrown away")
    if recorded not in (None, sha256):
        raise DetectorError(
            f"what comes from {address} is another file than at the first fetch; if you "
            f"know why, delete {part.with_name(SUMS)} and fetch it again"
        )
    return sha256


def is_whole_archive(path: Path) -> bool:
    """Whether a checkpoint, which is a zip file, is complete by its directory and checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError):
        return False


def _hub() -> str:
    """The hub's URL, or a mirror in $HF_ENDPOINT, as huggingface_hub reads it."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def _hub_files(source: HubFolder, answer: Any) -> list[_Remote]:
    """The files of `source`, from the hub API's `answer` about its repository."""
    at = f"{_hub()}/{source.repository}/resolve/{source.revision}"
    try:
        published = {
            file["rfilename"]: _Remote(
                file["rfilename"],
                f"{at}/{file['rfilename']}",
                file["size"],
                (file.get("lfs") or {}).get("sha256"),
                file["blobId"] if not file.get("lfs") else None,
            )
            for file in answer["siblings"]
        }
    except (KeyError, TypeError):
        raise DetectorError(f"{mask_url(_hub())} tells nothing about {source.repository}") from None
    weights = [published[name] for name in source.weights if name in published][:1]
    files = [published[name] for name in source.files if name in published]
    for wanted, found in ((source.weights, weights), (source.files, files)):
        if wanted and not found:
            shown = mask_url(f"{_hub()}/{source.repository}")
            raise DetectorError(f"{shown} has none of {', '.join(wanted)}")
    return [*files, *weights]


def _sums(folder: Path) -> dict[str, str]:
    """File name → recorded SHA-256; empty where the folder was never completed, or the record is
    broken, so that the files are fetched again."""
    try:
        content = files.read(folder / SUMS, LARGEST_SUMS)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(folder / SUMS, error) from error
    lines = content.decode(errors="replace").splitlines()
    if not all(_SUM.fullmatch(line) for line in lines):
        return {}
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}


def _file_name(source: Asset) -> str:
    return source.address.rpartition("/")[2]


def _bundled(source: Bundled) -> Path | None:
    spec = importlib.util.find_spec(source.package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / source.path).exists():
            return path
    return None
