"""What the whole daemon takes beside its detector: frames, CPU time, latency, memory, starts.

    python -m benchmarks.daemon [rate stages latency cameras start] [--quick] [--plot FILE]

The daemon, the bundled model and clip, eight watches with snapshots; each pass in a process of its
own, passes that are compared in turns.

- rate: files with `pace: false`, against the detector alone on the same frames, decoded before.
- stages: whose CPU time that is, by clocks around each stage, in passes of their own.
- latency: from a frame's capture to its event at a subscriber of mosquitto, without the time that
  the detector took; live cameras at 5 fps, whose frames come together.
- cameras: what each of many live cameras at 2 fps gets, and the daemon's memory.
- start: to the first frame analysed; the exchange of torch for the compiled network; and from a
  saved prompt to searching for it.

`--quick` tries each out in little time, with figures to match. `--plot` draws the cameras.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import platform
import re
import statistics
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from unittest import mock

import av
import numpy as np
import psutil
import yaml
from av.video.frame import PictureType
from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from benchmarks.reload import WORDS
from benchmarks.visits import PRESENT
from streamwatch.config import load
from streamwatch.daemon.daemon import Daemon
from streamwatch.daemon.reloading import start as started_from
from streamwatch.detector import detector as detector_module
from streamwatch.detector.compiled.network import OpenVinoNetwork
from streamwatch.detector.loading import load_detector
from streamwatch.detector.protocol import Detector, Running, View
from streamwatch.paths import cache_dir
from streamwatch.pictures.folder import Gallery
from streamwatch.pipeline import pipeline as pipeline_module
from streamwatch.pipeline.analysis import Analysis
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.publisher import Publisher, alerts
from streamwatch.records import Detection, Event, Frame, Picture
from streamwatch.source.decoding import Gap, Input, Video, opened
from streamwatch.source.mask import Mask
from streamwatch.watch.camera import CameraWatches
from tests.parts import STREET_CLIP, free_port
from tests.parts.compiled import compile_toybox
from tests.parts.daemon import PATIENCE_SECONDS
from tests.parts.daemon import Daemon as DaemonProcess
from tests.parts.mosquitto import Mosquitto, Subscriber
from tests.parts.rtsp import RtspServer

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

CLIP_FPS = 15


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured. `few` and `many` are numbers of cameras; `frames` are those of a pass
    with files, after `warm_up`; seconds are those of a pass with live cameras."""

    rounds: int
    few: tuple[int, ...]
    warm_up: int
    frames: int
    latency_seconds: float
    many: tuple[int, ...]
    many_seconds: float


FULL = Scale(3, (1, 4), 60, 300, 40.0, (1, 2, 4, 8, 16, 32), 12.0)
QUICK = Scale(1, (4,), 50, 150, 12.0, (1, 4), 3.0)


def settings(folder: Path, cameras: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "mqtt": {"embedded": True, "port": 0},
        "detector": {"model": "toybox"},
        "cameras": cameras,
        "watches": {word.replace(" ", "-"): {"prompt": word} for word in PRESENT},
        "snapshots": {"path": str(folder / "snapshots")},
        **more,
    }


