"""The Ray cluster: joining it, its nodes, and the workers on them. Ray's types end here."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from streamwatch.errors import StreamwatchError
from streamwatch.fleet.calls import News
from streamwatch.fleet.joining import has_token, imported_ray, join, plain_line

log = logging.getLogger(__name__)

NAME_LABEL = "streamwatch"
"""The label by which a node says its name, where that is not to be its host's."""
LOCK_SECONDS = 10.0
"""How long Ray may take to notice that another controller is gone."""
ANSWER_SECONDS = 3.0
QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
    "RAY_NUM_REDIS_GET_RETRIES": "1",
}
"""What Ray reads from the environment: it tells nobody of its use, changes no environment, outlives
its head for an hour, and is refused once in place of twenty times."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster. `gpus` are whole ones."""

    id: str
    name: str
    address: str
    gpus: int


class Lost(Exception):  # noqa: N818 - reads as what happened
    """A worker is gone, or does not answer any more."""


class Unable(Lost):
    """A worker can't be started on its machine."""


class Call:
    """A method of a worker that was called."""

    def __init__(self, ref: Any) -> None:
        self.ref = ref

    def result(self, timeout: float | None = None) -> Any:
        """Once it is done, or after `timeout` seconds. Raises Lost, or Unable."""
        import ray

        try:
            return ray.get(self.ref, timeout=timeout)
        except ray.exceptions.RayError as error:
            if said := unable(str(error)):
                raise Unable(said) from error
            raise Lost(plain_line(str(error))) from error


