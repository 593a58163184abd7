"""What of a configuration can't be had by several machines."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from streamwatch.config import Config
from streamwatch.errors import UnavailableSetting

_LOOPBACK = re.compile(r"localhost(\.localdomain)?|127\..*|::1", re.IGNORECASE)


def require_fit(config: Config, machines: Collection[str] = ()) -> None:
    """`machines` are their addresses, if they are known yet. Raises UnavailableSetting."""
    for path, said in _mistakes(config, machines):
        raise UnavailableSetting(path, said)


def _mistakes(config: Config, machines: Collection[str]) -> Iterator[tuple[str, str]]:
    if config.mqtt.embedded:
        yield (
            "mqtt.embedded",
            "a fleet needs a broker that all its machines reach; write its host in mqtt.host",
        )
    elif len({*machines}) > 1 and _LOOPBACK.fullmatch(config.mqtt.host):
        yield (
            "mqtt.host",
            f"{config.mqtt.host} is another machine for each machine of a fleet; write the"
            " broker's name or address",
        )
    if config.detector.device.startswith("cuda:"):
        yield (
            "detector.device",
            f"each worker of a fleet has a GPU for itself; write cuda in place of"
            f" {config.detector.device}",
        )
    for name, camera in config.cameras.items():
        if camera.kind == "device":
            yield (
                f"cameras.{name}.url",
                f"{camera.url} is a device of one machine; make a stream of it there (as with"
                " mediamtx), or watch it with `streamwatch run` and another mqtt.topic_prefix",
            )
