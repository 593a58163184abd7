"""The controller of a fleet: says which worker watches which camera, and follows the file."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from streamwatch import __version__
from streamwatch.config import Config, listing
from streamwatch.daemon.part import Left
from streamwatch.errors import StreamwatchError
from streamwatch.fleet.calls import Hello, News, Refusal
from streamwatch.fleet.cluster import Call, Cluster, Handle, Lost, Node, Unable
from streamwatch.fleet.ledger import Ledger
from streamwatch.fleet.planning import Plan, plan
from streamwatch.publisher import ErrorReport, Publisher
from streamwatch.records import Event, Remembered
from streamwatch.watch.remembered import ends

log = logging.getLogger(__name__)

TURN_SECONDS = 0.2
NODES_SECONDS = 1.0
"""How often it looks which nodes there are."""
GATHER_SECONDS = 10.0
"""How long the first plan waits for workers that have not answered: else the first of them would
take everything, and a new controller would take cameras from those that watch them."""
BEGIN_SECONDS = 60.0
"""How long it waits for those that have answered, and load their model."""
RETRY_SECONDS = 30.0
"""After a worker could not begin."""
AGAIN_SECONDS = 0.5
"""After a worker was lost, which Ray starts again."""
OFFLINE_SECONDS = 0.5
"""How long the broker must say that a worker is offline: it may only be connecting anew."""
NEWS_SECONDS = 10.0
WILL_SECONDS = 1.5
"""How long to wait until the broker says that a lost worker is offline."""
STEP_SECONDS = 20.0
"""A worker that does not do a step of a move in this time is lost."""
RELEASE_SECONDS = 1.0
"""The same for a worker that the broker does not hear."""
ACKNOWLEDGED_SECONDS = 2.0
"""How long to wait until the broker has a camera's new owner."""
ASK_SECONDS = 60.0
"""How long a worker has to answer what a person has asked: the text encoder may have to start."""
ASK_ALL_SECONDS = 3.0
"""The same for what all workers are asked at once."""
MOVED_AT_ONCE = 8
"""So many cameras move together, and are read twice meanwhile."""

TAKEN_OVER = "another controller has taken over this fleet"

State = Literal["greeted", "beginning", "ready", "lost", "refused"]
Step = Literal["open", "release", "take"]


@dataclass(eq=False)
class Member:
    """A worker as the controller knows it."""

    name: str
    node: Node
    handle: Handle
    state: State = "greeted"
    hardware: str = ""
    lacks: frozenset[str] = frozenset()
    """The cameras whose file is not on its machine."""
    was_heard: bool = False
    """Whether the broker has said since its beginning that it is online."""
    offline_since: float | None = None
    try_again_at: float = float("inf")
    news: News = field(default_factory=News)


@dataclass(eq=False)
class Move:
    """Cameras on their way. Without a `giver` their visits are those that the broker holds."""

    cameras: frozenset[str]
    taker: Member
    giver: Member | None
    step: Step
    until: float
    visits: Sequence[Event] = ()


Pending = tuple[Literal["hello", "begin", "change", "news", "settle"], str]


