"""The kinds of network that a checkpoint may hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from streamwatch.config.catalogue import NetworkKind
from streamwatch.detector.networks.graph import Graph
from streamwatch.detector.networks.yolo_world import world_graph
from streamwatch.detector.networks.yoloe import yoloe_graph

GRAPHS: dict[NetworkKind, Callable[[Path], Graph]] = {
    "world": world_graph,
    "yoloe-11": partial(yoloe_graph, text_model="mobileclip:blt"),
    "yoloe-26": partial(yoloe_graph, text_model="mobileclip2:b"),
}
"""Each raises DetectorError for a checkpoint that is missing, broken or of another kind."""
