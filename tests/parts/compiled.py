"""The bundled checkpoint, compiled once for all tests of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from streamwatch.config import DetectorSettings
from streamwatch.detector.compiled.conversion import convert
from streamwatch.detector.compiled.graph_file import GraphFolder
from streamwatch.detector.loading import job_for
from streamwatch.models.provision import choose, found
from tests.parts import IMAGE_SIZE


def compile_toybox(folder: Path) -> None:
    """Convert it into `folder`; takes 5 s.

    `auto` is full precision with it, also where 16-bit numbers were faster: what is found must not
    depend on the machine that the tests run on, or on what else that did just then.
    """
    choice = choose(DetectorSettings(model="toybox"))
    smaller = choose(DetectorSettings(model="toybox", image_size=IMAGE_SIZE))
    job, also = (job_for(each, found(each.checkpoint)) for each in (choice, smaller))
    kept = GraphFolder(folder)
    graph = replace(convert(job, kept), fastest="f32")
    # It is the same graph for all sizes; only which number is fastest is measured for each.
    for each in (job, also):
        kept.keep(each.key, graph)