def alone(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """What the function returns in a process that has done nothing else."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, partial(logging.basicConfig, level="ERROR")) as process:
        return process.submit(function, *arguments, **named).result()


@contextmanager
def whole_daemon(folder: Path, config: Mapping[str, Any]) -> Iterator[Daemon]:
    """The daemon of a configuration file, in this process; its state is in `folder`."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**config}, sort_keys=False))
    with (
        mock.patch.dict(os.environ, STATE_DIRECTORY=str(folder / "state")),
        Daemon(*started_from(path, last_good=False)) as daemon,
    ):
        yield daemon


# --- rate ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one pass; `cpu_seconds` are those of all threads."""

    frames: int
    seconds: float
    cpu_seconds: float

    @property
    def wall_ms(self) -> float:
        return self.seconds / self.frames * 1000

    @property
    def cpu_ms(self) -> float:
        return self.cpu_seconds / self.frames * 1000


class Measured:
    """The real detector, measured for `frames` frames after `warm_up`, to the end of a batch.

    `at_ends` is called at both ends, and `on_end` after each later batch."""

    def __init__(
        self,
        inner: Detector,
        scale: Scale,
        on_end: Callable[[], None] = lambda: None,
        at_ends: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._scale = scale
        self._on_end = on_end
        self._at_ends = at_ends
        self._seen = 0
        self._ends: list[tuple[int, float, float]] = []

    @property
    def running(self) -> Running:
        return self._inner.running

    @property
    def ended(self) -> bool:
        return len(self._ends) == 2

    @property
    def cost(self) -> Cost:
        (seen, began, cpu), (all_seen, ended, all_cpu) = self._ends
        return Cost(all_seen - seen, ended - began, all_cpu - cpu)

    def detect(self, views: Sequence[View]) -> list[tuple[Detection, ...]]:
        found = self._inner.detect(views)
        self._seen += len(views)
        due = self._scale.warm_up + len(self._ends) * self._scale.frames
        if self.ended:
            self._on_end()
        elif self._seen >= due:
            self._ends.append((self._seen, time.monotonic(), time.process_time()))
            self._at_ends()
        return found


def files(cameras: int) -> dict[str, Any]:
    camera = {
        "url": "bundled:street",
        "fps": CLIP_FPS,
        "pace": False,
        "loop": True,
        "motion": "off",
    }
    return {f"street-{number}": camera for number in range(cameras)}


def daemon_pass(
    folder: Path, cameras: int, scale: Scale, at_ends: Callable[[], None] = lambda: None
) -> Cost:
    made: list[Measured] = []
    running: list[Daemon] = []

    def measured(chosen: Any, on_change: Any) -> Measured:
        detector = load_detector(chosen, on_change)
        made.append(Measured(detector, scale, lambda: running[0].request_stop(), at_ends))
        return made[-1]

    with (
        mock.patch.object(pipeline_module, "load_detector", measured),
        whole_daemon(folder, settings(folder, files(cameras))) as daemon,
    ):
        running.append(daemon)
        daemon.run()
    return made[0].cost


def bare_pass(folder: Path, cameras: int, scale: Scale) -> Cost:
    """The detector alone, on the frames that as many cameras would give it."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(settings(folder, files(1)), sort_keys=False))
    setup = Pipeline(load(path), publish=lambda _: None).current
    camera = setup.watched()["street-0"]
    pictures = decoded((scale.warm_up + scale.frames) // cameras + 1)
    detector = Measured(setup.detector, scale)
    for picture in itertools.cycle(pictures):
        for _ in range(cameras):
            detector.detect([View(picture, camera.vocabulary, camera.watcher.floor)])
        if detector.ended:
            return detector.cost
    raise RuntimeError("the clip has no frames")


def decoded(count: int) -> list[Picture]:
    """The clip's first frames."""
    with opened(Input(str(STREET_CLIP), "the clip")) as video:
        pictures = (each for each in video.pictures() if not isinstance(each, Gap))
        return [picture.masked(Mask(())) for picture in itertools.islice(pictures, count)]


def rate(scale: Scale) -> list[Table]:
    table = Table(title=f"files, `pace: false`; medians of {scale.rounds} passes")
    for heading in (
        "cameras", "", "frames a second", "of the detector's", "ms a frame", "CPU ms a frame",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    measured: dict[tuple[int, Any], list[Cost]] = {}
    for turn in progress(range(scale.rounds), "rate", transient=True):
        # Whoever comes second may find the machine warmer, so they take turns at that too.
        which = (bare_pass, daemon_pass) if turn % 2 == 0 else (daemon_pass, bare_pass)
        for count, one_pass in itertools.product(scale.few, which):
            with tempfile.TemporaryDirectory() as folder:
                cost = alone(one_pass, Path(folder), count, scale)
            measured.setdefault((count, one_pass), []).append(cost)
    for count in scale.few:
        bare, daemon = measured[count, bare_pass], measured[count, daemon_pass]
        ratios = [a.wall_ms / b.wall_ms for a, b in zip(bare, daemon, strict=True)]
        table.add_row(str(count), "detector alone", *_of_costs(bare, ""))
        table.add_row(str(count), "daemon", *_of_costs(daemon, spread(ratios, 3)))
    return [table]


def _of_costs(costs: Sequence[Cost], ratio: str) -> Iterator[str]:
    yield f"{statistics.median(1000 / cost.wall_ms for cost in costs):.1f}"
    yield ratio
    yield f"{statistics.median(cost.wall_ms for cost in costs):.2f}"
    yield f"{statistics.median(cost.cpu_ms for cost in costs):.2f}"


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the least and the most."""
    told = statistics.median(values), min(values), max(values)
    shown = [f"{value:.{digits}f}" for value in told]
    return "{} ({} to {})".format(*shown) if len(values) > 1 else shown[0]


# --- stages --------------------------------------------------------------------------------------

STAGES = {
    "decoding": "decoding",
    "capture threads, rest": "handing over of frames",
    "letterbox": "conversion to colours and size",
    "network": "network, in the detector's thread",
    "native threads": "network, in threads of OpenVINO (and OpenCV)",
    "NMS": "NMS",
    "watches": "watches and tracking",
    "events": "handing over of events",
    "detector, rest": "rest of the detector's thread",
    "snapshots": "snapshots",
    "publisher, rest": "publishing",
    "broker, rest": "the broker inside",
    "others, rest": "other threads",
}
"""What is shown, by what is measured; all that has no row of its own is a rest of its thread."""


class Clocks:
    """CPU time by stage and thread, and that of threads as a whole."""

    def __init__(self) -> None:
        self._by_stage: dict[tuple[str, str], float] = defaultdict(float)
        """By the thread's name, which alone writes there, and the stage."""
        self._ends: list[dict[str, float]] = []

    def around(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            since = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                thread = threading.current_thread().name
                self._by_stage[thread, stage] += time.thread_time() - since

        return timed

    def around_each(self, stage: str, generator: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Iterator[Any]:
            following = self.around(stage, generator(*arguments).__next__)
            while True:
                try:
                    one = following()
                except StopIteration:
                    return
                yield one

        return timed

    def read(self) -> None:
        """To be called at both ends."""
        threads: dict[str, float] = defaultdict(float)
        for thread in threading.enumerate():
            if thread.ident is not None:
                clock = time.pthread_getcpuclockid(thread.ident)
                threads[thread.name] += time.clock_gettime(clock)
        spent: dict[str, float] = defaultdict(float)
        for thread_name, seconds in threads.items():
            spent[_rest_of(thread_name)] += seconds
        for (thread_name, stage), seconds in self._by_stage.copy().items():
            spent[stage] += seconds
            spent[_rest_of(thread_name)] -= seconds
        spent["native threads"] = time.process_time() - sum(threads.values())
        self._ends.append(spent)

    @property
    def spent(self) -> dict[str, float]:
        """CPU seconds between the ends."""
        began, ended = self._ends
        return {stage: ended[stage] - began[stage] for stage in STAGES}


def _rest_of(thread: str) -> str:
    if thread.startswith("capture-"):
        return "capture threads, rest"
    return f"{thread}, rest" if f"{thread}, rest" in STAGES else "others, rest"


def stages_pass(folder: Path, cameras: int, scale: Scale) -> tuple[Cost, dict[str, float]]:
    clocks = Clocks()
    around: tuple[tuple[Any, str, str], ...] = (
        (detector_module, "draw", "letterbox"),
        (detector_module, "suppress", "NMS"),
        (OpenVinoNetwork, "forward", "network"),
        (CameraWatches, "update", "watches"),
        (Publisher, "event", "events"),
        (alerts, "render", "snapshots"),
        (alerts, "render_crop", "snapshots"),
        (Gallery, "keep", "snapshots"),
    )
    with ExitStack() as patched:
        for owner, name, stage in around:
            timed = clocks.around(stage, getattr(owner, name))
            patched.enter_context(mock.patch.object(owner, name, timed))
        pictures = clocks.around_each("decoding", Video.pictures)
        patched.enter_context(mock.patch.object(Video, "pictures", pictures))
        cost = daemon_pass(folder, cameras, scale, clocks.read)
    return cost, clocks.spent


def stages(scale: Scale) -> list[Table]:
    table = Table(title="CPU ms a frame, by stage")
    table.add_column("")
    spent: list[tuple[Cost, dict[str, float]]] = []
    for cameras in progress(scale.few, "stages", transient=True):
        with tempfile.TemporaryDirectory() as folder:
            spent.append(alone(stages_pass, Path(folder), cameras, scale))
        table.add_column(f"{cameras} camera{'s' * (cameras > 1)}", justify="right")
        table.add_column("share", justify="right")
    for stage, shown in STAGES.items():
        table.add_row(shown, *_of_stage(spent, stage))
    table.add_section()
    table.add_row("all", *itertools.chain(*((f"{cost.cpu_ms:.2f}", "") for cost, _ in spent)))
    return [table]


def _of_stage(spent: Sequence[tuple[Cost, dict[str, float]]], stage: str) -> Iterator[str]:
    for cost, by_stage in spent:
        yield f"{by_stage[stage] / cost.frames * 1000:.2f}"
        yield f"{by_stage[stage] / sum(by_stage.values()):.1%}"


# --- latency -------------------------------------------------------------------------------------

LATENCY_FPS = 5


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the daemon has told it; in monotonic seconds, which are those of all processes.

    `inference_seconds` is the time that the detector took for the batch.
    """

    captured_at: float
    searched_at: float
    """When the detector got it; it may have been busy with the frames of other cameras."""
    inference_seconds: float
    handed_at: float


def latency_pass(
    folder: Path, url: str, port: int, cameras: int, seconds: float
) -> dict[tuple[str, int], Told]:
    """What was told, by visit and sequence, without the events that tell of an earlier frame."""
    newest: dict[str, tuple[Frame, float, float]] = {}
    told: dict[tuple[str, int], Told] = {}
    detected, publish = Analysis._detected, Publisher.event

    def noted(analysis: Analysis, batch: Sequence[Frame]) -> Any:
        since = time.monotonic()
        found = detected(analysis, batch)
        took = time.monotonic() - since
        newest.update({frame.camera: (frame, since, took) for frame in batch})
        return found

    def handed(publisher: Publisher, event: Event) -> None:
        frame, searched_at, took = newest[event.camera]
        if event.type != "end" and event.captured_at == frame.captured_at:
            handed_at = time.monotonic()
            told[event.id, event.sequence] = Told(frame.seconds, searched_at, took, handed_at)
        publish(publisher, event)

    live = {"url": url, "fps": LATENCY_FPS, "motion": "off"}
    config = settings(
        folder,
        {f"street-{number}": live for number in range(cameras)},
        mqtt={"host": "127.0.0.1", "port": port},
    )
    with (
        mock.patch.object(Analysis, "_detected", noted),
        mock.patch.object(Publisher, "event", handed),
        whole_daemon(folder, config) as daemon,
    ):
        stop = threading.Timer(seconds, daemon.request_stop)
        stop.start()
        daemon.run()
    return told


def as_a_camera_sends_it(path: Path) -> None:
    """Write the clip without B-frames: the server sends those up to 0.2 s after the time that they
    are shown, which is no time that the daemon takes."""
    options = {"preset": "fast", "bf": "0", "crf": "18"}
    with av.open(str(STREET_CLIP)) as clip, av.open(str(path), "w") as sent:
        pictures = clip.streams.video[0]
        stream = sent.add_stream("libx264", rate=CLIP_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = pictures.width, pictures.height, "yuv420p"
        for picture in clip.decode(pictures):
            picture.pict_type = PictureType.NONE  # as the encoder likes
            sent.mux(stream.encode(picture))
        sent.mux(stream.encode())


def latency(scale: Scale) -> list[Table]:
    table = Table(title=f"ms from a frame's capture to its event, {LATENCY_FPS} fps")
    for heading in ("cameras", "without the detector's time", "events", "p50", "p95"):
        table.add_column(heading, justify="right")
    for count in progress(scale.few, "latency", transient=True):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            as_a_camera_sends_it(folder / "clip.mp4")
            server = stack.enter_context(RtspServer(clip=folder / "clip.mp4"))
            broker = stack.enter_context(Mosquitto())
            subscriber = stack.enter_context(Subscriber(broker.port, "streamwatch/events/#"))
            told = alone(
                latency_pass, folder, server.url, broker.port, count, scale.latency_seconds
            )
            arrived = {
                (message.json["id"], message.json["sequence"]): message.at_seconds
                for message in subscriber.received
            }
        events = [(each, arrived[key]) for key, each in told.items() if key in arrived]
        if not events:
            raise RuntimeError("no event has arrived")
        rows = {
            "until the detector gets it": [e.searched_at - e.captured_at for e, _ in events],
            "handed to the publisher": [
                e.handed_at - e.captured_at - e.inference_seconds for e, _ in events
            ],
            "at a subscriber": [at - e.captured_at - e.inference_seconds for e, at in events],
            "the detector's time": [e.inference_seconds for e, _ in events],
        }
        for what, seconds in rows.items():
            table.add_row(str(count), what, str(len(events)), *_percentiles(seconds))
        table.add_section()
    return [table]


def _percentiles(seconds: Sequence[float]) -> Iterator[str]:
    for value in np.percentile(np.array(seconds) * 1000, [50, 95]):
        yield f"{value:.1f}"


# --- cameras -------------------------------------------------------------------------------------

CAMERAS_FPS = 2
SETTLE_SECONDS = 3.0
"""After every camera's first frames, before it is measured."""
ANALYSED = re.compile(r'^streamwatch_camera_frames_analysed_total\{camera="(.+)"\} (\S+)$', re.M)


@dataclass(frozen=True, slots=True)
class Load:
    """What many cameras get, in frames a second, and take: megabytes, and cores."""

    rates: Sequence[float]
    resident_mb: float
    cores: float


def with_cameras(count: int, url: str, seconds: float) -> Load:
    port = free_port()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        live = {"url": url, "fps": CAMERAS_FPS, "motion": "off"}
        cameras = {f"camera-{number:02}": live for number in range(count)}
        with DaemonProcess(folder, settings(folder, cameras, http={"port": port})) as daemon:
            daemon.wait_for_log("first frame")
            deadline = time.monotonic() + PATIENCE_SECONDS
            while min(analysed(port).values()) < CAMERAS_FPS:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not all cameras give frames: {daemon.log}")
                time.sleep(0.5)
            time.sleep(SETTLE_SECONDS)
            process = psutil.Process(daemon.process.pid)
            before, cpu, began = analysed(port), _cpu_seconds(process), time.monotonic()
            time.sleep(seconds)
            after, all_cpu, ended = analysed(port), _cpu_seconds(process), time.monotonic()
            return Load(
                [(after[name] - before[name]) / (ended - began) for name in cameras],
                resident_mb(process),
                (all_cpu - cpu) / (ended - began),
            )


def analysed(port: int) -> dict[str, float]:
    """How many frames of each camera were analysed, by the daemon's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return {name: float(value) for name, value in ANALYSED.findall(answer.read().decode())}


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def cameras(scale: Scale, plot: Path | None) -> list[Table]:
    with RtspServer(clip=STREET_CLIP) as server:
        loads = {
            count: with_cameras(count, server.url, scale.many_seconds)
            for count in progress(scale.many, "cameras", transient=True)
        }
    table = Table(title=f"live cameras at {CAMERAS_FPS} fps of {CLIP_FPS}")
    for heading in ("cameras", "frames a second, least", "median", "most", "MB", "cores"):
        table.add_column(heading, justify="right")
    for count, found in loads.items():
        rates = min(found.rates), statistics.median(found.rates), max(found.rates)
        shown = (f"{each:.2f}" for each in rates)
        table.add_row(str(count), *shown, f"{found.resident_mb:.0f}", f"{found.cores:.2f}")
    table.caption = "; ".join(
        f"{(b.resident_mb - a.resident_mb) / (last - first):.1f} from {first} to {last}"
        for (first, a), (last, b) in pairwise(loads.items())
    )
    table.caption = f"MB a camera: {table.caption}"
    if plot is not None:
        draw(loads, plot)
    return [table]


def draw(loads: Mapping[int, Load], path: Path) -> None:
    """Rates and memory by the number of cameras."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    rates, memory = figure.subplots(1, 2)
    counts = list(loads)
    rates.axhline(CAMERAS_FPS, color="grey", linestyle=":")
    for label, of in (("most", max), ("median", statistics.median), ("least", min)):
        rates.plot(counts, [of(loads[count].rates) for count in counts], "o-", label=label)
    rates.set(xlabel="cameras", ylabel="frames a second, each", ylim=(0, 1.1 * CAMERAS_FPS))
    rates.legend()
    resident = [loads[count].resident_mb for count in counts]
    memory.plot(counts, resident, "o-")
    memory.set(xlabel="cameras", ylabel="resident memory, MB", ylim=(0, 1.1 * max(resident)))
    figure.savefig(path)


# --- start ---------------------------------------------------------------------------------------

START_FPS = 5
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 2.0
"""What is around the exchange."""
WATCHED_SECONDS = 5.0
"""How long a daemon is watched after its first frame, or after the exchange."""
NOTES = """
import time

from streamwatch.detector.compiled.upgrading import UpgradingNetwork
from streamwatch.pipeline.pipeline import Pipeline
from streamwatch.watch.camera import CameraWatches

notes = open({path!r}, "a", buffering=1)
update, upgrade, exchange = CameraWatches.update, UpgradingNetwork._exchange, Pipeline.exchange

def noted_update(watches, frame, detections):
    notes.write(f"frame {{time.monotonic()}} {{frame.index}}\\n")
    return update(watches, frame, detections)

def noted_upgrade(network, *made_of):
    upgrade(network, *made_of)
    notes.write(f"exchange {{time.monotonic()}} {{network.running.backend}}\\n")

def noted_exchange(pipeline, prepared):
    live_at = exchange(pipeline, prepared)
    notes.write(f"live {{live_at}} {{', '.join(prepared.vocabularies.named)}}\\n")
    return live_at

CameraWatches.update, Pipeline.exchange = noted_update, noted_exchange
UpgradingNetwork._exchange = noted_upgrade
"""
"""What a daemon notes in the file `path`: kind, monotonic seconds, and what it is about."""


@dataclass(frozen=True, slots=True)
class Note:
    at: float
    about: str


class Noting:
    """A daemon in a process of its own, what it has noted, and its memory from time to time.

    Its cache is the folder `cache`.
    """

    def __init__(self, folder: Path, cache: Path, backend: str) -> None:
        camera = {"url": "bundled:street", "fps": START_FPS, "loop": True, "motion": "off"}
        self._tree = settings(
            folder,
            {"street": camera},
            http={"port": free_port()},
            detector={"model": "toybox", "backend": backend},
        )
        self._notes = folder / "notes"
        self._cache = cache
        self._daemon = DaemonProcess(
            folder, self._with_word(WORDS[0]), prelude=NOTES.format(path=str(self._notes))
        )
        self.resident: list[tuple[float, float]] = []
        """Monotonic seconds, and megabytes."""

    def __enter__(self) -> Noting:
        with mock.patch.dict(os.environ, CACHE_DIRECTORY=str(self._cache)):
            self.began = time.monotonic()
            self._daemon.__enter__()
        self._process = psutil.Process(self._daemon.process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.process.kill()
        self._daemon.process.wait()

    def of(self, kind: str) -> list[Note]:
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        parts = [line.split(" ", 2) for line in lines]
        return [Note(float(at), about) for which, at, about in parts if which == kind]

    def wait_for(self, kind: str, about: str = "", since: float = 0.0) -> Note:
        """The first such note since then."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for note in self.of(kind):
                if about in note.about and note.at >= since:
                    return note
            if time.monotonic() > deadline or self._daemon.process.poll() is not None:
                raise RuntimeError(f"no {kind} {about}: {self._daemon.log}")
            self.watch(0.05)

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.resident.append((time.monotonic(), resident_mb(self._process)))
            time.sleep(0.05)

    def edited(self, word: str) -> float:
        """The seconds from saving a word to searching for it."""
        path = self._daemon.config
        new = path.with_suffix(".new")
        new.write_text(yaml.safe_dump(self._with_word(word), sort_keys=False))
        saved = time.monotonic()
        new.replace(path)
        return self.wait_for("live", word, saved).at - saved

    def missed(self, since: float, until: float) -> tuple[int, int]:
        """How many frames were missed, and how many were due."""
        step = CLIP_FPS // START_FPS
        due = [
            (int(later.about) - int(earlier.about)) // step
            for earlier, later in pairwise(self.of("frame"))
            if since <= later.at < until
        ]
        return sum(due) - len(due), sum(due)

    def _with_word(self, word: str) -> dict[str, Any]:
        return {**self._tree, "watches": {**self._tree["watches"], "edited": {"prompt": word}}}


@dataclass(frozen=True, slots=True)
class Exchange:
    """Of torch for the compiled network, in one daemon. Frames are those missed, and those due."""

    seconds: float
    """After the start of the process."""
    missed_before: tuple[int, int]
    missed_around: tuple[int, int]
    missed_after: tuple[int, int]
    mb_before: float
    mb_most: float
    mb_after: float


@dataclass(frozen=True, slots=True)
class Start:
    """Of one daemon: seconds to its first frame, and megabytes after `WATCHED_SECONDS`."""

    seconds: float
    missed: tuple[int, int]
    mb: float


def one_start(folder: Path, cache: Path, backend: str) -> Start:
    with Noting(folder, cache, backend) as daemon:
        first = daemon.wait_for("frame")
        daemon.watch(WATCHED_SECONDS)
        missed = daemon.missed(first.at, time.monotonic())
        return Start(first.at - daemon.began, missed, daemon.resident[-1][1])


def start_with_exchange(folder: Path, cache: Path) -> tuple[Start, Exchange]:
    with Noting(folder, cache, "auto") as daemon:
        first = daemon.wait_for("frame")
        exchange = daemon.wait_for("exchange", "openvino")
        daemon.watch(WATCHED_SECONDS)
        began, ended = exchange.at - BEFORE_SECONDS, exchange.at + AFTER_SECONDS
        before = [mb for at, mb in daemon.resident if first.at < at < began]
        at_end = daemon.resident[-1][1]
        return (
            Start(first.at - daemon.began, daemon.missed(first.at, time.monotonic()), at_end),
            Exchange(
                exchange.at - daemon.began,
                daemon.missed(first.at, began),
                daemon.missed(began, ended),
                daemon.missed(ended, time.monotonic()),
                before[-1] if before else float("nan"),
                max(mb for _, mb in daemon.resident),
                at_end,
            ),
        )


def edits(folder: Path, cache: Path, word: str) -> dict[str, float]:
    """The seconds from a saved word to searching for it, for one that is new and one that isn't."""
    with Noting(folder, cache, "auto") as daemon:
        daemon.wait_for("frame")
        daemon.watch(AFTER_SECONDS)
        new = daemon.edited(word)
        daemon.watch(AFTER_SECONDS)
        return {"new": new, "known": daemon.edited(WORDS[0])}


def starts(scale: Scale) -> list[Table]:
    by_kind: dict[str, list[Start]] = {"empty": [], "warm": [], "warm, backend: torch": []}
    exchanges: list[Exchange] = []
    live: list[dict[str, float]] = []
    for turn in progress(range(scale.rounds), "start", transient=True):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            cache = folder / "cache"
            start, exchange = start_with_exchange(folder / "empty", cache)
            by_kind["empty"].append(start)
            exchanges.append(exchange)
            by_kind["warm"].append(one_start(folder / "warm", cache, "auto"))
            by_kind["warm, backend: torch"].append(one_start(folder / "torch", cache, "torch"))
            live.append(edits(folder / "edits", cache, WORDS[1 + turn]))
    return [_of_starts(by_kind), _of_exchanges(exchanges), _of_edits(live)]


def _of_starts(by_kind: Mapping[str, Sequence[Start]]) -> Table:
    table = Table(title=f"from the start of the process to its first frame, {START_FPS} fps")
    for heading in ("cache", "seconds", "frames missed from then on", "MB"):
        table.add_column(heading, justify="right")
    for kind, these in by_kind.items():
        table.add_row(
            kind,
            spread([one.seconds for one in these], 1),
            _share([one.missed for one in these]),
            f"{statistics.median(one.mb for one in these):.0f}",
        )
    return table


def _of_exchanges(exchanges: Sequence[Exchange]) -> Table:
    table = Table(title="the exchange of torch for the compiled network")
    table.add_column("")
    table.add_column("", justify="right")
    around = f"{BEFORE_SECONDS:.0f} s before it to {AFTER_SECONDS:.0f} s after"
    rows = {
        "seconds after the start": spread([one.seconds for one in exchanges], 1),
        "frames missed before": _share([one.missed_before for one in exchanges]),
        f"from {around}": _share([one.missed_around for one in exchanges]),
        "later": _share([one.missed_after for one in exchanges]),
        "MB before": spread([one.mb_before for one in exchanges], 0),
        "most": spread([one.mb_most for one in exchanges], 0),
        "after": spread([one.mb_after for one in exchanges], 0),
    }
    for name, shown in rows.items():
        table.add_row(name, shown)
    return table


def _of_edits(live: Sequence[Mapping[str, float]]) -> Table:
    table = Table(title="from a saved prompt to searching for it, seconds")
    for word in ("known", "new"):
        table.add_column(word, justify="right")
    table.add_row(*(spread([each[word] for each in live], 2) for word in ("known", "new")))
    return table


def _share(missed: Sequence[tuple[int, int]]) -> str:
    """Of all passes together."""
    return "{} of {}".format(*(sum(each) for each in zip(*missed, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="try it out, with figures to match")
    parser.add_argument("--plot", type=Path, help="draw `cameras` into this PNG")
    measures: dict[str, Callable[[Scale], list[Table]]] = {
        "rate": rate,
        "stages": stages,
        "latency": latency,
        "cameras": lambda scale: cameras(scale, chosen.plot),
        "start": starts,
    }
    parser.add_argument("measures", nargs="*", help=f"of {', '.join(measures)}; or all")
    chosen = parser.parse_args()
    if unknown := set(chosen.measures) - measures.keys():
        parser.error(f"nothing is called {', '.join(unknown)}")
    compile_toybox(cache_dir() / "compiled")
    console = Console()
    for name in chosen.measures or measures:
        since = time.monotonic()
        for table in measures[name](QUICK if chosen.quick else FULL):
            console.print(table)
        console.print(f"{name} took {time.monotonic() - since:.0f} s")
    console.print(machine())


def machine() -> str:
    """What the figures were made on."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"^model name\s*: (.+)$", text, re.M)
    return (
        f"{named[1] if named else platform.machine()}, {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
