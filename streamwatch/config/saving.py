"""Edits saved in the configuration file, all or nothing."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from codecs import BOM_UTF8
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from streamwatch import files
from streamwatch.config.document import reading
from streamwatch.config.document.edits import Edit, edited
from streamwatch.config.document.splicing import Unspliceable, spliced
from streamwatch.config.loading import load, parse, text_of
from streamwatch.errors import ConfigError, Problem


def persist(path: Path, edits: Iterable[Edit]) -> None:
    """Make the edits in the file at `path`; all other lines stay as they are, byte for byte.

    Raises ConfigError, with the file untouched, where the outcome would not be right or can't be
    written.
    """
    edits = tuple(edits)
    before = text_of(path)
    load(path, before, edits)  # says what is wrong with an edit in the words of a command
    after = _spliced(path, before, edits)
    load(path, after)
    if after != before:
        _save(path, before, after)


def _spliced(path: Path, before: str, edits: tuple[Edit, ...]) -> str:
    wanted = edited(parse(path, before), edits).content
    try:
        after = spliced(before, edits)
        written = reading.read(after, str(path)).content
    except (Unspliceable, ConfigError):
        written = None
    if _plain(written, edits) != _plain(wanted, edits):
        raise _refusal(
            path,
            "this change can't be written here without changing something else, which an anchor"
            " (&) shares perhaps; change the file by hand",
        )
    return after


def _plain(content: object, edits: tuple[Edit, ...]) -> object:
    """A section without entries is the same as one that is empty."""
    if not isinstance(content, dict):
        return content
    return content | {edit.section: content.get(edit.section) or {} for edit in edits}


def _save(path: Path, before: str, after: str) -> None:
    try:
        target = path.resolve(strict=True)
        found = target.stat()
        # What nobody may write is not to be written, not even by root.
        if not found.st_mode & 0o222 or not os.access(target, os.W_OK):
            raise PermissionError
        mark = BOM_UTF8 if target.read_bytes().startswith(BOM_UTF8) else b""
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
    """Put a new file in its place, at once for every reader; False where that can't be done.

    It can't in a folder that may not be written, with an owner that can't be set, with several hard
    links, and for a file that is itself mounted, as containers have it. Raises OSError otherwise.
    """
    if found.st_nlink > 1:
        return False
    with ExitStack() as unfinished:
        try:
            new = unfinished.enter_context(files.beside(target, content, on_disk=True))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # no better in place
                raise
            return False
        if not _made_alike(target, new, found):
            return False
        try:
            new.replace(target)
        except OSError:
            return False
        _sync_folder(target.parent)
        return True


def _made_alike(target: Path, new: Path, found: os.stat_result) -> bool:
    """Give the new file the owner, mode and attributes (access lists) of the old."""
    made = new.stat()
    # A hardened service may not even call chown(2), and rarely has to.
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
        with suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(target: Path, content: bytes) -> None:
    """Write into the file as it is; where that fails, what stood there is put back."""
    before = target.read_bytes()
    with target.open("r+b", buffering=0) as file:
        try:
            # Room first, so that a full disk is noticed while nothing is changed.
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
