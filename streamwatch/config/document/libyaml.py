"""Composes a text with libyaml's parser, which a PyYAML built without it lacks.

Its events become nodes in Python, since its own composer recurses in C, without a limit.
"""

from __future__ import annotations

import yaml
from yaml._yaml import CParser

from streamwatch.config.document.composing import CoreComposer, ReadError


def composed(text: str) -> yaml.Node | None:
    """The graph of nodes; None where the text is faulty, or might be read otherwise by PyYAML."""
    try:
        return _Libyaml(text).get_single_node()
    except (yaml.YAMLError, ReadError, ValueError, OverflowError):
        return None


class _Libyaml(CoreComposer, CParser):
    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        CoreComposer.__init__(self)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.ScalarNode) and not node.style:
            node.style = None
            if _is_in_flow(parent) and (not node.value or "?" in node.value):
                raise yaml.YAMLError  # PyYAML places nothing elsewhere, and ends a text at a ?
        return node


def _is_in_flow(parent: yaml.Node | None) -> bool:
    """Whether a node below `parent` stands within [ ] or { }."""
    return isinstance(parent, yaml.CollectionNode) and bool(parent.flow_style)