class Handle:
    """A worker of the cluster, whether it lives or not."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *arguments: Any) -> Call:
        return Call(getattr(self._actor, method).remote(*arguments))

    def hello(self) -> Call:
        """Is answered as soon as it runs, also if it has to be started again for that."""
        return Call(self._actor.hello.options(max_task_retries=-1).remote())

    def news(self, known: News, patience_seconds: float) -> Call:
        return self.call("news", known, patience_seconds)

    def kill(self) -> None:
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self._actor)


class Cluster:
    """A cluster that runs already; one controller for each topic prefix.

    Raises StreamwatchError where it can't be joined, or another controller is there.
    """

    def __init__(self, address: str | None, prefix: str, *, insecure: bool) -> None:
        if not insecure and not has_token():
            raise StreamwatchError(
                "whoever reaches the ports of a Ray cluster without a token may run any program on"
                " its machines: start Ray and this with RAY_AUTH_MODE=token and the same token"
                " everywhere (docs/fleet.md says how), or allow it with --insecure"
            )
        os.environ.update({key: os.environ.get(key, value) for key, value in QUIET.items()})
        self._ray = imported_ray()
        self.namespace = f"streamwatch-{prefix.replace('/', '.')}"
        join(self._ray, address, self.namespace)
        try:
            self._lock = self._locked()
        except BaseException:
            self._ray.shutdown()
            raise

    def nodes(self) -> list[Node]:
        """Those that live and may be used: with a GPU or a CPU to give."""
        found = []
        for node in self._ray.nodes():
            resources = node["Resources"]
            if node["Alive"] and (resources.get("GPU") or resources.get("CPU")):
                name = node.get("Labels", {}).get(NAME_LABEL) or node["NodeManagerHostname"]
                found.append(
                    Node(
                        node["NodeID"],
                        _clean(name),
                        node["NodeManagerAddress"],
                        int(resources.get("GPU", 0)),
                    )
                )
        return _with_unlike_names(found)

    def machines(self) -> set[str]:
        """The addresses of the nodes that may be used, and of this one."""
        own = self._ray.get_runtime_context().get_node_id()
        here = {n["NodeManagerAddress"] for n in self._ray.nodes() if n["NodeID"] == own}
        return here | {node.address for node in self.nodes()}

    def worker(self, name: str, node: Node) -> Handle:
        """The worker of this name on this node; started where it does not run yet."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from streamwatch.fleet.worker import Worker

        actor = (
            self._ray.remote(Worker)
            .options(
                name=f"{name}@{node.id[:12]}",
                namespace=self.namespace,
                get_if_exists=True,
                lifetime="detached",
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=16,
                num_cpus=0 if node.gpus else 1,
                num_gpus=1 if node.gpus else 0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote(name)
        )
        return Handle(actor)

    def shared(self, value: Any) -> Any:
        """What stands for a value in calls, so that it travels to each node once."""
        return self._ray.put(value)

    def done(self, calls: Mapping[Any, Call], patience_seconds: float) -> list[Any]:
        """The keys of those that are done, as soon as one is."""
        if not calls:
            time.sleep(patience_seconds)
            return []
        keys = {call.ref: key for key, call in calls.items()}
        found, _ = self._ray.wait([*keys], num_returns=len(keys), timeout=0, fetch_local=False)
        if not found:
            found, _ = self._ray.wait(
                [*keys], num_returns=1, timeout=patience_seconds, fetch_local=False
            )
        return [keys[ref] for ref in found]

    def leave(self) -> None:
        with suppress(Exception):  # the lock ends with the connection in any case
            self._ray.kill(self._lock)
        self._ray.shutdown()

    def _locked(self) -> Any:
        """The actor that no second controller can have; it ends with this process."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        own = self._ray.get_runtime_context().get_node_id()
        holder = f"{socket.gethostname()}, pid {os.getpid()}"
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                actor = (
                    self._ray.remote(_lock())
                    .options(
                        name="controller",
                        num_cpus=0,
                        max_restarts=-1,
                        max_task_retries=-1,
                        scheduling_strategy=NodeAffinitySchedulingStrategy(own, soft=True),
                    )
                    .remote(holder)
                )
                self._ray.get(actor.holder.remote())
                return actor
            except ValueError:
                if time.monotonic() < until:
                    time.sleep(0.5)
                    continue
                raise StreamwatchError(
                    f"another controller runs already with this topic prefix ({self._holder()});"
                    " stop that first, or give this fleet another mqtt.topic_prefix"
                ) from None
            except self._ray.exceptions.RayError as error:
                raise StreamwatchError(_unheard(plain_line(str(error)))) from error

    def _holder(self) -> str:
        with suppress(Exception):
            actor = self._ray.get_actor("controller")
            return str(self._ray.get(actor.holder.remote(), timeout=ANSWER_SECONDS))
        return "which does not answer"


def _lock() -> type:
    """A class that Ray sends whole, so that no streamwatch is needed where it runs."""

    class Lock:
        def __init__(self, holder: str) -> None:
            self._holder = holder

        def holder(self) -> str:
            return self._holder

    return Lock


def _unheard(said: str) -> str:
    """Ray lets who has a token into a cluster without; but no node of it answers then."""
    if has_token():
        return (
            f"what is started on the Ray cluster can't answer ({said}): was each of its nodes"
            " started with RAY_AUTH_MODE=token and the same token as this?"
        )
    return f"what is started on the Ray cluster can't answer ({said}): see Ray's logs on its head"


def unable(said: str) -> str | None:
    """Why a worker can't be started, from what Ray says; None where it is something else."""
    if "because of an error raised in its creation task" not in said:
        return None
    reason = plain_line(said.strip().rpartition("\n")[2])
    if "No module named 'streamwatch" in reason:
        return (
            "Ray finds no streamwatch there; install it with its extra `fleet`, in the environment"
            " that Ray was started from"
        )
    return f"it can't be started ({reason})"


def _clean(name: str) -> str:
    """A host's name as a level of a topic, and of a file."""
    return re.sub(r"[^a-z0-9_-]", "-", name.lower())[:40] or "node"


def _with_unlike_names(nodes: list[Node]) -> list[Node]:
    """Two nodes of a name get a part of their ids too."""
    names = Counter(node.name for node in nodes)
    return [
        node
        if names[node.name] == 1
        else Node(node.id, f"{node.name}-{node.id[:6]}", node.address, node.gpus)
        for node in nodes
    ]
