"""Follows the alerts at a broker: what is shown of what arrives, and what is said meanwhile."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import product
from typing import Any, Protocol

import typer

from streamwatch.cli.alerts_screen import Alert, ToldClip, clean, clip_sentence
from streamwatch.config import MqttSettings, listing
from streamwatch.errors import PublisherError
from streamwatch.publisher import Down, Dropped, Failed, Message, Reader, Topics, Up

REMEMBERED_VISITS = 10_000
REMEMBERED_PICTURES = 20
STATUS_SECONDS = 3.0
"""How long the retained status may take to come; brokers send it with their answer."""


class Output(Protocol):
    def alert(self, alert: Alert, fields: dict[str, Any], jpeg: bytes | None) -> None: ...

    def say(self, sentence: str, style: str = "", /) -> None: ...


class AlertFollower:
    """Reads from the broker and writes to `output`; `cameras` and `watches` are names, none for
    all. Pictures are only read where they are wanted, since they are large.
    """

    def __init__(
        self,
        settings: MqttSettings,
        output: Output,
        *,
        cameras: Sequence[str],
        watches: Sequence[str],
        with_pictures: bool,
    ) -> None:
        topics = Topics(settings.topic_prefix)
        pairs = list(product(cameras or ["+"], watches or ["+"]))
        live = [topics.event(*pair) for pair in pairs]
        live += [topics.clip(*pair) for pair in pairs]
        if with_pictures:
            live += [topics.snapshot(*pair) for pair in pairs]
        self.reader = Reader(settings, live=live, retained=[topics.status])
        self._output = output
        self._topics = topics
        self._broker = f"broker {settings.address}"
        self._of = _chosen("camera", cameras) + _chosen("watch", watches)
        self._was_up = False
        self._was_malformed = False
        self._said: set[str] = set()
        self._status: bytes | None = None
        self._sequences: OrderedDict[str, int] = OrderedDict()
        """The highest sequence that came of each visit; the visits of late at the end."""
        self._clips: OrderedDict[str, bool] = OrderedDict()
        """The visits whose clip was told."""
        self._pictures: OrderedDict[str, bytes] = OrderedDict()

    def follow(self) -> None:
        """Until the reader is stopped. Raises PublisherError if the broker refuses us at first."""
        # What the connection logs is said here, in other words; without a handler it would be on
        # stderr too.
        logging.getLogger("streamwatch").addHandler(logging.NullHandler())
        with self.reader as reader:
            is_waiting = False
            while True:
                news = reader.next(STATUS_SECONDS if is_waiting else None)
                match news:
                    case Up():
                        is_waiting = not self._was_up
                        self._up()
                    case Down():
                        self._output.say(
                            f"lost the {self._broker} ({news.reason}); trying to get it back",
                            "red",
                        )
                    case Failed():
                        self._failed(news)
                    case Dropped():
                        self._output.say(
                            f"{news.messages} messages came faster than they could be shown, and"
                            " were left out",
                            "red",
                        )
                    case Message():
                        is_waiting = is_waiting and news.topic != self._topics.status
                        self._message(news)
                    case None if is_waiting:
                        is_waiting = False
                        self._output.say(
                            f"nothing has told its status on {self._topics.status} yet: perhaps no"
                            " daemon has run at this broker so far, or with another topic prefix",
                            "yellow",
                        )
                    case None:
                        return

    def _up(self) -> None:
        if self._was_up:
            self._output.say(f"the {self._broker} is back", "green")
        else:
            self._output.say(
                f"alerts{self._of} from the {self._broker} as they come; Ctrl-C ends it"
            )
        self._was_up = True
        self._said.clear()

    def _failed(self, failed: Failed) -> None:
        if failed.lasting and not self._was_up:
            raise PublisherError(failed.sentence)
        if failed.sentence not in self._said:
            self._said.add(failed.sentence)
            self._output.say(f"{failed.sentence}; trying again and again", "red")

    def _message(self, message: Message) -> None:
        if message.topic == self._topics.status:
            self._status_told(message.payload)
        elif message.retained:
            return  # a picture of an alert that was told earlier
        elif message.topic.startswith(f"{self._topics.prefix}/snapshot/"):
            if message.payload:
                _keep(self._pictures, message.topic, message.payload, REMEMBERED_PICTURES)
        elif message.topic.startswith(f"{self._topics.prefix}/clips/"):
            self._clip(message)
        else:
            self._event(message)

    def _status_told(self, payload: bytes | None) -> None:
        before, self._status = self._status, payload
        if payload == before:
            return
        if payload == b"offline":
            self._output.say("the daemon is offline", "yellow")
        elif payload == b"online" and before is not None:
            self._output.say("the daemon is online again", "green")

    def _event(self, message: Message) -> None:
        try:
            fields = _parsed(message.payload)
            alert = Alert.model_validate(fields)
        except (ValueError, RecursionError):
            self._malformed(message.topic)
            return
        if alert.sequence <= self._sequences.get(alert.id, -1):
            return  # delivered again
        _keep(self._sequences, alert.id, alert.sequence, REMEMBERED_VISITS)
        jpeg = self._pictures.pop(alert.snapshot, None) if alert.snapshot else None
        self._output.alert(alert, fields, jpeg)

    def _clip(self, message: Message) -> None:
        try:
            clip = ToldClip.model_validate(_parsed(message.payload))
        except (ValueError, RecursionError):
            self._malformed(message.topic)
            return
        if clip.id not in self._clips:  # else it is delivered again
            _keep(self._clips, clip.id, True, REMEMBERED_VISITS)
            camera, watch = message.topic.rsplit("/", 2)[-2:]
            self._output.say(clip_sentence(clip, camera, watch))

    def _malformed(self, topic: str) -> None:
        """Said once, on stderr, since it is nothing of ours."""
        if not self._was_malformed:
            self._was_malformed = True
            typer.echo(
                f"streamwatch: left out what is no alert, on {clean(topic)}; others like it are"
                " left out without a word",
                err=True,
            )


def _chosen(kind: str, names: Sequence[str]) -> str:
    return f" of {kind} {listing(names)}" if names else ""


def _keep(kept: OrderedDict[str, Any], key: str, value: object, most: int) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def _parsed(payload: bytes | None) -> dict[str, Any]:
    """Raises ValueError if it is not an object in JSON, strictly."""
    if payload is None:
        raise ValueError("too large")

    fields = json.loads(payload.decode(), parse_constant=_finite, parse_float=_finite)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    return fields


def _finite(number: str) -> float:
    """Python would take NaN and what is too large for a float, and write what is no JSON."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is not finite")
    return value
