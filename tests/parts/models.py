"""Model files in a cache, as if they had been fetched."""

from __future__ import annotations

from pathlib import Path

from streamwatch.models.store import sha256_of


def record(folder: Path) -> None:
    """Write the checksums that a download would have written."""
    sums = [f"{sha256_of(file)}  {file.name}\n" for file in folder.iterdir()]
    (folder / "SHA256SUMS").write_text("".join(sums))
