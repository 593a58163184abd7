"""Saves edits in the configuration file, all or none."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import re
import shutil
import stat
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from streamwatch import files
from streamwatch.config.document import reading
from streamwatch.config.document.edits import Amend, Edit, Put, edited
from streamwatch.config.document.reading import Document
from streamwatch.config.document.splicing import Unspliceable, spliced
from streamwatch.config.loading import LARGEST, load, parse, text_of
from streamwatch.config.values.texts import as_list
from streamwatch.errors import ConfigError, Problem
from streamwatch.masking import MASK, SECRET_KEYS, mask_secrets_in

_SECRET = re.compile(
    rf"""((?:{"|".join(sorted(SECRET_KEYS))})['"]?\s*:\s*)("[^"]*"|'[^']*'|[^,}}\]#]*[^,}}\]#\s])"""
)


def persist(path: Path, edits: Iterable[Edit]) -> None:
    """Apply the edits to the file at `path`; all other lines stay the same, byte for byte.

    Raises ConfigError, with the file unchanged, if the result would be invalid or can't be written.
    """
    before, after = _written(path, tuple(edits))
    if after != before:
        _save(path, before, after)


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of the file that an edit replaces, from `line` on, counted from 1; secrets masked."""

    line: int
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What edits would change in a file. `of` is a fingerprint of the file as it is now."""

    of: str
    hunks: tuple[Hunk, ...]


def preview(path: Path, edits: Iterable[Edit]) -> Preview:
    """What `persist` would write. Raises ConfigError where it would."""
    before, after = _written(path, tuple(edits))
    old, new = before.splitlines(), after.splitlines()
    matched = difflib.SequenceMatcher(None, old, new, autojunk=False)
    hunks = [
        Hunk(start + 1, _masked(old[start:end]), _masked(new[new_start:new_end]))
        for tag, start, end, new_start, new_end in matched.get_opcodes()
        if tag != "equal"
    ]
    return Preview(hashlib.sha256(before.encode()).hexdigest(), tuple(hunks))


def _masked(lines: Iterable[str]) -> tuple[str, ...]:
    """A line may hold a whole camera, with its address and password."""
    return tuple(_SECRET.sub(rf"\g<1>{MASK}", mask_secrets_in(line)) for line in lines)


def _written(path: Path, edits: tuple[Edit, ...]) -> tuple[str, str]:
    """The file's text before and after the edits. Raises ConfigError."""
    before = text_of(path)
    load(path, before, edits)  # reports errors in an edit as those of a command, not of the file
    after = _spliced(path, before, edits)
    load(path, after)
    return before, after


def written_watch(path: Path, name: str) -> Mapping[str, object]:
    """A watch as it stands in the file, nothing expanded. Raises ConfigError."""
    entry = _entry(parse(path), name)
    if entry is None:
        raise _refusal(path, f"there is no watch {name}")
    return entry


def with_picture(
    path: Path, text: str, edits: Iterable[Edit], watch: str, picture: Mapping[str, object]
) -> Edit:
    """The edit that gives a watch one picture more, or adds a watch with that alone. Raises
    ConfigError."""
    entry = _entry(edited(parse(path, text), edits), watch)
    if entry is None:
        return Edit("watches", watch, Put({"pictures": [picture]}))
    there = as_list(entry.get("pictures") or ())
    return Edit("watches", watch, Amend({"pictures": [*there, picture]}))


def _entry(document: Document, watch: str) -> dict[str, object] | None:
    content = document.content
    watches = content.get("watches") if isinstance(content, dict) else None
    entry = watches.get(watch) if isinstance(watches, dict) else None
    return entry if isinstance(entry, dict) else None


def _spliced(path: Path, before: str, edits: tuple[Edit, ...]) -> str:
    wanted = edited(parse(path, before), edits).content
    try:
        after = spliced(before, edits)
        written = reading.read(after, str(path)).content
    except (Unspliceable, ConfigError):
        written = None
    if _with_empty_sections(written, edits) != _with_empty_sections(wanted, edits):
        raise _refusal(
            path,
            "this change can't be written here without changing something else, which an anchor"
            " (&) or a merge (<<) shares perhaps; change the file by hand",
        )
    return after


def _with_empty_sections(content: object, edits: tuple[Edit, ...]) -> object:
    """The content with sections of the edits that are absent or null as `{}`, for comparing."""
    if not isinstance(content, dict):
        return content
    return content | {edit.section: content.get(edit.section) or {} for edit in edits}


def _save(path: Path, before: str, after: str) -> None:
    try:
        target = path.resolve(strict=True)
        found = target.stat()
        # Root could write a read-only file, but must not.
        if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise PermissionError
        mark = BOM_UTF8 if files.read(target, len(BOM_UTF8)) == BOM_UTF8 else b""
        if text_of(target) != before:
            raise _refusal(path, "this file was changed at the same moment; try again")
        content = mark + after.encode()
        if not _replace(target, found, content):
            _write(target, content)
    except PermissionError:
        raise _refusal(path, "this file may not be written; the change is not saved") from None
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise _refusal(
            path, f"this file can't be written ({reason}); the change is not saved"
        ) from None


def _replace(target: Path, found: os.stat_result, content: bytes) -> bool:
    """Replace the file atomically by a new one; False where that is impossible.

    It is in a read-only folder, if the owner can't be set, with several hard links, and for a file
    that is itself a mount point, as in containers. Raises OSError for a full or broken disk.
    """
    if found.st_nlink > 1:
        return False
    with ExitStack() as unfinished:
        try:
            new = unfinished.enter_context(files.beside(target, content, on_disk=True))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # would fail in place too
                raise
            return False
        if not _copy_attributes(target, new, found):
            return False
        try:
            new.replace(target)
        except OSError:
            return False
        _sync_folder(target.parent)
        return True


def _copy_attributes(target: Path, new: Path, found: os.stat_result) -> bool:
    """Copy owner, mode and extended attributes (ACLs); False if the owner can't be set."""
    made = new.stat()
    # Only if needed: the system call filter of a hardened service forbids chown(2).
    if (made.st_uid, made.st_gid) != (found.st_uid, found.st_gid):
        try:
            os.chown(new, found.st_uid, found.st_gid)
        except OSError:
            return False
    shutil.copystat(target, new)
    new.chmod(stat.S_IMODE(found.st_mode))
    os.utime(new)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # not supported by every file system
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(target: Path, content: bytes) -> None:
    """Overwrite the file in place; if that fails, restore its content. Raises OSError."""
    before = files.read(target, LARGEST)
    with target.open("r+b", buffering=0) as file:
        try:
            # Allocate first, so that a full disk is an error before anything is changed.
            os.posix_fallocate(file.fileno(), 0, len(content))
            _overwrite(file.fileno(), content)
        except OSError:
            with suppress(OSError):
                _overwrite(file.fileno(), before)
            raise


def _overwrite(descriptor: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], written)
    os.ftruncate(descriptor, len(content))
    os.fsync(descriptor)


def _refusal(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), None, None, "", message)])
