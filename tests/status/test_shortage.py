"""Which cameras are short of detector time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from streamwatch.daemon.problems import too_slow
from streamwatch.records import CameraCounts
from streamwatch.status.shortage import Short, Shortage


class Clock:
    """Feeds one shortage with the counts of cameras, every half second."""

    def __init__(self, **fps: float) -> None:
        self.shortage = Shortage()
        self.now = 1000.0
        self.fps = dict(fps)
        self.counts = {name: CameraCounts(frames=1, online=True) for name in fps}
        self.short: Mapping[str, Short] = {}
        self._owed = dict.fromkeys(fps, (0.0, 0.0))

    def run(self, seconds: float, **rates: tuple[float, float]) -> set[str]:
        """Let cameras be analysed and dropped so many times a second; the short ones at the end."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            for name, (analysed, dropped) in rates.items():
                self._count(name, analysed / 2, dropped / 2)
            self.short = self.shortage.judge(self.now, self.counts, self.fps)
        return set(self.short)

    def _count(self, name: str, analysed: float, dropped: float) -> None:
        analysed, dropped = analysed + self._owed[name][0], dropped + self._owed[name][1]
        before = self.counts[name]
        self._owed[name] = analysed % 1, dropped % 1
        self.counts[name] = replace(
            before,
            frames=before.frames + int(analysed) + int(dropped),
            offered=before.offered + int(analysed) + int(dropped),
            analysed=before.analysed + int(analysed),
            dropped=before.dropped + int(dropped),
        )


def test_a_camera_is_short_after_a_minute_and_not_before() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(59, porch=(2, 3)) == set()
    assert clock.run(7, porch=(2, 3)) == {"porch"}
    assert clock.short["porch"].analysed == pytest.approx(2, abs=0.1)
    assert clock.short["porch"].due == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(
    ("fps", "analysed", "dropped", "expected"),
    [
        (5, 5, 0, False),
        (5, 3.6, 1.4, False),  # 0.72
        (5, 3.4, 1.6, True),  # 0.68
        (5, 0, 5, True),
        (5, 1, 0, False),  # the camera gives one frame a second
        (5, 0.25, 0.75, True),  # as it does here, but most of them are missed
        (5, 0, 0, False),  # it gives none
        (0.1, 0.05, 0.05, True),  # 3 of 6 in a minute
        (0.04, 0.02, 0.02, False),  # 1 of 2 says nothing
    ],
)
def test_less_than_its_share_of_due_frames_makes_a_camera_short(
    fps: float, analysed: float, dropped: float, expected: bool
) -> None:
    clock = Clock(porch=fps)
    assert clock.run(300, porch=(analysed, dropped)) == ({"porch"} if expected else set())


def test_frames_that_are_gated_or_refused_count_neither_way() -> None:
    clock = Clock(porch=5.0)
    for _ in range(200):
        counts = clock.counts["porch"]
        clock.counts["porch"] = replace(counts, offered=counts.offered + 2, gated=counts.gated + 1)
        assert clock.run(0.5, porch=(0.5, 0)) == set()


def test_cameras_are_judged_one_by_one_and_told_together() -> None:
    clock = Clock(porch=5.0, garden=5.0, gate=5.0)
    seen = []
    for _ in range(150):
        seen.append(clock.run(0.5, porch=(2, 3), garden=(3, 2), gate=(5, 0)))
    assert next(each for each in seen if each) == {"porch", "garden"}
    assert seen[-1] == {"porch", "garden"}


def test_a_batch_that_takes_long_is_nothing_to_tell() -> None:
    clock = Clock(porch=5.0)
    clock.run(120, porch=(5, 0))
    assert clock.run(15, porch=(0, 5)) == set()
    assert clock.run(120, porch=(5, 0)) == set()


def test_it_ends_only_after_a_whole_minute_with_enough() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(66, porch=(2, 3)) == {"porch"}
    assert clock.run(300, porch=(3.8, 1.2)) == {"porch"}  # 0.76
    assert clock.run(10, porch=(4.5, 0.5)) == {"porch"}
    assert clock.run(56, porch=(4.5, 0.5)) == set()
    assert clock.run(300, porch=(3.8, 1.2)) == set()  # and does not begin again there
    assert clock.run(70, porch=(2, 3)) == {"porch"}


