"""Pictures as prompts of a whole daemon, with a YOLOE checkpoint of random weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import yaml

from tests.parts import STREET_CLIP
from tests.parts.daemon import PATIENCE_SECONDS, Daemon
from tests.parts.mobileclip import Tower, make_tokenizer, make_tower
from tests.parts.models import record
from tests.parts.mosquitto import StartMosquitto, Subscriber
from tests.parts.yoloe import as_tensor, make_yoloe

pytestmark = pytest.mark.slow(seconds=45)

MODEL = "yoloe-26n-seg"
SIZE = 160


def street(number: int) -> np.ndarray:
    with av.open(str(STREET_CLIP)) as clip:
        for index, frame in enumerate(clip.decode(video=0)):
            if index == number:
                return frame.to_ndarray(format="bgr24")
    raise AssertionError("the clip is shorter")


def make_models(folder: Path) -> None:
    """What the model needs, as if it had been fetched."""
    pictures = np.stack([cv2.resize(street(n), (SIZE, 96)) for n in (0, 60, 120, 180)])
    (folder / MODEL).mkdir(parents=True)
    make_yoloe(folder / MODEL, MODEL, pictures=as_tensor(pictures))
    (folder / "mobileclip2_b").mkdir()
    make_tower(folder / "mobileclip2_b" / "mobileclip2_b.ts", Tower())
    make_tokenizer(folder / "clip-vit-base-patch32-tokenizer")
    for each in folder.iterdir():
        record(each)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_pictures_show_is_told_and_their_files_are_followed(
    tmp_path: Path, start_mosquitto: StartMosquitto
) -> None:
    broker = start_mosquitto()
    make_models(tmp_path / "xdg-cache" / "streamwatch" / "models")
    scene = street(90)
    (tmp_path / "cats").mkdir()
    thing, whole = tmp_path / "cats" / "thing.png", tmp_path / "scene.jpg"
    cv2.imwrite(str(thing), scene[100:200, 100:260])
    cv2.imwrite(str(whole), scene)
    watch: dict[str, Any] = {
        "pictures": ["cats/*.png", {"file": "scene.jpg", "box": [100, 100, 260, 200]}],
        "picture_confidence": 0.3,
        "appear": {"hits": 1},
        "not": ["red car", {"pictures": "scene.jpg"}],
    }
    config = {
        "mqtt": {"host": broker.host, "port": broker.port, "commands": True},
        "detector": {"model": MODEL, "device": "cpu", "backend": "torch", "image_size": SIZE},
        "cameras": {"street": {"url": "bundled:street", "loop": True, "fps": 2}},
        "watches": {"cat": watch, "dog": {"prompt": "dog", "confidence": 0.99}},
    }
    with Subscriber(broker.port) as subscriber, Daemon(tmp_path, config) as daemon:
        subscriber.wait_for(
            lambda _: subscriber.of("streamwatch/events/street/cat"), PATIENCE_SECONDS
        )
        event = subscriber.of("streamwatch/events/street/cat")[0].json
        assert (event["prompt"], event["type"]) == ("picture:cat", "new")
        assert event["confidence"] >= 0.3
        info = subscriber.of("streamwatch/info")[-1].json["watches"]["cat"]
        assert info["prompts"] == ["picture:cat"]
        assert info["not"] == ["red car", "picture:cat:not2"]
        box = [100.0, 100.0, 260.0, 200.0]
        assert info["pictures"] == [
            {"file": str(thing), "sha256": sha256(thing)},
            {"file": str(whole), "sha256": sha256(whole), "box": box},
        ]

        learnt = answer(subscriber, {"id": event["id"], "name": "cat"})
        assert learnt["id"] == event["id"]
        assert learnt["result"]["changes"] == ["watch cat changed"]
        path = Path(learnt["result"]["path"])
        assert path.parent == tmp_path / "xdg-state" / "streamwatch" / "pictures"
        assert path.stat().st_mode & 0o777 == 0o600
        told = {"file": str(path), "sha256": sha256(path)}
        subscriber.wait_for(lambda _: told in newest(subscriber)["pictures"], PATIENCE_SECONDS)
        assert "pictures/" not in daemon.config.read_text(), "until the daemon ends"

        box = [200, 120, 300, 220]
        shown = {"camera": "street", "box": box, "name": "door", "persist": True, "id": 7}
        result = answer(subscriber, shown)["result"]
        assert result["changes"] == ["watch door added"]
        written = yaml.safe_load(daemon.config.read_text())["watches"]["door"]["pictures"]
        (picture,) = written
        assert picture["file"] == result["path"]
        crop = cv2.imread(picture["file"])
        assert crop is not None
        x1, y1, x2, y2 = picture["box"]
        assert (x2 - x1, y2 - y1) == (100, 100)
        assert (crop.shape[1] > x2 > x1 > 0, crop.shape[0] > y2 > y1 > 0) == (True, True)
        for wrong, why in (
            ({**shown, "box": [600, 0, 700, 100]}, "the box is empty, or not all in the frame"),
            ({**shown, "box": [0, 0, 20, 20]}, "it must be at least 32 px wide and high"),
            ({**shown, "camera": "none"}, "none is none of the cameras"),
            ({"id": "01M8D3S91ETMMWGM13JKVKAH71", "name": "cat"}, "no picture of the alert"),
            ({"id": "*", "name": "cat"}, "no picture of the alert * is kept"),
        ):
            refused = answer(subscriber, wrong)
            assert not refused["ok"]
            assert why in refused["message"]
        assert len([*path.parent.iterdir()]) == 2, "what was refused is not kept"

        more = tmp_path / "cats" / "zz.png"
        cv2.imwrite(str(more), scene[200:300, 300:460])
        told = {"file": str(more), "sha256": sha256(more)}
        subscriber.wait_for(lambda _: told in newest(subscriber)["pictures"], PATIENCE_SECONDS)
        assert len(newest(subscriber)["pictures"]) == 4
        more.write_bytes(b"no picture")
        daemon.wait_for_log("watches.cat.pictures[0]: zz.png is no picture, or a broken one")

        tree = yaml.safe_load(daemon.config.read_text())
        tree["watches"]["dog"]["pictures"] = "dogs/late.png"
        daemon.config.write_text(yaml.safe_dump(tree))
        daemon.wait_for_log("watches.dog.pictures: late.png can't be read: no such file")
        cv2.imwrite(str(more), scene[200:300, 300:460])
        (tmp_path / "dogs").mkdir()
        late = tmp_path / "dogs" / "late.png"
        cv2.imwrite(str(late), scene[100:200, 300:460])
        told = {"file": str(late), "sha256": sha256(late)}
        subscriber.wait_for(
            lambda _: told in newest(subscriber, "dog").get("pictures", ()), PATIENCE_SECONDS
        )
        assert daemon.terminate() == 0
    assert "Traceback" not in daemon.log
    errors = [m.json["message"] for m in subscriber.of("streamwatch/errors")]
    assert any("zz.png is no picture" in each for each in errors)


def answer(subscriber: Subscriber, request: dict[str, Any]) -> dict[str, Any]:
    """What comes of the command `learn`."""
    topic = "streamwatch/result/learn"
    before = len(subscriber.of(topic))
    subscriber.publish("streamwatch/command/learn", json.dumps(request))
    subscriber.wait_for(lambda _: len(subscriber.of(topic)) > before, PATIENCE_SECONDS)
    found: dict[str, Any] = subscriber.of(topic)[-1].json
    return found


def newest(subscriber: Subscriber, watch: str = "cat") -> dict[str, Any]:
    info: dict[str, Any] = subscriber.of("streamwatch/info")[-1].json["watches"][watch]
    return info
