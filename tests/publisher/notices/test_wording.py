"""What a notice says, whom it is for, and why it was not taken."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from streamwatch.publisher.notices.sending import Failure, failure_of, title_and_body
from streamwatch.publisher.notices.wording import Names, text_of, wants
from tests.publisher.events import end_event, new_event, update_event
from tests.publisher.notices.running import NAMES, notify

URL = "json://localhost"


def test_each_step_has_a_sentence() -> None:
    (settings,) = notify(URL, template=None)
    names = Names(NAMES.cameras, {"car": "Cars"}, ZoneInfo("Europe/Berlin"))
    assert [text_of(settings, event, names) for event in (new_event(), end_event("x"))] == [
        "Cars on Front porch: red car, 83%, at 2026-01-02 04:04:05",
        "Cars on Front porch is over: left, at 2026-01-02 04:04:05",
    ]


def test_a_template_is_filled_once() -> None:
    (settings,) = notify(URL, template="{camera}/{watch}/{zones}/{type}/{reason}/{id} {{id}}")
    names = Names({"porch": "{id}"})
    assert text_of(settings, new_event(id="7"), names) == "{id}/car/steps/new//7 {id}"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, ["new"]),
        ({"on": ["update", "end"]}, ["update", "end"]),
        ({"on": "end"}, ["end"]),
        ({"cameras": ["garden"]}, []),
        ({"watches": ["car"], "cameras": ["porch"]}, ["new"]),
        ({"watches": ["dog"]}, []),
    ],
)
def test_who_is_told(keys: dict[str, object], told: list[str]) -> None:
    (settings,) = notify(URL, **keys)
    steps = (
        new_event(),
        update_event("x"),
        end_event("x"),
        new_event(type="rejected"),
        new_event(continues="y"),
    )
    assert [event.type for event in steps if wants(settings, event)] == told


def test_mail_has_a_subject_always() -> None:
    assert title_and_body("one line", mail=False) == ("", "one line")
    assert title_and_body("one line", mail=True) == ("one line", "one line")
    assert title_and_body("a title\nand\nmore", mail=False) == ("a title", "and\nmore")


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        ("Failed: Gone, error=404.", Failure("it answers 404 (Not Found)", True)),
        ("Failed: limit, error=42901.", Failure("it answers 429 (Too Many Requests)")),
        ("Failed: , error=502.", Failure("it answers 502 (Bad Gateway)")),
        (
            "A Connection error occurred sending to https://bot.example/abc:DEF/send with k=vv/s3.",
            Failure(
                "A Connection error occurred sending to https://***/***:***/send with k=vv/s3."
            ),
        ),
    ],
)
def test_why_it_was_not_taken(said: str, failure: Failure) -> None:
    assert failure_of([said], SecretStr("x://bot.example/abc:DEF")) == failure


def test_nothing_said() -> None:
    assert failure_of([], SecretStr("x://y")).reason == "it gives no reason"
