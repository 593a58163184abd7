"""The bundled checkpoint, compiled once for all tests of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import convert
from streamwatch.detector.compiled.graph_file import GraphFolder
from streamwatch.detector.loading import job_for
from streamwatch.models.provision import choose, found


def compile_toybox(folder: Path) -> None:
    """Convert it into `folder`; takes 5 s.

    `auto` is full precision with it, also where 16-bit numbers were faster: what is found must not
    depend on the machine that the tests run on, or on what else that did just then.
    """
    choice = choose(DetectorSettings(model="toybox"))
    job = job_for(choice, found(choice.checkpoint))
    kept = GraphFolder(folder)
    graph = convert(job, kept)
    kept.keep(job.key, replace(graph, fastest="f32"))
