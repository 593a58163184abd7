"""Whether the broker lets us in, what it limits, and what its access list allows."""

from __future__ import annotations

from collections.abc import Iterator

from streamwatch.doctor.check import Check, Installation
from streamwatch.publisher import try_broker

AREA = "broker"


def checks(case: Installation) -> Iterator[Check]:
    if case.config is None:
        return
    mqtt = case.config.mqtt
    if mqtt.embedded:
        if case.running is None:
            yield Check(AREA, "", True, "inside the daemon, and starts with it")
        else:
            broker = case.running["broker"]
            is_up = broker["connected"]
            said = f"inside the daemon, at {broker['address']}"
            do = None if is_up else "the log of the daemon tells why it is not connected"
            yield Check(AREA, "", is_up, said, do)
        return
    found, wrong = try_broker(mqtt)
    for line in found:
        yield Check(AREA, "", True, line)
    for line in wrong:
        yield Check(AREA, "", False, line, "see mqtt in the configuration, and the broker's own")