class Controller:
    """Owned by one thread, which calls `turn` again and again.

    `publisher` and `ledger` are those of the fleet. Raises StreamwatchError once another controller
    has taken over.
    """

    def __init__(
        self, config: Config, cluster: Cluster, publisher: Publisher, ledger: Ledger
    ) -> None:
        self._config = config
        self._cluster = cluster
        self._shared = cluster.shared(config)
        self._publisher = publisher
        self._ledger = ledger
        self._members: dict[str, Member] = {}
        self._calls: dict[Pending | Move, Call] = {}
        self._at: dict[str, str] = {}
        """Each camera's worker; those on their way have none."""
        self._learnt: dict[str, str] = {}
        """What is learnt of cameras, as it was when they were moved or taught last. A worker that
        is lost can't say more."""
        self._nowhere: tuple[str, ...] = ()
        self._capacities: dict[str, float] = {}
        """The most frames a second that any worker managed on each hardware. A single figure
        depends on what else the machine does, and cameras must not move for that."""
        self._epoch = 0
        self._began = time.monotonic()
        self._has_planned = False
        self._changed = True
        """Whether there may be another plan."""
        self._nodes_at = 0.0
        self._newest: Config | None = None
        self._lost_at: dict[str, float] = {}
        """When workers were lost of which the broker may hold more than the ledger has read."""
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._missing: set[str] = set()
        """The cameras whose file is on no machine."""

    # --- from any thread --------------------------------------------------------------------------

    def change(self, config: Config) -> None:
        """Apply another configuration, as soon as the thread comes round."""
        with self._lock:
            self._newest = config

    def ask(self, camera: str, method: str, *arguments: Any) -> Any:
        """Call a method of the worker of a camera, and wait for its answer, from another thread.

        Raises StreamwatchError where no worker has the camera, or the worker does not answer.
        """
        member = self._members.get(self._at.get(camera, ""))
        if member is None:
            known = camera in self._config.cameras
            raise StreamwatchError(
                f"{camera} is watched by no worker now" if known else f"there is no camera {camera}"
            )
        try:
            answer = member.handle.call(method, *arguments, self._epoch).result(ASK_SECONDS)
        except Lost as error:
            raise StreamwatchError(f"worker {member.name} does not answer") from error
        if isinstance(answer, Refusal):
            raise StreamwatchError(answer.sentence)
        return answer

    def note_learnt(self, camera: str) -> None:
        """Keep what is learnt of a camera, for the worker that has it next; from another thread."""
        with suppress(StreamwatchError):
            self._learnt[camera] = self.ask(camera, "learnt", camera)

    def ask_all(self, method: Literal["metrics", "experience"]) -> dict[str, Any]:
        """What each worker that answers soon says, by name; from another thread."""
        calls = {name: member.handle.call(method) for name, member in self.workers.items()}
        until = time.monotonic() + ASK_ALL_SECONDS
        found = {}
        for name, call in calls.items():
            with suppress(Lost):
                found[name] = call.result(max(0.0, until - time.monotonic()))
        return found

    @property
    def workers(self) -> dict[str, Member]:
        """Those that are ready, by name."""
        return {m.name: m for m in tuple(self._members.values()) if m.state == "ready"}

    @property
    def known(self) -> tuple[str, ...]:
        """All workers, ready or not."""
        return tuple(self._members)

    @property
    def described(self) -> dict[str, dict[str, Any]]:
        """Each worker: its node, what it runs on, and how many cameras it has."""
        counts = Counter(self._at.copy().values())
        return {
            member.name: {
                "node": member.node.address,
                "hardware": member.hardware,
                "state": "cut off" if self._is_cut_off(member) else member.state,
                "cameras": counts[member.name],
            }
            for member in tuple(self._members.values())
        }

    @property
    def at(self) -> dict[str, str]:
        """Which worker watches which camera."""
        return dict(self._at)

    @property
    def nowhere(self) -> tuple[str, ...]:
        """Cameras that no worker can read."""
        return self._nowhere

    @property
    def finished(self) -> bool:
        """Whether every camera is a file that has ended, and there is one."""
        enabled = {name for name, camera in self._config.cameras.items() if camera.enabled}
        ended = {
            camera
            for member in self.workers.values()
            for camera in member.news.finished
            if self._at.get(camera) == member.name
        }
        return bool(enabled) and enabled <= ended

    # --- in its thread ----------------------------------------------------------------------------

    def turn(self) -> None:
        """Look for nodes, hear what is answered, and move what is to be moved."""
        self._apply_newest()
        self._look_for_nodes()
        for key in self._cluster.done(self._calls, TURN_SECONDS):
            self._take(key, self._calls.pop(key))
        self._look_who_is_offline()
        self._begin_again()
        self._give_up_on_slow_moves()
        self._plan_if_due()

    def stop(self, patience_seconds: float) -> None:
        """Stop all workers as daemons stop: their visits end."""
        calls = {
            member.name: member.handle.call("stop", self._epoch)
            for member in self._members.values()
        }
        until = time.monotonic() + patience_seconds
        while calls and time.monotonic() < until:
            for name in self._cluster.done(calls, TURN_SECONDS):
                del calls[name]
        for member in self._members.values():
            member.handle.kill()

    def _apply_newest(self) -> None:
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None:
            return
        gone = self._config.cameras.keys() - newest.cameras.keys()
        self._config = newest
        self._shared = self._cluster.shared(newest)
        on_the_way = {camera for move in self._moves for camera in move.cameras}
        self._bury(gone - self._at.keys() - on_the_way)
        for camera in gone:
            self._at.pop(camera, None)
            self._learnt.pop(camera, None)
        for member in self.workers.values():
            self._call(("change", member.name), member, "change", self._shared, self._epoch)
        self._changed = True

    # --- workers ----------------------------------------------------------------------------------

    def _look_for_nodes(self) -> None:
        if time.monotonic() < self._nodes_at:
            return
        self._nodes_at = time.monotonic() + NODES_SECONDS
        wanted = {name: node for node in self._cluster.nodes() for name in workers_of(node)}
        for name, node in wanted.items():
            member = self._members.get(name)
            if member is not None and member.node.id == node.id:
                continue
            if member is not None:
                self._forget(member)
            log.info("%s is there, at %s", name, node.address)
            member = Member(name, node, self._cluster.worker(name, node))
            self._members[name] = member
            self._greet(member)
        for name in self._members.keys() - wanted.keys():
            log.warning("the node of %s is gone", name)
            self._forget(self._members[name])

    def _greet(self, member: Member) -> None:
        member.state = "greeted"
        self._calls["hello", member.name] = member.handle.hello()

    def _forget(self, member: Member) -> None:
        self._lose(member)
        self._calls = {
            key: call
            for key, call in self._calls.items()
            if isinstance(key, Move) or key[1] != member.name
        }
        self._members.pop(member.name, None)
        member.handle.kill()

    def _lose(self, member: Member) -> None:
        """Its cameras are nobody's until the next plan."""
        if member.state == "ready":
            log.warning("worker %s is lost", member.name)
            self._lost_at[member.name] = time.monotonic()
        member.state = "lost"
        member.try_again_at = time.monotonic() + AGAIN_SECONDS
        for camera, worker in tuple(self._at.items()):
            if worker == member.name:
                del self._at[camera]
                self._publisher.camera_status(camera, "offline")
        self._changed = True

    def _call(self, key: Pending | Move, member: Member, method: str, *arguments: Any) -> None:
        self._calls[key] = member.handle.call(method, *arguments)

    def _take(self, key: Pending | Move, call: Call) -> None:
        if isinstance(key, Move):
            self._go_on(key, call)
            return
        kind, name = key
        member = self._members.get(name)
        if member is None:
            return
        try:
            answer = call.result()
        except Unable as error:
            self._complain(member, str(error))
            self._lose(member)
            member.state = "refused"
            member.try_again_at = time.monotonic() + RETRY_SECONDS
            return
        except Lost as error:
            log.debug("%s: %s", name, error)
            self._lose(member)
            return
        if isinstance(answer, Refusal) and answer.outdated:
            raise StreamwatchError(TAKEN_OVER)
        match kind:
            case "hello":
                self._take_hello(member, answer)
            case "begin":
                self._take_beginning(member, answer)
            case "change":
                if isinstance(answer, Refusal):
                    self._complain(member, answer.sentence)
                elif member.lacks != answer.lacks:
                    member.lacks = answer.lacks
                    self._changed = True
            case "news":
                self._take_news(member, answer)
            case "settle":
                pass

    def _take_hello(self, member: Member, hello: Hello) -> None:
        if hello.version != __version__:
            self._complain(
                member,
                f"it has streamwatch {hello.version}, and this is {__version__}; install the same"
                " everywhere",
            )
            member.state = "refused"
            return
        if self._has_planned and hello.epoch > self._epoch:
            raise StreamwatchError(TAKEN_OVER)
        self._epoch = max(self._epoch, hello.epoch + (not self._has_planned))
        member.state = "beginning"
        self._call(("begin", member.name), member, "begin", self._shared, self._epoch)

    def _take_beginning(self, member: Member, answer: Hello | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._complain(member, answer.sentence)
            member.state = "refused"
            member.try_again_at = time.monotonic() + RETRY_SECONDS
            return
        member.state = "ready"
        member.was_heard = False
        member.offline_since = None
        member.hardware = answer.hardware
        fastest = self._capacities.get(answer.hardware, 1.0)
        self._capacities[answer.hardware] = max(fastest, answer.capacity or 1.0)
        member.lacks = answer.lacks
        for camera in answer.cameras:  # a controller before this one has given it these
            self._at.setdefault(camera, member.name)
        log.info(
            "worker %s is ready: %s, %.1f frames a second, cameras: %d",
            *(member.name, member.hardware, answer.capacity or 1.0, len(answer.cameras)),
        )
        self._ask_for_news(member)
        self._changed = True

    def _begin_again(self) -> None:
        for member in self._members.values():
            if member.state in ("lost", "refused") and time.monotonic() >= member.try_again_at:
                member.try_again_at = float("inf")
                member.handle = self._cluster.worker(member.name, member.node)
                self._greet(member)

    def _ask_for_news(self, member: Member) -> None:
        self._calls["news", member.name] = member.handle.news(member.news, NEWS_SECONDS)

    def _take_news(self, member: Member, news: News) -> None:
        member.news = news
        self._ask_for_news(member)
        self._compare(member)
        if not news.orphans or ("settle", member.name) in self._calls:
            return
        known = [event.id for event in news.orphans if self._ledger.goes_on(event)]
        others = [event.id for event in news.orphans if event.id not in known]
        self._call(("settle", member.name), member, "settle", others, known, self._epoch)

    def _compare(self, member: Member) -> None:
        """What it watches with what it should: it may have lost a camera, or kept one."""
        on_the_way = {camera for move in self._moves for camera in move.cameras}
        for camera, worker in tuple(self._at.items()):
            gone = worker == member.name and camera not in member.news.cameras
            if gone and camera not in on_the_way:
                del self._at[camera]
                self._changed = True
        for camera in member.news.cameras - on_the_way:
            if camera in self._config.cameras:
                self._at.setdefault(camera, member.name)

    def _look_who_is_offline(self) -> None:
        now = time.monotonic()
        for member in self._members.values():
            if not self._ledger.is_offline(member.name):
                if member.offline_since is not None:
                    member.offline_since = None
                    self._changed = True
                if member.state == "ready" and not member.was_heard:
                    member.was_heard = True
                    self._changed = True
            elif member.was_heard and member.state == "ready":
                member.offline_since = member.offline_since or now
                if now - member.offline_since >= OFFLINE_SECONDS:
                    self._changed = True

    def _is_cut_off(self, member: Member) -> bool:
        """Whether the broker does not hear it any more."""
        since = member.offline_since
        return since is not None and time.monotonic() - since >= OFFLINE_SECONDS

    def _complain(self, member: Member, sentence: str) -> None:
        said = f"worker {member.name}: {sentence}"
        if said not in self._said:
            self._said.add(said)
            log.error("%s", said)
            self._publisher.error(ErrorReport("detector", said))

    @property
    def _pending(self) -> list[Pending]:
        return [key for key in self._calls if not isinstance(key, Move)]

    # --- cameras ----------------------------------------------------------------------------------

    @property
    def _moves(self) -> list[Move]:
        return [key for key in self._calls if isinstance(key, Move)]

    def _plan_if_due(self) -> None:
        if not self._changed or not self._gathered or not self._has_heard_all:
            return
        self._changed, self._has_planned = False, True
        ready = {
            name: member for name, member in self.workers.items() if not self._is_cut_off(member)
        }
        on_the_way = {camera: move for move in self._moves for camera in move.cameras}
        before = {**self._at, **{c: move.taker.name for c, move in on_the_way.items()}}
        found = self._planned(ready, before)
        self._tell_nowhere(found)
        wanted: dict[tuple[str | None, str], list[str]] = defaultdict(list)
        for camera, worker in found.at.items():
            if camera not in on_the_way and self._at.get(camera) != worker:
                wanted[self._at.get(camera), worker].append(camera)
        for (giver, taker), cameras in wanted.items():
            for start in range(0, len(cameras), MOVED_AT_ONCE if giver else len(cameras)):
                size = MOVED_AT_ONCE if giver else len(cameras)
                self._move(cameras[start : start + size], giver, ready[taker])

    @property
    def _has_heard_all(self) -> bool:
        """Whether the last messages of lost workers were heard: their will comes after these."""
        now = time.monotonic()
        self._lost_at = {
            name: lost_at
            for name, lost_at in self._lost_at.items()
            if now - lost_at < WILL_SECONDS and not self._ledger.is_offline(name)
        }
        return not self._lost_at

    @property
    def _gathered(self) -> bool:
        """Whether every worker has answered, or had the time to."""
        if self._has_planned:
            return True
        passed = time.monotonic() - self._began
        states = [member.state for member in self._members.values()]
        silent = "greeted" in states and passed < GATHER_SECONDS
        loading = "beginning" in states and passed < BEGIN_SECONDS
        return "ready" in states and not silent and not loading

    def _planned(self, ready: Mapping[str, Member], before: Mapping[str, str]) -> Plan:
        loads = {
            name: camera.fps for name, camera in self._config.cameras.items() if camera.enabled
        }
        bound = {}
        for name, camera in self._config.cameras.items():
            if camera.kind != "file":
                continue
            bound[name] = [m.name for m in ready.values() if name not in m.lacks]
            if not camera.loop and before.get(name) in bound[name]:
                bound[name] = [before[name]]  # it would begin anew elsewhere
        capacities = {name: self._capacities[member.hardware] for name, member in ready.items()}
        return plan(loads, capacities, before, bound)

    def _tell_nowhere(self, found: Plan) -> None:
        self._nowhere = found.nowhere
        enabled = {name for name, camera in self._config.cameras.items() if camera.enabled}
        for camera in self._config.cameras.keys() - enabled:
            self._publisher.camera_status(camera, "disabled")
        for camera in enabled - found.at.keys():
            self._publisher.camera_status(camera, "offline")
        if not any(kind == "change" for kind, _ in self._pending):
            files = {name for name in found.nowhere if self._config.cameras[name].kind == "file"}
            self._tell_missing(files)

    def _tell_missing(self, cameras: Collection[str]) -> None:
        """Files that no machine has; one that is only gone for now may have it."""
        usable = [member for member in self._members.values() if member.state != "refused"]
        missing = {name for name in cameras if all(name in member.lacks for member in usable)}
        for camera in sorted(missing - self._missing):
            said = (
                f"cameras.{camera}.url: {self._config.cameras[camera].url} is on no machine of the"
                " fleet; copy it to the same path on one of them, and restart the fleet"
            )
            log.error("%s", said)
            self._publisher.error(ErrorReport("camera", said, camera=camera))
        self._missing = missing

    def _bury(self, cameras: Collection[str]) -> None:
        """End the visits of cameras that were removed while no worker had them."""
        if cameras:
            visits = [Remembered(event, 0.0) for event in self._ledger.visits(cameras)]
            self._publisher.end(ends(visits, "removed"))
            pairs = {(visit.last.camera, visit.last.watch) for visit in visits}
            self._publisher.forget(cameras, pairs)

    def _move(self, cameras: Sequence[str], giver: str | None, taker: Member) -> None:
        former = None if giver is None else self._members.get(giver)
        for camera in cameras:
            self._at.pop(camera, None)
        until = time.monotonic() + STEP_SECONDS
        move = Move(frozenset(cameras), taker, former, "take", until)
        log.info(
            "%s to %s%s",
            listing(cameras[:MOVED_AT_ONCE], "and")
            + (f" and {len(cameras) - MOVED_AT_ONCE} more" if len(cameras) > MOVED_AT_ONCE else ""),
            taker.name,
            f" from {giver}" if giver else "",
        )
        if former is None:
            self._give(move, self._ledger.visits(cameras), resend=True)
        elif self._is_cut_off(former):
            self._release(move, former, RELEASE_SECONDS)
        else:
            move.step = "open"
            self._call(move, taker, "open", cameras, self._epoch)

    def _release(self, move: Move, giver: Member, patience_seconds: float) -> None:
        move.step = "release"
        move.until = time.monotonic() + patience_seconds
        self._call(move, giver, "release", [*move.cameras], self._epoch)

    def _give(self, move: Move, visits: Sequence[Event], *, resend: bool) -> None:
        """Tell the broker whose the cameras are, and then the worker."""
        move.step = "take"
        move.until = time.monotonic() + STEP_SECONDS
        self._publisher.give(dict.fromkeys(move.cameras, move.taker.name))
        if self._publisher.connected:
            self._publisher.flush(ACKNOWLEDGED_SECONDS)
        learnt = {camera: self._learnt[camera] for camera in move.cameras & self._learnt.keys()}
        self._call(move, move.taker, "take", [*move.cameras], visits, learnt, resend, self._epoch)

    def _go_on(self, move: Move, call: Call) -> None:
        try:
            answer = call.result()
        except Lost:
            answer = None
            failed = True
        else:
            failed = isinstance(answer, Refusal)
            if isinstance(answer, Refusal) and answer.outdated:
                raise StreamwatchError(TAKEN_OVER)
        match move.step:
            case "open":
                assert move.giver is not None
                if move.taker.state == "ready":
                    self._release(move, move.giver, STEP_SECONDS)
                else:
                    self._put_back(move)
            case "release":
                if failed:  # what the broker holds of them goes to whom the next plan says
                    self._changed = True
                else:
                    self._released(move, answer)
            case "take":
                if isinstance(answer, Refusal):
                    self._complain(move.taker, answer.sentence)
                if not failed and move.taker.state == "ready":
                    there = move.cameras & self._config.cameras.keys()
                    self._at |= dict.fromkeys(there, move.taker.name)
                    self._bury(move.cameras - there)
                self._changed = True

    def _released(self, move: Move, left: Left) -> None:
        """What was left is handed on; of a camera that was lost before it comes from the broker."""
        self._learnt |= left.learnt
        handed = [event for events in left.visits.values() for event in events]
        lost = [camera for camera in move.cameras if camera not in left.visits]
        self._give(move, [*handed, *self._ledger.visits(lost)], resend=bool(lost))

    def _put_back(self, move: Move) -> None:
        """They were not taken away yet."""
        if move.giver is not None and move.giver.state == "ready":
            self._at |= dict.fromkeys(move.cameras, move.giver.name)
        self._changed = True

    def _give_up_on_slow_moves(self) -> None:
        now = time.monotonic()
        for move in self._moves:
            if now < move.until:
                continue
            del self._calls[move]
            if move.step == "release":
                self._changed = True
                continue
            log.warning("worker %s does not answer", move.taker.name)
            self._lose(move.taker)
            if move.step == "open":
                self._put_back(move)


def workers_of(node: Node) -> list[str]:
    """The names of a node's workers: one a GPU, or one without any."""
    if node.gpus < 2:
        return [node.name]
    return [f"{node.name}-gpu{index}" for index in range(node.gpus)]
