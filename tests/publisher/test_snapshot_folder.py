"""Snapshots on disk: written atomically, and cleaned up without touching other files."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from streamwatch.config.sections.whole import SnapshotSettings
from streamwatch.elapsed import Elapsed
from streamwatch.pictures.folder import Gallery, SnapshotFolder, file_name
from streamwatch.pictures.keeping import CLEANING_SECONDS
from streamwatch.publisher import EmbeddedBroker, Publisher
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.publisher.events import MOMENT, end_event, new_event, picture, update_event
from tests.publisher.running import Clock, make, running, settings
from tests.publisher.test_outages import said
from tests.publisher.test_publisher import size

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def folder_at(
    path: Path, *, keep: timedelta = 7 * DAY, max_bytes: int = 1_000_000
) -> SnapshotFolder:
    return SnapshotFolder(path, keep=keep, max_bytes=max_bytes)


def aged(path: Path, days: float) -> Path:
    moment = (NOW - days * DAY).timestamp()
    os.utime(path, (moment, moment), follow_symlinks=False)
    return path


def crop_of(path: Path) -> Path:
    """The path of the crop that belongs to the snapshot at `path`."""
    return path.with_name(f"{path.stem}.crop.jpg")


def test_the_file_name_has_time_camera_watch_and_id(tmp_path: Path) -> None:
    event = new_event(id="01J0000000000000000000000A")
    folder = folder_at(tmp_path)
    saved = folder.save(event, b"jpeg", b"crop")
    assert saved == folder.path_of(event)
    assert saved.name == "20260102T030404.678Z_porch_car_01J0000000000000000000000A.jpg"
    assert saved.read_bytes() == b"jpeg"
    assert (
        crop_of(saved).name == "20260102T030404.678Z_porch_car_01J0000000000000000000000A.crop.jpg"
    )
    assert crop_of(saved).read_bytes() == b"crop"
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_update_replaces_the_picture_of_its_visit(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "new" / "folder")
    event = new_event()
    first = folder.save(event, b"first", b"its crop")
    second = folder.save(update_event(event.id, captured_at=MOMENT + DAY), b"second", b"crop")
    assert first == second
    assert sorted(path.read_bytes() for path in folder.path.iterdir()) == [b"crop", b"second"]
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_cleaning_deletes_only_old_snapshots_of_ours(tmp_path: Path) -> None:
    folder = folder_at(tmp_path)
    old, young = (folder.save(new_event(), b"jpeg", b"crop") for _ in range(2))
    for path in (old, crop_of(old)):
        aged(path, 8)
    for path in (young, crop_of(young)):
        aged(path, 6)
    unfinished = aged(_written(tmp_path / f".{file_name(new_event())}.part"), 8)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = aged(_written(elsewhere / file_name(new_event())), 30)
    link = tmp_path / file_name(new_event())
    link.symlink_to(target)
    aged(link, 30)
    directory = tmp_path / file_name(new_event())
    directory.mkdir()
    aged(directory, 30)
    foreign = [
        aged(_written(tmp_path / name), 30)
        for name in (
            "holiday.jpg",
            f"copy of {old.name}",
            f"{old.name}.bak",
            old.name.upper(),
            old.name.replace("T0304", "T03-04"),
            old.name.replace("_car_", "_"),
            ".hidden.part",
            f".{old.name}",
            f".{crop_of(old).name}",
            f"{old.stem}.crop.crop.jpg",
            f"{old.stem}.CROP.jpg",
            f"{old.stem}.thumb.jpg",
            f"{old.name}\n",
        )
    ]
    assert folder.clean(NOW) == 3
    assert not old.exists()
    assert not crop_of(old).exists()
    assert not unfinished.exists()
    for kept in (young, crop_of(young), target, link, directory, *foreign):
        assert kept.exists(), kept.name


def test_cleaning_a_full_folder_deletes_the_oldest(tmp_path: Path) -> None:
    folder = folder_at(tmp_path, max_bytes=1000)
    files = [folder.save(new_event(), b"x" * 90, b"x" * 10) for _ in range(15)]
    for count, path in enumerate(files):
        aged(path, 5 - 0.1 * count)
        aged(crop_of(path), 5 - 0.1 * count)
    assert folder.full
    assert folder.clean(NOW) == 12
    assert not folder.full
    assert [path.exists() for path in files] == [False] * 6 + [True] * 9
    assert [crop_of(path).exists() for path in files] == [False] * 6 + [True] * 9
    assert folder.clean(NOW) == 0


def test_cleaning_a_missing_folder_does_nothing(tmp_path: Path) -> None:
    assert folder_at(tmp_path / "later").clean(NOW) == 0


class Times:
    """Both clocks; `ahead` is how far the time of day is set forward."""

    def __init__(self) -> None:
        self.seconds = Clock()
        self.ahead = timedelta()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds() - 1000) + self.ahead

    def gallery(self, folder: SnapshotFolder) -> Gallery:
        return Gallery(
            folder,
            complain=pytest.fail,
            now=self.now,
            seconds=self.seconds,
            elapsed=Elapsed(self.seconds, self.now),
        )

    def survives(self, folder: SnapshotFolder, gallery: Gallery, days: float) -> bool:
        """Whether a picture so old is still there after cleaning, if that was due."""
        old = aged(folder.save(new_event(), b"jpeg", b"crop"), days)
        gallery.clean_if_due()
        return old.exists()


def test_cleaning_runs_periodically(tmp_path: Path) -> None:
    times, folder = Times(), folder_at(tmp_path)
    gallery = times.gallery(folder)
    gallery.clean_if_due()
    times.seconds.seconds += CLEANING_SECONDS
    assert not times.survives(folder, gallery, 8)
    assert times.survives(folder, gallery, 8)
    times.seconds.seconds += CLEANING_SECONDS
    assert not times.survives(folder, gallery, 8)


def test_at_the_start_only_what_does_not_fit_is_deleted(tmp_path: Path) -> None:
    times, folder = Times(), folder_at(tmp_path, max_bytes=5)
    assert times.survives(folder_at(tmp_path / "roomy"), times.gallery(folder), 8)
    assert not times.survives(folder, times.gallery(folder), 8)


def test_a_clock_that_is_a_month_ahead_for_a_while_deletes_nothing(tmp_path: Path) -> None:
    times, folder = Times(), folder_at(tmp_path)
    gallery = times.gallery(folder)
    gallery.clean_if_due()
    times.seconds.seconds += CLEANING_SECONDS
    times.ahead = timedelta(days=30)
    assert times.survives(folder, gallery, 1)
    times.seconds.seconds += 5
    times.ahead = timedelta()
    assert times.survives(folder, gallery, 1)
    times.seconds.seconds += CLEANING_SECONDS
    assert times.survives(folder, gallery, 1)


def test_snapshot_path_is_set_while_the_file_exists(mosquitto: Mosquitto, tmp_path: Path) -> None:
    seen, unseen = (new_event(snapshot=True, picture=shown) for shown in (picture(), None))
    with (
        Subscriber(mosquitto.port, "where/events/#") as subscriber,
        running(make(mosquitto, "where", tmp_path)) as publisher,
    ):
        publisher.event(seen)
        publisher.event(unseen)
        (first, second) = subscriber.wait_for(lambda messages: len(messages) == 2)
        saved = Path(first.json["snapshot_path"])
        assert saved == tmp_path / file_name(seen)
        assert size(saved.read_bytes()) == (640, 360)
        # The box of 100 x 180 px, and a fifth of 180 around it.
        assert size(crop_of(saved).read_bytes()) == (172, 252)
        assert second.json["snapshot_path"] is None
        publisher.event(end_event(seen.id, snapshot=True))
        subscriber.wait_for(lambda messages: len(messages) == 3)
        saved.unlink()
        publisher.event(end_event(seen.id, sequence=2, snapshot=True))
        (*_, third, fourth) = subscriber.wait_for(lambda messages: len(messages) == 4)
    assert third.json["snapshot_path"] == str(saved)
    assert fourth.json["snapshot_path"] is None


def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Nothing can be written below a snapshot folder until the returned function is called."""
    real_open = os.open

    def no_room(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).endswith(".part"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(os, "open", no_room)
    return lambda: monkeypatch.setattr(os, "open", real_open)


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="broken"):
        folder_at(tmp_path).save(new_event(), b"jpeg", b"crop")
    assert not list(tmp_path.iterdir())


