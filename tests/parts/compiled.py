"""The bundled checkpoint, compiled once for all tests of a run."""

from __future__ import annotations

from pathlib import Path

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import convert
from streamwatch.detector.compiled.graph_file import GraphFolder
from streamwatch.detector.loading import job_for
from streamwatch.models.provision import choose, found


def compile_toybox(folder: Path) -> None:
    """Convert it into `folder`; takes 5 s."""
    choice = choose(DetectorSettings(model="toybox"))
    convert(job_for(choice, found(choice.checkpoint)), GraphFolder(folder))
