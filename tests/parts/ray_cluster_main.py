"""A Ray cluster of several nodes on this machine, in a process of its own.

Reads lines of JSON from its input and answers each with one: `{"add": NAME}` starts a node, with an
`environment` of its own, and gives the process id of its raylet; `{"remove": NAME}` forgets one
that was killed. The first line that it writes is the address of the head. Everything ends with its
input.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

STORE_BYTES = 80_000_000


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        },
    )
    nodes: dict[str, Any] = {}
    _say(cluster.address)
    for line in sys.stdin:
        asked = json.loads(line)
        if name := asked.get("add"):
            with _environment(asked.get("environment", {})):
                nodes[name] = cluster.add_node(
                    num_cpus=2,
                    num_gpus=asked.get("gpus", 0),
                    object_store_memory=STORE_BYTES,
                    labels={"streamwatch": name},
                )
            _say(nodes[name].all_processes["raylet"][0].process.pid)
        elif name := asked.get("remove"):
            with suppress(Exception):  # it was killed
                cluster.remove_node(nodes.pop(name), allow_graceful=False)
            _say(None)
    cluster.shutdown()


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """What is started meanwhile has this in its environment too."""
    before = {**os.environ}
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


main()