def test_another_fps_begins_the_minute_anew() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(66, porch=(2, 3)) == {"porch"}
    clock.fps["porch"] = 2.0
    assert clock.run(58, porch=(2, 0)) == {"porch"}
    assert clock.run(10, porch=(2, 0)) == set()
    clock.fps["porch"] = 9.0
    assert clock.run(58, porch=(2, 7)) == set()
    assert clock.run(10, porch=(2, 7)) == {"porch"}


def test_a_camera_that_is_removed_is_short_no_longer_and_begins_anew_when_it_is_back() -> None:
    clock = Clock(porch=5.0, garden=5.0)
    assert clock.run(66, porch=(2, 3), garden=(2, 3)) == {"porch", "garden"}
    del clock.fps["porch"]
    porch = clock.counts.pop("porch")
    assert clock.run(6, garden=(2, 3)) == {"garden"}
    clock.fps["porch"] = 5.0
    clock.counts["porch"] = replace(porch, dropped=0)
    assert clock.run(58, porch=(2, 3), garden=(2, 3)) == {"garden"}
    assert clock.run(10, porch=(2, 3), garden=(2, 3)) == {"porch", "garden"}


def test_a_camera_whose_counts_are_not_there_yet_is_not_judged() -> None:
    clock = Clock(porch=5.0)
    clock.fps["garden"] = 5.0
    assert clock.run(66, porch=(2, 3)) == {"porch"}


def test_an_outage_ends_it_after_a_minute_and_the_return_begins_anew() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(66, porch=(2, 3)) == {"porch"}
    assert clock.run(30, porch=(0, 0)) == {"porch"}
    assert clock.run(36, porch=(0, 0)) == set()
    clock.counts["porch"] = replace(clock.counts["porch"], reconnects=1)
    assert clock.run(58, porch=(2, 3)) == set()
    assert clock.run(10, porch=(2, 3)) == {"porch"}


def test_a_short_outage_changes_nothing() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(66, porch=(2, 3)) == {"porch"}
    clock.run(10, porch=(0, 0))
    clock.counts["porch"] = replace(clock.counts["porch"], reconnects=1)
    for _ in range(100):
        assert clock.run(1, porch=(2, 3)) == {"porch"}


def test_a_reopened_camera_that_has_counted_less_begins_the_minute_anew() -> None:
    clock = Clock(porch=5.0)
    clock.run(50, porch=(2, 3))
    clock.counts["porch"] = replace(clock.counts["porch"], dropped=10)
    assert clock.run(58, porch=(2, 3)) == set()
    assert clock.run(10, porch=(2, 3)) == {"porch"}


def test_a_reopened_camera_whose_counts_go_on_stays_short() -> None:
    clock = Clock(porch=5.0)
    assert clock.run(66, porch=(2, 3)) == {"porch"}
    clock.run(5, porch=(0, 0))
    for _ in range(100):
        assert clock.run(1, porch=(2, 3)) == {"porch"}


def test_the_minute_begins_with_the_first_frame() -> None:
    clock = Clock(porch=5.0)
    clock.counts["porch"] = CameraCounts()
    assert clock.run(90) == set()
    clock.counts["porch"] = CameraCounts(frames=1)
    assert clock.run(58, porch=(2, 3)) == set()
    assert clock.run(10, porch=(2, 3)) == {"porch"}


def test_after_a_pause_of_the_whole_process_it_goes_on() -> None:
    clock = Clock(porch=5.0)
    clock.run(30, porch=(5, 0))
    clock.now += 3600
    assert clock.run(1, porch=(0, 5)) == set()
    assert clock.run(70, porch=(2, 3)) == {"porch"}


def test_one_sentence_tells_of_all() -> None:
    one = too_slow({"porch": Short(2.1234, 4.98)})
    assert (one.kind, one.camera) == ("detector", None)
    assert one.message == (
        "the detector is too slow for porch (2.1 of 5 frames a second): a smaller detector.model"
        " or detector.image_size, or a lower fps would help"
    )
    gated = too_slow({"porch": Short(2.1, 5), "yard": Short(1, 5)}, ["garden", "yard"])
    assert gated.message.endswith(
        ": a smaller detector.model or detector.image_size, a lower fps, or motion: auto for yard"
        " would help"
    )
    two = too_slow({"garden": Short(0.053, 0.1), "porch": Short(31.2, 119.6)})
    assert (
        "for garden (0.053 of 0.1 frames a second) and porch (31 of 120 frames a second):"
        in two.message
    )
