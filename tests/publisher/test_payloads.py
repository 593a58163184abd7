from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamwatch.publisher.contract.payloads import (
    DetectorStats,
    LatencyStats,
    SecondLookStats,
    Stats,
    WatchInfo,
    clip_fields,
    encode,
    event_fields,
    near_fields,
    rejected_fields,
    timestamp,
)
from streamwatch.publisher.contract.topics import Topics
from streamwatch.records import CameraCounts, Event, SecondLook
from tests.publisher.events import MOMENT, clip_of, end_event, near_miss, new_event


def fields_of(
    event: Event | None = None,
    *,
    snapshot_path: Path | None = None,
    delayed: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    return event_fields(
        event or new_event(**changes),
        Topics("home/sw"),
        snapshot_path=snapshot_path,
        published_at=MOMENT,
        delayed=delayed,
    )


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (MOMENT, "2026-01-02T03:04:05.678Z"),
        (MOMENT.replace(microsecond=0), "2026-01-02T03:04:05.000Z"),
        (MOMENT.replace(microsecond=999_999), "2026-01-02T03:04:05.999Z"),
        (
            datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-02T03:04:05.000Z",
        ),
    ],
)
def test_times_are_utc_with_milliseconds(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text


def test_a_time_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        timestamp(datetime(2026, 1, 2))


def test_numbers_are_rounded_and_not_numpy_types() -> None:
    box = tuple(np.array([1.04, 2.05001, 3.0, 4.96], np.float32))
    fields = fields_of(confidence=np.float32(0.83456), best_confidence=0.9999, box=box)
    assert fields["confidence"] == 0.835
    assert fields["best_confidence"] == 1.0
    assert fields["box"] == [1.0, 2.1, 3.0, 5.0]
    assert json.loads(encode(fields)) == fields


def test_position_reason_and_delayed_only_where_they_apply() -> None:
    plain = fields_of()
    assert not {"position", "reason", "delayed", "continues"} & set(plain)
    assert fields_of(position=0.0)["position"] == 0.0
    ended = end_event("01J0000000000000000000000A")
    assert fields_of(ended)["reason"] == "left"
    assert fields_of(ended, delayed=True)["delayed"] is True


LOOK = SecondLook("clip", 0.98765, None, None, 1, "confirmed", 4.26)


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (
            LOOK,
            {
                "by": "clip",
                "score": 0.988,
                "beaten_by": None,
                "looks": 1,
                "decided": "confirmed",
                "ms": 4.3,
            },
        ),
        (
            SecondLook("vlm", None, "no", None, 3, "rejected", 1234.56),
            {
                "by": "vlm",
                "score": None,
                "beaten_by": None,
                "looks": 3,
                "decided": "rejected",
                "ms": 1234.6,
                "answer": "no",
            },
        ),
    ],
)
def test_a_second_look_is_told_where_there_was_one(look: SecondLook, said: dict[str, Any]) -> None:
    assert fields_of(second_look=look)["second_look"] == said
    assert "second_look" not in fields_of()


def test_the_file_of_a_clip_is_announced_where_there_is_to_be_one() -> None:
    assert fields_of(clip_path=Path("/clips/a.mp4"))["clip_path"] == "/clips/a.mp4"
    assert fields_of(clip_path=Path("/clips/\udce9.mp4"))["clip_path"] == "/clips/\ufffd.mp4"
    assert fields_of(clip_url="http://cams/alerts/a")["clip_url"] == "http://cams/alerts/a"
    assert {"clip_path", "clip_url"}.isdisjoint(fields_of())


def test_a_clip_says_what_it_holds() -> None:
    fields = clip_fields(clip_of("01A"))
    assert list(fields) == ["id", "path", "started_at", "seconds", "bytes", "codec", "complete"]
    assert (fields["id"], fields["path"], fields["codec"]) == ("01A", "/clips/a.mp4", "h264")
    assert (fields["started_at"], fields["seconds"]) == ("2026-01-02T03:03:59.678Z", 12.5)
    assert (fields["bytes"], fields["complete"]) == (1_500_000, True)
    missing = clip_fields(
        clip_of("01A", path=None, started_at=None, codec=None, complete=False, reason="no video")
    )
    assert [missing[key] for key in ("path", "started_at", "codec")] == [None, None, None]
    assert (missing["complete"], missing["reason"]) == (False, "no video")
    assert json.loads(encode(missing)) == missing


