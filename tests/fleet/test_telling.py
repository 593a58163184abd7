"""What a fleet says about itself."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from streamwatch.fleet.ledger import Ledger
from streamwatch.fleet.telling import is_stats, own_bytes, summed
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.waiting import wait_until
from tests.publisher.running import settings


def stats(camera: str, frames: int, slowest: float | None, share: float | None) -> dict[str, Any]:
    """Of a worker, as far as they are read."""
    return {
        "cameras": {camera: {"analysed": frames}},
        "detector": {
            **{"batches": frames, "frames": frames},
            **{"ms_p50": slowest, "ms_p95": slowest, "share": share},
        },
        "second_looks": {
            **{"looks": 1, "confirmed": 1, "failed": 0, "held_back": 0},
            **{"ms_p50": None, "ms_p95": None},
        },
        "latency_ms": {"p50": 20.0, "p95": slowest},
        "outbox": 1,
        "rss_bytes": 1000,
    }


def test_counters_are_summed_and_of_times_the_worst_is_told() -> None:
    found = summed([stats("a", 3, 40.0, None), stats("b", 5, 70.0, 0.8)], "me", 12.34)
    assert found["cameras"] == {"a": {"analysed": 3}, "b": {"analysed": 5}}
    assert found["detector"] == {
        **{"batches": 8, "frames": 8},
        **{"ms_p50": 70.0, "ms_p95": 70.0, "share": 0.8},
    }
    assert found["second_looks"]["looks"] == 2
    assert found["second_looks"]["ms_p50"] is None
    assert found["latency_ms"] == {"p50": 20.0, "p95": 70.0}
    assert found["outbox"] == 2
    assert found["rss_bytes"] >= own_bytes() / 2
    assert (found["instance"], found["uptime_s"]) == ("me", 12.3)


def test_without_a_worker_there_is_nothing_to_sum() -> None:
    found = summed([], "me", 0)
    assert (found["cameras"], found["detector"]["frames"]) == ({}, 0)
    assert found["latency_ms"] == {"p50": None, "p95": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("cameras",), []),
        (("cameras", "a"), 5),
        (("detector",), None),
        (("detector", "frames"), "3"),
        (("detector", "frames"), None),
        (("detector", "ms_p50"), "40"),
        (("detector", "share"), []),
        (("latency_ms", "p95"), {}),
        (("second_looks",), {}),
        (("outbox",), True),
        (("rss_bytes",), None),
    ],
)
def test_what_can_not_be_summed_is_no_statistics(path: tuple[str, ...], value: object) -> None:
    right = stats("a", 3, 40.0, None)
    assert is_stats(right)
    wrong = copy.deepcopy(right)
    place: Any = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not is_stats(wrong)
    assert not any(map(is_stats, (None, 5, [], "detector", {})))


def test_what_others_write_to_the_broker_does_no_harm(mosquitto: Mosquitto) -> None:
    prefix = "harm"
    with Subscriber(mosquitto.port, f"{prefix}/#") as subscriber:
        ledger = Ledger(settings(mosquitto, prefix))
        ledger.start()
        try:
            for payload in (b"5", b"{}", b"[" * 100_000, b"\xff", b"null"):
                for topic in ("visits/porch", "workers/one/status", "cameras/porch/status"):
                    subscriber.publish(f"{prefix}/{topic}", payload, retain=True)
            subscriber.publish(f"{prefix}/workers/two/status", b"offline", retain=True)
            wait_until(lambda: ledger.is_offline("two"))
            subscriber.publish(f"{prefix}/workers/one/stats", b"5")
            subscriber.publish(f"{prefix}/workers/three/status", b"offline", retain=True)
            wait_until(lambda: ledger.is_offline("three"))
            assert ledger.stats(["one"]) == []
            assert ledger.visits(["porch"]) == []
            assert not ledger.is_offline("one")
        finally:
            ledger.stop()
