"""From the packets of a camera and the events of its visits to clips in a folder."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from streamwatch.clips import recorder as recorder_module
from streamwatch.clips.recorder import ENDED, Recorder
from streamwatch.clips.recording import LATE, NO_MORE, NO_VIDEO, STOPPED, TOO_LONG
from streamwatch.clips.ring import CHANGED, CLOSED, TOO_SLOW
from streamwatch.clips.writing import ClipFile
from streamwatch.config import CameraSettings, Config, HttpSettings
from streamwatch.records import Clip, Event
from streamwatch.source import source_for
from streamwatch.source.clock import Clock
from streamwatch.source.copies import CopiedPacket, Copies, Streams, copied
from tests.parts import STREET_CLIP
from tests.parts.waiting import wait_until
from tests.publisher.events import new_event

ZERO = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
FPS = 15
LENGTHS = {"before": "3s", "after": "2s", "longest": "20s"}


def at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


class Street:
    """The packets of the street clip, as a camera sends them; frame 0 is taken at `ZERO`."""

    def __init__(self, recorder: Recorder, camera: str = "porch") -> None:
        with av.open(str(STREET_CLIP)) as container:
            (video,) = container.streams.video
            self.streams = Streams(video, None)
            self.packets = [
                packet
                for each in container.demux(video)
                if (packet := copied(each, is_audio=False)) is not None
            ]
        self._tap = recorder._feed(camera).copied
        self.copies: Copies = self._tap.begin(self.streams)
        self.sent = 0

    def play(self, until: float) -> None:
        """Send what is decoded up to this second."""
        base = self.streams.video_base
        while self.sent < len(self.packets) and self.packets[self.sent].dts * base <= until:
            packet = self.packets[self.sent]
            self.copies.take(packet)
            self.copies.time(float(packet.pts * base), at(float(packet.pts * base)))
            self.sent += 1

    def skip(self, until: float) -> None:
        """Lose what comes up to this second."""
        base = self.streams.video_base
        while self.packets[self.sent].dts * base <= until:
            self.sent += 1

    def reconnect(self) -> None:
        self.copies.end()
        self.copies = self._tap.begin(self.streams)


class Watching:
    """A recorder whose clips and complaints are kept, and its folder."""

    def __init__(self, folder: Path, **clips: Any) -> None:
        self.folder = folder / "clips"
        self.clips: list[Clip] = []
        self.complaints: list[str] = []
        self.refused: list[tuple[str, str | None]] = []
        self.config = configured(self.folder, **clips)
        self.seconds = Seconds()
        self.recorder = Recorder(
            self.config,
            "us",
            on_clip=self.clips.append,
            complain=self.complaints.append,
            on_refused=lambda camera, why: self.refused.append((camera, why)),
            now=lambda: at(self.seconds()),
            seconds=self.seconds,
        )

    @contextmanager
    def running(self) -> Iterator[Recorder]:
        self.recorder.start()
        yield self.recorder
        self.recorder.stop(20)

    def wait_for_clips(self, count: int) -> list[Clip]:
        wait_until(lambda: len(self.clips) >= count, 20)
        return self.clips


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def configured(folder: Path, **clips: Any) -> Config:
    return Config.model_validate(
        {
            "detector": {"model": "toybox"},
            "cameras": {"porch": {"url": "bundled:street"}, "yard": {"url": "bundled:street"}},
            "watches": {"car": {"prompt": "car", "clip": True}, "dog": {"prompt": "dog"}},
            "clips": {
                "path": str(folder),
                "before": "3s",
                "after": "2s",
                "longest": "20s",
                **clips,
            },
        }
    )


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    return Watching(tmp_path)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "TURN_SECONDS", 0.02)


def seen(started: float, told: float, **changes: Any) -> Event:
    return new_event(started_at=at(started), captured_at=at(told), **changes)


def left(event: Event, ended: float) -> Event:
    fields = {"captured_at": at(ended), "ended_at": at(ended), "reason": "left"}
    return new_event(
        **{"id": event.id, "type": "end", "started_at": event.started_at, **fields},
    )


def span(clip: Clip) -> tuple[float, float]:
    """The seconds of the street clip that a clip shows: of its first frame, and after its last."""
    assert clip.path is not None
    assert clip.started_at is not None
    with av.open(str(clip.path)) as container:
        times = [frame.time or 0.0 for frame in container.decode(video=0)]
    began = (clip.started_at - ZERO).total_seconds()
    return round(began + times[0], 2), round(began + times[-1] + 1 / FPS, 2)


def test_a_clip_has_what_went_before_and_after_the_visit(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        new = recorder.take(seen(12.0, 12.8))
        assert new.clip_path is not None
        assert new.clip_path.parent == watching.folder
        assert recorder.take(new_event(id=new.id, type="update")).clip_path == new.clip_path
        street.play(17)
        end = recorder.take(left(new, 16.0))
        assert end.clip_path == new.clip_path
        assert recorder.take(left(new, 16.0)).clip_path is None, "it is over"
        time.sleep(0.1)
        assert watching.clips == []
        street.play(20)
        (clip,) = watching.wait_for_clips(1)
    assert (clip.id, clip.camera, clip.watch, clip.path) == (new.id, "porch", "car", new.clip_path)
    assert (clip.complete, clip.reason, clip.codec) == (True, None, "h264")
    first, last = span(clip)
    assert first == 8, "the key frame before 12 s less 3 s"
    assert 18 <= last <= 18.5
    assert new.clip_path.with_suffix(".jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert [each.suffix for each in sorted(watching.folder.iterdir())] == [".jpg", ".mp4"]
    assert watching.folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in watching.folder.iterdir()} == {0o600}


def test_where_the_page_is_on_the_event_has_its_address(watching: Watching) -> None:
    street = Street(watching.recorder)
    street.play(13)
    assert watching.recorder.take(seen(12.0, 12.8)).clip_url is None
    for http, page in (
        ({"token": "t"}, "http://127.0.0.1:8080"),
        ({"token": "t", "host": "0.0.0.0", "hosts": "cams", "port": 81}, "http://cams:81"),
        ({"token": "t", "host": "0.0.0.0"}, f"http://{socket.gethostname()}:8080"),
        ({"token": "t", "host": "::1", "root_path": "/sw"}, "http://[::1]:8080/sw"),
        ({"token": "t", "url": "https://cams.example.org/sw/"}, "https://cams.example.org/sw"),
        ({"token": "t", "page": False}, None),
        ({}, None),
    ):
        settings = HttpSettings.model_validate(http)
        watching.recorder.change(watching.config.model_copy(update={"http": settings}))
        event = watching.recorder.take(seen(12.0, 12.8))
        assert event.clip_url == (None if page is None else f"{page}/alerts/{event.id}#clip")


def test_a_watch_without_clips_has_none(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        assert recorder.take(seen(12, 12.8, watch="dog")).clip_path is None
        assert recorder.take(seen(12, 12.8, watch="gone")).clip_path is None
    assert watching.clips == []


def test_the_first_of_a_stream_begins_late(watching: Watching) -> None:
    street = Street(watching.recorder)
    street.skip(1)
    with watching.running() as recorder:
        street.play(5)
        new = recorder.take(seen(4, 4.8))
        street.play(5.5)
        recorder.take(left(new, 5))
        street.play(10)
        (clip,) = watching.wait_for_clips(1)
    assert (clip.complete, clip.reason) == (False, LATE)
    assert span(clip)[0] == 2


def test_without_a_key_frame_there_is_no_video(watching: Watching) -> None:
    street = Street(watching.recorder)
    street.skip(0.5)
    with watching.running() as recorder:
        street.play(1.5)
        assert recorder.take(seen(1, 1.4)).clip_path is None
        (clip,) = watching.wait_for_clips(1)
    assert (clip.path, clip.complete, clip.reason) == (None, False, NO_VIDEO)
    assert (clip.started_at, clip.codec, clip.bytes) == (None, None, 0)
    assert not watching.folder.exists()


def test_a_long_visit_is_cut_and_told_once(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(9)
        new = recorder.take(seen(8, 8.8))
        street.play(30)
        (clip,) = watching.wait_for_clips(1)
        assert recorder.take(left(new, 29)).clip_path == new.clip_path
        street.play(40)
    assert (clip.complete, clip.reason) == (False, TOO_LONG)
    assert 25 <= span(clip)[1] <= 25.5
    assert len(watching.clips) == 1


def test_a_visit_that_is_told_late_has_its_alert_in_the_clip(watching: Watching) -> None:
    """The clip of a thing that must stay for 25 s begins 10 s before its alert."""
    watching.recorder.change(
        watching.config.model_copy(
            update={
                "watches": {
                    "car": watching.config.watches["car"].model_copy(
                        update={"dwell": timedelta(seconds=25)}
                    )
                }
            }
        )
    )
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(31)
        new = recorder.take(seen(5, 30))
        street.play(32)
        recorder.take(left(new, 32))
        street.play(36)
        (clip,) = watching.wait_for_clips(1)
    assert clip.complete
    assert span(clip)[0] == 20


@pytest.mark.parametrize(
    "happens", [lambda street: street.reconnect(), lambda street: street.copies.end()]
)
def test_what_cuts_the_stream_cuts_the_clip(
    watching: Watching, happens: Callable[[Street], None]
) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        new = recorder.take(seen(12, 12.8))
        street.play(15.9)
        happens(street)
        (clip,) = watching.wait_for_clips(1)
        street.play(18)
        recorder.take(left(new, 16))
    assert (clip.complete, clip.reason) == (False, CLOSED)
    assert 15.8 <= span(clip)[1] <= 16.2
    assert len(watching.clips) == 1


def test_another_size_begins_another_clip(watching: Watching, tmp_path: Path) -> None:
    """A camera that is set to another size goes on sending without a break."""
    path = two_sizes(tmp_path / "sizes.ts")
    source = source_for(
        CameraSettings(url=str(path), pace=False), Clock(), watching.recorder._feed("porch").copied
    )
    taken: list[datetime] = []
    with watching.running() as recorder, closing(source.frames(threading.Event())) as decoded:
        for frame in decoded:
            taken.append(frame.captured_at)
            if len(taken) == 30:
                recorder.take(new_event(started_at=taken[20], captured_at=taken[29]))
            if len(taken) == 80:
                recorder.take(new_event(started_at=taken[70], captured_at=taken[79]))
        clips = watching.wait_for_clips(2)
    assert [clip.reason for clip in clips] == [f"{LATE}; {CHANGED}", f"{LATE}; {CLOSED}"]
    for clip, size in zip(clips, (64, 96), strict=True):
        assert clip.path is not None
        with av.open(str(clip.path)) as container:
            assert {frame.width for frame in container.decode(video=0)} == {size}


def two_sizes(path: Path) -> Path:
    """Five seconds of one size, then five of another, in one stream."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for width, first in ((64, 0), (96, 50)):
            encoder = av.CodecContext.create("libx264", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, 64, "yuv420p"
            encoder.time_base, encoder.gop_size = Fraction(1, 10), 10
            encoder.options = {"x264-params": "repeat-headers=1", "tune": "zerolatency"}
            for number in range(first, first + 50):
                picture = av.VideoFrame(width, 64, "yuv420p")
                picture.pts, picture.time_base = number, Fraction(1, 10)
                for packet in encoder.encode(picture):
                    packet.stream = stream
                    container.mux(packet)
    return path


def test_what_does_not_come_any_more_is_not_waited_for(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        new = recorder.take(seen(12, 12.8))
        recorder.take(left(new, 13))
        time.sleep(0.1)
        assert watching.clips == []
        watching.seconds.now += 11
        (clip,) = watching.wait_for_clips(1)
    assert (clip.complete, clip.reason) == (False, NO_MORE)


def test_a_stop_makes_do_with_what_there_is(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        open_visit, ended, whole = (recorder.take(seen(12, 12.8)) for _ in range(3))
        street.play(15)
        recorder.take(left(ended, 14.5))
        recorder.take(left(whole, 12.9))
    clips = {clip.id: clip for clip in watching.clips}
    assert (clips[open_visit.id].complete, clips[open_visit.id].reason) == (False, STOPPED)
    assert (clips[ended.id].complete, clips[ended.id].reason) == (False, STOPPED)
    assert clips[whole.id].complete
    assert 15 <= span(clips[open_visit.id])[1] <= 15.5


def test_a_stop_without_time_leaves_clips_to_the_next_start(
    watching: Watching, tmp_path: Path
) -> None:
    street = Street(watching.recorder)
    watching.recorder.start()
    street.play(13)
    new = watching.recorder.take(seen(12, 12.8))
    wait_until(lambda: watching.folder.exists() and any(watching.folder.glob("*.part")), 10)
    wait_until(lambda: next(watching.folder.glob("*.part")).stat().st_size > 10_000, 10)
    watching.recorder.stop(0)
    watching.recorder._thread.join(10)
    assert watching.clips == []
    after = Watching(tmp_path)
    with after.running():
        (clip,) = after.wait_for_clips(1)
    assert (clip.id, clip.camera, clip.watch, clip.path) == (new.id, "porch", "car", new.clip_path)
    assert (clip.complete, clip.reason) == (False, ENDED)
    assert span(clip)[0] == 8
    assert sorted(each.suffix for each in after.folder.iterdir()) == [".jpg", ".mp4"]


def test_at_the_start_only_what_is_its_own_and_left_is_finished(
    watching: Watching, tmp_path: Path
) -> None:
    street = Street(watching.recorder)
    street.play(13)
    folder = watching.folder
    about = {"watch": "car", "shown_at": at(12).timestamp()}
    names = {each: folder / f"20260601T120012.000Z_{each}_car_01J0000000000000000000000A.mp4"
             for each in ("porch", "other", "yard")}  # fmt: skip
    cursor = watching.recorder._feed("porch").copied.read_from(at(5), at(13))
    assert cursor is not None
    packets, _ = watching.recorder._feed("porch").copied.read(cursor)
    files = {}
    for camera, path in names.items():
        owner = "them" if camera == "other" else "us"
        own = {"id": camera, "camera": camera, "owner": owner}
        files[camera] = ClipFile(path, cursor.run, {**about, **own})
        for packet in packets:
            files[camera].write(packet)
    files["porch"].close()
    files["other"].close()
    nothing = folder / "20260601T120012.000Z_porch_car_01J0000000000000000000000B.mp4.part"
    nothing.write_bytes(b"nothing")
    with watching.running():
        (clip,) = watching.wait_for_clips(1)
        wait_until(lambda: not nothing.exists(), 10)
    assert clip.id == "porch"
    left_there = {each.name for each in folder.glob("*.part")}
    assert left_there == {f"{names['other'].name}.part", f"{names['yard'].name}.part"}
    files["yard"].discard()


def test_fifty_visits_at_once_share_what_is_in_memory(watching: Watching) -> None:
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        visits = [recorder.take(seen(12, 12.8)) for _ in range(50)]
        sent = street.packets[: street.sent]
        assert recorder._memory.bytes == sum(len(packet.data) for packet in sent)
        street.play(15)
        for visit in visits:
            recorder.take(left(visit, 14))
        street.play(20)
        clips = watching.wait_for_clips(50)
    assert {clip.id for clip in clips} == {visit.id for visit in visits}
    assert all(clip.complete for clip in clips)
    assert len({clip.path.read_bytes() for clip in clips if clip.path})


def test_what_does_not_fit_into_memory_is_said(tmp_path: Path) -> None:
    watching = Watching(tmp_path, memory="1KB")
    street = Street(watching.recorder)
    street.play(13)
    new = watching.recorder.take(seen(12, 12.8))
    street.play(20)
    with watching.running() as recorder:
        recorder.take(left(new, 14))
        (clip,) = watching.wait_for_clips(1)
    assert not clip.complete
    assert clip.reason in (TOO_SLOW, NO_VIDEO)


def test_a_folder_that_can_not_be_written_is_told_once(
    watching: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watching.folder.write_text("no folder")
    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        for _ in range(2):
            recorder.take(seen(12, 12.8))
        clips = watching.wait_for_clips(2)
        assert {(clip.path, clip.complete, clip.reason) for clip in clips} == {
            (None, False, "it can't be saved (file exists)")
        }
        watching.folder.unlink()
        new = recorder.take(seen(12, 12.8))
        recorder.take(left(new, 12.8))
        street.play(18)
        watching.wait_for_clips(3)
    assert [each for each in watching.complaints if "saved" in each] == [
        f"clips can't be saved in {watching.folder} (file exists); alerts go on without"
    ]
    assert watching.clips[2].complete
    assert f"clips are saved in {watching.folder} again; 2 were not" in caplog.messages


def test_a_full_disk_leaves_nothing_behind(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: ClipFile, _packet: CopiedPacket) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    street = Street(watching.recorder)
    with watching.running() as recorder:
        street.play(13)
        new = recorder.take(seen(12, 12.8))
        wait_until(lambda: any(watching.folder.glob("*.part")), 10)
        monkeypatch.setattr(ClipFile, "write", full)
        street.play(14)
        (clip,) = watching.wait_for_clips(1)
        assert recorder.take(left(new, 14)).clip_path == new.clip_path, "as was announced"
    assert clip.reason == "it can't be saved (no space left on device)"
    assert [*watching.folder.iterdir()] == []
    assert len(watching.complaints) == 1


def test_a_camera_that_can_not_be_copied_is_told_until_it_can(watching: Watching) -> None:
    watching.recorder._feed("porch").copied.refuse("it is a kettle")
    watching.recorder.source_of("yard")
    with watching.running() as recorder:
        recorder.take(seen(12, 12.8))
        recorder.take(seen(12, 12.8))
        clips = watching.wait_for_clips(2)
        wait_until(lambda: bool(watching.refused), 10)
        assert {clip.reason for clip in clips} == {"it is a kettle"}
        street = Street(recorder)
        wait_until(lambda: len(watching.refused) == 2, 10)
        street.play(13)
        new = recorder.take(seen(12, 12.8))
        recorder.take(left(new, 12.8))
        street.play(20)
        assert watching.wait_for_clips(3)[-1].complete
    assert watching.refused == [("porch", "it is a kettle"), ("porch", None)]


def test_nothing_is_kept_of_a_camera_without_clips_or_with_a_mask(tmp_path: Path) -> None:
    watching = Watching(tmp_path)
    street = Street(watching.recorder)
    watching.recorder.change(changed(watching.config, "watches", "car", clip=False))
    street.play(13)
    assert watching.recorder._memory.bytes == 0
    masked = changed(watching.config, "cameras", "porch", mask=((((0, 0), (1, 0), (1, 1))),))
    watching.recorder.change(masked)
    street.play(17)
    assert watching.recorder._memory.bytes == 0
    unmasked = changed(masked, "clips", unmasked=True)
    watching.recorder.change(unmasked)
    street.play(21)
    assert watching.recorder._memory.bytes > 0
    watching.recorder.change(masked)
    assert watching.recorder._memory.bytes == 0


def changed(config: Config, *at: str, **changes: Any) -> Config:
    section, *name = at
    before = getattr(config, section)
    if not name:
        return config.model_copy(update={section: before.model_copy(update=changes)})
    one = before[name[0]].model_copy(update=changes)
    return config.model_copy(update={section: {**before, name[0]: one}})


def test_old_clips_go(tmp_path: Path) -> None:
    watching = Watching(tmp_path, keep="1d", max_size="1MB")
    watching.folder.mkdir()
    ours = [
        watching.folder / f"20260601T120012.000Z_porch_car_01J0000000000000000000000{n}{suffix}"
        for n, suffix in enumerate((".mp4", ".jpg", ".mp4.part"))
    ]
    mine = watching.folder / "holiday.mp4"
    for path in (*ours, mine):
        path.write_bytes(b"x")
        os.utime(path, (at(-100_000).timestamp(),) * 2)
    watching.seconds.now += 600  # a clock is trusted then
    with watching.running():
        wait_until(lambda: not any(path.exists() for path in ours), 10)
    assert mine.exists()
