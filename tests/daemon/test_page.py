"""What the daemon tells its page: pure documents, and what is drawn of that which was found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streamwatch.config import (
    Amend,
    CameraSettings,
    Config,
    DetectorSettings,
    Edit,
    Put,
    Switch,
    WatchSettings,
)
from streamwatch.daemon.page import documents
from streamwatch.daemon.page.answering import read_picture
from streamwatch.daemon.reloading import is_outdone
from streamwatch.geometry import Box
from streamwatch.history.visits import Step, Visit
from streamwatch.pipeline.camera import RunningCamera

AT = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)
STEPS = ((0.1, 0.5), (0.4, 0.5), (0.4, 0.9))


def config(**more: Any) -> Config:
    return Config(
        detector=DetectorSettings(model="toybox"),
        cameras={
            "porch": CameraSettings(
                url="bundled:street", name="The porch", zones={"steps": STEPS}, mask=(STEPS,)
            ),
            "yard": CameraSettings(url="bundled:street", enabled=False),
        },
        watches={
            "car": WatchSettings(prompt=("red car",), name="A car", cameras=("porch",)),
            "dog": WatchSettings(prompt=("dog",), enabled=False),
        },
        timezone="Asia/Tokyo",
        **more,
    )


def camera(
    *,
    motion: str = "auto",
    restless: Box | None = None,
    moving: bool = False,
    engaged: bool = False,
    learning: bool = False,
) -> RunningCamera:
    return cast(
        RunningCamera,
        SimpleNamespace(
            settings=CameraSettings.model_validate({"url": "bundled:street", "motion": motion}),
            gate=SimpleNamespace(restless=restless, moving=moving, learning=learning),
            watcher=SimpleNamespace(engaged=engaged),
        ),
    )


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (camera(motion="off", moving=True), "always awake: its motion gate is off"),
        (
            camera(restless=(0.1, 0.2, 0.5, 1.0), moving=True),
            "awake: something always moves between 10, 20 and 50, 100 %",
        ),
        (camera(moving=True, engaged=True), "awake: something moves"),
        (camera(engaged=True, learning=True), "awake: a watch follows something"),
        (camera(learning=True), "awake: it was opened or changed a moment ago"),
        (camera(), "asleep: nothing moves"),
    ],
)
def test_what_keeps_a_camera_awake_is_told(found: RunningCamera, said: str) -> None:
    assert documents.awake(found) == said


def status() -> dict[str, Any]:
    return {
        **dict.fromkeys(documents.STATUS_KEYS, 1),
        "cameras": {
            "porch": {"status": "online", "problem": None, "age_s": 0.2, "fps": 4.9},
            "yard": {"status": "disabled", "problem": None},
        },
        "watches": {"car": {"open": {"porch": 2}}, "dog": {"open": {}}},
    }


def test_the_state_names_cameras_watches_and_what_is_there_now() -> None:
    found = documents.state(config(), status(), {"porch": camera()}, None)
    assert found["cameras"]["porch"] == {
        "title": "The porch", "status": "online", "problem": None, "age_s": 0.2, "fps": 4.9,
        "wanted_fps": 5.0, "awake": "asleep: nothing moves", "open": ["car"],
    }  # fmt: skip
    assert found["cameras"]["yard"]["awake"] is None
    assert found["watches"] == {
        "car": {"title": "A car", "enabled": True},
        "dog": {"title": "dog", "enabled": False},
    }
    assert found["newest"] is None


def test_a_camera_that_is_just_added_is_told_once_it_is_known() -> None:
    told = status()
    del told["cameras"]["yard"]
    assert [*documents.state(config(), told, {}, None)["cameras"]] == ["porch"]


def test_a_cameras_areas_are_told_as_they_are_written() -> None:
    found = documents.camera(config(), "porch")
    assert found is not None
    assert found["zones"] == {"steps": [[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]}
    assert found["mask"] == [[[0.1, 0.5], [0.4, 0.5], [0.4, 0.9]]]
    assert found["crop"] is None
    assert [watch["name"] for watch in found["watches"]] == ["car"]
    assert documents.camera(config(), "attic") is None


def test_watches_have_the_sum_of_what_their_cameras_have_seen() -> None:
    one = {"visits": [0, 2], "weak": [1, 0], "confidence": 0.3, "suggested": None}
    other = {"visits": [1, 1], "weak": [0, 0], "confidence": 0.3, "suggested": None}
    overview = {"watches": {"car": {"suggested": 0.4, "cameras": {"porch": one, "yard": other}}}}
    car, dog = documents.watches(config(), overview)
    assert car["seen"] == {"visits": [1, 3], "weak": [1, 0]}
    assert (car["suggested"], car["needed"], car["cameras"]) == (0.4, 0.3, ["porch"])
    assert dog["seen"] == {"visits": [], "weak": []}
    assert not dog["enabled"]
    assert dog["pictures"] == []


VISIT = Visit(
    "01M8D3S91ETMMWGM13JKVKAH71", "porch", "car", "red car", "ended", AT,
    AT + timedelta(seconds=4), 0.9, ("steps",),
    (Step("new", AT, "red car", 0.8, ("steps",), None, None),
     Step("end", AT + timedelta(seconds=4), "red car", 0.5, (), "left", None)),
)  # fmt: skip


def test_an_alert_is_told_in_the_time_of_its_place() -> None:
    found = documents.alert(
        config(), VISIT, {VISIT.id: False}, has_picture=True, has_crop=True, clip="whole"
    )
    assert found["started_at"] == {
        "iso": "2026-03-02T07:30:00.000+09:00", "text": "2026-03-02 07:30:00",
    }  # fmt: skip
    assert (found["camera_title"], found["watch_title"]) == ("The porch", "A car")
    assert (found["seconds"], found["taught"]) == (4.0, "wrong")
    assert [step["after_seconds"] for step in found["steps"]] == [0.0, 4.0]


def test_an_alert_of_what_is_gone_keeps_the_names_it_had() -> None:
    gone = replace(VISIT, camera="attic", watch="bird", state="open", ended_at=None)
    found = documents.alert(config(), gone, {}, has_picture=False, has_crop=False, clip=None)
    assert (found["camera_title"], found["watch_title"]) == ("attic", "bird")
    assert (found["seconds"], found["ended_at"], found["taught"]) == (None, None, None)


def test_a_picture_is_a_file_in_its_folder_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "below" / "b.jpg").write_bytes(b"b")
    (tmp_path / "c.jpg").write_bytes(b"c")
    (folder / "link.jpg").symlink_to(tmp_path / "c.jpg")
    assert read_picture(folder, "a.jpg") == b"a"
    for name in ("below/b.jpg", "../c.jpg", str(tmp_path / "c.jpg"), "link.jpg", "", ".", "..",
                 "below", "none.jpg", "a.jpg\0", "a.jpg\n", "a" * 300 + ".jpg"):  # fmt: skip
        assert read_picture(folder, name) is None


@pytest.mark.parametrize(
    ("held", "by", "outdone"),
    [
        (Switch(False), Amend({"prompt": "car"}), False),
        (Switch(False), Amend({"enabled": True}), True),
        (Put({"prompt": "bus"}), Amend({"prompt": "car"}), True),
        (Put({"prompt": "bus"}), Switch(True), False),
        (Switch(False), Put({"prompt": "car"}), True),
    ],
)
def test_what_was_switched_off_until_the_end_stays_off_when_other_keys_are_edited(
    held: Any, by: Any, outdone: bool
) -> None:
    assert is_outdone(Edit("watches", "car", held), Edit("watches", "car", by)) is outdone
    assert not is_outdone(Edit("watches", "dog", held), Edit("watches", "car", by))
