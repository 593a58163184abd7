"""How fast `streamwatch try` goes through a clip, beside the bare loop that decodes and detects.

Both look at the same frames with the same detector, by turns, with 1 prompt and with 4. Also how
the suggested thresholds do by what is really there, and how much memory a folder of many pictures
takes.

    .venv/bin/python -m benchmarks.trying [--rounds 5] [--pictures 10000]
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import psutil

from streamwatch.config import CameraSettings, Config, DetectorSettings, WatchSettings
from streamwatch.detector.protocol import Detector, View
from streamwatch.prompts.embeddings import Embeddings
from streamwatch.prompts.vocabulary import vocabularies
from streamwatch.records import Detection, Frame, Vocabulary
from streamwatch.scheduler.rate import Rate
from streamwatch.source.choice import STREET_CLIP
from streamwatch.source.decoding import Input, opened
from streamwatch.source.mask import Mask
from streamwatch.source.picture import RawPicture
from streamwatch.tuning.document import document
from streamwatch.tuning.footage import Footage, footage
from streamwatch.tuning.seen import Alert
from streamwatch.tuning.trial import Run, Trial
from streamwatch.tuning.truth import read_truth
from tests.truth import FOLDER, street

FPS = 5
WORDS = ("red car", "dog", "pedestrian", "cat")
FLOOR = 0.05
"""Of the sweep with toybox: half of its lowest threshold."""


class Silent:
    """Shows nothing. Implements `trial.Progress`."""

    def hit(self, _watch: str, _alert: Alert, /) -> None:
        pass

    def frame(self, _footage: Footage, _frame: Frame, _found: Sequence[Detection], /) -> None:
        pass

    def turn(self, _run: Run, /) -> None:
        pass

    def problem(self, _footage: Footage, _sentence: str, /) -> None:
        pass


def config(words: Sequence[str]) -> Config:
    return Config(
        detector=DetectorSettings(model="toybox", device="cpu"),
        cameras={"footage": CameraSettings(url="bundled:street")},
        watches={word.replace(" ", "-"): WatchSettings(prompt=(word,)) for word in words},
    )


def bare(detector: Detector, words: Vocabulary) -> float:
    """Seconds that decoding the due frames and detecting in each takes, one after another."""
    began, frames, rate = time.perf_counter(), 0, Rate(FPS)
    with opened(Input(str(STREET_CLIP), "street")) as video:
        for picture in video.pictures():
            if isinstance(picture, RawPicture) and rate.due(picture.time or 0.0):
                detector.detect([View(picture.masked(Mask(())), words, FLOOR)])
                frames += 1
    assert frames == 40 * FPS
    return time.perf_counter() - began


def tried(trial: Trial, of: Footage) -> float:
    """Seconds that a trial takes, its model loaded."""
    return trial.run(of, threading.Event()).took_seconds


def compare(words: Sequence[str], rounds: int) -> None:
    settings = config(words)
    (clip,) = footage([str(STREET_CLIP)], {}, None, FPS)
    found = vocabularies(settings, Embeddings(settings.detector), {})
    vocabulary = found.of_cameras["footage"]
    warm = Trial(settings, Silent())
    tried(warm, clip)
    detector = warm.detector
    assert detector is not None
    bare(detector, vocabulary)
    ratios, looped, trials = [], [], []
    for _ in range(rounds):
        trial = Trial(settings, Silent(), detector)
        looped.append(bare(detector, vocabulary))
        trials.append(tried(trial, clip))
        ratios.append(looped[-1] / trials[-1])
    print(
        f"{len(words)} prompt{'s' if len(words) > 1 else ''}: bare loop {median(looped):.2f} s,"
        f" try {median(trials):.2f} s for 40 s of video; speed against the bare loop"
        f" {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def against_truth() -> None:
    """The suggested threshold of each prompt beside the best one, by what is in the clip."""
    settings = config([visit.name for visit in street().visits])
    (clip,) = footage([str(STREET_CLIP)], {}, None, FPS)
    trial = Trial(settings, Silent())
    trial.run(clip, threading.Event())
    found = document(trial, settings, read_truth(FOLDER / "street.truth.json"))
    for name, watch in found["watches"].items():
        suggested, best = watch["suggested"]["confidence"], watch["best"]
        row = min(watch["sweep"], key=lambda each: abs(each["confidence"] - suggested))
        print(
            f"{name}: suggested {suggested:.2f}, precision {row['precision']:.2f}, recall"
            f" {row['recall']:.2f}; best {best['confidence']:.2f}, {best['precision']:.2f},"
            f" {best['recall']:.2f}"
        )


def many_pictures(count: int) -> None:
    """The memory that a folder of pictures takes: of 1280x720, a red car in each."""
    process = psutil.Process()
    with opened(Input(str(STREET_CLIP), "street")) as video:
        shown = next(p for p in video.pictures() if isinstance(p, RawPicture) and (p.time or 0) > 5)
    image = cv2.resize(shown.masked(Mask(())).bgr(), (1280, 720))
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder, "00000.jpg")
        cv2.imwrite(str(first), image)
        for number in range(1, count):
            Path(folder, f"{number:05}.jpg").symlink_to(first)
        (of,) = footage([folder], {}, None, None)
        trial = Trial(config(WORDS), Memory(process, count))
        run = trial.run(of, threading.Event())
    told = len(trial.seen["red-car"].alerts[0.3])
    assert (run.frames, told) == (count, count)
    print(f"{count:,} pictures in {run.took_seconds:.0f} s, {told:,} alerts at each threshold")


class Memory(Silent):
    """Tells the memory in use at tenths of the way."""

    def __init__(self, process: psutil.Process, count: int) -> None:
        self._process = process
        self._step = max(1, count // 10)
        self._frames = 0

    def frame(self, _footage: Footage, _frame: Frame, _found: Sequence[Detection], /) -> None:
        self._frames += 1
        if self._frames % self._step == 0:
            used = self._process.memory_info().rss / 1e6
            print(f"  after {self._frames:,} pictures: {used:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=10_000)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")
    against_truth()
    for words in (WORDS[:1], WORDS):
        compare(words, arguments.rounds)
    if arguments.pictures:
        many_pictures(arguments.pictures)


if __name__ == "__main__":
    main()
