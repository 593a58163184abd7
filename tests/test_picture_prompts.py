"""Pictures as prompts of a whole daemon, with a YOLOE checkpoint of random weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

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
        "mqtt": {"host": broker.host, "port": broker.port},
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

        more = tmp_path / "cats" / "zz.png"
        cv2.imwrite(str(more), scene[200:300, 300:460])
        told = {"file": str(more), "sha256": sha256(more)}
        subscriber.wait_for(lambda _: told in newest(subscriber)["pictures"], PATIENCE_SECONDS)
        assert len(newest(subscriber)["pictures"]) == 3
        more.write_bytes(b"no picture")
        daemon.wait_for_log("watches.cat.pictures[0]: zz.png is no picture, or a broken one")
        assert daemon.terminate() == 0
    assert "Traceback" not in daemon.log
    errors = [m.json["message"] for m in subscriber.of("streamwatch/errors")]
    assert any("zz.png is no picture" in each for each in errors)


def newest(subscriber: Subscriber) -> dict[str, Any]:
    info: dict[str, Any] = subscriber.of("streamwatch/info")[-1].json["watches"]["cat"]
    return info
