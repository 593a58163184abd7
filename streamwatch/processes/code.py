"""A copy of this program's own code in memory, for a process that is started later.

A running program must not change with its files: after a `git pull` its text encoder would be of
another version.
"""

from __future__ import annotations

import os
import zipfile
from functools import cache
from pathlib import Path

import streamwatch


@cache
def copied_code() -> int:
    """The descriptor of a zip archive with the package streamwatch, as it was at the first call.

    Kept open as long as this process lives; `/proc/self/fd/N` is a path that Python imports from.
    Raises OSError.
    """
    package = Path(streamwatch.__file__).parent
    descriptor = os.memfd_create("streamwatch-code")
    with os.fdopen(descriptor, "wb", closefd=False) as file, zipfile.ZipFile(file, "w") as archive:
        for module in package.rglob("*.py"):
            archive.write(module, module.relative_to(package.parent))
    return descriptor
