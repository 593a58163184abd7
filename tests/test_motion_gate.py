"""The motion gate in a running pipeline: a recording gives the same alerts at a fraction of the
frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from streamwatch.config import Config
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.records import CameraCounts, Event
from tests.parts import IMAGE_SIZE
from tests.truth.scenes import Scene, Thing

pytestmark = pytest.mark.slow(seconds=80)

FPS = 3
HEART_BEAT_SECONDS = 10.0
SCENE = Scene(
    (
        Thing("pedestrian", "woman_walking", 90, ((45, -40, 340), (53, 680, 340)), flip=True),
        Thing("suitcase", "luggage", 50, ((58, 420, 330), (84, 420, 330))),
    ),
    seconds=95,
)
"""45 s of nothing, a walker, and a suitcase that stands there for 26 s and is gone."""


@dataclass
class Watched:
    events: list[Event]
    counts: CameraCounts

    def visits(self, watch: str) -> list[tuple[Event, Event]]:
        """Each `new` with its `end`."""
        of = [event for event in self.events if event.watch == watch]
        begun = [event for event in of if event.type == "new"]
        ended = {event.id: event for event in of if event.type == "end"}
        return [(event, ended[event.id]) for event in begun]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SCENE.write(tmp_path_factory.mktemp("scene") / "scene.mp4", fps=FPS)


def watched(clip: Path, motion: str) -> Watched:
    config = Config.model_validate(
        {
            "detector": {"model": "toybox", "device": "cpu", "image_size": IMAGE_SIZE},
            "cameras": {"yard": {"url": str(clip), "fps": FPS, "pace": False, "motion": motion}},
            "watches": {
                "people": {"prompt": ["pedestrian"]},
                "luggage": {"prompt": ["suitcase"], "dwell": "20s"},
            },
        }
    )
    events: list[Event] = []
    with Pipeline(config, publish=events.append) as pipeline:
        assert pipeline.wait(timeout=300)
        counts = pipeline.camera_counts(0.0)["yard"]
    return Watched(events, counts)


def test_a_recording_gives_the_same_alerts_with_and_without_the_gate(clip: Path) -> None:
    whole, gated, again = (watched(clip, motion) for motion in ("off", "auto", "auto"))
    assert whole.counts.gated == 0
    assert whole.counts.analysed == whole.counts.offered == SCENE.count(FPS)
    assert gated.counts.analysed + gated.counts.gated == SCENE.count(FPS)
    assert gated.counts.gated > SCENE.count(FPS) * 0.15
    assert gated.counts.dropped == 0

    for watch in ("people", "luggage"):
        ((new, end),) = whole.visits(watch)
        ((same_new, same_end),) = gated.visits(watch)
        assert new.position == pytest.approx(same_new.position, abs=1)
        assert (end.reason, same_end.reason) == ("left", "left")
        late = end.position, same_end.position
        assert late[0] == pytest.approx(late[1], abs=HEART_BEAT_SECONDS)
    ((parcel, gone),) = gated.visits("luggage")
    assert parcel.position is not None
    assert 58 + 20 <= parcel.position <= 58 + 20 + 1.5
    assert gone.position == pytest.approx(84, abs=2.5)

    told = [[(e.type, e.watch, e.position, e.box) for e in w.events] for w in (gated, again)]
    assert told[0] == told[1], "the same file gave other events the second time"
    assert again.counts.gated == gated.counts.gated
