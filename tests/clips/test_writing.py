"""Clips as files: of real video, through a source."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.audio.stream import AudioStream

from streamwatch.clips.ring import Memory, Ring
from streamwatch.clips.writing import ClipFile, finished, found, parts, poster
from streamwatch.config import CameraSettings
from streamwatch.source import source_for
from streamwatch.source.clock import Clock
from streamwatch.source.copies import parameter_sets
from tests.parts import STREET_CLIP
from tests.parts.rtsp import RtspServer
from tests.parts.street import sideways

SINCE_SECONDS, FRAMES = 11.0, 300
KEY_SECONDS = 10.0
"""The key frame before that."""
KEY_FRAMES = 30
"""From a key frame to the next, where the clip is encoded anew."""


def watched(
    ring: Ring, path: Path | str = STREET_CLIP, frames: int = FRAMES, **camera: Any
) -> datetime:
    """Read so many frames; returns when the first was taken."""
    settings = CameraSettings(url=str(path), pace=False, **camera)
    source = source_for(settings, Clock(), ring)
    with closing(source.frames(threading.Event())) as decoded:
        taken = [next(decoded).captured_at for _ in range(frames)]
    return taken[0]


def written(
    path: Path,
    clip: Path | str = STREET_CLIP,
    since: float = SINCE_SECONDS,
    frames: int = FRAMES,
    **camera: Any,
) -> tuple[ClipFile, datetime]:
    """What was there from `since` on, in seconds, as a file that is not finished."""
    ring = Memory(100_000_000).ring()
    ring.want(60.0)
    zero = watched(ring, clip, frames, **camera)
    cursor = ring.read_from(zero + timedelta(seconds=since), zero + timedelta(seconds=since + 1))
    assert cursor is not None
    file = ClipFile(path, cursor.run, {"id": "a"})
    for packet in ring.read(cursor)[0]:
        file.write(packet)
    return file, zero


def pictures(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            (frame.time or 0.0, frame.to_ndarray(format="gray"))
            for frame in container.decode()
            if isinstance(frame, av.VideoFrame)
        ]


def test_a_clip_holds_the_frames_of_the_camera(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    file, zero = written(path)
    assert file.close()
    assert file.began_at is not None
    result = finished(path)
    assert (result.codec, result.bytes) == ("h264", path.stat().st_size)
    assert [each.name for each in path.parent.iterdir()] == ["clip.mp4"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "it would play once it is loaded"

    began = datetime.fromtimestamp(file.began_at, UTC)
    original = dict(enumerate(pictures(STREET_CLIP)))
    shown = pictures(path)
    assert len(shown) >= FRAMES - KEY_SECONDS * 15
    for position, picture in shown:
        seconds = (began + timedelta(seconds=position) - zero).total_seconds()
        assert np.array_equal(picture, original[round(seconds * 15)][1])
    first = (began + timedelta(seconds=shown[0][0]) - zero).total_seconds()
    assert first == pytest.approx(KEY_SECONDS, abs=0.01)
    assert result.seconds == pytest.approx(shown[-1][0] + 1 / 15, abs=0.01)


def test_what_a_crash_leaves_is_found_and_finished(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    file, _ = written(path)
    (part,) = parts(tmp_path)
    with pytest.raises(BlockingIOError):
        found(part)
    file.close()
    about = found(part)
    assert about is not None
    assert about["id"] == "a"
    assert about["began_at"] == pytest.approx(file.began_at)
    # As at a power cut: the last fragment is not whole.
    part.write_bytes(part.read_bytes()[:-2000])
    result = finished(path)
    assert result.seconds > 5
    assert len(pictures(path)) > 5 * 15
    assert [*parts(tmp_path)] == []


def test_what_is_no_clip_is_not_taken_for_one(tmp_path: Path) -> None:
    part = tmp_path / "clip.mp4.part"
    part.write_bytes(b"nothing")
    assert found(part) is None
    with pytest.raises((OSError, av.error.FFmpegError)):
        finished(tmp_path / "clip.mp4")
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4.part"]


def test_a_file_without_a_frame_is_gone(tmp_path: Path) -> None:
    ring = Memory(100_000_000).ring()
    ring.want(60.0)
    zero = watched(ring, frames=5)
    cursor = ring.read_from(zero, zero)
    assert cursor is not None
    file = ClipFile(tmp_path / "clip.mp4", cursor.run, {})
    assert not file.close()
    assert [*tmp_path.iterdir()] == []


def test_a_discarded_file_is_gone(tmp_path: Path) -> None:
    file, _ = written(tmp_path / "clip.mp4")
    file.discard()
    assert [*tmp_path.iterdir()] == []


def test_a_poster_shows_the_frame_at_a_position(tmp_path: Path) -> None:
    shown = decoded(poster(STREET_CLIP, 20.0))
    frames = pictures(STREET_CLIP)
    distance = [float(abs(shown - frames[at][1]).mean()) for at in (270, 300, 330)]
    assert distance[1] == min(distance)
    (tmp_path / "none.mp4").write_bytes(b"nothing")
    assert poster(tmp_path / "none.mp4", 1.0) is None


@pytest.mark.parametrize(("rotate", "upright"), [(None, True), (90, True), (0, False)])
def test_a_camera_that_lies_on_its_side_is_turned_in_its_clips(
    tmp_path: Path, rotate: int | None, upright: bool
) -> None:
    """As the stream says, or as the configuration does."""
    path = tmp_path / "clip.mp4"
    file, _ = written(path, sideways(tmp_path / "sideways.mp4"), rotate=rotate)
    file.close()
    finished(path)
    shown = decoded(poster(path, 5.0))
    assert (shown.shape == (360, 640)) == upright
    if upright:
        street = [picture for _, picture in pictures(STREET_CLIP)[225:240]]
        assert min(float(abs(shown - frame.astype(int)).mean()) for frame in street) < 5
    with av.open(str(path)) as container:
        turned = next(frame for frame in container.decode(video=0)).rotation
    assert (turned == -90) == upright


def decoded(jpeg: bytes | None) -> np.ndarray:
    assert jpeg is not None
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return np.asarray(image, int)


@pytest.mark.parametrize(
    ("codec", "suffix", "hertz", "kept"),
    [
        ("aac", "mov", 8000, True),
        ("aac", "ts", 16000, True),
        ("mp3", "mov", 16000, True),
        ("mp3", "ts", 8000, False),  # MP4 takes none so low
        ("libopus", "mkv", 16000, True),
        ("pcm_mulaw", "mov", 8000, False),
        ("zzzz", "mov", 8000, False),  # what nothing knows
    ],
)
def test_sound_is_kept_where_a_clip_can_hold_it(
    tmp_path: Path, codec: str, suffix: str, hertz: int, kept: bool
) -> None:
    original = tmp_path / f"with_sound.{suffix}"
    if codec == "zzzz":
        with_sound(original, "pcm_mulaw", hertz)
        original.write_bytes(original.read_bytes().replace(b"ulaw", b"zzzz"))
    else:
        with_sound(original, codec, hertz)
    path = tmp_path / "clip.mp4"
    file, zero = written(path, original)
    file.close()
    finished(path)
    assert file.began_at is not None
    began = file.began_at - zero.timestamp()
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video", *["audio"] * kept]
        video = [frame.time or 0 for frame in container.decode(video=0)]
    if kept:
        with av.open(str(path)) as container:
            sound = [
                (frame.time or 0, float(np.abs(frame.to_ndarray()).max()))
                for frame in container.decode(audio=0)
            ]
        assert abs(sound[0][0] - video[0]) < 0.2
        assert abs(sound[-1][0] - video[-1]) < 0.2
        # It is loud in every second second, as the camera has sent it.
        inner = [(began + at, level) for at, level in sound if 0.2 < (began + at) % 1 < 0.8]
        assert {int(at) for at, level in inner if level > 0.3} == {11, 13, 15, 17, 19}
        assert {int(at) for at, level in inner if level <= 0.3} == {10, 12, 14, 16, 18}


def with_sound(path: Path, codec: str, hertz: int) -> None:
    """The first 20 s of the street clip, with a tone in each odd second."""
    with av.open(str(STREET_CLIP)) as clip, av.open(str(path), "w") as container:
        source = clip.streams.video[0]
        video = container.add_stream_from_template(source)
        audio = container.add_stream(codec, rate=hertz, layout="mono")
        assert isinstance(audio, AudioStream)
        packets: list[av.Packet[Any]] = []
        for packet in clip.demux(source):
            if packet.dts is None or packet.pts is None or packet.pts * packet.time_base >= 20:
                continue
            packet.stream = video
            packets.append(packet)
        for second in range(20):
            samples = np.sin(np.arange(hertz) * 0.3) * (0.9 if second % 2 else 0)
            frame = av.AudioFrame.from_ndarray(
                (samples[None] * 32_000).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = (
                hertz,
                second * hertz,
                Fraction(1, hertz),
            )
            packets += audio.encode(frame)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)


@pytest.mark.parametrize(
    ("encoder", "container", "codec", "tag"),
    [
        ("libx265", "ts", "hevc", "hvc1"),
        ("libx265", "mp4", "hevc", "hvc1"),
        ("libsvtav1", "mp4", "av1", "av01"),
        ("libvpx-vp9", "mkv", "vp9", "vp09"),
    ],
)
def test_other_codecs_are_copied_too(
    tmp_path: Path, encoder: str, container: str, codec: str, tag: str
) -> None:
    original = tmp_path / f"original.{container}"
    encoded(original, encoder)
    path = tmp_path / "clip.mp4"
    file, zero = written(path, original)
    file.close()
    assert finished(path).codec == codec
    with av.open(str(path)) as clip:
        assert clip.streams.video[0].codec_context.codec_tag == tag
    assert file.began_at is not None
    began = file.began_at - zero.timestamp()
    before = pictures(original)
    shown = pictures(path)
    assert began + shown[0][0] <= SINCE_SECONDS
    assert len(shown) >= FRAMES - SINCE_SECONDS * 15
    for position, picture in shown:
        assert np.array_equal(picture, before[round((began + position) * 15)][1])


def test_hevc_is_copied_over_rtsp(tmp_path: Path, rtsp_server: Callable[..., RtspServer]) -> None:
    original = tmp_path / "original.mp4"
    encoded(original, "libx265")
    server = rtsp_server(clip=original, codec="h265")
    path = tmp_path / "clip.mp4"
    file, _ = written(path, server.url, since=2.0, frames=75)
    file.close()
    assert finished(path).codec == "hevc"
    with av.open(str(path)) as clip:
        assert clip.streams.video[0].codec_context.codec_tag == "hvc1"
    before = [picture for _, picture in pictures(original)]
    shown = pictures(path)
    assert len(shown) >= 40
    # FFmpeg gives the first packet over RTSP no time, so it begins with the second key frame.
    for position, picture in shown:
        number = KEY_FRAMES + round((position - shown[0][0]) * 15)
        assert np.array_equal(picture, before[number])


def encoded(path: Path, encoder: str) -> None:
    """The first frames of the street clip, small."""
    fast = {
        "libx265": {"preset": "ultrafast", "x265-params": "log-level=error:bframes=2"},
        "libsvtav1": {"preset": "12", "svtav1-params": f"keyint={KEY_FRAMES}"},
        "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    }[encoder]
    with av.open(str(STREET_CLIP)) as clip, av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=15, options=fast)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = (
            192,
            108,
            "yuv420p",
            KEY_FRAMES,
        )
        for number, frame in zip(range(FRAMES), clip.decode(video=0), strict=False):
            small = frame.reformat(192, 108, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, 15)
            container.mux(stream.encode(small))
        container.mux(stream.encode(None))


def test_a_file_of_pictures_is_refused_by_its_kind(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuvj420p")))
        container.mux(stream.encode(None))
    ring = Memory(1_000_000).ring()
    ring.want(10.0)
    watched(ring, path, frames=2)
    assert ring.refused == "its video (mjpeg) is of a kind that no clip takes as it is"
    assert ring.bytes == 0


def test_parameter_sets_are_those_of_size_and_form() -> None:
    h264 = b"\x00\x00\x00\x01\x67abc\x00\x00\x01\x68def\x00\x00\x01\x65picture"
    assert parameter_sets(h264, "h264") == b"\x67abc"
    hevc = b"\x00\x00\x01\x40\x01vps\x00\x00\x01\x42\x01sps\x00\x00\x01\x26\x01picture"
    assert parameter_sets(hevc, "hevc") == b"\x42\x01sps"
    assert parameter_sets(b"\x00\x00\x12\x34length first", "h264") == b""
    assert parameter_sets(h264, "vp9") == b""