def test_what_was_held_back_is_told_with_its_look_and_its_crop() -> None:
    event = new_event(second_look=replace(LOOK, decided="rejected", beaten_by="dog"))
    fields = rejected_fields(event, Path("/var/a.crop.jpg"))
    assert list(fields) == [
        *("id", "prompt", "confidence", "box", "frame", "captured_at"),
        *("second_look", "crop_path"),
    ]
    assert fields["second_look"]["beaten_by"] == "dog"
    assert fields["crop_path"] == "/var/a.crop.jpg"
    assert rejected_fields(event, None)["crop_path"] is None
    assert json.loads(encode(fields)) == fields


def test_the_wrong_visit_that_a_crop_looks_like_is_told() -> None:
    event = new_event(second_look=replace(LOOK, taught_by="01M"))
    assert fields_of(event)["second_look"]["taught_by"] == "01M"
    fields = rejected_fields(event, None)
    assert list(fields)[-3:] == ["second_look", "taught_by", "crop_path"]
    assert fields["taught_by"] == "01M"


def test_a_near_miss_is_told_with_what_it_needed_and_its_crop() -> None:
    box = tuple(np.array([1.04, 2.05001, 3.0, 4.96], np.float32))
    miss = near_miss(confidence=np.float32(0.21456), needed=0.29996, box=box)
    fields = near_fields(miss, Path("/var/a.jpg"))
    assert list(fields.items()) == [
        ("prompt", "red car"),
        ("confidence", 0.215),
        ("needed", 0.3),
        ("reason", "0.21, and 0.3 is needed"),
        ("box", [1.0, 2.1, 3.0, 5.0]),
        ("frame", [640, 360]),
        ("captured_at", "2026-01-02T03:04:05.678Z"),
        ("crop_path", "/var/a.jpg"),
    ]
    assert near_fields(miss, None)["crop_path"] is None
    assert json.loads(encode(fields)) == fields


def test_what_is_learnt_of_a_watch_is_told_once_there_is_something() -> None:
    watch = WatchInfo(["red car"], [], ["porch", "yard"], 0.1)
    assert list(watch.fields()) == ["prompts", "not", "cameras", "confidence"]
    learnt = replace(watch, suggested_confidence=0.27, by_camera={"porch": 0.15, "yard": 0.1})
    assert learnt.fields() == {
        **watch.fields(),
        "suggested_confidence": 0.27,
        "confidence_by_camera": {"porch": 0.15, "yard": 0.1},
    }


def test_the_snapshot_field_is_its_topic_or_null() -> None:
    assert fields_of(snapshot=True)["snapshot"] == "home/sw/snapshot/porch/car"
    assert fields_of(snapshot=False)["snapshot"] is None


def test_the_snapshot_path_is_text_or_null() -> None:
    assert fields_of()["snapshot_path"] is None
    assert fields_of(snapshot_path=Path("/var/bild é.jpg"))["snapshot_path"] == "/var/bild é.jpg"
    not_utf8 = fields_of(snapshot_path=Path(os.fsdecode(b"/var/\xff.jpg")))
    assert json.loads(encode(not_utf8))["snapshot_path"] == "/var/\ufffd.jpg"


def stats(uptime_s: float, analysed: int) -> Stats:
    return Stats(
        "01J",
        uptime_s,
        {"porch": CameraCounts(analysed=analysed)},
        DetectorStats(0, 0, None, None),
        SecondLookStats(0, 0, 0, 0, None, None),
        LatencyStats(None, None),
        0,
        0,
    )


@pytest.mark.parametrize(
    ("before", "fps"),
    [
        (stats(100.0, 50), 4.9),
        (stats(100.0, 99), 0.0),
        (None, None),
        (stats(100.0, 100), None),  # the camera's counter was reset
        (stats(110.0, 99), None),
        (replace(stats(100.0, 50), cameras={}), None),
    ],
)
def test_fps_counts_the_frames_since_the_last_stats(
    before: Stats | None, fps: float | None
) -> None:
    assert stats(110.0, 99).fields(before)["cameras"]["porch"]["fps"] == fps


def test_json_is_strict_and_utf_8() -> None:
    assert encode({"a": "é"}) == b'{"a": "\xc3\xa9"}'
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            encode({"a": number})


def test_topics() -> None:
    topics = Topics("home/sw")
    assert topics.status == "home/sw/status"
    assert topics.info == "home/sw/info"
    assert topics.stats == "home/sw/stats"
    assert topics.errors == "home/sw/errors"
    assert topics.camera_status("porch") == "home/sw/cameras/porch/status"
    assert topics.event("porch", "car") == "home/sw/events/porch/car"
    assert topics.state("porch", "car") == "home/sw/state/porch/car"
    assert topics.snapshot("porch", "car") == "home/sw/snapshot/porch/car"
    assert topics.rejected("porch", "car") == "home/sw/rejected/porch/car"
    assert topics.near("porch", "car") == "home/sw/near/porch/car"