@pytest.mark.expects_errors
def test_a_full_disk_is_reported_once_and_stops_no_alert(
    mosquitto: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "streamwatch")
    room_again = full_disk(monkeypatch)
    with (
        Subscriber(mosquitto.port, "full/#") as subscriber,
        running(make(mosquitto, "full", tmp_path)) as publisher,
    ):
        for _ in range(3):
            event = new_event(snapshot=True, picture=picture())
            publisher.event(event)
            publisher.event(end_event(event.id))
        subscriber.wait_for(lambda _: len(subscriber.of("full/events/porch/car")) == 6)
        room_again()
        publisher.event(new_event(snapshot=True, picture=picture()))
        subscriber.wait_for(lambda _: len(subscriber.of("full/events/porch/car")) == 7)
    (error,) = said(caplog, logging.ERROR, "")
    assert error == (
        f"snapshots can't be saved in {tmp_path} (no space left on device); alerts go on without"
    )
    (report,) = subscriber.of("full/errors")
    assert report.json["kind"] == "publisher"
    assert report.json["message"] == error
    assert len(subscriber.of("full/snapshot/porch/car")) == 4
    assert said(caplog, logging.INFO, "saved in") == [
        f"snapshots are saved in {tmp_path} again; 3 were not"
    ]
    assert len(list(tmp_path.iterdir())) == 2
    paths = [message.json["snapshot_path"] for message in subscriber.of("full/events/porch/car")]
    assert paths[:-1] == [None] * 6
    assert Path(paths[-1]).parent == tmp_path


@pytest.mark.expects_errors
def test_a_folder_that_cannot_be_created_stops_no_alert(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with EmbeddedBroker() as broker:
        mqtt = settings(broker, "blocked", embedded=True)
        publisher = Publisher(mqtt, SnapshotSettings(), blocked / "snapshots")
        with running(publisher):
            publisher.event(new_event(snapshot=True, picture=picture()))
            assert publisher.stop() == 0
    assert len(said(caplog, logging.ERROR, "snapshots can't be saved in")) == 1


@pytest.mark.expects_errors
def test_a_folder_that_cannot_be_cleaned_is_reported_once(tmp_path: Path) -> None:
    clock = Clock()
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    complaints: list[str] = []
    gallery = Gallery(
        folder_at(blocked),
        complain=complaints.append,
        now=lambda: NOW,
        seconds=clock,
        elapsed=Elapsed(clock, lambda: NOW),
    )
    gallery.clean_if_due()
    clock.seconds += CLEANING_SECONDS
    gallery.clean_if_due()
    assert complaints == [f"old snapshots in {blocked} can't be deleted (not a directory)"]


def _written(path: Path) -> Path:
    path.write_bytes(b"x")
    return path
